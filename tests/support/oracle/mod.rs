//! The right answers, recomputed from the raw records by means that share nothing with the service: serde_json, text,
//! and whole cents.
//!
//! Verdicts come from the labels that the generator wrote into the events, never from a rule.

mod golden;
#[cfg(test)]
mod tests;
mod verdict;
mod views;

use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveDateTime};

pub(crate) use golden::{GOLDEN_FIRST, golden_events, golden_gold};
pub(crate) use verdict::{Verdict, judge};
pub(crate) use views::{Table, Views};

/// The three event types that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventType {
    PageView,
    AddToCart,
    Purchase,
}

/// An event that should reach clean_events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CleanEvent {
    pub(crate) event_id: String,
    pub(crate) customer_id: String,
    pub(crate) event_type: EventType,
    pub(crate) cents: i64,
    pub(crate) currency: String,
    pub(crate) event_timestamp: NaiveDateTime,
}

/// The key of a gold row.
pub(crate) type GoldKey = (String, NaiveDate);

/// A row of customer_daily_metrics without its key; or the sum of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Metrics {
    pub(crate) page_views: i64,
    pub(crate) add_to_cart_count: i64,
    pub(crate) purchase_count: i64,
    pub(crate) revenue_cents: i64,
}

impl Metrics {
    /// Counts one event more.
    fn count(&mut self, event: &CleanEvent) {
        match event.event_type {
            EventType::PageView => self.page_views += 1,
            EventType::AddToCart => self.add_to_cart_count += 1,
            EventType::Purchase => {
                self.purchase_count += 1;
                self.revenue_cents += event.cents;
            }
        }
    }

    /// Counts what another row has counted.
    fn add(&mut self, other: Self) {
        self.page_views += other.page_views;
        self.add_to_cart_count += other.add_to_cart_count;
        self.purchase_count += other.purchase_count;
        self.revenue_cents += other.revenue_cents;
    }
}

/// The gold table that these clean events make.
pub(crate) fn gold<'a>(
    clean: impl IntoIterator<Item = &'a CleanEvent>,
) -> BTreeMap<GoldKey, Metrics> {
    let mut rows: BTreeMap<GoldKey, Metrics> = BTreeMap::new();
    for event in clean {
        rows.entry((event.customer_id.clone(), event.event_timestamp.date()))
            .or_default()
            .count(event);
    }
    rows
}
