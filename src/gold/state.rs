//! The state of one gold table in one partition: the mergeable state of every key, in Arrow's row format.
//!
//! A batch merges into it in two steps, so that a transaction that aborts leaves no trace: [`State::merge`] computes what
//! changes, [`State::apply`] puts it in once the transaction is committed.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, FieldRef, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::DataFusionError;

use super::keep::Horizon;
use super::written::Written;
use crate::sql::GoldQuery;
use crate::sql::decode::Decoder;

/// Version of what [`Update::header`] writes.
const HEADER_VERSION: u8 = 2;

/// What a header has for no watermark.
const NO_WATERMARK: i64 = i64::MIN;

/// Fewest keys that are read back before those are looked for that are too old.
pub(super) const FEWEST_RESTORED: usize = 100_000;

/// Keys that are looked at together for their time.
const LOOK: usize = 8192;

/// All keys of a table in one partition.
#[derive(Debug)]
pub(crate) struct State {
    schema: SchemaRef,
    key_width: usize,
    fingerprint: [u8; 8],
    keys: RowConverter,
    states: RowConverter,
    rows: HashMap<Box<[u8]>, Box<[u8]>>,
    bytes: usize,
    watermark: Option<i64>,
    horizon: Option<Horizon>,
    /// The time before which no key is left.
    evicted: i64,
    /// So many keys may be read back before those are looked for that are too old.
    room: usize,
}

/// What a batch changes: the touched keys, their new states, and the result rows to emit, row by row the same key.
pub(crate) struct Update {
    /// The result columns and, last, the newest timestamp.
    pub(crate) results: RecordBatch,
    /// Event time of the partition behind the batch, in microseconds; None without a `keep`.
    pub(crate) watermark: Option<i64>,
    /// The result columns, as they stand in the topic.
    pub(crate) written: Written,
    fingerprint: [u8; 8],
    keys: Rows,
    states: Rows,
}

/// Why a state that was read back is of no use.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum BadState {
    #[error("it has no state")]
    Missing,
    #[error("its state does not decode")]
    Malformed,
    #[error("its state was written by another version of the service")]
    OtherVersion,
    #[error("its state was written by another query, or one with other columns")]
    OtherQuery,
}

impl State {
    pub(crate) fn new(query: &GoldQuery) -> Result<Self, DataFusionError> {
        let schema = Arc::clone(query.state());
        let key_width = query.key_width();
        let (keys, states) = schema.fields().split_at(key_width);
        Ok(Self {
            key_width,
            fingerprint: query.fingerprint(),
            keys: converter(keys)?,
            states: converter(states)?,
            rows: HashMap::new(),
            bytes: 0,
            watermark: None,
            horizon: None,
            evicted: i64::MIN,
            room: FEWEST_RESTORED,
            schema,
        })
    }

    /// Keys older than the horizon are not kept.
    pub(crate) fn keeping(mut self, horizon: Option<Horizon>) -> Self {
        self.horizon = horizon;
        self
    }

    /// Event time of the partition, in microseconds.
    pub(crate) fn watermark(&self) -> Option<i64> {
        self.watermark
    }

    /// Number of keys.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Bytes of all keys and states, without the map's own.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What a batch of clean rows changes.
    ///
    /// # Errors
    /// A query that fails on them, or a result that has no written form.
    pub(crate) fn merge(
        &self,
        query: &GoldQuery,
        clean: &RecordBatch,
    ) -> Result<Update, DataFusionError> {
        let fresh = query.partial(clean)?;
        let merged = match self.old_states(&fresh)? {
            Some(old) => {
                let keys = fresh.num_rows();
                let merged = query.reduce(concat_batches(&self.schema, [&old, &fresh])?)?;
                if merged.num_rows() != keys {
                    return Err(DataFusionError::Internal(format!(
                        "{keys} touched keys became {} states",
                        merged.num_rows()
                    )));
                }
                merged
            }
            None => fresh,
        };
        let keys = self
            .keys
            .convert_columns(&merged.columns()[..self.key_width])?;
        let states = self
            .states
            .convert_columns(&merged.columns()[self.key_width..])?;
        let results = query.finish(merged)?;
        self.same_order(query, &results, &keys)?;
        Ok(Update {
            written: Written::of(query, &results)?,
            results,
            watermark: self.watermark,
            fingerprint: self.fingerprint,
            keys,
            states,
        })
    }

