//! Batches into a grid: each value as text, the way of the SQL API's `jsonv2`.

use std::collections::HashMap;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StringArray},
    compute::cast,
    datatypes::{DataType, Date32Type, Int64Type, Schema, TimeUnit},
};

use super::{
    Grid, GridColumn, SqlError, StatementKind,
    described::described,
    functions::{Formats, nanoseconds, pretty, to_text, zoned_values},
    sql_type::SqlType,
};

/// The grid of a query. `names` are the names that people see where they differ from the fields'; dates and times for
/// which the session has a format come in that.
pub(crate) fn grid(
    schema: &Schema,
    batches: &[RecordBatch],
    names: &HashMap<String, String>,
    formats: &Formats,
    zone: &str,
) -> Result<Grid, SqlError> {
    let columns: Vec<GridColumn> = schema
        .fields()
        .iter()
        .map(|field| described(field, names.get(field.name()).unwrap_or(field.name())))
        .collect::<Result<_, _>>()?;
    let types: Vec<SqlType> = schema
        .fields()
        .iter()
        .map(|field| SqlType::of(field))
        .collect::<Result<_, _>>()?;
    let mut rows = Vec::new();
    for batch in batches {
        let values: Vec<Vec<Option<String>>> = batch
            .columns()
            .iter()
            .zip(&types)
            .map(|(array, sql_type)| match formats.written(array, zone)? {
                Some(texts) => Ok(owned(&texts)),
                None => encoded(array, *sql_type),
            })
            .collect::<Result<_, SqlError>>()?;
        let mut columns: Vec<_> = values.into_iter().map(Vec::into_iter).collect();
        for _ in 0..batch.num_rows() {
            rows.push(
                columns
                    .iter_mut()
                    .map(|column| column.next().flatten())
                    .collect(),
            );
        }
    }
    Ok(Grid {
        columns,
        rows,
        stats: None,
        kind: StatementKind::Select,
    })
}

fn encoded(array: &ArrayRef, sql_type: SqlType) -> Result<Vec<Option<String>>, SqlError> {
    Ok(match (sql_type, array.data_type()) {
        (_, DataType::Null) => vec![None; array.len()],
        (SqlType::Date, _) => array
            .as_primitive::<Date32Type>()
            .iter()
            .map(|days| days.map(|days| days.to_string()))
            .collect(),
        (SqlType::TimestampNtz { scale } | SqlType::TimestampLtz { scale }, _) => {
            nanoseconds(array)?
                .into_iter()
                .map(|value| value.map(|value| seconds(value, scale)))
                .collect()
        }
        (SqlType::TimestampTz { scale }, _) => zoned_values(array)?
            .into_iter()
            .map(|value| {
                value.map(|value| {
                    let moment = seconds(value.nanoseconds.into(), scale);
                    format!("{moment} {}", value.offset_code())
                })
            })
            .collect(),
        (SqlType::Time | SqlType::ShortTime { .. }, _) => cast(
            &cast(array, &DataType::Time64(TimeUnit::Nanosecond))?,
            &DataType::Int64,
        )?
        .as_primitive::<Int64Type>()
        .iter()
        .map(|value| value.map(|value| seconds(value.into(), sql_type.time_scale())))
        .collect(),
        (sql_type, _) if sql_type.is_json() => to_text(array, "UTC")?
            .iter()
            .map(|text| text.map(pretty))
            .collect(),
        (SqlType::Binary { .. }, _) => texts(&cast(array, &DataType::Binary)?)?,
        (SqlType::Float, _) => texts(&cast(array, &DataType::Float64)?)?,
        _ => texts(array)?,
    })
}

fn texts(array: &ArrayRef) -> Result<Vec<Option<String>>, SqlError> {
    Ok(owned(&to_text(array, "UTC")?))
}

fn owned(texts: &StringArray) -> Vec<Option<String>> {
    texts.iter().map(|text| text.map(str::to_owned)).collect()
}

/// Seconds since 1970 with as many digits behind the point as the scale says.
fn seconds(nanoseconds: i128, scale: u8) -> String {
    let cut = nanoseconds.div_euclid(10i128.pow(9 - u32::from(scale.min(9))));
    super::functions::decimal(cut, i8::try_from(scale).unwrap_or(9))
}

/// A grid with one row that says what was done.
pub(crate) fn status(text: impl Into<String>) -> Grid {
    let mut column = SqlType::Varchar { length: 16_777_216 }.grid_column("status", true);
    column.byte_length = Some(16_777_216);
    Grid {
        columns: vec![column],
        rows: vec![vec![Some(text.into())]],
        stats: None,
        kind: StatementKind::Other,
    }
}

/// A grid of the columns that SHOW and DESCRIBE use.
pub(crate) fn listing(columns: Vec<GridColumn>, rows: Vec<Vec<Option<String>>>) -> Grid {
    Grid {
        columns,
        rows,
        stats: None,
        kind: StatementKind::Show,
    }
}

/// A text column of SHOW and DESCRIBE.
pub(crate) fn listed(name: &str) -> GridColumn {
    let mut column = SqlType::Varchar { length: 16_777_216 }.grid_column(name, true);
    column.byte_length = Some(16_777_216);
    column
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_seconds_with_the_columns_scale() {
        for (nanoseconds, scale, expected) in [
            (1_791_549_296_123_456_789, 9, "1791549296.123456789"),
            (1_791_549_296_123_456_789, 3, "1791549296.123"),
            (1_791_549_296_123_456_789, 0, "1791549296"),
            (-500_000_000, 6, "-0.500000"),
        ] {
            assert_eq!(seconds(nanoseconds, scale), expected);
        }
    }
}
