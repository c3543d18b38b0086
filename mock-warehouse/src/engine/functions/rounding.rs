//! ROUND, TRUNC, FLOOR, CEIL and ABS; rounding is half away from zero.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Decimal128Array, Float64Array},
    compute::cast,
    datatypes::{DataType, Field, FieldRef},
};
use datafusion::{
    common::{DataFusionError, Result, ScalarValue},
    logical_expr::{ReturnFieldArgs, ScalarUDF},
};

use super::{Call, function, number::as_decimal, text, typed};
use crate::engine::SqlError;

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function("sf_round", round_field, |call| {
            shorten(
                call,
                |value, unit| {
                    let half = unit / 2;
                    if value < 0 {
                        (value - half) / unit
                    } else {
                        (value + half) / unit
                    }
                },
                f64::round,
            )
        }),
        function("sf_trunc", round_field, |call| {
            shorten(call, |value, unit| value / unit, f64::trunc)
        }),
        function("sf_floor", round_field, |call| {
            shorten(call, i128::div_euclid, f64::floor)
        }),
        function("sf_ceil", round_field, |call| {
            shorten(call, |value, unit| -(-value).div_euclid(unit), f64::ceil)
        }),
        function(
            "sf_abs",
            |args| Ok(Arc::clone(&args.arg_fields[0])),
            absolute,
        ),
    ]
}

/// The digits to keep: a constant, 0 when none is given.
fn places(scalar: Option<&ScalarValue>) -> Result<i32> {
    let array = match scalar {
        None => return Ok(0),
        Some(scalar) => scalar.to_array()?,
    };
    let text = text::to_text(&array, "UTC")?;
    text.value(0)
        .parse()
        .map_err(|_| SqlError::unsupported("ROUND WITH A VARIABLE SCALE").into())
}

fn round_field(args: &ReturnFieldArgs<'_>) -> Result<FieldRef> {
    let field = &args.arg_fields[0];
    let Some((precision, scale)) = as_decimal(field.data_type()) else {
        return Ok(Arc::new(Field::new(
            "number",
            DataType::Float64,
            field.is_nullable(),
        )));
    };
    let wanted = match args.scalar_arguments.get(1) {
        Some(None) => return Err(SqlError::unsupported("ROUND WITH A VARIABLE SCALE").into()),
        Some(scalar) => places(*scalar)?,
        None => 0,
    };
    let kept =
        i8::try_from(wanted.clamp(0, i32::from(scale.max(0)))).expect("no more than a scale");
    let whole = i32::from(precision) - i32::from(scale) + 1;
    let digits = u8::try_from((whole + i32::from(kept)).clamp(1, 38)).expect("at most 38");
    Ok(Arc::new(Field::new(
        "number",
        DataType::Decimal128(digits, kept),
        field.is_nullable(),
    )))
}

fn shorten(
    call: &Call<'_>,
    exact: fn(i128, i128) -> i128,
    float: fn(f64) -> f64,
) -> Result<ArrayRef> {
    let wanted = match call.arrays.get(1) {
        None => 0,
        Some(array) => places(Some(&ScalarValue::try_from_array(array, 0)?))?,
    };
    let Some((precision, scale)) = as_decimal(call.arrays[0].data_type()) else {
        let values = cast(&call.arrays[0], &DataType::Float64)?;
        let unit = 10f64.powi(wanted);
        let shortened: Float64Array = typed::<Float64Array>(&values)?
            .iter()
            .map(|value| value.map(|value| float(value * unit) / unit))
            .collect();
        return Ok(Arc::new(shortened));
    };
    let DataType::Decimal128(to_precision, to_scale) = call.arguments.return_field.data_type()
    else {
        return Err(DataFusionError::Internal(
            "a decimal rounds to a decimal".to_owned(),
        ));
    };
    let values = cast(&call.arrays[0], &DataType::Decimal128(precision, scale))?;
    let dropped = u32::try_from(i32::from(scale) - wanted).unwrap_or(0);
    let unit = 10i128.checked_pow(dropped).unwrap_or(i128::MAX);
    let back = 10i128
        .checked_pow(u32::try_from(-wanted).unwrap_or(0))
        .unwrap_or(i128::MAX);
    let values: Vec<Option<i128>> = typed::<Decimal128Array>(&values)?
        .iter()
        .map(|value| {
            value.map(|value| {
                if dropped == 0 {
                    value
                } else {
                    exact(value, unit) * back
                }
            })
        })
        .collect();
    Ok(Arc::new(
        Decimal128Array::from(values).with_precision_and_scale(*to_precision, *to_scale)?,
    ))
}

fn absolute(call: &Call<'_>) -> Result<ArrayRef> {
    let array = &call.arrays[0];
    Ok(match array.data_type() {
        DataType::Decimal128(precision, scale) => {
            let values: Decimal128Array = typed::<Decimal128Array>(array)?
                .iter()
                .map(|value| value.map(i128::abs))
                .collect();
            Arc::new(values.with_precision_and_scale(*precision, *scale)?)
        }
        DataType::Float64 => {
            let values: Float64Array = typed::<Float64Array>(array)?
                .iter()
                .map(|value| value.map(f64::abs))
                .collect();
            Arc::new(values)
        }
        other => return Err(SqlError::unsupported(format!("ABS of {other}")).into()),
    })
}
