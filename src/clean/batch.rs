//! A batch of raw records in, a verdict for each out. Pure but for the duplicates that it remembers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;

use super::duplicates::{Bounds, Seen, Window};
use super::length::too_long;
use crate::broker::Record;
use crate::rejected::{EVALUATION, Reason};
use crate::sql::decode::Decoder;
use crate::sql::encode::Encoder;
use crate::sql::{Pipeline, Verdicts, record as own};

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Row `row` of the encoded clean events.
    Clean { row: usize },
    /// It was there before, with the same bytes.
    Duplicate,
    /// It is refused.
    Rejected(Reason),
    /// It was read only to be remembered: its verdict was given before.
    Remembered,
}

/// Byte strings one after the other, in one allocation.
#[derive(Debug, Default)]
struct Texts {
    bytes: Vec<u8>,
    /// Where each ends, and whether it is there at all.
    ends: Vec<(usize, bool)>,
}

impl Texts {
    fn push(&mut self, text: Option<&[u8]>) {
        self.bytes.extend_from_slice(text.unwrap_or_default());
        self.ends.push((self.bytes.len(), text.is_some()));
    }

    fn get(&self, at: usize) -> Option<&[u8]> {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before].0);
        let (end, there) = self.ends[at];
        there.then(|| &self.bytes[start..end])
    }
}

/// A batch with its verdicts.
#[derive(Debug, Default)]
pub(crate) struct Cleaned {
    /// One per record, in their order.
    pub(crate) fates: Vec<Fate>,
    values: Texts,
    keys: Texts,
    ids: Texts,
}

impl Cleaned {
    /// The value of a clean event.
    pub(crate) fn value(&self, row: usize) -> &[u8] {
        self.values.get(row).unwrap_or_default()
    }

    /// The key of a clean event.
    pub(crate) fn key(&self, row: usize) -> Option<&[u8]> {
        self.keys.get(row)
    }
}

/// Decodes, judges and encodes; remembers the ids that it has seen, per partition.
pub struct Cleaner {
    pipeline: Arc<Pipeline>,
    decoder: Decoder,
    encoder: Encoder,
    bounds: Bounds,
    windows: HashMap<i32, Window>,
    topic: String,
}

impl Cleaner {
    /// For the raw events of one topic.
    ///
    /// # Errors
    /// When the clean columns cannot be written as JSON; planning refuses such columns before.
    pub fn new(pipeline: Arc<Pipeline>, topic: &str, bounds: Bounds) -> Result<Self, ArrowError> {
        let decoder = Decoder::new(&pipeline.raw);
        let fields: Vec<_> = pipeline
            .clean
            .columns()
            .iter()
            .map(|column| Field::new(&column.name, column.sql_type.arrow(), true))
            .collect();
        let encoder = Encoder::new(&Schema::new(fields))?;
        Ok(Self {
            pipeline,
            decoder,
            encoder,
            bounds,
            windows: HashMap::new(),
            topic: topic.to_owned(),
        })
    }

    /// Forgets a partition's ids: it is given to this member anew, or to another one.
    pub fn forget(&mut self, partition: i32) {
        self.windows.remove(&partition);
    }

    /// The batch is committed.
    pub(crate) fn commit(&mut self) {
        self.windows.values_mut().for_each(Window::commit);
    }

    /// The batch is aborted.
    pub(crate) fn abort(&mut self) {
        self.windows.values_mut().for_each(Window::abort);
    }

