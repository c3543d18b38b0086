//! How long a gold table keeps its keys, and which events come too late for them.
//!
//! Event time is counted per partition, not as the least over all that are read: the events of a key meet in one partition
//! only, an idle partition then holds back nobody, and a verdict does not depend on which member has which partitions. It
//! moves with every event that is counted, to min(the key's time, the record's timestamp): without the second, one event from
//! the future would make all others late. So the verdicts are a function of the partition's log alone, in whatever batches,
//! and however often the job is restarted in between. The one exception are rows that a query fails on only together with
//! others, as in a sum that overflows: which of them is refused, and so does not move event time, may depend on the batch.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::bail;
use arrow::array::{Array, TimestampMicrosecondArray};
use chrono::DateTime;
use serde::{Deserialize, Serialize};

use crate::rejected::{Reason, TOO_LATE};
use crate::sql::{GoldQuery, Pipeline};

/// Parts of `keep` by which event time moves before keys are looked for that are too old: at most that much more is held.
const LOOKS_PER_KEEP: i64 = 50;

/// `"40d"`, or `"40d by event_date"` where several columns of the GROUP BY are times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Keep {
    /// How far a key's time may lie behind.
    pub duration: Duration,
    /// The column that is the key's time, if it has to be told.
    pub time: Option<String>,
}

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (duration, time) = match text.split_once(" by ") {
            Some((duration, time)) => (duration, Some(time.trim().to_owned())),
            None => (text, None),
        };
        let duration = humantime::parse_duration(duration.trim())
            .map_err(|_| format!("`{text}` is no duration"))?;
        Ok(Self { duration, time })
    }
}

impl TryFrom<String> for Keep {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Keep> for String {
    fn from(keep: Keep) -> Self {
        keep.to_string()
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&written(self.duration))?;
        match &self.time {
            Some(time) => write!(f, " by {time}"),
            None => Ok(()),
        }
    }
}

/// In days where it is whole days: a month of 30.44 days is nobody's word for it.
fn written(duration: Duration) -> String {
    const DAY: u64 = 86_400;
    let seconds = duration.as_secs();
    if duration.subsec_nanos() == 0 && seconds.is_multiple_of(DAY) {
        format!("{}d", seconds / DAY)
    } else {
        humantime::format_duration(duration).to_string()
    }
}

/// Refuses what cannot be kept to: a table that is not there, or one whose key's time cannot be told.
///
/// # Errors
/// The first of them.
pub fn check_keep(pipeline: &Pipeline, keep: &BTreeMap<String, Keep>) -> anyhow::Result<()> {
    for (name, keep) in keep {
        let Some(gold) = pipeline.gold.iter().find(|gold| gold.name == *name) else {
            let names: Vec<&str> = pipeline
                .gold
                .iter()
                .map(|gold| gold.name.as_str())
                .collect();
            bail!(
                "gold.keep.{name}: there is no gold/{name}.sql\nhint: the gold tables are {}",
                names.join(", ")
            );
        };
        Horizon::of(&gold.query, name, keep)?;
    }
    Ok(())
}

/// A table's `keep`, and which column of its GROUP BY it goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Horizon {
    /// Where the time stands among the GROUP BY columns.
    pub(crate) group: usize,
    /// Microseconds.
    pub(crate) keep: i64,
}

impl Horizon {
    pub(crate) fn of(query: &GoldQuery, table: &str, keep: &Keep) -> anyhow::Result<Self> {
        let times: Vec<(usize, &str)> = query.key_times().collect();
        let names: Vec<&str> = times.iter().map(|(_, name)| *name).collect();
        let keep_us = i64::try_from(keep.duration.as_micros()).unwrap_or(i64::MAX);
        let found = match (&keep.time, times.as_slice()) {
            (_, []) => bail!(
                "gold.keep.{table}: the GROUP BY of gold/{table}.sql has no DATE or TIMESTAMP\nhint: remove gold.keep.{table}, so that its keys are kept for ever, or group by the day of the event too"
            ),
            (None, [one]) => one,
            (None, _) => bail!(
                "gold.keep.{table}: the GROUP BY of gold/{table}.sql has several times: {}\nhint: say which one is meant: \"{keep} by {}\"",
                names.join(", "),
                names[0]
            ),
            (Some(name), times) => match times.iter().find(|(_, other)| other == name) {
                Some(found) => found,
                None => bail!(
                    "gold.keep.{table}: `{name}` is no time in the GROUP BY of gold/{table}.sql\nhint: its times are {}",
                    names.join(", ")
                ),
            },
        };
        Ok(Self {
            group: found.0,
            keep: keep_us,
        })
    }

    /// Keys before this time are of the past, at this watermark.
    pub(crate) fn cutoff(self, watermark: i64) -> i64 {
        watermark.saturating_sub(self.keep)
    }

    /// How far the cutoff moves before it is worth a look through all keys.
    pub(crate) fn step(self) -> i64 {
        self.keep / LOOKS_PER_KEEP
    }

    /// Why an event is refused.
    pub(crate) fn reason(self, query: &GoldQuery, table: &str, late: Late) -> Reason {
        let column = &query.columns()[query.key()[self.group]].name;
        let keep = Duration::from_micros(self.keep.unsigned_abs());
        Reason {
            code: TOO_LATE.to_owned(),
            detail: format!(
                "{table} keeps {}: {column} {} is older than that, seen from {}",
                written(keep),
                shown(late.time),
                shown(late.watermark)
            ),
        }
    }
}

fn shown(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros).map_or_else(
        || format!("{micros} us"),
        |time| time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
    )
}

/// An event that came too late. Times are microseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Late {
    /// Its row.
    pub(crate) row: usize,
    /// Its key's time.
    pub(crate) time: i64,
    /// The watermark that it met.
    pub(crate) watermark: i64,
}

/// Judges rows in the order of the log: the late ones, and the watermark behind the last row. A row without a key time is
/// never late.
pub(crate) fn judge(
    horizon: Horizon,
    mut watermark: Option<i64>,
    times: &TimestampMicrosecondArray,
    records: &TimestampMicrosecondArray,
) -> (Vec<Late>, Option<i64>) {
    let mut late = Vec::new();
    for row in 0..times.len() {
        if times.is_null(row) {
            continue;
        }
        let time = times.value(row);
        match watermark {
            Some(watermark) if time < horizon.cutoff(watermark) => late.push(Late {
                row,
                time,
                watermark,
            }),
            _ => {
                let moved = if records.is_valid(row) {
                    time.min(records.value(row))
                } else {
                    time
                };
                watermark = Some(watermark.map_or(moved, |before| before.max(moved)));
            }
        }
    }
    (late, watermark)
}
