//! DATE_TRUNC, DATEADD, DATEDIFF, DATE_PART and CONVERT_TIMEZONE; of times, dates and timestamps of every kind.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, Date32Array, Decimal128Array, Time64NanosecondArray},
    compute::cast,
    datatypes::{DataType, Field, FieldRef, TimeUnit},
};
use chrono::{DateTime, Datelike, Duration, Months, NaiveDate, NaiveDateTime, TimeZone, Timelike};
use datafusion::{
    common::Result,
    logical_expr::{ReturnFieldArgs, ScalarUDF},
};

use super::{
    Call, any_nullable, constant_text, function,
    text::{instant, nanoseconds, parse_zone},
    times::timestamps,
    typed,
    zoned::{ZONED_WIDTH, Zoned, from_zoned, zoned_array, zoned_values},
};
use crate::engine::{SqlError, sql_type::SqlType};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function("sf_date_trunc", |args| same_field(args, 1), truncate),
        function("sf_dateadd", dateadd_field, dateadd),
        function(
            "sf_datediff",
            |args| Ok(number_field(any_nullable(args))),
            datediff,
        ),
        function(
            "sf_date_part",
            |args| Ok(number_field(any_nullable(args))),
            date_part,
        ),
        function("sf_convert_timezone", convert_field, convert_timezone),
        function(
            "sf_moment",
            |args| {
                let moment = SqlType::TimestampLtz { scale: 9 };
                Ok(Arc::new(moment.field("moment", any_nullable(args))))
            },
            |call| from_zoned(&call.arrays[0], 9, true),
        ),
    ]
}

/// Units of time; what Snowflake calls them is [`Unit::parse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
}

impl Unit {
    fn parse(text: &str) -> Result<Self, SqlError> {
        Ok(match text.to_lowercase().as_str() {
            "year" | "y" | "yy" | "yyy" | "yyyy" | "yr" | "years" | "yrs" => Self::Year,
            "quarter" | "q" | "qtr" | "qtrs" | "quarters" => Self::Quarter,
            "month" | "mm" | "mon" | "mons" | "months" => Self::Month,
            "week" | "w" | "wk" | "weekofyear" | "woy" | "wy" | "weeks" => Self::Week,
            "day" | "d" | "dd" | "days" | "dayofmonth" => Self::Day,
            "hour" | "h" | "hh" | "hr" | "hours" | "hrs" => Self::Hour,
            "minute" | "m" | "mi" | "min" | "minutes" | "mins" => Self::Minute,
            "second" | "s" | "sec" | "seconds" | "secs" => Self::Second,
            "millisecond" | "ms" | "msec" | "milliseconds" => Self::Millisecond,
            "microsecond" | "us" | "usec" | "microseconds" => Self::Microsecond,
            "nanosecond" | "ns" | "nsec" | "nanosec" | "nanoseconds" => Self::Nanosecond,
            _ => {
                return Err(SqlError::new(
                    "001045",
                    "22023",
                    format!("SQL compilation error:\n'{text}' is not a valid date/time component"),
                ));
            }
        })
    }

    /// Nanoseconds, for units of a fixed length.
    fn nanoseconds(self) -> Option<i128> {
        let seconds = 1_000_000_000;
        Some(match self {
            Self::Week => 604_800 * seconds,
            Self::Day => 86_400 * seconds,
            Self::Hour => 3_600 * seconds,
            Self::Minute => 60 * seconds,
            Self::Second => seconds,
            Self::Millisecond => 1_000_000,
            Self::Microsecond => 1_000,
            Self::Nanosecond => 1,
            Self::Year | Self::Quarter | Self::Month => return None,
        })
    }

    fn months(self) -> u32 {
        match self {
            Self::Year => 12,
            Self::Quarter => 3,
            _ => 1,
        }
    }
}

fn number_field(nullable: bool) -> FieldRef {
    Arc::new(Field::new("number", DataType::Decimal128(9, 0), nullable))
}

/// The type of the time at the position: what is no time is refused.
pub(super) fn same_field(args: &ReturnFieldArgs<'_>, position: usize) -> Result<FieldRef> {
    let field = &args.arg_fields[position];
    match field.data_type() {
        DataType::Date32
        | DataType::Timestamp(..)
        | DataType::Time64(_)
        | DataType::FixedSizeBinary(ZONED_WIDTH) => {
            let kind = SqlType::of(field)?;
            Ok(Arc::new(kind.field("time", any_nullable(args))))
        }
        other => Err(SqlError::new(
            "001044",
            "42P13",
            format!("SQL compilation error:\nInvalid argument types for function: {other} is no date or timestamp"),
        )
        .into()),
    }
}

