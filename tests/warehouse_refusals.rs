//! Brokers and warehouses that are not there or say no: one line, a hint, exit code 1, and nothing half done.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use sluicebox::keys::KeyPair;

use crate::support::deployment::{ADMINISTRATOR, Deployment};
use crate::support::kafka::Kafka;
use crate::support::pipeline::Pipeline;

const SELECT: [&str; 4] = [
    "--set",
    "warehouse.retry_for=1s",
    "query",
    "SELECT 1 AS ONE",
];

/// The command ends with 1; apart from log lines it says one line and its hint.
fn assert_refused(deployment: &Deployment, arguments: &[&str], says: &str, hint: &str) {
    let output = deployment.command(arguments).output().unwrap();
    assert_said(&output, arguments, says, hint);
}

fn assert_said(output: &Output, arguments: &[&str], says: &str, hint: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    let context = format!("{arguments:?}: {said}");
    assert_eq!(output.status.code(), Some(1), "{context}");
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with('{')).collect();
    let [error, hints] = lines.as_slice() else {
        panic!("{context}")
    };
    assert!(
        error.starts_with("error: ") && error.contains(says),
        "{context}"
    );
    assert!(
        hints.starts_with("hint: ") && hints.contains(hint),
        "{context}"
    );
    assert!(
        !said.contains("panicked") && !said.contains("backtrace"),
        "{context}"
    );
}

