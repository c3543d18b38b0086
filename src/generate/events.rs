//! The events of `customer_metrics`, as an endless iterator: a pure function of its [`Options`].
//!
//! Bytes are written straight into the value, field by field, without a tree: this is what load tests run on.

use std::fmt;
use std::io::Write;

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc};
use rand::seq::IndexedRandom;
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Ratio;

/// How far back event times reach from `now`.
const SPREAD: TimeDelta = TimeDelta::days(6);

const CUSTOMERS: [&str; 5] = ["CUST_1", "CUST_2", "CUST_3", "CUST_4", "CUST_5"];
const EVENT_TYPES: [&str; 3] = ["PAGE_VIEW", "ADD_TO_CART", "PURCHASE"];
const WRONG_EVENT_TYPES: [&str; 3] = ["CLICK", "VIEW", "PAY"];

/// Room for any event but an oversize one, so that a value is allocated once.
const USUAL_BYTES: usize = 288;

/// How an event time says that UTC is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Zone {
    /// Not at all, as Python's `datetime.isoformat()` writes it: `2026-02-24T07:15:02.123456`.
    #[default]
    None,
    /// By a `Z` at the end.
    Z,
}

/// What decides every byte of the events.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Start of the random numbers.
    pub seed: u64,
    /// The newest event time possible; the oldest is six days before it.
    pub now: DateTime<Utc>,
    /// How event times are written.
    pub zone: Zone,
    /// Share of events with one spoiled field, labelled in `is_valid` and `invalid_field`.
    pub invalid: Ratio,
    /// Share of messages that are a JSON object cut short.
    pub bad_json: Ratio,
    /// Share of messages with an undeclared field `padding` that makes them `oversize_bytes` long.
    pub oversize: Ratio,
    /// Share of messages without `event_id`.
    pub missing_id: Ratio,
    /// Length of the value of an oversize message.
    pub oversize_bytes: usize,
}

impl Options {
    /// A quarter of the events invalid and no faults: the events that the reference producer wrote.
    #[must_use]
    pub fn new(seed: u64, now: DateTime<Utc>) -> Self {
        Self {
            seed,
            now,
            zone: Zone::None,
            invalid: Ratio::new(0.25).expect("a quarter is a ratio"),
            bad_json: Ratio::default(),
            oversize: Ratio::default(),
            missing_id: Ratio::default(),
            oversize_bytes: 0,
        }
    }
}

/// One message for the raw topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The customer; none when the event names none.
    pub key: Option<&'static str>,
    /// One JSON object, unless that is the fault.
    pub value: Vec<u8>,
}

/// Events without end.
#[derive(Debug, Clone)]
pub struct Events {
    random: ChaCha8Rng,
    options: Options,
}

/// Which field of an event is spoiled. The label names the field.
#[derive(Clone, Copy, PartialEq)]
enum Spoiled {
    CustomerId,
    EventType,
    Amount,
    Currency,
}

impl Spoiled {
    const ALL: [Self; 4] = [
        Self::CustomerId,
        Self::EventType,
        Self::Amount,
        Self::Currency,
    ];

    fn field(self) -> &'static str {
        match self {
            Self::CustomerId => "customer_id",
            Self::EventType => "event_type",
            Self::Amount => "amount",
            Self::Currency => "currency",
        }
    }
}

/// What is wrong with a message as a whole. No label tells of it: the reader has to find out.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    BadJson,
    Oversize,
    MissingId,
}

