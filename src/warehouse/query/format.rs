//! An answer as a table, as JSON, as CSV. Pure.

use std::collections::BTreeSet;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::value::RawValue;

use super::decode::readable;
use crate::warehouse::{Answer, ColumnKind};

/// A table for people; numbers to the right, NULL as `NULL`.
pub fn table(answer: &Answer) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header(answer.columns.iter().map(|column| printable(&column.name)));
    for row in &answer.rows {
        let cells = answer.columns.iter().zip(row);
        table.add_row(cells.map(|(column, value)| match value {
            Some(text) => printable(&readable(column.kind, text)),
            None => "NULL".to_owned(),
        }));
    }
    for (index, column) in answer.columns.iter().enumerate() {
        if matches!(column.kind, ColumnKind::Fixed | ColumnKind::Real)
            && let Some(column) = table.column_mut(index)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

/// An array of one object a row, a row a line. A second column of the same name is called `NAME_2`.
pub fn json(answer: &Answer) -> String {
    let names = distinct_names(answer);
    let rows = answer.rows.iter().map(|row| {
        let fields = names
            .iter()
            .zip(&answer.columns)
            .zip(row)
            .map(|((name, column), value)| {
                let value = value
                    .as_ref()
                    .map_or_else(|| "null".to_owned(), |text| json_value(column.kind, text));
                format!("{}:{value}", json_text(name))
            });
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    });
    let rows: Vec<_> = rows.collect();
    match rows.is_empty() {
        true => "[]".to_owned(),
        false => format!("[\n{}\n]", rows.join(",\n")),
    }
}

/// RFC 4180 with a header line: NULL is nothing, an empty text is `""`.
pub fn csv(answer: &Answer) -> String {
    let mut text = String::new();
    let mut line = |fields: Vec<String>| {
        text.push_str(&fields.join(","));
        text.push_str("\r\n");
    };
    line(
        answer
            .columns
            .iter()
            .map(|column| csv_field(&column.name))
            .collect(),
    );
    for row in &answer.rows {
        let fields = answer.columns.iter().zip(row).map(|(column, value)| {
            value
                .as_ref()
                .map(|text| csv_field(&readable(column.kind, text)))
                .unwrap_or_default()
        });
        line(fields.collect());
    }
    text
}

fn distinct_names(answer: &Answer) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let names = answer.columns.iter().map(|column| {
        let mut name = column.name.clone();
        let mut number = 2;
        while !taken.insert(name.clone()) {
            name = format!("{}_{number}", column.name);
            number += 1;
        }
        name
    });
    names.collect()
}

/// Numbers keep their digits; what JSON cannot say (`NaN`, a variant's `undefined`) is text.
fn json_value(kind: ColumnKind, text: &str) -> String {
    match kind {
        ColumnKind::Fixed | ColumnKind::Real | ColumnKind::Boolean | ColumnKind::Json => {
            match serde_json::from_str::<&RawValue>(text) {
                Ok(value) if kind == ColumnKind::Json => compact(value.get()),
                Ok(value) => value.get().to_owned(),
                Err(_) => json_text(text),
            }
        }
        _ => json_text(&readable(kind, text)),
    }
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// JSON without the blanks between its parts; numbers are not touched.
fn compact(json: &str) -> String {
    let mut compact = String::with_capacity(json.len());
    let (mut quoted, mut escaped) = (false, false);
    for character in json.chars() {
        if quoted {
            quoted = escaped || character != '"';
            escaped = !escaped && character == '\\';
        } else {
            quoted = character == '"';
        }
        if quoted || !character.is_ascii_whitespace() {
            compact.push(character);
        }
    }
    compact
}

fn csv_field(text: &str) -> String {
    match text.is_empty() || text.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// Text that cannot move a terminal's cursor or change its colours.
fn printable(text: &str) -> String {
    let replace = |c: char| {
        if c.is_control() && c != '\n' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(replace).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warehouse::ColumnMeta;

    fn answer(columns: &[(&str, ColumnKind)], rows: &[&[Option<&str>]]) -> Answer {
        let column = |(name, kind): &(&str, ColumnKind)| ColumnMeta {
            name: (*name).to_owned(),
            kind: *kind,
            precision: None,
            scale: None,
            nullable: None,
        };
        Answer {
            columns: columns.iter().map(column).collect(),
            rows: rows
                .iter()
                .map(|row| row.iter().map(|value| value.map(str::to_owned)).collect())
                .collect(),
            handle: String::new(),
        }
    }

    #[test]
    fn a_table_shows_dates_as_dates_and_numbers_to_the_right() {
        let answer = answer(
            &[
                ("EVENT_DATE", ColumnKind::Date),
                ("REVENUE", ColumnKind::Fixed),
                ("NOTE", ColumnKind::Text),
            ],
            &[
                &[Some("20735"), Some("12345678.91"), None],
                &[Some("20736"), Some("0.10"), Some("a\u{1b}[31m")],
            ],
        );
        let expected = "\
┌────────────┬─────────────┬────────┐
│ EVENT_DATE ┆     REVENUE ┆ NOTE   │
╞════════════╪═════════════╪════════╡
│ 2026-10-09 ┆ 12345678.91 ┆ NULL   │
│ 2026-10-10 ┆        0.10 ┆ a\u{fffd}[31m │
└────────────┴─────────────┴────────┘";
        assert_eq!(table(&answer), expected);
    }

    #[test]
    fn json_keeps_every_digit_and_every_column() {
        let kinds = [
            ("A", ColumnKind::Fixed),
            ("A", ColumnKind::Real),
            ("B", ColumnKind::Boolean),
            ("D", ColumnKind::Date),
            ("T", ColumnKind::TimestampLtz),
            ("V", ColumnKind::Json),
            ("S", ColumnKind::Text),
        ];
        let wide = "12345678901234567890123456789012345678";
        let answer = answer(
            &kinds,
            &[
                &[
                    Some(wide),
                    Some("1.5"),
                    Some("true"),
                    Some("0"),
                    Some("0.5"),
                    Some("{\n  \"a b\": 1.50\n}"),
                    Some("q\""),
                ],
                &[
                    Some("1.00"),
                    Some("NaN"),
                    None,
                    None,
                    None,
                    Some("[\n  undefined\n]"),
                    Some("7"),
                ],
            ],
        );
        let expected = format!(
            "[\n\
             {{\"A\":{wide},\"A_2\":1.5,\"B\":true,\"D\":\"1970-01-01\",\"T\":\"1970-01-01T00:00:00.500Z\",\"V\":{{\"a b\":1.50}},\"S\":\"q\\\"\"}},\n\
             {{\"A\":1.00,\"A_2\":\"NaN\",\"B\":null,\"D\":null,\"T\":null,\"V\":\"[\\n  undefined\\n]\",\"S\":\"7\"}}\n\
             ]"
        );
        let written = json(&answer);
        assert_eq!(written, expected);
        serde_json::from_str::<serde_json::Value>(&written).unwrap();
        assert_eq!(
            json(&Answer {
                rows: Vec::new(),
                ..answer
            }),
            "[]"
        );
    }

    #[test]
    fn csv_quotes_what_needs_it_and_tells_null_from_empty() {
        let answer = answer(
            &[("A,B", ColumnKind::Text), ("N", ColumnKind::Fixed)],
            &[
                &[Some("x \"y\"\nz"), Some("1")],
                &[Some(""), None],
                &[None, Some("2.50")],
            ],
        );
        assert_eq!(
            csv(&answer),
            "\"A,B\",N\r\n\"x \"\"y\"\"\nz\",1\r\n\"\",\r\n,2.50\r\n"
        );
    }
}
