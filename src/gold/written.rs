//! Gold rows as they stand in their topic.

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use datafusion::common::DataFusionError;

use crate::sql::GoldQuery;
use crate::sql::encode::Encoder;

/// The keys and the values of result rows, as JSON.
pub(crate) struct Written {
    keys: Encoder,
    rows: Encoder,
}

impl Written {
    /// Writes them.
    ///
    /// # Errors
    /// A date or timestamp that has no written form.
    pub(crate) fn of(query: &GoldQuery, results: &RecordBatch) -> Result<Self, DataFusionError> {
        let columns: Vec<usize> = (0..query.columns().len()).collect();
        Ok(Self {
            keys: encode(query, query.key(), results)?,
            rows: encode(query, &columns, results)?,
        })
    }

    /// The key of a row.
    pub(crate) fn key(&self, row: usize) -> &[u8] {
        self.keys.encoded().row(row)
    }

    /// All columns of a row.
    pub(crate) fn row(&self, row: usize) -> &[u8] {
        self.rows.encoded().row(row)
    }
}

fn encode(
    query: &GoldQuery,
    columns: &[usize],
    results: &RecordBatch,
) -> Result<Encoder, DataFusionError> {
    let fields: Vec<Field> = columns
        .iter()
        .map(|at| &query.columns()[*at])
        .map(|column| Field::new(&column.name, column.sql_type.arrow(), true))
        .collect();
    let mut encoder = Encoder::new(&Schema::new(fields))?;
    encoder.encode(&results.project(columns)?)?;
    Ok(encoder)
}
