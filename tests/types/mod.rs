//! docs/types.md is the fixture: every cell of its tables is looked at, on the way from a raw event to the warehouse.

mod contract;
mod limits;
mod pipeline;
#[path = "../../mock-warehouse/tests/connectors/environment.rs"]
mod python;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::support::deployment::{ADMINISTRATOR, Deployment};
use crate::support::kafka::{Kafka, Message, Record};
use crate::support::running::Running;
use contract::{Contract, Kept, Value};

const LIMIT: Duration = Duration::from_secs(120);

/// What pyarrow says of the staged files.
#[derive(Debug, Deserialize)]
struct Files {
    /// Physical and logical type of each column.
    columns: BTreeMap<String, [String; 2]>,
    /// Each value as JSON text.
    rows: Vec<BTreeMap<String, String>>,
}

/// A row as the warehouse answers it; a number keeps its digits.
type Row = BTreeMap<String, Box<RawValue>>;

/// The service with the types of the contract, and a stage that is a folder which the test can look into.
struct Route {
    deployment: Deployment,
    gold: String,
    stage: tempfile::TempDir,
}

/// What was compared, and what was not as the page says.
#[derive(Default)]
struct Cells {
    looked_at: usize,
    wrong: Vec<String>,
}

impl Cells {
    fn compare(&mut self, what: &str, found: &str, promised: &str) {
        self.looked_at += 1;
        if found != promised {
            self.wrong.push(format!(
                "{what}: docs/types.md says `{promised}`, it is `{found}`"
            ));
        }
    }

    /// A DOUBLE is compared by its 64 bits: with how many digits, or with an exponent, it is shown is another matter.
    fn compare_loaded(&mut self, what: &str, sql: &str, found: &str, promised: &str) {
        let bits = |text: &str| text.parse::<f64>().ok().map(f64::to_bits);
        if sql == "DOUBLE" && bits(found).is_some() && bits(found) == bits(promised) {
            self.looked_at += 1;
        } else {
            self.compare(what, found, promised);
        }
    }
}

impl Route {
    fn new(contract: &Contract) -> Self {
        let pipeline = pipeline::of(contract);
        let path = Self {
            deployment: Deployment::new("types", &pipeline),
            gold: pipeline.gold,
            stage: tempfile::tempdir().unwrap(),
        };
        let made = path
            .command(&["setup", "--role", ADMINISTRATOR])
            .output()
            .unwrap();
        python::succeeded("sluicebox setup", &made);
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let stage = format!(
            "warehouse.stage_url=file://{}/",
            self.stage.path().display()
        );
        let mut command = self.deployment.command(arguments);
        command.args(["--set", &stage, "--set", "sink.flush_interval=3s"]);
        // A folder has no key.
        command.env_remove("SLUICEBOX_WAREHOUSE__STAGE_PROPERTIES__AWS_SECRET_ACCESS_KEY");
        command
    }

    fn start(&self, arguments: &[&str], crash: &str) -> Running {
        let mut command = self.command(arguments);
        command.env("SLUICEBOX_CRASH", crash);
        Running::start(command, self.deployment.path())
    }

    /// Cleans and counts everything.
    fn clean_and_count(&self, values: &[Value]) {
        let kafka = Kafka::shared();
        let messages = values.iter().enumerate().map(|(at, value)| Message {
            value: Some(raw_event(at, value).into_bytes()),
            partition: Some(0),
            ..Message::default()
        });
        kafka.produce(&self.deployment.raw, messages);
        let kept = values.iter().filter(|value| value.kept.is_some()).count();
        let mut service = self.start(&["run", "clean", "gold"], "");
        service.wait_for("every clean event is counted", LIMIT, |_| {
            let rows = newest(&kafka.read_all(&self.gold));
            let counted = rows
                .iter()
                .map(|row| field(row, "events").parse::<usize>().unwrap());
            counted.sum::<usize>() == kept
        });
        assert!(service.terminate().success());
    }

    /// Lets the sink write its files and die, so that they stay; then reads them with another reader than ours.
    fn staged(&self, rows: usize) -> Files {
        let python = python::environment(&source("parquet.txt")).join("python");
        // A flush takes what has come by then.
        for _ in 0..5 {
            let mut sink = self.start(&["run", "sink"], "sink.upload.after=abort");
            wait_for_end(&mut sink);
            let files = parquet_files(&self.stage.path().join(&self.deployment.clean));
            let read = Command::new(&python)
                .arg(source("read.py"))
                .args(files)
                .output();
            let read = python::succeeded("read.py", &read.unwrap());
            let files: Files = serde_json::from_str(&read).unwrap();
            if files.rows.len() == rows {
                return files;
            }
        }
        panic!("the sink does not stage all {rows} rows at once");
    }

