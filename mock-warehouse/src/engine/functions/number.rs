//! Exact arithmetic with Snowflake's result scales; rounding is half away from zero.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, Decimal128Array, Float64Array},
    compute::cast,
    datatypes::{DataType, Field, FieldRef, i256},
};
use datafusion::{
    common::{DataFusionError, Result},
    logical_expr::{ReturnFieldArgs, ScalarUDF},
};

use super::{Call, any_nullable, function, text, typed};
use crate::engine::SqlError;

/// Most digits of a NUMBER.
const MAX_PRECISION: u8 = 38;

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function("sf_div", |args| Ok(binary_field(args, division_type, any_nullable(args))), |call| {
            binary(call, division_type, |left, right, scale| {
                divide(left.0, right.0, scale + i32::from(right.1) - i32::from(left.1)).map(Some)
            }, |left, right| {
                if right == 0.0 {
                    return Err(SqlError::division_by_zero().into());
                }
                Ok(left / right)
            })
        }),
        function("sf_div0", |args| Ok(binary_field(args, division_type, any_nullable(args))), |call| {
            binary(call, division_type, |left, right, scale| {
                if right.0 == 0 {
                    return Ok(Some(i256::ZERO));
                }
                divide(left.0, right.0, scale + i32::from(right.1) - i32::from(left.1)).map(Some)
            }, |left, right| Ok(if right == 0.0 { 0.0 } else { left / right }))
        }),
        function("sf_mul", |args| Ok(binary_field(args, product_type, any_nullable(args))), |call| {
            binary(call, product_type, |left, right, scale| {
                let product = i256::from_i128(left.0).wrapping_mul(i256::from_i128(right.0));
                Ok(Some(rescale(product, i32::from(left.1) + i32::from(right.1), scale)))
            }, |left, right| Ok(left * right))
        }),
        function("sf_wide", wide_field, |call| Ok(cast(&call.arrays[0], &wide_type(call.arrays[0].data_type()))?)),
        function("sf_round", round_field, |call| {
            shorten(call, |value, unit| {
                let half = unit / 2;
                if value < 0 { (value - half) / unit } else { (value + half) / unit }
            }, f64::round)
        }),
        function("sf_trunc", round_field, |call| shorten(call, |value, unit| value / unit, f64::trunc)),
        function("sf_floor", round_field, |call| shorten(call, i128::div_euclid, f64::floor)),
        function("sf_ceil", round_field, |call| shorten(call, |value, unit| -(-value).div_euclid(unit), f64::ceil)),
        function("sf_abs", |args| Ok(Arc::clone(&args.arg_fields[0])), absolute),
    ]
}

/// A number that is no float, as a decimal.
fn as_decimal(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Decimal128(precision, scale) => Some((*precision, *scale)),
        DataType::Null => Some((1, 0)),
        other if other.is_integer() => Some((20, 0)),
        _ => None,
    }
}

/// The scale of a division: six digits more than the dividend's, but no more than twelve.
fn division_type(left: (u8, i8), right: (u8, i8)) -> (u8, i8) {
    let scale = left.1.max((left.1 + 6).min(12));
    let whole = i32::from(left.0) - i32::from(left.1) + i32::from(right.1);
    (precision(whole + i32::from(scale)), scale)
}

/// The scale of a product: the sum of both, but no more than twelve unless a factor has more.
fn product_type(left: (u8, i8), right: (u8, i8)) -> (u8, i8) {
    let scale = (left.1 + right.1).min(left.1.max(right.1).max(12));
    let whole = i32::from(left.0) - i32::from(left.1) + i32::from(right.0) - i32::from(right.1);
    (precision(whole + i32::from(scale)), scale)
}

fn precision(digits: i32) -> u8 {
    u8::try_from(digits.clamp(1, i32::from(MAX_PRECISION))).expect("at most 38")
}

type TypeOf = fn((u8, i8), (u8, i8)) -> (u8, i8);

