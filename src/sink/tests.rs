//! Whole loads against the mock warehouse, which reads the staged files and runs the statements.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mock_warehouse::engine::{Bindings, Engine};
use mock_warehouse::{Config, Faults, MockWarehouse};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::buffer::Record;
use super::control::{BoundError, ControlTable};
use super::load::Objects;
use super::loader::BETWEEN_LOOKS;
use super::table::TargetTable;
use super::{Limits, Sink, SinkError};
use crate::broker::{NextOffset, Partition};
use crate::keys::tests::PAIR;
use crate::sql::types::{Column, SqlType};
use crate::warehouse::stage::Stage;
use crate::warehouse::tests::hurried;
use crate::warehouse::{self, Client};

const SET_UP: [&str; 7] = [
    "CREATE DATABASE DB",
    "CREATE SCHEMA DB.S",
    "CREATE TABLE DB.S.SLUICEBOX_CONTROL (TOPIC VARCHAR NOT NULL, PARTITION_ID NUMBER(10,0) NOT NULL, \
     NEXT_OFFSET NUMBER(19,0) NOT NULL, FENCE NUMBER(19,0) NOT NULL, LOADS NUMBER(19,0) NOT NULL, SOURCE VARCHAR, TARGET VARCHAR)",
    "CREATE TABLE DB.S.TOTALS (ID VARCHAR, DAY DATE, TOTAL NUMBER(28,2), SLUICEBOX_VERSION NUMBER(19,0) NOT NULL)",
    "CREATE TABLE DB.S.EVENTS (ID VARCHAR, VIEWS NUMBER(19,0), RATIO FLOAT, IS_NEW BOOLEAN, AT TIMESTAMP_NTZ(6))",
    "CREATE FILE FORMAT DB.S.SLUICEBOX_PARQUET TYPE = PARQUET USE_LOGICAL_TYPE = TRUE BINARY_AS_TEXT = FALSE",
    "CREATE STAGE DB.S.KAFKA_STAGE ${location}",
];

/// What a loader may do, and no more.
const GRANTS: [&str; 8] = [
    "GRANT USAGE ON DATABASE DB TO ROLE LOADER",
    "GRANT USAGE ON SCHEMA DB.S TO ROLE LOADER",
    "GRANT USAGE ON WAREHOUSE COMPUTE_WH TO ROLE LOADER",
    "GRANT USAGE ON FILE FORMAT DB.S.SLUICEBOX_PARQUET TO ROLE LOADER",
    "GRANT READ, WRITE ON STAGE DB.S.KAFKA_STAGE TO ROLE LOADER",
    "GRANT SELECT, INSERT, UPDATE ON TABLE DB.S.SLUICEBOX_CONTROL TO ROLE LOADER",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE DB.S.TOTALS TO ROLE LOADER",
    "GRANT SELECT, INSERT ON TABLE DB.S.EVENTS TO ROLE LOADER",
];

/// What topics are, unless a test says otherwise.
pub(super) const SOURCE: &str = "cluster=c topic=t";

/// A served mock warehouse with the tables of two topics, and its stage.
pub(super) struct Scene {
    pub(super) folder: tempfile::TempDir,
    pub(super) client: Client,
    pub(super) engine: Engine,
    pub(super) faults: Faults,
    config: warehouse::Config,
    _server: JoinSet<std::io::Result<()>>,
}

