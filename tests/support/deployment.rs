//! A deployment of one's own: topics on the shared Kafka, a mock warehouse behind real HTTP, a key, a configuration; and
//! the service in it as a process of its own.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use mock_warehouse::engine::{Bindings, Engine};
use mock_warehouse::{MockWarehouse, PublicKey};
use serde_json::Value;
use sluicebox::keys::KeyPair;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::{self, Runtime};
use tokio_util::sync::CancellationToken;

use super::kafka::{Kafka, Message, unique};
use super::pipeline::Pipeline;
use super::running::Running;

/// The account that the mock warehouse answers for.
pub(crate) const ACCOUNT: &str = "TESTS";
/// The service's user, who may set up everything.
pub(crate) const USER: &str = "KAFKA_SERVICE";
/// The role that the set-up scripts run as.
pub(crate) const ADMINISTRATOR: &str = "ACCOUNTADMIN";
/// Partitions of every topic.
pub(crate) const PARTITIONS: i32 = 3;

/// Everything that the service stands beside, and the folder that it is started in.
pub(crate) struct Deployment {
    pub(crate) raw: String,
    pub(crate) clean: String,
    pub(crate) rejected: String,
    pub(crate) kafka: Arc<Kafka>,
    partitions: i32,
    folder: TempDir,
    environment: Vec<(&'static str, String)>,
    warehouse: ServedWarehouse,
}

impl Deployment {
    /// A fresh one for this pipeline on the shared Kafka. Nothing is set up in it yet.
    pub(crate) fn new(name: &str, pipeline: &Pipeline) -> Self {
        Self::on(Kafka::shared(), PARTITIONS, name, pipeline)
    }

    /// A fresh one on this Kafka, with so many partitions in every topic.
    pub(crate) fn on(kafka: Arc<Kafka>, partitions: i32, name: &str, pipeline: &Pipeline) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let pair = KeyPair::generate(2048).expect("2048 bits are enough");
        pair.write_new(&folder.path().join("rsa_key.p8"), None)
            .expect("the folder is empty");
        let warehouse = ServedWarehouse::start(&pair);
        pipeline.write(&folder.path().join("pipeline"));
        let topics = unique(name);
        let deployment = Self {
            raw: format!("{topics}-raw"),
            clean: format!("{topics}-clean"),
            rejected: format!("{topics}-rejected"),
            environment: vec![(
                "SLUICEBOX_WAREHOUSE__STAGE_PROPERTIES__AWS_SECRET_ACCESS_KEY",
                warehouse.s3_secret_key.clone(),
            )],
            kafka,
            partitions,
            folder,
            warehouse,
        };
        let configuration = deployment.configuration(pipeline);
        fs::write(
            deployment.folder.path().join("sluicebox.toml"),
            configuration,
        )
        .expect("the folder can be written to");
        deployment
    }

    /// Where the warehouse is served.
    pub(crate) fn warehouse(&self) -> &str {
        &self.warehouse.url
    }

    /// The folder that the service is started in.
    pub(crate) fn path(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The key that the service signs in with.
    pub(crate) fn key(&self) -> KeyPair {
        KeyPair::read(&self.folder.path().join("rsa_key.p8"), None).expect("it was written")
    }

    /// `sluicebox` with these arguments, its configuration and its secrets.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluicebox"));
        command
            .arg("--config")
            .arg(self.folder.path().join("sluicebox.toml"))
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end, which has to be a good one.
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let Output {
            status,
            stdout,
            stderr,
        } = (self.command(arguments).output()).expect("the binary can be started");
        let said = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{arguments:?}: {status}\n{said}");
        String::from_utf8(stdout).expect("stdout is text")
    }

    /// Makes the topics and the warehouse's objects.
    pub(crate) fn setup(&self) {
        self.done(&["setup", "--role", ADMINISTRATOR]);
    }

    /// Runs statements in the warehouse behind the API's back, as its administrator.
    pub(crate) fn administer(&self, statements: &[&str]) {
        let runtime = self.warehouse.runtime.as_ref().expect("it is served");
        runtime.block_on(async {
            let mut session = self.warehouse.engine.admin();
            for statement in statements {
                let done = session.execute(statement, &Bindings::new()).await;
                done.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
            }
        });
    }

    /// The keys that the warehouse's S3 endpoint takes.
    pub(crate) fn s3_keys(&self) -> [&str; 2] {
        [&self.warehouse.s3_access_key, &self.warehouse.s3_secret_key]
    }

