use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::broker::reader::tests::kafka;
use crate::broker::{Admin, GroupMember, PartitionReader};
use crate::sink::control::ControlTable;
use crate::sink::run::{Parts, Progress, run};
use crate::sink::tests::SOURCE;
use crate::sql::types::{Column, SqlType};
use crate::warehouse::tests::script::{Asked, Reply, Script, result};

/// What the loop does in pieces, in one piece.
impl Sink {
    /// Loads what waits, in one try.
    pub(crate) async fn flush(&mut self) -> Result<Option<Settled>, SinkError> {
        let Some(pending) = self.begin()? else {
            return Ok(None);
        };
        let loaded = self.loader().load(&pending).await?;
        Ok(Some(self.settle(&pending, &loaded)))
    }

    /// Raises the fences of these partitions and goes on where the warehouse stands.
    pub(crate) async fn take_over(
        &mut self,
        partitions: &[Partition],
    ) -> Result<Vec<i64>, SinkError> {
        self.take_over_of(partitions, SOURCE).await
    }

    /// The same, when the topics are these.
    pub(crate) async fn take_over_of(
        &mut self,
        partitions: &[Partition],
        source: &str,
    ) -> Result<Vec<i64>, SinkError> {
        self.take_over_from(partitions, source, NextOffset::START)
            .await
    }

    /// The same, when the partitions begin there.
    pub(crate) async fn take_over_from(
        &mut self,
        partitions: &[Partition],
        source: &str,
        low: NextOffset,
    ) -> Result<Vec<i64>, SinkError> {
        let found = partitions.iter().map(|at| {
            let source = source.to_owned();
            (at.clone(), Found { source, low })
        });
        let claim = self.claim(&found.collect())?;
        let rows = self.loader().raise(&claim).await?;
        for row in &rows {
            self.assign(row, row.next_offset)?;
        }
        Ok(rows.iter().map(|row| row.next_offset.get()).collect())
    }
}

/// What happens to the next load.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Committed,
    /// It never reached the warehouse.
    Lost,
    /// It was committed, and nobody heard of it.
    ReplyLost,
    /// Another sink raised the fence before.
    Overtaken,
}

/// A warehouse that understands a load of partition 0 of `views`, and nothing else.
struct Warehouse {
    stage: PathBuf,
    sees_stage: bool,
    fate: Fate,
    next: i64,
    fence: i64,
    advanced: i64,
    loaded_files: Vec<String>,
}

impl Warehouse {
    fn answer(&mut self, asked: &Asked) -> Reply {
        match asked.path.rsplit('/').next() {
            Some("statements") => {
                self.statement(asked.body["statement"].as_str().unwrap_or_default())
            }
            Some("control") => {
                let row = json!([["views", "0", self.next.to_string(), self.fence.to_string()]]);
                let columns = [
                    ("TOPIC", "text"),
                    ("PARTITION_ID", "fixed"),
                    ("NEXT_OFFSET", "fixed"),
                    ("FENCE", "fixed"),
                ];
                Reply::Json(200, result("control", &columns, &row))
            }
            Some("bound") => {
                let columns =
                    ["TOPIC", "PARTITION_ID", "SOURCE", "TARGET"].map(|name| (name, "text"));
                Reply::Json(200, result("bound", &columns, &json!([])))
            }
            _ => Reply::Json(
                200,
                result(
                    "count",
                    &[("COUNT", "fixed")],
                    &json!([[self.advanced.to_string()]]),
                ),
            ),
        }
    }

    fn statement(&mut self, sql: &str) -> Reply {
        if sql.contains("c.fence + 1") {
            self.fence += 1;
            return children(&["count", "count", "control", "bound", "count"]);
        }
        if sql.contains("INFORMATION_SCHEMA.TABLES") {
            let columns = [("TABLE_NAME", "text"), ("CREATED", "text")];
            return Reply::Json(200, result("h", &columns, &json!([["VIEWS", "1.0"]])));
        }
        if sql.starts_with("SELECT COUNT(*)") {
            return Reply::Json(200, result("h", &[("COUNT", "fixed")], &json!([["0"]])));
        }
        if !self.sees_stage {
            let message = "JavaScript execution error: Uncaught Execution of multiple statements failed on statement \"SELECT\" \
                           (at line 3, position 0).\nDivision by zero in SYSTEM$MULTISTMT";
            return Reply::Json(
                422,
                json!({"code": "100132", "message": message, "sqlState": "P0000"}),
            );
        }
        if self.fate == Fate::Lost {
            return Reply::Json(503, json!({}));
        }
        if self.fate == Fate::Overtaken {
            self.fence += 1;
        }
        self.load(sql);
        if self.fate == Fate::ReplyLost {
            return Reply::Json(503, json!({}));
        }
        children(&[
            "count", "count", "count", "count", "count", "control", "count",
        ])
    }

