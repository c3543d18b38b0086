//! `x::TYPE`: Snowflake's conversions, with its errors for values that do not fit.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float64Array, StringArray,
        new_null_array,
    },
    compute::cast,
    datatypes::{DataType, FieldRef, i256},
};
use datafusion::{
    common::Result,
    logical_expr::{ReturnFieldArgs, ScalarUDF},
};

use super::{
    Call, any_nullable, constant_text, function,
    geo::{Space, to_geo},
    json,
    number::rescale,
    text::to_text,
    times::{cut_time, to_date, to_time, to_timestamp},
    typed,
    vector::to_vector,
    zoned::to_zoned,
};
use crate::engine::{SqlError, sql_type::SqlType};

/// `sf_cast(x, 'TYPE')` fails when a value does not fit, `sf_try_cast` yields NULL.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function(
            "sf_cast_staged",
            |args| cast_field(args, any_nullable(args)),
            |call| convert(call, false),
        ),
        function(
            "sf_cast",
            |args| cast_field(args, any_nullable(args)),
            |call| convert(call, false),
        ),
        function(
            "sf_try_cast",
            |args| cast_field(args, true),
            |call| convert(call, true),
        ),
    ]
}

fn cast_field(args: &ReturnFieldArgs<'_>, nullable: bool) -> Result<FieldRef> {
    let target = SqlType::parse(constant_text(args.scalar_arguments[1])?)?;
    // Snowflake does not promise a value here, whatever it is made of.
    let nullable = nullable || matches!(target, SqlType::Vector { .. });
    Ok(Arc::new(target.field("cast", nullable)))
}

fn convert(call: &Call<'_>, lenient: bool) -> Result<ArrayRef> {
    let target = SqlType::parse(call.text(1)?)?;
    let array = &call.arrays[0];
    let source = SqlType::of(&call.arguments.arg_fields[0]).ok();
    let source_is_json = source.is_some_and(SqlType::is_semi_structured);
    match (source, target) {
        (Some(source), target) if source == target && source.is_json() => {
            return Ok(Arc::clone(array));
        }
        (Some(source), target) if source.is_geospatial() && !is_text(target) => {
            return Err(SqlError::unsupported(format!("CAST FROM {source} TO {target}")).into());
        }
        (Some(SqlType::Array), SqlType::Vector { element, dimension }) => {
            return to_vector(array, element, dimension, lenient);
        }
        _ => {}
    }
    if let SqlType::Varchar { length } = target
        && let Some(texts) = call.formats().written(array, call.zone)?
    {
        let texts: ArrayRef = Arc::new(texts);
        return to_varchar(&texts, length, call.zone, lenient);
    }
    if source_is_json && !target.is_semi_structured() {
        // A VARIANT's text, number or boolean is cast as what it holds.
        let plain: ArrayRef = Arc::new(json::scalars(array)?);
        return to_type(&plain, target, call.zone, lenient);
    }
    if !source_is_json && target.is_semi_structured() {
        return Ok(Arc::new(json::from_values(array, call.zone)?));
    }
    to_type(array, target, call.zone, lenient)
}

fn to_type(array: &ArrayRef, target: SqlType, zone: &str, lenient: bool) -> Result<ArrayRef> {
    if array.data_type() == &DataType::Null {
        return Ok(new_null_array(&target.arrow(), array.len()));
    }
    match target {
        SqlType::Number { precision, scale } => to_number(array, precision, scale, lenient),
        SqlType::Float => to_float(array, lenient),
        SqlType::Varchar { length } => to_varchar(array, length, zone, lenient),
        SqlType::Boolean => to_boolean(array, lenient),
        SqlType::Date => to_date(array, zone, lenient),
        SqlType::TimestampNtz { scale } => to_timestamp(array, scale, false, zone, lenient),
        SqlType::TimestampLtz { scale } => to_timestamp(array, scale, true, zone, lenient),
        SqlType::TimestampTz { scale } => to_zoned(array, scale, zone, lenient),
        SqlType::Time | SqlType::ShortTime { .. } => {
            cut_time(&to_time(array, zone, lenient)?, target.time_scale())
        }
        SqlType::Binary { length } => to_binary(array, length, lenient),
        SqlType::Geography => to_geo(array, Space::Globe, lenient),
        SqlType::Geometry => to_geo(array, Space::Plane, lenient),
        SqlType::Vector { .. } if array.data_type() == &target.arrow() => Ok(Arc::clone(array)),
        SqlType::Vector { .. } => Err(SqlError::unsupported(format!("CAST TO {target}")).into()),
        SqlType::Variant | SqlType::Object | SqlType::Array => Ok(Arc::clone(array)),
    }
}

