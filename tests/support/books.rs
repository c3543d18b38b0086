//! The books of customer_metrics: what its topics and its warehouse hold, beside what the oracle says that they should.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DurationRound, SubsecRound, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;
use sluicebox::generate::{Event, Events, Options};

use super::deployment::{Deployment, PARTITIONS};
use super::kafka::{Kafka, Record};
use super::oracle::{self, CleanEvent, GoldKey, Metrics, Table, Verdict, Views};
use super::pipeline::Pipeline;
use super::running::Running;

/// Longest way of the events of one test into the warehouse, on a busy machine.
const LOAD_LIMIT: Duration = Duration::from_secs(300);

/// The columns of the gold table that carry numbers, as the gold topic and the warehouse have them.
const METRICS: [&str; 4] = [
    "page_views",
    "add_to_cart_count",
    "purchase_count",
    "total_revenue",
];

/// A deployment of customer_metrics, set up.
pub(crate) struct Books {
    pub(crate) deployment: Deployment,
    /// The gold table and its topic.
    pub(crate) gold: String,
}

#[derive(Deserialize)]
struct GoldRow<'a> {
    customer_id: String,
    event_date: String,
    page_views: i64,
    add_to_cart_count: i64,
    purchase_count: i64,
    #[serde(borrow)]
    total_revenue: &'a RawValue,
}

/// Generated events that are as old as this moment, the same for the same seed but for their times.
pub(crate) fn events(count: usize, seed: u64) -> Vec<Event> {
    Events::new(Options::new(seed, Utc::now().trunc_subsecs(6)))
        .take(count)
        .collect()
}

impl Books {
    pub(crate) fn open(name: &str) -> Self {
        Self::open_on(Kafka::shared(), PARTITIONS, name)
    }

    /// On this Kafka, with so many partitions in every topic.
    pub(crate) fn open_on(kafka: Arc<Kafka>, partitions: i32, name: &str) -> Self {
        let pipeline = Pipeline::customer_metrics();
        let deployment = Deployment::on(kafka, partitions, name, &pipeline);
        deployment.setup();
        Self {
            deployment,
            gold: pipeline.gold,
        }
    }

    /// Writes these to the raw topic.
    pub(crate) fn produce(&self, events: &[Event]) {
        let events = events.iter().map(|event| (event.key, event.value.clone()));
        self.deployment.produce(events);
    }

    /// What is clean of the raw topic.
    pub(crate) fn clean(&self) -> Vec<CleanEvent> {
        let judged = self.judged().into_iter();
        judged
            .filter_map(|(_, verdict)| verdict.clean().cloned())
            .collect()
    }

    /// Waits until the service has loaded what should be, ends it, and compares; tells the number of clean events.
    pub(crate) fn assert_exact(&self, service: &mut Running) -> usize {
        let clean = self.clean();
        self.await_loaded(service, clean.len());
        assert!(service.terminate().success());
        self.assert_hold(&clean);
        clean.len()
    }

    /// The raw topic, and what should become of each of its records.
    pub(crate) fn judged(&self) -> Vec<(Record, Verdict)> {
        let raw = self.deployment.kafka.read_all(&self.deployment.raw);
        let values = raw.iter().map(|record| {
            let value = record.value.as_deref().expect("no test sends a tombstone");
            (record.partition, value)
        });
        let verdicts = oracle::judge(values);
        raw.into_iter().zip(verdicts).collect()
    }

    /// Waits until so many clean events are in both tables.
    pub(crate) fn await_loaded(&self, service: &mut Running, clean: usize) {
        let clean = i64::try_from(clean).expect("tests have few events");
        let mut loaded = None;
        service.wait_for("clean events in the warehouse", LOAD_LIMIT, |service| {
            let rows = service.metric("sluicebox_load_rows_total");
            // The warehouse is only asked when there is news.
            if loaded.replace(rows) == Some(rows) {
                return false;
            }
            let (silver, gold) = self.loaded();
            assert!(
                silver <= clean && gold <= clean,
                "{silver} events are in the silver table and {gold} in the gold table, but {clean} are clean"
            );
            (silver, gold) == (clean, clean)
        });
    }

    /// Clean events in the table of the clean events, and in the metrics.
    pub(crate) fn loaded(&self) -> (i64, i64) {
        let silver = "SELECT COUNT(*) AS events FROM KAFKA_EVENTS_SILVER";
        let gold = format!(
            "SELECT COALESCE(SUM(page_views + add_to_cart_count + purchase_count), 0) AS events FROM {}",
            self.gold
        );
        (
            self.deployment.number(silver),
            self.deployment.number(&gold),
        )
    }

