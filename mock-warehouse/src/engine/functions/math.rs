//! Functions of floats, and what is in the middle of numbers.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, Decimal128Array, Float64Array, ListArray},
    compute::cast,
    datatypes::{DataType, Field, i256},
};
use datafusion::{
    common::Result,
    logical_expr::{ReturnFieldArgs, ScalarUDF},
};

use super::{Call, any_nullable, constant_text, function, number::rescale, typed};
use crate::engine::SqlError;

/// `sf_math('name', x)`, `sf_math('name', x, y)`, `sf_percentile(list, fraction, 'CONT' or 'DISC')`
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function(
            "sf_math",
            |args| {
                Ok(Arc::new(Field::new(
                    "float",
                    DataType::Float64,
                    any_nullable(args),
                )))
            },
            compute,
        ),
        function("sf_percentile", percentile_field, percentile),
    ]
}

fn compute(call: &Call<'_>) -> Result<ArrayRef> {
    let name = call.text(0)?;
    let floats = call.arrays[1..]
        .iter()
        .map(|array| cast(array, &DataType::Float64))
        .collect::<Result<Vec<_>, _>>()?;
    let first = typed::<Float64Array>(&floats[0])?;
    let second = floats.get(1).map(typed::<Float64Array>).transpose()?;
    let mut values = Vec::with_capacity(first.len());
    for row in 0..first.len() {
        if first.is_null(row) || second.is_some_and(|second| second.is_null(row)) {
            values.push(None);
            continue;
        }
        let (x, y) = (
            first.value(row),
            second.map_or(0.0, |second| second.value(row)),
        );
        let value = of(name, x, y);
        if value.is_nan() && !x.is_nan() && !y.is_nan() || value.is_infinite() && x.is_finite() {
            return Err(undefined(name, x).into());
        }
        values.push(Some(value));
    }
    Ok(Arc::new(Float64Array::from(values)))
}

/// Where a function has no value. The text is the documentation's, the code unproven.
fn undefined(name: &str, x: f64) -> SqlError {
    SqlError::new(
        "100044",
        "22003",
        format!(
            "Invalid floating point operation: {}({x})",
            name.to_lowercase()
        ),
    )
}

fn of(name: &str, x: f64, y: f64) -> f64 {
    match name {
        "SQRT" => x.sqrt(),
        "CBRT" => x.cbrt(),
        "SQUARE" => x * x,
        "EXP" => x.exp(),
        "LN" => x.ln(),
        "LOG" => y.ln() / x.ln(),
        "POWER" => x.powf(y),
        "SIN" => x.sin(),
        "COS" => x.cos(),
        "TAN" => x.tan(),
        "ASIN" => x.asin(),
        "ACOS" => x.acos(),
        "ATAN" => x.atan(),
        "ATAN2" => x.atan2(y),
        "DEGREES" => x.to_degrees(),
        "RADIANS" => x.to_radians(),
        _ => f64::NAN,
    }
}

/// The type of the numbers in a list.
fn element(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::List(item) => Some(item.data_type().clone()),
        _ => None,
    }
}

/// Digits that an interpolated NUMBER has more than the values; unproven.
const MORE_DIGITS: i8 = 3;

fn percentile_field(args: &ReturnFieldArgs<'_>) -> Result<Arc<Field>> {
    let between = constant_text(args.scalar_arguments[2])? == "CONT";
    let sql_type = match element(args.arg_fields[0].data_type()) {
        Some(DataType::Decimal128(precision, scale)) if between => {
            DataType::Decimal128((precision + 3).min(38), (scale + MORE_DIGITS).min(37))
        }
        Some(same @ DataType::Decimal128(..)) => same,
        Some(DataType::Float64) => DataType::Float64,
        other => {
            return Err(SqlError::unsupported(format!("PERCENTILE OF {other:?}")).into());
        }
    };
    Ok(Arc::new(Field::new("percentile", sql_type, true)))
}

fn percentile(call: &Call<'_>) -> Result<ArrayRef> {
    let between = call.text(2)? == "CONT";
    let fraction: f64 = call
        .text(1)?
        .parse()
        .ok()
        .filter(|part| (0.0..=1.0).contains(part))
        .ok_or_else(|| {
            SqlError::syntax("the fraction of a percentile is a constant between 0 and 1")
        })?;
    let lists = typed::<ListArray>(&call.arrays[0])?;
    let wanted = call.arguments.return_field.data_type().clone();
    if let DataType::Decimal128(precision, scale) = wanted {
        let mut values = Vec::with_capacity(lists.len());
        for row in 0..lists.len() {
            values.push(decimal_of(&lists.value(row), fraction, between, scale)?);
        }
        return Ok(Arc::new(
            Decimal128Array::from(values).with_precision_and_scale(precision, scale)?,
        ));
    }
    let values = (0..lists.len()).map(|row| {
        let list = lists.value(row);
        let mut floats: Vec<f64> = typed::<Float64Array>(&list)?.iter().flatten().collect();
        floats.sort_by(f64::total_cmp);
        Ok(place(floats.len(), fraction, between).map(|(low, rest)| {
            let high = floats.get(low + 1).copied().unwrap_or(floats[low]);
            floats[low] + (high - floats[low]) * rest
        }))
    });
    Ok(Arc::new(values.collect::<Result<Float64Array>>()?))
}

/// The position of the value, and how far the result is on the way to the next one.
fn place(count: usize, fraction: f64, between: bool) -> Option<(usize, f64)> {
    if count == 0 {
        return None;
    }
    if !between {
        let rank = (fraction * count as f64).ceil() as usize;
        return Some((rank.max(1) - 1, 0.0));
    }
    let exact = fraction * (count - 1) as f64;
    Some((exact.floor() as usize, exact.fract()))
}

fn decimal_of(list: &ArrayRef, fraction: f64, between: bool, scale: i8) -> Result<Option<i128>> {
    let decimals = typed::<Decimal128Array>(list)?;
    let from = decimals.scale();
    let mut values: Vec<i128> = decimals.iter().flatten().collect();
    values.sort_unstable();
    let Some((low, rest)) = place(values.len(), fraction, between) else {
        return Ok(None);
    };
    let scaled = |value: i128| rescale(i256::from_i128(value), from.into(), scale.into()).to_i128();
    let high = values.get(low + 1).copied().unwrap_or(values[low]);
    let (Some(low), Some(high)) = (scaled(values[low]), scaled(high)) else {
        return Err(SqlError::out_of_range(values[low]).into());
    };
    Ok(Some(low + ((high - low) as f64 * rest).round() as i128))
}
