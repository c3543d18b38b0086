//! VARIANT: JSON text, compact while it is kept.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, StringArray},
    datatypes::DataType,
};
use datafusion::{common::Result, logical_expr::ScalarUDF};
use serde_json::Value;

use super::{Call, function, text::to_text, typed};
use crate::engine::{SqlError, sql_type::SqlType};

/// `sf_parse_json(text)`, `sf_try_parse_json(text)`, `sf_get(variant, 'path')`.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function("sf_parse_json", |_| Ok(Arc::new(SqlType::Variant.field("json", true))), |call| parse(call, false)),
        function("sf_try_parse_json", |_| Ok(Arc::new(SqlType::Variant.field("json", true))), |call| parse(call, true)),
        function("sf_get", |_| Ok(Arc::new(SqlType::Variant.field("json", true))), get),
    ]
}

fn parse(call: &Call<'_>, lenient: bool) -> Result<ArrayRef> {
    let texts = to_text(&call.arrays[0], call.zone)?;
    let mut values = Vec::with_capacity(texts.len());
    for text in &texts {
        values.push(match text.map(serde_json::from_str::<Value>) {
            None => None,
            Some(Ok(value)) => Some(value.to_string()),
            Some(Err(_)) if lenient => None,
            Some(Err(error)) => {
                return Err(SqlError::new("100069", "22P02", format!("Error parsing JSON: {error}")).into());
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
            let mut value = serde_json::from_str::<Value>(text?).ok()?;
            for key in &path {
                value = match key.parse::<usize>() {
                    Ok(index) if value.is_array() => value.get_mut(index)?.take(),
                    _ => value.get_mut(*key)?.take(),
                };
            }
            Some(value.to_string())
        })
        .collect();
    Ok(Arc::new(values))
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
        DataType::Boolean | DataType::Decimal128(..) | DataType::Int64 | DataType::Int32 | DataType::Float64
    );
    Ok(to_text(array, zone)?
        .iter()
        .map(|text| text.map(|text| if plain { text.to_owned() } else { Value::from(text).to_string() }))
        .collect())
}

/// How a grid shows a VARIANT.
pub(crate) fn pretty(text: &str) -> String {
    serde_json::from_str::<Value>(text)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| text.to_owned())
}
