//! Every cell of the design's table on reading an event, with hostile values; then random ones.

mod random;
mod syntax;
mod values;

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::util::display::array_value_to_string;

use super::{Decoder, Reason, Refusal};
use crate::sql::types::{Column, SqlType};

/// What becomes of one event.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The columns that are not NULL, as `name=value` with a space between.
    Row(String),
    Refused(Reason, Option<String>),
}

fn row(columns: &str) -> Verdict {
    Verdict::Row(columns.to_owned())
}

fn not_json() -> Verdict {
    Verdict::Refused(Reason::Json, None)
}

fn wrong_type(column: &str) -> Verdict {
    Verdict::Refused(Reason::Type, Some(column.to_owned()))
}

fn twice(column: &str) -> Verdict {
    Verdict::Refused(Reason::DuplicateField, Some(column.to_owned()))
}

fn column(name: &str, sql_type: SqlType) -> Column {
    Column {
        name: name.to_owned(),
        sql_type,
    }
}

/// One column of each type.
fn columns() -> Vec<Column> {
    vec![
        column("text", SqlType::Varchar),
        column(
            "amount",
            SqlType::Decimal {
                precision: 18,
                scale: 2,
            },
        ),
        column("count", SqlType::BigInt),
        column("ratio", SqlType::Double),
        column("valid", SqlType::Boolean),
        column("day", SqlType::Date),
        column("at", SqlType::Timestamp),
    ]
}

fn shown(batch: &RecordBatch, row: usize) -> String {
    let mut cells = Vec::new();
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        if array.is_valid(row) {
            cells.push(format!(
                "{}={}",
                field.name(),
                array_value_to_string(array, row).unwrap()
            ));
        }
    }
    cells.join(" ")
}

fn refused(refusal: Refusal) -> Verdict {
    Verdict::Refused(refusal.reason, refusal.column)
}

/// Decodes all events in one batch and compares each with its verdict; a refused one must not shift the others.
fn check(table: &[(&[u8], Verdict)]) {
    let mut decoder = Decoder::new(&columns());
    let mut in_batch = Vec::new();
    for (event, expected) in table {
        let input = String::from_utf8_lossy(event);
        match decoder.push(Some(event)) {
            Ok(()) => in_batch.push((input, expected)),
            Err(refusal) => {
                let detail = refusal.detail.clone();
                assert_eq!(refused(refusal), *expected, "{input:.200}: {detail}");
            }
        }
    }
    assert_eq!(decoder.len(), in_batch.len());
    let batch = decoder.finish().unwrap();
    assert_eq!(batch.num_rows(), in_batch.len());
    for (index, (input, expected)) in in_batch.into_iter().enumerate() {
        assert_eq!(
            Verdict::Row(shown(&batch, index)),
            *expected,
            "{input:.200}"
        );
    }
}

#[test]
fn a_tombstone_is_no_json() {
    let refusal = Decoder::new(&columns()).push(None).unwrap_err();
    assert_eq!((refusal.reason, refusal.column), (Reason::Json, None));
}

#[test]
fn refused_events_leave_the_rows_around_them_aligned() {
    let good = |number: i64| {
        format!(r#"{{"count":{number},"text":"row {number}\n","amount":{number}.25}}"#)
    };
    let bad = [
        r#"{"text":"gone","count":1,"amount":"#,
        r#"{"text":"gone\n","count":1,"amount":1.255}"#,
        r#"{"text":"gone","count":1,"count":2}"#,
        "\0",
    ];
    let mut decoder = Decoder::new(&columns());
    for batch_number in 0..3 {
        for number in 0..100 {
            decoder.push(Some(good(number).as_bytes())).unwrap();
            for event in bad {
                decoder.push(Some(event.as_bytes())).unwrap_err();
            }
        }
        assert_eq!(decoder.len(), 100);
        assert!(decoder.bytes() > 100);
        let batch = decoder.finish().unwrap();
        assert!(decoder.is_empty(), "after batch {batch_number}");
        assert_eq!(decoder.bytes(), 0);
        for number in 0..100 {
            let expected = format!("text=row {number}\n amount={number}.25 count={number}");
            assert_eq!(shown(&batch, number), expected, "batch {batch_number}");
        }
    }
    assert_eq!(decoder.finish().unwrap().num_rows(), 0);
}

#[test]
fn a_refusal_names_the_column_and_shows_at_most_80_characters() {
    let long = "é".repeat(1000);
    let nested = format!("[\n\"{long}\"]");
    let table = [
        (r#"{"amount":1.255}"#.to_owned(), "column `amount` DECIMAL(18,2) cannot hold `1.255`: more digits after the point than the type has".to_owned()),
        (r#"{"valid":"yes"}"#.to_owned(), "column `valid` BOOLEAN cannot hold `\"yes\"`: neither true nor false".to_owned()),
        (format!(r#"{{"day":"{long}"}}"#), format!("column `day` DATE cannot hold `\"{}...`: not a date YYYY-MM-DD of the years 1 to 9999", "é".repeat(79))),
        (format!(r#"{{"count":{nested}}}"#), format!("column `count` BIGINT cannot hold `[ \"{}...`: not a number", "é".repeat(77))),
        (r#"{"at":null,"at":1}"#.to_owned(), "field `at` stands in the object more than once".to_owned()),
        (r#"{"at":null"#.to_owned(), "not a JSON object: a `,` or `}` is missing at byte 10".to_owned()),
        (String::new(), "not a JSON object: an empty value at byte 0".to_owned()),
    ];
    let mut decoder = Decoder::new(&columns());
    for (event, detail) in table {
        let refusal = decoder.push(Some(event.as_bytes())).unwrap_err();
        assert_eq!(refusal.detail, detail);
        assert_eq!(refusal.to_string(), detail);
    }
}

#[test]
fn reasons_have_stable_codes() {
    let codes = [
        (Reason::Json, "json"),
        (Reason::Type, "type"),
        (Reason::DuplicateField, "duplicate_field"),
    ];
    for (reason, code) in codes {
        assert_eq!(reason.as_str(), code);
        assert_eq!(reason.to_string(), code);
    }
}

#[test]
fn the_schema_is_the_declared_columns() {
    let mut decoder = Decoder::new(&columns());
    let schema = Arc::clone(decoder.schema());
    for (field, column) in schema.fields().iter().zip(columns()) {
        assert_eq!(
            (field.name(), field.data_type()),
            (&column.name, &column.sql_type.arrow())
        );
        assert!(field.is_nullable());
    }
    assert_eq!(decoder.finish().unwrap().schema(), schema);
}

#[test]
fn without_columns_rows_are_still_counted() {
    let mut decoder = Decoder::new(&[]);
    decoder.push(Some(br#"{"a":1}"#)).unwrap();
    decoder.push(Some(b"{}")).unwrap();
    decoder.push(Some(b"[]")).unwrap_err();
    assert_eq!(decoder.finish().unwrap().num_rows(), 2);
}
