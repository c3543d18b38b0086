//! Clean records in, one Arrow batch per partition out.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::anyhow;
use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Schema, SchemaRef};

use crate::broker::Record;
use crate::sql::decode::Decoder;
use crate::sql::{Column, SqlType, record as own};

/// Decodes clean events, which this service has written: one that does not decode is an error, nothing is skipped.
pub(crate) struct CleanBatches {
    decoder: Decoder,
    schema: SchemaRef,
}

impl CleanBatches {
    pub(crate) fn new(columns: &[Column]) -> Self {
        let fields = columns
            .iter()
            .map(|column| Field::new(&column.name, column.sql_type.arrow(), true));
        let timestamp = Field::new(own::TIMESTAMP, SqlType::Timestamp.arrow(), true);
        let schema = Arc::new(Schema::new(fields.chain([timestamp]).collect::<Vec<_>>()));
        Self {
            decoder: Decoder::new(columns),
            schema,
        }
    }

    /// The records of each partition as clean columns and their timestamp, and which records they are.
    pub(crate) fn decode<'a>(
        &mut self,
        records: &'a [Record<'a>],
    ) -> anyhow::Result<BTreeMap<i32, (RecordBatch, Vec<&'a Record<'a>>)>> {
        let mut by_partition: BTreeMap<i32, Vec<&Record<'_>>> = BTreeMap::new();
        for record in records {
            by_partition
                .entry(record.partition())
                .or_default()
                .push(record);
        }
        let mut batches = BTreeMap::new();
        for (partition, records) in by_partition {
            for record in &records {
                self.decoder.push(record.value()).map_err(|refusal| {
                    anyhow!(
                        "{}[{partition}] {} is no event of this pipeline ({}, column {})\nhint: only sluicebox may write to this topic; if clean_events.sql has changed its columns, use new topics",
                        record.topic(),
                        record.offset(),
                        refusal.reason.as_str(),
                        refusal.column.as_deref().unwrap_or("-")
                    )
                })?;
            }
            let mut columns = self.decoder.finish()?.columns().to_vec();
            let timestamps: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(
                records
                    .iter()
                    .map(|record| record.timestamp_ms().saturating_mul(1000)),
            ));
            columns.push(timestamps);
            batches.insert(
                partition,
                (
                    RecordBatch::try_new(Arc::clone(&self.schema), columns)?,
                    records,
                ),
            );
        }
        Ok(batches)
    }
}
