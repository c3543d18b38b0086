//! VECTOR: a fixed number of floats or integers, made from an ARRAY.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, FixedSizeListArray, FixedSizeListBuilder, Float32Array, Float32Builder,
        Int32Array, Int32Builder,
    },
    datatypes::DataType,
};
use datafusion::common::Result;

use super::{cast::settle, text::to_text, typed};
use crate::engine::{SqlError, sql_type::VectorElement};

/// A cast of ARRAY values to VECTOR.
pub(super) fn to_vector(
    array: &ArrayRef,
    element: VectorElement,
    dimension: u16,
    lenient: bool,
) -> Result<ArrayRef> {
    let mut rows = Vec::with_capacity(array.len());
    for text in &to_text(array, "UTC")? {
        rows.push(match text {
            Some(text) => settle(numbers(text, element, dimension), lenient)?,
            None => None,
        });
    }
    Ok(match element {
        VectorElement::Float => {
            let mut builder =
                FixedSizeListBuilder::new(Float32Builder::new(), i32::from(dimension));
            for row in &rows {
                for index in 0..usize::from(dimension) {
                    let value = row.as_ref().map(|row| row[index] as f32);
                    builder.values().append_option(value);
                }
                builder.append(row.is_some());
            }
            Arc::new(builder.finish())
        }
        VectorElement::Int => {
            let mut builder = FixedSizeListBuilder::new(Int32Builder::new(), i32::from(dimension));
            for row in &rows {
                for index in 0..usize::from(dimension) {
                    let value = row.as_ref().map(|row| row[index] as i32);
                    builder.values().append_option(value);
                }
                builder.append(row.is_some());
            }
            Arc::new(builder.finish())
        }
    })
}

/// The numbers of a JSON array, as many as the vector has.
fn numbers(text: &str, element: VectorElement, dimension: u16) -> Result<Vec<f64>, SqlError> {
    let refuse = || {
        SqlError::new(
            "100432",
            "22000",
            format!("Failed to cast '{text}' to a VECTOR of {dimension} elements"),
        )
    };
    let numbers: Vec<f64> = serde_json::from_str(text).map_err(|_| refuse())?;
    let whole = numbers
        .iter()
        .all(|number| number.fract() == 0.0 && number.abs() <= f64::from(i32::MAX));
    if numbers.len() != usize::from(dimension) || (element == VectorElement::Int && !whole) {
        return Err(refuse());
    }
    Ok(numbers)
}

/// `[1.000000,2.000000]` for floats, `[1,2]` for integers.
pub(super) fn vector_text(array: &ArrayRef) -> Result<Vec<Option<String>>> {
    typed::<FixedSizeListArray>(array)?
        .iter()
        .map(|vector| {
            let Some(values) = vector else {
                return Ok(None);
            };
            let values: Vec<String> = match values.data_type() {
                DataType::Float32 => typed::<Float32Array>(&values)?
                    .values()
                    .iter()
                    .map(|value| format!("{value:.6}"))
                    .collect(),
                _ => typed::<Int32Array>(&values)?
                    .values()
                    .iter()
                    .map(i32::to_string)
                    .collect(),
            };
            Ok(Some(format!("[{}]", values.join(","))))
        })
        .collect()
}