/// The value, or the error, or NULL when errors are not wanted.
pub(super) fn settle<T>(value: Result<T, SqlError>, lenient: bool) -> Result<Option<T>> {
    match value {
        Ok(value) => Ok(Some(value)),
        Err(_) if lenient => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn to_number(array: &ArrayRef, precision: u8, scale: i8, lenient: bool) -> Result<ArrayRef> {
    let limit = 10i128.pow(u32::from(precision));
    let fitted = |value: i256, from: i32| {
        rescale(value, from, i32::from(scale))
            .to_i128()
            .filter(|value| value.abs() < limit)
            .ok_or_else(|| {
                SqlError::out_of_range(super::text::decimal(
                    value.as_i128(),
                    i8::try_from(from).unwrap_or(0),
                ))
            })
    };
    let mut values: Vec<Option<i128>> = Vec::with_capacity(array.len());
    match array.data_type() {
        DataType::Decimal128(_, from) => {
            for value in typed::<Decimal128Array>(array)? {
                values.push(match value {
                    Some(value) => {
                        settle(fitted(i256::from_i128(value), i32::from(*from)), lenient)?
                    }
                    None => None,
                });
            }
        }
        DataType::Boolean => values.extend(typed::<BooleanArray>(array)?.iter().map(|value| {
            value.map(|value| i128::from(value) * 10i128.pow(scale.unsigned_abs().into()))
        })),
        DataType::Float64 | DataType::Float32 => {
            let floats = cast(array, &DataType::Float64)?;
            for value in typed::<Float64Array>(&floats)? {
                values.push(match value {
                    Some(value) => settle(number_of_float(value, scale, limit), lenient)?,
                    None => None,
                });
            }
        }
        kind if kind.is_integer() => {
            let decimals = cast(array, &DataType::Decimal128(20, 0))?;
            return to_number(&decimals, precision, scale, lenient);
        }
        _ => {
            for text in &to_text(array, "UTC")? {
                values.push(match text {
                    Some(text) => settle(
                        parse_decimal(text).and_then(|(value, from)| fitted(value, from)),
                        lenient,
                    )?,
                    None => None,
                });
            }
        }
    }
    Ok(Arc::new(
        Decimal128Array::from(values).with_precision_and_scale(precision, scale)?,
    ))
}

fn number_of_float(value: f64, scale: i8, limit: i128) -> Result<i128, SqlError> {
    let scaled = (value * 10f64.powi(scale.into())).round();
    if !scaled.is_finite() || scaled.abs() >= limit as f64 {
        return Err(SqlError::out_of_range(value));
    }
    Ok(scaled as i128)
}

/// A number's digits and how many of them are behind the point.
fn parse_decimal(text: &str) -> Result<(i256, i32), SqlError> {
    let refuse = || SqlError::not_a_number(text);
    let trimmed = text.trim();
    let (mantissa, exponent) = match trimmed.find(['e', 'E']) {
        Some(at) => (
            &trimmed[..at],
            trimmed[at + 1..].parse::<i32>().map_err(|_| refuse())?,
        ),
        None => (trimmed, 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty()
        || all.len() > 76
        || exponent.abs() > 76
        || !all.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err(refuse());
    }
    let value = i256::from_string(&all).ok_or_else(refuse)?;
    let value = if negative {
        value.wrapping_neg()
    } else {
        value
    };
    let scale = i32::try_from(fraction.len()).map_err(|_| refuse())? - exponent;
    if scale < 0 {
        return Ok((rescale(value, scale, 0), 0));
    }
    Ok((value, scale))
}

fn to_float(array: &ArrayRef, lenient: bool) -> Result<ArrayRef> {
    if !matches!(
        array.data_type(),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8
    ) {
        return Ok(cast(array, &DataType::Float64)?);
    }
    let mut values = Vec::with_capacity(array.len());
    for text in &to_text(array, "UTC")? {
        values.push(match text {
            Some(text) => settle(
                text.trim()
                    .parse::<f64>()
                    .map_err(|_| SqlError::not_a_number(text)),
                lenient,
            )?,
            None => None,
        });
    }
    Ok(Arc::new(Float64Array::from(values)))
}

fn to_varchar(array: &ArrayRef, length: u64, zone: &str, lenient: bool) -> Result<ArrayRef> {
    let texts = to_text(array, zone)?;
    let fits = |text: &str| text.len() as u64 <= length || text.chars().count() as u64 <= length;
    if texts.iter().flatten().all(fits) {
        return Ok(Arc::new(texts));
    }
    let mut values = Vec::with_capacity(texts.len());
    for text in &texts {
        values.push(match text {
            Some(text) if !fits(text) => settle(
                Err::<String, _>(SqlError::new(
                    "100078",
                    "22000",
                    format!("String '{text}' is too long and would be truncated"),
                )),
                lenient,
            )?,
            other => other.map(str::to_owned),
        });
    }
    Ok(Arc::new(StringArray::from(values)))
}

fn is_text(target: SqlType) -> bool {
    matches!(target, SqlType::Varchar { .. })
}

/// Text is read as hexadecimal digits.
fn to_binary(array: &ArrayRef, length: u64, lenient: bool) -> Result<ArrayRef> {
    let mut values: Vec<Option<Vec<u8>>> = Vec::with_capacity(array.len());
    match array.data_type() {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            let binary = cast(array, &DataType::Binary)?;
            values.extend(
                typed::<BinaryArray>(&binary)?
                    .iter()
                    .map(|value| value.map(<[u8]>::to_vec)),
            );
        }
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => {
            for text in &to_text(array, "UTC")? {
                let parsed = text.map(|text| settle(from_hex(text), lenient));
                values.push(parsed.transpose()?.flatten());
            }
        }
        other => return Err(SqlError::unsupported(format!("CAST FROM {other} TO BINARY")).into()),
    }
    let too_long = |value: &Vec<u8>| value.len() as u64 > length;
    if values.iter().flatten().any(too_long) {
        return Err(SqlError::new(
            "100145",
            "22000",
            format!("Binary value is longer than {length} bytes and would be truncated"),
        )
        .into());
    }
    Ok(Arc::new(
        values.iter().map(Option::as_deref).collect::<BinaryArray>(),
    ))
}

fn from_hex(text: &str) -> Result<Vec<u8>, SqlError> {
    let refuse = || {
        SqlError::new(
            "100115",
            "22000",
            format!("The following string is not a legal hex-encoded value: '{text}'"),
        )
    };
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(refuse());
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| refuse()))
        .collect()
}

