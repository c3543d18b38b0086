use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use super::*;
use crate::sql::types::{Column, SqlType};

fn columns() -> Vec<Column> {
    [("id", SqlType::Varchar), ("views", SqlType::BigInt)]
        .map(|(name, sql_type)| Column {
            name: name.to_owned(),
            sql_type,
        })
        .to_vec()
}

fn upsert() -> Buffer {
    let table = TargetTable::upsert("views", "views", columns(), &["id"]).unwrap();
    Buffer::new(Arc::new(table), 3, NextOffset::at(10))
}

fn append() -> Buffer {
    let table = TargetTable::append("silver", "clean_events", columns()).unwrap();
    Buffer::new(Arc::new(table), 0, NextOffset::START)
}

fn push(
    buffer: &mut Buffer,
    offset: i64,
    key: &str,
    value: Option<&str>,
) -> Result<(), BufferError> {
    let record = Record {
        offset,
        timestamp_ms: 1000 - offset,
        key: Some(key.as_bytes()),
        value: value.map(str::as_bytes),
    };
    buffer.push(record, Instant::now())
}

fn views(rows: &Rows) -> Vec<Option<i64>> {
    rows.batch
        .column(1)
        .as_primitive::<Int64Type>()
        .iter()
        .collect()
}

#[test]
fn an_upserted_topic_keeps_the_newest_row_of_each_key() {
    let mut buffer = upsert();
    for (offset, key, value) in [
        (10, r#"{"id":"a"}"#, Some(r#"{"id":"a","views":1}"#)),
        (11, r#"{"id":"b"}"#, Some(r#"{"id":"b","views":2}"#)),
        (15, r#"{"id":"a"}"#, Some(r#"{"id":"a","views":3}"#)),
    ] {
        push(&mut buffer, offset, key, value).unwrap();
    }
    assert_eq!(buffer.rows(), 2);
    assert_eq!(buffer.bytes(), 2 * (10 + 20));
    assert_eq!(buffer.timestamps(), Some((985, 990)));
    let rows = buffer.take().unwrap().unwrap();
    assert_eq!(
        (rows.first, rows.last, rows.next),
        (10, 15, NextOffset::at(16))
    );
    assert_eq!(rows.offsets, [11, 15]);
    assert_eq!(views(&rows), [Some(2), Some(3)]);
    assert_eq!(rows.deleted, Some(vec![false, false]));
    assert!(buffer.take().unwrap().is_none(), "nothing is left");
    assert_eq!(
        (buffer.rows(), buffer.bytes(), buffer.since()),
        (0, 0, None)
    );
}

#[test]
fn a_tombstone_deletes_the_row_of_its_key() {
    let mut buffer = upsert();
    push(
        &mut buffer,
        10,
        r#"{"id":"a"}"#,
        Some(r#"{"id":"a","views":1}"#),
    )
    .unwrap();
    push(&mut buffer, 11, r#"{"id":"a"}"#, None).unwrap();
    let rows = buffer.take().unwrap().unwrap();
    assert_eq!(rows.batch.column(0).as_string::<i32>().value(0), "a");
    assert_eq!((views(&rows), rows.deleted), (vec![None], Some(vec![true])));
}

#[test]
fn a_key_that_comes_back_is_not_deleted() {
    let mut buffer = upsert();
    push(&mut buffer, 10, r#"{"id":"a"}"#, None).unwrap();
    push(
        &mut buffer,
        11,
        r#"{"id":"a"}"#,
        Some(r#"{"id":"a","views":1}"#),
    )
    .unwrap();
    assert_eq!(buffer.take().unwrap().unwrap().deleted, Some(vec![false]));
}

#[test]
fn an_appended_topic_keeps_every_row() {
    let mut buffer = append();
    push(&mut buffer, 0, "x", Some(r#"{"id":"a","views":1}"#)).unwrap();
    push(&mut buffer, 2, "x", Some(r#"{"id":"a","views":1}"#)).unwrap();
    let rows = buffer.take().unwrap().unwrap();
    assert_eq!(
        (rows.offsets.as_slice(), rows.deleted.is_some()),
        ([0, 2].as_slice(), false)
    );
}

#[test]
fn the_position_moves_over_records_that_are_not_ours() {
    let mut buffer = append();
    push(&mut buffer, 4, "x", Some(r#"{"id":"a"}"#)).unwrap();
    buffer.reached(NextOffset::at(9));
    buffer.reached(NextOffset::at(7));
    let rows = buffer.take().unwrap().unwrap();
    assert_eq!((rows.last, rows.next), (4, NextOffset::at(9)));
}

#[test]
fn a_record_that_came_before_is_refused() {
    let mut buffer = upsert();
    let error = push(&mut buffer, 9, "{}", None).unwrap_err().to_string();
    assert!(error.contains("views[3] gave offset 9 where 10"), "{error}");
}

#[test]
fn a_record_that_is_no_row_is_named_without_its_contents() {
    let mut buffer = append();
    for (value, expected) in [
        (Some(r#"{"id":"secret""#), "its value is no JSON object"),
        (
            Some(r#"{"views":"secret"}"#),
            "the value of `views` is not of the column's type",
        ),
        (None, "its value is no JSON object"),
    ] {
        let error = push(&mut buffer, 7, "x", value).unwrap_err().to_string();
        assert!(
            error.contains("clean_events[0] at offset 7") && error.contains(expected),
            "{error}"
        );
        assert!(!error.contains("secret"), "{error}");
    }
    let mut buffer = upsert();
    let error = push(&mut buffer, 12, "no JSON", None).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("views[3] at offset 12 is no row of VIEWS"),
        "{error}"
    );
}

#[test]
fn an_upserted_record_that_is_no_row_is_noticed_even_if_a_newer_one_would_replace_it() {
    let mut buffer = upsert();
    let key = r#"{"id":"a"}"#;
    push(&mut buffer, 10, key, Some(r#"{"id":"a","views":1}"#)).unwrap();
    let error = push(&mut buffer, 11, key, Some(r#"{"id":"a","views":"x"}"#)).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("the value of `views`"), "{error}");
}

#[test]
fn an_upserted_record_needs_a_key() {
    let record = Record {
        offset: 10,
        timestamp_ms: 0,
        key: None,
        value: Some(b"{}"),
    };
    let error = upsert()
        .push(record, Instant::now())
        .unwrap_err()
        .to_string();
    assert!(error.contains("it has no key"), "{error}");
}
