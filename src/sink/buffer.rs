//! Records of one partition in, the rows of its next file out. Nothing here waits or sends.
//!
//! Of an upserted topic only the newest record of each key is kept, so that a hot key costs one row however often it
//! changes. Every record is decoded as it comes, those that a newer one replaces too: a record that is no row is a fault of
//! whoever wrote it, and must not pass unnoticed because another came soon after it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

use super::table::{Kind, TargetTable};
use crate::broker::{NextOffset, Partition};
use crate::sql::decode::{Decoder, Reason, Refusal};

/// Bytes of records that were decoded to see whether they can be, before their rows are dropped.
const MOST_CHECKED: usize = 1 << 20;

/// A record of a gold topic or of the clean topic.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its offset.
    pub offset: i64,
    /// Milliseconds since 1970, UTC.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; none is a tombstone.
    pub value: Option<&'a [u8]>,
}

/// Rows of one partition, ready to be written to a file.
#[derive(Debug)]
pub struct Rows {
    /// The table's columns, one row per record kept; a deleted row has only its key.
    pub batch: RecordBatch,
    /// The offset of each row, rising.
    pub offsets: Vec<i64>,
    /// For an upserted table: whether the row's key is gone.
    pub deleted: Option<Vec<bool>>,
    /// The offset of the first record that was read for these rows, kept or not.
    pub first: i64,
    /// The offset of the last one.
    pub last: i64,
    /// Where reading goes on after these rows.
    pub next: NextOffset,
}

/// Why a record cannot become a row. The service wrote the record itself, so nothing is skipped.
#[derive(Debug, thiserror::Error)]
pub enum BufferError {
    /// The record is not what its topic holds.
    #[error("the record of {at} at offset {offset} is no row of {table}: {what}")]
    NotARow {
        /// The partition.
        at: Partition,
        /// The record's offset.
        offset: i64,
        /// The table it was meant for.
        table: String,
        /// What is wrong with it, without its contents.
        what: String,
    },
    /// A record came a second time, or out of order.
    #[error("{at} gave offset {offset} where {expected} or a later one was expected")]
    OutOfOrder {
        /// The partition.
        at: Partition,
        /// The offset that came.
        offset: i64,
        /// The first one that would have been right.
        expected: NextOffset,
    },
    /// The rows do not fit into one batch.
    #[error("the rows of {at} do not fit into one file")]
    TooLarge {
        /// The partition.
        at: Partition,
        /// What Arrow says.
        source: ArrowError,
    },
}

impl BufferError {
    /// What can be done about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotARow { .. } => {
                "nothing but sluicebox may write to this topic; when a column's type was changed, let the sink of the old version load all rows first"
            }
            Self::OutOfOrder { .. } => "start the sink again: it goes on from the control table",
            Self::TooLarge { .. } => "lower sink.flush_bytes",
        }
    }
}

/// What the records before the next flush leave of each other.
enum Kept {
    Append {
        decoder: Decoder,
        offsets: Vec<i64>,
    },
    Upsert {
        newest: HashMap<Box<[u8]>, Newest>,
        decoder: Decoder,
        /// Decodes what comes, for the sake of its errors alone.
        checker: Box<Decoder>,
    },
}

struct Newest {
    offset: i64,
    /// None: the key is gone.
    value: Option<Vec<u8>>,
}

/// The rows of one partition that wait for a flush.
pub struct Buffer {
    at: Partition,
    table: Arc<TargetTable>,
    kept: Kept,
    bytes: usize,
    position: NextOffset,
    range: Option<(i64, i64)>,
    timestamps: Option<(i64, i64)>,
    since: Option<Instant>,
}

impl Buffer {
    /// An empty buffer for a partition of the table's topic, read from `start`.
    pub fn new(table: Arc<TargetTable>, partition: i32, start: NextOffset) -> Self {
        let decoder = Decoder::new(table.columns());
        let kept = match table.kind() {
            Kind::Append => Kept::Append {
                decoder,
                offsets: Vec::new(),
            },
            Kind::Upsert { .. } => Kept::Upsert {
                newest: HashMap::new(),
                decoder,
                checker: Box::new(Decoder::new(table.columns())),
            },
        };
        let at = Partition {
            topic: table.topic().to_owned(),
            number: partition,
        };
        Self {
            at,
            table,
            kept,
            bytes: 0,
            position: start,
            range: None,
            timestamps: None,
            since: None,
        }
    }

    /// Takes the next record of the partition; `now` is when it came.
    pub fn push(&mut self, record: Record<'_>, now: Instant) -> Result<(), BufferError> {
        let offset = record.offset;
        if offset < self.position.get() {
            return Err(BufferError::OutOfOrder {
                at: self.at.clone(),
                offset,
                expected: self.position,
            });
        }
        self.keep(record)
            .map_err(|what| self.not_a_row(offset, what))?;
        let first = self.range.map_or(offset, |(first, _)| first);
        self.range = Some((first, offset));
        self.position = NextOffset::after(offset);
        let (oldest, newest) = self.timestamps.unwrap_or((i64::MAX, i64::MIN));
        self.timestamps = Some((
            oldest.min(record.timestamp_ms),
            newest.max(record.timestamp_ms),
        ));
        self.since.get_or_insert(now);
        Ok(())
    }

