//! What a gold table is: its query and what it keeps. Clean rows and a state in, an update and the refused rows out; pure.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::Context;
use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::common::DataFusionError;

use super::keep::{Horizon, Keep, Late, judge};
use super::state::{State, Update};
use crate::rejected::{EVALUATION, Reason};
use crate::sql::{GoldQuery, Pipeline, record};

/// One file of gold/, and its `keep`.
#[derive(Debug)]
pub(crate) struct Definition {
    pipeline: Arc<Pipeline>,
    at: usize,
    horizon: Option<Horizon>,
}

/// What clean rows of one partition change.
pub(crate) struct Changed {
    /// The touched keys.
    pub(crate) update: Update,
    /// Rows, by number, that are not counted: too late, or the query fails on them.
    pub(crate) refused: Vec<(usize, Reason)>,
    /// How many of them are too late.
    pub(crate) late: usize,
}

/// Some rows of a batch, and which.
struct Rows {
    numbers: Vec<usize>,
    batch: RecordBatch,
}

impl Rows {
    fn without(&self, left_out: &HashSet<usize>) -> anyhow::Result<Self> {
        let stays: Vec<bool> = self
            .numbers
            .iter()
            .map(|row| !left_out.contains(row))
            .collect();
        let mask: BooleanArray = stays.iter().copied().map(Some).collect();
        let numbers = self.numbers.iter().zip(&stays).filter(|(_, stays)| **stays);
        Ok(Self {
            numbers: numbers.map(|(row, _)| *row).collect(),
            batch: filter_record_batch(&self.batch, &mask)?,
        })
    }
}

impl Definition {
    /// The `at`th gold file of the pipeline.
    ///
    /// # Errors
    /// A `keep` that the query gives no time for.
    pub(crate) fn new(
        pipeline: &Arc<Pipeline>,
        at: usize,
        keep: Option<&Keep>,
    ) -> anyhow::Result<Self> {
        let gold = &pipeline.gold[at];
        let horizon = keep.map(|keep| Horizon::of(&gold.query, &gold.name, keep));
        Ok(Self {
            pipeline: Arc::clone(pipeline),
            at,
            horizon: horizon.transpose()?,
        })
    }

    /// Its name, which is that of its topic.
    pub(crate) fn name(&self) -> &str {
        &self.pipeline.gold[self.at].name
    }

    pub(crate) fn query(&self) -> &GoldQuery {
        &self.pipeline.gold[self.at].query
    }

    /// What it keeps; None: everything.
    pub(crate) fn horizon(&self) -> Option<Horizon> {
        self.horizon
    }

    /// A state without any key.
    pub(crate) fn empty_state(&self) -> Result<State, DataFusionError> {
        Ok(State::new(self.query())?.keeping(self.horizon))
    }

    /// What clean rows change in the state of their partition, in the order of its log. Rows that are too late, or that the
    /// query fails on, are left out and told; they do not move event time.
    ///
    /// Where rows fail only together, which of them is refused may depend on the batch: a sum that overflows in the middle of a
    /// batch and is back in range at its end refuses nobody, and cut in two the same rows do.
    pub(crate) fn merge(&self, state: &State, clean: &RecordBatch) -> anyhow::Result<Changed> {
        let mut rows = Rows {
            numbers: (0..clean.num_rows()).collect(),
            batch: clean.clone(),
        };
        let mut failing: Vec<(usize, Reason)> = Vec::new();
        loop {
            let (error, tried) = match self.attempt(state, &rows)? {
                Attempt::Done(update, late) => {
                    let mut refused = failing;
                    refused.extend(late.iter().map(|(row, late)| (*row, self.late(*late))));
                    return Ok(Changed {
                        update: *update,
                        refused,
                        late: late.len(),
                    });
                }
                Attempt::Failed(error, tried) => (error, tried),
            };
            let known = failing.len();
            let tried = tried.as_ref().unwrap_or(&rows);
            self.find_failing(state, tried, &mut failing);
            if failing.len() == known {
                // Each fits alone, so one of them does not fit behind those before it.
                failing.extend(self.first_failing(state, tried));
            }
            if failing.len() == known {
                return Err(error).with_context(|| format!("merging into {}", self.name()));
            }
            // Without them event time may stand elsewhere, so all others are judged again.
            let failed = failing[known..].iter().map(|(row, _)| *row).collect();
            rows = rows.without(&failed)?;
        }
    }