impl Scene {
    /// One whose stage is a folder, and whose role may do everything.
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = stage_url(&folder);
        let location = format!("URL = '{url}'");
        Self::with(folder, "ACCOUNTADMIN", &location, url, &[]).await
    }

    /// One whose stage is the warehouse's own, and whose role may load and no more.
    pub(super) async fn of_a_loader() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = "ENCRYPTION = (TYPE = 'SNOWFLAKE_SSE')";
        Self::with(folder, "LOADER", location, String::new(), &GRANTS).await
    }

    async fn with(
        folder: tempfile::TempDir,
        role: &str,
        location: &str,
        stage_url: String,
        grants: &[&str],
    ) -> Self {
        let key = PAIR.public().to_pem().parse().unwrap();
        let config = Config::new("MYORG-MYACCT").with_user("KAFKA_SERVICE", role, key);
        let warehouse = MockWarehouse::open(config).unwrap();
        let mut admin = warehouse.engine().admin();
        for sql in SET_UP.iter().chain(grants) {
            let sql = sql.replace("${location}", location);
            let done = admin.execute(&sql, &Bindings::new()).await;
            done.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = warehouse::Config {
            account: "myorg-myacct".to_owned(),
            user: "KAFKA_SERVICE".to_owned(),
            role: role.to_owned(),
            database: "DB".to_owned(),
            schema: "S".to_owned(),
            warehouse: "COMPUTE_WH".to_owned(),
            url: format!("http://{}", listener.local_addr().unwrap()),
            private_key_file: "unused.p8".into(),
            stage: "KAFKA_STAGE".to_owned(),
            stage_url,
            ..warehouse::Config::default()
        };
        let client = hurried(Client::new(&config, &PAIR).unwrap());
        let engine = warehouse.engine().clone();
        let faults = warehouse.faults().clone();
        let mut server = JoinSet::new();
        server.spawn(warehouse.serve(listener, CancellationToken::new()));
        Self {
            folder,
            client,
            engine,
            faults,
            config,
            _server: server,
        }
    }

    /// A sink that has taken over both partitions of both topics.
    async fn sink(&self) -> (Sink, Vec<i64>) {
        let mut sink = self.new_sink();
        let starts = sink.take_over(&partitions()).await.unwrap();
        (sink, starts)
    }

    /// A sink that has taken over nothing.
    pub(super) fn new_sink(&self) -> Sink {
        let column = |(name, sql_type): (&str, SqlType)| Column {
            name: name.to_owned(),
            sql_type,
        };
        let total = SqlType::Decimal {
            precision: 28,
            scale: 2,
        };
        let totals = [
            ("id", SqlType::Varchar),
            ("day", SqlType::Date),
            ("total", total),
        ]
        .map(column);
        let events = [
            ("id", SqlType::Varchar),
            ("views", SqlType::BigInt),
            ("ratio", SqlType::Double),
            ("is_new", SqlType::Boolean),
            ("at", SqlType::Timestamp),
        ]
        .map(column);
        let tables = vec![
            TargetTable::upsert("totals", "totals", totals.to_vec(), &["id", "day"]).unwrap(),
            TargetTable::append("events", "events", events.to_vec()).unwrap(),
        ];
        let objects = Objects {
            control: ControlTable::new("SLUICEBOX_CONTROL"),
            stage: "KAFKA_STAGE".to_owned(),
            file_format: "SLUICEBOX_PARQUET".to_owned(),
        };
        let limits = Limits {
            interval: Duration::from_secs(10),
            rows: 1000,
            bytes: 1 << 20,
        };
        let stage = Stage::open(&self.client.without_retries(), &self.config).unwrap();
        Sink::new(&self.client, stage, objects, limits, tables)
    }

    pub(super) async fn rows(&self, sql: &str) -> Vec<String> {
        let answer = self.client.execute(sql).await.unwrap();
        let cell = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "NULL".to_owned());
        answer
            .rows
            .iter()
            .map(|row| row.iter().map(cell).collect::<Vec<_>>().join(" "))
            .collect()
    }

    pub(super) async fn totals(&self) -> Vec<String> {
        self.rows("SELECT ID, DAY, TOTAL, SLUICEBOX_VERSION FROM TOTALS ORDER BY ID")
            .await
    }
}

/// Both partitions of both topics.
fn partitions() -> Vec<Partition> {
    let both = |topic: &str| {
        [0, 1].map(|number| Partition {
            topic: topic.to_owned(),
            number,
        })
    };
    ["totals", "events"].map(both).concat()
}

