//! Arrow columns in, JSON events out: one object a row, its fields in the order of the columns.
//!
//! | column | JSON |
//! |---|---|
//! | NULL | `null` |
//! | VARCHAR | a string; only `"`, `\` and control characters are escaped |
//! | DECIMAL(p,s) | a number with all `s` digits after the point: `12.50`, `-0.05` |
//! | BIGINT | its digits |
//! | DOUBLE | the shortest number that reads back as the same double; `null` for NaN and infinities, which JSON lacks |
//! | BOOLEAN | `true`, `false` |
//! | DATE | `"YYYY-MM-DD"` |
//! | TIMESTAMP | `"YYYY-MM-DDThh:mm:ss.ffffffZ"`, in UTC |

use std::io::Write;

use arrow::array::{
    Array, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, Schema, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use chrono::{DateTime, Datelike, NaiveDate, Timelike};

use super::decode::end_of_plain_text;
use super::types::SqlType;

const IN_MEMORY: &str = "writing to memory does not fail";

/// Writes the rows of batches of one schema. For some of the columns only, as in a key, project schema and batch.
pub struct Encoder {
    /// What comes before each column's value: the opening brace or a comma, and the name.
    prefixes: Vec<Box<[u8]>>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Encoder {
    /// An encoder of batches with this schema, whose columns have types that [`SqlType::arrow`] yields.
    pub fn new(schema: &Schema) -> Result<Self, ArrowError> {
        let mut prefixes = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let sql_type = SqlType::from_arrow(field.data_type());
            if sql_type.is_none_or(|sql_type| sql_type.arrow() != *field.data_type()) {
                return Err(ArrowError::SchemaError(format!(
                    "column `{}` of type {} cannot be written as JSON; hint: CAST it in the SQL",
                    field.name(),
                    field.data_type()
                )));
            }
            let mut prefix = vec![if prefixes.is_empty() { b'{' } else { b',' }];
            write_text(&mut prefix, field.name());
            prefix.push(b':');
            prefixes.push(prefix.into_boxed_slice());
        }
        Ok(Self {
            prefixes,
            bytes: Vec::new(),
            ends: Vec::new(),
        })
    }

    /// Writes every row of a batch of the encoder's schema.
    ///
    /// Fails when a date or timestamp lies outside the years 1 to 9999, which has no written form.
    pub fn encode(&mut self, batch: &RecordBatch) -> Result<Encoded<'_>, ArrowError> {
        let columns = batch
            .columns()
            .iter()
            .map(|array| Values::new(array))
            .collect::<Result<Vec<_>, _>>()?;
        if columns.len() != self.prefixes.len() {
            return Err(ArrowError::SchemaError(format!(
                "a batch of {} columns for an encoder of {}",
                columns.len(),
                self.prefixes.len()
            )));
        }
        self.bytes.clear();
        self.ends.clear();
        for row in 0..batch.num_rows() {
            for (index, (prefix, column)) in self.prefixes.iter().zip(&columns).enumerate() {
                self.bytes.extend_from_slice(prefix);
                column.write(row, &mut self.bytes).ok_or_else(|| {
                    let name = batch.schema_ref().field(index).name();
                    ArrowError::ComputeError(format!(
                        "column `{name}`, row {row}: outside the years 1 to 9999"
                    ))
                })?;
            }
            self.bytes
                .extend_from_slice(if columns.is_empty() { b"{}" } else { b"}" });
            self.ends.push(self.bytes.len());
        }
        Ok(self.encoded())
    }

    /// What was written last, once more.
    pub fn encoded(&self) -> Encoded<'_> {
        Encoded {
            bytes: &self.bytes,
            ends: &self.ends,
        }
    }
}

/// The JSON objects of a batch's rows, in the encoder's buffer.
#[derive(Debug, Clone, Copy)]
pub struct Encoded<'a> {
    bytes: &'a [u8],
    ends: &'a [usize],
}

