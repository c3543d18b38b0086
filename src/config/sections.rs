//! The sections of `sluicebox.toml`, one struct each; a field's doc says unit, bounds and effect.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::properties::Properties;
use super::secret;
use super::size::ByteSize;
use crate::broker::Membership;
use crate::gold::Keep;

/// `[pipeline]`: what is clean and what is gold.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PipelineSection {
    /// Folder with `raw_events.sql`, `clean_events.sql`, `gold/` and `warehouse/`. Must be set.
    pub folder: PathBuf,
}

/// `[kafka]`: where the brokers are and how to speak to them.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaSection {
    /// Brokers to start from, `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// `"static"`: a worker that restarts within the session time-out gets its partitions back and nobody else's move.
    /// `"dynamic"`: the partitions of a worker that ends go to the others at once.
    pub membership: Membership,
    /// How long a worker may be silent before its partitions go to others, `"6s"` to `"5m"`; within the broker's own bounds.
    #[serde(with = "humantime_serde")]
    pub session_timeout: Duration,
    /// Anything that librdkafka understands, e.g. `"security.protocol" = "SASL_SSL"`.
    pub properties: Properties,
}

impl Default for KafkaSection {
    fn default() -> Self {
        Self {
            bootstrap_servers: "localhost:9092".to_owned(),
            membership: Membership::Static,
            session_timeout: Duration::from_secs(10),
            properties: Properties::default(),
        }
    }
}

/// `[topics]`: names, and the shape in which `setup` creates them.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopicsSection {
    /// Topic that the raw events are read from.
    pub raw: String,
    /// Topic that the clean events are written to.
    pub clean: String,
    /// Topic that refused events are written to, byte for byte.
    pub rejected: String,
    /// Partitions of a topic that is created, 1 to 10,000. More partitions let more workers share the load.
    pub partitions: u32,
    /// Copies of each partition of a topic that is created, 1 to 100. At most the number of brokers.
    pub replication: u16,
}

impl Default for TopicsSection {
    fn default() -> Self {
        Self {
            raw: "raw_events".to_owned(),
            clean: "clean_events".to_owned(),
            rejected: "rejected_events".to_owned(),
            partitions: 3,
            replication: 1,
        }
    }
}

/// `[clean]`: raw events to clean events.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CleanSection {
    /// Column of clean_events that its records are keyed by. Must be set.
    pub key: String,
    /// Column that identifies an event; the same value twice within the window is a duplicate. Must be set.
    pub event_id: String,
    /// How far back a duplicate is looked for, in offsets of the raw partition, 1 to 10,000,000. Costs memory.
    pub duplicate_window_events: u64,
    /// How far back a duplicate is looked for, by the records' own times, `"1s"` to `"7d"`.
    #[serde(with = "humantime_serde")]
    pub duplicate_window_time: Duration,
    /// Workers in this process, 1 to 64. They share the partitions with those of the other processes.
    pub threads: usize,
    /// Most events in one transaction, 1 to 1,000,000.
    pub batch_events: usize,
    /// Longest time a record waits in a batch, `"1ms"` to `"30s"`. Bounds the delay that users see.
    #[serde(with = "humantime_serde")]
    pub batch_interval: Duration,
}

impl Default for CleanSection {
    fn default() -> Self {
        Self {
            key: String::new(),
            event_id: String::new(),
            duplicate_window_events: 500_000,
            duplicate_window_time: Duration::from_secs(3600),
            threads: 1,
            batch_events: 50_000,
            batch_interval: Duration::from_millis(100),
        }
    }
}

/// `[gold]`: clean events to gold rows.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GoldSection {
    /// Workers in this process, 1 to 64. They share the partitions with those of the other processes.
    pub threads: usize,
    /// Most events in one transaction, 1 to 1,000,000.
    pub batch_events: usize,
    /// Longest time a record waits in a batch, `"1ms"` to `"30s"`. Bounds the delay that users see.
    #[serde(with = "humantime_serde")]
    pub batch_interval: Duration,
    /// Longest time between two local copies of a state that changes, `"100ms"` to `"6h"`. Bounds what a restart reads.
    #[serde(with = "humantime_serde")]
    pub snapshot_interval: Duration,
    /// How long a table keeps its keys, by the table's name: `"40d"`, or `"40d by event_date"` where the GROUP BY has several
    /// times, 1s to 10 years. An event that is older is refused as `too_late`. A table that is not named keeps its keys for ever.
    pub keep: BTreeMap<String, Keep>,
}

impl Default for GoldSection {
    fn default() -> Self {
        Self {
            threads: 1,
            batch_events: 50_000,
            batch_interval: Duration::from_millis(100),
            snapshot_interval: Duration::from_secs(300),
            keep: BTreeMap::new(),
        }
    }
}

