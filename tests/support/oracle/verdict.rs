//! What should become of a raw record.

use std::collections::HashMap;

use chrono::NaiveDateTime;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{CleanEvent, EventType};

/// What should become of one raw record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It reaches clean_events.
    Clean(CleanEvent),
    /// It reaches rejected_events, for a reason that begins with this.
    Rejected(String),
    /// It is dropped: an earlier record of its partition has the same bytes.
    Duplicate,
}

impl Verdict {
    /// The clean event, if that is what it is.
    pub(crate) fn clean(&self) -> Option<&CleanEvent> {
        match self {
            Self::Clean(event) => Some(event),
            Self::Rejected(_) | Self::Duplicate => None,
        }
    }
}

/// The fields of a raw event. Undeclared ones are of no interest.
#[derive(Deserialize)]
struct RawEvent<'a> {
    event_id: Option<String>,
    customer_id: Option<String>,
    event_type: Option<String>,
    #[serde(borrow)]
    amount: &'a RawValue,
    currency: Option<String>,
    event_timestamp: String,
    is_valid: bool,
    invalid_field: Option<String>,
}

/// The verdict on each record of a raw topic, given as (partition, value) in the order of their offsets.
///
/// Duplicates are found within a partition over its whole length: a test that wants some to be too far apart has to
/// say so itself.
pub(crate) fn judge<'a>(records: impl IntoIterator<Item = (i32, &'a [u8])>) -> Vec<Verdict> {
    let mut newest: HashMap<(i32, String), &'a [u8]> = HashMap::new();
    records
        .into_iter()
        .map(|(partition, value)| match verdict(value) {
            Verdict::Clean(event) => match newest.get(&(partition, event.event_id.clone())) {
                Some(earlier) if *earlier == value => Verdict::Duplicate,
                Some(_) => {
                    newest.insert((partition, event.event_id), value);
                    Verdict::Rejected("conflicting_duplicate".to_owned())
                }
                None => {
                    newest.insert((partition, event.event_id.clone()), value);
                    Verdict::Clean(event)
                }
            },
            other => other,
        })
        .collect()
}

/// By its label, or by the fault that no label tells of.
fn verdict(value: &[u8]) -> Verdict {
    let Ok(event) = serde_json::from_slice::<RawEvent<'_>>(value) else {
        return Verdict::Rejected("json".to_owned());
    };
    let Some(event_id) = event.event_id else {
        return Verdict::Rejected("event_id".to_owned());
    };
    if !event.is_valid {
        return Verdict::Rejected(
            event
                .invalid_field
                .expect("an invalid event says which field is"),
        );
    }
    Verdict::Clean(CleanEvent {
        event_id,
        customer_id: event.customer_id.expect("a valid event has a customer"),
        event_type: match event.event_type.as_deref() {
            Some("PAGE_VIEW") => EventType::PageView,
            Some("ADD_TO_CART") => EventType::AddToCart,
            Some("PURCHASE") => EventType::Purchase,
            other => panic!("a valid event has the type {other:?}"),
        },
        cents: cents(event.amount.get()),
        currency: event.currency.expect("a valid event has a currency"),
        event_timestamp: time(&event.event_timestamp),
    })
}

/// Whole cents, from the digits as they are written.
pub(crate) fn cents(amount: &str) -> i64 {
    let (units, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    let fraction = fraction.trim_end_matches('0');
    assert!(fraction.len() <= 2, "{amount} is not in whole cents");
    format!("{units}{fraction:0<2}")
        .parse()
        .unwrap_or_else(|error| panic!("{amount} is no amount: {error}"))
}

/// UTC, whether a `Z` says so or not.
fn time(text: &str) -> NaiveDateTime {
    let text = text.strip_suffix('Z').unwrap_or(text);
    NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f")
        .unwrap_or_else(|error| panic!("{text} is no time: {error}"))
}
