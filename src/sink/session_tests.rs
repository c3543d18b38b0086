use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;
use crate::broker::reader::tests::kafka;
use crate::sink::flush::tests::Scene;

const KEY: &str = r#"{"id":"0"}"#;

/// Runs a sink of `views`, with eight records of it, until `seen` says to stop; what the loop said, and how it ended.
fn sessions(
    before: impl Fn(&MockCluster<'static, DefaultProducerContext>),
    mut seen: impl FnMut(&MockCluster<'static, DefaultProducerContext>, &str) -> bool,
) -> (Vec<String>, Result<(), RunError>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut scene = runtime.block_on(Scene::new());
    scene.sink.release_all();
    let (cluster, kafka) = kafka("views", 1, &[(KEY, KEY); 8]);
    before(&cluster);
    let stop = CancellationToken::new();
    let mut said = Vec::new();
    let mut report = |progress: Progress<'_>| {
        let text = match progress {
            Progress::Started => "started".to_owned(),
            Progress::Flushed(_) => return,
            Progress::Delayed(what) => what,
            Progress::Recovered => "recovered".to_owned(),
        };
        if seen(&cluster, &text) {
            stop.cancel();
        }
        said.push(text);
    };
    let seat = Seat {
        kafka: &kafka,
        group: "sluicebox-sink",
        name: "test",
        runtime: runtime.handle(),
    };
    let ended = run_sessions(seat, &mut scene.sink, &mut report, &stop);
    runtime.shutdown_background();
    (said, ended)
}

#[test]
fn a_member_that_is_fenced_is_told_and_joins_again() {
    let fenced = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID];
    let (said, ended) = sessions(
        |cluster| cluster.request_errors(RDKafkaApiKey::SyncGroup, &fenced),
        |_, text| text == "started",
    );
    ended.unwrap();
    let [lost, started, ..] = said.as_slice() else {
        panic!("{said:?}");
    };
    assert!(lost.starts_with("lost the place in the group"), "{lost}");
    assert_eq!(started, "started");
}

#[test]
fn a_group_that_may_not_be_joined_ends_the_sink() {
    let refused = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED];
    let (said, ended) = sessions(
        |cluster| cluster.request_errors(RDKafkaApiKey::JoinGroup, &refused),
        |_, _| true,
    );
    let error = ended.unwrap_err();
    assert!(error.hint().unwrap().contains("grant the user"), "{error}");
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn kafka_that_is_away_is_told_and_its_return_too() {
    let began = Instant::now();
    let (said, ended) = sessions(
        |_| {},
        |cluster, text| {
            match text {
                "started" => cluster.broker_down(1).unwrap(),
                "recovered" => {}
                _ => cluster.broker_up(1).unwrap(),
            }
            text == "recovered"
        },
    );
    ended.unwrap();
    let [started, away, recovered, ..] = said.as_slice() else {
        panic!("{said:?}");
    };
    assert!(away.starts_with("no answer from kafka since"), "{away}");
    assert_eq!([started, recovered], ["started", "recovered"]);
    assert!(began.elapsed() < Duration::from_secs(60));
}
