//! The load transaction: staged Parquet, fences, and that twice is the same as once.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray,
        TimestampMicrosecondArray,
    },
    datatypes::Schema,
};
use object_store::{ObjectStoreExt, path::Path};
use parquet::arrow::ArrowWriter;

use super::{Engine, Session, SessionContext, User, another, fail, lines, rows, run, warehouse};
use crate::engine::{StageEncryption, StageUse};

const OBJECTS: &str = "
    CREATE STORAGE INTEGRATION SLUICEBOX_STAGE TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = 'S3' ENABLED = TRUE
      STORAGE_ALLOWED_LOCATIONS = ('s3://bucket/prefix/', 's3://other/');
    CREATE FILE FORMAT IF NOT EXISTS SLUICEBOX_PARQUET TYPE = PARQUET USE_LOGICAL_TYPE = TRUE BINARY_AS_TEXT = FALSE;
    CREATE STAGE IF NOT EXISTS KAFKA_STREAMING_STAGE URL = 's3://bucket/prefix/' STORAGE_INTEGRATION = SLUICEBOX_STAGE
      FILE_FORMAT = (FORMAT_NAME = 'SLUICEBOX_PARQUET');
    CREATE TABLE IF NOT EXISTS SLUICEBOX_CONTROL (topic VARCHAR NOT NULL, partition_id NUMBER(10,0) NOT NULL,
      next_offset NUMBER(19,0) NOT NULL, fence NUMBER(19,0) NOT NULL, loads NUMBER(19,0) NOT NULL, PRIMARY KEY (topic, partition_id));
    CREATE TABLE IF NOT EXISTS CUSTOMER_DAILY_METRICS (CUSTOMER_ID VARCHAR NOT NULL, EVENT_DATE DATE NOT NULL, PAGE_VIEWS NUMBER(19,0),
      TOTAL_REVENUE NUMBER(28,2), SLUICEBOX_VERSION NUMBER(19,0) NOT NULL);
    CREATE TABLE IF NOT EXISTS KAFKA_EVENTS_SILVER (EVENT_ID VARCHAR, AMOUNT NUMBER(18,2), EVENT_TIMESTAMP TIMESTAMP_NTZ(6))";

const RAISE: &str = "
    BEGIN;
    MERGE INTO SLUICEBOX_CONTROL c USING (SELECT column1 AS topic, column2 AS partition_id FROM VALUES ('clean_events', 0),
      ('customer_daily_metrics', 0), ('customer_daily_metrics', 1)) s ON c.topic = s.topic AND c.partition_id = s.partition_id
    WHEN MATCHED THEN UPDATE SET fence = c.fence + 1
    WHEN NOT MATCHED THEN INSERT (topic, partition_id, next_offset, fence, loads) VALUES (s.topic, s.partition_id, 0, 1, 0);
    SELECT topic, partition_id, next_offset, fence FROM SLUICEBOX_CONTROL WHERE topic IN ('clean_events', 'customer_daily_metrics');
    COMMIT";