fn binary_field(args: &ReturnFieldArgs<'_>, type_of: TypeOf, nullable: bool) -> FieldRef {
    let result = match (
        as_decimal(args.arg_fields[0].data_type()),
        as_decimal(args.arg_fields[1].data_type()),
    ) {
        (Some(left), Some(right)) => {
            let (precision, scale) = type_of(left, right);
            DataType::Decimal128(precision, scale)
        }
        _ => DataType::Float64,
    };
    Arc::new(Field::new("number", result, nullable))
}

/// A decimal and its scale.
type Decimal = (i128, i8);

fn binary(
    call: &Call<'_>,
    type_of: TypeOf,
    operate: fn(Decimal, Decimal, i32) -> Result<Option<i256>>,
    float: fn(f64, f64) -> Result<f64>,
) -> Result<ArrayRef> {
    let kinds = (as_decimal(call.arrays[0].data_type()), as_decimal(call.arrays[1].data_type()));
    let (Some(left_type), Some(right_type)) = kinds else {
        return floats(call, float);
    };
    let (_, scale) = type_of(left_type, right_type);
    // What is declared wins: the arguments may have been widened since.
    let (precision, scale) = match call.arguments.return_field.data_type() {
        DataType::Decimal128(precision, scale) => (*precision, *scale),
        _ => (MAX_PRECISION, scale),
    };
    let left = cast(&call.arrays[0], &DataType::Decimal128(left_type.0, left_type.1))?;
    let right = cast(&call.arrays[1], &DataType::Decimal128(right_type.0, right_type.1))?;
    let (left, right) = (typed::<Decimal128Array>(&left)?, typed::<Decimal128Array>(&right)?);
    let mut values = Vec::with_capacity(left.len());
    for (left, right) in left.iter().zip(right) {
        values.push(match (left, right) {
            (Some(left), Some(right)) => operate((left, left_type.1), (right, right_type.1), i32::from(scale))?
                .map(|value| value.to_i128().ok_or_else(|| SqlError::out_of_range(value)))
                .transpose()?,
            _ => None,
        });
    }
    Ok(Arc::new(
        Decimal128Array::from(values).with_precision_and_scale(precision, scale)?,
    ))
}

fn floats(call: &Call<'_>, operate: fn(f64, f64) -> Result<f64>) -> Result<ArrayRef> {
    let left = cast(&call.arrays[0], &DataType::Float64)?;
    let right = cast(&call.arrays[1], &DataType::Float64)?;
    let (left, right) = (typed::<Float64Array>(&left)?, typed::<Float64Array>(&right)?);
    let values: Result<Vec<Option<f64>>> = left
        .iter()
        .zip(right)
        .map(|pair| match pair {
            (Some(left), Some(right)) => operate(left, right).map(Some),
            _ => Ok(None),
        })
        .collect();
    Ok(Arc::new(Float64Array::from(values?)))
}

/// `left / right`, times ten to the power of `shift`.
fn divide(left: i128, right: i128, shift: i32) -> Result<i256> {
    if right == 0 {
        return Err(SqlError::division_by_zero().into());
    }
    let (mut numerator, mut denominator) = (i256::from_i128(left), i256::from_i128(right));
    let power = power_of_ten(shift.unsigned_abs());
    if shift >= 0 {
        numerator = numerator.checked_mul(power).ok_or_else(|| SqlError::out_of_range(left))?;
    } else {
        denominator = denominator.checked_mul(power).ok_or_else(|| SqlError::out_of_range(right))?;
    }
    Ok(rounded_quotient(numerator, denominator))
}

/// The quotient, rounded half away from zero.
fn rounded_quotient(numerator: i256, denominator: i256) -> i256 {
    let quotient = numerator.wrapping_div(denominator);
    let rest = numerator.wrapping_rem(denominator).wrapping_abs();
    if rest.wrapping_mul(i256::from_i128(2)) < denominator.wrapping_abs() {
        return quotient;
    }
    let negative = (numerator < i256::ZERO) != (denominator < i256::ZERO);
    let step = i256::from_i128(if negative { -1 } else { 1 });
    quotient.wrapping_add(step)
}

