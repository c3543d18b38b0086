//! Tokens that the warehouse refuses, and secrets that nobody gets to see.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sluicebox::keys::KeyPair;

use crate::support::deployment::{ADMINISTRATOR, Deployment};
use crate::support::kafka::{Kafka, Message};
use crate::support::pipeline::Pipeline;

/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(90);

/// What `sluicebox config` says that a setting is.
fn setting(deployment: &Deployment, key: &str) -> String {
    let said = deployment.done(&["config"]);
    let line = said
        .lines()
        .find(|line| line.starts_with(&format!("{key} = ")));
    let value = line.and_then(|line| line.split('"').nth(1));
    value
        .unwrap_or_else(|| panic!("{key} in {said}"))
        .to_owned()
}

/// A token for an account, made a while ago.
fn token(pair: &KeyPair, account: &str, age: Duration) -> String {
    let made = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - age;
    let claims = json!({
        "iss": format!("{account}.KAFKA_SERVICE.{}", pair.fingerprint()),
        "sub": format!("{account}.KAFKA_SERVICE"),
        "iat": made.as_secs(),
        "exp": made.as_secs() + 3540,
    });
    let key = EncodingKey::from_rsa_der(pair.reveal().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).unwrap()
}

/// The status and the answer to a statement that is sent with this token.
fn answer(url: &str, token: &str) -> (u16, Value) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let request = reqwest::Client::new()
            .post(format!("{url}/api/v2/statements"))
            .bearer_auth(token)
            .header("X-Snowflake-Authorization-Token-Type", "KEYPAIR_JWT")
            .json(&json!({"statement": "SELECT 1", "role": ADMINISTRATOR}));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    })
}

#[test]
fn a_foreign_an_expired_and_a_misdirected_token_are_refused() {
    let deployment = Deployment::new("tokens", &Pipeline::customer_metrics());
    let url = setting(&deployment, "warehouse.url");
    let account = setting(&deployment, "warehouse.account");
    let registered = deployment.key();
    let stranger = KeyPair::generate(2048).unwrap();
    let now = Duration::ZERO;
    let (status, _) = answer(&url, &token(&registered, &account, now));
    assert_eq!(status, 200);
    for (what, token) in [
        (
            "signed by an unregistered key",
            token(&stranger, &account, now),
        ),
        (
            "expired",
            token(&registered, &account, Duration::from_secs(2 * 3600)),
        ),
        ("for another account", token(&registered, "OTHER", now)),
        ("no token", "eyJ.no.token".to_owned()),
    ] {
        let (status, answer) = answer(&url, &token);
        assert_eq!(
            (status, &answer["code"]),
            (401, &json!("390144")),
            "{what}: {answer}"
        );
    }
}

/// Stands in the payloads.
const MARKER: &str = "zanzibar-payload";
const PASSPHRASE: &str = "open-sesame-barley";

