use super::*;
use crate::broker::reader::tests::kafka;
use crate::sink::flush::tests::Scene;

#[test]
fn a_broker_that_is_frozen_does_not_hold_the_loop() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut scene = runtime.block_on(Scene::new());
    let (cluster, kafka) = kafka("views", 1, &[]);
    let member = GroupMember::join(&kafka, "sluicebox-sink", "test", &["views"]).unwrap();
    let reader = Arc::new(PartitionReader::connect(&kafka, "sluicebox-sink").unwrap());
    let admin = Arc::new(Admin::connect(&kafka).unwrap());
    let parts = Parts {
        sink: &mut scene.sink,
        member: &member,
        reader: &reader,
        admin: &admin,
        runtime: runtime.handle(),
        report: &mut |_| {},
    };
    let mut work = Work::new(parts);
    work.wanted.insert(Partition {
        topic: "views".to_owned(),
        number: 0,
    });
    cluster
        .broker_round_trip_time(1, Duration::from_secs(30))
        .unwrap();
    let began = Instant::now();
    work.look().unwrap();
    work.send(false).unwrap();
    assert!(!work.looks.is_empty(), "the broker is being asked");
    assert!(began.elapsed() < Duration::from_secs(1));
    runtime.shutdown_background();
}
