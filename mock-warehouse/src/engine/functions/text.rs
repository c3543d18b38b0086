//! Values as text, as Snowflake writes them with its default formats.

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array,
        Float64Array, StringArray, Time64NanosecondArray, timezone::Tz,
    },
    compute::cast,
    datatypes::{DataType, Int64Type, TimeUnit},
};
use chrono::{DateTime, NaiveDate, NaiveTime, Offset, TimeZone};
use datafusion::common::{DataFusionError, Result};

use super::{
    typed,
    vector::vector_text,
    zoned::{ZONED_WIDTH, zoned_text},
};

/// One text per value; `zone` is the session's TIMEZONE.
pub(crate) fn to_text(array: &ArrayRef, zone: &str) -> Result<StringArray> {
    Ok(match array.data_type() {
        DataType::Utf8 => typed::<StringArray>(array)?.clone(),
        DataType::Utf8View | DataType::LargeUtf8 => {
            typed::<StringArray>(&cast(array, &DataType::Utf8)?)?.clone()
        }
        DataType::Null => StringArray::new_null(array.len()),
        DataType::Boolean => typed::<BooleanArray>(array)?
            .iter()
            .map(|value| value.map(|value| value.to_string()))
            .collect(),
        DataType::Decimal128(_, scale) => typed::<Decimal128Array>(array)?
            .iter()
            .map(|value| value.map(|value| decimal(value, *scale)))
            .collect(),
        DataType::Float64 => typed::<Float64Array>(array)?
            .iter()
            .map(|value| value.map(float))
            .collect(),
        DataType::Date32 => typed::<Date32Array>(array)?
            .iter()
            .map(|value| value.map(|days| date(days).format("%Y-%m-%d").to_string()))
            .collect(),
        DataType::Timestamp(_, zoned) => {
            let zone = zoned.is_some().then(|| parse_zone(zone)).transpose()?;
            nanoseconds(array)?
                .into_iter()
                .map(|value| value.map(|value| timestamp(value, zone)))
                .collect()
        }
        DataType::Binary => typed::<BinaryArray>(array)?
            .iter()
            .map(|value| {
                value.map(|bytes| {
                    bytes
                        .iter()
                        .map(|byte| format!("{byte:02X}"))
                        .collect::<String>()
                })
            })
            .collect(),
        DataType::Time64(TimeUnit::Nanosecond) => typed::<Time64NanosecondArray>(array)?
            .iter()
            .map(|value| value.map(|value| time_of_day(value).format("%H:%M:%S").to_string()))
            .collect(),
        DataType::FixedSizeBinary(ZONED_WIDTH) => zoned_text(array)?.into_iter().collect(),
        DataType::FixedSizeList(..) => vector_text(array)?.into_iter().collect(),
        kind if kind.is_integer() => typed::<StringArray>(&cast(array, &DataType::Utf8)?)?.clone(),
        other => {
            return Err(DataFusionError::NotImplemented(format!("{other} AS TEXT")));
        }
    })
}

/// The digits of a decimal at its scale.
pub(crate) fn decimal(value: i128, scale: i8) -> String {
    let places = usize::try_from(scale.max(0)).unwrap_or(0);
    if places == 0 {
        return value.to_string();
    }
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    format!("{}{whole}.{fraction}", if value < 0 { "-" } else { "" })
}

/// A float as the SQL API writes it.
pub(crate) fn float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "inf" } else { "-inf" }.to_owned()
    } else {
        value.to_string()
    }
}

pub(crate) fn date(days: i32) -> NaiveDate {
    NaiveDate::from_num_days_from_ce_opt(days.saturating_add(719_163)).unwrap_or(NaiveDate::MAX)
}

/// The time that many nanoseconds after midnight.
pub(crate) fn time_of_day(nanoseconds: i64) -> NaiveTime {
    instant(nanoseconds.into()).time()
}

/// `2026-10-08 22:40:55.656`, and the offset when there is a zone.
fn timestamp(nanoseconds: i128, zone: Option<Tz>) -> String {
    let utc = instant(nanoseconds);
    match zone {
        None => utc.format("%Y-%m-%d %H:%M:%S%.3f").to_string(),
        Some(zone) => {
            let local = zone.from_utc_datetime(&utc.naive_utc());
            let offset = local.offset().fix().local_minus_utc();
            let suffix = if offset == 0 {
                "Z".to_owned()
            } else {
                let sign = if offset < 0 { '-' } else { '+' };
                format!(
                    "{sign}{:02}{:02}",
                    offset.abs() / 3600,
                    offset.abs() % 3600 / 60
                )
            };
            format!(
                "{} {suffix}",
                local.naive_local().format("%Y-%m-%d %H:%M:%S%.3f")
            )
        }
    }
}

/// The moment that many nanoseconds after 1970.
pub(crate) fn instant(nanoseconds: i128) -> DateTime<chrono::Utc> {
    let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
    let rest = u32::try_from(nanoseconds.rem_euclid(1_000_000_000)).expect("less than a second");
    DateTime::from_timestamp(seconds, rest).unwrap_or(DateTime::<chrono::Utc>::MAX_UTC)
}

/// Timestamps of any unit in nanoseconds since 1970.
pub(crate) fn nanoseconds(array: &ArrayRef) -> Result<Vec<Option<i128>>> {
    let factor = match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => 1_000_000_000,
        DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000_000,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000,
        _ => 1,
    };
    let plain = cast(array, &DataType::Int64)?;
    Ok(plain
        .as_primitive::<Int64Type>()
        .iter()
        .map(|value| value.map(|value| i128::from(value) * factor))
        .collect())
}

/// A time zone by name, e.g. `UTC` or `Europe/Berlin`.
pub(crate) fn parse_zone(name: &str) -> Result<Tz> {
    name.parse::<Tz>()
        .map_err(|_| DataFusionError::Plan(format!("Unknown timezone: '{name}'")))
}
