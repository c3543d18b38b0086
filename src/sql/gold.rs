//! gold/NAME.sql: clean rows in, mergeable states out; states in, result rows out.
//!
//! DataFusion plans the query once. From its aggregation come three plans: *Partial* over a batch of clean rows,
//! *PartialReduce* over states of the same keys, *Final* (with what stands above it in the SELECT) over one state per key.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Column as ColumnExpr;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use sha2::{Digest, Sha256};

use super::clean::{exactly, refuse_unstable};
use super::error::SqlError;
use super::gold_form::{ACCEPTED, with_newest};
use super::gold_time::{KeyTime, as_times, key_times};
use super::query_form::File;
use super::record;
use super::session::state_with_table;
use super::source::{BatchSource, BatchTable, with_rows};
use super::types::{Column, SqlType};

/// The hidden last column of a result: the newest `_timestamp` among the rows of the key.
pub const NEWEST: &str = "_newest";

/// Arrow's row format, in which states are kept, may change with its major version.
const ROW_FORMAT: &str = "arrow 59";

/// The planned gold/NAME.sql. Evaluation is pure.
pub struct GoldQuery {
    input: SchemaRef,
    partial: Arc<dyn ExecutionPlan>,
    /// The whole plan; its aggregation is replaced by a Final one over the states of the moment.
    whole: Arc<dyn ExecutionPlan>,
    group_by: PhysicalGroupBy,
    aggregates: Vec<Arc<AggregateFunctionExpr>>,
    input_schema: SchemaRef,
    state: SchemaRef,
    output: SchemaRef,
    columns: Vec<Column>,
    key: Vec<usize>,
    times: Vec<KeyTime>,
    fingerprint: [u8; 8],
    task: Arc<TaskContext>,
}