    fn keep(&mut self, record: Record<'_>) -> Result<(), String> {
        match &mut self.kept {
            Kept::Append { decoder, offsets } => {
                decoder
                    .push(record.value)
                    .map_err(|refusal| described(&refusal))?;
                offsets.push(record.offset);
                self.bytes = decoder.bytes();
            }
            Kept::Upsert {
                newest, checker, ..
            } => {
                let key = record.key.ok_or("it has no key")?;
                checker
                    .push(Some(record.value.unwrap_or(key)))
                    .map_err(|refusal| described(&refusal))?;
                if checker.bytes() >= MOST_CHECKED {
                    // Nobody needs the rows.
                    drop(checker.finish());
                }
                let added = match newest.entry(key.into()) {
                    Entry::Vacant(entry) => {
                        entry.insert(Newest {
                            offset: record.offset,
                            value: record.value.map(<[u8]>::to_vec),
                        });
                        key.len()
                    }
                    Entry::Occupied(mut entry) => {
                        self.bytes -= entry.get().value.as_ref().map_or(0, Vec::len);
                        *entry.get_mut() = Newest {
                            offset: record.offset,
                            value: record.value.map(<[u8]>::to_vec),
                        };
                        0
                    }
                };
                self.bytes += added + record.value.map_or(0, <[u8]>::len);
            }
        }
        Ok(())
    }

    /// Reading got here without a record for us: over control records, or records of aborted transactions.
    pub fn reached(&mut self, position: NextOffset) {
        self.position = self.position.max(position);
    }

    /// Where reading goes on.
    pub fn position(&self) -> NextOffset {
        self.position
    }

    /// The rows that a flush would write now.
    pub fn rows(&self) -> usize {
        match &self.kept {
            Kept::Append { offsets, .. } => offsets.len(),
            Kept::Upsert { newest, .. } => newest.len(),
        }
    }

    /// The bytes of the records that became those rows.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the first record since the last flush came.
    pub fn since(&self) -> Option<Instant> {
        self.since
    }

    /// The oldest and the newest timestamp of the records since the last flush, in milliseconds since 1970, UTC.
    pub fn timestamps(&self) -> Option<(i64, i64)> {
        self.timestamps
    }

    /// The rows since the last time, in the order of their offsets; none if there are none. Leaves the buffer empty.
    pub fn take(&mut self) -> Result<Option<Rows>, BufferError> {
        let Some((first, last)) = self.range.take() else {
            return Ok(None);
        };
        (self.bytes, self.timestamps, self.since) = (0, None, None);
        let (batch, offsets, deleted) = match &mut self.kept {
            Kept::Append { decoder, offsets } => (decoder.finish(), std::mem::take(offsets), None),
            Kept::Upsert {
                newest, decoder, ..
            } => {
                let mut rows: Vec<_> = newest.drain().collect();
                rows.sort_unstable_by_key(|(_, row)| row.offset);
                for (key, row) in &rows {
                    // The key is an object of the key's columns, so a row that is gone decodes to its key and NULLs.
                    if let Err(refusal) = decoder.push(Some(row.value.as_deref().unwrap_or(key))) {
                        let offset = row.offset;
                        return Err(self.not_a_row(offset, described(&refusal)));
                    }
                }
                let deleted = rows.iter().map(|(_, row)| row.value.is_none()).collect();
                (
                    decoder.finish(),
                    rows.iter().map(|(_, row)| row.offset).collect(),
                    Some(deleted),
                )
            }
        };
        let batch = batch.map_err(|source| BufferError::TooLarge {
            at: self.at.clone(),
            source,
        })?;
        Ok(Some(Rows {
            batch,
            offsets,
            deleted,
            first,
            last,
            next: self.position,
        }))
    }

    fn not_a_row(&self, offset: i64, what: String) -> BufferError {
        BufferError::NotARow {
            at: self.at.clone(),
            offset,
            table: self.table.name().to_owned(),
            what,
        }
    }
}

/// What is wrong with a record, without its contents.
fn described(refusal: &Refusal) -> String {
    match (refusal.reason, &refusal.column) {
        (Reason::Json, _) => "its value is no JSON object".to_owned(),
        (Reason::Type, Some(column)) => {
            format!("the value of `{column}` is not of the column's type")
        }
        (Reason::DuplicateField, Some(column)) => format!("`{column}` stands in it twice"),
        (reason, None) => reason.to_string(),
    }
}

#[cfg(test)]
#[path = "buffer_tests.rs"]
mod tests;