    fn attempt(&self, state: &State, rows: &Rows) -> anyhow::Result<Attempt> {
        let Some(horizon) = self.horizon else {
            return Ok(match state.merge(self.query(), &rows.batch) {
                Ok(update) => Attempt::Done(Box::new(update), Vec::new()),
                Err(error) => Attempt::Failed(error, None),
            });
        };
        let times = match self.query().times(horizon.group, &rows.batch) {
            Ok(times) => times,
            Err(error) => return Ok(Attempt::Failed(error, None)),
        };
        let records = rows.batch.column_by_name(record::TIMESTAMP);
        let records = records.context("clean rows have no _timestamp")?;
        let records = records.as_primitive::<TimestampMicrosecondType>();
        let (late, watermark) = judge(horizon, state.watermark(), &times, records);
        let late: Vec<(usize, Late)> = late
            .into_iter()
            .map(|late| (rows.numbers[late.row], late))
            .collect();
        let counted = if late.is_empty() {
            None
        } else {
            Some(rows.without(&late.iter().map(|(row, _)| *row).collect())?)
        };
        let batch = counted.as_ref().map_or(&rows.batch, |rows| &rows.batch);
        Ok(match state.merge(self.query(), batch) {
            Ok(mut update) => {
                update.watermark = watermark;
                Attempt::Done(Box::new(update), late)
            }
            Err(error) => Attempt::Failed(error, counted),
        })
    }

    fn late(&self, late: Late) -> Reason {
        let horizon = self
            .horizon
            .expect("only what is not kept for ever can be late");
        horizon.reason(self.query(), self.name(), late)
    }

    /// Halves the rows until those stand alone that the query fails on, each merged into what is kept of its key.
    fn find_failing(&self, state: &State, rows: &Rows, found: &mut Vec<(usize, Reason)>) {
        let Err(error) = self.probe(state, &rows.batch) else {
            return;
        };
        let count = rows.numbers.len();
        if let [row] = rows.numbers.as_slice() {
            found.push((*row, self.fails(&error)));
            return;
        }
        let half = count / 2;
        for (from, length) in [(0, half), (half, count - half)] {
            let part = Rows {
                numbers: rows.numbers[from..from + length].to_vec(),
                batch: rows.batch.slice(from, length),
            };
            if length > 0 {
                self.find_failing(state, &part, found);
            }
        }
    }

    /// The first row that the query fails on together with all rows before it.
    fn first_failing(&self, state: &State, rows: &Rows) -> Option<(usize, Reason)> {
        let mut failed = self.probe(state, &rows.batch).err()?;
        let (mut fits, mut fails) = (0, rows.numbers.len());
        while fits + 1 < fails {
            let middle = fits.midpoint(fails);
            match self.probe(state, &rows.batch.slice(0, middle)) {
                Ok(()) => fits = middle,
                Err(error) => (failed, fails) = (error, middle),
            }
        }
        Some((*rows.numbers.get(fits)?, self.fails(&failed)))
    }

    fn fails(&self, error: &DataFusionError) -> Reason {
        let message = error.strip_backtrace();
        let message = message.lines().next().unwrap_or_default();
        Reason {
            code: EVALUATION.to_owned(),
            detail: format!("gold/{}.sql fails on it: {message}", self.name()),
        }
    }

    fn probe(&self, state: &State, rows: &RecordBatch) -> Result<(), DataFusionError> {
        if let Some(horizon) = self.horizon {
            self.query().times(horizon.group, rows)?;
        }
        state.merge(self.query(), rows).map(|_| ())
    }
}

enum Attempt {
    /// The update, and the late rows by their numbers.
    Done(Box<Update>, Vec<(usize, Late)>),
    /// The query fails on some of these rows; None: of all.
    Failed(DataFusionError, Option<Rows>),
}