    fn load(&mut self, sql: &str) {
        let file = sql
            .split("'@KAFKA_STAGE/")
            .nth(1)
            .and_then(|rest| rest.split('\'').next())
            .unwrap();
        assert!(
            self.stage.join(file).exists(),
            "{file} is staged before it is loaded"
        );
        self.advanced = 0;
        if sql.contains(&format!(
            "fence = {} AND next_offset = {})",
            self.fence, self.next
        )) {
            let next = sql
                .split(" THEN ")
                .last()
                .and_then(|rest| rest.split(' ').next())
                .unwrap();
            self.next = next.parse().unwrap();
            self.advanced = 1;
            self.loaded_files.push(file.to_owned());
        }
    }
}

fn children(handles: &[&str]) -> Reply {
    let mut body: Value = result(
        "parent",
        &[("multiple statement execution", "text")],
        &json!([["Multiple statements executed successfully."]]),
    );
    body["statementHandles"] = json!(handles);
    Reply::Json(200, body)
}

pub(crate) struct Scene {
    folder: tempfile::TempDir,
    warehouse: Arc<Mutex<Warehouse>>,
    script: Script,
    pub(crate) sink: Sink,
}

const FIRST_FILE: &str = "views/0/00000000000000000005-00000000000000000006.parquet";

impl Scene {
    /// A sink that has two rows to load, at offsets 5 and 6.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let warehouse = Arc::new(Mutex::new(Warehouse {
            stage: folder.path().to_owned(),
            sees_stage: true,
            fate: Fate::Committed,
            next: 5,
            fence: 3,
            advanced: 0,
            loaded_files: Vec::new(),
        }));
        let answering = Arc::clone(&warehouse);
        let script = Script::start(move |asked| answering.lock().unwrap().answer(asked)).await;
        let mut config = script.config();
        config.retry_for = Duration::from_millis(20);
        let objects = Objects {
            control: ControlTable::new("SLUICEBOX_CONTROL"),
            stage: "KAFKA_STAGE".to_owned(),
            file_format: "SLUICEBOX_PARQUET".to_owned(),
        };
        let columns =
            [("id", SqlType::Varchar), ("views", SqlType::BigInt)].map(|(name, sql_type)| Column {
                name: name.to_owned(),
                sql_type,
            });
        let table = TargetTable::upsert("views", "views", columns.to_vec(), &["id"]).unwrap();
        let limits = Limits {
            interval: Duration::from_secs(10),
            rows: 3,
            bytes: 1000,
        };
        config.stage_url = format!("file://{}/", folder.path().display());
        let client = script.client_with(&config);
        let stage = Stage::open(&client, &config).unwrap();
        let mut sink = Sink::new(&client, stage, objects, limits, vec![table]);
        let at = Partition {
            topic: "views".to_owned(),
            number: 0,
        };
        assert_eq!(sink.take_over(&[at]).await.unwrap(), [5]);
        let mut scene = Self {
            folder,
            warehouse,
            script,
            sink,
        };
        scene.push(5, "a");
        scene.push(6, "b");
        scene
    }

    fn push(&mut self, offset: i64, id: &str) {
        let key = format!(r#"{{"id":"{id}"}}"#);
        let record = Record {
            offset,
            timestamp_ms: offset * 1000,
            key: Some(key.as_bytes()),
            value: Some(key.as_bytes()),
        };
        self.sink.push("views", 0, record, Instant::now()).unwrap();
    }

    fn set(&self, fate: Fate) {
        self.warehouse.lock().unwrap().fate = fate;
    }

    fn staged(&self, file: &str) -> bool {
        Path::exists(&self.folder.path().join(file))
    }

    fn loaded(&self) -> i64 {
        self.sink.topics["views"].partitions[&0].loaded.get()
    }

    /// The ids of the requests that were loads.
    fn load_requests(&self) -> Vec<String> {
        let loads = self
            .script
            .asked()
            .into_iter()
            .filter(|asked| asked.body.to_string().contains("loads = loads + 1"));
        loads
            .map(|asked| asked.query["requestId"].clone())
            .collect()
    }
}

