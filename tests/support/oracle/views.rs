//! The five views of customer_metrics, over clean events, as rows of text.
//!
//! The text is canonical: dates `2026-02-24`, hours `2026-02-24 07:00:00`, whole numbers plain, money and rates with two
//! places rounded half up. Rows come in the view's order; where it has none, by their key.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveDate, NaiveDateTime, TimeDelta, Timelike};

use super::{CleanEvent, GoldKey, Metrics, gold};

/// What a view answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) columns: &'static [&'static str],
    pub(crate) rows: Vec<Vec<String>>,
}

/// The answers of all five views at one time.
pub(crate) struct Views<'a> {
    clean: Vec<&'a CleanEvent>,
    gold: BTreeMap<GoldKey, Metrics>,
    now: NaiveDateTime,
}

impl<'a> Views<'a> {
    /// Over these clean events, as of `now` in UTC.
    pub(crate) fn new(clean: impl IntoIterator<Item = &'a CleanEvent>, now: NaiveDateTime) -> Self {
        let clean: Vec<_> = clean.into_iter().collect();
        Self {
            gold: gold(clean.iter().copied()),
            clean,
            now,
        }
    }

    /// By date, newest first.
    pub(crate) fn event_funnel(&self) -> Table {
        let mut dates: BTreeMap<Reverse<NaiveDate>, Metrics> = BTreeMap::new();
        for event in &self.clean {
            dates
                .entry(Reverse(event.event_timestamp.date()))
                .or_default()
                .count(event);
        }
        let rows = dates.into_iter().map(|(Reverse(date), metrics)| {
            let mut row = vec![date.to_string()];
            row.extend(counts(metrics));
            row.extend([
                percent(metrics.add_to_cart_count, metrics.page_views),
                percent(metrics.purchase_count, metrics.add_to_cart_count),
                percent(metrics.purchase_count, metrics.page_views),
            ]);
            row
        });
        Table {
            columns: &[
                "event_date",
                "page_views",
                "add_to_cart",
                "purchases",
                "page_to_cart_rate",
                "cart_to_purchase_rate",
                "overall_conversion_rate",
            ],
            rows: rows.collect(),
        }
    }

    /// By customer and date.
    pub(crate) fn daily_customer_revenue(&self) -> Table {
        let rows = self.gold.iter().map(|((customer, date), metrics)| {
            vec![
                customer.clone(),
                date.to_string(),
                money(metrics.revenue_cents),
                metrics.purchase_count.to_string(),
                metrics.page_views.to_string(),
                metrics.add_to_cart_count.to_string(),
                average(metrics.revenue_cents, metrics.purchase_count),
            ]
        });
        Table {
            columns: &[
                "customer_id",
                "event_date",
                "total_revenue",
                "purchase_count",
                "page_views",
                "add_to_cart_count",
                "avg_order_value",
            ],
            rows: rows.collect(),
        }
    }

    /// By customer and date.
    pub(crate) fn real_time_customer_metrics(&self) -> Table {
        let rows = self.gold.iter().map(|((customer, date), metrics)| {
            let engagement =
                metrics.page_views + 3 * metrics.add_to_cart_count + 10 * metrics.purchase_count;
            let mut row = vec![customer.clone(), date.to_string()];
            row.extend(counts(*metrics));
            row.extend([
                money(metrics.revenue_cents),
                average(metrics.revenue_cents, metrics.purchase_count),
                engagement.to_string(),
            ]);
            row
        });
        Table {
            columns: &[
                "customer_id",
                "event_date",
                "page_views",
                "add_to_cart_count",
                "purchase_count",
                "total_revenue",
                "avg_order_value",
                "engagement_score",
            ],
            rows: rows.collect(),
        }
    }

    /// By customer, highest revenue first and those of the same revenue by name.
    pub(crate) fn top_customers(&self) -> Table {
        let mut customers: BTreeMap<&str, (Metrics, i64)> = BTreeMap::new();
        for ((customer, _), metrics) in &self.gold {
            let (lifetime, days) = customers.entry(customer).or_default();
            lifetime.add(*metrics);
            *days += 1;
        }
        let mut customers: Vec<_> = customers.into_iter().collect();
        customers
            .sort_by_key(|(customer, (lifetime, _))| (Reverse(lifetime.revenue_cents), *customer));
        let rows = customers.into_iter().map(|(customer, (lifetime, days))| {
            vec![
                customer.to_owned(),
                money(lifetime.revenue_cents),
                lifetime.purchase_count.to_string(),
                lifetime.page_views.to_string(),
                lifetime.add_to_cart_count.to_string(),
                days.to_string(),
                average(lifetime.revenue_cents, lifetime.purchase_count),
                average(lifetime.revenue_cents, days),
                percent(lifetime.purchase_count, lifetime.add_to_cart_count),
                tier(lifetime.revenue_cents).to_owned(),
            ]
        });
        Table {
            columns: &[
                "customer_id",
                "lifetime_revenue",
                "total_purchases",
                "total_page_views",
                "total_add_to_cart",
                "active_days",
                "avg_order_value",
                "revenue_per_day",
                "conversion_rate",
                "customer_tier",
            ],
            rows: rows.collect(),
        }
    }

    /// The current hour and the 23 before it, newest first; an hour without events has no row.
    pub(crate) fn hourly_trends(&self) -> Table {
        let current = hour(self.now);
        let hours = current - TimeDelta::hours(23)..=current;
        let mut trends: BTreeMap<Reverse<NaiveDateTime>, (Metrics, BTreeSet<&str>)> =
            BTreeMap::new();
        for event in self
            .clean
            .iter()
            .filter(|event| hours.contains(&hour(event.event_timestamp)))
        {
            let (metrics, customers) = trends
                .entry(Reverse(hour(event.event_timestamp)))
                .or_default();
            metrics.count(event);
            customers.insert(&event.customer_id);
        }
        let rows = trends
            .into_iter()
            .map(|(Reverse(hour), (metrics, customers))| {
                let mut row = vec![hour.to_string()];
                row.extend(counts(metrics));
                row.extend([money(metrics.revenue_cents), customers.len().to_string()]);
                row
            });
        Table {
            columns: &[
                "event_hour",
                "page_views",
                "add_to_cart",
                "purchases",
                "revenue",
                "unique_customers",
            ],
            rows: rows.collect(),
        }
    }
}

fn counts(metrics: Metrics) -> [String; 3] {
    [
        metrics.page_views,
        metrics.add_to_cart_count,
        metrics.purchase_count,
    ]
    .map(|count| count.to_string())
}

fn hour(time: NaiveDateTime) -> NaiveDateTime {
    time.date()
        .and_hms_opt(time.hour(), 0, 0)
        .expect("an hour has a start")
}

fn tier(revenue_cents: i64) -> &'static str {
    match revenue_cents {
        100_000.. => "VIP",
        50_000.. => "Premium",
        10_000.. => "Regular",
        _ => "New",
    }
}

/// Two places.
pub(crate) fn money(cents: i64) -> String {
    assert!(cents >= 0, "nothing here is below zero, {cents} is");
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// Cents per one, 0 when there is nothing to divide by.
fn average(cents: i64, count: i64) -> String {
    money(half_up(cents, count))
}

/// Parts per hundred wholes, 0 when there are none.
fn percent(part: i64, whole: i64) -> String {
    money(half_up(part * 100 * 100, whole))
}

/// The quotient of two numbers that are not negative, a half rounded up.
fn half_up(dividend: i64, divisor: i64) -> i64 {
    if divisor == 0 {
        0
    } else {
        (2 * dividend + divisor) / (2 * divisor)
    }
}
