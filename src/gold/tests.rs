//! The pure path from raw bytes to gold rows: the example of customer_metrics, and states that merge in any batches.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, TimestampMicrosecondArray, new_null_array};
use arrow::compute::{filter_record_batch, is_null};
use arrow::datatypes::{Field, Schema, TimestampMicrosecondType};
use chrono::DateTime;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::state::{BadState, State};
use crate::sql::decode::Decoder;
use crate::sql::encode::Encoder;
use crate::sql::{GoldQuery, Pipeline, Settings, record};

const SETTINGS: Settings<'static> = Settings {
    key: "customer_id",
    event_id: "event_id",
};

fn customer_metrics() -> Pipeline {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/customer_metrics");
    Pipeline::load(&folder, SETTINGS).unwrap_or_else(|error| panic!("{error}"))
}

#[derive(Deserialize)]
struct Given<'a> {
    offset: i64,
    timestamp: String,
    #[serde(borrow)]
    value: &'a RawValue,
}

fn lines(name: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/customer_metrics/tests");
    let text = fs::read_to_string(folder.join(name)).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The raw columns and the record's own of some events; the processing time is that of the record.
fn raw_batch(pipeline: &Pipeline, values: &[&[u8]], timestamps_us: &[i64]) -> RecordBatch {
    let mut decoder = Decoder::new(&pipeline.raw);
    for value in values {
        decoder
            .push(Some(value))
            .unwrap_or_else(|refusal| panic!("{refusal}"));
    }
    let mut columns = decoder.finish().unwrap().columns().to_vec();
    let input = pipeline.clean.input();
    for field in &input.fields()[columns.len()..] {
        let time = [record::TIMESTAMP, record::PROCESSING_TIME].contains(&field.name().as_str());
        columns.push(if time {
            Arc::new(TimestampMicrosecondArray::from(timestamps_us.to_vec()))
        } else {
            new_null_array(field.data_type(), values.len())
        });
    }
    RecordBatch::try_new(Arc::clone(input), columns).unwrap()
}

/// The clean rows among raw ones, with the column that gold needs beside them.
fn clean_batch(pipeline: &Pipeline, raw: &RecordBatch) -> RecordBatch {
    let verdicts = pipeline.clean.evaluate(raw).unwrap();
    let timestamps: ArrayRef = Arc::clone(raw.column_by_name(record::TIMESTAMP).unwrap());
    let mut columns = verdicts.columns.columns().to_vec();
    columns.push(timestamps);
    let all = RecordBatch::try_new(Arc::clone(pipeline.gold[0].query.input()), columns).unwrap();
    filter_record_batch(&all, &is_null(&verdicts.reasons).unwrap()).unwrap()
}

/// Merges in batches of `rows`; the newest result row of each key, as JSON.
fn counted(query: &GoldQuery, clean: &RecordBatch, rows: usize) -> BTreeMap<String, i64> {
    let mut state = State::new(query).unwrap();
    let width = query.columns().len();
    let fields: Vec<Field> = query
        .columns()
        .iter()
        .map(|column| Field::new(&column.name, column.sql_type.arrow(), true))
        .collect();
    let mut encoder = Encoder::new(&Schema::new(fields)).unwrap();
    let mut newest: BTreeMap<Vec<u8>, (String, i64)> = BTreeMap::new();
    let mut header = Vec::new();
    for start in (0..clean.num_rows()).step_by(rows) {
        let update = state
            .merge(
                query,
                &clean.slice(start, rows.min(clean.num_rows() - start)),
            )
            .unwrap();
        let columns: Vec<usize> = (0..width).collect();
        let results = update.results.project(&columns).unwrap();
        let times = update.results.column(width);
        let times: &arrow::array::PrimitiveArray<TimestampMicrosecondType> =
            arrow::array::AsArray::as_primitive(times);
        let encoded = encoder.encode(&results).unwrap();
        for row in 0..update.len() {
            update.header(row, &mut header);
            let length = u32::from_be_bytes(header[17..21].try_into().unwrap()) as usize;
            let text = String::from_utf8(encoded.row(row).to_vec()).unwrap();
            newest.insert(header[21..21 + length].to_vec(), (text, times.value(row)));
        }
        state.apply(&update).unwrap();
    }
    assert_eq!(newest.len(), state.len());
    newest.into_values().collect()
}

#[test]
fn the_example_of_customer_metrics_holds() {
    let pipeline = customer_metrics();
    let given = lines("given.jsonl");
    let given: Vec<Given<'_>> = given
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let values: Vec<&[u8]> = given
        .iter()
        .map(|event| event.value.get().as_bytes())
        .collect();
    let times: Vec<i64> = given
        .iter()
        .map(|event| {
            DateTime::parse_from_rfc3339(&event.timestamp)
                .unwrap()
                .timestamp_micros()
        })
        .collect();
    let raw = raw_batch(&pipeline, &values, &times);
    let verdicts = pipeline.clean.evaluate(&raw).unwrap();
    let rejected: Vec<serde_json::Value> = lines("expected_rejected.jsonl")
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut duplicates = Vec::new();
    for (row, event) in given.iter().enumerate() {
        let expected = rejected.iter().find(|line| line["offset"] == event.offset);
        let expected = expected.map(|line| line["reason"].as_str().unwrap());
        // A conflicting duplicate breaks no rule: that verdict needs the events before it.
        let reason = verdicts
            .reasons
            .is_valid(row)
            .then(|| verdicts.reasons.value(row));
        if expected == Some("conflicting_duplicate") {
            duplicates.push(row);
        } else {
            assert_eq!(reason, expected, "offset {}", event.offset);
        }
    }
    let seen: Vec<&[u8]> = values
        .iter()
        .enumerate()
        .filter(|(row, _)| !duplicates.contains(row))
        .map(|(_, v)| *v)
        .collect();
    let mut once: Vec<(usize, &[u8])> = Vec::new();
    for (row, value) in values.iter().enumerate() {
        if seen.contains(value) && !once.iter().any(|(_, other)| other == value) {
            once.push((row, value));
        }
    }
    let times: Vec<i64> = once.iter().map(|(row, _)| times[*row]).collect();
    let values: Vec<&[u8]> = once.iter().map(|(_, value)| *value).collect();
    let clean = clean_batch(&pipeline, &raw_batch(&pipeline, &values, &times));
    assert_eq!(clean.num_rows(), lines("expected_clean.jsonl").len());
    let rows = counted(&pipeline.gold[0].query, &clean, 4);
    let expected: Vec<serde_json::Value> = lines("expected_gold.jsonl")
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), expected.len());
    for line in expected {
        let found = rows
            .keys()
            .any(|row| serde_json::from_str::<serde_json::Value>(row).unwrap() == line["row"]);
        assert!(found, "{} is not among {rows:?}", line["row"]);
    }
}

