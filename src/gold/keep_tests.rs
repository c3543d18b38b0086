//! Late events and evicted keys: the same log in any batches, with restarts anywhere, against a plain model of the rule.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Date32Type, Int64Type};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use super::definition::Definition;
use super::keep::{Horizon, Keep};
use super::state::{BadState, FEWEST_RESTORED, State};
use crate::sql::{Pipeline, Settings};

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;
const START: i64 = 20_000 * DAY;

const RAW: &str =
    "CREATE TABLE raw_events (id VARCHAR, device VARCHAR, share BIGINT, taken_at TIMESTAMP)";
const CLEAN: &str =
    "SELECT id, device, share, taken_at, CAST(NULL AS VARCHAR) AS reject_reason FROM raw_events";
const DAYS: &str =
    "SELECT device, CAST(taken_at AS DATE) AS day, COUNT(*) AS events, SUM(100 / share) AS shares
    FROM clean_events WHERE device <> 'ignored' GROUP BY device, CAST(taken_at AS DATE)";
const FOR_EVER: &str = "SELECT device, COUNT(*) AS events FROM clean_events GROUP BY device";
/// Fails as soon as a device has a second event.
const NO_PAIRS: &str =
    "SELECT device, 100 / (COUNT(*) - 2) AS odd FROM clean_events GROUP BY device";
const TOMORROW: &str =
    "SELECT device, MAX(taken_at) + INTERVAL '1 day' AS tomorrow FROM clean_events GROUP BY device";
const TWO_TIMES: &str =
    "SELECT device, DATE_TRUNC('hour', taken_at) AS hour, CAST(taken_at AS DATE) AS day,
    COUNT(*) AS events FROM clean_events GROUP BY device, 2, day";

pub(super) fn pipeline() -> Arc<Pipeline> {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("gold")).unwrap();
    for (name, text) in [
        ("raw_events.sql", RAW),
        ("clean_events.sql", CLEAN),
        ("gold/days.sql", DAYS),
        ("gold/for_ever.sql", FOR_EVER),
        ("gold/two_times.sql", TWO_TIMES),
        ("gold/z_no_pairs.sql", NO_PAIRS),
        ("gold/z_tomorrow.sql", TOMORROW),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let settings = Settings {
        key: "device",
        event_id: "id",
    };
    let pipeline = Pipeline::load(folder.path(), settings);
    Arc::new(pipeline.unwrap_or_else(|error| panic!("{error}")))
}

pub(super) fn days(pipeline: &Arc<Pipeline>, keep: &str) -> Definition {
    Definition::new(pipeline, 0, Some(&keep.parse().unwrap())).unwrap()
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    device: &'static str,
    share: i64,
    taken_at: Option<i64>,
    timestamp: i64,
}

/// Time goes on, some events lag far behind, some are poison, of no time, from the future, or left out by the WHERE.
pub(super) fn log(seed: u64, count: i64) -> Vec<Event> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let event = |number: i64| {
        let timestamp = START + number * HOUR;
        let lag = match random.random_range(0..10) {
            0 => random.random_range(0..20 * DAY),
            1 => -random.random_range(0..20 * DAY),
            _ => random.random_range(0..DAY),
        };
        Event {
            device: ["a", "b", "c", "ignored"][random.random_range(0..4)],
            share: random.random_range(0..8),
            taken_at: random.random_bool(0.95).then_some(timestamp - lag),
            timestamp,
        }
    };
    (0..count).map(event).collect()
}

fn batch(pipeline: &Pipeline, events: &[Event]) -> RecordBatch {
    let devices = events.iter().map(|event| Some(event.device));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["id"; events.len()])),
        Arc::new(StringArray::from_iter(devices)),
        Arc::new(Int64Array::from_iter(
            events.iter().map(|event| event.share),
        )),
        Arc::new(TimestampMicrosecondArray::from_iter(
            events.iter().map(|event| event.taken_at),
        )),
        Arc::new(TimestampMicrosecondArray::from_iter_values(
            events.iter().map(|event| event.timestamp),
        )),
    ];
    let schema = Arc::clone(pipeline.gold[0].query.input());
    let cast = columns
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| arrow::compute::cast(column, field.data_type()).unwrap())
        .collect();
    RecordBatch::try_new(schema, cast).unwrap()
}

type Counted = BTreeMap<(String, Option<i32>), (i64, i64)>;

/// What a log comes to: the newest rows, what was refused and why, and where event time stands.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    rows: Counted,
    refused: Vec<(usize, String)>,
    watermark: Option<i64>,
}

