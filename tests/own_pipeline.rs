//! Pipelines that the tests write: nothing of a pipeline is in Rust.

use std::time::Duration;

use chrono::{TimeDelta, Utc};

use crate::support::deployment::Deployment;
use crate::support::kafka::{Kafka, Message, unique};
use crate::support::oracle::{GOLDEN_FIRST, golden_events};
use crate::support::pipeline::Pipeline;
use crate::support::running::Running;

const LIMIT: Duration = Duration::from_secs(120);

const RAW: &str = "CREATE TABLE raw_events (
    sample   VARCHAR,
    device   VARCHAR,
    reading  DECIMAL(10, 3),
    humidity DOUBLE,
    taken_at TIMESTAMP
)";

const CLEAN: &str = "SELECT sample, device, reading, humidity, taken_at,
    CASE WHEN sample IS NULL THEN 'sample_missing'
         WHEN reading < -273.15 THEN 'reading_impossible'
         WHEN taken_at IS NULL THEN 'taken_at_missing' END AS reject_reason
FROM raw_events";

const GOLD: &str = "SELECT device, DATE_TRUNC('hour', taken_at) AS taken_hour,
    COUNT(*) AS samples, AVG(reading) AS average_reading, MAX(reading) AS highest_reading,
    MIN(humidity) AS lowest_humidity, CAST(approx_distinct(sample) AS BIGINT) AS distinct_samples
FROM clean_events
GROUP BY device, DATE_TRUNC('hour', taken_at)";

const OBJECTS: &str = "CREATE DATABASE IF NOT EXISTS ${database};
CREATE SCHEMA IF NOT EXISTS ${database}.${schema};
CREATE WAREHOUSE IF NOT EXISTS ${warehouse} WAREHOUSE_SIZE = XSMALL;
CREATE TABLE IF NOT EXISTS ${database}.${schema}.READINGS (
    SAMPLE VARCHAR NOT NULL, DEVICE VARCHAR, READING NUMBER(10, 3), HUMIDITY FLOAT, TAKEN_AT TIMESTAMP_NTZ(6) NOT NULL
);
CREATE TABLE IF NOT EXISTS ${database}.${schema}.{gold} (
    DEVICE VARCHAR, TAKEN_HOUR TIMESTAMP_NTZ(6) NOT NULL, SAMPLES NUMBER(19, 0) NOT NULL,
    AVERAGE_READING NUMBER(14, 7), HIGHEST_READING NUMBER(10, 3), LOWEST_HUMIDITY FLOAT,
    DISTINCT_SAMPLES NUMBER(19, 0) NOT NULL, SLUICEBOX_VERSION NUMBER(19, 0) NOT NULL
);
CREATE OR REPLACE VIEW ${database}.${schema}.HOT_DEVICES AS
SELECT device, MAX(highest_reading) AS highest FROM ${database}.${schema}.{gold}
WHERE highest_reading > 30 GROUP BY device;";

const GRANTS: &str = "CREATE ROLE IF NOT EXISTS ${role};
GRANT ROLE ${role} TO USER ${user};
GRANT USAGE ON DATABASE ${database} TO ROLE ${role};
GRANT USAGE ON SCHEMA ${database}.${schema} TO ROLE ${role};
GRANT USAGE ON WAREHOUSE ${warehouse} TO ROLE ${role};
GRANT USAGE ON FILE FORMAT ${database}.${schema}.SLUICEBOX_PARQUET TO ROLE ${role};
GRANT USAGE ON STAGE ${database}.${schema}.${stage} TO ROLE ${role};
GRANT SELECT, INSERT, UPDATE ON TABLE ${database}.${schema}.SLUICEBOX_CONTROL TO ROLE ${role};
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE ${database}.${schema}.{gold} TO ROLE ${role};
GRANT SELECT, INSERT ON TABLE ${database}.${schema}.READINGS TO ROLE ${role};
GRANT SELECT ON VIEW ${database}.${schema}.HOT_DEVICES TO ROLE ${role};";

