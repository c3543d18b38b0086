//! Hostile events on a real Kafka: each is clean or refused as DESIGN.md's "Reading an event" says, and the batch goes on.

mod cases;
mod reading;
mod sizes;

use chrono::{DateTime, SecondsFormat};

/// Milliseconds since 1970 as an event writes a timestamp, in UTC.
fn written(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms)
        .expect("a moment of our time")
        .to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// What an event's fields are, as JSON text, in their order.
#[derive(Debug, Clone)]
struct Event(Vec<(&'static str, String)>);

impl Event {
    /// One that is clean, of a customer, at a time.
    fn good(id: &str, customer: &str, ms: i64) -> Self {
        Self(vec![
            ("event_id", format!("\"{id}\"")),
            ("customer_id", format!("\"{customer}\"")),
            ("event_type", "\"PURCHASE\"".to_owned()),
            ("amount", "12.5".to_owned()),
            ("currency", "\"USD\"".to_owned()),
            ("event_timestamp", format!("\"{}\"", written(ms))),
        ])
    }

    /// With another value of a field; an empty one leaves the field out.
    fn with(mut self, field: &'static str, json: &str) -> Self {
        match self.0.iter_mut().find(|(name, _)| *name == field) {
            Some((_, value)) => *value = json.to_owned(),
            None => self.0.push((field, json.to_owned())),
        }
        self.0.retain(|(_, value)| !value.is_empty());
        self
    }

    fn value(&self, field: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| *name == field);
        found.map(|(_, value)| value.as_str())
    }

    fn json(&self) -> String {
        let fields: Vec<_> = (self.0.iter())
            .map(|(name, value)| format!("\"{name}\": {value}"))
            .collect();
        format!("{{{}}}", fields.join(", "))
    }
}