    /// Starts a command that goes on until it is ended.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(arguments), self.folder.path())
    }

    /// What the warehouse answers, a map a row.
    pub(crate) fn query(&self, sql: &str) -> Vec<serde_json::Map<String, Value>> {
        let answer = self.done(&["query", "--format", "json", sql]);
        serde_json::from_str(&answer).expect("the answer is an array of objects")
    }

    /// A whole number that the warehouse answers in one row of one column.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        let rows = self.query(sql);
        let value = rows.first().and_then(|row| row.values().next());
        value
            .and_then(Value::as_i64)
            .unwrap_or_else(|| panic!("{sql}: {rows:?} is no number"))
    }

    /// What the warehouse answers as text, so that every digit can be compared: these columns of each row.
    pub(crate) fn texts(&self, columns: &[&str], from: &str) -> Vec<Vec<String>> {
        let select: Vec<_> = (columns.iter())
            .map(|column| format!("CAST({column} AS VARCHAR) AS {column}"))
            .collect();
        let rows = self.query(&format!("SELECT {} FROM {from}", select.join(", ")));
        let text = |value: &Value| value.as_str().unwrap_or("NULL").to_owned();
        rows.iter()
            .map(|row| row.values().map(text).collect())
            .collect()
    }

    /// Writes raw events in their order, those with a key where the key belongs.
    pub(crate) fn produce<Key: Into<Vec<u8>>>(
        &self,
        events: impl IntoIterator<Item = (Option<Key>, Vec<u8>)>,
    ) {
        let messages = events.into_iter().map(|(key, value)| Message {
            key: key.map(Into::into),
            value: Some(value),
            ..Message::default()
        });
        self.kafka.produce(&self.raw, messages);
    }

    fn configuration(&self, pipeline: &Pipeline) -> String {
        let Self {
            raw,
            clean,
            rejected,
            partitions,
            ..
        } = self;
        let bootstrap = self.kafka.bootstrap();
        let ServedWarehouse {
            url, s3_access_key, ..
        } = &self.warehouse;
        let Pipeline {
            key,
            event_id,
            clean_table,
            external_stage,
            ..
        } = pipeline;
        let bucket = format!(
            r#"stage_url = "s3://sluicebox/{raw}/"
[warehouse.stage_properties]
aws_endpoint = "{url}"
aws_region = "us-east-1"
aws_allow_http = "true"
aws_access_key_id = "{s3_access_key}""#
        );
        let stage = if *external_stage { &bucket } else { "" };
        format!(
            r#"
[pipeline]
folder = "pipeline"
[kafka]
bootstrap_servers = "{bootstrap}"
[topics]
raw = "{raw}"
clean = "{clean}"
rejected = "{rejected}"
partitions = {partitions}
[clean]
key = "{key}"
event_id = "{event_id}"
[sink]
clean_table = "{clean_table}"
flush_interval = "1s"
[warehouse]
account = "{ACCOUNT}"
user = "{USER}"
url = "{url}"
private_key_file = "rsa_key.p8"
{stage}
[web]
listen = "127.0.0.1:0"
[log]
format = "json"
"#
        )
    }
}

/// A mock warehouse on a port and a thread of its own, until it is dropped.
pub(crate) struct ServedWarehouse {
    engine: Engine,
    pub(crate) url: String,
    s3_access_key: String,
    s3_secret_key: String,
    stop: CancellationToken,
    runtime: Option<Runtime>,
}

impl ServedWarehouse {
    /// An empty one, with a user of this key who may do everything.
    pub(crate) fn start(pair: &KeyPair) -> Self {
        let key: PublicKey = pair.public_key_base64().parse().expect("a key of ours");
        let config = mock_warehouse::Config::new(ACCOUNT).with_user(USER, ADMINISTRATOR, key);
        let (s3_access_key, s3_secret_key) =
            (config.s3_access_key.clone(), config.s3_secret_key.clone());
        let mock = MockWarehouse::open(config).expect("an empty warehouse opens");
        // Plans nest deeply in a build without optimisation.
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_stack_size(16 << 20)
            .enable_all()
            .build()
            .expect("threads can be started");
        let stop = CancellationToken::new();
        let listener = runtime.block_on(async {
            let made = mock.create_storage_integration("SLUICEBOX_STAGE").await;
            made.unwrap_or_else(|error| panic!("making the storage integration: {error:?}"));
            TcpListener::bind("127.0.0.1:0")
                .await
                .expect("a port is free")
        });
        let address = listener.local_addr().expect("a listener has an address");
        let engine = mock.engine().clone();
        runtime.spawn(mock.serve(listener, stop.clone()));
        Self {
            engine,
            url: format!("http://{address}"),
            s3_access_key,
            s3_secret_key,
            stop,
            runtime: Some(runtime),
        }
    }
}

impl Drop for ServedWarehouse {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
