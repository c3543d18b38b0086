//! Types and ranges: the first value that is not acceptable, in one line.

use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::describe::Setting;
use super::{Config, ConfigError, Properties, TopicsSection, WarehouseSection};

/// Properties that decide whether an event is counted once, and are therefore ours.
const OWN_PROPERTIES: [&str; 17] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "group.instance.id",
    "session.timeout.ms",
    "statistics.interval.ms",
    "transactional.id",
    "enable.idempotence",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "isolation.level",
    "auto.offset.reset",
    "partitioner",
    "partition.assignment.strategy",
    "group.protocol",
    "batch.size",
];

const DAY: Duration = Duration::from_secs(86_400);

/// A value of the wrong type or unit.
pub(super) fn wrong_type(error: &figment::Error, settings: &[Setting]) -> ConfigError {
    let key = super::schema::dotted(&error.path);
    let expected = match &error.kind {
        figment::error::Kind::InvalidType(_, expected)
        | figment::error::Kind::InvalidValue(_, expected) => expected.as_str(),
        figment::error::Kind::UnknownVariant(_, accepted) => {
            return refuse(settings, &key, &one_of(accepted));
        }
        _ => "",
    };
    let accepted = match (expected, key.as_str()) {
        (_, key) if key.starts_with("gold.keep.") => {
            r#"a duration with its unit, e.g. "40d"; or "40d by event_date", where the GROUP BY has several times"#
        }
        ("a duration", _) => r#"a duration with its unit, e.g. "100ms", "10s" or "1h""#,
        ("a size", _) => r#"a size with its unit, e.g. "64MiB""#,
        (_, "web.listen") => r#"an address and a port, e.g. "127.0.0.1:8080""#,
        (expected, _) if is_integer_type(expected) => "a whole number",
        ("a string" | "path string" | "a formatted path string", _) => "a text in double quotes",
        ("" | "option", _) => "of another form",
        (expected, _) => expected,
    };
    refuse(settings, &key, accepted)
}

fn is_integer_type(expected: &str) -> bool {
    matches!(
        expected,
        "u16" | "u32" | "u64" | "usize" | "u8" | "i32" | "i64" | "integer"
    )
}

fn one_of(accepted: &[&str]) -> String {
    accepted
        .iter()
        .map(|name| format!("{name:?}"))
        .collect::<Vec<_>>()
        .join(" or ")
}

/// `place: key must be accepted, got value`.
fn refuse(settings: &[Setting], key: &str, accepted: &str) -> ConfigError {
    let setting = settings.iter().find(|setting| setting.key == key);
    let (place, got) = match setting {
        Some(setting) => (setting.place.as_str(), format!(", got `{}`", setting.value)),
        None => ("configuration", String::new()),
    };
    ConfigError::refused(
        place,
        format!("{key} must be {accepted}{got}"),
        format!(
            "`sluicebox config` shows what is in force; {}",
            super::layers::variable_hint(key)
        ),
    )
}