/// Readings of devices. The scripts of the control table and of the stage are those of every pipeline.
fn sensors() -> Pipeline {
    let gold = unique("device_hours").replace('-', "_");
    let named = |text: &str| text.replace("{gold}", &gold.to_uppercase());
    let pipeline = Pipeline::of_files([
        ("raw_events.sql", named(RAW)),
        ("clean_events.sql", named(CLEAN)),
        (&format!("gold/{gold}.sql"), named(GOLD)),
        ("warehouse/01_objects.sql", named(OBJECTS)),
        ("warehouse/03_grants.sql", named(GRANTS)),
    ]);
    Pipeline {
        key: "device",
        event_id: "sample",
        clean_table: "READINGS",
        gold,
        external_stage: true,
        ..pipeline
    }
}

fn reading(
    number: usize,
    device: Option<&str>,
    reading: &str,
    humidity: &str,
) -> (Option<String>, Vec<u8>) {
    let name = device.map_or("null".to_owned(), |device| format!("{device:?}"));
    // Two hours: numbers below 60 in one, the others in the next.
    let value = format!(
        r#"{{"sample":"s{number}","device":{name},"reading":{reading},"humidity":{humidity},"taken_at":"2026-02-24T{:02}:{:02}:00Z"}}"#,
        7 + number / 60,
        number % 60
    );
    (device.map(str::to_owned), value.into_bytes())
}

/// Waits until the warehouse answers this number to `SELECT what FROM ...`.
fn await_number(service: &mut Running, deployment: &Deployment, what: &str, number: i64) {
    let mut loaded = None;
    service.wait_for(what, LIMIT, |service| {
        let news = service.metric("sluicebox_load_rows_total");
        // The warehouse is only asked when there is news.
        loaded.replace(news) != Some(news) && deployment.number(&format!("SELECT {what}")) == number
    });
}

#[test]
fn a_pipeline_with_other_columns_key_metrics_tables_and_view_needs_no_change_in_rust() {
    let pipeline = sensors();
    let deployment = Deployment::new("sensors", &pipeline);
    deployment.setup();
    let mut service = deployment.start(&["run"]);
    deployment.produce([
        reading(1, Some("attic"), "20.5", "0.25"),
        reading(2, Some("attic"), "31.125", "0.5"),
        reading(3, Some("cellar"), "12", "0.75"),
        reading(3, Some("cellar"), "12", "0.75"),
        reading(4, Some("cellar"), "-300", "0.75"),
        reading(5, Some("cellar"), "12.0001", "0.75"),
        reading(61, Some("attic"), "10", "null"),
        reading(62, None, "1", "1e-3"),
    ]);
    let counted = format!("COALESCE(SUM(samples), 0) AS n FROM {}", pipeline.gold);
    await_number(&mut service, &deployment, "COUNT(*) AS n FROM READINGS", 5);
    await_number(&mut service, &deployment, &counted, 5);
    assert!(service.terminate().success());

    let columns = [
        "device",
        "taken_hour",
        "samples",
        "average_reading",
        "highest_reading",
        "lowest_humidity",
        "distinct_samples",
    ];
    let mut rows = deployment.texts(&columns, &pipeline.gold);
    rows.sort();
    let hours = ["2026-02-24 07:00:00.000", "2026-02-24 08:00:00.000"];
    assert_eq!(
        rows,
        [
            ["NULL", hours[1], "1", "1.0000000", "1.000", "0.001", "1"],
            ["attic", hours[0], "2", "25.8125000", "31.125", "0.25", "2"],
            ["attic", hours[1], "1", "10.0000000", "10.000", "NULL", "1"],
            ["cellar", hours[0], "1", "12.0000000", "12.000", "0.75", "1"],
        ]
    );
    let hot = deployment.texts(&["device", "highest"], "HOT_DEVICES");
    assert_eq!(hot, [["attic", "31.125"]]);
    let mut reasons = rejected_for(&deployment);
    reasons.sort();
    assert_eq!(reasons, ["reading_impossible", "type"]);
}

fn rejected_for(deployment: &Deployment) -> Vec<String> {
    let records = Kafka::shared().read_all(&deployment.rejected);
    let headers = records.into_iter().flat_map(|record| record.headers);
    headers
        .filter(|(name, _)| name == "sluicebox.reason")
        .filter_map(|(_, reason)| String::from_utf8(reason?).ok())
        .collect()
}

