//! Questions to VARIANT, OBJECT and ARRAY, and what is made of parts of them.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, BooleanArray, Decimal128Array, ListArray, StringArray},
    datatypes::{DataType, FieldRef},
};
use datafusion::{common::Result, logical_expr::ScalarUDF};
use serde_json::Value;

use super::{Call, function, json, text::to_text, typed};
use crate::engine::{SqlError, sql_type::SqlType};

/// The functions; of those over lists the list is what `array_agg` has gathered.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function(
            "sf_typeof",
            |_| text_field(),
            |call| texts(call, |value| Some(kind(value).to_owned())),
        ),
        function(
            "sf_to_json",
            |_| text_field(),
            |call| texts(call, |value| Some(json::write(value))),
        ),
        function(
            "sf_is_null_value",
            |_| Ok(Arc::new(SqlType::Boolean.field("null", true))),
            |call| {
                let values = read(&call.arrays[0])?;
                let nulls = values
                    .iter()
                    .map(|value| value.as_ref().map(Value::is_null));
                Ok(Arc::new(nulls.collect::<BooleanArray>()))
            },
        ),
        function(
            "sf_array_size",
            |_| number_field(),
            |call| {
                let values = read(&call.arrays[0])?;
                let sizes = values.iter().map(|value| match value {
                    Some(Value::Array(items)) => i128::try_from(items.len()).ok(),
                    _ => None,
                });
                Ok(Arc::new(
                    sizes
                        .collect::<Decimal128Array>()
                        .with_precision_and_scale(9, 0)?,
                ))
            },
        ),
        function(
            "sf_object_keys",
            |_| field(SqlType::Array),
            |call| {
                texts(call, |value| {
                    let keys: Vec<&String> = value.as_object()?.keys().collect();
                    Some(
                        Value::from(keys.into_iter().map(String::as_str).collect::<Vec<_>>())
                            .to_string(),
                    )
                })
            },
        ),
        function("sf_get_at", |_| field(SqlType::Variant), get_at),
        function("sf_get_path", |_| field(SqlType::Variant), get_path),
        function(
            "sf_array_contains",
            |_| Ok(Arc::new(SqlType::Boolean.field("found", true))),
            contains,
        ),
        function(
            "sf_array_append",
            |_| field(SqlType::Array),
            |call| pairs(call, append),
        ),
        function(
            "sf_array_cat",
            |_| field(SqlType::Array),
            |call| pairs(call, concatenate),
        ),
        function("sf_array_to_string", |_| text_field(), to_string),
        function("sf_split", |_| field(SqlType::Array), split),
        function(
            "sf_list_array",
            |_| listed(SqlType::Array),
            |call| gathered(call, list_array),
        ),
        function(
            "sf_list_object",
            |_| listed(SqlType::Object),
            |call| gathered(call, list_object),
        ),
        function(
            "sf_list_text",
            |_| {
                listed(SqlType::Varchar {
                    length: 134_217_728,
                })
            },
            list_text,
        ),
    ]
}

fn field(sql_type: SqlType) -> Result<FieldRef> {
    Ok(Arc::new(sql_type.field("value", true)))
}

fn listed(sql_type: SqlType) -> Result<FieldRef> {
    Ok(Arc::new(sql_type.field("value", false)))
}

fn text_field() -> Result<FieldRef> {
    field(SqlType::Varchar {
        length: 134_217_728,
    })
}

fn number_field() -> Result<FieldRef> {
    field(SqlType::Number {
        precision: 9,
        scale: 0,
    })
}

/// The JSON of each value.
fn read(array: &ArrayRef) -> Result<Vec<Option<Value>>> {
    Ok(to_text(array, "UTC")?
        .iter()
        .map(|text| json::read(text?))
        .collect())
}

fn texts(call: &Call<'_>, of: fn(&Value) -> Option<String>) -> Result<ArrayRef> {
    let values = read(&call.arrays[0])?;
    Ok(Arc::new(
        values
            .iter()
            .map(|value| of(value.as_ref()?))
            .collect::<StringArray>(),
    ))
}

/// What TYPEOF calls it.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "NULL_VALUE",
        Value::Bool(_) => "BOOLEAN",
        Value::Number(number) if number.is_i64() || number.is_u64() => "INTEGER",
        // A number with a point is a DECIMAL, one with an exponent a DOUBLE.
        Value::Number(number) if number.to_string().contains(['e', 'E']) => "DOUBLE",
        Value::Number(_) => "DECIMAL",
        Value::String(_) => "VARCHAR",
        Value::Array(_) => "ARRAY",
        Value::Object(_) => "OBJECT",
    }
}

/// `GET(object, 'key')`, `GET(array, index)`
fn get_at(call: &Call<'_>) -> Result<ArrayRef> {
    let values = read(&call.arrays[0])?;
    let by_index = !matches!(
        call.arrays[1].data_type(),
        DataType::Utf8 | DataType::Utf8View
    );
    let keys = to_text(&call.arrays[1], "UTC")?;
    let found = values.iter().zip(&keys).map(|(value, key)| {
        let (value, key) = (value.as_ref()?, key?);
        let element = match by_index {
            true => value.get(key.parse::<usize>().ok()?),
            false => value.get(key),
        };
        json::element(element?)
    });
    Ok(Arc::new(found.collect::<StringArray>()))
}