/// Refuses the first value that is out of its range.
pub(super) fn ranges(config: &Config) -> Result<(), ConfigError> {
    let check = Check(&config.settings);
    check.must_be_set(
        "pipeline.folder",
        config.pipeline.folder.as_os_str().is_empty(),
        "the pipeline's folder",
    )?;
    check.must_be_set(
        "clean.key",
        config.clean.key.is_empty(),
        "the column that clean events are keyed by",
    )?;
    check.must_be_set(
        "clean.event_id",
        config.clean.event_id.is_empty(),
        "the column that identifies an event",
    )?;
    check.must_be_set(
        "sink.clean_table",
        config.sink.clean_table.is_empty(),
        "the table of the clean events",
    )?;
    check.must_be_set(
        "state.folder",
        config.state.folder.as_os_str().is_empty(),
        "the folder for the state",
    )?;

    let servers = &config.kafka.bootstrap_servers;
    let well_formed = servers.split(',').all(is_host_and_port);
    check.that(
        "kafka.bootstrap_servers",
        well_formed,
        r#"host:port, several separated by commas"#,
    )?;
    let session = (Duration::from_secs(6), Duration::from_secs(300));
    check.duration(
        "kafka.session_timeout",
        config.kafka.session_timeout,
        session,
        "6s to 5m",
    )?;
    own_properties(&config.kafka.properties, check)?;
    topics(&config.topics, check)?;

    let interval = (Duration::from_millis(1), Duration::from_secs(30));
    check.number(
        "clean.duplicate_window_events",
        config.clean.duplicate_window_events,
        1,
        10_000_000,
    )?;
    let window = (Duration::from_secs(1), 7 * DAY);
    check.duration(
        "clean.duplicate_window_time",
        config.clean.duplicate_window_time,
        window,
        "1s to 7d",
    )?;
    check.number("clean.threads", config.clean.threads as u64, 1, 64)?;
    check.number("gold.threads", config.gold.threads as u64, 1, 64)?;
    check.number(
        "clean.batch_events",
        config.clean.batch_events as u64,
        1,
        1_000_000,
    )?;
    check.duration(
        "clean.batch_interval",
        config.clean.batch_interval,
        interval,
        "1ms to 30s",
    )?;
    check.number(
        "gold.batch_events",
        config.gold.batch_events as u64,
        1,
        1_000_000,
    )?;
    check.duration(
        "gold.batch_interval",
        config.gold.batch_interval,
        interval,
        "1ms to 30s",
    )?;

    check.duration(
        "gold.snapshot_interval",
        config.gold.snapshot_interval,
        (Duration::from_millis(100), DAY / 4),
        "100ms to 6h",
    )?;
    for (table, keep) in &config.gold.keep {
        let range = (Duration::from_secs(1), 3650 * DAY);
        check.duration(
            &format!("gold.keep.{table}"),
            keep.duration,
            range,
            "1s to 3650d",
        )?;
    }

    let flush = (Duration::from_millis(100), DAY);
    check.duration(
        "sink.flush_interval",
        config.sink.flush_interval,
        flush,
        "100ms to 24h",
    )?;
    check.number(
        "sink.flush_rows",
        config.sink.flush_rows as u64,
        1,
        50_000_000,
    )?;
    let bytes = config.sink.flush_bytes.bytes();
    check.that(
        "sink.flush_bytes",
        (64 << 10..=4 << 30).contains(&bytes),
        r#""64KiB" to "4GiB""#,
    )?;
    check.identifier("sink.clean_table", &config.sink.clean_table)?;
    objects(&config.warehouse, check)?;

    let filter =
        EnvFilter::builder().parse(&config.log.level).is_ok() && !config.log.level.is_empty();
    check.that(
        "log.level",
        filter,
        "error, warn, info, debug or trace, or a filter such as info,sluicebox::sink=debug",
    )
}

/// Refuses a configuration without account.
pub(super) fn warehouse(config: &Config) -> Result<(), ConfigError> {
    Check(&config.settings).must_be_set(
        "warehouse.account",
        config.warehouse.account.is_empty(),
        "the account, <organisation>-<account>",
    )
}

fn own_properties(properties: &Properties, check: Check<'_>) -> Result<(), ConfigError> {
    for own in OWN_PROPERTIES {
        if properties.get(own).is_some() {
            let key = format!("kafka.properties.{own:?}");
            let place = check
                .0
                .iter()
                .find(|s| s.key == key)
                .map_or("configuration", |s| s.place.as_str());
            let hint = match own {
                "bootstrap.servers" | "metadata.broker.list" => {
                    "set kafka.bootstrap_servers instead"
                }
                _ => "remove it: exactly-once rests on the value that sluicebox gives it",
            };
            return Err(ConfigError::refused(
                place,
                format!("{key} cannot be set"),
                hint,
            ));
        }
    }
    Ok(())
}

fn topics(topics: &TopicsSection, check: Check<'_>) -> Result<(), ConfigError> {
    let names = [
        ("topics.raw", &topics.raw),
        ("topics.clean", &topics.clean),
        ("topics.rejected", &topics.rejected),
    ];
    for (index, (key, name)) in names.iter().enumerate() {
        let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let accepted = (1..=249).contains(&name.len())
            && name.chars().all(legal)
            && *name != "."
            && *name != "..";
        check.that(
            key,
            accepted,
            "1 to 249 letters, digits, dots, underscores and hyphens",
        )?;
        let repeated = names[..index].iter().any(|(_, other)| other == name);
        check.that(key, !repeated, "a topic of its own")?;
    }
    check.number("topics.partitions", u64::from(topics.partitions), 1, 10_000)?;
    check.number("topics.replication", u64::from(topics.replication), 1, 100)
}

