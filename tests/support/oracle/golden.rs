//! The golden fixture: events whose totals are the very numbers of the original's own output.

use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveDateTime, TimeDelta};

use super::{GoldKey, Metrics};

/// How many of the golden events the first trigger saw.
pub(crate) const GOLDEN_FIRST: usize = 195;

/// Views, carts, purchases and revenue in cents, of each customer in turn.
type Totals = [(i64, i64, i64, i64); 5];

const FIRST: Totals = [
    (16, 11, 12, 286_877),
    (20, 11, 12, 322_881),
    (14, 15, 16, 425_697),
    (6, 8, 16, 309_144),
    (11, 13, 14, 356_374),
];

const SECOND: Totals = [
    (503, 551, 574, 14_174_905),
    (558, 556, 532, 13_133_326),
    (569, 518, 577, 14_608_073),
    (570, 535, 595, 14_129_362),
    (529, 578, 548, 14_213_663),
];

/// The 8,293 events of the fixture, all valid and all on `day`, as (key, value). The first [`GOLDEN_FIRST`] are those of
/// the first trigger.
pub(crate) fn golden_events(day: NaiveDate) -> Vec<(String, Vec<u8>)> {
    let first = trigger(Totals::default(), FIRST);
    let rest = trigger(FIRST, SECOND);
    let midnight = NaiveDateTime::from(day);
    first
        .into_iter()
        .chain(rest)
        .enumerate()
        .map(|(number, event)| event.write(number, midnight))
        .collect()
}

/// The gold table after the first trigger, and after the second.
pub(crate) fn golden_gold(day: NaiveDate) -> [BTreeMap<GoldKey, Metrics>; 2] {
    [FIRST, SECOND].map(|totals| {
        let rows = totals.into_iter().zip(1..).map(
            |((page_views, add_to_cart_count, purchase_count, cents), number)| {
                let metrics = Metrics {
                    page_views,
                    add_to_cart_count,
                    purchase_count,
                    revenue_cents: cents,
                };
                ((format!("CUST_{number}"), day), metrics)
            },
        );
        rows.collect()
    })
}

struct GoldenEvent {
    customer: String,
    event_type: &'static str,
    cents: i64,
}

impl GoldenEvent {
    fn write(self, number: usize, midnight: NaiveDateTime) -> (String, Vec<u8>) {
        let Self {
            customer,
            event_type,
            cents,
        } = self;
        let number = i64::try_from(number).expect("there are few events");
        // Ten seconds apart, which leaves the last of them within the day.
        let time = midnight + TimeDelta::seconds(10 * number) + TimeDelta::microseconds(number);
        let value = serde_json::json!({
            "event_id": format!("00000000-0000-4000-8000-{number:012x}"),
            "customer_id": customer,
            "event_type": event_type,
            "amount": serde_json::Value::Null,
            "currency": "USD",
            "event_timestamp": time.format("%Y-%m-%dT%H:%M:%S%.6f").to_string(),
            "is_valid": true,
            "invalid_field": null,
        });
        let amount = format!(r#""amount":{}.{:02}"#, cents / 100, cents % 100);
        (
            customer,
            value
                .to_string()
                .replacen(r#""amount":null"#, &amount, 1)
                .into_bytes(),
        )
    }
}

/// Events that lead from one set of totals to the next, well mixed.
fn trigger(from: Totals, to: Totals) -> Vec<GoldenEvent> {
    let mut events = Vec::new();
    for (number, (from, to)) in from.into_iter().zip(to).enumerate() {
        let event = |event_type, cents| GoldenEvent {
            customer: format!("CUST_{}", number + 1),
            event_type,
            cents,
        };
        events.extend((from.0..to.0).map(|i| event("PAGE_VIEW", 1_000 + 7 * i)));
        events.extend((from.1..to.1).map(|i| event("ADD_TO_CART", 1_000 + 11 * i)));
        events.extend(
            split(to.3 - from.3, to.2 - from.2)
                .into_iter()
                .map(|cents| event("PURCHASE", cents)),
        );
    }
    mixed(events)
}

/// So many different amounts that add up to the sum.
fn split(sum: i64, count: i64) -> Vec<i64> {
    let (each, left) = (sum / count, sum % count);
    (0..count)
        .map(|i| {
            // Symmetric about zero, so that the deviations cancel each other.
            let deviation = (2 * i - (count - 1)) * 17;
            each + deviation + i64::from(i < left)
        })
        .collect()
}

/// In another order: every so-many-th event, round and round.
fn mixed(events: Vec<GoldenEvent>) -> Vec<GoldenEvent> {
    let count = events.len();
    // A prime that does not divide the count visits every place once.
    let step = [37, 41, 43]
        .into_iter()
        .find(|prime| !count.is_multiple_of(*prime))
        .expect("one of three primes is no divisor");
    let mut places: Vec<_> = events.into_iter().map(Some).collect();
    (0..count)
        .map(|i| {
            places[i * step % count]
                .take()
                .expect("every place is visited once")
        })
        .collect()
}