/// The load, by an owner whose fence is this.
fn load(fence: u32) -> String {
    let fence = fence.to_string();
    "
    BEGIN;
    UPDATE SLUICEBOX_CONTROL SET loads = loads + 1 WHERE (topic = 'customer_daily_metrics' AND partition_id = 0 AND fence = $F)
      OR (topic = 'customer_daily_metrics' AND partition_id = 1 AND fence = $F) OR (topic = 'clean_events' AND partition_id = 0 AND fence = $F);
    MERGE INTO CUSTOMER_DAILY_METRICS t USING (
      SELECT s.* FROM (
        SELECT $1:customer_id::VARCHAR AS CUSTOMER_ID, $1:event_date::DATE AS EVENT_DATE, $1:page_views::NUMBER(19,0) AS PAGE_VIEWS,
               $1:total_revenue::NUMBER(28,2) AS TOTAL_REVENUE, $1:_deleted::BOOLEAN AS SLUICEBOX_DELETED,
               $1:_offset::NUMBER(19,0) AS SLUICEBOX_VERSION, 0 AS SLUICEBOX_PARTITION
        FROM '@KAFKA_STREAMING_STAGE/customer_daily_metrics/0/00000000000000000000-00000000000000000041.parquet' (FILE_FORMAT => 'SLUICEBOX_PARQUET')
        UNION ALL
        SELECT $1:customer_id::VARCHAR AS CUSTOMER_ID, $1:event_date::DATE AS EVENT_DATE, $1:page_views::NUMBER(19,0) AS PAGE_VIEWS,
               $1:total_revenue::NUMBER(28,2) AS TOTAL_REVENUE, $1:_deleted::BOOLEAN AS SLUICEBOX_DELETED,
               $1:_offset::NUMBER(19,0) AS SLUICEBOX_VERSION, 1 AS SLUICEBOX_PARTITION
        FROM '@KAFKA_STREAMING_STAGE/customer_daily_metrics/1/00000000000000000000-00000000000000000041.parquet' (FILE_FORMAT => 'SLUICEBOX_PARQUET')
      ) s JOIN SLUICEBOX_CONTROL c ON c.topic = 'customer_daily_metrics' AND c.partition_id = s.SLUICEBOX_PARTITION
      WHERE s.SLUICEBOX_VERSION >= c.next_offset AND ((c.partition_id = 0 AND c.fence = $F) OR (c.partition_id = 1 AND c.fence = $F))
      QUALIFY ROW_NUMBER() OVER (PARTITION BY s.CUSTOMER_ID, s.EVENT_DATE ORDER BY s.SLUICEBOX_VERSION DESC) = 1
    ) s ON EQUAL_NULL(t.CUSTOMER_ID, s.CUSTOMER_ID) AND EQUAL_NULL(t.EVENT_DATE, s.EVENT_DATE)
    WHEN MATCHED AND s.SLUICEBOX_VERSION > t.SLUICEBOX_VERSION AND s.SLUICEBOX_DELETED THEN DELETE
    WHEN MATCHED AND s.SLUICEBOX_VERSION > t.SLUICEBOX_VERSION THEN UPDATE SET PAGE_VIEWS = s.PAGE_VIEWS, TOTAL_REVENUE = s.TOTAL_REVENUE,
      SLUICEBOX_VERSION = s.SLUICEBOX_VERSION
    WHEN NOT MATCHED AND NOT s.SLUICEBOX_DELETED THEN INSERT (CUSTOMER_ID, EVENT_DATE, PAGE_VIEWS, TOTAL_REVENUE, SLUICEBOX_VERSION)
      VALUES (s.CUSTOMER_ID, s.EVENT_DATE, s.PAGE_VIEWS, s.TOTAL_REVENUE, s.SLUICEBOX_VERSION);
    INSERT INTO KAFKA_EVENTS_SILVER (EVENT_ID, AMOUNT, EVENT_TIMESTAMP) SELECT s.EVENT_ID, s.AMOUNT, s.EVENT_TIMESTAMP FROM (
        SELECT $1:event_id::VARCHAR AS EVENT_ID, $1:amount::NUMBER(18,2) AS AMOUNT, $1:event_timestamp::TIMESTAMP_NTZ(6) AS EVENT_TIMESTAMP,
               $1:_offset::NUMBER(19,0) AS SLUICEBOX_OFFSET, 0 AS SLUICEBOX_PARTITION
        FROM '@KAFKA_STREAMING_STAGE/clean_events/0/00000000000000000000-00000000000000000042.parquet' (FILE_FORMAT => 'SLUICEBOX_PARQUET')) s
      JOIN SLUICEBOX_CONTROL c ON c.topic = 'clean_events' AND c.partition_id = s.SLUICEBOX_PARTITION
      WHERE s.SLUICEBOX_OFFSET >= c.next_offset AND (c.partition_id = 0 AND c.fence = $F);
    UPDATE SLUICEBOX_CONTROL SET next_offset = CASE WHEN topic = 'clean_events' AND partition_id = 0 THEN 43
        WHEN topic = 'customer_daily_metrics' AND partition_id = 0 THEN 42 WHEN topic = 'customer_daily_metrics' AND partition_id = 1 THEN 42 END
      WHERE (topic = 'clean_events' AND partition_id = 0 AND fence = $F AND next_offset = 0)
        OR (topic = 'customer_daily_metrics' AND partition_id = 0 AND fence = $F AND next_offset = 0)
        OR (topic = 'customer_daily_metrics' AND partition_id = 1 AND fence = $F AND next_offset = 0);
    SELECT topic, partition_id, next_offset, fence FROM SLUICEBOX_CONTROL WHERE topic IN ('clean_events', 'customer_daily_metrics');
    COMMIT"
        .replace("$F", &fence)
}

