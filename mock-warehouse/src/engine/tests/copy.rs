//! COPY INTO: which files are loaded, once; how columns are found; what errors do.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use object_store::{ObjectStoreExt, path::Path};
use parquet::arrow::ArrowWriter;

use super::{Engine, Session, SessionContext, User, another, fail, lines, rows, run, warehouse};

const NOTHING: &str = "Copy executed with 0 files processed.";

/// Stages a Parquet file with the columns `id` and `Name`.
async fn staged(engine: &Engine, path: &str, values: &[(i64, Option<&str>)]) {
    let ids: ArrayRef = Arc::new(values.iter().map(|(id, _)| *id).collect::<Int64Array>());
    let names: ArrayRef = Arc::new(
        values
            .iter()
            .map(|(_, name)| *name)
            .collect::<StringArray>(),
    );
    let batch =
        RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("Name", names, true)])
            .unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    put(engine, path, bytes).await;
}

async fn put(engine: &Engine, path: &str, bytes: Vec<u8>) {
    let path = Path::from(format!("internal/D/S/ST/{path}"));
    engine.stage_files().put(&path, bytes.into()).await.unwrap();
}

/// A warehouse with the stage ST, the table T and two files.
async fn prepared() -> (Engine, Session) {
    let (engine, mut session) = warehouse().await;
    run(
        &mut session,
        "CREATE FILE FORMAT pq TYPE = PARQUET; CREATE STAGE st ENCRYPTION = (TYPE = 'SNOWFLAKE_SSE');
         CREATE TABLE t (id NUMBER(10,0), name VARCHAR(5), more NUMBER DEFAULT 7)",
    )
    .await;
    staged(&engine, "x/a.parquet", &[(1, Some("one")), (2, None)]).await;
    staged(&engine, "x/b.parquet", &[(3, Some("three"))]).await;
    (engine, session)
}

const BY_NAME: &str = "COPY INTO t FROM @st/x/ FILE_FORMAT = (TYPE = PARQUET) MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE";

#[tokio::test]
async fn a_file_is_copied_once() {
    let (engine, mut session) = prepared().await;
    let grid = run(&mut session, BY_NAME).await;
    assert_eq!(
        lines(&grid),
        [
            "st/x/a.parquet|LOADED|2|2|1|0|-|-|-|-",
            "st/x/b.parquet|LOADED|1|1|1|0|-|-|-|-"
        ]
    );
    let names: Vec<&str> = grid
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "file",
            "status",
            "rows_parsed",
            "rows_loaded",
            "error_limit",
            "errors_seen",
            "first_error",
            "first_error_line",
            "first_error_character",
            "first_error_column_name"
        ]
    );
    assert_eq!(grid.stats.unwrap().rows_inserted, 3);
    let again = run(&mut session, BY_NAME).await;
    assert_eq!(
        (again.columns[0].name.as_str(), lines(&again)),
        ("status", vec![NOTHING.to_owned()])
    );
    assert_eq!(
        rows(&mut session, "SELECT * FROM t ORDER BY id").await,
        ["1|one|-", "2|-|-", "3|three|-"],
        "a column that the file does not have is NULL, not its default"
    );
    staged(&engine, "x/b.parquet", &[(4, Some("four"))]).await;
    assert_eq!(
        rows(&mut session, BY_NAME).await,
        ["st/x/b.parquet|LOADED|1|1|1|0|-|-|-|-"],
        "a file that changed is another one"
    );
    run(&mut session, &format!("{BY_NAME} FORCE = TRUE")).await;
    assert_eq!(rows(&mut session, "SELECT COUNT(*) FROM t").await, ["7"]);
    run(&mut session, "TRUNCATE TABLE t").await;
    assert_eq!(
        run(&mut session, BY_NAME).await.rows.len(),
        2,
        "TRUNCATE forgets"
    );
}

#[tokio::test]
async fn what_a_rolled_back_copy_loaded_is_loaded_again() {
    let (_, mut session) = prepared().await;
    run(&mut session, "BEGIN").await;
    assert_eq!(run(&mut session, BY_NAME).await.rows.len(), 2);
    assert_eq!(rows(&mut session, BY_NAME).await, [NOTHING]);
    run(&mut session, "ROLLBACK").await;
    assert_eq!(rows(&mut session, "SELECT COUNT(*) FROM t").await, ["0"]);
    assert_eq!(run(&mut session, BY_NAME).await.rows.len(), 2);
}