fn get_path(call: &Call<'_>) -> Result<ArrayRef> {
    let path = json::steps(call.text(1)?)?;
    let values = read(&call.arrays[0])?;
    let found = values
        .iter()
        .map(|value| json::element(json::at(value.as_ref()?, &path)?));
    Ok(Arc::new(found.collect::<StringArray>()))
}

fn contains(call: &Call<'_>) -> Result<ArrayRef> {
    let (wanted, arrays) = (read(&call.arrays[0])?, read(&call.arrays[1])?);
    let found = wanted
        .iter()
        .zip(&arrays)
        .map(|(wanted, array)| Some(array.as_ref()?.as_array()?.contains(wanted.as_ref()?)));
    Ok(Arc::new(found.collect::<BooleanArray>()))
}

/// A value made of two; NULL when the first is.
fn pairs(call: &Call<'_>, make: fn(Value, Option<Value>) -> Option<Value>) -> Result<ArrayRef> {
    let (left, right) = (read(&call.arrays[0])?, read(&call.arrays[1])?);
    let made = left
        .into_iter()
        .zip(right)
        .map(|(left, right)| Some(json::write(&make(left?, right)?)));
    Ok(Arc::new(made.collect::<StringArray>()))
}

fn append(array: Value, item: Option<Value>) -> Option<Value> {
    let Value::Array(mut items) = array else {
        return None;
    };
    items.push(item.unwrap_or_else(json::hole));
    Some(Value::Array(items))
}

fn concatenate(left: Value, right: Option<Value>) -> Option<Value> {
    match (left, right?) {
        (Value::Array(mut items), Value::Array(more)) => {
            items.extend(more);
            Some(Value::Array(items))
        }
        _ => None,
    }
}

fn to_string(call: &Call<'_>) -> Result<ArrayRef> {
    let values = read(&call.arrays[0])?;
    let separators = to_text(&call.arrays[1], "UTC")?;
    let joined = values.iter().zip(&separators).map(|(value, separator)| {
        let items = value.as_ref()?.as_array()?.iter().map(|item| match item {
            Value::Null => String::new(),
            hole if json::is_hole(hole) => String::new(),
            Value::String(text) => text.clone(),
            other => json::write(other),
        });
        Some(items.collect::<Vec<_>>().join(separator?))
    });
    Ok(Arc::new(joined.collect::<StringArray>()))
}

fn split(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, separators) = (
        to_text(&call.arrays[0], "UTC")?,
        to_text(&call.arrays[1], "UTC")?,
    );
    let parts = texts.iter().zip(&separators).map(|(text, separator)| {
        let (text, separator) = (text?, separator?);
        let parts: Vec<&str> = match separator {
            "" => vec![text],
            _ => text.split(separator).collect(),
        };
        Some(Value::from(parts).to_string())
    });
    Ok(Arc::new(parts.collect::<StringArray>()))
}

/// The values of each list that are not NULL.
fn lists(array: &ArrayRef) -> Result<Vec<Vec<String>>> {
    let lists = typed::<ListArray>(array)?;
    (0..lists.len())
        .map(|row| {
            if lists.is_null(row) {
                return Ok(Vec::new());
            }
            let values = to_text(&lists.value(row), "UTC")?;
            Ok(values.iter().flatten().map(str::to_owned).collect())
        })
        .collect()
}

fn gathered(call: &Call<'_>, make: fn(&[String]) -> Result<String>) -> Result<ArrayRef> {
    let made: Result<Vec<String>> = lists(&call.arrays[0])?
        .iter()
        .map(|list| make(list))
        .collect();
    Ok(Arc::new(StringArray::from(made?)))
}

fn list_array(items: &[String]) -> Result<String> {
    Ok(format!("[{}]", items.join(",")))
}

/// Of pairs `[key, value]`; those without a key or a value are left out.
fn list_object(pairs: &[String]) -> Result<String> {
    let mut object = serde_json::Map::new();
    for pair in pairs {
        let Some(Value::Array(mut pair)) = json::read(pair) else {
            continue;
        };
        let (Some(value), Some(Value::String(key))) = (pair.pop(), pair.pop()) else {
            continue;
        };
        if json::element(&value).is_none() || json::is_hole(&Value::String(key.clone())) {
            continue;
        }
        if object.insert(key, value).is_some() {
            return Err(SqlError::unsupported("DUPLICATE KEYS IN AN OBJECT").into());
        }
    }
    let mut object = Value::Object(object);
    object.sort_all_objects();
    Ok(json::write(&object))
}

fn list_text(call: &Call<'_>) -> Result<ArrayRef> {
    let separator = call.text(1)?;
    let texts = lists(&call.arrays[0])?;
    Ok(Arc::new(
        texts
            .iter()
            .map(|list| Some(list.join(separator)))
            .collect::<StringArray>(),
    ))
}
