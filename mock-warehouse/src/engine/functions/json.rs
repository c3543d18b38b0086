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
            "sf_row",
            |_| Ok(Arc::new(SqlType::Variant.field("row", false))),
            object,
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
            let mut value = read(text?)?;
            for key in &path {
                value = match key.parse::<usize>() {
                    Ok(index) if value.is_array() => value.get_mut(index)?.take(),
                    _ => value.get_mut(*key)?.take(),
                };
            }
            element(&value)
        })
        .collect();
    Ok(Arc::new(values))
}

/// The JSON, with a stand-in for each hole of an ARRAY.
pub(super) fn read(text: &str) -> Option<Value> {
    serde_json::from_str(&filled(text)).ok()
}

/// The text of what was [`read`].
pub(super) fn write(value: &Value) -> String {
    value.to_string().replace(&quoted_stand_in(), UNDEFINED)
}

/// The text of an element; a hole in an ARRAY is NULL.
pub(super) fn element(value: &Value) -> Option<String> {
    (value != STAND_IN).then(|| write(value))
}

/// What [`read`] makes of a hole in an ARRAY.
pub(super) fn hole() -> Value {
    Value::from(STAND_IN)
}

pub(super) fn is_hole(value: &Value) -> bool {
    value == STAND_IN
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// The steps of `a.b[0]['c d']`.
pub(super) fn steps(path: &str) -> Result<Vec<Step>> {
    let refuse = || SqlError::syntax(format!("invalid path '{path}'"));
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let end = inner.find(']').ok_or_else(refuse)?;
            let inside = &inner[..end];
            let key = inside
                .strip_prefix(['\'', '"'])
                .and_then(|key| key.strip_suffix(['\'', '"']));
            steps.push(match key {
                Some(key) => Step::Key(key.to_owned()),
                None => Step::Index(inside.trim().parse().map_err(|_| refuse())?),
            });
            rest = &inner[end + 1..];
            continue;
        }
        let key = rest.strip_prefix('.').unwrap_or(rest);
        if let Some(quoted) = key.strip_prefix('"') {
            let end = quoted.find('"').ok_or_else(refuse)?;
            steps.push(Step::Key(quoted[..end].to_owned()));
            rest = &quoted[end + 1..];
            continue;
        }
        let end = key.find(['.', '[']).unwrap_or(key.len());
        if end == 0 {
            return Err(refuse().into());
        }
        steps.push(Step::Key(key[..end].to_owned()));
        rest = &key[end..];
    }
    Ok(steps)
}

/// A path as FLATTEN writes it.
pub(super) fn written(steps: &[Step]) -> String {
    steps
        .iter()
        .fold(String::new(), |path, step| joined(&path, step))
}

/// The path with one more step.
pub(super) fn joined(path: &str, step: &Step) -> String {
    match step {
        Step::Index(index) => format!("{path}[{index}]"),
        Step::Key(key) => {
            let plain = key
                .chars()
                .all(|character| character.is_alphanumeric() || matches!(character, '_' | '$'))
                && !key.is_empty()
                && !key.starts_with(|character: char| character.is_ascii_digit());
            match (plain, path.is_empty()) {
                (false, _) => format!("{path}['{key}']"),
                (true, true) => key.clone(),
                (true, false) => format!("{path}.{key}"),
            }
        }
    }
}

/// The value at the end of the path.
pub(super) fn at<'a>(root: &'a Value, path: &[Step]) -> Option<&'a Value> {
    path.iter().try_fold(root, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Index(index) => value.get(index),
    })
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
