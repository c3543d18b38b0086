//! Values of one column in, row by row; an Arrow array out.

use std::mem;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::error::ArrowError;

use super::number::{bigint, decimal, double};
use super::scan::{Kind, Value};
use super::text::unescape;
use super::time::{date, timestamp};
use crate::sql::types::SqlType;

const LONE_SURROGATE: &str = "half of a surrogate pair";

/// One field's value, read but not yet appended: an event is appended only once all of it could be read.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    Null,
    /// Bytes of the event itself.
    Text(Range<usize>),
    /// Bytes of the text that holds the event's unescaped strings.
    Unescaped(Range<usize>),
    Decimal(i128),
    BigInt(i64),
    Double(f64),
    Boolean(bool),
    Date(i32),
    Timestamp(i64),
}

impl Cell {
    /// Reads a value of the event `text` as `sql_type`; a string with escapes is written to the end of `unescaped`.
    ///
    /// The error says in a few words why the value is none of that type.
    pub(super) fn read(
        sql_type: SqlType,
        value: &Value,
        text: &str,
        unescaped: &mut String,
    ) -> Result<Self, &'static str> {
        let written = &text[value.span.clone()];
        match (sql_type, value.kind) {
            (_, Kind::Null) => Ok(Self::Null),
            (SqlType::Varchar | SqlType::Date | SqlType::Timestamp, Kind::PlainString) => {
                let inside = value.span.start + 1..value.span.end - 1;
                Self::of_text(sql_type, &text[inside.clone()], Self::Text(inside))
            }
            (SqlType::Varchar | SqlType::Date | SqlType::Timestamp, Kind::EscapedString) => {
                let start = unescaped.len();
                unescape(&written[1..written.len() - 1], unescaped).map_err(|_| LONE_SURROGATE)?;
                let inside = start..unescaped.len();
                Self::of_text(sql_type, &unescaped[start..], Self::Unescaped(inside))
            }
            (SqlType::Varchar, _) => Ok(Self::Text(value.span.clone())),
            (SqlType::Decimal { precision, scale }, Kind::Number) => {
                decimal(written, precision, scale).map(Self::Decimal)
            }
            (SqlType::BigInt, Kind::Number) => bigint(written).map(Self::BigInt),
            (SqlType::Double, Kind::Number) => double(written).map(Self::Double),
            (SqlType::Boolean, Kind::True) => Ok(Self::Boolean(true)),
            (SqlType::Boolean, Kind::False) => Ok(Self::Boolean(false)),
            (SqlType::Decimal { .. } | SqlType::BigInt | SqlType::Double, _) => Err("not a number"),
            (SqlType::Boolean, _) => Err("neither true nor false"),
            (SqlType::Date | SqlType::Timestamp, _) => Err("not a string"),
        }
    }

    fn of_text(sql_type: SqlType, content: &str, as_text: Self) -> Result<Self, &'static str> {
        match sql_type {
            SqlType::Date => date(content).map(Self::Date),
            SqlType::Timestamp => timestamp(content).map(Self::Timestamp),
            _ => Ok(as_text),
        }
    }
}

/// The values of one column so far.
pub(super) enum ColumnBuilder {
    Varchar {
        values: StringBuilder,
        /// The column's text has outgrown an array, which takes 2 GiB.
        overflown: bool,
    },
    Decimal(Decimal128Builder),
    BigInt(Int64Builder),
    Double(Float64Builder),
    Boolean(BooleanBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
}

impl ColumnBuilder {
    /// An empty column with room for `rows` values and `text_bytes` of text.
    pub(super) fn new(sql_type: SqlType, rows: usize, text_bytes: usize) -> Self {
        match sql_type {
            SqlType::Varchar => Self::Varchar {
                values: StringBuilder::with_capacity(rows, text_bytes),
                overflown: false,
            },
            SqlType::Decimal { .. } => Self::Decimal(
                Decimal128Builder::with_capacity(rows).with_data_type(sql_type.arrow()),
            ),
            SqlType::BigInt => Self::BigInt(Int64Builder::with_capacity(rows)),
            SqlType::Double => Self::Double(Float64Builder::with_capacity(rows)),
            SqlType::Boolean => Self::Boolean(BooleanBuilder::with_capacity(rows)),
            SqlType::Date => Self::Date(Date32Builder::with_capacity(rows)),
            SqlType::Timestamp => Self::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows)),
        }
    }

    /// Appends a cell that was read as this column's type; `text` and `unescaped` are what it was read from.
    pub(super) fn append(&mut self, cell: &Cell, text: &str, unescaped: &str) {
        match (self, cell) {
            (Self::Varchar { values, overflown }, Cell::Text(span)) => {
                append_text(values, overflown, &text[span.clone()]);
            }
            (Self::Varchar { values, overflown }, Cell::Unescaped(span)) => {
                append_text(values, overflown, &unescaped[span.clone()]);
            }
            (Self::Decimal(values), Cell::Decimal(value)) => values.append_value(*value),
            (Self::BigInt(values), Cell::BigInt(value)) => values.append_value(*value),
            (Self::Double(values), Cell::Double(value)) => values.append_value(*value),
            (Self::Boolean(values), Cell::Boolean(value)) => values.append_value(*value),
            (Self::Date(values), Cell::Date(value)) => values.append_value(*value),
            (Self::Timestamp(values), Cell::Timestamp(value)) => values.append_value(*value),
            (column, _) => column.append_null(),
        }
    }

    fn append_null(&mut self) {
        match self {
            Self::Varchar { values, .. } => values.append_null(),
            Self::Decimal(values) => values.append_null(),
            Self::BigInt(values) => values.append_null(),
            Self::Double(values) => values.append_null(),
            Self::Boolean(values) => values.append_null(),
            Self::Date(values) => values.append_null(),
            Self::Timestamp(values) => values.append_null(),
        }
    }

    fn text_bytes(&self) -> usize {
        match self {
            Self::Varchar { values, .. } => values.values_slice().len(),
            _ => 0,
        }
    }

    /// The column so far; leaves it empty, with room for as much again.
    pub(super) fn finish(
        &mut self,
        sql_type: SqlType,
        rows: usize,
    ) -> Result<ArrayRef, ArrowError> {
        let empty = Self::new(sql_type, rows, self.text_bytes());
        Ok(match mem::replace(self, empty) {
            Self::Varchar {
                overflown: true, ..
            } => return Err(ArrowError::OffsetOverflowError(i32::MAX as usize)),
            Self::Varchar { mut values, .. } => Arc::new(values.finish()),
            Self::Decimal(mut values) => Arc::new(values.finish()),
            Self::BigInt(mut values) => Arc::new(values.finish()),
            Self::Double(mut values) => Arc::new(values.finish()),
            Self::Boolean(mut values) => Arc::new(values.finish()),
            Self::Date(mut values) => Arc::new(values.finish()),
            Self::Timestamp(mut values) => Arc::new(values.finish()),
        })
    }
}

fn append_text(values: &mut StringBuilder, overflown: &mut bool, text: &str) {
    if i32::try_from(values.values_slice().len() + text.len()).is_ok() {
        values.append_value(text);
    } else {
        *overflown = true;
        values.append_null();
    }
}