/// The rule, one event after the other.
fn model(log: &[Event], keep: i64) -> Outcome {
    let mut outcome = Outcome::default();
    for (number, event) in log.iter().enumerate() {
        if event.device == "ignored" {
            continue;
        }
        let day = event.taken_at.map(|at| at.div_euclid(DAY));
        let time = day.map(|day| day * DAY);
        let watermark = outcome.watermark;
        if time.is_some_and(|time| watermark.is_some_and(|watermark| time < watermark - keep)) {
            outcome.refused.push((number, "too_late".to_owned()));
        } else if event.share == 0 {
            outcome.refused.push((number, "evaluation".to_owned()));
        } else {
            let day = day.map(|day| i32::try_from(day).unwrap());
            let row = outcome
                .rows
                .entry((event.device.to_owned(), day))
                .or_default();
            *row = (row.0 + 1, row.1 + 100 / event.share);
            let moved = time.map(|time| time.min(event.timestamp));
            outcome.watermark = outcome.watermark.max(moved);
        }
    }
    outcome
}

/// A table in one partition, and its topic.
struct Worked<'a> {
    pipeline: &'a Pipeline,
    definition: &'a Definition,
    state: State,
    /// The newest header of every key.
    topic: BTreeMap<Vec<u8>, Vec<u8>>,
    /// All headers, in the order of the topic.
    headers: Vec<Vec<u8>>,
    outcome: Outcome,
}

/// The headers of a topic that holds what a log comes to.
pub(super) fn worked(pipeline: &Pipeline, definition: &Definition, log: &[Event]) -> Vec<Vec<u8>> {
    let mut worked = Worked::new(pipeline, definition);
    log.chunks(9).for_each(|events| worked.count(events, 0));
    worked.headers
}

impl<'a> Worked<'a> {
    fn new(pipeline: &'a Pipeline, definition: &'a Definition) -> Self {
        Self {
            pipeline,
            definition,
            state: definition.empty_state().unwrap(),
            topic: BTreeMap::new(),
            headers: Vec::new(),
            outcome: Outcome::default(),
        }
    }

    fn count(&mut self, log: &[Event], from: usize) {
        let changed = self
            .definition
            .merge(&self.state, &batch(self.pipeline, log))
            .unwrap();
        let results = &changed.update.results;
        let devices = arrow::compute::cast(results.column(0), &arrow::datatypes::DataType::Utf8);
        let devices = devices.unwrap();
        let days = results.column(1).as_primitive::<Date32Type>();
        let numbers = |at: usize| results.column(at).as_primitive::<Int64Type>();
        for row in 0..changed.update.len() {
            let day = arrow::array::Array::is_valid(days, row).then(|| days.value(row));
            let key = (devices.as_string::<i32>().value(row).to_owned(), day);
            let counts = (numbers(2).value(row), numbers(3).value(row));
            self.outcome.rows.insert(key.clone(), counts);
            let mut header = Vec::new();
            changed.update.header(row, &mut header);
            self.headers.push(header.clone());
            self.topic.insert(format!("{key:?}").into_bytes(), header);
        }
        let refused = changed.refused.into_iter();
        let refused = refused.map(|(row, reason)| (from + row, reason.code));
        self.outcome.refused.extend(refused);
        self.state.apply(&changed.update).unwrap();
        self.outcome.watermark = self.state.watermark();
    }

    fn restart(&mut self) {
        let mut state = self.definition.empty_state().unwrap();
        for header in self.topic.values() {
            state.restore(header).unwrap();
        }
        state.evict().unwrap();
        assert_eq!(state.watermark(), self.state.watermark());
        self.state = state;
    }
}

#[test]
fn what_is_late_is_a_function_of_the_log_whatever_the_batches_and_restarts() {
    let pipeline = pipeline();
    let definition = days(&pipeline, "3d");
    for seed in 0..6 {
        let log = log(seed, 400);
        let expected = model(&log, 3 * DAY);
        for code in ["too_late", "evaluation"] {
            let count = expected
                .refused
                .iter()
                .filter(|(_, found)| found == code)
                .count();
            assert!(count > 5, "seed {seed}: {count} of {code}");
        }
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut worked = Worked::new(&pipeline, &definition);
        let mut from = 0;
        while from < log.len() {
            let to = (from + random.random_range(1..120)).min(log.len());
            worked.count(&log[from..to], from);
            if random.random_bool(0.3) {
                worked.restart();
            }
            from = to;
        }
        worked.outcome.refused.sort();
        assert_eq!(worked.outcome, expected, "seed {seed}");
    }
}

