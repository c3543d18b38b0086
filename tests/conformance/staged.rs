//! Parquet files for the stage, written as the sink writes them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

fn file(batch: &RecordBatch) -> Bytes {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true);
    let mut writer =
        ArrowWriter::try_new_with_options(Vec::new(), batch.schema(), options).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap().into()
}

/// Rows of a key `k` and a number `n`.
pub(super) fn numbers(rows: &[(&str, i64)]) -> Bytes {
    let keys: StringArray = rows.iter().map(|(key, _)| Some(*key)).collect();
    let numbers: Int64Array = rows.iter().map(|(_, number)| Some(*number)).collect();
    let columns = [("k", Arc::new(keys) as ArrayRef), ("n", Arc::new(numbers))];
    file(&RecordBatch::try_from_iter(columns).unwrap())
}

/// Rows of a text `t`.
pub(super) fn texts(rows: &[Option<&str>]) -> Bytes {
    let texts: StringArray = rows.iter().copied().collect();
    file(&RecordBatch::try_from_iter([("t", Arc::new(texts) as ArrayRef)]).unwrap())
}

/// The least value of each type, the greatest, and NULL, in this order; see docs/types.md.
pub(super) fn extremes() -> Bytes {
    let most = 10_i128.pow(38) - 1;
    let decimals = |scale| {
        let column = Decimal128Array::from(vec![Some(-most), Some(most), None]);
        Arc::new(column.with_precision_and_scale(38, scale).unwrap()) as ArrayRef
    };
    let moments = [-62_135_596_800_000_000, 253_402_300_799_999_999];
    let columns = [
        (
            "text",
            Arc::new(StringArray::from(vec![
                Some(""),
                Some("\u{1f388}\u{5d0}\\N"),
                None,
            ])) as ArrayRef,
        ),
        ("whole", decimals(0)),
        ("fine", decimals(37)),
        (
            "big",
            Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None])),
        ),
        (
            "double",
            Arc::new(Float64Array::from(vec![Some(-0.1), Some(0.1), None])),
        ),
        (
            "truth",
            Arc::new(BooleanArray::from(vec![Some(false), Some(true), None])),
        ),
        (
            "day",
            Arc::new(Date32Array::from(vec![
                Some(-719_162),
                Some(2_932_896),
                None,
            ])),
        ),
        (
            "moment",
            Arc::new(TimestampMicrosecondArray::from(vec![
                Some(moments[0]),
                Some(moments[1]),
                None,
            ])),
        ),
    ];
    file(&RecordBatch::try_from_iter(columns).unwrap())
}