/// The times as they read on the wall, their moments if they are zoned.
pub(super) fn wall_times(array: &ArrayRef, zone: &str) -> Result<Vec<Option<NaiveDateTime>>> {
    if let DataType::Date32 = array.data_type() {
        return Ok(typed::<Date32Array>(array)?
            .iter()
            .map(|days| days.map(|days| super::text::date(days).and_time(chrono::NaiveTime::MIN)))
            .collect());
    }
    if let DataType::FixedSizeBinary(ZONED_WIDTH) = array.data_type() {
        let values = zoned_values(array)?.into_iter();
        return Ok(values.map(|value| value.map(Zoned::wall_time)).collect());
    }
    if let DataType::Time64(_) = array.data_type() {
        // A time of day is one of the first day.
        let since_midnight = cast(array, &DataType::Time64(TimeUnit::Nanosecond))?;
        let values = nanoseconds(&since_midnight)?.into_iter();
        return Ok(values
            .map(|value| value.map(|value| instant(value).naive_utc()))
            .collect());
    }
    let zoned = matches!(array.data_type(), DataType::Timestamp(_, Some(_)));
    let zone = parse_zone(if zoned { zone } else { "UTC" })?;
    Ok(nanoseconds(array)?
        .into_iter()
        .map(|value| {
            value.map(|value| {
                zone.from_utc_datetime(&instant(value).naive_utc())
                    .naive_local()
            })
        })
        .collect())
}

/// Times as they read on the wall, as the type that the call yields.
pub(super) fn from_wall_times(
    call: &Call<'_>,
    values: Vec<Option<NaiveDateTime>>,
) -> Result<ArrayRef> {
    let kind = SqlType::of(&call.arguments.return_field)?;
    let (scale, zoned) = match kind {
        SqlType::TimestampNtz { scale } => (scale, false),
        SqlType::TimestampLtz { scale } => (scale, true),
        SqlType::TimestampTz { .. } => return from_wall_times_of(call, values),
        SqlType::Time | SqlType::ShortTime { .. } => {
            let times: Time64NanosecondArray = values
                .into_iter()
                .map(|value| {
                    let time = value?.time();
                    let seconds = i64::from(time.num_seconds_from_midnight());
                    Some(seconds * 1_000_000_000 + i64::from(time.nanosecond()))
                })
                .collect();
            return Ok(Arc::new(times));
        }
        _ => {
            let days: Date32Array = values
                .into_iter()
                .map(|value| value.map(|value| value.date().num_days_from_ce() - 719_163))
                .collect();
            return Ok(Arc::new(days));
        }
    };
    let zone = parse_zone(if zoned { call.zone } else { "UTC" })?;
    let nanos = values
        .into_iter()
        .map(|value| {
            value.map(|local| {
                let utc = zone
                    .from_local_datetime(&local)
                    .earliest()
                    .map_or(local, |time| time.naive_utc());
                nanos(utc)
            })
        })
        .collect();
    timestamps(nanos, scale, zoned)
}

/// Times on the wall, each with the offset that the zoned argument of the call had.
fn from_wall_times_of(call: &Call<'_>, values: Vec<Option<NaiveDateTime>>) -> Result<ArrayRef> {
    let zoned = call
        .arrays
        .iter()
        .find(|array| matches!(array.data_type(), DataType::FixedSizeBinary(ZONED_WIDTH)))
        .ok_or_else(|| SqlError::unsupported("TIMESTAMP_TZ OUT OF ANOTHER TYPE"))?;
    let offsets = zoned_values(zoned)?;
    zoned_array(
        values
            .into_iter()
            .zip(offsets)
            .map(|(value, offset)| {
                let offset_minutes = offset?.offset_minutes;
                let nanoseconds = nanos(value?) - i128::from(offset_minutes) * 60_000_000_000;
                Some(Zoned {
                    nanoseconds: i64::try_from(nanoseconds).ok()?,
                    offset_minutes,
                })
            })
            .collect(),
    )
}