#[test]
fn rows_of_the_null_key_meet_in_one_partition_and_a_tombstone_deletes_one_row() {
    let pipeline = sensors();
    let deployment = Deployment::new("tombstone", &pipeline);
    deployment.setup();
    let mut service = deployment.start(&["run"]);
    // Without a key they are spread over the partitions of the raw topic.
    let without = (0..40).map(|number| Message {
        value: Some(reading(number, None, "1.5", "0.5").1),
        partition: Some(i32::try_from(number % 3).expect("a partition")),
        ..Message::default()
    });
    Kafka::shared().produce(&deployment.raw, without);
    deployment.produce([
        reading(100, Some("attic"), "20", "0.5"),
        reading(101, Some("cellar"), "20", "0.5"),
    ]);
    let counted = format!("COALESCE(SUM(samples), 0) AS n FROM {}", pipeline.gold);
    await_number(&mut service, &deployment, &counted, 42);
    let silver = "COUNT(*) AS n FROM READINGS";
    await_number(&mut service, &deployment, silver, 42);

    let rows = deployment.texts(
        &["samples"],
        &format!("{} WHERE device IS NULL", pipeline.gold),
    );
    assert_eq!(rows, [["40"]]);
    let rows = Kafka::shared().read_all(&pipeline.gold);
    let null: Vec<_> = rows
        .iter()
        .filter(|row| {
            row.key
                .as_deref()
                .is_some_and(|key| key.starts_with(br#"{"device":null"#))
        })
        .collect();
    assert!(!null.is_empty() && null.iter().all(|row| row.partition == null[0].partition));
    let attic = rows
        .iter()
        .find(|row| {
            row.key
                .as_deref()
                .is_some_and(|key| key.starts_with(br#"{"device":"attic""#))
        })
        .expect("the attic has a row");
    let tombstones = [attic, null[0]].map(|row| Message {
        key: row.key.clone(),
        partition: Some(row.partition),
        ..Message::default()
    });
    Kafka::shared().produce(&pipeline.gold, tombstones);
    await_number(&mut service, &deployment, &counted, 1);
    assert!(service.terminate().success());
    assert_eq!(deployment.texts(&["device"], &pipeline.gold), [["cellar"]]);
    assert_eq!(
        deployment.number("SELECT COUNT(*) AS n FROM READINGS"),
        42,
        "appended rows stay"
    );
}

#[test]
fn a_column_in_the_gold_query_and_in_its_table_is_all_that_a_new_metric_takes() {
    let mut pipeline = Pipeline::customer_metrics();
    let gold = format!("gold/{}.sql", pipeline.gold);
    pipeline.edit(
        &gold,
        "AS total_revenue",
        "AS total_revenue,
    COALESCE(MAX(amount) FILTER (WHERE event_type = 'PURCHASE'), 0) AS largest_purchase",
    );
    let table = format!("warehouse/02_{}.sql", pipeline.gold);
    pipeline.edit(
        &table,
        "    SLUICEBOX_VERSION NUMBER",
        "    LARGEST_PURCHASE NUMBER(22, 2) NOT NULL,\n    SLUICEBOX_VERSION NUMBER",
    );
    let deployment = Deployment::new("metric", &pipeline);
    deployment.setup();
    let events: Vec<_> = golden_events(Utc::now().date_naive() - TimeDelta::days(1));
    let first = events.into_iter().take(GOLDEN_FIRST);
    deployment.produce(first.map(|(key, value)| (Some(key), value)));
    let mut service = deployment.start(&["run"]);
    let first = i64::try_from(GOLDEN_FIRST).expect("a count fits");
    let silver = "COUNT(*) AS n FROM KAFKA_EVENTS_SILVER";
    let counted = format!(
        "COALESCE(SUM(page_views + add_to_cart_count + purchase_count), 0) AS n FROM {}",
        pipeline.gold
    );
    await_number(&mut service, &deployment, silver, first);
    await_number(&mut service, &deployment, &counted, first);
    assert!(service.terminate().success());

    let sorted = |from: &str| {
        let mut rows = deployment.texts(&["customer_id", "largest_purchase"], from);
        rows.sort();
        rows
    };
    let recomputed = "(SELECT customer_id, MAX(amount) AS largest_purchase FROM KAFKA_EVENTS_SILVER \
                      WHERE event_type = 'PURCHASE' GROUP BY customer_id)";
    assert_eq!(sorted(&pipeline.gold), sorted(recomputed));
}
