//! A clean event that its topic does not take.

use std::time::Duration;

use chrono::Utc;
use serde_json::Value;

use super::Event;
use crate::support::deployment::{Deployment, PARTITIONS};
use crate::support::kafka::{Kafka, Message};
use crate::support::pipeline::Pipeline;
use crate::support::wait_until;

/// Records that the log says were judged.
fn consumed(log: &str) -> u64 {
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|line| line["fields"]["consumed"].as_u64())
        .sum()
}

#[test]
fn a_clean_event_that_its_topic_does_not_take_is_refused_alone_and_the_partition_goes_on() {
    let kafka = Kafka::shared();
    let deployment = Deployment::new("sizes", &Pipeline::customer_metrics());
    kafka.create_topic(
        &deployment.clean,
        PARTITIONS,
        &[("max.message.bytes", "20000")],
    );
    deployment.setup();
    let now = Utc::now().timestamp_millis();
    let large = format!("\"{}\"", "L".repeat(30_000));
    let events: Vec<Event> = (0..200)
        .map(|at| {
            let event = Event::good(&format!("EVENT_{at}"), "CUST_1", now);
            if at % 50 == 25 {
                event.with("currency", &large)
            } else {
                event
            }
        })
        .collect();
    let messages = events.iter().map(|event| Message {
        value: Some(event.json().into_bytes()),
        timestamp: Some(now),
        partition: Some(1),
        ..Message::default()
    });
    kafka.produce(&deployment.raw, messages);

    let mut service = deployment.start(&["run", "clean"]);
    service.wait_ready();
    let judged = wait_until(Duration::from_secs(60), || {
        consumed(&service.log()) >= events.len() as u64
    });
    assert!(judged, "{}", service.log());
    assert!(service.terminate().success());
    let rejected = kafka.read_all(&deployment.rejected);
    let offsets: Vec<_> = rejected
        .iter()
        .map(|record| {
            let header = |wanted: &str| {
                let found = record.headers.iter().find(|(name, _)| name == wanted);
                String::from_utf8(found.unwrap().1.clone().unwrap()).unwrap()
            };
            assert_eq!(header("sluicebox.reason"), "too_large");
            assert!(header("sluicebox.detail").contains("bytes"));
            header("sluicebox.offset").parse::<usize>().unwrap()
        })
        .collect();
    let mut sorted = offsets;
    sorted.sort_unstable();
    assert_eq!(sorted, [25, 75, 125, 175]);
    for record in rejected {
        let raw = record.value.expect("the raw value");
        assert!(raw.len() > 30_000);
    }
    assert_eq!(kafka.read_all(&deployment.clean).len(), 196);
}
