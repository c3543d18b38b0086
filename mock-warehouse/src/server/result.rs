//! A grid in, the pieces that the API hands out: the first one small, each later one twice as large and gzip-compressed.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::engine::{Grid, GridColumn, StatementKind, Stats};

/// A result larger than this comes in several partitions.
const FIRST_PARTITION_BYTES: usize = 100_000;

/// What becomes of SQL NULL in `data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nulls {
    /// JSON `null`.
    Null,
    /// The string `"null"`, for `nullable=false`.
    Text,
}

/// The result of one statement, ready to be sent.
#[derive(Debug)]
pub(super) struct ResultSet {
    pub(super) columns: Vec<GridColumn>,
    pub(super) stats: Option<Stats>,
    pub(super) partitions: Vec<Partition>,
    pub(super) kind: StatementKind,
}

/// A run of rows.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) rows: usize,
    /// The rows as a JSON array of arrays.
    pub(super) data: Box<RawValue>,
    /// Size of the rows as JSON, without the outer brackets.
    pub(super) uncompressed_bytes: usize,
    /// `{"data": ...}` in gzip; only where a result has several partitions.
    pub(super) compressed: Option<Vec<u8>>,
}

impl ResultSet {
    /// Cuts a grid into partitions.
    pub(super) fn new(grid: Grid, nulls: Nulls) -> io::Result<Self> {
        let mut partitions = Vec::new();
        let mut rows = 0;
        let mut text = String::from("[");
        let mut limit = FIRST_PARTITION_BYTES;
        for row in &grid.rows {
            if rows > 0 {
                text.push(',');
            }
            text.push_str(&row_text(row, nulls)?);
            rows += 1;
            if text.len() > limit {
                partitions.push(Partition::new(
                    rows,
                    std::mem::replace(&mut text, String::from("[")),
                )?);
                rows = 0;
                limit = limit.saturating_mul(2);
            }
        }
        if rows > 0 || partitions.is_empty() {
            partitions.push(Partition::new(rows, text)?);
        }
        if partitions.len() > 1 {
            for partition in &mut partitions {
                partition.compressed = Some(partition.compress()?);
            }
        }
        Ok(Self {
            columns: grid.columns,
            stats: grid.stats,
            partitions,
            kind: grid.kind,
        })
    }

    pub(super) fn rows(&self) -> usize {
        self.partitions.iter().map(|partition| partition.rows).sum()
    }
}

impl Partition {
    /// `text` is the JSON array of the rows, not yet closed.
    fn new(rows: usize, mut text: String) -> io::Result<Self> {
        let uncompressed_bytes = text.len() - 1;
        text.push(']');
        Ok(Self {
            rows,
            data: RawValue::from_string(text)?,
            uncompressed_bytes,
            compressed: None,
        })
    }

    fn compress(&self) -> io::Result<Vec<u8>> {
        #[derive(Serialize)]
        struct Body<'a> {
            data: &'a RawValue,
        }
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&serde_json::to_vec(&Body { data: &self.data })?)?;
        gzip.finish()
    }
}

fn row_text(row: &[Option<String>], nulls: Nulls) -> io::Result<String> {
    let cells: Vec<Option<&str>> = row
        .iter()
        .map(|cell| match nulls {
            Nulls::Null => cell.as_deref(),
            Nulls::Text => Some(cell.as_deref().unwrap_or("null")),
        })
        .collect();
    Ok(serde_json::to_string(&cells)?)
}