/// A key that nobody has registered.
fn stranger(folder: &Path, name: &str, passphrase: Option<&str>) -> String {
    let file = folder.join(name);
    let pair = KeyPair::generate(2048).unwrap();
    pair.write_new(
        &file,
        passphrase.map(|text| text.to_owned().into()).as_ref(),
    )
    .unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn who_cannot_sign_in_is_told_why() {
    let deployment = Deployment::new("sign-in", &Pipeline::customer_metrics());
    let folder = tempfile::tempdir().unwrap();
    let with = |set: &str| [&["--set", set][..], &SELECT].concat().join("\n");
    let refused = |set: &str, says: &str, hint: &str| {
        let arguments = with(set);
        let arguments: Vec<&str> = arguments.split('\n').collect();
        assert_refused(&deployment, &arguments, says, hint);
    };
    let unknown = stranger(folder.path(), "unknown.p8", None);
    for set in [
        "warehouse.account=OTHER".to_owned(),
        "warehouse.user=NOBODY".to_owned(),
        format!("warehouse.private_key_file={unknown}"),
    ] {
        refused(
            &set,
            "refused the token",
            "one of: the key is not registered",
        );
        refused(&set, "(390144)", "ALTER USER");
    }
    refused(
        "warehouse.private_key_file=/nowhere.p8",
        "/nowhere.p8",
        "keys generate",
    );
    fs::set_permissions(&unknown, fs::Permissions::from_mode(0o644)).unwrap();
    refused(
        &format!("warehouse.private_key_file={unknown}"),
        "can be read by group or others",
        "chmod 600",
    );
    refused(
        "warehouse.url=http://127.0.0.1:1",
        "unavailable",
        "warehouse.url",
    );
    let encrypted = stranger(folder.path(), "encrypted.p8", Some("open sesame"));
    let set = with(&format!("warehouse.private_key_file={encrypted}"));
    let arguments: Vec<&str> = set.split('\n').collect();
    let mut command = deployment.command(&arguments);
    command.env("SLUICEBOX_WAREHOUSE__PRIVATE_KEY_PASSPHRASE", "open barley");
    let output = command.output().unwrap();
    assert_said(
        &output,
        &arguments,
        "passphrase does not open",
        "PASSPHRASE",
    );
    assert!(!String::from_utf8_lossy(&output.stderr).contains("barley"));
}

#[test]
fn a_broker_that_is_not_there_is_said_soon() {
    let deployment = Deployment::new("no-broker", &Pipeline::customer_metrics());
    let commands = [
        &["run", "clean"][..],
        &["setup", "kafka"],
        &["generate", "--count", "1", "--quiet"],
    ];
    std::thread::scope(|scope| {
        for command in commands {
            let deployment = &deployment;
            scope.spawn(move || {
                let started = Instant::now();
                let set = "kafka.bootstrap_servers=127.0.0.1:1";
                let arguments = [&["--set", set][..], command].concat();
                assert_refused(deployment, &arguments, "127.0.0.1:1", "bootstrap_servers");
                let took = started.elapsed();
                assert!(took < Duration::from_secs(35), "{command:?}: {took:?}");
            });
        }
    });
}

#[test]
fn what_is_missing_at_the_start_is_named() {
    let deployment = Deployment::new("missing", &Pipeline::customer_metrics());
    assert_refused(
        &deployment,
        &["run", "clean"],
        &deployment.clean,
        "sluicebox setup",
    );
    deployment.done(&["setup", "kafka"]);
    let nowhere = ["--set", "topics.raw=nowhere", "run", "clean"];
    assert_refused(&deployment, &nowhere, "`nowhere`", "sluicebox setup");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let set = format!("web.listen={}", taken.local_addr().unwrap());
    assert_refused(
        &deployment,
        &["--set", &set, "run", "clean"],
        "cannot listen on",
        "web.listen",
    );
    // Nothing is set up in the warehouse.
    assert_refused(&deployment, &["run", "sink"], "", "");
    let verify = deployment.command(&["verify"]).output().unwrap();
    let said = String::from_utf8_lossy(&verify.stderr);
    assert_eq!(verify.status.code(), Some(1), "{said}");
    assert!(
        said.contains("cannot be read\nhint: run `sluicebox setup`"),
        "{said}"
    );
    assert_refused(
        &deployment,
        &["--set", "pipeline.folder=/nowhere", "run"],
        "/nowhere/raw_events.sql",
        "pipeline.folder",
    );
}

#[test]
fn a_table_that_lacks_a_column_is_refused_before_anything_is_made() {
    let mut pipeline = Pipeline::customer_metrics();
    let script = "warehouse/02_kafka_events_silver.sql";
    pipeline.edit(
        script,
        "    CURRENCY             VARCHAR          NOT NULL,\n",
        "",
    );
    let deployment = Deployment::new("column", &pipeline);
    for command in ["setup", "run"] {
        assert_refused(&deployment, &[command], "CURRENCY", "");
    }
    let topics = deployment.command(&["run", "clean"]).output().unwrap();
    assert_said(
        &topics,
        &["run", "clean"],
        "does not exist",
        "sluicebox setup",
    );
}

#[test]
fn a_second_setup_finds_everything_there_and_verify_counts_the_views() {
    let deployment = Deployment::new("setup", &Pipeline::customer_metrics());
    deployment.setup();
    let again = deployment.done(&["setup", "--role", ADMINISTRATOR]);
    for line in again.lines() {
        // A view has no data: it is made anew.
        let kept = line.contains("already there") || line.starts_with("GRANT");
        assert!(kept || line.starts_with("CREATE OR REPLACE VIEW"), "{line}");
    }
    let views = [
        "EVENT_FUNNEL",
        "DAILY_CUSTOMER_REVENUE",
        "REAL_TIME_CUSTOMER_METRICS",
        "TOP_CUSTOMERS",
        "HOURLY_TRENDS",
    ];
    let counted = deployment.done(&["verify"]);
    assert_eq!(counted.lines().count(), views.len(), "{counted}");
    for view in views {
        assert!(counted.contains(&format!("{view}: ")), "{counted}");
    }
    let administrator = format!("warehouse.role={ADMINISTRATOR}");
    deployment.done(&["--set", &administrator, "query", "DROP VIEW TOP_CUSTOMERS"]);
    let output = deployment.command(&["verify"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 4);
    assert!(
        String::from_utf8_lossy(&output.stderr)
            .contains("error: TOP_CUSTOMERS cannot be read\nhint: ")
    );
}

#[test]
fn a_missing_grant_or_table_ends_the_sink_with_its_remedy() {
    let deployment = Deployment::new("grants", &Pipeline::customer_metrics());
    deployment.setup();
    let administrator = format!("warehouse.role={ADMINISTRATOR}");
    let administer = |sql: &str| deployment.done(&["--set", &administrator, "query", sql]);
    administer("REVOKE UPDATE ON TABLE SLUICEBOX_CONTROL FROM ROLE KAFKA_LOADER");
    assert_refused(
        &deployment,
        &["run", "sink"],
        "Insufficient privileges",
        "grant the missing privilege",
    );
    administer("DROP TABLE SLUICEBOX_CONTROL");
    assert_refused(
        &deployment,
        &["run", "sink"],
        "does not exist or not authorized",
        "sluicebox setup",
    );
    deployment.setup();
    administer("DROP TABLE KAFKA_EVENTS_SILVER");
    deployment.done(&["generate", "--count", "20", "--seed", "1", "--quiet"]);
    assert_eq!(Kafka::shared().read_all(&deployment.raw).len(), 20);
    assert_refused(
        &deployment,
        &["run"],
        "KAFKA_EVENTS_SILVER",
        "sluicebox setup",
    );
}
