//! Clients that nobody here wrote: Snowflake's Python connector and its command line, against the program.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use parquet::arrow::ArrowWriter;

use crate::environment::{environment, succeeded};
use crate::support::{KEY, OTHER_KEY};

const CONNECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/connectors");
const SETUP: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../sql/customer_metrics/warehouse"
);

/// The program, with a user who may do everything.
struct Mock {
    child: Child,
    port: String,
}

impl Mock {
    fn start(folder: &Path, session_validity: u32) -> Self {
        let key = folder.join("user.pem");
        fs::write(&key, &KEY.public_pem).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_mock-warehouse"))
            .args([
                "--listen",
                "127.0.0.1:0",
                "--user",
                "KAFKA_SERVICE",
                "--role",
                "ACCOUNTADMIN",
            ])
            .args(["--session-validity", &session_validity.to_string()])
            .arg("--public-key-file")
            .arg(&key)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.by_ref().map(Result::unwrap).find_map(|line| {
            let address = line.strip_prefix("url = \"http://127.0.0.1:")?;
            Some(address.trim_end_matches('"').to_owned())
        });
        // Reads on, so that the program never writes into a pipe that nobody holds.
        lines
            .take_while(|line| {
                line.as_ref()
                    .is_ok_and(|line| !line.starts_with("# aws_secret_access_key"))
            })
            .for_each(drop);
        Self {
            child,
            port: port.expect("the program says where it listens"),
        }
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The setup script of the pipeline as one file, its names filled in.
fn setup_script(folder: &Path) -> PathBuf {
    let mut files: Vec<PathBuf> = fs::read_dir(SETUP)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let script: Vec<String> = files
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let mut script = script.join("\n");
    for (name, value) in [
        ("database", "METRICS"),
        ("schema", "PUBLIC"),
        ("warehouse", "LOADING"),
        ("stage", "EVENTS"),
        ("stage_location", "ENCRYPTION = (TYPE = 'SNOWFLAKE_SSE')"),
        ("stage_privileges", "READ, WRITE"),
        ("storage_integration", "SLUICEBOX_STAGE"),
        ("role", "LOADER"),
        ("user", "KAFKA_SERVICE"),
    ] {
        script = script.replace(&format!("${{{name}}}"), value);
    }
    let file = folder.join("setup.sql");
    fs::write(&file, script).unwrap();
    file
}

/// Two events.
fn parquet_file(folder: &Path) -> PathBuf {
    let text = |values: [&str; 2]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let amount = Decimal128Array::from(vec![1999, 500])
        .with_precision_and_scale(18, 2)
        .unwrap();
    let noon = 1_791_460_800_000_000;
    let moments = TimestampMicrosecondArray::from(vec![noon + 5, noon + 3_600_000_000]);
    let batch = RecordBatch::try_from_iter([
        ("event_id", text(["e-1", "e-2"])),
        ("customer_id", text(["c-1", "c-1"])),
        ("event_type", text(["PURCHASE", "PURCHASE"])),
        ("amount", Arc::new(amount) as ArrayRef),
        ("currency", text(["EUR", "EUR"])),
        ("event_timestamp", Arc::new(moments) as ArrayRef),
    ])
    .unwrap();
    let file = folder.join("events.parquet");
    let mut writer =
        ArrowWriter::try_new(File::create(&file).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file
}

fn private_key(folder: &Path, name: &str, pem: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let file = folder.join(name);
    fs::write(&file, pem).unwrap();
    // The connector warns about a key that others may read.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file
}

#[test]
fn the_python_connector_works_unmodified() {
    let python = environment(&Path::new(CONNECTORS).join("connector.txt")).join("python");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (mock, short) = (Mock::start(folder, 3600), Mock::start(folder, 1));
    let output = Command::new(python)
        .arg(Path::new(CONNECTORS).join("connector.py"))
        .env("HOME", folder)
        .env("MOCK_PORT", &mock.port)
        .env("MOCK_PORT_SHORT", &short.port)
        .env("KEY_FILE", private_key(folder, "key", &KEY.private_pem))
        .env(
            "OTHER_KEY_FILE",
            private_key(folder, "other", &OTHER_KEY.private_pem),
        )
        .env("SETUP_FILE", setup_script(folder))
        .env("PARQUET_FILE", parquet_file(folder))
        .output()
        .unwrap();
    println!("{}", succeeded("connector.py", &output));
}

#[test]
fn snow_sql_runs_scripts_and_queries() {
    let snow = environment(&Path::new(CONNECTORS).join("snow.txt")).join("snow");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mock = Mock::start(folder, 3600);
    let config = format!(
        "[connections.mock]\naccount = \"MOCK\"\nuser = \"KAFKA_SERVICE\"\nauthenticator = \"SNOWFLAKE_JWT\"\n\
         private_key_file = \"{}\"\nhost = \"127.0.0.1\"\nport = {}\nprotocol = \"http\"\n\
         database = \"METRICS\"\nschema = \"PUBLIC\"\nwarehouse = \"LOADING\"\n",
        private_key(folder, "key", &KEY.private_pem).display(),
        mock.port
    );
    let config = private_key(folder, "config.toml", &config);
    let run = |arguments: &[&str]| {
        Command::new(&snow)
            .arg("--config-file")
            .arg(&config)
            .args(["sql", "--connection", "mock", "--format", "json"])
            .args(arguments)
            .env("HOME", folder)
            .output()
            .unwrap()
    };
    let script = setup_script(folder);
    succeeded("snow sql -f", &run(&["-f", script.to_str().unwrap()]));
    let query =
        "SELECT COUNT(*) AS n FROM METRICS.PUBLIC.EVENT_FUNNEL; SELECT 'ä' AS s, TRUE AS yes";
    let printed = succeeded("snow sql -q", &run(&["-q", query]));
    let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(
        printed,
        serde_json::json!([[{"N": 0}], [{"S": "ä", "YES": true}]])
    );
    let failed = run(&["-q", "SELECT * FROM nosuch"]);
    assert_eq!(failed.status.code(), Some(1));
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(said.contains("002003 (42S02)"), "{said}");
}