#[test]
fn keys_that_are_too_old_leave_memory_and_are_not_counted_from_zero() {
    let pipeline = pipeline();
    let definition = days(&pipeline, "3d");
    let event = |day: i64| Event {
        device: "a",
        share: 1,
        taken_at: Some(START + day * DAY),
        timestamp: START + day * DAY,
    };
    let mut worked = Worked::new(&pipeline, &definition);
    for day in 0..100 {
        worked.count(&[event(day)], 0);
        assert!(
            worked.state.len() <= 5,
            "{} keys on day {day}",
            worked.state.len()
        );
    }
    let (keys, bytes) = (worked.state.len(), worked.state.bytes());
    assert_eq!(keys, 4, "three days and today");
    worked.count(&[event(50), event(96)], 100);
    assert_eq!(worked.outcome.refused, [(100, "too_late".to_owned())]);
    assert_eq!((worked.state.len(), worked.state.bytes()), (keys, bytes));
    let day = i32::try_from(START / DAY).unwrap();
    assert_eq!(
        worked.outcome.rows[&("a".to_owned(), Some(day + 50))],
        (1, 100)
    );
    assert_eq!(
        worked.outcome.rows[&("a".to_owned(), Some(day + 96))],
        (2, 200)
    );
}

#[test]
fn one_event_from_the_future_does_not_make_the_others_late() {
    let pipeline = pipeline();
    let definition = days(&pipeline, "3d");
    let mut worked = Worked::new(&pipeline, &definition);
    let now = Event {
        device: "a",
        share: 1,
        taken_at: Some(START),
        timestamp: START,
    };
    let future = Event {
        taken_at: Some(START + 1000 * DAY),
        ..now
    };
    worked.count(&[future, now], 0);
    worked.count(&[now, future], 2);
    assert_eq!(worked.outcome.refused, []);
    assert_eq!(worked.outcome.watermark, Some(START));
}

#[test]
fn a_batch_of_late_events_only_changes_nothing() {
    let pipeline = pipeline();
    let definition = days(&pipeline, "3d");
    let mut worked = Worked::new(&pipeline, &definition);
    let at = |day: i64| Event {
        device: "b",
        share: 1,
        taken_at: Some(START + day * DAY),
        timestamp: START + 10 * DAY,
    };
    worked.count(&[at(10)], 0);
    let before = worked.outcome.rows.clone();
    worked.count(&[at(1), at(2)], 1);
    assert_eq!(worked.outcome.rows, before);
    let late = |row| (row, "too_late".to_owned());
    assert_eq!(worked.outcome.refused, [late(1), late(2)]);
}

#[test]
fn why_an_event_is_late_is_said() {
    let pipeline = pipeline();
    let definition = days(&pipeline, "3d");
    let mut worked = Worked::new(&pipeline, &definition);
    let now = Event {
        device: "a",
        share: 1,
        taken_at: Some(START),
        timestamp: START,
    };
    let late = Event {
        taken_at: Some(START - 9 * DAY),
        ..now
    };
    worked.count(&[now], 0);
    let changed = definition
        .merge(&worked.state, &batch(&pipeline, &[late]))
        .unwrap();
    assert_eq!(changed.late, 1);
    let detail = "days keeps 3d: day 2024-09-25T00:00:00.000000Z is older than that, seen from 2024-10-04T00:00:00.000000Z";
    assert_eq!(changed.refused[0].1.detail, detail);
}

#[test]
fn a_state_of_another_version_or_query_or_of_half_a_header_is_refused() {
    let pipeline = pipeline();
    let definition = days(&pipeline, "3d");
    let mut worked = Worked::new(&pipeline, &definition);
    worked.count(&log(1, 50), 0);
    let header = worked.topic.values().next().unwrap().clone();
    let mut state = definition.empty_state().unwrap();
    for length in 1..21 {
        assert_eq!(
            state.restore(&header[..length]),
            Err(BadState::Malformed),
            "{length} bytes"
        );
    }
    assert_eq!(state.restore(&[]), Err(BadState::Malformed));
    let mut other = header.clone();
    other[0] = 1;
    assert_eq!(state.restore(&other), Err(BadState::OtherVersion));
    let mut other = header;
    other[8] ^= 1;
    assert_eq!(state.restore(&other), Err(BadState::OtherQuery));
    assert_eq!((state.len(), state.watermark()), (0, None));
}