    /// The transaction that carried the update is committed.
    ///
    /// # Errors
    /// When keys cannot be read, which none that this state has taken in can be.
    pub(crate) fn apply(&mut self, update: &Update) -> Result<(), DataFusionError> {
        for (key, state) in update.keys.iter().zip(update.states.iter()) {
            self.put(key.as_ref(), state.as_ref());
        }
        self.watermark = self.watermark.max(update.watermark);
        match self.cutoff() {
            Some((cutoff, step)) if cutoff.saturating_sub(self.evicted) > step => self.evict(),
            _ => Ok(()),
        }
    }

    fn cutoff(&self) -> Option<(i64, i64)> {
        let horizon = self.horizon?;
        Some((horizon.cutoff(self.watermark?), horizon.step()))
    }

    /// Lets go of the keys that are older than what is kept. Their rows stay in the topic and in the warehouse: this is no
    /// deletion, and no event can change them any more.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub(crate) fn evict(&mut self) -> Result<(), DataFusionError> {
        let (Some(horizon), Some((cutoff, _))) = (self.horizon, self.cutoff()) else {
            return Ok(());
        };
        let mut old: Vec<Box<[u8]>> = Vec::new();
        let keys: Vec<&[u8]> = self.rows.keys().map(AsRef::as_ref).collect();
        let parser = self.keys.parser();
        for keys in keys.chunks(LOOK) {
            let rows = keys.iter().map(|key| parser.parse(key));
            let columns = self.keys.convert_rows(rows)?;
            let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
            let times = cast(&columns[horizon.group], &micros)?;
            let times = times.as_primitive::<TimestampMicrosecondType>();
            let is_old = |at: &usize| times.is_valid(*at) && times.value(*at) < cutoff;
            old.extend((0..keys.len()).filter(is_old).map(|at| keys[at].into()));
        }
        for key in &old {
            if let Some(state) = self.rows.remove(key) {
                self.bytes -= key.len() + state.len();
            }
        }
        if self.rows.len() < self.rows.capacity() / 4 {
            self.rows.shrink_to_fit();
        }
        self.evicted = cutoff;
        Ok(())
    }

    /// Takes over a state from the changelog; a later one of the same key replaces it.
    pub(crate) fn restore(&mut self, header: &[u8]) -> Result<(), BadState> {
        let (version, rest) = header.split_first().ok_or(BadState::Malformed)?;
        if *version != HEADER_VERSION {
            return Err(BadState::OtherVersion);
        }
        let (fingerprint, rest) = rest.split_first_chunk::<8>().ok_or(BadState::Malformed)?;
        if *fingerprint != self.fingerprint {
            return Err(BadState::OtherQuery);
        }
        let (watermark, rest) = rest.split_first_chunk::<8>().ok_or(BadState::Malformed)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or(BadState::Malformed)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let (key, state) = rest.split_at_checked(length).ok_or(BadState::Malformed)?;
        let watermark = i64::from_be_bytes(*watermark);
        if watermark != NO_WATERMARK {
            self.watermark = self.watermark.max(Some(watermark));
        }
        self.put(key, state);
        if self.rows.len() > self.room {
            // A topic holds every key that ever was; twice what stays is looked through at most, so that it is seldom.
            self.evict().map_err(|_| BadState::Malformed)?;
            self.room = FEWEST_RESTORED.max(2 * self.rows.len());
        }
        Ok(())
    }

    /// Forgets the key of a record, which `decoder` reads as its GROUP BY columns.
    pub(crate) fn remove(
        &mut self,
        decoder: &mut Decoder,
        key: Option<&[u8]>,
    ) -> anyhow::Result<()> {
        decoder.push(key)?;
        let columns = decoder.finish()?;
        let fields = self.schema.fields().iter();
        let columns: Vec<ArrayRef> = columns
            .columns()
            .iter()
            .zip(fields)
            .map(|(column, field)| cast(column, field.data_type()))
            .collect::<Result<_, _>>()?;
        for key in &self.keys.convert_columns(&columns)? {
            if let Some(state) = self.rows.remove(key.as_ref()) {
                self.bytes -= key.as_ref().len() + state.len();
            }
        }
        Ok(())
    }

    /// Every key with its state, in no order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let rows = self.rows.iter();
        rows.map(|(key, state)| (key.as_ref(), state.as_ref()))
    }

    /// So many keys are about to come.
    pub(crate) fn reserve(&mut self, keys: usize) {
        self.rows.reserve(keys);
    }

    /// Event time of the partition, as it was kept elsewhere.
    pub(crate) fn set_watermark(&mut self, watermark: Option<i64>) {
        self.watermark = watermark;
    }

    /// Files a key's state, in place of the one before.
    pub(crate) fn put(&mut self, key: &[u8], state: &[u8]) {
        if let Some(slot) = self.rows.get_mut(key) {
            self.bytes = self.bytes - slot.len() + state.len();
            if slot.len() == state.len() {
                slot.copy_from_slice(state);
            } else {
                *slot = state.into();
            }
            return;
        }
        self.bytes += key.len() + state.len();
        self.rows.insert(key.into(), state.into());
    }

    /// The states that are kept of the keys in `fresh`; None when all of them are new.
    fn old_states(&self, fresh: &RecordBatch) -> Result<Option<RecordBatch>, DataFusionError> {
        let keys = self
            .keys
            .convert_columns(&fresh.columns()[..self.key_width])?;
        let parser = self.states.parser();
        let mut found = Vec::new();
        let mut states = Vec::new();
        for (position, key) in (0_u32..).zip(keys.iter()) {
            if let Some(state) = self.rows.get(key.as_ref()) {
                found.push(position);
                states.push(parser.parse(state));
            }
        }
        if found.is_empty() {
            return Ok(None);
        }
        let states = self.states.convert_rows(states)?;
        let known = take_record_batch(fresh, &UInt32Array::from(found))?;
        let mut columns = known.columns()[..self.key_width].to_vec();
        columns.extend(states);
        Ok(Some(RecordBatch::try_new(
            Arc::clone(&self.schema),
            columns,
        )?))
    }

    /// The plan keeps the order of the states; were that ever to change, a row would be filed under another's key.
    fn same_order(
        &self,
        query: &GoldQuery,
        results: &RecordBatch,
        keys: &Rows,
    ) -> Result<(), DataFusionError> {
        let columns: Vec<ArrayRef> = query
            .key()
            .iter()
            .map(|at| Arc::clone(results.column(*at)))
            .collect();
        let mut exact = Vec::with_capacity(columns.len());
        for (column, field) in columns.iter().zip(self.schema.fields()) {
            exact.push(cast(column, field.data_type())?);
        }
        let emitted = self.keys.convert_columns(&exact)?;
        if emitted.num_rows() == keys.num_rows() && emitted.iter().eq(keys.iter()) {
            return Ok(());
        }
        Err(DataFusionError::Internal(
            "result rows do not stand in the order of their states".to_owned(),
        ))
    }
}

impl Update {
    /// Number of touched keys.
    pub(crate) fn len(&self) -> usize {
        self.keys.num_rows()
    }

    /// Writes the header that carries the state of row `row` into `buffer`: version, fingerprint, watermark, length of the key, key,
    /// state.
    pub(crate) fn header(&self, row: usize, buffer: &mut Vec<u8>) {
        let (key, state) = (self.keys.row(row), self.states.row(row));
        let (key, state) = (key.as_ref(), state.as_ref());
        let length = u32::try_from(key.len()).expect("a key is shorter than a Kafka record");
        buffer.clear();
        buffer.push(HEADER_VERSION);
        buffer.extend_from_slice(&self.fingerprint);
        buffer.extend_from_slice(&self.watermark.unwrap_or(NO_WATERMARK).to_be_bytes());
        buffer.extend_from_slice(&length.to_be_bytes());
        buffer.extend_from_slice(key);
        buffer.extend_from_slice(state);
    }
}

fn converter(fields: &[FieldRef]) -> Result<RowConverter, DataFusionError> {
    let fields = fields
        .iter()
        .map(|field| SortField::new(field.data_type().clone()))
        .collect();
    Ok(RowConverter::new(fields)?)
}
