//! Values in one written form, whether they come from a topic's JSON or from the warehouse's answer.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::sql::{Column, SqlType};

/// A JSON object's fields as they are written.
type Fields<'a> = BTreeMap<std::borrow::Cow<'a, str>, &'a RawValue>;

/// A row's values in the order of its columns; None is NULL.
pub(super) type Row = Vec<Option<String>>;

/// Hashes JSON events without the columns that depend on when they were computed: no recomputation gives those again.
pub(super) struct EventHash {
    of_the_moment: Vec<String>,
}

impl EventHash {
    pub(super) fn without(of_the_moment: Vec<String>) -> Self {
        Self { of_the_moment }
    }

    /// Of the bytes, if all columns can be computed again; else of the other columns' bytes.
    pub(super) fn of(&self, value: Option<&[u8]>) -> u128 {
        let bytes = value.unwrap_or_default();
        if self.of_the_moment.is_empty() {
            return xxh3_128(bytes);
        }
        let Ok(fields) = serde_json::from_slice::<Fields<'_>>(bytes) else {
            return xxh3_128(bytes);
        };
        let mut hash = Xxh3::new();
        for (name, value) in fields {
            hash.update(name.as_bytes());
            hash.update(&[0]);
            if !self.of_the_moment.iter().any(|moment| *moment == name) {
                hash.update(value.get().as_bytes());
            }
            hash.update(&[0]);
        }
        hash.digest128()
    }
}

/// The row of a topic's record; None when it is no object with these columns.
pub(super) fn topic_row(columns: &[Column], value: &[u8]) -> Option<Row> {
    let fields: Fields<'_> = serde_json::from_slice(value).ok()?;
    columns
        .iter()
        .map(|column| {
            let raw = fields.get(column.name.as_str())?.get();
            match raw {
                "null" => Some(None),
                _ => from_topic(column.sql_type, raw).map(Some),
            }
        })
        .collect()
}

fn from_topic(sql_type: SqlType, raw: &str) -> Option<String> {
    match sql_type {
        SqlType::Varchar | SqlType::Date | SqlType::Timestamp => serde_json::from_str(raw).ok(),
        SqlType::Decimal { .. } | SqlType::BigInt => Some(number(raw)),
        SqlType::Double => double(raw),
        SqlType::Boolean => Some(raw.to_owned()),
    }
}

/// A value of the warehouse's answer in the same form; what does not read as its type is left as it came.
pub(super) fn from_warehouse(sql_type: SqlType, text: &str) -> String {
    let read = match sql_type {
        SqlType::Varchar => None,
        SqlType::Decimal { .. } | SqlType::BigInt => Some(number(text)),
        SqlType::Double => double(text),
        SqlType::Boolean => Some(text.to_lowercase()),
        SqlType::Date => date(text),
        SqlType::Timestamp => timestamp(text),
    };
    read.unwrap_or_else(|| text.to_owned())
}

/// The warehouse's column may have more digits after the point than ours.
fn number(text: &str) -> String {
    let short = match text.split_once('.') {
        Some((whole, fraction)) => {
            let fraction = fraction.trim_end_matches('0');
            if fraction.is_empty() {
                whole.to_owned()
            } else {
                format!("{whole}.{fraction}")
            }
        }
        None => text.to_owned(),
    };
    if short == "-0" { "0".to_owned() } else { short }
}

/// Fifteen digits: those that any writer of doubles keeps.
fn double(text: &str) -> Option<String> {
    let value: f64 = text.parse().ok()?;
    Some(if value == 0.0 {
        "0".to_owned()
    } else {
        format!("{value:.14e}")
    })
}

/// Days since 1970.
fn date(days: &str) -> Option<String> {
    let days: i32 = days.parse().ok()?;
    let day = NaiveDate::from_epoch_days(days)?;
    Some(day.format("%Y-%m-%d").to_string())
}