/// `[sink]`: rows to loads. Whichever of the three limits is reached first ends a load.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SinkSection {
    /// Warehouse table that the clean events are appended to. Must be set. Gold tables are named after their files.
    pub clean_table: String,
    /// Longest time a row waits for its load, `"100ms"` to `"24h"`. Short intervals keep the virtual warehouse awake.
    #[serde(with = "humantime_serde")]
    pub flush_interval: Duration,
    /// Most rows in one load, 1 to 50,000,000.
    pub flush_rows: usize,
    /// Most bytes of rows held in memory for one load, `"64KiB"` to `"4GiB"`.
    pub flush_bytes: ByteSize,
}

impl Default for SinkSection {
    fn default() -> Self {
        Self {
            clean_table: String::new(),
            flush_interval: Duration::from_secs(10),
            flush_rows: 100_000,
            flush_bytes: ByteSize::mebibytes(64),
        }
    }
}

/// `[warehouse]`: the Snowflake account, its objects, and the stage that files go through.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct WarehouseSection {
    /// Account identifier, `<organisation>-<account>`. Needed by everything that speaks to the warehouse.
    pub account: String,
    /// Login name of the service user.
    pub user: String,
    /// Role that loads and queries run as.
    pub role: String,
    /// Database of all objects.
    pub database: String,
    /// Schema of all objects.
    pub schema: String,
    /// Virtual warehouse that statements run on.
    pub warehouse: String,
    /// Address of the service; empty means `https://<account>.snowflakecomputing.com`. Set it for a proxy or the mock.
    pub url: String,
    /// RSA private key, PKCS#8 PEM, readable by its owner only.
    pub private_key_file: PathBuf,
    /// File that holds the passphrase of the key; empty means none.
    pub private_key_passphrase_file: PathBuf,
    /// Passphrase of the key; from the environment only. Wins over the file.
    #[serde(with = "secret")]
    pub private_key_passphrase: Option<SecretString>,
    /// Proxy for the warehouse and its internal stage, `http://host:port`; empty means `HTTPS_PROXY` of the environment. An
    /// external stage takes `proxy_url` among its own properties.
    pub proxy: String,
    /// PEM file with certificates to trust besides the usual ones, at the warehouse and its internal stage; empty means none.
    pub ca_file: PathBuf,
    /// Name of the stage.
    pub stage: String,
    /// Where an external stage keeps its files: `s3://bucket/prefix/`, `gcs://`, `azure://` or `file:///folder/`; empty means that
    /// the stage is internal.
    pub stage_url: String,
    /// Storage integration that ties an external stage to its bucket.
    pub storage_integration: String,
    /// Options of the object store, e.g. `aws_region`, `aws_endpoint`, `aws_access_key_id`.
    pub stage_properties: Properties,
    /// Longest time that a statement may run, `"1s"` to `"7d"`. The warehouse stops it then.
    #[serde(with = "humantime_serde")]
    pub statement_timeout: Duration,
    /// Longest wait for one reply, `"1s"` to `"10m"`. Less than the 45 s within which the service answers makes it
    /// resend requests in vain.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// How long a call that fails for a passing reason is tried again, up to `"1h"`; `"0s"` is never.
    #[serde(with = "humantime_serde")]
    pub retry_for: Duration,
}

impl Default for WarehouseSection {
    fn default() -> Self {
        Self {
            account: String::new(),
            user: "KAFKA_SERVICE".to_owned(),
            role: "KAFKA_LOADER".to_owned(),
            database: "KAFKA_DB".to_owned(),
            schema: "STREAMING".to_owned(),
            warehouse: "COMPUTE_WH".to_owned(),
            url: String::new(),
            private_key_file: PathBuf::from("secrets/rsa_key.p8"),
            private_key_passphrase_file: PathBuf::new(),
            private_key_passphrase: None,
            proxy: String::new(),
            ca_file: PathBuf::new(),
            stage: "KAFKA_STREAMING_STAGE".to_owned(),
            stage_url: String::new(),
            storage_integration: "SLUICEBOX_STAGE".to_owned(),
            stage_properties: Properties::default(),
            statement_timeout: Duration::from_secs(600),
            request_timeout: Duration::from_secs(50),
            retry_for: Duration::from_secs(60),
        }
    }
}

/// `[state]`: what the process keeps between its runs.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct StateSection {
    /// Folder with the process's name for the broker and copies of its gold state. May be lost: a start then takes longer.
    /// Processes may share it.
    pub folder: PathBuf,
}

impl Default for StateSection {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("state"),
        }
    }
}

/// `[web]`: metrics and health.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebSection {
    /// Address to listen on, `ip:port`; port 0 takes a free one.
    pub listen: SocketAddr,
}

impl Default for WebSection {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
        }
    }
}

/// `[log]`: what is written to stderr.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// `"text"` for people, `"json"` for machines.
    pub format: LogFormat,
    /// `"error"`, `"warn"`, `"info"`, `"debug"`, `"trace"`, or a filter by module: `"info,sluicebox::sink=debug"`.
    pub level: String,
}

impl Default for LogSection {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".to_owned(),
        }
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object.
    Json,
}
