//! A transactional producer: records and the positions they were made from, all together or not at all.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, NoCustomPartitioner, Producer, ProducerContext};

use super::client::Kafka;
use super::consumer::GroupConsumer;
use super::error::{BrokerError, Remedy, Said, Step, is_stale_generation, remedy};
use super::position::{NextOffset, Partition};
use crate::crash;

/// A dead producer's transaction blocks the readers of its partitions until it times out, so early.
const TRANSACTION_TIMEOUT_MS: &str = "10000";

/// rdkafka 0.39's `poll(t)` returns only after all of `t`, and its `flush` and `commit_transaction` poll with 100 ms: waiting in
/// short polls before brings a transaction from 100-200 ms to 15-25 ms.
const SHORT_POLL: Duration = Duration::from_millis(1);

/// Longest wait for one step of a transaction; the transaction has timed out by then.
const STEP_TIMEOUT: Duration = Duration::from_secs(15);

/// librdkafka's own limit, so that the topic's alone decides: a record that is refused then is one that the broker refuses.
const LARGEST_RECORD: &str = "1000000000";

/// A batch below the brokers' default limit of a message (1 MiB): larger records travel alone, so that one that is too large
/// is refused alone.
const BATCH_BYTES: &str = "500000";

/// Longest wait for the reports of deliveries when a call has failed.
const REPORTS_TIMEOUT: Duration = Duration::from_millis(500);

/// Longest wait for the start of transactions.
const INIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Until the answer with the group's new generation is here: a try before would only fail as well.
const GENERATION_WAIT: Duration = Duration::from_millis(200);

/// Makes a call again while librdkafka says that it may be, until the deadline.
fn until(
    deadline: Instant,
    step: Step,
    mut call: impl FnMut() -> Result<(), KafkaError>,
) -> Result<(), KafkaError> {
    loop {
        let Err(error) = call() else { return Ok(()) };
        if remedy(step, Said::of(&error)) != Remedy::SameCall || Instant::now() >= deadline {
            return Err(error);
        }
        // Some are refused at once.
        std::thread::sleep(SHORT_POLL);
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// A record to be sent.
#[derive(Debug, Default)]
pub struct Outgoing<'a> {
    /// Where to.
    pub topic: &'a str,
    /// The partition; None: by murmur2 of the key, as the Java clients do.
    pub partition: Option<i32>,
    /// The key; None goes to any partition.
    pub key: Option<&'a [u8]>,
    /// The value; None is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Milliseconds since 1970 UTC.
    pub timestamp_ms: i64,
    /// Headers, in order.
    pub headers: Headers,
    /// What [`BrokerError::TooLarge`] calls it.
    pub tag: usize,
}

/// Headers of a record to be sent.
#[derive(Debug, Default)]
pub struct Headers(Option<OwnedHeaders>);

impl Headers {
    /// Adds one at the end.
    #[must_use]
    pub fn with(self, name: &str, value: Option<&[u8]>) -> Self {
        let headers = self.0.unwrap_or_default();
        Self(Some(headers.insert(Header { key: name, value })))
    }
}

/// The positions that a transaction moves.
#[derive(Debug)]
pub struct Commit<'a> {
    /// Per partition of the consumer's topic: what comes next.
    pub positions: &'a [(i32, NextOffset)],
    /// Per partition, if there is anything: what is to be remembered of the outputs with its position, at most 4,000 bytes.
    pub outputs: &'a BTreeMap<i32, String>,
    /// The member that read them.
    pub consumer: &'a GroupConsumer,
}

impl std::fmt::Debug for GroupConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupConsumer")
            .field("topic", &self.topic())
            .finish_non_exhaustive()
    }
}

/// Set in the tag of a record that was sent to a partition of the sender's choice: how far such partitions have come is kept.
const CHOSEN: usize = 1 << (usize::BITS - 1);

/// Collects the deliveries that failed, and how far partitions of the sender's choice have come.
#[derive(Default)]
struct Deliveries {
    failed: Mutex<Vec<(usize, KafkaError)>>,
    delivered: Mutex<Vec<(Partition, NextOffset)>>,
}

impl Deliveries {
    fn note(&self, topic: &str, number: i32, offset: i64) {
        let mut delivered = self
            .delivered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let next = NextOffset::after(offset);
        // Few partitions, and records come in runs of one.
        let known = delivered
            .iter_mut()
            .rfind(|(at, _)| at.number == number && at.topic == topic);
        match known {
            Some((_, reached)) => *reached = next.max(*reached),
            None => {
                let topic = topic.to_owned();
                delivered.push((Partition { topic, number }, next));
            }
        }
    }
}