fn power_of_ten(exponent: u32) -> i256 {
    i256::from_i128(10).checked_pow(exponent).unwrap_or(i256::MAX)
}

/// The value of one scale in another, rounded half away from zero.
pub(super) fn rescale(value: i256, from: i32, to: i32) -> i256 {
    if to >= from {
        return value.wrapping_mul(power_of_ten((to - from).unsigned_abs()));
    }
    rounded_quotient(value, power_of_ten((from - to).unsigned_abs()))
}

fn wide_type(data_type: &DataType) -> DataType {
    as_decimal(data_type).map_or_else(|| data_type.clone(), |(_, scale)| DataType::Decimal128(MAX_PRECISION, scale))
}

fn wide_field(args: &ReturnFieldArgs<'_>) -> Result<FieldRef> {
    let field = &args.arg_fields[0];
    Ok(Arc::new(Field::new("sum", wide_type(field.data_type()), field.is_nullable())))
}

/// The digits to keep: a constant, 0 when none is given.
fn places(scalar: Option<&datafusion::common::ScalarValue>) -> Result<i32> {
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
        return Ok(Arc::new(Field::new("number", DataType::Float64, field.is_nullable())));
    };
    let wanted = match args.scalar_arguments.get(1) {
        Some(None) => return Err(SqlError::unsupported("ROUND WITH A VARIABLE SCALE").into()),
        Some(scalar) => places(*scalar)?,
        None => 0,
    };
    let kept = i8::try_from(wanted.clamp(0, i32::from(scale.max(0)))).expect("no more than a scale");
    let whole = i32::from(precision) - i32::from(scale) + 1;
    let digits = u8::try_from((whole + i32::from(kept)).clamp(1, 38)).expect("at most 38");
    Ok(Arc::new(Field::new("number", DataType::Decimal128(digits, kept), field.is_nullable())))
}

fn shorten(call: &Call<'_>, exact: fn(i128, i128) -> i128, float: fn(f64) -> f64) -> Result<ArrayRef> {
    let wanted = match call.arrays.get(1) {
        None => 0,
        Some(array) => places(Some(&datafusion::common::ScalarValue::try_from_array(array, 0)?))?,
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
    let DataType::Decimal128(to_precision, to_scale) = call.arguments.return_field.data_type() else {
        return Err(DataFusionError::Internal("a decimal rounds to a decimal".to_owned()));
    };
    let values = cast(&call.arrays[0], &DataType::Decimal128(precision, scale))?;
    let dropped = u32::try_from(i32::from(scale) - wanted).unwrap_or(0);
    let unit = 10i128.checked_pow(dropped).unwrap_or(i128::MAX);
    let back = 10i128.checked_pow(u32::try_from(-wanted).unwrap_or(0)).unwrap_or(i128::MAX);
    let values: Vec<Option<i128>> = typed::<Decimal128Array>(&values)?
        .iter()
        .map(|value| value.map(|value| if dropped == 0 { value } else { exact(value, unit) * back }))
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
            let values: Float64Array = typed::<Float64Array>(array)?.iter().map(|value| value.map(f64::abs)).collect();
            Arc::new(values)
        }
        other => return Err(SqlError::unsupported(format!("ABS of {other}")).into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_round_half_away_from_zero() {
        for (left, right, shift, expected) in [(1, 2, 0, 1), (-1, 2, 0, -1), (1, 3, 6, 333_333), (2, 3, 6, 666_667), (49, 100, 0, 0)] {
            assert_eq!(
                divide(left, right, shift).unwrap(),
                i256::from_i128(expected),
                "{left}/{right} shifted by {shift}"
            );
        }
    }

    #[test]
    fn scales_are_snowflakes() {
        assert_eq!(division_type((1, 0), (1, 0)).1, 6);
        assert_eq!(division_type((18, 2), (18, 0)).1, 8);
        assert_eq!(division_type((38, 20), (18, 0)).1, 20);
        assert_eq!(product_type((10, 2), (10, 2)), (20, 4));
        assert_eq!(product_type((20, 8), (20, 8)).1, 12);
    }
}