    /// Judges a batch. Records before `committed` of their partition are only remembered; those in `too_large` are refused,
    /// since the broker has refused their clean event.
    pub(crate) fn clean(
        &mut self,
        records: &[Record<'_>],
        committed: &HashMap<i32, i64>,
        too_large: &HashSet<(i32, i64)>,
        now_us: i64,
    ) -> Result<Cleaned, ArrowError> {
        let mut fates: Vec<Option<Fate>> = vec![None; records.len()];
        let mut decoded = Vec::with_capacity(records.len());
        for (at, record) in records.iter().enumerate() {
            match self.decoder.push(record.value()) {
                Ok(()) => decoded.push(at),
                Err(refusal) => {
                    let code = refusal.reason.as_str().to_owned();
                    fates[at] = Some(Fate::Rejected(Reason {
                        code,
                        detail: refusal.detail,
                    }));
                }
            }
        }
        let rows = self.decoder.finish()?;
        let mut cleaned = Cleaned::default();
        if !decoded.is_empty() {
            let batch = self.with_own_columns(&rows, records, &decoded, now_us)?;
            self.judge(&batch, &decoded, &mut fates, &mut cleaned);
        }
        self.drop_duplicates(records, too_large, &mut fates, &cleaned);
        cleaned.fates = fates
            .into_iter()
            .zip(records)
            .map(|(fate, record)| {
                let before = committed
                    .get(&record.partition())
                    .is_some_and(|next| record.offset() < *next);
                if before {
                    Fate::Remembered
                } else {
                    fate.expect("every record has a fate")
                }
            })
            .collect();
        Ok(cleaned)
    }

    /// The declared columns, then the record's own; of those only what the query reads is filled.
    fn with_own_columns(
        &self,
        rows: &RecordBatch,
        records: &[Record<'_>],
        decoded: &[usize],
        now_us: i64,
    ) -> Result<RecordBatch, ArrowError> {
        let input = self.pipeline.clean.input();
        let of = |at: &usize| &records[*at];
        let mut columns = rows.columns().to_vec();
        for field in &input.fields()[columns.len()..] {
            let column: ArrayRef = match field.name().as_str() {
                name if !self.pipeline.clean.reads(name) => {
                    new_null_array(field.data_type(), decoded.len())
                }
                own::KEY => {
                    Arc::new(StringArray::from_iter(decoded.iter().map(|at| {
                        of(at).key().and_then(|key| std::str::from_utf8(key).ok())
                    })))
                }
                own::TOPIC => Arc::new(StringArray::from_iter_values(
                    decoded.iter().map(|_| self.topic.as_str()),
                )),
                own::PARTITION => Arc::new(Int64Array::from_iter_values(
                    decoded.iter().map(|at| i64::from(of(at).partition())),
                )),
                own::OFFSET => Arc::new(Int64Array::from_iter_values(
                    decoded.iter().map(|at| of(at).offset()),
                )),
                own::TIMESTAMP => Arc::new(TimestampMicrosecondArray::from_iter_values(
                    decoded
                        .iter()
                        .map(|at| of(at).timestamp_ms().saturating_mul(1000)),
                )),
                _ => Arc::new(TimestampMicrosecondArray::from_value(now_us, decoded.len())),
            };
            columns.push(column);
        }
        RecordBatch::try_new(Arc::clone(input), columns)
    }

    /// Evaluates and encodes rows; when that fails, each half on its own, so that one row's error is that row's alone.
    fn judge(
        &mut self,
        batch: &RecordBatch,
        at: &[usize],
        fates: &mut [Option<Fate>],
        cleaned: &mut Cleaned,
    ) {
        let done = self
            .pipeline
            .clean
            .evaluate(batch)
            .map_err(|error| error.strip_backtrace());
        let done = done.and_then(|verdicts| {
            self.keep(&verdicts, at, fates, cleaned)
                .map_err(|error| error.to_string())
        });
        let Err(error) = done else { return };
        if let [only] = at {
            let detail = error.lines().next().unwrap_or_default().to_owned();
            fates[*only] = Some(Fate::Rejected(Reason {
                code: EVALUATION.to_owned(),
                detail,
            }));
            return;
        }
        let (left, right) = at.split_at(at.len() / 2);
        self.judge(&batch.slice(0, left.len()), left, fates, cleaned);
        self.judge(&batch.slice(left.len(), right.len()), right, fates, cleaned);
    }

    /// Takes over the verdicts, and the clean rows as JSON.
    fn keep(
        &mut self,
        verdicts: &Verdicts,
        at: &[usize],
        fates: &mut [Option<Fate>],
        cleaned: &mut Cleaned,
    ) -> Result<(), ArrowError> {
        let too_long = too_long(&verdicts.columns);
        let is_clean = |row: usize| verdicts.reasons.is_null(row) && !too_long.contains_key(&row);
        let clean: BooleanArray = (0..at.len()).map(|row| Some(is_clean(row))).collect();
        let clean = filter_record_batch(&verdicts.columns, &clean)?;
        let encoded = self.encoder.encode(&clean)?;
        let first = cleaned.values.ends.len();
        let keys = clean.column(self.pipeline.key).as_string::<i32>();
        let ids = clean.column(self.pipeline.event_id).as_string::<i32>();
        for row in 0..encoded.len() {
            cleaned.values.push(Some(encoded.row(row)));
            cleaned
                .keys
                .push(keys.is_valid(row).then(|| keys.value(row).as_bytes()));
            cleaned
                .ids
                .push(ids.is_valid(row).then(|| ids.value(row).as_bytes()));
        }
        let mut next = first..;
        for (row, (at, reason)) in at.iter().zip(&verdicts.reasons).enumerate() {
            fates[*at] = Some(match (reason, too_long.get(&row)) {
                (None, None) => Fate::Clean {
                    row: next.next().expect("a range without end"),
                },
                (None, Some(reason)) => Fate::Rejected(reason.clone()),
                (Some(code), _) => Fate::Rejected(Reason {
                    code: code.to_owned(),
                    detail: format!("clean_events.sql says {code}"),
                }),
            });
        }
        Ok(())
    }

    /// Rules come first, then duplicates among those that passed, in the order of the partition.
    fn drop_duplicates(
        &mut self,
        records: &[Record<'_>],
        too_large: &HashSet<(i32, i64)>,
        fates: &mut [Option<Fate>],
        cleaned: &Cleaned,
    ) {
        for (fate, record) in fates.iter_mut().zip(records) {
            let Some(Fate::Clean { row }) = fate else {
                continue;
            };
            let row = *row;
            let at = (record.partition(), record.offset());
            if let Some(id) = cleaned.ids.get(row) {
                let window = self
                    .windows
                    .entry(at.0)
                    .or_insert_with(|| Window::new(self.bounds));
                let value = record.value().unwrap_or_default();
                match window.see(at.1, record.timestamp_ms(), id, value) {
                    Seen::Never => {}
                    Seen::Same => *fate = Some(Fate::Duplicate),
                    Seen::Other => {
                        *fate = Some(Fate::Rejected(Reason {
                            code: "conflicting_duplicate".to_owned(),
                            detail: "an earlier event has the same id and another content"
                                .to_owned(),
                        }));
                    }
                }
            }
            if too_large.contains(&at) && matches!(fate, Some(Fate::Clean { .. })) {
                let bytes = cleaned.value(row).len();
                *fate = Some(Fate::Rejected(Reason {
                    code: "too_large".to_owned(),
                    detail: format!(
                        "its clean event of {bytes} bytes is larger than the topic takes"
                    ),
                }));
            }
        }
    }
}