fn events(pipeline: &Pipeline, count: usize) -> RecordBatch {
    let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    let events: Vec<Vec<u8>> = crate::generate::Events::new(crate::generate::Options::new(7, now))
        .take(count)
        .map(|event| event.value)
        .collect();
    let values: Vec<&[u8]> = events.iter().map(Vec::as_slice).collect();
    let times: Vec<i64> = (0_i64..)
        .take(count)
        .map(|at| now.timestamp_micros() + at * 1_000)
        .collect();
    clean_batch(pipeline, &raw_batch(pipeline, &values, &times))
}

#[test]
fn batches_of_any_size_give_the_same_rows() {
    let pipeline = customer_metrics();
    let clean = events(&pipeline, 600);
    let query = &pipeline.gold[0].query;
    let whole = counted(query, &clean, 600);
    assert!(whole.len() > 30, "five customers on six days");
    for rows in [1, 7, 64] {
        assert_eq!(counted(query, &clean, rows), whole, "batches of {rows}");
    }
}

#[test]
fn a_state_that_is_restored_goes_on_as_if_it_had_never_ended() {
    let pipeline = customer_metrics();
    let query = &pipeline.gold[0].query;
    let clean = events(&pipeline, 400);
    let (first, second) = (
        clean.slice(0, 200),
        clean.slice(200, clean.num_rows() - 200),
    );
    let mut kept = State::new(query).unwrap();
    let mut restored = State::new(query).unwrap();
    let update = kept.merge(query, &first).unwrap();
    let mut header = Vec::new();
    for row in 0..update.len() {
        update.header(row, &mut header);
        restored.restore(&header).unwrap();
        // The newest record of a key wins, so one that comes twice changes nothing.
        restored.restore(&header).unwrap();
    }
    kept.apply(&update).unwrap();
    assert_eq!(
        (restored.len(), restored.bytes()),
        (kept.len(), kept.bytes())
    );
    let (one, other) = (
        kept.merge(query, &second).unwrap(),
        restored.merge(query, &second).unwrap(),
    );
    assert_eq!(one.results, other.results);
}

#[test]
fn a_header_that_is_torn_or_of_another_query_is_refused() {
    let pipeline = customer_metrics();
    let query = &pipeline.gold[0].query;
    let mut state = State::new(query).unwrap();
    let update = state.merge(query, &events(&pipeline, 10)).unwrap();
    let mut header = Vec::new();
    update.header(0, &mut header);
    assert_eq!(state.restore(&header[..12]), Err(BadState::Malformed));
    assert_eq!(state.restore(&[]), Err(BadState::Malformed));
    header[3] ^= 1;
    assert_eq!(state.restore(&header), Err(BadState::OtherQuery));
}

#[test]
fn a_deleted_row_leaves_no_state() {
    let pipeline = customer_metrics();
    let query = &pipeline.gold[0].query;
    let mut state = State::new(query).unwrap();
    let update = state.merge(query, &events(&pipeline, 200)).unwrap();
    state.apply(&update).unwrap();
    let (keys, bytes) = (state.len(), state.bytes());
    let columns: Vec<_> = query
        .key()
        .iter()
        .map(|at| query.columns()[*at].clone())
        .collect();
    let mut decoder = Decoder::new(&columns);
    let width = query.columns().len();
    let results = update
        .results
        .project(&(0..width).collect::<Vec<_>>())
        .unwrap();
    let mut encoder = Encoder::new(&results.schema().project(query.key()).unwrap()).unwrap();
    let encoded = results.project(query.key()).unwrap();
    let key = encoder.encode(&encoded).unwrap().row(0).to_vec();
    state.remove(&mut decoder, Some(&key)).unwrap();
    assert_eq!(state.len(), keys - 1);
    assert!(state.bytes() < bytes);
    state.remove(&mut decoder, Some(&key)).unwrap();
    assert_eq!(state.len(), keys - 1, "gone already");
    assert!(state.remove(&mut decoder, None).is_err());
}
