//! What a person writes into the file, the environment and the flags, and what comes of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::layers::File;
use super::*;

const LEAST: &str = r#"[pipeline]
folder = "sql/orders"
[clean]
key = "user"
event_id = "id"
[sink]
clean_table = "ORDERS"
"#;

/// A file of `text` in a folder of its own, with variables and flags.
fn load(text: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, String> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sluicebox.toml");
    std::fs::write(&path, text).unwrap();
    let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    let file = File::read(Some(&path)).map_err(|error| error.to_string())?;
    let config = Config::compose(&file, owned(variables).into_iter(), &owned(flags));
    let here = format!("{}/", folder.path().display());
    config.map_err(|error| error.to_string().replace(&here, ""))
}

fn least_and(text: &str) -> String {
    format!("{LEAST}{text}")
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_the_defaults() {
    let text =
        least_and("[gold]\nbatch_events = 2\nbatch_interval = \"2s\"\n[topics]\npartitions = 2\n");
    let variables = [
        ("SLUICEBOX_GOLD__BATCH_EVENTS", "3"),
        ("SLUICEBOX_GOLD__BATCH_INTERVAL", "3s"),
        ("HOME", "/"),
    ];
    let config = load(&text, &variables, &[("gold.batch_events", "4")]).unwrap();
    assert_eq!(config.gold.batch_events, 4, "flag");
    assert_eq!(
        config.gold.batch_interval,
        Duration::from_secs(3),
        "environment"
    );
    assert_eq!(config.topics.partitions, 2, "file");
    assert_eq!(config.clean.batch_events, 50_000, "default");
}

#[test]
fn describe_names_the_origin_of_every_value() {
    let text = least_and("[topics]\nraw = \"in\"\n");
    let variables = [("SLUICEBOX_WAREHOUSE__ACCOUNT", "12345")];
    let described = load(&text, &variables, &[("web.listen", "127.0.0.1:0")])
        .unwrap()
        .describe();
    for (key, value, origin) in [
        ("pipeline.folder", "\"sql/orders\"", "sluicebox.toml:2"),
        ("topics.raw", "\"in\"", "sluicebox.toml:9"),
        ("topics.clean", "\"clean_events\"", "default"),
        (
            "warehouse.account",
            "\"12345\"",
            "environment variable SLUICEBOX_WAREHOUSE__ACCOUNT",
        ),
        ("web.listen", "\"127.0.0.1:0\"", "flag"),
        ("sink.flush_bytes", "\"64MiB\"", "default"),
        ("clean.batch_events", "50000", "default"),
        ("warehouse.private_key_passphrase", "(not set)", "default"),
    ] {
        let start = format!("{key} = {value} ");
        let line = described.lines().find(|line| line.starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("no line `{start}` in\n{described}"));
        assert!(line.ends_with(origin), "{line} ends with {origin}");
    }
}

#[test]
fn a_secret_is_taken_from_the_environment_and_never_shown() {
    let variables = [
        ("SLUICEBOX_WAREHOUSE__PRIVATE_KEY_PASSPHRASE", "hunter2"),
        ("SLUICEBOX_KAFKA__PROPERTIES__SASL_PASSWORD", "hunter2"),
        (
            "SLUICEBOX_WAREHOUSE__STAGE_PROPERTIES__AWS_SECRET_ACCESS_KEY",
            "hunter2",
        ),
    ];
    let config = load(LEAST, &variables, &[]).unwrap();
    assert_eq!(
        config.kafka.properties.get("sasl.password"),
        Some("hunter2")
    );
    assert_eq!(
        config
            .warehouse
            .stage_properties
            .get("aws_secret_access_key"),
        Some("hunter2")
    );
    let passphrase = config.warehouse.private_key_passphrase.as_ref().unwrap();
    assert_eq!(passphrase.expose_secret(), "hunter2");
    let shown = config.describe();
    assert!(
        shown.contains("kafka.properties.\"sasl.password\" = ***"),
        "{shown}"
    );
    for text in [
        shown,
        format!("{config:?}"),
        serde_json::to_string(&config).unwrap(),
    ] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn properties_take_numbers_and_booleans_as_text() {
    let text =
        least_and("[kafka.properties]\n\"linger.ms\" = 5\nsocket.keepalive.enable = \"x\"\n");
    let refused = load(&text, &[], &[]).unwrap_err();
    assert!(
        refused.starts_with("sluicebox.toml:10: kafka.properties.socket must be"),
        "{refused}"
    );

    let text =
        least_and("[kafka.properties]\n\"linger.ms\" = 5\n\"socket.keepalive.enable\" = true\n");
    let config = load(&text, &[], &[("kafka.properties.client.id", "s")]).unwrap();
    let properties: Vec<_> = config.kafka.properties.iter().collect();
    assert_eq!(
        properties,
        [
            ("client.id", "s"),
            ("linger.ms", "5"),
            ("socket.keepalive.enable", "true")
        ]
    );
}

#[test]
fn relative_paths_of_the_file_start_at_the_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sluicebox.toml");
    std::fs::write(&path, LEAST).unwrap();
    let file = File::read(Some(&path)).unwrap();
    let flags = [(
        "warehouse.private_key_file".to_owned(),
        "here.p8".to_owned(),
    )];
    let config = Config::compose(&file, std::iter::empty(), &flags).unwrap();
    assert_eq!(config.pipeline.folder, folder.path().join("sql/orders"));
    assert_eq!(
        config.warehouse.private_key_file,
        PathBuf::from("here.p8"),
        "a flag's path starts where it was typed"
    );
    assert_eq!(config.warehouse.private_key_passphrase_file, PathBuf::new());
}

#[test]
fn what_is_wrong_in_the_file_is_said_with_line_and_remedy() {
    for (text, expected) in [
        (
            "[gold]\nbatch_event = 1\n",
            "sluicebox.toml:9: unknown key `gold.batch_event`\nhint: did you mean gold.batch_events?",
        ),
        (
            "[gold]\ncolour = 1\n",
            "sluicebox.toml:9: unknown key `gold.colour`\nhint: the keys of [gold] are threads, batch_events, batch_interval",
        ),
        ("[glod]\nbatch_events = 1\n", "hint: did you mean [gold]?"),
        (
            "[gold]\nbatch_interval = \"10\"\n",
            "sluicebox.toml:9: gold.batch_interval must be a duration with its unit, e.g. \"100ms\", \"10s\" or \"1h\", got `\"10\"`",
        ),
        (
            "[gold]\nbatch_interval = 10\n",
            "sluicebox.toml:9: gold.batch_interval must be a duration with its unit",
        ),
        (
            "[gold]\nbatch_interval = \"2h\"\n",
            "sluicebox.toml:9: gold.batch_interval must be 1ms to 30s, got `\"2h\"`",
        ),
        (
            "[gold]\nbatch_events = 0\n",
            "sluicebox.toml:9: gold.batch_events must be 1 to 1000000, got `0`",
        ),
        (
            "[gold]\nbatch_events = \"many\"\n",
            "sluicebox.toml:9: gold.batch_events must be a whole number, got `\"many\"`",
        ),
        (
            "[gold]\nbatch_events = -1\n",
            "sluicebox.toml:9: gold.batch_events must be a whole number, got `-1`",
        ),
        (
            "[gold]\nbatch_events = 1.5\n",
            "sluicebox.toml:9: gold.batch_events must be a whole number, got `1.5`",
        ),
        (
            "[topics]\nraw = 5\n",
            "sluicebox.toml:9: topics.raw must be a text in double quotes, got `5`",
        ),
        (
            "[topics]\nraw = \"a b\"\n",
            "sluicebox.toml:9: topics.raw must be 1 to 249 letters",
        ),
        (
            "[topics]\nraw = \"clean_events\"\n",
            "topics.clean must be a topic of its own",
        ),
        (
            "[topics]\npartitions = 70000000000\n",
            "sluicebox.toml:9: topics.partitions must be a whole number",
        ),
        (
            "[web]\nlisten = \"8080\"\n",
            "sluicebox.toml:9: web.listen must be an address and a port",
        ),
        (
            "[log]\nformat = \"xml\"\n",
            "sluicebox.toml:9: log.format must be \"text\" or \"json\", got `\"xml\"`",
        ),
        (
            "[log]\nlevel = \"loud=very\"\n",
            "sluicebox.toml:9: log.level must be",
        ),
        (
            "[kafka]\nbootstrap_servers = \"localhost\"\n",
            "sluicebox.toml:9: kafka.bootstrap_servers must be host:port",
        ),
        (
            "[kafka.properties]\n\"group.id\" = \"g\"\n",
            "sluicebox.toml:9: kafka.properties.\"group.id\" cannot be set\nhint: remove it",
        ),
        (
            "[kafka.properties]\n\"sasl.password\" = \"p\"\n",
            "sluicebox.toml:9: kafka.properties.\"sasl.password\" is a secret and is not accepted here\nhint: set it in the environment: SLUICEBOX_KAFKA__PROPERTIES__SASL_PASSWORD",
        ),
        (
            "[warehouse]\nprivate_key_passphrase = \"p\"\n",
            "hint: set it in the environment: SLUICEBOX_WAREHOUSE__PRIVATE_KEY_PASSPHRASE, or name a file",
        ),
        (
            "[warehouse.stage_properties]\naws_secret_access_key = \"p\"\n",
            "SLUICEBOX_WAREHOUSE__STAGE_PROPERTIES__AWS_SECRET_ACCESS_KEY",
        ),
        (
            "[warehouse]\ndatabase = \"A; DROP\"\n",
            "sluicebox.toml:9: warehouse.database must be a plain name",
        ),
        (
            "[warehouse]\nproxy = \"http://me:secret@proxy:3128\"\n",
            "got `\"http://***@proxy:3128\"`",
        ),
        (
            "[warehouse]\nstage_url = \"s3://bucket\"\n",
            "sluicebox.toml:9: warehouse.stage_url must be",
        ),
        (
            "[warehouse]\nurl = \"db.example.com\"\n",
            "sluicebox.toml:9: warehouse.url must be",
        ),
        (
            "[gold\nbatch_events = 0\n",
            "sluicebox.toml:8: not valid TOML",
        ),
        ("gold = 5\n", "unknown key `sink.gold`"),
    ] {
        let refused = load(&least_and(text), &[], &[]).expect_err(text);
        assert!(
            refused.contains(expected),
            "{text}\n  got: {refused}\n  not: {expected}"
        );
        assert_eq!(
            refused.lines().count(),
            2,
            "one line and its hint: {refused}"
        );
        assert!(
            refused.lines().nth(1).unwrap().starts_with("hint: "),
            "{refused}"
        );
    }
}

#[test]
fn a_section_that_is_a_value_is_refused() {
    let refused = load(&format!("gold = 5\n{LEAST}"), &[], &[]).unwrap_err();
    assert!(
        refused.starts_with("sluicebox.toml:1: unknown section or key `gold`"),
        "{refused}"
    );
}

#[test]
fn what_is_wrong_in_the_environment_or_a_flag_names_it() {
    for (variable, value, expected) in [
        (
            "SLUICEBOX_GOLD__BATCH_EVENTS",
            "x",
            "environment variable SLUICEBOX_GOLD__BATCH_EVENTS: gold.batch_events must be a whole number, got `\"x\"`",
        ),
        (
            "SLUICEBOX_GOLD__BATCH_EVENT",
            "1",
            "environment variable SLUICEBOX_GOLD__BATCH_EVENT: unknown key",
        ),
        (
            "SLUICEBOX_GOLD_BATCH_EVENTS",
            "1",
            "did you mean SLUICEBOX_GOLD__BATCH_EVENTS (two underscores)?",
        ),
    ] {
        let refused = load(LEAST, &[(variable, value)], &[]).expect_err(variable);
        assert!(
            refused.contains(expected),
            "{variable}={value}\n  got: {refused}"
        );
    }
    let refused = load(LEAST, &[], &[("kafka.properties.sasl.password", "p")]).unwrap_err();
    assert!(
        refused.starts_with("flag: kafka.properties.\"sasl.password\" is a secret"),
        "{refused}"
    );
    load(LEAST, &[("SLUICEBOX_SERVICE_HOST", "10.0.0.1")], &[])
        .expect("a variable of an orchestrator is left alone");
}

#[test]
fn what_must_be_set_is_asked_for() {
    let refused = load("", &[], &[]).unwrap_err();
    assert!(
        refused.starts_with("configuration: pipeline.folder is not set\nhint: "),
        "{refused}"
    );
    let refused = load(LEAST, &[], &[])
        .unwrap()
        .require_warehouse()
        .unwrap_err()
        .to_string();
    assert!(
        refused.starts_with("configuration: warehouse.account is not set\nhint: "),
        "{refused}"
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let refused = Config::load(Some(Path::new("no/such.toml")), &[])
        .unwrap_err()
        .to_string();
    assert!(
        refused.starts_with("no/such.toml: the configuration file cannot be read"),
        "{refused}"
    );
    assert!(
        refused.contains("\nhint: name one with --config FILE"),
        "{refused}"
    );
}

#[test]
fn the_file_of_the_project_is_accepted_and_has_every_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sluicebox.toml");
    let file = File::read(Some(&path)).unwrap();
    let config = Config::compose(&file, std::iter::empty(), &[]).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    for line in config.describe().lines() {
        let key = line.split(" = ").next().unwrap();
        let key = key.rsplit('.').next().unwrap();
        assert!(
            text.contains(&format!("{key} = ")),
            "sluicebox.toml says nothing of {key}"
        );
    }
}
