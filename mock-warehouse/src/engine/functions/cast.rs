//! `x::TYPE`: Snowflake's conversions, with its errors for values that do not fit.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, StringArray,
        TimestampMicrosecondArray, TimestampNanosecondArray, new_null_array,
    },
    compute::cast,
    datatypes::{DataType, FieldRef, i256},
};
use chrono::{Datelike, NaiveDate, NaiveDateTime, Offset, TimeZone};
use datafusion::{
    common::{DataFusionError, Result},
    logical_expr::{ReturnFieldArgs, ScalarUDF},
};

use super::{
    Call, any_nullable, constant_text, function, json,
    number::rescale,
    text::{instant, nanoseconds, parse_zone, to_text},
    typed,
};
use crate::engine::{SqlError, sql_type::SqlType};

const NANOS_PER_DAY: i128 = 86_400_000_000_000;

/// `sf_cast(x, 'TYPE')` fails when a value does not fit, `sf_try_cast` yields NULL.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function("sf_cast_staged", |args| cast_field(args, any_nullable(args)), |call| convert(call, false)),
        function("sf_cast", |args| cast_field(args, any_nullable(args)), |call| convert(call, false)),
        function("sf_try_cast", |args| cast_field(args, true), |call| convert(call, true)),
    ]
}

fn cast_field(args: &ReturnFieldArgs<'_>, nullable: bool) -> Result<FieldRef> {
    let target = SqlType::parse(constant_text(args.scalar_arguments[1])?)?;
    Ok(Arc::new(target.field("cast", nullable)))
}

fn convert(call: &Call<'_>, lenient: bool) -> Result<ArrayRef> {
    let target = SqlType::parse(call.text(1)?)?;
    let array = &call.arrays[0];
    let source_is_json = SqlType::of(&call.arguments.arg_fields[0]).is_ok_and(SqlType::is_semi_structured);
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
        SqlType::Time | SqlType::Binary { .. } => Ok(cast(array, &target.arrow())?),
        SqlType::Variant | SqlType::Object | SqlType::Array => Ok(Arc::clone(array)),
    }
}

/// The value, or the error, or NULL when errors are not wanted.
fn settle<T>(value: Result<T, SqlError>, lenient: bool) -> Result<Option<T>> {
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
            .ok_or_else(|| SqlError::out_of_range(super::text::decimal(value.as_i128(), i8::try_from(from).unwrap_or(0))))
    };
    let mut values: Vec<Option<i128>> = Vec::with_capacity(array.len());
    match array.data_type() {
        DataType::Decimal128(_, from) => {
            for value in typed::<Decimal128Array>(array)? {
                values.push(match value {
                    Some(value) => settle(fitted(i256::from_i128(value), i32::from(*from)), lenient)?,
                    None => None,
                });
            }
        }
        DataType::Boolean => values.extend(
            typed::<BooleanArray>(array)?
                .iter()
                .map(|value| value.map(|value| i128::from(value) * 10i128.pow(scale.unsigned_abs().into()))),
        ),
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
    Ok(Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale)?))
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
        Some(at) => (&trimmed[..at], trimmed[at + 1..].parse::<i32>().map_err(|_| refuse())?),
        None => (trimmed, 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || all.len() > 76 || exponent.abs() > 76 || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refuse());
    }
    let value = i256::from_string(&all).ok_or_else(refuse)?;
    let value = if negative { value.wrapping_neg() } else { value };
    let scale = i32::try_from(fraction.len()).map_err(|_| refuse())? - exponent;
    if scale < 0 {
        return Ok((rescale(value, scale, 0), 0));
    }
    Ok((value, scale))
}

