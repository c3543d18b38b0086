//! Brokers that are not there or speak something else, and topics that lose records.

use std::sync::Arc;

use super::guide;
use super::scene::{Break, Case, Scene, environment};
use crate::support::deployment::{Deployment, PARTITIONS};
use crate::support::kafka::Guarded;
use crate::support::kafka::guarded::{MECHANISM, PASSWORD, USER};
use crate::support::pipeline::Pipeline;

const TO: &str = "kafka.bootstrap_servers";
const PROTOCOL: &str = "kafka.properties.security.protocol";
const AUTHORITY: &str = "kafka.properties.ssl.ca.location";

fn ways_there(guarded: &Guarded) -> Vec<Case> {
    let (plain, tls) = (guarded.kafka.bootstrap(), guarded.tls.as_str());
    let authority = guarded.authority.to_str().unwrap();
    let certificate = [0, 1].map(|at| guarded.certificate[at].to_str().unwrap());
    let (host, port) = plain.split_once(':').unwrap();
    vec![
        Case::new("no broker", environment(&[(TO, "127.0.0.1:1")])).then(
            "kafka broker",
            "127.0.0.1:1: Connection refused",
            "[kafka] bootstrap_servers",
            &[host, port],
        ),
        Case::new("no such host", environment(&[(TO, "nowhere.invalid:9092")])).then(
            "kafka broker",
            "nobody can be connected to at nowhere.invalid:9092",
            "[kafka] bootstrap_servers",
            &[host, port],
        ),
        Case::new("plain text to TLS", environment(&[(TO, tls)])).then(
            "kafka security",
            "wants TLS and is spoken to in PLAINTEXT",
            "[kafka.properties] \"security.protocol\" = \"SSL\"",
            &[],
        ),
        Case::new("TLS to plain text", environment(&[(PROTOCOL, "SSL")])).then(
            "kafka security",
            "speaks no TLS and is spoken to in SSL",
            "[kafka.properties] \"security.protocol\" = \"PLAINTEXT\"",
            &[],
        ),
        Case::new(
            "an authority that nobody knows",
            environment(&[
                (TO, tls),
                (PROTOCOL, "SSL"),
                (AUTHORITY, "/etc/ssl/certs/ca-certificates.crt"),
            ]),
        )
        .then(
            "kafka security",
            "is not trusted",
            "[kafka.properties] \"ssl.ca.location\"",
            &[authority],
        ),
        Case::new(
            "no certificate of the client",
            environment(&[(TO, &guarded.mutual), (PROTOCOL, "SSL")]),
        )
        .then(
            "kafka security",
            "wants a certificate of this client",
            "[kafka.properties] \"ssl.certificate.location\"",
            &certificate,
        ),
        Case::new(
            "a setting that there is not",
            environment(&[(PROTOCOL, "TLS")]),
        )
        .then(
            "kafka security",
            "librdkafka does not take the settings",
            "[kafka.properties] \"security.protocol\"",
            &["plaintext"],
        ),
        Case::new(
            "an address that leads astray",
            environment(&[(TO, &guarded.astray)]),
        )
        .then(
            "kafka listeners",
            "at 127.0.0.1:1, and they cannot be connected to there",
            "in the broker's server.properties: advertised.listeners=",
            &[],
        )
        .by_hand(environment(&[(TO, &plain)])),
    ]
}

fn sign_ins(guarded: &Guarded) -> Vec<Case> {
    let signed_with = |mechanism: &str, password: &str| {
        environment(&[
            (TO, &guarded.sasl),
            (PROTOCOL, "SASL_PLAINTEXT"),
            ("kafka.properties.sasl.mechanism", mechanism),
            ("kafka.properties.sasl.username", USER),
            ("kafka.properties.sasl.password", password),
        ])
    };
    let wrong_mechanism = (
        "kafka security",
        "does not know the mechanism SCRAM-SHA-512, but SCRAM-SHA-256",
        "[kafka.properties] \"sasl.mechanism\" = \"SCRAM-SHA-256\"",
    );
    let (line, says, fix) = wrong_mechanism;
    let password = ("kafka.properties.sasl.password", PASSWORD);
    vec![
        Case::new("no sign-in", environment(&[(TO, &guarded.sasl), password]))
            .then(
                "kafka security",
                "it wants a SASL sign-in",
                "[kafka.properties] \"security.protocol\" = \"SASL_PLAINTEXT\"",
                &[USER],
            )
            .then(line, says, fix, &[]),
        Case::new("a wrong mechanism", signed_with("SCRAM-SHA-512", PASSWORD)).then(
            line,
            says,
            fix,
            &[],
        ),
        Case::new("a wrong password", signed_with(MECHANISM, "babbage")).then(
            "kafka security",
            "refuses the password of ada",
            "export SLUICEBOX_KAFKA__PROPERTIES__SASL_PASSWORD",
            &[PASSWORD],
        ),
    ]
}

