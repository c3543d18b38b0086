//! VARIANT: JSON text, compact while it is kept.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, StringArray},
    datatypes::DataType,
};
use datafusion::{common::Result, logical_expr::ScalarUDF};
use serde_json::Value;

use super::{Call, function, text::to_text, typed};
use crate::engine::{SqlError, sql_type::SqlType};

/// What an ARRAY has where a value was NULL; no JSON.
const UNDEFINED: &str = "undefined";
/// Stands for [`UNDEFINED`] while an ARRAY is read as JSON.
const STAND_IN: &str = "\u{0}undefined";

/// `sf_parse_json(text)`, `sf_try_parse_json(text)`, `sf_get(variant, 'path')`, `sf_array(values..)`,
/// `sf_object(key, value, ..)`.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function(
            "sf_parse_json",
            |_| Ok(Arc::new(SqlType::Variant.field("json", true))),
            |call| parse(call, false),
        ),
        function(
            "sf_try_parse_json",
            |_| Ok(Arc::new(SqlType::Variant.field("json", true))),
            |call| parse(call, true),
        ),
        function(
            "sf_get",
            |_| Ok(Arc::new(SqlType::Variant.field("json", true))),
            get,
        ),
        function(
            "sf_array",
            |_| Ok(Arc::new(SqlType::Array.field("array", false))),
            array,
        ),
        function(
            "sf_object",
            |_| Ok(Arc::new(SqlType::Object.field("object", false))),
            object,
        ),
    ]
}

/// Each argument as JSON.
fn as_json(call: &Call<'_>) -> Result<Vec<StringArray>> {
    let fields = &call.arguments.arg_fields;
    call.arrays
        .iter()
        .zip(fields)
        .map(|(array, field)| {
            if SqlType::of(field).is_ok_and(SqlType::is_json) {
                to_text(array, call.zone)
            } else {
                from_values(array, call.zone)
            }
        })
        .collect()
}

/// The arguments in an ARRAY; NULL leaves a hole.
fn array(call: &Call<'_>) -> Result<ArrayRef> {
    let values = as_json(call)?;
    let rows = call.arrays.first().map_or(0, |array| array.len());
    let arrays = (0..rows).map(|row| {
        let items: Vec<&str> = values
            .iter()
            .map(|column| {
                if column.is_null(row) {
                    UNDEFINED
                } else {
                    column.value(row)
                }
            })
            .collect();
        Some(format!("[{}]", items.join(",")))
    });
    Ok(Arc::new(arrays.collect::<StringArray>()))
}

/// Keys and values in an OBJECT, by key; what is NULL is left out.
fn object(call: &Call<'_>) -> Result<ArrayRef> {
    let values = as_json(call)?;
    let keys: Vec<StringArray> = call
        .arrays
        .iter()
        .step_by(2)
        .map(|array| to_text(array, call.zone))
        .collect::<Result<_>>()?;
    let rows = call.arrays.first().map_or(0, |array| array.len());
    let mut objects = Vec::with_capacity(rows);
    for row in 0..rows {
        let mut members = BTreeMap::new();
        for (keys, values) in keys.iter().zip(values.iter().skip(1).step_by(2)) {
            if keys.is_null(row) || values.is_null(row) {
                continue;
            }
            if members.insert(keys.value(row), values.value(row)).is_some() {
                return Err(SqlError::unsupported("DUPLICATE KEYS IN AN OBJECT").into());
            }
        }
        let members: Vec<String> = members
            .into_iter()
            .map(|(key, value)| format!("{}:{value}", Value::from(key)))
            .collect();
        objects.push(Some(format!("{{{}}}", members.join(","))));
    }
    Ok(Arc::new(StringArray::from(objects)))
}

fn parse(call: &Call<'_>, lenient: bool) -> Result<ArrayRef> {
    let texts = to_text(&call.arrays[0], call.zone)?;
    let mut values = Vec::with_capacity(texts.len());
    for text in &texts {
        values.push(match text.map(serde_json::from_str::<Value>) {
            None => None,
            Some(Ok(mut value)) => {
                value.sort_all_objects();
                Some(value.to_string())
            }
            Some(Err(_)) if lenient => None,
            Some(Err(error)) => {
                return Err(SqlError::new(
                    "100069",
                    "22P02",
                    format!("Error parsing JSON: {error}"),
                )
                .into());
            }
        });
    }
    Ok(Arc::new(StringArray::from(values)))
}