/// Seconds since 1970, with a fraction; `-1.5` is a second and a half before.
fn timestamp(seconds: &str) -> Option<String> {
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let digits: String = format!("{fraction:0<6}").chars().take(6).collect();
    let micros: i64 = digits.parse().ok()?;
    let whole_micros = whole.parse::<i64>().ok()?.checked_mul(1_000_000)?;
    let at = if whole.starts_with('-') {
        whole_micros - micros
    } else {
        whole_micros + micros
    };
    let at = DateTime::from_timestamp_micros(at)?;
    Some(at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}

/// `customer_id=c1 event_date=2026-10-09`.
pub(super) fn shown<'a>(values: impl Iterator<Item = (&'a str, &'a Option<String>)>) -> String {
    let parts: Vec<String> = values
        .map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("NULL")))
        .collect();
    parts.join(" ")
}

/// Hash of a whole row.
pub(super) fn row_hash(row: &Row) -> u128 {
    let mut hash = Xxh3::new();
    for value in row {
        match value {
            None => hash.update(&[0]),
            Some(text) => {
                hash.update(&[1]);
                hash.update(&text.len().to_le_bytes());
                hash.update(text.as_bytes());
            }
        }
    }
    hash.digest128()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, sql_type: SqlType) -> Column {
        Column {
            name: name.to_owned(),
            sql_type,
        }
    }

    #[test]
    fn a_value_has_one_form_wherever_it_comes_from() {
        let money = SqlType::Decimal {
            precision: 18,
            scale: 2,
        };
        // (type, in the topic, in the warehouse's answer)
        let same = [
            (SqlType::Varchar, "\"it's \\\"é\\\"\"", "it's \"é\""),
            (SqlType::Varchar, "\"\"", ""),
            (money, "12.50", "12.5000"),
            (money, "12.00", "12"),
            (money, "-0.05", "-0.050"),
            (money, "-0.00", "0"),
            (SqlType::BigInt, "100", "100"),
            (SqlType::Double, "0.1", "0.1"),
            (SqlType::Double, "1e300", "1.000000000000000e+300"),
            (SqlType::Boolean, "true", "true"),
            (SqlType::Date, "\"2026-10-09\"", "20735"),
            (SqlType::Date, "\"1900-01-01\"", "-25567"),
            (
                SqlType::Timestamp,
                "\"2026-10-09T12:34:56.123456Z\"",
                "1791549296.123456",
            ),
            (
                SqlType::Timestamp,
                "\"2026-10-09T12:34:56.000000Z\"",
                "1791549296.000000000",
            ),
            (
                SqlType::Timestamp,
                "\"1969-12-31T23:59:59.500000Z\"",
                "-0.500000",
            ),
            (
                SqlType::Timestamp,
                "\"1969-12-31T23:59:58.500000Z\"",
                "-1.500000",
            ),
        ];
        for (sql_type, topic, warehouse) in same {
            let columns = [column("a", sql_type)];
            let row = topic_row(&columns, format!("{{\"a\":{topic}}}").as_bytes());
            let expected = vec![Some(from_warehouse(sql_type, warehouse))];
            assert_eq!(row, Some(expected), "{topic} and {warehouse}");
        }
    }

    #[test]
    fn what_differs_is_not_taken_for_the_same() {
        let columns = [column("a", SqlType::BigInt), column("b", SqlType::Varchar)];
        let row = |text: &str| topic_row(&columns, text.as_bytes());
        assert_eq!(
            row("{\"a\":null,\"b\":\"null\"}"),
            Some(vec![None, Some("null".to_owned())])
        );
        assert_eq!(row("{\"a\":1}"), None);
        assert_eq!(row("no object"), None);
        let hash = |a: &str, b: &str| row_hash(&vec![Some(a.to_owned()), Some(b.to_owned())]);
        assert_ne!(hash("a", "bc"), hash("ab", "c"));
        assert_ne!(row_hash(&vec![None]), row_hash(&vec![Some(String::new())]));
    }

    #[test]
    fn columns_of_the_moment_do_not_count_and_all_others_do() {
        let hash = EventHash::without(vec!["now".to_owned()]);
        let of = |text: &str| hash.of(Some(text.as_bytes()));
        let event = of("{\"a\":1.50,\"now\":\"x\"}");
        assert_eq!(event, of("{\"a\":1.50,\"now\":\"y\"}"));
        assert_ne!(event, of("{\"a\":1.5,\"now\":\"x\"}"));
        assert_ne!(event, of("{\"a\":1.50}"));
        assert_ne!(of("no object"), of("another"));
    }
}
