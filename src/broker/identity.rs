//! Which topic this is: a topic that was deleted and made again has the old name, but another id.
//!
//! Kafka has given topics ids since 2.8 (KIP-516). rdkafka 0.39 does not hand them out, librdkafka 2.12 does, so this is the one
//! place that calls it directly.
#![allow(
    unsafe_code,
    reason = "rdkafka 0.39 has no safe call that answers with a topic's id"
)]

use std::ffi::{CStr, CString};
use std::fmt;
use std::ptr;
use std::str::FromStr;

use rdkafka::bindings as native;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use super::admin::Admin;
use super::client::CALL_TIMEOUT;
use super::error::BrokerError;

const CALL: &str = "a request for a topic's id";

/// How the id of librdkafka's mock cluster begins. It gives no answer to the question (librdkafka 2.12), and its topics are never
/// made again under their names.
const MOCK: &str = "mockCluster";

/// What has to stay the same for positions in a topic to mean the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's id.
    pub cluster: String,
    /// The topic's id.
    pub topic: String,
    /// How many partitions the topic has.
    pub partitions: usize,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cluster,
            topic,
            partitions,
        } = self;
        write!(f, "cluster={cluster} topic={topic} partitions={partitions}")
    }
}

/// A text that is no [`Identity`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not of the form `cluster=<id> topic=<id> partitions=<number>`")]
pub struct NotAnIdentity(String);

impl FromStr for Identity {
    type Err = NotAnIdentity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = || {
            let mut parts = text.split(' ');
            let cluster = parts.next()?.strip_prefix("cluster=")?.to_owned();
            let topic = parts.next()?.strip_prefix("topic=")?.to_owned();
            let partitions = parts.next()?.strip_prefix("partitions=")?.parse().ok()?;
            parts.next().is_none().then_some(Self {
                cluster,
                topic,
                partitions,
            })
        };
        parsed().ok_or_else(|| NotAnIdentity(text.to_owned()))
    }
}

impl Admin {
    /// Which topic of which cluster has this name now.
    ///
    /// # Errors
    /// No broker, or no such topic.
    pub fn identity(&self, topic: &str) -> Result<Identity, BrokerError> {
        let partitions = self.require(topic)?;
        let cluster = self.client.inner().fetch_cluster_id(CALL_TIMEOUT);
        let cluster = cluster.ok_or_else(|| {
            let timed_out = RDKafkaErrorCode::OperationTimedOut;
            self.kafka.unavailable(CALL, KafkaError::AdminOp(timed_out))
        })?;
        let id = if cluster.starts_with(MOCK) {
            topic.to_owned()
        } else {
            self.topic_id(topic).map_err(|code| {
                let source = KafkaError::AdminOp(code.into());
                self.kafka.unavailable(CALL, source)
            })?
        };
        Ok(Identity {
            cluster,
            topic: id,
            partitions,
        })
    }

    fn topic_id(&self, topic: &str) -> Result<String, RDKafkaRespErr> {
        let invalid = RDKafkaRespErr::RD_KAFKA_RESP_ERR__INVALID_ARG;
        let name = CString::new(topic).map_err(|_| invalid)?;
        let mut names = [name.as_ptr()];
        let timeout = i32::try_from(CALL_TIMEOUT.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the client, `name` and `names` outlive the calls; everything that is made here is destroyed here, once, after
        // its last use; what the event lends out is copied before the event is destroyed.
        unsafe {
            let client = self.client.inner().native_ptr();
            let topics = native::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1);
            let queue = native::rd_kafka_queue_new(client);
            native::rd_kafka_DescribeTopics(client, topics, ptr::null(), queue);
            let event = native::rd_kafka_queue_poll(queue, timeout);
            let answer = read_topic_id(event);
            if !event.is_null() {
                native::rd_kafka_event_destroy(event);
            }
            native::rd_kafka_queue_destroy(queue);
            native::rd_kafka_TopicCollection_destroy(topics);
            answer
        }
    }
}

/// The id in the answer to a question about one topic.
///
/// # Safety
/// `event` is null or what librdkafka's queue gave, not yet destroyed.
unsafe fn read_topic_id(event: *mut native::rd_kafka_event_t) -> Result<String, RDKafkaRespErr> {
    let none = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
    if event.is_null() {
        return Err(RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT);
    }
    // SAFETY: librdkafka checks the event's type and answers with null where it does not fit; pointers into the event are
    // valid until it is destroyed.
    unsafe {
        let error = native::rd_kafka_event_error(event);
        if error != none {
            return Err(error);
        }
        let result = native::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(RDKafkaRespErr::RD_KAFKA_RESP_ERR__BAD_MSG);
        }
        let mut count = 0;
        let topics = native::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if topics.is_null() || count != 1 {
            return Err(RDKafkaRespErr::RD_KAFKA_RESP_ERR__BAD_MSG);
        }
        let topic = *topics;
        let error = native::rd_kafka_error_code(native::rd_kafka_TopicDescription_error(topic));
        if error != none {
            return Err(error);
        }
        let id = native::rd_kafka_Uuid_base64str(native::rd_kafka_TopicDescription_topic_id(topic));
        if id.is_null() {
            return Err(RDKafkaRespErr::RD_KAFKA_RESP_ERR__BAD_MSG);
        }
        Ok(CStr::from_ptr(id).to_string_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::reader::tests::kafka;
    use super::*;

    #[test]
    fn an_identity_reads_back_as_it_was_written() {
        let identity = Identity {
            cluster: "5L6g3nShT-eMCtK--X86sw".to_owned(),
            topic: "x".to_owned(),
            partitions: 6,
        };
        assert_eq!(identity.to_string().parse(), Ok(identity));
        for text in [
            "",
            "cluster=a topic=b",
            "cluster=a topic=b partitions=x",
            "cluster=a topic=b partitions=1 more",
        ] {
            assert!(text.parse::<Identity>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_topic_that_is_not_there_is_named() {
        let (_cluster, kafka) = kafka("views", 3, &[]);
        let admin = Admin::connect(&kafka).unwrap();
        let views = admin.identity("views").unwrap();
        assert_eq!(views.partitions, 3);
        assert_eq!(admin.identity("views").unwrap(), views);
        let error = admin.identity("other").unwrap_err();
        assert_eq!(error.to_string(), "topic `other` does not exist");
    }
}