/// Topics that are not as the pipeline needs them.
fn topics(guarded: &Guarded, scene: &Scene) -> Vec<Case> {
    let Deployment {
        raw,
        clean,
        rejected,
        ..
    } = &scene.deployment;
    let gold = &scene.gold;
    let bootstrap = guarded.kafka.bootstrap();
    let altered = |topic: &str, setting: &str| {
        Break::Shell(format!(
            "kafka-configs.sh --bootstrap-server {bootstrap} --alter --entity-type topics --entity-name {topic} \
             --add-config {setting}"
        ))
    };
    let mut cases: Vec<Case> = [
        (
            gold,
            "cleanup.policy=delete",
            "cleanup.policy is delete and has to be compact",
        ),
        (
            gold,
            "cleanup.policy=[compact,delete]",
            "cleanup.policy is compact,delete and has to be compact",
        ),
        (raw, "cleanup.policy=compact", "compaction removes events"),
        (
            rejected,
            "max.message.bytes=1048588",
            "max.message.bytes is 1048588 and has to be at least 2162712",
        ),
        (
            clean,
            "retention.ms=604800000",
            "retention.ms is 604800000 and has to be at least 3542400000",
        ),
    ]
    .into_iter()
    .map(|(topic, setting, says)| {
        Case::new(format!("{topic} with {setting}"), altered(topic, setting)).then(
            format!("topic {topic}"),
            says,
            "kafka-configs.sh --bootstrap-server",
            &[],
        )
    })
    .collect();
    let elsewhere = format!("{raw}-elsewhere");
    cases.push(
        Case::new(
            "a topic that is not there",
            environment(&[("topics.raw", &elsewhere)]),
        )
        .then(
            format!("topic {elsewhere}"),
            "it does not exist",
            "sluicebox --config ",
            &[],
        ),
    );
    cases
}

#[test]
fn every_broken_broker_and_topic_comes_with_what_repairs_it() {
    let guarded = Guarded::start();
    let pipeline = Pipeline::customer_metrics();
    let gold = pipeline.gold.clone();
    let kafka = Arc::clone(&guarded.kafka);
    let deployment = Deployment::on(kafka, PARTITIONS, "doctor", &pipeline);
    deployment.done(&["setup", "kafka"]);
    let mut scene = Scene::new(deployment, gold, "kafka");
    scene.always(AUTHORITY, guarded.authority.to_str().unwrap());
    let first = scene.check();
    assert!(first.ok, "{:#?}", first.wrong());

    let cases = [
        ways_there(&guarded),
        sign_ins(&guarded),
        topics(&guarded, &scene),
    ]
    .concat();
    for case in &cases {
        scene.play(case);
    }
    println!(
        "{} broken set-ups of Kafka, each repaired by what was printed",
        cases.len()
    );
    guide::assert_said("Kafka", &scene.said);
}

#[test]
fn a_raw_topic_that_forgets_early_is_a_warning() {
    let kafka = crate::support::kafka::Kafka::shared();
    let pipeline = Pipeline::customer_metrics();
    let gold = pipeline.gold.clone();
    let deployment = Deployment::on(Arc::clone(&kafka), PARTITIONS, "forgetful", &pipeline);
    kafka.create_topic(&deployment.raw, PARTITIONS, &[("retention.ms", "60000")]);
    deployment.done(&["setup", "kafka"]);
    let mut scene = Scene::new(deployment, gold, "kafka");
    let report = scene.check();
    assert!(report.ok);
    let warnings = report.of("warning");
    let [warning] = warnings.as_slice() else {
        panic!("{warnings:#?}")
    };
    assert!(
        warning
            .found
            .contains("duplicates of what has left the topic are not known")
    );
    let fix = warning.fix.clone().unwrap();
    scene.apply(&fix);
    assert!(scene.check().of("warning").is_empty());
    guide::assert_said("Warnings", &scene.said);
}