impl ClientContext for Deliveries {
    fn error(&self, _error: KafkaError, _reason: &str) {
        // What matters comes back from the calls.
    }
}

impl ProducerContext<NoCustomPartitioner> for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, tag: usize) {
        match result {
            Ok(message) if tag & CHOSEN != 0 => {
                self.note(message.topic(), message.partition(), message.offset());
            }
            Ok(_) => {}
            Err((error, _)) => self
                .failed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((tag & !CHOSEN, error.clone())),
        }
    }
}

/// One per job thread, with an id that stays the same over restarts: who comes back ends what was left open.
pub struct TransactionalProducer {
    producer: BaseProducer<Deliveries>,
    /// Whose crash points it passes.
    job: &'static str,
}

impl TransactionalProducer {
    /// Connects and ends what an earlier producer of this id left open. `job` is who sends.
    ///
    /// # Errors
    /// A setting that is refused, or no broker.
    pub fn connect(
        kafka: &Kafka,
        job: &'static str,
        transactional_id: &str,
    ) -> Result<Self, BrokerError> {
        let producer: BaseProducer<Deliveries> = kafka
            .client(&[
                ("transactional.id", transactional_id),
                ("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS),
                ("partitioner", "murmur2_random"),
                ("message.max.bytes", LARGEST_RECORD),
                ("batch.size", BATCH_BYTES),
                ("linger.ms", "5"),
                ("queue.buffering.max.messages", "1000000"),
                ("queue.buffering.max.kbytes", "262144"),
                // A first request right behind a commit waits this long, since the broker is finishing the transaction before.
                ("retry.backoff.ms", "5"),
                ("retry.backoff.max.ms", "100"),
            ])
            .create_with_context(Deliveries::default())
            .map_err(|error| kafka.unavailable("the creation of a producer", error))?;
        let deadline = Instant::now() + INIT_TIMEOUT;
        until(deadline, Step::Init, || {
            producer.init_transactions(INIT_TIMEOUT)
        })
        .map_err(|source| match remedy(Step::Init, Said::of(&source)) {
            Remedy::GiveUp => BrokerError::in_transaction(Step::Init, source),
            _ => kafka.unavailable(Step::Init.name(), source),
        })?;
        Ok(Self { producer, job })
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// When the producer is of no use any more.
    pub fn begin(&self) -> Result<(), BrokerError> {
        self.open(self.points())
    }

    fn open(&self, point: impl Fn(&'static str)) -> Result<(), BrokerError> {
        self.lock_failed().clear();
        self.delivered();
        point("begin.before");
        self.producer
            .begin_transaction()
            .map_err(|source| BrokerError::in_transaction(Step::Begin, source))?;
        point("produce.before");
        Ok(())
    }

    fn points(&self) -> impl Fn(&'static str) {
        let job = self.job;
        move |name| crash::point(job, name)
    }

    /// Hands a record to librdkafka, which copies it; waits while its queue is full.
    ///
    /// # Errors
    /// [`BrokerError::TooLarge`] when it is larger than the client may send; otherwise the transaction has to be aborted.
    pub fn send(&self, outgoing: Outgoing<'_>) -> Result<(), BrokerError> {
        let chosen = outgoing.partition.map_or(0, |_| CHOSEN);
        let mut record: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(outgoing.topic, outgoing.tag | chosen)
                .timestamp(outgoing.timestamp_ms);
        record.partition = outgoing.partition;
        record.key = outgoing.key;
        record.payload = outgoing.value;
        record.headers = outgoing.headers.0;
        let deadline = Instant::now() + STEP_TIMEOUT;
        loop {
            let Err((error, back)) = self.producer.send(record) else {
                return Ok(());
            };
            record = back;
            match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) if Instant::now() < deadline => {
                    self.producer.poll(SHORT_POLL)
                }
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                    return Err(BrokerError::TooLarge {
                        tags: vec![outgoing.tag],
                    });
                }
                _ => return Err(self.cause(error)),
            }
        }
    }

    /// Lets librdkafka call back; call it now and then while sending many records.
    pub fn serve(&self) {
        self.producer.poll(Duration::ZERO);
    }

    /// Waits for the deliveries, adds the positions, commits.
    ///
    /// # Errors
    /// [`BrokerError::TooLarge`] and [`BrokerError::Aborted`]: abort, then do the work again. [`BrokerError::Lost`]: drop
    /// everything and join anew; whether the commit was done is not known. [`BrokerError::Fatal`]: give up.
    pub fn commit(&self, commit: &Commit<'_>) -> Result<(), BrokerError> {
        self.settle()?;
        self.close(commit, self.points())
    }