/// The element at a path of keys separated by NUL.
fn get(call: &Call<'_>) -> Result<ArrayRef> {
    let path: Vec<&str> = call.text(1)?.split('\0').collect();
    let values: StringArray = typed::<StringArray>(&call.arrays[0])?
        .iter()
        .map(|text| {
            let mut value = serde_json::from_str::<Value>(&filled(text?)).ok()?;
            for key in &path {
                value = match key.parse::<usize>() {
                    Ok(index) if value.is_array() => value.get_mut(index)?.take(),
                    _ => value.get_mut(*key)?.take(),
                };
            }
            // A hole in an ARRAY is NULL.
            (value != STAND_IN).then(|| value.to_string().replace(&quoted_stand_in(), UNDEFINED))
        })
        .collect();
    Ok(Arc::new(values))
}

fn quoted_stand_in() -> String {
    Value::from(STAND_IN).to_string()
}

/// JSON, with a stand-in for each hole of an ARRAY.
fn filled(text: &str) -> Cow<'_, str> {
    if !text.contains(UNDEFINED) {
        return Cow::Borrowed(text);
    }
    let mut filled = String::with_capacity(text.len());
    for (piece, is_text) in pieces(text) {
        if is_text {
            filled.push_str(piece);
        } else {
            filled.push_str(&piece.replace(UNDEFINED, &quoted_stand_in()));
        }
    }
    Cow::Owned(filled)
}

/// The text in pieces: those that are JSON strings, with their quotes, and those in between.
fn pieces(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let is_text = rest.starts_with('"');
        let end = if is_text {
            let mut escaped = false;
            rest[1..]
                .find(|character| {
                    let ends = character == '"' && !escaped;
                    escaped = character == '\\' && !escaped;
                    ends
                })
                .map_or(rest.len(), |at| at + 2)
        } else {
            rest.find('"').unwrap_or(rest.len())
        };
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some((piece, is_text))
    })
}

/// The text of each JSON scalar: a string without its quotes, `null` as NULL, others as they are written.
pub(super) fn scalars(array: &ArrayRef) -> Result<StringArray> {
    Ok(typed::<StringArray>(array)?
        .iter()
        .map(|text| match serde_json::from_str::<Value>(text?) {
            Ok(Value::Null) => None,
            Ok(Value::String(inner)) => Some(inner),
            _ => text.map(str::to_owned),
        })
        .collect())
}

/// Values as JSON.
pub(super) fn from_values(array: &ArrayRef, zone: &str) -> Result<StringArray> {
    let plain = matches!(
        array.data_type(),
        DataType::Boolean
            | DataType::Decimal128(..)
            | DataType::Int64
            | DataType::Int32
            | DataType::Float64
    );
    Ok(to_text(array, zone)?
        .iter()
        .map(|text| {
            text.map(|text| {
                if plain {
                    text.to_owned()
                } else {
                    Value::from(text).to_string()
                }
            })
        })
        .collect())
}

/// How a grid shows a VARIANT: laid out in lines, each value as it is kept.
pub(crate) fn pretty(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0;
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    };
    for (piece, is_text) in pieces(text) {
        if is_text {
            out.push_str(piece);
            continue;
        }
        for character in piece.chars() {
            match character {
                ' ' | '\n' | '\t' | '\r' => {}
                '[' | '{' => {
                    out.push(character);
                    depth += 1;
                    line(&mut out, depth);
                }
                ']' | '}' => {
                    depth = depth.saturating_sub(1);
                    // Nothing between the brackets: they stay together.
                    let trimmed = out.trim_end().len();
                    if out[..trimmed].ends_with(['[', '{']) {
                        out.truncate(trimmed);
                    } else {
                        line(&mut out, depth);
                    }
                    out.push(character);
                }
                ',' => {
                    out.push(character);
                    line(&mut out, depth);
                }
                ':' => out.push_str(": "),
                other => out.push(other),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_laid_out_in_lines() {
        for (text, expected) in [
            ("1", "1"),
            ("\"a: [b\\\" ,\"", "\"a: [b\\\" ,\""),
            ("[]", "[]"),
            ("{\"a\":{},\"b\":[]}", "{\n  \"a\": {},\n  \"b\": []\n}"),
            ("[1,{\"a\":2}]", "[\n  1,\n  {\n    \"a\": 2\n  }\n]"),
            (
                "[1,\"undefined\",undefined]",
                "[\n  1,\n  \"undefined\",\n  undefined\n]",
            ),
            ("{\"n\":3.0e+00}", "{\n  \"n\": 3.0e+00\n}"),
        ] {
            assert_eq!(pretty(text), expected);
        }
    }

    #[test]
    fn holes_are_no_text() {
        assert_eq!(
            filled("[undefined,\"undefined\"]"),
            "[\"\\u0000undefined\",\"undefined\"]"
        );
    }
}
