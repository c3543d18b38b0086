//! Rows in, the bytes of a Parquet file out; the same rows always give the same bytes under the same name.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::buffer::Rows;
use super::table::{DELETED_FIELD, OFFSET_FIELD, TargetTable, parquet_name};
use crate::broker::Partition;

/// The name of a file with the rows of a partition from offset `first` to offset `last`.
///
/// The digits have a fixed number and the name has an ending, because a stage reads every file whose name begins with
/// the one that it is given.
pub fn file_name(at: &Partition, first: i64, last: i64) -> String {
    format!("{}/{}/{first:020}-{last:020}.parquet", at.topic, at.number)
}

/// The rows as a Parquet file: the table's columns under their lower-case names, then the technical ones.
pub fn parquet(table: &TargetTable, rows: &Rows) -> Result<Bytes, ParquetError> {
    let batch = staged(table, rows)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        // Nothing that changes with the version of a library: the same rows are the same file.
        .set_created_by("sluicebox".to_owned())
        .build();
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), batch.schema(), options)?;
    writer.write(&batch)?;
    Ok(writer.into_inner()?.into())
}

/// The columns of the file.
fn staged(table: &TargetTable, rows: &Rows) -> Result<RecordBatch, ParquetError> {
    let mut fields: Vec<Field> = table
        .columns()
        .iter()
        .map(|column| Field::new(parquet_name(column), column.sql_type.arrow(), true))
        .collect();
    let mut columns: Vec<ArrayRef> = rows.batch.columns().to_vec();
    fields.push(Field::new(OFFSET_FIELD, DataType::Int64, false));
    columns.push(Arc::new(Int64Array::from(rows.offsets.clone())));
    if let Some(deleted) = &rows.deleted {
        fields.push(Field::new(DELETED_FIELD, DataType::Boolean, false));
        columns.push(Arc::new(BooleanArray::from(deleted.clone())));
    }
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use arrow::array::AsArray;
    use arrow::util::pretty::pretty_format_batches;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use parquet::file::metadata::ParquetMetaDataReader;

    use super::*;
    use crate::broker::NextOffset;
    use crate::sink::buffer::{Buffer, Record};
    use crate::sql::types::{Column, SqlType};

    fn table() -> TargetTable {
        let columns = [
            ("Name", SqlType::Varchar),
            (
                "small",
                SqlType::Decimal {
                    precision: 5,
                    scale: 2,
                },
            ),
            (
                "amount",
                SqlType::Decimal {
                    precision: 18,
                    scale: 2,
                },
            ),
            (
                "total",
                SqlType::Decimal {
                    precision: 38,
                    scale: 20,
                },
            ),
            ("views", SqlType::BigInt),
            ("ratio", SqlType::Double),
            ("is_new", SqlType::Boolean),
            ("day", SqlType::Date),
            ("at", SqlType::Timestamp),
        ]
        .map(|(name, sql_type)| Column {
            name: name.to_owned(),
            sql_type,
        });
        TargetTable::upsert("t", "t", columns.to_vec(), &["Name"]).unwrap()
    }

    fn rows() -> Rows {
        let mut buffer = Buffer::new(Arc::new(table()), 0, NextOffset::START);
        let values: [(&[u8], Option<&[u8]>); 3] = [
            (
                br#"{"Name":"z\u00fcrich"}"#,
                Some(
                    br#"{"Name":"z\u00fcrich","small":-1.25,"amount":12345678901234.56,
                    "total":-123456789012345678.12345678901234567891,"views":-9223372036854775808,"ratio":0.1,"is_new":true,
                    "day":"1969-12-31","at":"2026-10-08T09:10:11.123456Z"}"#,
                ),
            ),
            (br#"{"Name":"b"}"#, Some(br#"{"Name":"b"}"#)),
            (br#"{"Name":"gone"}"#, None),
        ];
        for (offset, (key, value)) in (0..).zip(values) {
            let record = Record {
                offset,
                timestamp_ms: 0,
                key: Some(key),
                value,
            };
            buffer.push(record, Instant::now()).unwrap();
        }
        buffer.take().unwrap().unwrap()
    }

    #[test]
    fn every_type_reads_back_as_it_was_written() {
        let file = parquet(&table(), &rows()).unwrap();
        let mut batches = ParquetRecordBatchReaderBuilder::try_new(file)
            .unwrap()
            .build()
            .unwrap();
        let batch = batches.next().unwrap().unwrap();
        let names: Vec<_> = batch
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        assert_eq!(
            names,
            [
                "name", "small", "amount", "total", "views", "ratio", "is_new", "day", "at",
                "_offset", "_deleted"
            ]
        );
        for (column, original) in batch.columns().iter().zip(rows().batch.columns()) {
            assert_eq!(
                column,
                original,
                "{}",
                pretty_format_batches(std::slice::from_ref(&batch)).unwrap()
            );
        }
        assert_eq!(
            batch["_offset"]
                .as_primitive::<arrow::datatypes::Int64Type>()
                .values(),
            &[0, 1, 2]
        );
        assert_eq!(
            batch["_deleted"].as_boolean().iter().collect::<Vec<_>>(),
            [Some(false), Some(false), Some(true)]
        );
        assert!(batches.next().is_none());
    }

    #[test]
    fn the_same_rows_are_the_same_file() {
        let file = parquet(&table(), &rows()).unwrap();
        assert_eq!(file, parquet(&table(), &rows()).unwrap());
        let metadata = ParquetMetaDataReader::new()
            .parse_and_finish(&file)
            .unwrap();
        assert_eq!(metadata.file_metadata().created_by(), Some("sluicebox"));
        assert_eq!(metadata.file_metadata().key_value_metadata(), None);
    }

    #[test]
    fn timestamps_have_no_zone_in_the_file() {
        let file = parquet(&table(), &rows()).unwrap();
        let metadata = ParquetMetaDataReader::new()
            .parse_and_finish(&file)
            .unwrap();
        let mut schema = Vec::new();
        parquet::schema::printer::print_schema(&mut schema, metadata.file_metadata().schema());
        let schema = String::from_utf8(schema).unwrap();
        for expected in [
            "OPTIONAL BYTE_ARRAY name (STRING)",
            "OPTIONAL INT32 small (DECIMAL(5,2))",
            "OPTIONAL INT64 amount (DECIMAL(18,2))",
            "OPTIONAL FIXED_LEN_BYTE_ARRAY (16) total (DECIMAL(38,20))",
            "OPTIONAL INT32 day (DATE)",
            "OPTIONAL INT64 at (TIMESTAMP(MICROS,false))",
            "REQUIRED INT64 _offset",
        ] {
            assert!(schema.contains(expected), "{expected} in {schema}");
        }
    }

    #[test]
    fn no_name_begins_with_another() {
        let at = Partition {
            topic: "clean_events".to_owned(),
            number: 1,
        };
        assert_eq!(
            file_name(&at, 0, 41),
            "clean_events/1/00000000000000000000-00000000000000000041.parquet"
        );
    }
}
