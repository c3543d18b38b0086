//! Reads given partitions from given positions: records of committed transactions, and how far reading got without any.
//! No group decides who reads what.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::Kafka;
use super::consumer::{MOST_BYTES, Record, is_passing};
use super::error::BrokerError;
use super::position::{NextOffset, Partition};

/// What reading met.
pub enum Met<'a> {
    /// A record.
    Record(Record<'a>),
    /// The end of a partition: there is no record before this position that was not handed out.
    Reached(Partition, NextOffset),
}

/// What a partition holds: offsets from `low` up to, and without, `high`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The partition.
    pub partition: Partition,
    /// The first offset that is still there.
    pub low: NextOffset,
    /// Where the committed records end.
    pub high: NextOffset,
}

/// A reader of partitions that somebody else keeps the positions of.
pub struct PartitionReader {
    consumer: BaseConsumer,
    kafka: Kafka,
}

impl PartitionReader {
    /// Connects. librdkafka wants the name of a group even from a reader that joins none.
    ///
    /// # Errors
    /// A setting that is refused.
    pub fn connect(kafka: &Kafka, group: &str) -> Result<Self, BrokerError> {
        let consumer = kafka.consumer(&[
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("isolation.level", "read_committed"),
            // Only with the end-of-partition event does the position move over control and aborted records.
            ("enable.partition.eof", "true"),
            ("auto.offset.reset", "error"),
            ("fetch.wait.max.ms", "50"),
            ("queued.max.messages.kbytes", "65536"),
        ])?;
        Ok(Self {
            consumer,
            kafka: kafka.clone(),
        })
    }

    /// What a partition holds now, if the broker says so within `wait`.
    ///
    /// # Errors
    /// No broker.
    pub fn held(&self, at: &Partition, wait: Duration) -> Result<Held, BrokerError> {
        let (low, high) = self
            .consumer
            .fetch_watermarks(&at.topic, at.number, wait)
            .map_err(|error| self.kafka.unavailable("watermarks", error))?;
        Ok(Held {
            partition: at.clone(),
            low: NextOffset::at(low),
            high: NextOffset::at(high),
        })
    }

    /// Whether a broker answers within `wait`.
    ///
    /// # Errors
    /// No broker.
    pub fn answers(&self, wait: Duration) -> Result<(), BrokerError> {
        let answer = self.consumer.fetch_metadata(None, wait);
        answer
            .map(|_| ())
            .map_err(|error| self.kafka.unavailable("a request for metadata", error))
    }

    /// Reads these partitions from these positions on, and nothing else; what was read before is forgotten.
    ///
    /// # Errors
    /// When librdkafka refuses.
    pub fn assign(&self, starts: &[(Partition, NextOffset)]) -> Result<(), BrokerError> {
        positions_of(starts)
            .and_then(|positions| self.consumer.assign(&positions))
            .map_err(|source| BrokerError::Fatal {
                call: "an assignment",
                source,
            })
    }

    /// Hands out what comes, in the order of each partition, until there were `most` or `wait` is over.
    ///
    /// # Errors
    /// What the consumer cannot get over by itself, or the first error of `take`.
    pub fn poll<E: From<BrokerError>>(
        &self,
        most: usize,
        wait: Duration,
        mut take: impl FnMut(Met<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let deadline = Instant::now() + wait;
        let mut bytes = 0;
        for _ in 0..most {
            if bytes >= MOST_BYTES {
                break;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.consumer.poll(left) {
                Some(Ok(message)) => {
                    bytes += message.payload_len();
                    take(Met::Record(Record(message)))?;
                }
                Some(Err(KafkaError::PartitionEOF(number))) => {
                    for (at, position) in self.reached(number)? {
                        take(Met::Reached(at, position))?;
                    }
                }
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(source)) => return Err(BrokerError::in_reads(source).into()),
                None if left.is_zero() => break,
                None => {}
            }
        }
        Ok(())
    }

    /// The event of an end names no topic: the positions of all partitions of that number.
    fn reached(&self, number: i32) -> Result<Vec<(Partition, NextOffset)>, BrokerError> {
        let positions = self
            .consumer
            .position()
            .map_err(|source| BrokerError::Fatal {
                call: "a position",
                source,
            })?;
        let mut reached = Vec::new();
        for element in positions.elements() {
            if let Offset::Offset(offset) = element.offset()
                && element.partition() == number
            {
                reached.push((
                    Partition {
                        topic: element.topic().to_owned(),
                        number,
                    },
                    NextOffset::at(offset),
                ));
            }
        }
        Ok(reached)
    }
}

pub(super) fn positions_of(
    positions: &[(Partition, NextOffset)],
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (at, position) in positions {
        list.add_partition_offset(&at.topic, at.number, Offset::Offset(position.get()))?;
    }
    Ok(list)
}

#[cfg(test)]
pub(crate) mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};

    use super::*;
    use crate::broker::Config;
    use crate::broker::client::CALL_TIMEOUT;

    /// A broker inside this process; it ends with this value.
    pub(crate) type Cluster = MockCluster<'static, DefaultProducerContext>;

    /// A broker with a topic of so many partitions, and records with these keys and values in the last of them.
    pub(crate) fn kafka(
        topic: &str,
        partitions: i32,
        records: &[(&str, &str)],
    ) -> (Cluster, Kafka) {
        let cluster = MockCluster::new(1).unwrap();
        let config = Config {
            bootstrap_servers: cluster.bootstrap_servers(),
            ..Config::default()
        };
        let kafka = Kafka::new(config);
        cluster.create_topic(topic, partitions, 1).unwrap();
        let producer: BaseProducer = kafka.client(&[]).create().unwrap();
        for (key, value) in records {
            let record = BaseRecord::to(topic)
                .partition(partitions - 1)
                .key(*key)
                .payload(*value);
            producer.send(record).unwrap();
        }
        producer.flush(CALL_TIMEOUT).unwrap();
        (cluster, kafka)
    }

    #[test]
    fn reading_goes_on_at_the_position_given_and_says_where_it_ends() {
        let (_cluster, kafka) = kafka("views", 2, &[("k", "a"), ("k", "b"), ("k", "c")]);
        let reader = PartitionReader::connect(&kafka, "test").unwrap();
        let partitions = [0, 1].map(|number| Partition {
            topic: "views".to_owned(),
            number,
        });
        let held: Vec<_> = partitions
            .iter()
            .map(|at| reader.held(at, CALL_TIMEOUT).unwrap())
            .collect();
        let held: Vec<_> = held
            .iter()
            .map(|held| (held.partition.number, held.low.get(), held.high.get()))
            .collect();
        assert_eq!(held, [(0, 0, 0), (1, 0, 3)]);

        let at = partitions[1].clone();
        reader.assign(&[(at.clone(), NextOffset::at(1))]).unwrap();
        let (mut values, mut end) = (Vec::new(), None);
        let deadline = Instant::now() + CALL_TIMEOUT;
        while end.is_none() && Instant::now() < deadline {
            let read = reader.poll::<BrokerError>(10, Duration::from_millis(100), |met| {
                match met {
                    Met::Record(record) => {
                        values.push((record.offset(), record.value().unwrap().to_vec()))
                    }
                    Met::Reached(partition, position) => end = Some((partition, position)),
                }
                Ok(())
            });
            read.unwrap();
        }
        assert_eq!(values, [(1, b"b".to_vec()), (2, b"c".to_vec())]);
        assert_eq!(end, Some((at, NextOffset::at(3))));
    }
}