impl std::fmt::Debug for GoldQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GoldQuery")
            .field("columns", &self.columns)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl GoldQuery {
    /// Plans the text of a gold file over the clean columns. `clean_key` is the column that clean_events is keyed by: it has
    /// to be among the GROUP BY columns, so that all rows of a key meet in one partition.
    pub(super) fn plan(
        file: &Path,
        text: &str,
        clean: &[Column],
        clean_key: &str,
    ) -> Result<Self, SqlError> {
        let file = File::new(file, text, ACCEPTED);
        let planning = |error: DataFusionError| file.planning(&error);
        let input = input_schema(clean);
        let state = state_with_table(
            "clean_events",
            Arc::new(BatchTable::new(Arc::clone(&input))),
        )
        .map_err(planning)?;
        let statement = with_newest(&file, clean_key)?;
        let logical =
            futures::executor::block_on(state.statement_to_plan(statement)).map_err(planning)?;
        refuse_unstable(&file, &logical)?;
        super::gold_form::check(&file, &logical)?;
        let whole =
            futures::executor::block_on(state.create_physical_plan(&logical)).map_err(planning)?;
        let Some(partial) = lowest_aggregation(&whole) else {
            return Err(file.refuse(None, "there is no aggregation in it"));
        };
        let group_by = partial.group_expr().clone();
        let aggregates = partial.aggr_expr().to_vec();
        let input_schema = partial.input_schema();
        let partial: Arc<dyn ExecutionPlan> = Arc::new(
            AggregateExec::try_new(
                AggregateMode::Partial,
                group_by.clone(),
                aggregates.clone(),
                partial.filter_expr().to_vec(),
                Arc::clone(partial.input()),
                Arc::clone(&input_schema),
            )
            .map_err(planning)?,
        );
        let key = key_positions(&file, &whole, group_by.num_group_exprs())?;
        let (columns, output) = output_columns(&file, &whole.schema())?;
        let fingerprint = fingerprint(&partial);
        let times = key_times(&state, &logical, &partial.schema()).map_err(planning)?;
        Ok(Self {
            input,
            state: partial.schema(),
            partial,
            whole,
            group_by,
            aggregates,
            input_schema,
            output,
            columns,
            key,
            times,
            fingerprint,
            task: state.task_ctx(),
        })
    }

    /// The columns that a batch of clean rows must have: the clean ones, then `_timestamp`.
    pub fn input(&self) -> &SchemaRef {
        &self.input
    }

    /// The columns of a result row, without [`NEWEST`].
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Where the GROUP BY columns stand among [`Self::columns`], in the order of the GROUP BY.
    pub fn key(&self) -> &[usize] {
        &self.key
    }

    /// The columns of a state: the GROUP BY columns first.
    pub fn state(&self) -> &SchemaRef {
        &self.state
    }

    /// How many of a state's columns are its key.
    pub fn key_width(&self) -> usize {
        self.key.len()
    }

    /// Changes when states of one text of the query cannot be merged with those of another.
    pub fn fingerprint(&self) -> [u8; 8] {
        self.fingerprint
    }

    /// The DATE and TIMESTAMP columns among the GROUP BY columns: where each stands in the GROUP BY, and its name.
    pub fn key_times(&self) -> impl Iterator<Item = (usize, &str)> {
        self.times.iter().map(|time| {
            let column = &self.columns[self.key[time.group]];
            (time.group, column.name.as_str())
        })
    }

    /// The key's time of each clean row, by the GROUP BY column at `group`, which is one of [`Self::key_times`]. NULL where the
    /// column is, and where the WHERE leaves the row out.
    ///
    /// # Errors
    /// When the expression fails on any of the rows.
    pub fn times(
        &self,
        group: usize,
        clean: &RecordBatch,
    ) -> Result<TimestampMicrosecondArray, DataFusionError> {
        let time = self.times.iter().find(|time| time.group == group);
        let time = time.ok_or_else(|| DataFusionError::Internal(format!("no time at {group}")))?;
        let rows = self.run(with_rows(&time.plan, clean)?, &time.plan.schema())?;
        as_times(&rows)
    }

    /// The states of a batch of clean rows; a key may come more than once.
    ///
    /// # Errors
    /// When an expression fails on any of the rows.
    pub fn partial(&self, clean: &RecordBatch) -> Result<RecordBatch, DataFusionError> {
        self.run(with_rows(&self.partial, clean)?, &self.state)
    }

    /// One state for each key.
    ///
    /// # Errors
    /// When states cannot be merged: an overflow of a sum, say.
    pub fn reduce(&self, states: RecordBatch) -> Result<RecordBatch, DataFusionError> {
        let plan = self.over_states(AggregateMode::PartialReduce, states)?;
        self.run(plan, &self.state)
    }

    /// The result rows of one state per key, in the order of the states, with [`NEWEST`] as the last column.
    ///
    /// # Errors
    /// When an expression above the aggregation fails.
    pub fn finish(&self, states: RecordBatch) -> Result<RecordBatch, DataFusionError> {
        let last = self.over_states(AggregateMode::Final, states)?;
        let plan = Arc::clone(&self.whole).transform_down(|node| {
            if node.downcast_ref::<AggregateExec>().is_some() {
                // The states are at hand: nothing below this node is wanted any more.
                return Ok(Transformed::new(
                    Arc::clone(&last),
                    true,
                    datafusion::common::tree_node::TreeNodeRecursion::Jump,
                ));
            }
            Ok(Transformed::no(node))
        })?;
        let plan_schema = plan.data.schema();
        let rows = self.run(plan.data, &plan_schema)?;
        let arrays = rows
            .columns()
            .iter()
            .zip(self.output.fields())
            .map(|(array, field)| exactly(array, field.data_type()))
            .collect::<Result<Vec<ArrayRef>, _>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.output), arrays)?)
    }

    fn over_states(
        &self,
        mode: AggregateMode,
        states: RecordBatch,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let leaf: Arc<dyn ExecutionPlan> = Arc::new(BatchSource::of(states));
        Ok(Arc::new(AggregateExec::try_new(
            mode,
            self.group_by.as_final(),
            self.aggregates.clone(),
            vec![None; self.aggregates.len()],
            leaf,
            Arc::clone(&self.input_schema),
        )?))
    }

    /// A plan of one partition that waits for nothing runs where it is called.
    fn run(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        schema: &SchemaRef,
    ) -> Result<RecordBatch, DataFusionError> {
        let batches = futures::executor::block_on(collect(plan, Arc::clone(&self.task)))?;
        match batches.as_slice() {
            [one] => Ok(one.clone()),
            several => Ok(concat_batches(schema, several)?),
        }
    }
}

