//! A statement with arrays of values for its placeholders in, statements with one value each out.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::engine::SqlError;

/// Values by placeholder, as drivers send them.
pub(super) type Values = BTreeMap<String, Value>;

/// So many rows go into one INSERT: planning time grows with the length of its VALUES.
const ROWS_AT_ONCE: usize = 500;

/// Whether any placeholder has an array.
pub(super) fn has_arrays(values: &Values) -> bool {
    values.values().any(|value| value["value"].is_array())
}

/// What to run, one after another, so that each row of values is used once.
pub(super) fn statements(sql: &str, values: &Values) -> Result<Vec<(String, Values)>, SqlError> {
    let rows = rows(values)?;
    let Some((before, group)) = values_group(sql) else {
        return Ok(rows.into_iter().map(|row| (sql.to_owned(), row)).collect());
    };
    let is_numbered = (1..=values.len()).all(|number| values.contains_key(&number.to_string()));
    if placeholders(before) > 0 || placeholders(group) != values.len() || !is_numbered {
        return Ok(rows.into_iter().map(|row| (sql.to_owned(), row)).collect());
    }
    let statements = rows.chunks(ROWS_AT_ONCE).map(|rows| {
        let mut text = before.to_owned();
        let mut numbered = Values::new();
        for (index, row) in rows.iter().enumerate() {
            if index > 0 {
                text.push_str(", ");
            }
            append_row(&mut text, &mut numbered, group, row);
        }
        (text, numbered)
    });
    Ok(statements.collect())
}

/// Appends one group of VALUES. Plain NULLs are written out: bound, they would be of another type than the values of
/// other rows.
fn append_row(text: &mut String, numbered: &mut Values, group: &str, row: &Values) {
    let mut copied = 0;
    let places = unquoted(group).filter(|(_, byte)| *byte == b'?');
    for (position, (at, _)) in places.enumerate() {
        let value = &row[&(position + 1).to_string()];
        let is_plain = matches!(value["type"].as_str(), Some("FIXED" | "TEXT" | "ANY"));
        if value["value"].is_null() && is_plain {
            text.push_str(&group[copied..at]);
            text.push_str("NULL");
            copied = at + 1;
        } else {
            numbered.insert((numbered.len() + 1).to_string(), value.clone());
        }
    }
    text.push_str(&group[copied..]);
}

/// One map for each row.
fn rows(values: &Values) -> Result<Vec<Values>, SqlError> {
    let length = |value: &Value| value["value"].as_array().map_or(1, Vec::len);
    let count = values.values().map(length).max().unwrap_or(0);
    if values.values().any(|value| length(value) != count) {
        return Err(SqlError::new(
            "002099",
            "42601",
            "SQL compilation error:\nBatch size of bind variables is not the same.",
        ));
    }
    let one = |value: &Value, row: usize| {
        let value_of_row = value["value"].get(row).unwrap_or(&value["value"]);
        json!({"type": value["type"], "value": value_of_row})
    };
    Ok((0..count)
        .map(|row| {
            let named = values.iter();
            named
                .map(|(name, value)| (name.clone(), one(value, row)))
                .collect()
        })
        .collect())
}

/// Splits `INSERT ... VALUES (...)` before the parenthesis; `None` when the statement does not end with one such group.
fn values_group(sql: &str) -> Option<(&str, &str)> {
    let sql = sql.trim_end().trim_end_matches(';').trim_end();
    let mut start = None;
    let mut depth = 0_usize;
    for (at, byte) in unquoted(sql) {
        match byte {
            b'(' if depth == 0 => {
                let before = sql[..at].trim_end();
                let word = before.len().checked_sub("VALUES".len())?;
                let is_values = before
                    .get(word..)
                    .is_some_and(|word| word.eq_ignore_ascii_case("VALUES"));
                start = is_values.then_some(at);
                depth = 1;
            }
            b'(' => depth += 1,
            b')' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 && byte == b')' && at + 1 < sql.len() && start.is_some() {
            return None;
        }
    }
    let start = start.filter(|_| depth == 0)?;
    Some(sql.split_at(start))
}

fn placeholders(sql: &str) -> usize {
    unquoted(sql).filter(|(_, byte)| *byte == b'?').count()
}

/// The bytes outside of quotes, with their places.
fn unquoted(sql: &str) -> impl Iterator<Item = (usize, u8)> {
    let mut quote = None;
    sql.bytes()
        .enumerate()
        .filter(move |(_, byte)| match quote {
            Some(open) => {
                if open == *byte {
                    quote = None;
                }
                false
            }
            None if matches!(byte, b'\'' | b'"') => {
                quote = Some(*byte);
                false
            }
            None => true,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(columns: &[Value]) -> Values {
        let columns = columns.iter().enumerate();
        columns
            .map(|(index, value)| {
                let value = json!({"type": "FIXED", "value": value});
                ((index + 1).to_string(), value)
            })
            .collect()
    }

    #[test]
    fn an_insert_of_values_takes_many_rows_at_once() {
        let values = values(&[json!(["1", "2"]), json!(["3", null])]);
        let made = statements("INSERT INTO t (a, \"(b\") VALUES (?, f(?))", &values).unwrap();
        assert_eq!(made.len(), 1);
        assert_eq!(
            made[0].0,
            "INSERT INTO t (a, \"(b\") VALUES (?, f(?)), (?, f(NULL))"
        );
        let sent: Vec<_> = made[0]
            .1
            .iter()
            .map(|(name, v)| (name.as_str(), &v["value"]))
            .collect();
        assert_eq!(
            sent,
            [("1", &json!("1")), ("2", &json!("3")), ("3", &json!("2"))]
        );
    }

    #[test]
    fn any_other_statement_runs_once_for_each_row() {
        let values = values(&[json!(["1", "2"])]);
        for sql in [
            "INSERT INTO t SELECT ?",
            "UPDATE t SET a = 1 WHERE b = ?",
            "INSERT INTO t VALUES (?), (3)",
        ] {
            let made = statements(sql, &values).unwrap();
            assert_eq!(made.len(), 2, "{sql}");
            assert!(made.iter().all(|(text, _)| text == sql), "{sql}");
        }
    }

    #[test]
    fn columns_of_different_lengths_are_refused() {
        let error = rows(&values(&[json!(["1", "2"]), json!(["1"])])).unwrap_err();
        assert_eq!(error.code, "002099");
    }
}