async fn stage(engine: &Engine, name: &str, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let schema: Arc<Schema> = batch.schema();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, None).unwrap();
    writer.write(&batch).unwrap();
    let bytes = writer.into_inner().unwrap();
    let path = Path::from(format!("bucket/prefix/{name}"));
    engine.stage_files().put(&path, bytes.into()).await.unwrap();
}

async fn metrics(engine: &Engine, partition: u32, rows: &[(&str, i64, i128, bool, i64)]) {
    let name = format!(
        "customer_daily_metrics/{partition}/00000000000000000000-00000000000000000041.parquet"
    );
    let cents = Decimal128Array::from_iter_values(rows.iter().map(|row| row.2));
    stage(
        engine,
        &name,
        vec![
            (
                "customer_id",
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
            ),
            (
                "event_date",
                Arc::new(Date32Array::from_iter_values(rows.iter().map(|_| 20_735))),
            ),
            (
                "page_views",
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))),
            ),
            (
                "total_revenue",
                Arc::new(cents.with_precision_and_scale(28, 2).unwrap()),
            ),
            (
                "_deleted",
                Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(row.3)))),
            ),
            (
                "_offset",
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.4))),
            ),
        ],
    )
    .await;
}

/// A warehouse with its objects, staged files and raised fences.
async fn prepared() -> (Engine, Session) {
    let (engine, mut session) = warehouse().await;
    run(&mut session, OBJECTS).await;
    metrics(
        &engine,
        0,
        &[
            ("CUST_1", 1, 100, false, 3),
            ("CUST_1", 2, 250, false, 7),
            ("CUST_2", 5, 0, false, 8),
            ("CUST_9", 1, 1, true, 9),
        ],
    )
    .await;
    metrics(&engine, 1, &[("CUST_3", 1, 999, false, 41)]).await;
    let amounts = Decimal128Array::from_iter_values([1250, 99])
        .with_precision_and_scale(18, 2)
        .unwrap();
    stage(
        &engine,
        "clean_events/0/00000000000000000000-00000000000000000042.parquet",
        vec![
            (
                "event_id",
                Arc::new(StringArray::from(vec!["e1", "e2"])) as ArrayRef,
            ),
            ("amount", Arc::new(amounts)),
            (
                "event_timestamp",
                Arc::new(TimestampMicrosecondArray::from(vec![
                    Some(1_791_549_296_123_456),
                    None,
                ])),
            ),
            ("_offset", Arc::new(Int64Array::from(vec![10, 42]))),
        ],
    )
    .await;
    run(&mut session, RAISE).await;
    (engine, session)
}

const METRICS: &str = "SELECT * FROM CUSTOMER_DAILY_METRICS ORDER BY 1";
const SILVER: &str = "SELECT * FROM KAFKA_EVENTS_SILVER ORDER BY 1";

#[tokio::test]
async fn a_load_run_twice_counts_once() {
    let (_, mut session) = prepared().await;
    let loaded = [
        "CUST_1|20735|2|2.50|7",
        "CUST_2|20735|5|0.00|8",
        "CUST_3|20735|1|9.99|41",
    ];
    for attempt in 1..=2 {
        run(&mut session, &load(1)).await;
        assert_eq!(
            rows(&mut session, METRICS).await,
            loaded,
            "attempt {attempt}"
        );
        assert_eq!(
            rows(&mut session, SILVER).await,
            ["e1|12.50|1791549296.123456", "e2|0.99|-"],
            "attempt {attempt}"
        );
        assert_eq!(
            rows(&mut session, "SELECT topic, partition_id, next_offset, fence, loads FROM SLUICEBOX_CONTROL ORDER BY 1, 2").await,
            [
                format!("clean_events|0|43|1|{attempt}"),
                format!("customer_daily_metrics|0|42|1|{attempt}"),
                format!("customer_daily_metrics|1|42|1|{attempt}")
            ]
        );
    }
}