pub(super) fn nanos(time: NaiveDateTime) -> i128 {
    let utc: DateTime<chrono::Utc> = time.and_utc();
    i128::from(utc.timestamp()) * 1_000_000_000 + i128::from(utc.timestamp_subsec_nanos())
}

fn truncate(call: &Call<'_>) -> Result<ArrayRef> {
    let unit = Unit::parse(call.text(0)?)?;
    let values = wall_times(&call.arrays[1], call.zone)?
        .into_iter()
        .map(|value| value.map(|value| truncated(value, unit)))
        .collect();
    from_wall_times(call, values)
}

fn truncated(time: NaiveDateTime, unit: Unit) -> NaiveDateTime {
    let date = time.date();
    let day = match unit {
        Unit::Year => NaiveDate::from_ymd_opt(date.year(), 1, 1),
        Unit::Quarter => NaiveDate::from_ymd_opt(date.year(), date.month0() / 3 * 3 + 1, 1),
        Unit::Month => date.with_day(1),
        Unit::Week => Some(date - Duration::days(date.weekday().num_days_from_monday().into())),
        _ => Some(date),
    };
    let midnight = day.unwrap_or(date).and_time(chrono::NaiveTime::MIN);
    match unit.nanoseconds() {
        Some(length) if !matches!(unit, Unit::Week) => {
            let since = nanos(time) - nanos(midnight);
            instant(nanos(midnight) + since.div_euclid(length) * length).naive_utc()
        }
        _ => midnight,
    }
}

/// A date plus hours is a timestamp; otherwise the type stays.
fn dateadd_field(args: &ReturnFieldArgs<'_>) -> Result<FieldRef> {
    let unit = Unit::parse(constant_text(args.scalar_arguments[0])?)?;
    let field = same_field(args, 2)?;
    let below_a_day = unit
        .nanoseconds()
        .is_some_and(|length| length < 86_400_000_000_000);
    if field.data_type() == &DataType::Date32 && below_a_day {
        return Ok(Arc::new(
            SqlType::TimestampNtz { scale: 9 }.field("time", field.is_nullable()),
        ));
    }
    Ok(field)
}

fn dateadd(call: &Call<'_>) -> Result<ArrayRef> {
    let unit = Unit::parse(call.text(0)?)?;
    let amounts = cast(&call.arrays[1], &DataType::Decimal128(38, 0))?;
    let times = wall_times(&call.arrays[2], call.zone)?;
    let mut values = Vec::with_capacity(times.len());
    for (time, amount) in times.into_iter().zip(typed::<Decimal128Array>(&amounts)?) {
        values.push(match (time, amount) {
            (Some(time), Some(amount)) => Some(
                added(time, amount, unit)
                    .ok_or_else(|| SqlError::out_of_range(format!("{time} + {amount}")))?,
            ),
            _ => None,
        });
    }
    from_wall_times(call, values)
}

fn added(time: NaiveDateTime, amount: i128, unit: Unit) -> Option<NaiveDateTime> {
    if let Some(length) = unit.nanoseconds() {
        return Some(instant(nanos(time).checked_add(amount.checked_mul(length)?)?).naive_utc());
    }
    let months = Months::new(
        u32::try_from(amount.unsigned_abs())
            .ok()?
            .checked_mul(unit.months())?,
    );
    if amount < 0 {
        time.checked_sub_months(months)
    } else {
        time.checked_add_months(months)
    }
}

/// The number of boundaries of the unit between two times.
fn datediff(call: &Call<'_>) -> Result<ArrayRef> {
    let unit = Unit::parse(call.text(0)?)?;
    if call.arrays[1..]
        .iter()
        .any(|array| matches!(array.data_type(), DataType::FixedSizeBinary(_)))
    {
        // Whether boundaries are counted on the wall or in UTC is not documented.
        return Err(SqlError::unsupported("DATEDIFF OF TIMESTAMP_TZ").into());
    }
    let from = wall_times(&call.arrays[1], call.zone)?;
    let to = wall_times(&call.arrays[2], call.zone)?;
    let count = |from: NaiveDateTime, to: NaiveDateTime| {
        let (from, to) = (truncated(from, unit), truncated(to, unit));
        match unit.nanoseconds() {
            Some(length) => (nanos(to) - nanos(from)).div_euclid(length),
            None => {
                let months =
                    |time: NaiveDateTime| i128::from(time.year()) * 12 + i128::from(time.month0());
                (months(to) - months(from)) / i128::from(unit.months())
            }
        }
    };
    numbers(from.into_iter().zip(to).map(|pair| match pair {
        (Some(from), Some(to)) => Some(count(from, to)),
        _ => None,
    }))
}