#[tokio::test]
async fn rows_are_staged_loaded_and_cleaned_up() {
    let mut scene = Scene::new().await;
    let flushed = scene.sink.flush().await.unwrap().unwrap().flushed;
    assert_eq!(
        (flushed.tables, flushed.rows, flushed.files),
        (vec!["VIEWS".to_owned()], 2, 1)
    );
    assert_eq!(flushed.newest_record_ms, 6000);
    assert_eq!(scene.warehouse.lock().unwrap().loaded_files, [FIRST_FILE]);
    assert_eq!(scene.loaded(), 7);
    assert!(!scene.staged(FIRST_FILE), "a loaded file is removed");
}

#[tokio::test]
async fn without_rows_nothing_is_sent() {
    let mut scene = Scene::new().await;
    scene.sink.flush().await.unwrap().unwrap();
    let sent = scene.script.asked().len();
    scene.sink.reached("views", 0, NextOffset::at(9)).unwrap();
    assert!(
        !scene
            .sink
            .should_flush(Instant::now() + Duration::from_secs(3600))
    );
    assert!(scene.sink.flush().await.unwrap().is_none());
    assert_eq!(scene.script.asked().len(), sent);
}

#[tokio::test]
async fn a_load_that_was_lost_is_sent_again_as_the_same_request() {
    let mut scene = Scene::new().await;
    scene.set(Fate::Lost);
    let error = scene.sink.flush().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(
        scene.sink.should_flush(Instant::now()),
        "a load is left to do"
    );
    scene.push(7, "c");
    scene.set(Fate::Committed);
    assert_eq!(scene.sink.flush().await.unwrap().unwrap().flushed.rows, 2);
    assert_eq!((scene.loaded(), scene.sink.waiting()), (7, 1));
    let requests = scene.load_requests();
    assert!(
        requests.len() > 1 && requests.iter().all(|id| *id == requests[0]),
        "{requests:?}"
    );
    scene.sink.flush().await.unwrap().unwrap();
    assert_eq!(scene.loaded(), 8);
    assert_ne!(
        scene.load_requests().last(),
        requests.last(),
        "another load is another request"
    );
}

#[tokio::test]
async fn a_load_whose_reply_was_lost_counts_once() {
    let mut scene = Scene::new().await;
    scene.set(Fate::ReplyLost);
    scene.sink.flush().await.unwrap_err();
    scene.set(Fate::Committed);
    scene.sink.flush().await.unwrap().unwrap();
    assert_eq!(scene.warehouse.lock().unwrap().loaded_files, [FIRST_FILE]);
    assert_eq!(scene.loaded(), 7);
}

#[tokio::test]
async fn a_sink_that_was_overtaken_is_told_and_leaves_the_files() {
    let mut scene = Scene::new().await;
    scene.set(Fate::Overtaken);
    let settled = scene.sink.flush().await.unwrap().unwrap();
    let at = Partition {
        topic: "views".to_owned(),
        number: 0,
    };
    assert_eq!(
        (settled.fenced, settled.flushed.rows),
        (vec![at.clone()], 0)
    );
    assert!(
        scene.staged(FIRST_FILE),
        "the other sink may be about to load a file of this name"
    );
    assert_eq!(scene.loaded(), 5);
    scene.sink.release(&[at]);
    assert!(scene.sink.is_idle() && scene.sink.read().is_empty());
}

#[tokio::test]
async fn a_load_of_partitions_that_were_given_up_is_dropped() {
    let mut scene = Scene::new().await;
    scene.set(Fate::Lost);
    scene.sink.flush().await.unwrap_err();
    let at = Partition {
        topic: "views".to_owned(),
        number: 0,
    };
    scene.sink.release(std::slice::from_ref(&at));
    assert!(
        scene.sink.begin().unwrap().is_none(),
        "nothing is left to do"
    );
    scene.set(Fate::Committed);
    assert_eq!(scene.sink.take_over(&[at]).await.unwrap(), [5]);
    scene.push(5, "a");
    scene.sink.flush().await.unwrap().unwrap();
    assert_eq!(scene.loaded(), 6);
}