    /// Loads everything.
    fn load(&self, kept: usize) {
        let mut sink = self.start(&["run", "sink"], "");
        let table = format!("SELECT COUNT(*) FROM {}", pipeline::TABLE);
        let gold = format!("SELECT COALESCE(SUM(events), 0) FROM {}", self.gold);
        let kept = i64::try_from(kept).unwrap();
        sink.wait_for("the rows are loaded", LIMIT, |_| {
            self.deployment.number(&table) == kept && self.deployment.number(&gold) == kept
        });
        assert!(sink.terminate().success());
    }

    fn rows(&self, sql: &str) -> Vec<Row> {
        let answer = self.deployment.done(&["query", "--format", "json", sql]);
        serde_json::from_str(&answer).unwrap()
    }
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/types")
        .join(name)
}

fn wait_for_end(service: &mut Running) {
    let ended = crate::support::wait_until(LIMIT, || service.ended().is_some());
    assert!(ended, "{}", service.log());
}

fn parquet_files(folder: &Path) -> Vec<PathBuf> {
    let partitions = fs::read_dir(folder).unwrap();
    let files = partitions.flat_map(|partition| fs::read_dir(partition.unwrap().path()).unwrap());
    files.map(|file| file.unwrap().path()).collect()
}

fn column(sql: &str, contract: &Contract) -> String {
    let found = contract.types.iter().find(|one| one.sql == sql);
    let found = found.unwrap_or_else(|| panic!("`{sql}` is not in the table of types"));
    found.column()
}