impl<'a> Encoded<'a> {
    /// The JSON object of a row, counted from 0. Panics if there is no such row.
    pub fn row(&self, index: usize) -> &'a [u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// A column's array by its type.
enum Values<'a> {
    Varchar(&'a StringArray),
    Decimal(&'a Decimal128Array, usize),
    BigInt(&'a Int64Array),
    Double(&'a Float64Array),
    Boolean(&'a BooleanArray),
    Date(&'a Date32Array),
    Timestamp(&'a TimestampMicrosecondArray),
}

impl<'a> Values<'a> {
    fn new(array: &'a dyn Array) -> Result<Self, ArrowError> {
        Ok(match array.data_type() {
            DataType::Utf8 => Self::Varchar(array.as_string()),
            DataType::Decimal128(_, scale) => {
                let scale = usize::try_from(*scale)
                    .map_err(|_| ArrowError::SchemaError("a negative scale".to_owned()))?;
                Self::Decimal(array.as_primitive::<Decimal128Type>(), scale)
            }
            DataType::Int64 => Self::BigInt(array.as_primitive::<Int64Type>()),
            DataType::Float64 => Self::Double(array.as_primitive::<Float64Type>()),
            DataType::Boolean => Self::Boolean(array.as_boolean()),
            DataType::Date32 => Self::Date(array.as_primitive::<Date32Type>()),
            DataType::Timestamp(TimeUnit::Microsecond, None) => {
                Self::Timestamp(array.as_primitive::<TimestampMicrosecondType>())
            }
            other => {
                return Err(ArrowError::SchemaError(format!(
                    "an array of type {other} for an encoder of another"
                )));
            }
        })
    }

    fn array(&self) -> &'a dyn Array {
        match *self {
            Self::Varchar(array) => array,
            Self::Decimal(array, _) => array,
            Self::BigInt(array) => array,
            Self::Double(array) => array,
            Self::Boolean(array) => array,
            Self::Date(array) => array,
            Self::Timestamp(array) => array,
        }
    }

    /// Writes a row's value, unless it has no written form.
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Option<()> {
        if self.array().is_null(row) {
            out.extend_from_slice(b"null");
            return Some(());
        }
        match self {
            Self::Varchar(array) => write_text(out, array.value(row)),
            Self::Decimal(array, scale) => write_decimal(out, array.value(row), *scale),
            Self::BigInt(array) => write!(out, "{}", array.value(row)).expect(IN_MEMORY),
            Self::Double(array) => serde_json::to_writer(out, &array.value(row)).expect(IN_MEMORY),
            Self::Boolean(array) => {
                out.extend_from_slice(if array.value(row) { b"true" } else { b"false" })
            }
            Self::Date(array) => return write_date(out, array.value(row)),
            Self::Timestamp(array) => return write_timestamp(out, array.value(row)),
        }
        Some(())
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    if end_of_plain_text(text.as_bytes(), 0) == text.len() {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text).expect(IN_MEMORY);
    }
}

fn write_decimal(out: &mut Vec<u8>, unscaled: i128, scale: usize) {
    if unscaled < 0 {
        out.push(b'-');
    }
    let (size, width) = (unscaled.unsigned_abs(), scale + 1);
    write!(out, "{size:0width$}").expect(IN_MEMORY);
    if scale > 0 {
        out.insert(out.len() - scale, b'.');
    }
}

fn write_date(out: &mut Vec<u8>, days: i32) -> Option<()> {
    let date = NaiveDate::from_epoch_days(days).filter(has_four_digits)?;
    out.push(b'"');
    write_day(out, date);
    out.push(b'"');
    Some(())
}

fn write_timestamp(out: &mut Vec<u8>, micros: i64) -> Option<()> {
    let moment = DateTime::from_timestamp_micros(micros)
        .map(|moment| moment.naive_utc())
        .filter(|moment| has_four_digits(&moment.date()))?;
    out.push(b'"');
    write_day(out, moment.date());
    out.push(b'T');
    write_digits::<2>(out, moment.hour());
    out.push(b':');
    write_digits::<2>(out, moment.minute());
    out.push(b':');
    write_digits::<2>(out, moment.second());
    out.push(b'.');
    write_digits::<6>(out, moment.nanosecond() / 1000);
    out.extend_from_slice(b"Z\"");
    Some(())
}

fn write_day(out: &mut Vec<u8>, day: NaiveDate) {
    write_digits::<4>(out, day.year().unsigned_abs());
    out.push(b'-');
    write_digits::<2>(out, day.month());
    out.push(b'-');
    write_digits::<2>(out, day.day());
}

fn write_digits<const WIDTH: usize>(out: &mut Vec<u8>, mut number: u32) {
    let mut digits = [b'0'; WIDTH];
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(number % 10).expect("a digit is below ten");
        number /= 10;
    }
    out.extend_from_slice(&digits);
}

fn has_four_digits(day: &NaiveDate) -> bool {
    (1..=9999).contains(&day.year())
}

#[cfg(test)]
mod tests;
