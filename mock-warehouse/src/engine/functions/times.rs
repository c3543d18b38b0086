//! Dates and timestamps from text and from each other.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, Date32Array, Time64NanosecondArray, TimestampMicrosecondArray,
        TimestampNanosecondArray,
    },
    compute::cast,
    datatypes::{DataType, TimeUnit},
};
use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Timelike};
use datafusion::common::{DataFusionError, Result};

use super::{
    cast::settle,
    text::{instant, nanoseconds, parse_zone, to_text},
    typed,
    zoned::{ZONED_WIDTH, from_zoned},
};
use crate::engine::SqlError;

const NANOS_PER_DAY: i128 = 86_400_000_000_000;

pub(super) fn to_date(array: &ArrayRef, zone: &str, lenient: bool) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Date32 => Ok(Arc::clone(array)),
        DataType::FixedSizeBinary(ZONED_WIDTH) => {
            to_date(&from_zoned(array, 9, false)?, "UTC", lenient)
        }
        DataType::Timestamp(_, zoned) => {
            let zone = parse_zone(if zoned.is_some() { zone } else { "UTC" })?;
            let days: Date32Array = nanoseconds(array)?
                .into_iter()
                .map(|value| {
                    value.map(|value| {
                        let local = zone
                            .from_utc_datetime(&instant(value).naive_utc())
                            .naive_local();
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
        .ok_or_else(|| {
            SqlError::new(
                "100040",
                "22007",
                format!("Date '{text}' is not recognized"),
            )
        })
}

/// A time on a wall, and its offset from UTC in seconds if it has one.
pub(super) type WallTime = (NaiveDateTime, Option<i32>);

/// A time as written, and its offset from UTC in seconds if it has one.
pub(super) fn parse_timestamp(text: &str) -> Result<WallTime, SqlError> {
    let trimmed = text.trim();
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(trimmed) {
        return Ok((time.naive_local(), Some(time.offset().local_minus_utc())));
    }
    for format in [
        "%Y-%m-%d %H:%M:%S%.f %z",
        "%Y-%m-%d %H:%M:%S%.f%#z",
        "%Y-%m-%dT%H:%M:%S%.f%#z",
    ] {
        if let Ok(time) = chrono::DateTime::parse_from_str(trimmed, format) {
            return Ok((time.naive_local(), Some(time.offset().local_minus_utc())));
        }
    }
    if let Some(utc) = trimmed
        .strip_suffix(" Z")
        .or_else(|| trimmed.strip_suffix('Z'))
    {
        return parse_timestamp(utc).map(|(time, _)| (time, Some(0)));
    }
    for format in [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%d %H:%M",
        "%Y-%m-%dT%H:%M",
    ] {
        if let Ok(time) = NaiveDateTime::parse_from_str(trimmed, format) {
            return Ok((time, None));
        }
    }
    NaiveDate::parse_from_str(trimmed, "%Y-%m-%d")
        .ok()
        .and_then(|date| date.and_hms_opt(0, 0, 0))
        .map(|time| (time, None))
        .ok_or_else(|| {
            SqlError::new(
                "100035",
                "22007",
                format!("Timestamp '{text}' is not recognized"),
            )
        })
}

/// Nanoseconds since 1970, as if the time were UTC.
pub(super) fn nanoseconds_of(time: NaiveDateTime) -> i128 {
    i128::from(time.and_utc().timestamp()) * 1_000_000_000
        + i128::from(time.and_utc().timestamp_subsec_nanos())
}

/// A cast to TIME: a time of day, or that of a timestamp's wall clock.
pub(super) fn to_time(array: &ArrayRef, zone: &str, lenient: bool) -> Result<ArrayRef> {
    let mut values = Vec::with_capacity(array.len());
    match array.data_type() {
        DataType::Time64(TimeUnit::Nanosecond) => return Ok(Arc::clone(array)),
        DataType::Time64(_) | DataType::Time32(_) => {
            return Ok(cast(array, &DataType::Time64(TimeUnit::Nanosecond))?);
        }
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => {
            for text in &to_text(array, zone)? {
                let parsed = text.map(|text| settle(parse_time(text), lenient));
                values.push(parsed.transpose()?.flatten());
            }
        }
        DataType::Timestamp(..) | DataType::FixedSizeBinary(ZONED_WIDTH) => {
            let wall = to_timestamp(array, 9, false, zone, lenient)?;
            values.extend(nanoseconds(&wall)?.into_iter().map(|value| {
                value.and_then(|value| i64::try_from(value.rem_euclid(NANOS_PER_DAY)).ok())
            }));
        }
        other => return Err(SqlError::unsupported(format!("CAST FROM {other} TO TIME")).into()),
    }
    Ok(Arc::new(Time64NanosecondArray::from(values)))
}

/// Times of day without the digits behind that many.
pub(super) fn cut_time(array: &ArrayRef, scale: u8) -> Result<ArrayRef> {
    let unit = 10i64.pow(9 - u32::from(scale.min(9)));
    let times = typed::<Time64NanosecondArray>(array)?;
    let cut: Time64NanosecondArray = times
        .iter()
        .map(|time| time.map(|time| time.div_euclid(unit) * unit))
        .collect();
    Ok(Arc::new(cut))
}

/// Nanoseconds since midnight.
fn parse_time(text: &str) -> Result<i64, SqlError> {
    let trimmed = text.trim();
    ["%H:%M:%S%.f", "%H:%M"]
        .iter()
        .find_map(|format| NaiveTime::parse_from_str(trimmed, format).ok())
        .map(|time| {
            i64::from(time.num_seconds_from_midnight()) * 1_000_000_000
                + i64::from(time.nanosecond())
        })
        .ok_or_else(|| {
            SqlError::new(
                "100108",
                "22007",
                format!("Time '{text}' is not recognized"),
            )
        })
}

/// NTZ values are kept as if they were UTC; LTZ values are moments.
pub(super) fn to_timestamp(
    array: &ArrayRef,
    scale: u8,
    zoned: bool,
    zone: &str,
    lenient: bool,
) -> Result<ArrayRef> {
    let tz = parse_zone(zone)?;
    let to_moment = |local: NaiveDateTime| {
        tz.from_local_datetime(&local)
            .earliest()
            .map_or(local, |time| time.naive_utc())
    };
    let mut values: Vec<Option<i128>> = Vec::with_capacity(array.len());
    match array.data_type() {
        DataType::FixedSizeBinary(ZONED_WIDTH) => return from_zoned(array, scale, zoned),
        DataType::Timestamp(_, from) => {
            for value in nanoseconds(array)? {
                values.push(value.map(|value| match (from.is_some(), zoned) {
                    (true, false) => {
                        let utc = instant(value).naive_utc();
                        let offset = tz.offset_from_utc_datetime(&utc).fix().local_minus_utc();
                        value + i128::from(offset) * 1_000_000_000
                    }
                    (false, true) => nanoseconds_of(to_moment(instant(value).naive_utc())),
                    _ => value,
                }));
            }
        }
        DataType::Date32 => {
            for days in typed::<Date32Array>(array)? {
                let midnight = days.map(|days| i128::from(days) * NANOS_PER_DAY);
                values.push(midnight.map(|value| {
                    if zoned {
                        nanoseconds_of(to_moment(instant(value).naive_utc()))
                    } else {
                        value
                    }
                }));
            }
        }
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => {
            for parsed in parsed_timestamps(array, zone, lenient)? {
                values.push(parsed.map(|(time, offset)| match (offset, zoned) {
                    (Some(offset), true) => {
                        nanoseconds_of(time) - i128::from(offset) * 1_000_000_000
                    }
                    (None, true) => nanoseconds_of(to_moment(time)),
                    (_, false) => nanoseconds_of(time),
                }));
            }
        }
        other => {
            return Err(SqlError::unsupported(format!("CAST FROM {other} TO TIMESTAMP")).into());
        }
    }
    timestamps(values, scale, zoned)
}

/// Texts as times.
pub(super) fn parsed_timestamps(
    array: &ArrayRef,
    zone: &str,
    lenient: bool,
) -> Result<Vec<Option<WallTime>>> {
    let texts = to_text(array, zone)?;
    let parsed = texts.iter().map(|text| match text {
        Some(text) => settle(parse_timestamp(text), lenient),
        None => Ok(None),
    });
    parsed.collect()
}

/// The array for nanoseconds since 1970, cut to the scale.
pub(super) fn timestamps(values: Vec<Option<i128>>, scale: u8, zoned: bool) -> Result<ArrayRef> {
    let cut = 10i128.pow(9 - u32::from(scale.min(9)));
    let unit = if scale > 6 { 1 } else { 1_000 };
    let mut whole = Vec::with_capacity(values.len());
    for value in values {
        whole.push(match value {
            Some(value) => Some(i64::try_from(value.div_euclid(cut) * cut / unit).map_err(
                |_| {
                    DataFusionError::from(SqlError::out_of_range(
                        instant(value).format("%Y-%m-%d %H:%M:%S"),
                    ))
                },
            )?),
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