fn raw_event(at: usize, value: &Value) -> String {
    let contract = Contract::read();
    let field = value
        .raw
        .map(|raw| format!(r#","{}":{raw}"#, column(value.sql, &contract)));
    let (kind, field) = (value.sql, field.unwrap_or_default());
    format!(r#"{{"event_id":"{at}","kind":"{kind}"{field}}}"#)
}

/// A member of a JSON object, byte for byte.
fn field(object: &[u8], name: &str) -> String {
    let members: Row = serde_json::from_slice(object).unwrap();
    members[name].get().to_owned()
}

/// The newest value of each key.
fn newest(records: &[Record]) -> Vec<Vec<u8>> {
    let rows: BTreeMap<_, _> = records
        .iter()
        .map(|record| (record.key.clone(), record.value.clone()))
        .collect();
    rows.into_values().flatten().collect()
}

/// By the text of a member.
fn by<'a, Rows: IntoIterator<Item = &'a Row>>(rows: Rows, name: &str) -> BTreeMap<String, &'a Row> {
    let key = |row: &Row| serde_json::from_str(row[name].get()).unwrap();
    rows.into_iter().map(|row| (key(row), row)).collect()
}

#[test]
fn every_cell_of_the_types_page_is_true_from_the_raw_event_to_the_warehouse() {
    let contract = Contract::read();
    let values = &contract.values;
    let kept: BTreeMap<usize, &Kept> = (values.iter().enumerate())
        .filter_map(|(at, value)| Some((at, value.kept.as_ref()?)))
        .collect();
    assert!(contract.types.len() >= 7 && kept.len() >= 70 && contract.gold.len() >= 7);
    let path = Route::new(&contract);
    path.clean_and_count(values);
    let mut cells = Cells::default();
    check_topics(&path, &contract, &kept, &mut cells);
    let files = path.staged(kept.len());
    check_files(&files, &contract, &kept, &mut cells);
    path.load(kept.len());
    check_warehouse(&path, &contract, &kept, &mut cells);
    check_gold(&path, &contract, &mut cells);
    check_binary(&path, &mut cells);
    println!(
        "{} cells of docs/types.md were checked: {} types, {} values, of which {} are refused, and {} rows of gold",
        cells.looked_at,
        contract.types.len(),
        values.len(),
        values.len() - kept.len(),
        contract.gold.len()
    );
    assert!(cells.wrong.is_empty(), "{}", cells.wrong.join("\n"));
}

/// A clean event is compared as a whole, byte for byte; a refused one by its reason.
fn check_topics(
    path: &Route,
    contract: &Contract,
    kept: &BTreeMap<usize, &Kept>,
    cells: &mut Cells,
) {
    let clean = Kafka::shared().read_all(&path.deployment.clean);
    let clean: BTreeMap<String, String> = (clean.into_iter())
        .map(|record| String::from_utf8(record.value.unwrap()).unwrap())
        .map(|value| (field(value.as_bytes(), "event_id"), value))
        .collect();
    assert_eq!(clean.len(), kept.len());
    for (at, kept) in kept {
        let value = &contract.values[*at];
        let fields = contract.types.iter().map(|one| {
            let json = if one.sql == value.sql {
                kept.clean
            } else {
                "null"
            };
            format!(",\"{}\":{json}", one.column())
        });
        let promised = format!(
            r#"{{"event_id":"{at}","kind":"{}"{}}}"#,
            value.sql,
            fields.collect::<String>()
        );
        let what = format!("{} {:?} on the clean topic", value.sql, value.raw);
        cells.compare(&what, &clean[&format!("\"{at}\"")], &promised);
    }
    let rejected = Kafka::shared().read_all(&path.deployment.rejected);
    let reasons: BTreeMap<_, _> = (rejected.iter())
        .map(|record| {
            let reason = record
                .headers
                .iter()
                .find(|(name, _)| name == "sluicebox.reason");
            (
                record.value.clone().unwrap(),
                reason.unwrap().1.clone().unwrap(),
            )
        })
        .collect();
    for (at, value) in contract.values.iter().enumerate() {
        if value.kept.is_none() {
            let reason = reasons
                .get(raw_event(at, value).as_bytes())
                .map(Vec::as_slice);
            let reason = String::from_utf8_lossy(reason.unwrap_or(b"not refused"));
            cells.compare(&format!("{} {:?}", value.sql, value.raw), &reason, "type");
        }
    }
}

fn check_files(
    files: &Files,
    contract: &Contract,
    kept: &BTreeMap<usize, &Kept>,
    cells: &mut Cells,
) {
    for one in &contract.types {
        let [physical, logical] = &files.columns[&one.column()];
        let what = format!("{}, Parquet", one.sql);
        cells.compare(&what, physical, one.physical);
        cells.compare(&what, logical, &one.logical);
    }
    let rows: BTreeMap<_, _> = files
        .rows
        .iter()
        .map(|row| (row["event_id"].clone(), row))
        .collect();
    for (at, kept) in kept {
        let value = &contract.values[*at];
        let column = column(value.sql, contract);
        let what = format!("{} {:?} in Parquet", value.sql, value.raw);
        cells.compare(&what, &rows[&format!("\"{at}\"")][&column], kept.parquet);
    }
}

fn check_warehouse(
    path: &Route,
    contract: &Contract,
    kept: &BTreeMap<usize, &Kept>,
    cells: &mut Cells,
) {
    let described = path.rows(&format!("DESCRIBE TABLE {}", pipeline::TABLE));
    let described = by(&described, "name");
    for one in &contract.types {
        let found = &described[&one.column().to_uppercase()]["type"];
        let promised = format!("\"{}\"", one.warehouse);
        cells.compare(&format!("{}, warehouse", one.sql), found.get(), &promised);
    }
    let rows = path.rows(&format!("SELECT * FROM {}", pipeline::TABLE));
    let rows = by(&rows, "EVENT_ID");
    for (at, kept) in kept {
        let value = &contract.values[*at];
        let column = column(value.sql, contract).to_uppercase();
        let what = format!("{} {:?} in the warehouse", value.sql, value.raw);
        let found = rows[&at.to_string()][&column].get();
        cells.compare_loaded(&what, value.sql, found, kept.warehouse);
    }
}

fn check_gold(path: &Route, contract: &Contract, cells: &mut Cells) {
    let on_topic = newest(&Kafka::shared().read_all(&path.gold));
    let on_topic: Vec<Row> = (on_topic.iter())
        .map(|row| serde_json::from_slice(row).unwrap())
        .collect();
    let on_topic = by(&on_topic, "kind");
    let loaded = path.rows(&format!("SELECT * FROM {}", path.gold));
    let loaded = by(&loaded, "KIND");
    for extremes in &contract.gold {
        let column = column(extremes.sql, contract);
        for (at, function) in ["min", "max"].into_iter().enumerate() {
            let name = format!("{function}_{column}");
            let what = format!("{function} of {}", extremes.sql);
            let found = on_topic[extremes.sql][&name].get();
            cells.compare(&format!("{what}, gold topic"), found, extremes.topic[at]);
            let found = loaded[extremes.sql][&name.to_uppercase()].get();
            let what = format!("{what}, warehouse");
            cells.compare_loaded(&what, extremes.sql, found, extremes.warehouse[at]);
        }
    }
}

/// The hexadecimal text that the page shows for a binary value is made binary by the function that it names.
fn check_binary(path: &Route, cells: &mut Cells) {
    let sql = format!(
        "SELECT TO_BINARY(C_VARCHAR, 'HEX') AS B FROM {} WHERE C_VARCHAR = 'DEADBEEF'",
        pipeline::TABLE
    );
    let rows = path.rows(&sql);
    assert_eq!(rows.len(), 1, "{sql}");
    cells.compare(&sql, rows[0]["B"].get(), "\"DEADBEEF\"");
}
