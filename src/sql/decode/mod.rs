//! Raw JSON events in, Arrow columns out; an event that is not as declared is refused whole and leaves no trace.
//!
//! Each event is read in one pass over its bytes, without a tree: `scan` checks the syntax, `fields` notes where the
//! declared fields stand, `number`, `text` and `time` read their values, and only then `column` appends them.
//!
//! | in the event | in the row |
//! |---|---|
//! | a missing field, `null` | NULL |
//! | an undeclared field | nothing, but its syntax is checked |
//! | VARCHAR | a string's characters; any other value's bytes as written |
//! | DECIMAL(p,s) | a number that fits exactly, exponents and trailing zeros included: `15e-1`, `1.50` |
//! | BIGINT | a number of 64 bits written without a point: `1000`, `1e3`, but neither `1.0` nor `15e-1` |
//! | DOUBLE | the double nearest to the number, unless that is infinite |
//! | BOOLEAN | `true`, `false` |
//! | DATE | a string `YYYY-MM-DD`, years 1 to 9999 |
//! | TIMESTAMP | a string of RFC 3339, also with a space for `T` and without a zone; cut to microseconds |
//!
//! Anything else is refused. Of several reasons the first of these counts: a syntax error anywhere ([`Reason::Json`]),
//! a declared field that stands twice ([`Reason::DuplicateField`]), a value that does not fit ([`Reason::Type`]); among
//! values, the one that comes first in the event.

mod column;
mod fields;
mod number;
mod scan;
#[cfg(test)]
mod tests;
mod text;
mod time;

use std::fmt;
use std::mem;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field as ArrowField, Schema, SchemaRef};
use arrow::error::ArrowError;

use self::column::{Cell, ColumnBuilder};
use self::fields::Fields;
pub(super) use self::scan::end_of_plain_text;
use super::types::Column;

/// Most characters of an event's value that a refusal shows.
const MOST_SHOWN: usize = 80;

/// Decodes events into the rows of a batch.
pub struct Decoder {
    columns: Vec<Column>,
    schema: SchemaRef,
    fields: Fields,
    cells: Vec<Cell>,
    unescaped: String,
    builders: Vec<ColumnBuilder>,
    rows: usize,
    bytes: usize,
}

impl Decoder {
    /// A decoder of events with these fields, which become columns in this order. All names differ.
    pub fn new(columns: &[Column]) -> Self {
        let nullable =
            |column: &Column| ArrowField::new(&column.name, column.sql_type.arrow(), true);
        Self {
            columns: columns.to_vec(),
            schema: Arc::new(Schema::new(
                columns.iter().map(nullable).collect::<Vec<_>>(),
            )),
            fields: Fields::new(columns),
            cells: vec![Cell::Null; columns.len()],
            unescaped: String::new(),
            builders: columns
                .iter()
                .map(|column| ColumnBuilder::new(column.sql_type, 0, 0))
                .collect(),
            rows: 0,
            bytes: 0,
        }
    }

    /// Appends one event as one row, `None` being a tombstone.
    ///
    /// After a refusal nothing of the event is in any column, and the next event can be pushed.
    pub fn push(&mut self, value: Option<&[u8]>) -> Result<(), Refusal> {
        let value = value
            .ok_or_else(|| Refusal::json("the record has no value (a tombstone)".to_owned()))?;
        let text = str::from_utf8(value).map_err(|error| {
            Refusal::json(format!(
                "not JSON: invalid UTF-8 at byte {}",
                error.valid_up_to()
            ))
        })?;
        let twice = self.fields.read(text).map_err(|error| {
            Refusal::json(format!(
                "not a JSON object: {} at byte {}",
                error.what, error.at
            ))
        })?;
        if let Some(column) = twice {
            return Err(Refusal::twice(&self.columns[column]));
        }
        self.read_cells(text)?;
        for (builder, cell) in self.builders.iter_mut().zip(&mut self.cells) {
            builder.append(&mem::replace(cell, Cell::Null), text, &self.unescaped);
        }
        self.rows += 1;
        self.bytes += value.len();
        Ok(())
    }

    /// Reads the fields that were found, in the order in which they stand in the event.
    fn read_cells(&mut self, text: &str) -> Result<(), Refusal> {
        self.unescaped.clear();
        for field in self.fields.found() {
            let column = &self.columns[field.column];
            match Cell::read(column.sql_type, &field.value, text, &mut self.unescaped) {
                Ok(cell) => self.cells[field.column] = cell,
                Err(why) => {
                    self.cells.fill(Cell::Null);
                    return Err(Refusal::wrong_type(
                        column,
                        &text[field.value.span.clone()],
                        why,
                    ));
                }
            }
        }
        Ok(())
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows yet.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes of the events that became rows so far. A batch takes at most 2 GiB of text in a column: see
    /// [`Decoder::finish`].
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows so far as columns in the declared order. Leaves the decoder empty, with room for as many rows again.
    ///
    /// Fails only when the text of one column is larger than 2 GiB, which fewer [`Decoder::bytes`] than that exclude.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let rows = mem::take(&mut self.rows);
        self.bytes = 0;
        // Every column is finished, also after one that fails, so that all are empty afterwards.
        let arrays: Vec<Result<ArrayRef, ArrowError>> = self
            .builders
            .iter_mut()
            .zip(&self.columns)
            .map(|(builder, column)| builder.finish(column.sql_type, rows))
            .collect();
        let arrays = arrays.into_iter().collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
    }

    /// The declared columns; all may be NULL.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

/// Why an event was not decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// The kind of reason.
    pub reason: Reason,
    /// The column it is about, unless it is about the whole event.
    pub column: Option<String>,
    /// A sentence that names the column and shows at most 80 characters of the value.
    pub detail: String,
}

impl Refusal {
    fn json(detail: String) -> Self {
        Self {
            reason: Reason::Json,
            column: None,
            detail,
        }
    }

    fn twice(column: &Column) -> Self {
        let detail = format!(
            "field `{}` stands in the object more than once",
            column.name
        );
        Self {
            reason: Reason::DuplicateField,
            column: Some(column.name.clone()),
            detail,
        }
    }

    fn wrong_type(column: &Column, written: &str, why: &str) -> Self {
        let Column { name, sql_type } = column;
        let detail = format!(
            "column `{name}` {sql_type} cannot hold `{}`: {why}",
            Excerpt(written)
        );
        Self {
            reason: Reason::Type,
            column: Some(name.clone()),
            detail,
        }
    }
}

/// The beginning of a value, on one line.
struct Excerpt<'a>(&'a str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        for character in characters.by_ref().take(MOST_SHOWN) {
            let shown = if character.is_control() {
                ' '
            } else {
                character
            };
            write!(formatter, "{shown}")?;
        }
        if characters.next().is_some() {
            formatter.write_str("...")
        } else {
            Ok(())
        }
    }
}

/// The kinds of [`Refusal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Not one JSON object in UTF-8.
    Json,
    /// A value that its column's type does not hold.
    Type,
    /// A declared field that stands in the object more than once.
    DuplicateField,
}

impl Reason {
    /// The stable code that a rejected event carries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Type => "type",
            Self::DuplicateField => "duplicate_field",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
