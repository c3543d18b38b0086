//! A steady stream of raw events of every kind, each with a number of its own in a header.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// Tells the records of the raw topic apart, whatever else they carry; headers travel on into both outputs.
pub(crate) const NUMBER: &str = "chaos.number";

/// Enough that every partition has several of them.
const CUSTOMERS: u32 = 40;

/// Over how many days event times spread.
const DAYS: i64 = 6;

/// An event comes again among so many of the ones after it.
const REMEMBERED: usize = 2_000;

/// How often the stream catches up with its pace.
const TICK: Duration = Duration::from_millis(20);

/// Longest wait for a broker to take what is left.
const DELIVERY_LIMIT: Duration = Duration::from_secs(120);

/// One raw event.
#[derive(Clone)]
struct Event {
    key: Option<String>,
    value: Vec<u8>,
}

/// The events of a seed: 1.5 % come again as they were and 0.1 % with other bytes, 10 % break a rule, 1.5 % are no event.
struct Events {
    random: ChaCha8Rng,
    now: DateTime<Utc>,
    recent: VecDeque<Event>,
}

impl Events {
    fn next(&mut self) -> Event {
        let draw: f64 = self.random.random();
        if draw < 0.016 && !self.recent.is_empty() {
            let at = self.random.random_range(0..self.recent.len());
            let mut again = self.recent[at].clone();
            if draw < 0.001 {
                again.value.push(b' ');
            }
            return again;
        }
        let event = self.fresh(draw);
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(event.clone());
        event
    }

    fn fresh(&mut self, draw: f64) -> Event {
        let spoiled = (draw > 0.9).then(|| self.random.random_range(0..4));
        let customer = format!("CUST_{}", self.random.random_range(1..=CUSTOMERS));
        let customer = (spoiled != Some(0)).then_some(customer);
        let types = ["PAGE_VIEW", "ADD_TO_CART", "PURCHASE"];
        let event_type = if spoiled == Some(1) {
            "CLICK"
        } else {
            types[self.random.random_range(0..3)]
        };
        let (units, cents) = (
            self.random.random_range(1..500),
            self.random.random_range(0..100),
        );
        let sign = if spoiled == Some(2) { "-" } else { "" };
        let back = TimeDelta::microseconds(self.random.random_range(0..DAYS * 86_400_000_000));
        let fields = ["customer_id", "event_type", "amount", "currency"];
        let text =
            |text: Option<&str>| text.map_or("null".to_owned(), |text| format!("\"{text}\""));
        let (high, low) = (self.random.random::<u64>(), self.random.random::<u64>());
        // An event without an id is one of the faults.
        let id = if (0.88..0.885).contains(&draw) {
            String::new()
        } else {
            format!(r#""event_id":"{high:016x}{low:016x}","#)
        };
        let mut value = format!(
            r#"{{{id}"customer_id":{},"event_type":"{event_type}","amount":{sign}{units}.{cents:02},"currency":{},"event_timestamp":"{}","is_valid":{},"invalid_field":{}}}"#,
            text(customer.as_deref()),
            text((spoiled != Some(3)).then_some("USD")),
            (self.now - back).format("%Y-%m-%dT%H:%M:%S%.6f"),
            spoiled.is_none(),
            text(spoiled.map(|field| fields[field])),
        )
        .into_bytes();
        if (0.885..0.895).contains(&draw) {
            value.truncate(self.random.random_range(1..value.len()));
        }
        Event {
            key: customer,
            value,
        }
    }
}

/// A producer on a thread of its own, until it is finished.
pub(crate) struct Stream {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Stream {
    /// So many events a second from now on, those of this seed.
    pub(crate) fn start(
        client: &mut ClientConfig,
        topic: &str,
        seed: u64,
        per_second: u32,
    ) -> Self {
        // A broker that is away for long is no reason to drop an event.
        client
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", "600000")
            .set("linger.ms", "5");
        let producer: BaseProducer = client.create().expect("the settings are right");
        let (stop, sent) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let events = Events {
            random: ChaCha8Rng::seed_from_u64(seed),
            now: Utc::now(),
            recent: VecDeque::new(),
        };
        let work = {
            let (stop, sent, topic) = (Arc::clone(&stop), Arc::clone(&sent), topic.to_owned());
            move || produce(&producer, &topic, events, per_second, &stop, &sent)
        };
        Self {
            stop,
            sent,
            thread: std::thread::spawn(work),
        }
    }

    /// Events that were handed over so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends the stream and waits until the broker has all of it.
    pub(crate) fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the stream reaches the broker");
        self.sent.load(Ordering::Relaxed)
    }
}

fn produce(
    producer: &BaseProducer,
    topic: &str,
    mut events: Events,
    per_second: u32,
    stop: &AtomicBool,
    sent: &AtomicU64,
) {
    let started = Instant::now();
    let mut number: u64 = 0;
    while !stop.load(Ordering::Relaxed) {
        let due = started.elapsed().as_secs_f64() * f64::from(per_second);
        // Fewer than 2^52 events.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small whole number"
        )]
        let due = due as u64;
        while number < due && !stop.load(Ordering::Relaxed) {
            send(producer, topic, number, &events.next());
            number += 1;
            sent.store(number, Ordering::Relaxed);
        }
        producer.poll(TICK);
        std::thread::sleep(TICK);
    }
    let deadline = Instant::now() + DELIVERY_LIMIT;
    while producer.in_flight_count() > 0 {
        assert!(
            Instant::now() < deadline,
            "Kafka did not take the stream within {DELIVERY_LIMIT:?}"
        );
        producer.poll(TICK);
    }
}

fn send(producer: &BaseProducer, topic: &str, number: u64, event: &Event) {
    let text = number.to_string();
    let header = Header {
        key: NUMBER,
        value: Some(&text),
    };
    let mut record = BaseRecord::<[u8], [u8]>::to(topic)
        .headers(OwnedHeaders::new().insert(header))
        .payload(&event.value);
    record.key = event.key.as_deref().map(str::as_bytes);
    while let Err((_, refused)) = producer.send(record) {
        // The queue is full while the broker is away.
        producer.poll(TICK);
        record = refused;
    }
}
