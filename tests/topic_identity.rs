//! A topic that was deleted and made again under its name is told apart from the one before.

use std::time::Duration;

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use sluicebox::broker::{Admin, Config, Kafka as Client};

use crate::support::kafka::{Kafka, unique};
use crate::support::wait_until;

#[test]
fn a_topic_made_again_under_its_name_has_another_id() {
    let kafka = Kafka::shared();
    let name = unique("identity");
    kafka.create_topic(&name, 2, &[]);
    let client = Client::new(Config {
        bootstrap_servers: kafka.bootstrap(),
        ..Config::default()
    });
    let admin = Admin::connect(&client).unwrap();
    let before = admin.identity(&name).unwrap();
    assert_eq!(before.partitions, 2);
    assert_eq!(admin.identity(&name).unwrap(), before);

    let native: AdminClient<DefaultClientContext> = kafka.client().create().unwrap();
    block_on(native.delete_topics(&[&name], &AdminOptions::new())).unwrap();
    let gone = wait_until(Duration::from_secs(30), || {
        admin.partitions(&name).unwrap().is_none()
    });
    assert!(gone, "{name} is still there");
    kafka.create_topic(&name, 2, &[]);
    let after = admin.identity(&name).unwrap();
    assert_eq!(after.cluster, before.cluster);
    assert_ne!(after.topic, before.topic);
}
