//! The ground that the other tests stand on: what is written is read, and a broker is gone when it should be.

use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::support::kafka::{Kafka, Message, Record, unique};

#[test]
fn what_is_written_is_read_with_all_its_parts() {
    let kafka = Kafka::shared();
    let topic = unique("parts");
    kafka.create_topic(&topic, 2, &[("max.message.bytes", "3000000")]);
    let whole = Message {
        key: Some(b"CUST_2".to_vec()),
        value: Some(vec![b'x'; 2_000_000]),
        headers: vec![
            ("trace".to_owned(), Some(b"1".to_vec())),
            ("empty".to_owned(), None),
        ],
        timestamp: Some(1_000),
        partition: Some(1),
    };
    let tombstone = Message {
        partition: Some(0),
        ..Message::default()
    };
    kafka.produce(&topic, [whole.clone(), tombstone]);

    let records = kafka.read_all(&topic);
    let [empty, read] = records.as_slice() else {
        panic!("two records, not {}", records.len())
    };
    assert_eq!(
        (empty.partition, empty.offset, &empty.key, &empty.value),
        (0, 0, &None, &None)
    );
    assert_eq!((read.partition, read.offset, read.timestamp), (1, 0, 1_000));
    assert!(read.key == whole.key && read.value == whole.value && read.headers == whole.headers);
}

#[test]
fn reading_a_topic_without_records_ends() {
    let kafka = Kafka::shared();
    let topic = unique("empty");
    kafka.create_topic(&topic, 3, &[]);
    assert_eq!(kafka.read_all(&topic), []);
}

#[test]
fn what_a_transaction_has_aborted_is_not_read() {
    let kafka = Kafka::shared();
    let topic = unique("transactions");
    kafka.create_topic(&topic, 1, &[]);
    let limit = Duration::from_secs(30);
    let producer: BaseProducer = kafka
        .client()
        .set("transactional.id", &topic)
        .create()
        .unwrap();
    producer.init_transactions(limit).unwrap();
    for (value, commits) in [
        ("kept", true),
        ("aborted", false),
        ("kept too", true),
        ("aborted too", false),
    ] {
        producer.begin_transaction().unwrap();
        producer
            .send(BaseRecord::<str, str>::to(&topic).payload(value))
            .unwrap();
        producer.flush(limit).unwrap();
        if commits {
            producer.commit_transaction(limit)
        } else {
            producer.abort_transaction(limit)
        }
        .unwrap();
    }
    assert_eq!(values(kafka.read_all(&topic)), ["kept", "kept too"]);
}

#[test]
fn a_killed_broker_keeps_its_records_and_comes_back_at_its_address() {
    let kafka = Kafka::start();
    let bootstrap = kafka.bootstrap();
    kafka.create_topic("survivor", 1, &[]);
    let value = |text: &str| Message {
        value: Some(text.into()),
        ..Message::default()
    };
    kafka.produce("survivor", [value("before")]);
    kafka.kill();
    assert!(
        std::net::TcpStream::connect(&bootstrap).is_err(),
        "a killed broker does not answer"
    );
    kafka.restart();
    assert_eq!(kafka.bootstrap(), bootstrap);
    kafka.produce("survivor", [value("after")]);
    assert_eq!(values(kafka.read_all("survivor")), ["before", "after"]);
}

fn values(records: Vec<Record>) -> Vec<String> {
    records
        .into_iter()
        .filter_map(|record| record.value)
        .map(|value| String::from_utf8(value).expect("the values are text"))
        .collect()
}