#[test]
fn a_keep_needs_one_time_in_the_group_by() {
    let pipeline = pipeline();
    let horizon = |table: usize, keep: &str| {
        let gold = &pipeline.gold[table];
        let keep: Keep = keep.parse().unwrap();
        Horizon::of(&gold.query, &gold.name, &keep).map_err(|error| error.to_string())
    };
    let group = |table, keep| horizon(table, keep).map(|horizon| horizon.group);
    assert_eq!(group(0, "40d"), Ok(1));
    assert_eq!(group(2, "40d by hour"), Ok(1));
    assert_eq!(group(2, "40d by day"), Ok(2));
    for (table, keep, said) in [
        (
            1,
            "40d",
            "gold.keep.for_ever: the GROUP BY of gold/for_ever.sql has no DATE or TIMESTAMP\nhint: remove gold.keep.for_ever",
        ),
        (
            2,
            "40d",
            "has several times: hour, day\nhint: say which one is meant: \"40d by hour\"",
        ),
        (
            2,
            "40d by device",
            "`device` is no time in the GROUP BY of gold/two_times.sql\nhint: its times are hour, day",
        ),
    ] {
        let error = horizon(table, keep).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
    assert!("a while".parse::<Keep>().is_err());
    let keep: Keep = "90m by hour".parse().unwrap();
    assert_eq!(keep.duration, Duration::from_secs(5400));
    assert_eq!(keep.to_string(), "1h 30m by hour");
}

#[test]
fn an_event_that_does_not_fit_behind_others_of_its_batch_is_refused_and_the_others_are_not() {
    let pipeline = pipeline();
    let at = pipeline
        .gold
        .iter()
        .position(|gold| gold.name == "z_no_pairs");
    let definition = Definition::new(&pipeline, at.unwrap(), None).unwrap();
    let event = |device| Event {
        device,
        share: 1,
        taken_at: Some(START),
        timestamp: START,
    };
    let events = ["a", "b", "a", "c", "b"].map(event);
    let mut state = definition.empty_state().unwrap();
    let changed = definition
        .merge(&state, &batch(&pipeline, &events))
        .unwrap();
    let mut refused: Vec<_> = changed.refused.iter().map(|(row, _)| *row).collect();
    refused.sort_unstable();
    assert_eq!(refused, [2, 4]);
    assert!(
        changed
            .refused
            .iter()
            .all(|(_, reason)| reason.code == "evaluation")
    );
    state.apply(&changed.update).unwrap();
    assert_eq!(state.len(), 3);
}

#[test]
fn an_event_whose_result_has_no_written_form_is_refused_and_the_others_are_not() {
    let pipeline = pipeline();
    let at = pipeline
        .gold
        .iter()
        .position(|gold| gold.name == "z_tomorrow");
    let definition = Definition::new(&pipeline, at.unwrap(), None).unwrap();
    let last_day = 2_932_896 * DAY;
    let event = |device, taken_at| Event {
        device,
        share: 1,
        taken_at: Some(taken_at),
        timestamp: START,
    };
    let mut state = definition.empty_state().unwrap();
    for _ in 0..2 {
        let events = [event("a", START), event("a", last_day), event("b", START)];
        let changed = definition
            .merge(&state, &batch(&pipeline, &events))
            .unwrap();
        let [(1, reason)] = changed.refused.as_slice() else {
            panic!("{:?}", changed.refused);
        };
        assert_eq!(reason.code, "evaluation");
        assert!(
            reason.detail.contains("outside the years"),
            "{}",
            reason.detail
        );
        let written = &changed.update.written;
        let rows: Vec<_> = (0..changed.update.len())
            .map(|row| String::from_utf8_lossy(written.row(row)).into_owned())
            .collect();
        assert_eq!(rows.len(), 2, "{rows:?}");
        assert!(
            rows.iter().all(|row| row.contains("2024-10-05T")),
            "{rows:?}"
        );
        assert!(written.key(0).starts_with(b"{\"device\":"));
        state.apply(&changed.update).unwrap();
    }
}

#[test]
fn a_topic_of_all_keys_that_ever_were_is_read_back_within_what_is_kept() {
    let pipeline = pipeline();
    let definition = days(&pipeline, "3d");
    let days = FEWEST_RESTORED + 10_000;
    let mut worked = Worked::new(&pipeline, &definition);
    let events: Vec<Event> = (0..i64::try_from(days).unwrap())
        .map(|day| Event {
            device: "a",
            share: 1,
            taken_at: Some(START + day * DAY),
            timestamp: START + day * DAY,
        })
        .collect();
    for events in events.chunks(10_000) {
        worked.count(events, 0);
    }
    assert_eq!(worked.headers.len(), days);
    let mut state = definition.empty_state().unwrap();
    for header in &worked.headers {
        state.restore(header).unwrap();
        assert!(state.len() <= FEWEST_RESTORED, "{} keys", state.len());
    }
    state.evict().unwrap();
    assert_eq!(state.len(), 4, "three days and today");
}