fn input_schema(clean: &[Column]) -> SchemaRef {
    let columns = clean
        .iter()
        .map(|column| Field::new(&column.name, column.sql_type.arrow(), true));
    let timestamp = Field::new(record::TIMESTAMP, SqlType::Timestamp.arrow(), true);
    Arc::new(Schema::new(columns.chain([timestamp]).collect::<Vec<_>>()))
}

/// Without physical optimizer rules the planner makes a Final aggregation over a Partial one.
fn lowest_aggregation(plan: &Arc<dyn ExecutionPlan>) -> Option<&AggregateExec> {
    let below = plan.children().into_iter().find_map(lowest_aggregation);
    below.or_else(|| plan.downcast_ref::<AggregateExec>())
}

/// Follows each column of the result down to the aggregation, whose first columns are the GROUP BY columns.
fn key_positions(
    file: &File<'_>,
    plan: &Arc<dyn ExecutionPlan>,
    groups: usize,
) -> Result<Vec<usize>, SqlError> {
    let mut origin: Vec<Option<usize>> = (0..plan.schema().fields().len()).map(Some).collect();
    let mut node = plan;
    while let Some(projection) = node.downcast_ref::<ProjectionExec>() {
        for slot in &mut origin {
            *slot = slot.and_then(|at| {
                let expression: &Arc<dyn PhysicalExpr> = &projection.expr()[at].expr;
                Some(expression.downcast_ref::<ColumnExpr>()?.index())
            });
        }
        node = projection.input();
    }
    (0..groups)
        .map(|group| {
            origin.iter().position(|at| *at == Some(group)).ok_or_else(|| {
                SqlError::new(
                    file.path,
                    file.words.line_of("GROUP BY"),
                    format!("column {} of the GROUP BY is not in the SELECT list", group + 1),
                    "the GROUP BY columns are the row's primary key: select each of them as it is, under a name",
                )
            })
        })
        .collect()
}

fn output_columns(file: &File<'_>, schema: &Schema) -> Result<(Vec<Column>, SchemaRef), SqlError> {
    let mut columns: Vec<Column> = Vec::new();
    for (position, field) in schema.fields().iter().enumerate() {
        let name = field.name();
        let refuse = |message: String, hint: &str| {
            SqlError::new(file.path, file.words.line_of_item(position), message, hint)
        };
        // approx_distinct counts in unsigned numbers that never come near the limit.
        let sql_type = match field.data_type() {
            DataType::UInt64 => Some(SqlType::BigInt),
            other => SqlType::from_arrow(other),
        };
        let Some(sql_type) = sql_type else {
            return Err(refuse(
                format!("column `{name}` is of type {}", field.data_type()),
                "CAST it to VARCHAR, DECIMAL(p, s), BIGINT, DOUBLE, BOOLEAN, DATE or TIMESTAMP",
            ));
        };
        if columns.iter().any(|other| other.name == *name)
            || (name.starts_with('_') && name != NEWEST)
        {
            return Err(refuse(
                format!(
                    "column `{name}` cannot be a gold column: names are unique and do not start with `_`"
                ),
                "give it a name of its own: expression AS name",
            ));
        }
        columns.push(Column {
            name: name.clone(),
            sql_type,
        });
    }
    let fields = columns
        .iter()
        .map(|column| Field::new(&column.name, column.sql_type.arrow(), true));
    let output = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    columns.pop();
    Ok((columns, output))
}

fn fingerprint(partial: &Arc<dyn ExecutionPlan>) -> [u8; 8] {
    let mut hash = Sha256::new();
    hash.update(ROW_FORMAT);
    hash.update(displayable(partial.as_ref()).indent(false).to_string());
    for field in partial.schema().fields() {
        hash.update(format!("{}:{};", field.name(), field.data_type()));
    }
    let digest = hash.finalize();
    std::array::from_fn(|at| digest[at])
}