fn to_float(array: &ArrayRef, lenient: bool) -> Result<ArrayRef> {
    if !matches!(array.data_type(), DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8) {
        return Ok(cast(array, &DataType::Float64)?);
    }
    let mut values = Vec::with_capacity(array.len());
    for text in &to_text(array, "UTC")? {
        values.push(match text {
            Some(text) => settle(text.trim().parse::<f64>().map_err(|_| SqlError::not_a_number(text)), lenient)?,
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

fn to_boolean(array: &ArrayRef, lenient: bool) -> Result<ArrayRef> {
    let values: Result<Vec<Option<bool>>> = match array.data_type() {
        DataType::Boolean => return Ok(Arc::clone(array)),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => to_text(array, "UTC")?
            .iter()
            .map(|text| text.map_or(Ok(None), |text| settle(parse_boolean(text), lenient)))
            .collect(),
        _ => {
            let floats = cast(array, &DataType::Float64)?;
            Ok(typed::<Float64Array>(&floats)?.iter().map(|value| value.map(|value| value != 0.0)).collect())
        }
    };
    Ok(Arc::new(BooleanArray::from(values?)))
}

fn parse_boolean(text: &str) -> Result<bool, SqlError> {
    match text.trim().to_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Ok(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Ok(false),
        _ => Err(SqlError::new("100037", "22018", format!("Boolean value '{text}' is not recognized"))),
    }
}

fn to_date(array: &ArrayRef, zone: &str, lenient: bool) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Date32 => Ok(Arc::clone(array)),
        DataType::Timestamp(_, zoned) => {
            let zone = parse_zone(if zoned.is_some() { zone } else { "UTC" })?;
            let days: Date32Array = nanoseconds(array)?
                .into_iter()
                .map(|value| {
                    value.map(|value| {
                        let local = zone.from_utc_datetime(&instant(value).naive_utc()).naive_local();
                        local.date().num_days_from_ce() - 719_163
                    })
                })
                .collect();
            Ok(Arc::new(days))
        }
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => {
            let mut values = Vec::with_capacity(array.len());
            for text in &to_text(array, zone)? {
                values.push(match text {
                    Some(text) => settle(parse_date(text), lenient)?,
                    None => None,
                });
            }
            Ok(Arc::new(Date32Array::from(values)))
        }
        other => Err(SqlError::unsupported(format!("CAST FROM {other} TO DATE")).into()),
    }
}

fn parse_date(text: &str) -> Result<i32, SqlError> {
    let date = NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d")
        .ok()
        .or_else(|| parse_timestamp(text).ok().map(|(time, _)| time.date()));
    date.map(|date| date.num_days_from_ce() - 719_163)
        .ok_or_else(|| SqlError::new("100040", "22007", format!("Date '{text}' is not recognized")))
}

/// A time as written, and its offset from UTC in seconds if it has one.
fn parse_timestamp(text: &str) -> Result<(NaiveDateTime, Option<i32>), SqlError> {
    let trimmed = text.trim();
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(trimmed) {
        return Ok((time.naive_local(), Some(time.offset().local_minus_utc())));
    }
    for format in ["%Y-%m-%d %H:%M:%S%.f %z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z"] {
        if let Ok(time) = chrono::DateTime::parse_from_str(trimmed, format) {
            return Ok((time.naive_local(), Some(time.offset().local_minus_utc())));
        }
    }
    if let Some(utc) = trimmed.strip_suffix(" Z").or_else(|| trimmed.strip_suffix('Z')) {
        return parse_timestamp(utc).map(|(time, _)| (time, Some(0)));
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(trimmed, format) {
            return Ok((time, None));
        }
    }
    NaiveDate::parse_from_str(trimmed, "%Y-%m-%d")
        .ok()
        .and_then(|date| date.and_hms_opt(0, 0, 0))
        .map(|time| (time, None))
        .ok_or_else(|| SqlError::new("100035", "22007", format!("Timestamp '{text}' is not recognized")))
}

/// NTZ values are kept as if they were UTC; LTZ values are moments.
fn to_timestamp(array: &ArrayRef, scale: u8, zoned: bool, zone: &str, lenient: bool) -> Result<ArrayRef> {
    let tz = parse_zone(zone)?;
    let to_moment = |local: NaiveDateTime| {
        tz.from_local_datetime(&local)
            .earliest()
            .map_or(local, |time| time.naive_utc())
    };
    let nanos = |time: NaiveDateTime| {
        i128::from(time.and_utc().timestamp()) * 1_000_000_000 + i128::from(time.and_utc().timestamp_subsec_nanos())
    };
    let mut values: Vec<Option<i128>> = Vec::with_capacity(array.len());
    match array.data_type() {
        DataType::Timestamp(_, from) => {
            for value in nanoseconds(array)? {
                values.push(value.map(|value| match (from.is_some(), zoned) {
                    (true, false) => {
                        let utc = instant(value).naive_utc();
                        let offset = tz.offset_from_utc_datetime(&utc).fix().local_minus_utc();
                        value + i128::from(offset) * 1_000_000_000
                    }
                    (false, true) => nanos(to_moment(instant(value).naive_utc())),
                    _ => value,
                }));
            }
        }
        DataType::Date32 => {
            for days in typed::<Date32Array>(array)? {
                let midnight = days.map(|days| i128::from(days) * NANOS_PER_DAY);
                values.push(midnight.map(|value| if zoned { nanos(to_moment(instant(value).naive_utc())) } else { value }));
            }
        }
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => {
            for text in &to_text(array, zone)? {
                let parsed = text.map(|text| settle(parse_timestamp(text), lenient)).transpose()?.flatten();
                values.push(parsed.map(|(time, offset)| match (offset, zoned) {
                    (Some(offset), true) => nanos(time) - i128::from(offset) * 1_000_000_000,
                    (None, true) => nanos(to_moment(time)),
                    (_, false) => nanos(time),
                }));
            }
        }
        other => return Err(SqlError::unsupported(format!("CAST FROM {other} TO TIMESTAMP")).into()),
    }
    timestamps(values, scale, zoned)
}

/// The array for nanoseconds since 1970, cut to the scale.
pub(super) fn timestamps(values: Vec<Option<i128>>, scale: u8, zoned: bool) -> Result<ArrayRef> {
    let cut = 10i128.pow(9 - u32::from(scale.min(9)));
    let unit = if scale > 6 { 1 } else { 1_000 };
    let mut whole = Vec::with_capacity(values.len());
    for value in values {
        whole.push(match value {
            Some(value) => Some(i64::try_from(value.div_euclid(cut) * cut / unit).map_err(|_| {
                DataFusionError::from(SqlError::out_of_range(instant(value).format("%Y-%m-%d %H:%M:%S")))
            })?),
            None => None,
        });
    }
    let zone = zoned.then(|| Arc::<str>::from("UTC"));
    Ok(if scale > 6 {
        Arc::new(TimestampNanosecondArray::from(whole).with_timezone_opt(zone))
    } else {
        Arc::new(TimestampMicrosecondArray::from(whole).with_timezone_opt(zone))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly() {
        for (text, value, scale) in [("12.50", 1250, 2), ("-0.005", -5, 3), ("1e3", 1000, 0), (" +7 ", 7, 0)] {
            assert_eq!(parse_decimal(text).unwrap(), (i256::from_i128(value), scale), "{text}");
        }
        for text in ["abc", "", "-", "1.2.3", "0x10", "1e"] {
            assert!(parse_decimal(text).is_err(), "{text}");
        }
    }
}