    /// A transaction of positions alone. It passes no crash points: those are of the work that is done.
    ///
    /// # Errors
    /// As [`Self::begin`] and [`Self::commit`].
    pub fn commit_positions(&self, commit: &Commit<'_>) -> Result<(), BrokerError> {
        self.open(|_| ())?;
        self.close(commit, |_| ())
    }

    fn close(&self, commit: &Commit<'_>, point: impl Fn(&'static str)) -> Result<(), BrokerError> {
        point("produce.after");
        let positions = commit.consumer.list(commit.positions, commit.outputs)?;
        let group = commit.consumer.group()?;
        point("offsets.before");
        let deadline = Instant::now() + STEP_TIMEOUT;
        until(deadline, Step::Offsets, || {
            self.producer
                .send_offsets_to_transaction(&positions, &group, left(deadline))
        })
        .map_err(|source| {
            if source.rdkafka_error_code().is_some_and(is_stale_generation) {
                std::thread::sleep(GENERATION_WAIT);
            }
            BrokerError::in_transaction(Step::Offsets, source)
        })?;
        point("offsets.after");
        point("commit.before");
        // A commit that timed out is resumed by the same call; what it comes to is unknown only when all of them did.
        let deadline = Instant::now() + STEP_TIMEOUT;
        until(deadline, Step::Commit, || {
            self.producer.commit_transaction(left(deadline))
        })
        .map_err(|source| BrokerError::in_transaction(Step::Commit, source))?;
        point("commit.after");
        Ok(())
    }

    /// Where the records of the transaction ended, in each partition that the sender chose; to be asked once, after the commit.
    /// An offset that the broker did not tell is left out, so this may be too low, but never too high.
    pub fn delivered(&self) -> Vec<(Partition, NextOffset)> {
        let delivered = &self.producer.context().delivered;
        std::mem::take(&mut *delivered.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until everything that was sent has been delivered.
    ///
    /// # Errors
    /// As [`Self::commit`].
    pub fn settle(&self) -> Result<(), BrokerError> {
        let deadline = Instant::now() + STEP_TIMEOUT;
        while self.producer.in_flight_count() > 0 && Instant::now() < deadline {
            self.producer.poll(SHORT_POLL);
        }
        self.failed_delivery().map_or(Ok(()), Err)?;
        if self.producer.in_flight_count() > 0 {
            let source = KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut);
            return Err(BrokerError::in_transaction(Step::Delivery, source));
        }
        Ok(())
    }

    /// Ends the transaction without a trace.
    ///
    /// # Errors
    /// When the producer is of no use any more.
    pub fn abort(&self) -> Result<(), BrokerError> {
        let deadline = Instant::now() + STEP_TIMEOUT;
        // The call waits for reports of deliveries that only our polls take in, and can be resumed after its time-out.
        loop {
            let Err(source) = self.producer.abort_transaction(SHORT_POLL) else {
                return Ok(());
            };
            let again = remedy(Step::Abort, Said::of(&source)) == Remedy::SameCall;
            if !again || Instant::now() > deadline {
                return Err(match BrokerError::in_transaction(Step::Abort, source) {
                    // An abort that cannot be done is no reason to abort.
                    BrokerError::Aborted { call, source } => BrokerError::Lost { call, source },
                    other => other,
                });
            }
            self.producer.poll(SHORT_POLL);
        }
    }

    /// Once a delivery has failed every call fails: then the delivery is the cause.
    fn cause(&self, source: KafkaError) -> BrokerError {
        let deadline = Instant::now() + REPORTS_TIMEOUT;
        while Instant::now() < deadline {
            self.producer.poll(SHORT_POLL);
            if let Some(error) = self.failed_delivery() {
                return error;
            }
        }
        BrokerError::in_transaction(Step::Send, source)
    }

    fn failed_delivery(&self) -> Option<BrokerError> {
        let failed = std::mem::take(&mut *self.lock_failed());
        let too_large: Vec<usize> = failed
            .iter()
            .filter(|(_, error)| {
                error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)
            })
            .map(|(tag, _)| *tag)
            .collect();
        if !too_large.is_empty() {
            return Some(BrokerError::TooLarge { tags: too_large });
        }
        let (_, source) = failed.into_iter().next()?;
        Some(BrokerError::in_transaction(Step::Delivery, source))
    }

    fn lock_failed(&self) -> std::sync::MutexGuard<'_, Vec<(usize, KafkaError)>> {
        self.producer
            .context()
            .failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