#[tokio::test]
async fn a_copy_takes_no_lock() {
    let (engine, mut session) = prepared().await;
    run(
        &mut session,
        "INSERT INTO t (id) VALUES (9); BEGIN; UPDATE t SET id = 8",
    )
    .await;
    let mut other = another(&engine).await;
    run(&mut other, "ALTER SESSION SET LOCK_TIMEOUT = 0").await;
    assert_eq!(run(&mut other, BY_NAME).await.rows.len(), 2);
    run(&mut session, "COMMIT").await;
    assert_eq!(
        rows(&mut session, "SELECT COUNT(*), MAX(id) FROM t").await,
        ["4|8"]
    );
}

#[tokio::test]
async fn files_and_patterns_choose() {
    let (engine, mut session) = prepared().await;
    staged(&engine, "x/c-1.parquet", &[(5, None)]).await;
    let chosen = |clause: &str| format!("{BY_NAME} {clause}");
    assert_eq!(
        rows(&mut session, &chosen("FILES = ('b.parquet')")).await,
        ["st/x/b.parquet|LOADED|1|1|1|0|-|-|-|-"]
    );
    assert_eq!(
        rows(&mut session, &chosen("PATTERN = 'c'")).await,
        [NOTHING]
    );
    assert_eq!(
        rows(&mut session, &chosen("PATTERN = '.*/c-[0-9][.]parquet'")).await,
        ["st/x/c-1.parquet|LOADED|1|1|1|0|-|-|-|-"]
    );
    let error = fail(&mut session, &chosen("FILES = ('nosuch.parquet')")).await;
    assert_eq!(error.code, "091016");
    assert!(
        error
            .message
            .starts_with("Remote file '@st/x/nosuch.parquet' was not found."),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn columns_are_matched_by_name_or_computed() {
    let (_, mut session) = prepared().await;
    let exact = BY_NAME.replace("CASE_INSENSITIVE", "CASE_SENSITIVE");
    run(&mut session, "CREATE TABLE e (\"Name\" VARCHAR, ID NUMBER)").await;
    run(&mut session, &exact.replace("INTO t", "INTO e")).await;
    assert_eq!(
        rows(&mut session, "SELECT * FROM e ORDER BY 1 NULLS LAST").await,
        ["one|-", "three|-", "-|-"]
    );
    run(
        &mut session,
        "COPY INTO t (name, id) FROM (SELECT UPPER($1:Name::VARCHAR), $1:id * 10 FROM @st/x/a.parquet) FILE_FORMAT = (FORMAT_NAME = 'PQ')",
    )
    .await;
    assert_eq!(
        rows(&mut session, "SELECT * FROM t ORDER BY id").await,
        ["10|ONE|7", "20|-|7"],
        "a column that is not listed has its default"
    );
    run(
        &mut session,
        "CREATE TABLE v (v VARIANT); COPY INTO v FROM @st/x/ FILE_FORMAT = (TYPE = 'PARQUET')",
    )
    .await;
    assert_eq!(
        rows(
            &mut session,
            "SELECT v:id::NUMBER, v:Name::VARCHAR FROM v ORDER BY 1"
        )
        .await,
        ["1|one", "2|-", "3|three"]
    );
    let error = fail(
        &mut session,
        "COPY INTO t FROM @st/x/ FILE_FORMAT = (TYPE = PARQUET)",
    )
    .await;
    assert_eq!(error.code, "002019");
}

#[tokio::test]
async fn a_value_that_does_not_fit_ends_the_copy_or_skips_the_file() {
    let (engine, mut session) = prepared().await;
    staged(&engine, "x/c.parquet", &[(4, Some("much too long"))]).await;
    for on_error in ["", "ON_ERROR = ABORT_STATEMENT", "ON_ERROR = CONTINUE"] {
        let error = fail(&mut session, &format!("{BY_NAME} {on_error}")).await;
        assert_eq!(error.code, "100078", "{on_error}");
    }
    assert_eq!(
        rows(&mut session, "SELECT COUNT(*) FROM t").await,
        ["0"],
        "all or nothing"
    );
    let skipping = format!("{BY_NAME} ON_ERROR = SKIP_FILE PURGE = TRUE");
    assert_eq!(
        rows(&mut session, &skipping).await[2],
        "st/x/c.parquet|LOAD_FAILED|1|0|1|1|String 'much too long' is too long and would be truncated|-|-|-"
    );
    assert_eq!(rows(&mut session, "SELECT COUNT(*) FROM t").await, ["3"]);
    assert_eq!(
        run(&mut session, "LIST @st").await.rows.len(),
        1,
        "what was loaded is gone"
    );
    run(
        &mut session,
        "CREATE OR REPLACE TABLE t (id NUMBER, name VARCHAR)",
    )
    .await;
    assert_eq!(
        rows(&mut session, &skipping).await,
        ["st/x/c.parquet|LOADED|1|1|1|0|-|-|-|-"],
        "what failed may be tried again"
    );
}

#[tokio::test]
async fn a_file_that_is_no_parquet_is_skipped_where_errors_may_be() {
    let (engine, mut session) = prepared().await;
    put(&engine, "x/0.parquet", b"this is no Parquet file".to_vec()).await;
    assert_eq!(fail(&mut session, BY_NAME).await.code, "100100");
    let grid = rows(
        &mut session,
        &format!("{BY_NAME} ON_ERROR = CONTINUE RETURN_FAILED_ONLY = TRUE"),
    )
    .await;
    assert_eq!(grid.len(), 1);
    assert!(
        grid[0].starts_with("st/x/0.parquet|LOAD_FAILED|0|0|1|1|Error reading the Parquet file"),
        "{grid:?}"
    );
    assert_eq!(rows(&mut session, "SELECT COUNT(*) FROM t").await, ["3"]);
    assert_eq!(
        rows(
            &mut session,
            "SELECT FILE_NAME, STATUS, ROW_COUNT FROM INFORMATION_SCHEMA.LOAD_HISTORY WHERE TABLE_NAME = 'T' ORDER BY 1"
        )
        .await,
        ["D.S.ST/x/0.parquet|LOAD_FAILED|0", "D.S.ST/x/a.parquet|LOADED|2", "D.S.ST/x/b.parquet|LOADED|1"]
    );
}

#[tokio::test]
async fn formats_that_are_not_known_are_refused_by_name() {
    let (_, mut session) = prepared().await;
    for (sql, expected) in [
        (
            "COPY INTO t FROM @st FILE_FORMAT = (TYPE = CSV SKIP_HEADER = 1)",
            "COPY OF CSV FILES",
        ),
        (
            "COPY INTO t FROM @st FILE_FORMAT = (TYPE = JSON)",
            "COPY OF JSON FILES",
        ),
        ("COPY INTO t FROM @st", "STAGED FILES THAT ARE NOT PARQUET"),
        ("COPY INTO @st FROM t", "COPY INTO A LOCATION"),
        (
            "COPY INTO t FROM @st FILE_FORMAT = (TYPE = PARQUET) SIZE_LIMIT = 10",
            "COPY WITH SIZE_LIMIT",
        ),
    ] {
        let error = fail(&mut session, sql).await;
        assert_eq!(
            (error.code.as_str(), error.message),
            ("000002", format!("Unsupported feature '{expected}'.")),
            "{sql}"
        );
    }
}

#[tokio::test]
async fn a_copy_needs_its_privileges() {
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
        "GRANT USAGE ON DATABASE D TO ROLE LOADER; GRANT USAGE ON SCHEMA S TO ROLE LOADER;
         GRANT SELECT ON TABLE t TO ROLE LOADER",
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
    let sql = BY_NAME.replace("TYPE = PARQUET", "FORMAT_NAME = 'PQ'");
    for (grant, code) in [
        ("GRANT INSERT ON TABLE t TO ROLE LOADER", "003001"),
        ("GRANT READ ON STAGE st TO ROLE LOADER", "002003"),
        ("GRANT USAGE ON FILE FORMAT pq TO ROLE LOADER", "002003"),
        (
            "GRANT USAGE ON WAREHOUSE COMPUTE_WH TO ROLE LOADER",
            "000606",
        ),
    ] {
        assert_eq!(fail(&mut loader, &sql).await.code, code, "before {grant}");
        run(&mut admin, grant).await;
    }
    assert_eq!(run(&mut loader, &sql).await.rows.len(), 2);
}
