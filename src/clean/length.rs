//! Clean columns in, the rows out whose text no load could take.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::DataType;

use crate::rejected::Reason;

/// Characters of Snowflake's VARCHAR when no length is written, as in the casts of a load. A load with a longer text fails
/// (100078), and would fail for ever.
const MOST_CHARACTERS: usize = 16_777_216;

/// Why each row is refused that has a text of more characters than the warehouse takes, by row.
pub(super) fn too_long(columns: &RecordBatch) -> BTreeMap<usize, Reason> {
    longer_than(MOST_CHARACTERS, columns)
}

fn longer_than(most: usize, columns: &RecordBatch) -> BTreeMap<usize, Reason> {
    let mut found = BTreeMap::new();
    for (field, column) in columns.schema_ref().fields().iter().zip(columns.columns()) {
        if *column.data_type() != DataType::Utf8 {
            continue;
        }
        let texts: &StringArray = column.as_string();
        // Nearly always all texts together are shorter than one may be.
        if bytes(texts) <= most {
            continue;
        }
        for (row, text) in texts.iter().enumerate() {
            let Some(text) = text.filter(|text| text.len() > most) else {
                continue;
            };
            let characters = text.chars().count();
            if characters > most {
                found.entry(row).or_insert_with(|| Reason {
                    code: "too_large".to_owned(),
                    detail: format!(
                        "column `{}` has {characters} characters, the warehouse takes {most}; LEFT({}, {most}) cuts it",
                        field.name(),
                        field.name()
                    ),
                });
            }
        }
    }
    found
}

/// Bytes of all texts.
fn bytes(texts: &StringArray) -> usize {
    let offsets = texts.value_offsets();
    let span = offsets.last().zip(offsets.first());
    span.map_or(0, |(last, first)| {
        usize::try_from(last - first).unwrap_or(usize::MAX)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    #[test]
    fn characters_are_counted_not_bytes_and_the_column_is_named() {
        let texts = ["four", "five!", "äöüß", "äöüß€"].map(Some);
        let texts: Vec<_> = texts.into_iter().chain([None]).collect();
        let batch = RecordBatch::try_from_iter([
            (
                "number",
                Arc::new(Int64Array::from(vec![10_000; 5])) as ArrayRef,
            ),
            ("note", Arc::new(StringArray::from(texts))),
        ])
        .unwrap();
        let found = longer_than(4, &batch);
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [1, 3]);
        for reason in found.values() {
            assert_eq!(reason.code, "too_large");
            assert!(reason.detail.contains("`note` has 5"), "{}", reason.detail);
        }
        // A part of the batch is judged alone.
        assert!(longer_than(4, &batch.slice(2, 1)).is_empty());
        assert_eq!(longer_than(4, &batch.slice(3, 2)).len(), 1);
    }
}
