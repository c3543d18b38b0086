//! Where the warehouse takes less than Kafka: the longest text, and digits after the point.

use std::time::Duration;

use serde_json::Value;

use crate::support::deployment::{ADMINISTRATOR, Deployment, PARTITIONS};
use crate::support::kafka::{Kafka, Message};
use crate::support::pipeline::Pipeline;

/// Characters of Snowflake's VARCHAR when no length is written.
const MOST: usize = 16_777_216;

const LIMIT: Duration = Duration::from_secs(240);

/// An event whose currency is a text of so many characters.
fn event(id: &str, text: &str) -> Message {
    let now = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ");
    let value = format!(
        r#"{{"event_id":"{id}","customer_id":"C","event_type":"PURCHASE","amount":1,"currency":"{text}","event_timestamp":"{now}"}}"#
    );
    Message {
        value: Some(value.into_bytes()),
        partition: Some(0),
        ..Message::default()
    }
}

#[test]
fn a_text_of_16_777_216_characters_is_loaded_and_one_more_is_refused_and_blocks_nothing() {
    let kafka = Kafka::shared();
    let deployment = Deployment::new("lengths", &Pipeline::customer_metrics());
    let large = [("max.message.bytes", "100000000")];
    for topic in [&deployment.raw, &deployment.clean, &deployment.rejected] {
        kafka.create_topic(topic, PARTITIONS, &large);
    }
    deployment.setup();
    let longest = format!("{}z", "a".repeat(MOST - 1));
    // Two bytes a character: it is characters that count.
    let wide = "\u{e9}".repeat(MOST);
    let too_long = format!("{longest}!");
    let texts = [
        ("longest", &longest),
        ("too-long", &too_long),
        ("wide", &wide),
    ];
    kafka.produce(
        &deployment.raw,
        texts.iter().map(|(id, text)| event(id, text)),
    );
    kafka.produce(&deployment.raw, [event("after", "EUR")]);
    let mut service = deployment.start(&["run"]);
    service.wait_for("what fits is loaded", LIMIT, |service| {
        service.metric("sluicebox_load_rows_total") > 0
            && deployment.number("SELECT COUNT(*) FROM KAFKA_EVENTS_SILVER") == 3
    });
    assert!(service.terminate().success());

    let rejected = kafka.read_all(&deployment.rejected);
    assert_eq!(rejected.len(), 1);
    let header = |wanted: &str| {
        let found = rejected[0].headers.iter().find(|(name, _)| name == wanted);
        String::from_utf8(found.unwrap().1.clone().unwrap()).unwrap()
    };
    assert_eq!(header("sluicebox.reason"), "too_large");
    let detail = header("sluicebox.detail");
    assert!(detail.contains("`currency` has 16777217"), "{detail}");
    assert!(rejected[0].value.as_ref().unwrap().len() > MOST);
    for (id, text) in [("longest", &longest), ("wide", &wide)] {
        let sql = format!("SELECT CURRENCY FROM KAFKA_EVENTS_SILVER WHERE EVENT_ID = '{id}'");
        let rows = deployment.query(&sql);
        let loaded = rows[0].values().next().and_then(Value::as_str).unwrap();
        assert!(loaded == text.as_str(), "{id}: {} bytes", loaded.len());
    }
}

#[test]
fn a_decimal_with_more_digits_after_the_point_than_snowflake_has_is_refused_by_setup() {
    let mut pipeline = Pipeline::customer_metrics();
    let added = [
        (
            "raw_events.sql",
            "    event_timestamp TIMESTAMP\n",
            "    event_timestamp TIMESTAMP, share DECIMAL(38, 38)\n",
        ),
        (
            "clean_events.sql",
            "AS processing_timestamp,",
            "AS processing_timestamp, share,",
        ),
        (
            "warehouse/02_kafka_events_silver.sql",
            "    PROCESSING_TIMESTAMP TIMESTAMP_NTZ(6) NOT NULL\n",
            "    PROCESSING_TIMESTAMP TIMESTAMP_NTZ(6) NOT NULL, SHARE NUMBER(38, 37)\n",
        ),
    ];
    for (file, from, to) in added {
        pipeline.edit(file, from, to);
    }
    let deployment = Deployment::new("scale", &pipeline);
    let mut setup = deployment.command(&["setup", "--role", ADMINISTRATOR]);
    let output = setup.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("SHARE") && said.contains("hint: "), "{said}");
}