#[tokio::test]
async fn a_load_with_a_stale_fence_changes_nothing() {
    let (_, mut session) = prepared().await;
    let raised = run(&mut session, &RAISE.replace("COMMIT", "")).await;
    run(&mut session, "COMMIT").await;
    assert_eq!(lines(&raised).len(), 3);
    run(&mut session, &load(1)).await;
    assert!(rows(&mut session, METRICS).await.is_empty());
    assert!(rows(&mut session, SILVER).await.is_empty());
    assert_eq!(
        rows(
            &mut session,
            "SELECT SUM(next_offset), MIN(fence), SUM(loads) FROM SLUICEBOX_CONTROL"
        )
        .await,
        ["0|2|0"]
    );
    run(&mut session, &load(2)).await;
    assert_eq!(rows(&mut session, METRICS).await.len(), 3);
}

#[tokio::test]
async fn a_fence_is_raised_after_the_load_that_has_begun() {
    let (engine, mut owner) = prepared().await;
    let mut next = another(&engine).await;
    let load = load(1);
    let statements = Session::split(&load).unwrap();
    for statement in &statements[..statements.len() - 1] {
        run(&mut owner, statement).await;
    }
    run(&mut next, "BEGIN").await;
    let raise = Session::split(RAISE).unwrap()[1].clone();
    let raising = async { run(&mut next, &raise).await };
    let committing = async { run(&mut owner, "COMMIT").await };
    tokio::join!(raising, committing);
    let seen = rows(
        &mut next,
        "SELECT topic, next_offset, fence FROM SLUICEBOX_CONTROL ORDER BY topic, partition_id",
    )
    .await;
    assert_eq!(
        seen,
        [
            "clean_events|43|2",
            "customer_daily_metrics|42|2",
            "customer_daily_metrics|42|2"
        ]
    );
    run(&mut next, "COMMIT").await;
    assert_eq!(rows(&mut next, SILVER).await.len(), 2);
}

#[tokio::test]
async fn an_upsert_never_goes_backwards() {
    let (engine, mut session) = prepared().await;
    run(&mut session, &load(1)).await;
    metrics(
        &engine,
        0,
        &[("CUST_1", 9, 9, false, 6), ("CUST_2", 0, 0, true, 50)],
    )
    .await;
    run(
        &mut session,
        "UPDATE SLUICEBOX_CONTROL SET next_offset = 0 WHERE topic = 'customer_daily_metrics'",
    )
    .await;
    run(&mut session, &load(1)).await;
    assert_eq!(
        rows(&mut session, METRICS).await,
        ["CUST_1|20735|2|2.50|7", "CUST_3|20735|1|9.99|41"]
    );
}

#[tokio::test]
async fn staged_files_are_found_by_prefix() {
    let (_, mut session) = prepared().await;
    let count = |path: &str| {
        format!(
            "SELECT COUNT(*) FROM '@KAFKA_STREAMING_STAGE/{path}' (FILE_FORMAT => 'SLUICEBOX_PARQUET')"
        )
    };
    for (path, expected) in [
        ("customer_daily_metrics/", "5"),
        ("customer_daily_metrics/0/0", "4"),
        ("nothing/", "0"),
    ] {
        assert_eq!(rows(&mut session, &count(path)).await, [expected], "{path}");
    }
    let error = fail(&mut session, &count("customer_daily_metrics/9.parquet")).await;
    assert_eq!(error.code, "091016");
    assert_eq!(
        rows(&mut session, "SELECT $1:nosuch::VARCHAR, $1:event_id, $1:_offset::NUMBER FROM @KAFKA_STREAMING_STAGE/clean_events/ (FILE_FORMAT => SLUICEBOX_PARQUET) ORDER BY 3").await,
        ["-|\"e1\"|10", "-|\"e2\"|42"]
    );
    let listed = rows(
        &mut session,
        "LIST @KAFKA_STREAMING_STAGE/customer_daily_metrics/",
    )
    .await;
    assert_eq!(listed.len(), 2);
    assert!(
        listed[0].starts_with("s3://bucket/prefix/customer_daily_metrics/0/00000000000000000000-"),
        "{listed:?}"
    );
    run(
        &mut session,
        "REMOVE @KAFKA_STREAMING_STAGE/customer_daily_metrics/",
    )
    .await;
    assert!(
        rows(
            &mut session,
            "LIST '@KAFKA_STREAMING_STAGE/customer_daily_metrics/'"
        )
        .await
        .is_empty()
    );
    let place = session
        .stage("@d.s.kafka_streaming_stage/x", StageUse::Write)
        .unwrap();
    assert_eq!(
        (place.bucket.as_str(), place.prefix.as_str()),
        ("bucket", "prefix/")
    );
}

