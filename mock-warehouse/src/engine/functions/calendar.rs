//! Dates by the calendar: made of parts, moved by months, named.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, Decimal128Array, StringArray},
    compute::cast,
    datatypes::DataType,
};
use chrono::{Datelike, Days, Duration, Months, NaiveDate, NaiveDateTime, NaiveTime};
use datafusion::{common::Result, logical_expr::ScalarUDF};

use super::{
    Call, any_nullable,
    dates::{from_wall_times, nanos, same_field, wall_times},
    function,
    times::timestamps,
    typed,
};
use crate::engine::{SqlError, sql_type::SqlType};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function(
            "sf_last_day",
            |args| {
                same_field(args, 0)?;
                Ok(Arc::new(SqlType::Date.field("day", any_nullable(args))))
            },
            |call| moved(call, last_day),
        ),
        function("sf_add_months", |args| same_field(args, 0), add_months),
        function("sf_day_name", name_field, |call| named(call, "%a")),
        function("sf_month_name", name_field, |call| named(call, "%b")),
        function(
            "sf_date_of",
            |args| Ok(Arc::new(SqlType::Date.field("date", any_nullable(args)))),
            |call| {
                let days = parts(call)?.into_iter().map(|parts| {
                    let date = parts.and_then(|parts| date_of(&parts));
                    date.map(|date| date.num_days_from_ce() - 719_163)
                });
                Ok(Arc::new(days.collect::<arrow::array::Date32Array>()))
            },
        ),
        function(
            "sf_timestamp_of",
            |args| {
                let wall = SqlType::TimestampNtz { scale: 9 };
                Ok(Arc::new(wall.field("time", any_nullable(args))))
            },
            |call| {
                let times = parts(call)?.into_iter().map(|parts| {
                    let parts = parts?;
                    let midnight = date_of(&parts)?.and_time(NaiveTime::MIN);
                    let seconds = parts[3] * 3600 + parts[4] * 60 + parts[5];
                    let rest = parts.get(6).copied().unwrap_or(0);
                    Some(nanos(midnight) + i128::from(seconds) * 1_000_000_000 + i128::from(rest))
                });
                timestamps(times.collect(), 9, false)
            },
        ),
    ]
}

fn name_field(
    args: &datafusion::logical_expr::ReturnFieldArgs<'_>,
) -> Result<arrow::datatypes::FieldRef> {
    same_field(args, 0)?;
    let name = SqlType::Varchar { length: 3 };
    Ok(Arc::new(name.field("name", any_nullable(args))))
}

fn named(call: &Call<'_>, format: &str) -> Result<ArrayRef> {
    let names = wall_times(&call.arrays[0], call.zone)?
        .into_iter()
        .map(|time| time.map(|time| time.format(format).to_string()));
    Ok(Arc::new(names.collect::<StringArray>()))
}

fn moved(call: &Call<'_>, to: fn(NaiveDateTime) -> Option<NaiveDateTime>) -> Result<ArrayRef> {
    let values = wall_times(&call.arrays[0], call.zone)?
        .into_iter()
        .map(|time| time.and_then(to))
        .collect();
    from_wall_times(call, values)
}

/// The last day of the month.
fn last_day(time: NaiveDateTime) -> Option<NaiveDateTime> {
    let next = time
        .date()
        .with_day(1)?
        .checked_add_months(Months::new(1))?;
    Some(next.checked_sub_days(Days::new(1))?.and_time(time.time()))
}

/// As DATEADD, and the last day of a month stays the last day.
fn add_months(call: &Call<'_>) -> Result<ArrayRef> {
    let amounts = cast(&call.arrays[1], &DataType::Decimal128(38, 0))?;
    let amounts = typed::<Decimal128Array>(&amounts)?;
    let times = wall_times(&call.arrays[0], call.zone)?;
    let mut values = Vec::with_capacity(times.len());
    for (time, amount) in times.into_iter().zip(amounts) {
        let (Some(time), Some(amount)) = (time, amount) else {
            values.push(None);
            continue;
        };
        let count = u32::try_from(amount.unsigned_abs()).unwrap_or(u32::MAX);
        let there = match amount < 0 {
            true => time.checked_sub_months(Months::new(count)),
            false => time.checked_add_months(Months::new(count)),
        };
        let there = there.ok_or_else(|| SqlError::out_of_range(format!("{time} + {amount}")))?;
        let stays_last = last_day(time).is_some_and(|last| last.date() == time.date());
        values.push(if stays_last {
            last_day(there)
        } else {
            Some(there)
        });
    }
    from_wall_times(call, values)
}

/// The arguments of each row as whole numbers; NULL when one of them is.
fn parts(call: &Call<'_>) -> Result<Vec<Option<Vec<i64>>>> {
    let columns = call
        .arrays
        .iter()
        .map(|array| cast(array, &DataType::Int64))
        .collect::<Result<Vec<_>, _>>()?;
    let columns = columns
        .iter()
        .map(typed::<arrow::array::Int64Array>)
        .collect::<Result<Vec<_>>>()?;
    let rows = columns.first().map_or(0, |column| column.len());
    Ok((0..rows)
        .map(|row| {
            let of = |column: &&arrow::array::Int64Array| {
                (!column.is_null(row)).then(|| column.value(row))
            };
            columns.iter().map(of).collect()
        })
        .collect())
}

/// A date of year, month and day; months and days outside of their range go on counting.
fn date_of(parts: &[i64]) -> Option<NaiveDate> {
    let [year, month, day, ..] = parts else {
        return None;
    };
    let months = year.checked_mul(12)?.checked_add(month - 1)?;
    let first = NaiveDate::from_ymd_opt(
        i32::try_from(months.div_euclid(12)).ok()?,
        u32::try_from(months.rem_euclid(12)).ok()? + 1,
        1,
    )?;
    first.checked_add_signed(Duration::try_days(day - 1)?)
}