fn to_boolean(array: &ArrayRef, lenient: bool) -> Result<ArrayRef> {
    let values: Result<Vec<Option<bool>>> = match array.data_type() {
        DataType::Boolean => return Ok(Arc::clone(array)),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => to_text(array, "UTC")?
            .iter()
            .map(|text| text.map_or(Ok(None), |text| settle(parse_boolean(text), lenient)))
            .collect(),
        _ => {
            let floats = cast(array, &DataType::Float64)?;
            Ok(typed::<Float64Array>(&floats)?
                .iter()
                .map(|value| value.map(|value| value != 0.0))
                .collect())
        }
    };
    Ok(Arc::new(BooleanArray::from(values?)))
}

fn parse_boolean(text: &str) -> Result<bool, SqlError> {
    match text.trim().to_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Ok(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Ok(false),
        _ => Err(SqlError::new(
            "100037",
            "22018",
            format!("Boolean value '{text}' is not recognized"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly() {
        for (text, value, scale) in [
            ("12.50", 1250, 2),
            ("-0.005", -5, 3),
            ("1e3", 1000, 0),
            (" +7 ", 7, 0),
        ] {
            assert_eq!(
                parse_decimal(text).unwrap(),
                (i256::from_i128(value), scale),
                "{text}"
            );
        }
        for text in ["abc", "", "-", "1.2.3", "0x10", "1e"] {
            assert!(parse_decimal(text).is_err(), "{text}");
        }
    }
}