impl Events {
    /// Starts at the first event of `options.seed`.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(options.seed),
            options,
        }
    }

    /// At most one fault a message: each takes its share of one draw.
    fn fault(&mut self) -> Option<Fault> {
        let mut draw = self.random.random::<f64>();
        for (fault, ratio) in [
            (Fault::BadJson, self.options.bad_json),
            (Fault::Oversize, self.options.oversize),
            (Fault::MissingId, self.options.missing_id),
        ] {
            if draw < ratio.share() {
                return Some(fault);
            }
            draw -= ratio.share();
        }
        None
    }

    fn spoiled(&mut self) -> Option<Spoiled> {
        if !self.options.invalid.hits(&mut self.random) {
            return None;
        }
        Spoiled::ALL.choose(&mut self.random).copied()
    }

    /// A whole event. What is left out or spoiled is drawn all the same, so that a value depends on the seed and
    /// its place alone.
    fn event(&mut self, spoiled: Option<Spoiled>, with_id: bool) -> Event {
        let customer = self.one_of(&CUSTOMERS);
        let key = (spoiled != Some(Spoiled::CustomerId)).then_some(customer);
        let event_type = match spoiled {
            Some(Spoiled::EventType) => self.one_of(&WRONG_EVENT_TYPES),
            _ => self.one_of(&EVENT_TYPES),
        };
        let currency = (spoiled != Some(Spoiled::Currency)).then_some("USD");

        let mut value = Vec::with_capacity(USUAL_BYTES);
        value.push(b'{');
        self.push_id(&mut value, with_id);
        push(&mut value, format_args!(r#""customer_id":{},"#, Text(key)));
        push(&mut value, format_args!(r#""event_type":"{event_type}","#));
        self.push_amount(&mut value, spoiled == Some(Spoiled::Amount));
        push(
            &mut value,
            format_args!(r#""currency":{},"#, Text(currency)),
        );
        push(
            &mut value,
            format_args!(r#""event_timestamp":"{}","#, self.time()),
        );
        let (is_valid, field) = (spoiled.is_none(), Text(spoiled.map(Spoiled::field)));
        push(
            &mut value,
            format_args!(r#""is_valid":{is_valid},"invalid_field":{field}}}"#),
        );
        Event { key, value }
    }

    fn one_of(&mut self, choices: &[&'static str]) -> &'static str {
        choices
            .choose(&mut self.random)
            .expect("there is something to choose from")
    }

    fn push_id(&mut self, value: &mut Vec<u8>, with_id: bool) {
        let mut bytes = [0; 16];
        self.random.fill_bytes(&mut bytes);
        if with_id {
            let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
            push(value, format_args!(r#""event_id":"{id}","#));
        }
    }

    fn push_amount(&mut self, value: &mut Vec<u8>, spoiled: bool) {
        if spoiled {
            let amount = -self.random.random_range(10.0..=500.0);
            push(value, format_args!(r#""amount":{amount},"#));
        } else {
            let cents = self.random.random_range(1_000..=50_000);
            push(
                value,
                format_args!(r#""amount":{}.{:02},"#, cents / 100, cents % 100),
            );
        }
    }

    fn time(&mut self) -> Time {
        let spread = SPREAD
            .num_microseconds()
            .expect("six days fit into microseconds");
        let before = TimeDelta::microseconds(self.random.random_range(0..=spread));
        Time(self.options.now - before, self.options.zone)
    }

    /// Cuts the object somewhere after its brace and before its end.
    fn cut(&mut self, event: &mut Event) {
        let length = self.random.random_range(1..event.value.len());
        event.value.truncate(length);
    }

    /// Adds the field `padding`, as long as is needed.
    fn pad(&self, event: &mut Event) {
        const FIELD: &[u8] = br#","padding":""#;
        const END: &[u8] = br#""}"#;
        let value = &mut event.value;
        value.pop().expect("an event ends in a brace");
        value.extend_from_slice(FIELD);
        let padded = (self.options.oversize_bytes)
            .saturating_sub(END.len())
            .max(value.len());
        value.resize(padded, b'x');
        value.extend_from_slice(END);
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let fault = self.fault();
        let spoiled = if fault.is_none() {
            self.spoiled()
        } else {
            None
        };
        let mut event = self.event(spoiled, fault != Some(Fault::MissingId));
        match fault {
            Some(Fault::BadJson) => self.cut(&mut event),
            Some(Fault::Oversize) => self.pad(&mut event),
            Some(Fault::MissingId) | None => {}
        }
        Some(event)
    }
}

/// A JSON string, or `null`. Only for text that needs no escapes.
struct Text(Option<&'static str>);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(text) => write!(f, r#""{text}""#),
            None => f.write_str("null"),
        }
    }
}

/// A time in ISO 8601, with microseconds unless they are zero.
struct Time(DateTime<Utc>, Zone);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(time, zone) = self;
        write!(
            f,
            "{:04}-{:02}-{:02}",
            time.year(),
            time.month(),
            time.day()
        )?;
        write!(
            f,
            "T{:02}:{:02}:{:02}",
            time.hour(),
            time.minute(),
            time.second()
        )?;
        match time.timestamp_subsec_micros() {
            0 => {}
            micros => write!(f, ".{micros:06}")?,
        }
        match zone {
            Zone::None => Ok(()),
            Zone::Z => f.write_str("Z"),
        }
    }
}

fn push(value: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    value.write_fmt(text).expect("a Vec takes every byte");
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