    /// Compares the silver table, the gold topic, the gold table and the five views with these clean events.
    pub(crate) fn assert_hold(&self, clean: &[CleanEvent]) {
        let mut ids: Vec<_> = clean
            .iter()
            .map(|event| vec![event.event_id.clone()])
            .collect();
        let mut loaded = self.deployment.texts(&["event_id"], "KAFKA_EVENTS_SILVER");
        ids.sort();
        loaded.sort();
        assert!(loaded == ids, "the event ids in the silver table differ");
        self.assert_gold(&oracle::gold(clean));
        self.assert_views(clean);
    }

    /// Compares the newest rows of the gold topic, and the gold table, with these.
    pub(crate) fn assert_gold(&self, expected: &BTreeMap<GoldKey, Metrics>) {
        self.assert_gold_topic(expected);
        let columns: Vec<_> = ["customer_id", "event_date"]
            .into_iter()
            .chain(METRICS)
            .collect();
        let expected: Vec<_> = expected.iter().map(row).collect();
        assert_eq!(
            self.sorted(&columns, &self.gold),
            expected,
            "the gold table"
        );
    }

    /// Clean events that the newest rows of the gold topic count.
    pub(crate) fn counted_in_topic(&self) -> usize {
        let mut newest: HashMap<_, _> = HashMap::new();
        for record in Kafka::shared().read_all(&self.gold) {
            newest.insert(record.key, record.value.expect("no row is deleted"));
        }
        let counted = |value: &Vec<u8>| {
            let row: GoldRow<'_> = serde_json::from_slice(value).expect("a gold row is an object");
            row.page_views + row.add_to_cart_count + row.purchase_count
        };
        let counted: i64 = newest.values().map(counted).sum();
        usize::try_from(counted).expect("counts are not negative")
    }

    /// Compares the newest rows of the gold topic with these.
    pub(crate) fn assert_gold_topic(&self, expected: &BTreeMap<GoldKey, Metrics>) {
        let expected: Vec<_> = expected.iter().map(row).collect();
        let mut newest: HashMap<_, _> = HashMap::new();
        for record in self.deployment.kafka.read_all(&self.gold) {
            newest.insert(record.key, record.value.expect("no row is deleted"));
        }
        let mut rows: Vec<_> = newest.values().map(|value| written(value)).collect();
        rows.sort();
        assert_eq!(rows, expected, "the newest rows of the gold topic");
    }

    fn assert_views(&self, clean: &[CleanEvent]) {
        let (views, hourly) = loop {
            let now = Utc::now();
            let hourly = self.view(
                "hourly_trends",
                &Views::new([], now.naive_utc()).hourly_trends(),
            );
            let hour = |time: chrono::DateTime<Utc>| time.duration_trunc(TimeDelta::hours(1));
            // What was asked in two hours says nothing of either.
            if hour(now) == hour(Utc::now()) {
                break (Views::new(clean, now.naive_utc()), hourly);
            }
        };
        assert_eq!(hourly, canonical(views.hourly_trends()), "hourly_trends");
        for (name, expected) in [
            ("event_funnel", views.event_funnel()),
            ("daily_customer_revenue", views.daily_customer_revenue()),
            (
                "real_time_customer_metrics",
                views.real_time_customer_metrics(),
            ),
            ("top_customers", views.top_customers()),
        ] {
            assert_eq!(self.view(name, &expected), canonical(expected), "{name}");
        }
    }

    /// What a view answers for the columns of this table.
    fn view(&self, name: &str, like: &Table) -> Vec<Vec<String>> {
        self.sorted(like.columns, name)
    }

    /// All rows, sorted, with hours as the oracle writes them.
    pub(crate) fn sorted(&self, columns: &[&str], from: &str) -> Vec<Vec<String>> {
        let mut rows = self.deployment.texts(columns, from);
        for value in rows.iter_mut().flatten() {
            if let Some(hour) = value.strip_suffix(":00:00.000") {
                *value = format!("{hour}:00:00");
            }
        }
        rows.sort();
        rows
    }
}

/// Sorted: a query of some columns of a view promises no order.
fn canonical(table: Table) -> Vec<Vec<String>> {
    let mut rows = table.rows;
    rows.sort();
    rows
}

fn row(((customer, date), metrics): (&GoldKey, &Metrics)) -> Vec<String> {
    vec![
        customer.clone(),
        date.to_string(),
        metrics.page_views.to_string(),
        metrics.add_to_cart_count.to_string(),
        metrics.purchase_count.to_string(),
        money(metrics.revenue_cents),
    ]
}

/// A row of the gold topic, its money digit by digit as it stands there.
fn written(value: &[u8]) -> Vec<String> {
    let row: GoldRow<'_> = serde_json::from_slice(value).expect("a gold row is an object");
    vec![
        row.customer_id,
        row.event_date,
        row.page_views.to_string(),
        row.add_to_cart_count.to_string(),
        row.purchase_count.to_string(),
        row.total_revenue.get().to_owned(),
    ]
}

/// Two places.
pub(crate) fn money(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