#[tokio::test]
async fn what_a_late_reply_says_of_a_partition_that_was_given_up_and_came_back_is_passed_over() {
    let mut scene = Scene::new().await;
    let at = Partition {
        topic: "views".to_owned(),
        number: 0,
    };
    let pending = scene.sink.begin().unwrap().unwrap();
    let loaded = scene.sink.loader().load(&pending).await.unwrap();
    scene.sink.release(std::slice::from_ref(&at));
    assert_eq!(scene.sink.take_over(&[at]).await.unwrap(), [7]);
    let settled = scene.sink.settle(&pending, &loaded);
    assert_eq!((settled.flushed.rows, settled.fenced), (0, vec![]));
    assert_eq!(scene.loaded(), 7);
}

#[tokio::test]
async fn a_stage_elsewhere_is_noticed() {
    let mut scene = Scene::new().await;
    scene.warehouse.lock().unwrap().sees_stage = false;
    let error = scene.sink.flush().await.unwrap_err();
    assert!(
        error.to_string().contains("shows 0 rows in views/0/"),
        "{error}"
    );
    assert!(!error.is_transient() && scene.loaded() == 5);
    let requests = scene.load_requests();
    let different: BTreeSet<_> = requests.iter().collect();
    assert_eq!(
        (requests.len(), different.len()),
        (4, 4),
        "under its old id a request that has failed would not run again"
    );
}

#[tokio::test]
async fn a_flush_is_due_by_time_rows_or_bytes() {
    let mut scene = Scene::new().await;
    let now = Instant::now();
    assert!(!scene.sink.should_flush(now));
    assert!(
        scene.sink.should_flush(now + Duration::from_secs(10)),
        "by time"
    );
    scene.push(7, "a");
    assert!(!scene.sink.should_flush(now), "a key counts once");
    scene.push(8, "c");
    assert!(scene.sink.should_flush(now), "by rows");
    let mut scene = Scene::new().await;
    scene.push(7, &"a".repeat(500));
    assert!(scene.sink.should_flush(now), "by bytes");
}

#[tokio::test]
async fn a_topic_without_a_table_is_refused() {
    let mut scene = Scene::new().await;
    let other = Partition {
        topic: "other".to_owned(),
        number: 0,
    };
    let row = ControlRow {
        at: other,
        next_offset: NextOffset::START,
        fence: Fence::new(1),
    };
    let error = scene.sink.assign(&row, NextOffset::START);
    let error = error.unwrap_err().to_string();
    assert_eq!(error, "other[0] is not assigned to this sink");
}

#[test]
fn a_run_goes_on_where_the_warehouse_stands_and_ends_when_it_is_told() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut scene = runtime.block_on(Scene::new());
    scene.sink.limits.rows = 2;
    let at = Partition {
        topic: "views".to_owned(),
        number: 0,
    };
    scene.sink.release(&[at]);
    let records = ["0", "1", "2", "3", "4", "5", "6"].map(|id| format!(r#"{{"id":"{id}"}}"#));
    let records: Vec<_> = records
        .iter()
        .map(|json| (json.as_str(), json.as_str()))
        .collect();
    let (_cluster, kafka) = kafka("views", 1, &records);
    let member = GroupMember::join(&kafka, "sluicebox-sink", "test", &["views"]).unwrap();
    let reader = Arc::new(PartitionReader::connect(&kafka, "sluicebox-sink").unwrap());
    let stop = CancellationToken::new();
    let mut loads = Vec::new();
    let parts = Parts {
        sink: &mut scene.sink,
        member: &member,
        reader: &reader,
        admin: &Arc::new(Admin::connect(&kafka).unwrap()),
        runtime: runtime.handle(),
        report: &mut |progress| {
            if let Progress::Flushed(flushed) = progress {
                loads.push(flushed.rows);
                stop.cancel();
            }
        },
    };
    let ended = run(parts, &stop);
    ended.unwrap();
    assert_eq!(loads, [2]);
    let warehouse = scene.warehouse.lock().unwrap();
    assert_eq!((warehouse.next, warehouse.fence), (7, 5));
    assert_eq!(warehouse.loaded_files, [FIRST_FILE]);
}