fn stage_url(folder: &tempfile::TempDir) -> String {
    format!("file://{}/", folder.path().display())
}

fn push(sink: &mut Sink, at: (&str, i32), offset: i64, key: &str, value: Option<&str>) {
    let record = Record {
        offset,
        timestamp_ms: 0,
        key: Some(key.as_bytes()),
        value: value.map(str::as_bytes),
    };
    sink.push(at.0, at.1, record, Instant::now()).unwrap();
}

/// A gold row of the first day of 1970; without a total, a tombstone.
pub(super) fn total(sink: &mut Sink, partition: i32, offset: i64, id: &str, total: Option<&str>) {
    let key = format!(r#"{{"id":"{id}","day":"1970-01-02"}}"#);
    let value = total.map(|total| format!(r#"{{"id":"{id}","day":"1970-01-02","total":{total}}}"#));
    push(sink, ("totals", partition), offset, &key, value.as_deref());
}

pub(super) fn event(sink: &mut Sink, offset: i64, value: &str) {
    push(sink, ("events", 0), offset, "k", Some(value));
}

#[tokio::test(flavor = "multi_thread")]
async fn upserts_deletes_and_appends_arrive_in_one_load() {
    let scene = Scene::new().await;
    let (mut sink, starts) = scene.sink().await;
    assert_eq!(starts, [0, 0, 0, 0]);
    total(&mut sink, 0, 0, "a", Some("1.50"));
    total(&mut sink, 0, 1, "b", Some("2.00"));
    total(&mut sink, 1, 0, "c", Some("-3.25"));
    total(&mut sink, 0, 2, "a", Some("4.75"));
    event(
        &mut sink,
        3,
        r#"{"id":"x","views":7,"ratio":0.5,"is_new":true,"at":"1970-01-01T00:00:01.5Z"}"#,
    );
    event(&mut sink, 4, "{}");
    let flushed = sink.flush().await.unwrap().unwrap().flushed;
    assert_eq!((flushed.rows, flushed.files), (5, 3));
    assert_eq!(
        scene.totals().await,
        ["a 1 4.75 2", "b 1 2.00 1", "c 1 -3.25 0"]
    );
    let events = "SELECT ID, VIEWS, RATIO, IS_NEW, AT FROM EVENTS ORDER BY ID";
    assert_eq!(
        scene.rows(events).await,
        ["x 7 0.5 true 1.500000", "NULL NULL NULL NULL NULL"]
    );

    total(&mut sink, 0, 5, "a", None);
    total(&mut sink, 0, 6, "never-was", None);
    total(&mut sink, 0, 7, "b", Some("2.01"));
    sink.flush().await.unwrap().unwrap();
    assert_eq!(scene.totals().await, ["b 1 2.01 7", "c 1 -3.25 0"]);
    let control = "SELECT TOPIC, PARTITION_ID, NEXT_OFFSET, FENCE, LOADS FROM SLUICEBOX_CONTROL ORDER BY TOPIC, PARTITION_ID";
    assert_eq!(
        scene.rows(control).await,
        [
            "events 0 5 1 1",
            "events 1 0 1 0",
            "totals 0 8 1 2",
            "totals 1 1 1 1"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_with_nothing_new_sends_nothing() {
    let scene = Scene::of_a_loader().await;
    let (mut sink, _) = scene.sink().await;
    total(&mut sink, 0, 0, "a", Some("1.50"));
    sink.flush().await.unwrap().unwrap();
    let before = scene.faults.counters();
    assert!(
        before.statements > 0 && before.bytes_staged > 0,
        "{before:?}"
    );
    for _ in 0..3 {
        assert!(sink.flush().await.unwrap().is_none());
    }
    assert_eq!(scene.faults.counters(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_was_overtaken_changes_nothing() {
    let scene = Scene::new().await;
    let (mut old, _) = scene.sink().await;
    total(&mut old, 0, 0, "a", Some("1.00"));
    event(&mut old, 0, r#"{"id":"x"}"#);
    old.flush().await.unwrap().unwrap();
    total(&mut old, 0, 1, "a", Some("9.00"));
    event(&mut old, 1, r#"{"id":"y"}"#);

    let (mut new, starts) = scene.sink().await;
    assert_eq!(starts, [1, 0, 1, 0]);
    let settled = old.flush().await.unwrap().unwrap();
    assert_eq!((settled.fenced.len(), settled.flushed.rows), (2, 0));
    assert_eq!(scene.totals().await, ["a 1 1.00 0"]);
    assert_eq!(scene.rows("SELECT ID FROM EVENTS").await, ["x"]);

    event(&mut new, 1, r#"{"id":"y"}"#);
    new.flush().await.unwrap().unwrap();
    assert_eq!(
        scene.rows("SELECT ID FROM EVENTS ORDER BY ID").await,
        ["x", "y"]
    );
}

/// A file that vanished from the stage, or was cut short, between its upload and the load: without the load's second statement
/// it would load as fewer rows, and `next_offset` would move over the rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_staged_file_that_is_gone_or_short_is_written_again_and_no_row_is_lost() {
    let scene = Scene::new().await;
    // A file of the same name with one row less in it.
    let (mut others, _) = scene.sink().await;
    total(&mut others, 0, 0, "a", Some("1.00"));
    total(&mut others, 0, 1, "a", Some("9.00"));
    let short = others.begin().unwrap().unwrap();
    let (mut sink, _) = scene.sink().await;
    total(&mut sink, 0, 0, "a", Some("1.00"));
    total(&mut sink, 0, 1, "b", Some("2.00"));
    total(&mut sink, 1, 0, "c", Some("3.00"));
    let pending = sink.begin().unwrap().unwrap();
    pending.staged.store(true, Ordering::Relaxed);
    let (path, bytes) = &short.files[0];
    assert_eq!(*path, pending.files[0].0);
    let file = scene.folder.path().join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, bytes).unwrap();

    sink.flush().await.unwrap().unwrap();
    assert_eq!(
        scene.totals().await,
        ["a 1 1.00 0", "b 1 2.00 1", "c 1 3.00 0"]
    );
    assert_eq!(
        sink.done()
            .iter()
            .map(|(_, next)| next.get())
            .collect::<Vec<_>>(),
        [0, 0, 2, 1]
    );
}

const FENCES: &str = "SELECT DISTINCT FENCE, SOURCE FROM SLUICEBOX_CONTROL ORDER BY FENCE";

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_made_anew_or_is_of_another_cluster_is_not_taken_over() {
    let scene = Scene::new().await;
    let (mut right, _) = scene.sink().await;
    let wrong = scene
        .new_sink()
        .take_over_of(&partitions(), "cluster=c topic=another")
        .await;
    let error = wrong.unwrap_err();
    assert!(matches!(error, SinkError::Bound(_)) && !error.is_transient());
    assert!(
        error
            .hint()
            .unwrap()
            .contains("sluicebox reset sink events")
    );
    total(&mut right, 0, 0, "a", Some("1.00"));
    let settled = right.flush().await.unwrap().unwrap();
    assert_eq!(settled.flushed.rows, 1, "who is right is not disturbed");
    assert_eq!(scene.rows(FENCES).await, ["1 cluster=c topic=t"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_table_of_an_older_version_takes_the_identity_of_what_is_there() {
    let scene = Scene::new().await;
    scene.sink().await;
    let older = "UPDATE SLUICEBOX_CONTROL SET SOURCE = NULL, TARGET = NULL";
    scene.client.execute(older).await.unwrap();
    scene.sink().await;
    assert_eq!(scene.rows(FENCES).await, ["2 cluster=c topic=t"]);
}

fn is_replaced(error: &SinkError) -> bool {
    matches!(error, SinkError::Bound(bound) if matches!(**bound, BoundError::Target { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_replaced_stops_the_next_start_and_the_running_sink() {
    let scene = Scene::new().await;
    let (mut sink, _) = scene.sink().await;
    event(&mut sink, 0, r#"{"id":"x"}"#);
    sink.flush().await.unwrap().unwrap();
    let replace = "CREATE OR REPLACE TABLE EVENTS (ID VARCHAR, VIEWS NUMBER(19,0), RATIO FLOAT, IS_NEW BOOLEAN, AT TIMESTAMP_NTZ(6))";
    scene.client.execute(replace).await.unwrap();

    let error = scene.new_sink().take_over(&partitions()).await.unwrap_err();
    assert!(is_replaced(&error), "{error}");
    event(&mut sink, 1, r#"{"id":"y"}"#);
    let loader = sink.loader();
    loader.targets.lock().unwrap().looked = Instant::now().checked_sub(BETWEEN_LOOKS);
    let error = sink.flush().await.unwrap_err();
    assert!(is_replaced(&error), "{error}");
    assert_eq!(
        scene.rows("SELECT ID FROM EVENTS").await,
        Vec::<String>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_gone_is_named() {
    let scene = Scene::new().await;
    scene.client.execute("DROP TABLE EVENTS").await.unwrap();
    let error = scene.new_sink().take_over(&partitions()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the table EVENTS does not exist"),
        "{error}"
    );
}

const NEXT: &str =
    "SELECT TOPIC, PARTITION_ID, NEXT_OFFSET FROM SLUICEBOX_CONTROL ORDER BY TOPIC, PARTITION_ID";

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_was_read_over_markers_moves_with_the_next_load_or_at_a_stop() {
    let scene = Scene::new().await;
    let (mut sink, _) = scene.sink().await;
    sink.reached("totals", 1, NextOffset::at(7)).unwrap();
    assert!(sink.is_idle() && sink.begin().unwrap().is_none());
    event(&mut sink, 0, r#"{"id":"x"}"#);
    let flushed = sink.flush().await.unwrap().unwrap().flushed;
    assert_eq!((flushed.rows, flushed.files), (1, 1));
    let moved = ["events 0 1", "events 1 0", "totals 0 0", "totals 1 7"];
    assert_eq!(scene.rows(NEXT).await, moved);

    assert!(sink.begin_without_rows().is_none(), "nothing has moved");
    sink.reached("events", 0, NextOffset::at(2)).unwrap();
    sink.reached("totals", 1, NextOffset::at(8)).unwrap();
    let pending = sink.begin_without_rows().unwrap();
    let loaded = sink.loader().load(&pending).await.unwrap();
    let settled = sink.settle(&pending, &loaded);
    assert_eq!((settled.flushed.files, settled.fenced.len()), (0, 0));
    let moved = ["events 0 2", "events 1 0", "totals 0 0", "totals 1 8"];
    assert_eq!(scene.rows(NEXT).await, moved);
    assert!(sink.begin_without_rows().is_none(), "it is done");

    // Who comes next goes on there, and the fence keeps the old one from moving anything.
    sink.reached("totals", 0, NextOffset::at(9)).unwrap();
    let (_, starts) = scene.sink().await;
    assert_eq!(starts, [2, 0, 0, 8]);
    let pending = sink.begin_without_rows().unwrap();
    let loaded = sink.loader().load(&pending).await.unwrap();
    assert_eq!(sink.settle(&pending, &loaded).fenced.len(), 1);
    assert_eq!(scene.rows(NEXT).await, moved);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_claim_writes_down_where_loading_begins_and_later_ones_do_not() {
    let scene = Scene::new().await;
    for low in [5, 9] {
        let low = NextOffset::at(low);
        let mut sink = scene.new_sink();
        let starts = sink.take_over_from(&partitions(), SOURCE, low).await;
        assert_eq!(starts.unwrap(), [5, 5, 5, 5]);
    }
}