fn date_part(call: &Call<'_>) -> Result<ArrayRef> {
    let part = call.text(0)?.to_lowercase();
    // A part of the epoch is the moment's, other parts are the wall's.
    let times = match (call.arrays[1].data_type(), part.starts_with("epoch")) {
        (DataType::FixedSizeBinary(ZONED_WIDTH), true) => {
            wall_times(&from_zoned(&call.arrays[1], 9, true)?, "UTC")?
        }
        (DataType::Timestamp(_, Some(_)), true) => wall_times(&call.arrays[1], "UTC")?,
        _ => wall_times(&call.arrays[1], call.zone)?,
    };
    let unit = match part.as_str() {
        "dayofweek" | "dow" | "dayofweekiso" | "dayofyear" | "doy" | "epoch_second" | "epoch"
        | "epoch_millisecond" | "epoch_microsecond" | "epoch_nanosecond" | "yearofweek"
        | "yearofweekiso" => None,
        "weekiso" => Some(Unit::Week),
        other => Some(Unit::parse(other)?),
    };
    let value = |time: NaiveDateTime| -> i128 {
        match (unit, part.as_str()) {
            (Some(Unit::Year), _) => time.year().into(),
            (Some(Unit::Quarter), _) => (time.month0() / 3 + 1).into(),
            (Some(Unit::Month), _) => time.month().into(),
            (Some(Unit::Week), _) => time.iso_week().week().into(),
            (Some(Unit::Day), _) => time.day().into(),
            (Some(Unit::Hour), _) => time.hour().into(),
            (Some(Unit::Minute), _) => time.minute().into(),
            (Some(Unit::Second), _) => time.second().into(),
            (Some(_), _) => time.nanosecond().into(),
            (None, "dayofweek" | "dow") => time.weekday().num_days_from_sunday().into(),
            (None, "dayofweekiso") => time.weekday().number_from_monday().into(),
            (None, "dayofyear" | "doy") => time.ordinal().into(),
            (None, "yearofweek" | "yearofweekiso") => time.iso_week().year().into(),
            (None, "epoch_millisecond") => nanos(time).div_euclid(1_000_000),
            (None, "epoch_microsecond") => nanos(time).div_euclid(1_000),
            (None, "epoch_nanosecond") => nanos(time),
            (None, _) => time.and_utc().timestamp().into(),
        }
    };
    numbers(times.into_iter().map(|time| time.map(value)))
}

fn numbers(values: impl Iterator<Item = Option<i128>>) -> Result<ArrayRef> {
    // Nine digits are what the service declares; seconds of the epoch have ten, and are none the worse for it.
    let values: Decimal128Array = values.collect();
    Ok(Arc::new(values.with_precision_and_scale(9, 0)?))
}

fn convert_field(args: &ReturnFieldArgs<'_>) -> Result<FieldRef> {
    let field = same_field(args, args.arg_fields.len() - 1)?;
    let scale = match SqlType::of(&field)? {
        SqlType::TimestampNtz { scale } | SqlType::TimestampLtz { scale } => scale,
        _ => 9,
    };
    Ok(Arc::new(
        SqlType::TimestampNtz { scale }.field("time", field.is_nullable()),
    ))
}

/// The time on the wall of another zone: `(to, time)` or `(from, to, time)`.
fn convert_timezone(call: &Call<'_>) -> Result<ArrayRef> {
    let last = call.arrays.len() - 1;
    let to = parse_zone(call.text(last - 1)?)?;
    let zoned = matches!(
        call.arrays[last].data_type(),
        DataType::Timestamp(_, Some(_))
    );
    let from = parse_zone(match (last, zoned) {
        (2, _) => call.text(0)?,
        (_, true) => "UTC",
        (_, false) => call.zone,
    })?;
    let values = wall_times(&call.arrays[last], if zoned { "UTC" } else { call.zone })?
        .into_iter()
        .map(|value| {
            value.map(|local| {
                let utc = from
                    .from_local_datetime(&local)
                    .earliest()
                    .map_or(local, |time| time.naive_utc());
                to.from_utc_datetime(&utc).naive_local()
            })
        })
        .collect();
    from_wall_times(call, values)
}