fn marked_events() -> Vec<Message> {
    let now = Utc::now();
    let event = |fields: &str| {
        format!(
            r#"{{"customer_id": "{MARKER}", "event_type": "PURCHASE", "currency": "{MARKER}", "event_timestamp": "{}", {fields}}}"#,
            now.to_rfc3339()
        )
    };
    let values = [
        event(&format!(r#""event_id": "{MARKER}", "amount": 1"#)),
        event(&format!(r#""event_id": "{MARKER}", "amount": 1"#)),
        event(&format!(r#""event_id": "{MARKER}", "amount": 2"#)),
        event(&format!(r#""event_id": "a", "amount": "{MARKER}""#)),
        event(&format!(
            r#""event_id": "b", "amount": -1, "note": "{MARKER}""#
        )),
        format!("{MARKER} is no JSON"),
    ];
    let message = |value: String| Message {
        key: Some(MARKER.into()),
        value: Some(value.into_bytes()),
        headers: vec![("note".to_owned(), Some(MARKER.into()))],
        ..Message::default()
    };
    values.into_iter().map(message).collect()
}

#[test]
fn no_key_token_or_payload_is_ever_printed() {
    let pipeline = Pipeline {
        external_stage: true,
        ..Pipeline::customer_metrics()
    };
    let deployment = Deployment::new("secrets", &pipeline);
    let folder = tempfile::tempdir().unwrap();
    let encrypted = folder.path().join("encrypted.p8");
    let stranger = KeyPair::generate(2048).unwrap();
    stranger
        .write_new(&encrypted, Some(&PASSPHRASE.to_owned().into()))
        .unwrap();
    let encrypted = format!("warehouse.private_key_file={}", encrypted.display());
    let mut printed = String::new();
    let mut run = |arguments: &[&str]| {
        let arguments = [&["--set", "log.level=trace"][..], arguments].concat();
        let mut command = deployment.command(&arguments);
        command.env("SLUICEBOX_WAREHOUSE__PRIVATE_KEY_PASSPHRASE", PASSPHRASE);
        let output = command.output().unwrap();
        printed.push_str(&String::from_utf8_lossy(&output.stdout));
        printed.push_str(&String::from_utf8_lossy(&output.stderr));
    };
    run(&["setup", "--role", ADMINISTRATOR]);
    Kafka::shared().produce(&deployment.raw, marked_events());
    let mut service = deployment.start(&["--set", "log.level=trace", "run"]);
    service.wait_ready();
    service.wait_for("the row", Duration::from_secs(60), |_| {
        deployment.number("SELECT COUNT(*) FROM KAFKA_EVENTS_SILVER") == 1
    });
    assert!(service.terminate().success());
    run(&["config"]);
    run(&["verify"]);
    run(&["query", "SELECT 1 AS ONE"]);
    run(&["--set", &encrypted, "query", "SELECT 1 AS ONE"]);
    run(&["--set", &encrypted, "run", "sink"]);
    run(&["--set", "warehouse.stage_url=s3://elsewhere/", "config"]);
    printed.push_str(&service.log());
    assert!(
        printed.contains("batch cleaned") && printed.contains("rows loaded"),
        "{printed}"
    );

    let registered = deployment.key();
    let private = [&registered, &stranger].map(|pair| STANDARD.encode(pair.reveal().as_bytes()));
    let s3_secret = mock_warehouse::Config::new("any").s3_secret_key;
    let secrets = [
        MARKER,
        PASSPHRASE,
        &s3_secret,
        &private[0],
        &private[1],
        "PRIVATE KEY",
        "Bearer",
        "bearer",
        "eyJ",
    ];
    for secret in secrets {
        if let Some(line) = printed.lines().find(|line| line.contains(secret)) {
            panic!("`{secret}` was printed: {line}");
        }
    }
    // A line break inside the base64 would hide it.
    let lines: Vec<&str> = private
        .iter()
        .flat_map(|key| [&key[..64], &key[640..704]])
        .collect();
    assert!(lines.iter().all(|part| !printed.contains(part)));
}

#[test]
fn a_key_is_exchanged_while_the_service_runs() {
    let deployment = Deployment::new("rotation", &Pipeline::customer_metrics());
    deployment.setup();
    let generate = || deployment.done(&["generate", "--count", "20", "--quiet"]);
    let mut service = deployment.start(&["run"]);
    service.wait_ready();
    let file = deployment.path().join("rsa_key.p8");
    let old = deployment.path().join("old.p8");
    fs::copy(&file, &old).unwrap();
    fs::remove_file(&file).unwrap();
    let new = KeyPair::generate(2048).unwrap();
    new.write_new(&file, None).unwrap();
    // A sink that has nothing to load asks for nothing, and meets no refusal.
    service.wait_for("the refusal", LIMIT, |service| {
        generate();
        service.log().contains("the new key is refused")
    });
    let old = format!("warehouse.private_key_file={}", old.display());
    let role = format!("warehouse.role={ADMINISTRATOR}");
    let with_old_key = |sql: &str| deployment.done(&["--set", &old, "--set", &role, "query", sql]);
    let loaded = || with_old_key("SELECT COUNT(*) FROM KAFKA_EVENTS_SILVER");
    let before = loaded();
    service.wait_for("rows by the old key", LIMIT, |_| {
        generate();
        loaded() != before
    });
    let public = new.public_key_base64();
    with_old_key(&format!(
        "ALTER USER KAFKA_SERVICE SET RSA_PUBLIC_KEY_2 = '{public}'"
    ));
    service.wait_for("the new key", LIMIT, |service| {
        generate();
        service.log().contains("the warehouse takes the new key")
    });
    with_old_key("ALTER USER KAFKA_SERVICE UNSET RSA_PUBLIC_KEY");
    let count = || deployment.number("SELECT COUNT(*) FROM KAFKA_EVENTS_SILVER");
    let before = count();
    service.wait_for("rows by the new key", LIMIT, |_| {
        generate();
        count() > before
    });

    // A key that is taken back altogether is trouble, and no end: it can be given back.
    deployment.administer(&["ALTER USER KAFKA_SERVICE UNSET RSA_PUBLIC_KEY_2"]);
    service.wait_for("the trouble", LIMIT, |service| {
        generate();
        service.log().contains("the warehouse does not take them")
    });
    assert!(
        service
            .log()
            .contains("ALTER USER KAFKA_SERVICE SET RSA_PUBLIC_KEY=")
    );
    let give_back = format!("ALTER USER KAFKA_SERVICE SET RSA_PUBLIC_KEY = '{public}'");
    deployment.administer(&[&give_back]);
    service.wait_for("the recovery", LIMIT, |service| {
        service.log().contains("the warehouse takes rows again")
    });
    assert!(service.terminate().success(), "{}", service.log());
}