fn objects(warehouse: &WarehouseSection, check: Check<'_>) -> Result<(), ConfigError> {
    let account = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    check.that(
        "warehouse.account",
        warehouse.account.chars().all(account),
        "an account identifier, <organisation>-<account>",
    )?;
    for (key, name) in [
        ("warehouse.role", &warehouse.role),
        ("warehouse.database", &warehouse.database),
        ("warehouse.schema", &warehouse.schema),
        ("warehouse.warehouse", &warehouse.warehouse),
        ("warehouse.stage", &warehouse.stage),
        (
            "warehouse.storage_integration",
            &warehouse.storage_integration,
        ),
    ] {
        check.identifier(key, name)?;
    }
    let login = |c: char| c.is_ascii_alphanumeric() || "_$.@-".contains(c);
    let user = !warehouse.user.is_empty() && warehouse.user.chars().all(login);
    check.that("warehouse.user", user, "the login name of the service user")?;
    timeouts(warehouse, check)?;
    let is_web = |url: &str| url.starts_with("http://") || url.starts_with("https://");
    check.that(
        "warehouse.url",
        warehouse.url.is_empty() || is_web(&warehouse.url),
        "empty, or an address that begins with https:// or http://",
    )?;
    check.that(
        "warehouse.proxy",
        warehouse.proxy.is_empty() || (is_web(&warehouse.proxy) && !warehouse.proxy.contains('@')),
        "empty, or http://host:port without a password; one that takes a password goes into HTTPS_PROXY of the environment",
    )?;
    let stage = &warehouse.stage_url;
    let scheme = ["s3://", "gcs://", "azure://", "file:///"]
        .iter()
        .any(|scheme| stage.starts_with(scheme));
    let plain =
        !stage.contains(|c: char| c == '\'' || c == '\\' || c.is_whitespace() || c.is_control());
    check.that(
        "warehouse.stage_url",
        stage.is_empty() || (scheme && plain && stage.ends_with('/')),
        "s3://bucket/prefix/, gcs://, azure:// or file:///folder/, with a slash at its end; or empty for an internal stage",
    )
}

fn timeouts(warehouse: &WarehouseSection, check: Check<'_>) -> Result<(), ConfigError> {
    let second = Duration::from_secs(1);
    for (key, value, range, words) in [
        (
            "warehouse.statement_timeout",
            warehouse.statement_timeout,
            (second, 7 * DAY),
            "1s to 7d",
        ),
        (
            "warehouse.request_timeout",
            warehouse.request_timeout,
            (second, 600 * second),
            "1s to 10m",
        ),
        (
            "warehouse.retry_for",
            warehouse.retry_for,
            (Duration::ZERO, 3600 * second),
            "0s to 1h",
        ),
    ] {
        check.duration(key, value, range, words)?;
    }
    Ok(())
}

fn is_host_and_port(server: &str) -> bool {
    let Some((host, port)) = server.trim().rsplit_once(':') else {
        return false;
    };
    !host.is_empty() && !host.contains(char::is_whitespace) && port.parse::<u16>().is_ok()
}

/// Looks up where a value stands when it has to be refused.
#[derive(Clone, Copy)]
struct Check<'a>(&'a [Setting]);

impl Check<'_> {
    fn that(self, key: &str, holds: bool, accepted: &str) -> Result<(), ConfigError> {
        if holds {
            Ok(())
        } else {
            Err(refuse(self.0, key, accepted))
        }
    }

    fn number(self, key: &str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
        self.that(
            key,
            (least..=most).contains(&value),
            &format!("{least} to {most}"),
        )
    }

    fn duration(
        self,
        key: &str,
        value: Duration,
        (least, most): (Duration, Duration),
        words: &str,
    ) -> Result<(), ConfigError> {
        self.that(key, (least..=most).contains(&value), words)
    }

    /// Names go into SQL as they stand, so nothing that would have to be quoted is accepted.
    fn identifier(self, key: &str, name: &str) -> Result<(), ConfigError> {
        let first = name
            .chars()
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        let rest = name.len() <= 255
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
        self.that(
            key,
            first && rest,
            "a plain name of letters, digits, underscores and dollar signs",
        )
    }

    fn must_be_set(self, key: &str, empty: bool, what: &str) -> Result<(), ConfigError> {
        if !empty {
            return Ok(());
        }
        let hint = format!("it is {what}; {}", super::layers::variable_hint(key));
        Err(ConfigError::refused(
            "configuration",
            format!("{key} is not set"),
            hint,
        ))
    }
}