#[tokio::test]
async fn a_stage_and_its_format_need_usage() {
    let (engine, mut admin) = prepared().await;
    engine
        .register_user(&User {
            name: "SERVICE".to_owned(),
            public_keys: vec![],
            default_role: Some("LOADER".to_owned()),
            roles: vec![],
        })
        .unwrap();
    run(
        &mut admin,
        "GRANT USAGE ON DATABASE D TO ROLE LOADER; GRANT USAGE ON SCHEMA D.S TO ROLE LOADER; GRANT USAGE ON WAREHOUSE COMPUTE_WH TO ROLE LOADER;
         CREATE STAGE INSIDE ENCRYPTION = (TYPE = 'SNOWFLAKE_SSE'); CREATE STAGE PLAIN; GRANT READ, WRITE ON STAGE INSIDE TO ROLE LOADER",
    )
    .await;
    let mut loader = engine
        .session(SessionContext {
            user: "SERVICE".to_owned(),
            database: Some("D".to_owned()),
            schema: Some("S".to_owned()),
            warehouse: Some("COMPUTE_WH".to_owned()),
            ..SessionContext::default()
        })
        .unwrap();
    let sql = "SELECT COUNT(*) FROM @KAFKA_STREAMING_STAGE/clean_events/ (FILE_FORMAT => 'SLUICEBOX_PARQUET')";
    for grant in [
        "GRANT USAGE ON STAGE KAFKA_STREAMING_STAGE TO ROLE LOADER",
        "GRANT USAGE ON FILE FORMAT SLUICEBOX_PARQUET TO ROLE LOADER",
    ] {
        assert_eq!(
            fail(&mut loader, sql).await.code,
            "002003",
            "before {grant}"
        );
        run(&mut admin, grant).await;
    }
    assert_eq!(rows(&mut loader, sql).await, ["2"]);
    let inside = loader.stage("@INSIDE", StageUse::Write).unwrap();
    assert_eq!(
        (
            inside.bucket.as_str(),
            inside.prefix.as_str(),
            inside.encryption
        ),
        ("internal", "D/S/INSIDE/", StageEncryption::SnowflakeSse)
    );
    assert_eq!(
        admin.stage("PLAIN", StageUse::Write).unwrap().encryption,
        StageEncryption::SnowflakeFull
    );
    assert_eq!(
        loader.stage("PLAIN", StageUse::Write).unwrap_err().code,
        "002003"
    );
}

#[tokio::test]
async fn a_stage_may_be_a_folder() {
    let (_, mut session) = prepared().await;
    let folder = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(folder.path().join("part-1.parquet")).unwrap();
    let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
    let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let url = format!("file://{}/", folder.path().display());
    run(
        &mut session,
        &format!(
            "CREATE STAGE LOCAL URL = '{url}' FILE_FORMAT = (FORMAT_NAME = 'SLUICEBOX_PARQUET')"
        ),
    )
    .await;
    assert_eq!(
        rows(
            &mut session,
            "SELECT SUM($1:n::NUMBER), COUNT(*) FROM @LOCAL/part-1.parquet"
        )
        .await,
        ["4|3"]
    );
    assert_eq!(rows(&mut session, "LIST @LOCAL").await.len(), 1);
}
