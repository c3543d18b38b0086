//! clean_events.sql: raw columns in, clean columns and a verdict for each row out.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion::sql::parser::Statement as DFStatement;
use datafusion::sql::sqlparser::ast::Statement;

use super::error::SqlError;
use super::query_form::File;
use super::record;
use super::session::state_with_table;
use super::source::BatchTable;
use super::types::{Column, SqlType};

/// The column of clean_events.sql that holds the verdict: NULL means clean.
pub const REJECT_REASON: &str = "reject_reason";

const ACCEPTED: &str = "clean_events.sql is one SELECT of expressions FROM raw_events, one row out for each row in: a condition is not a WHERE but a \
     CASE that yields reject_reason (NULL means clean)";

/// The planned clean_events.sql. Evaluation is pure, and the same for the same rows.
#[derive(Debug)]
pub struct CleanQuery {
    input: SchemaRef,
    /// From the raw columns to the result, each a list of expressions over the one before.
    steps: Vec<Step>,
    columns: Vec<Column>,
    /// Where each clean column stands in the last step, then the verdict.
    positions: Vec<usize>,
    reason: usize,
    output: SchemaRef,
}

#[derive(Debug)]
enum Step {
    Pick(Vec<usize>),
    Compute(Vec<Arc<dyn PhysicalExpr>>, SchemaRef),
}

/// What became of each row of a batch.
#[derive(Debug)]
pub struct Verdicts {
    /// The clean columns of every row, rejected ones included.
    pub columns: RecordBatch,
    /// NULL for a clean row, else the author's reason.
    pub reasons: StringArray,
}

impl CleanQuery {
    /// Plans the text of clean_events.sql over the declared raw columns.
    pub(super) fn plan(path: &Path, text: &str, raw: &[Column]) -> Result<Self, SqlError> {
        let file = File::new(path, text, ACCEPTED);
        let input = input_schema(raw);
        let table = Arc::new(BatchTable::new(Arc::clone(&input)));
        let planning = |error: DataFusionError| file.planning(&error);
        let mut query = file.query()?;
        file.select(&mut query)?;
        let statement = DFStatement::Statement(Box::new(Statement::Query(query)));
        let state = state_with_table("raw_events", table).map_err(planning)?;
        let plan =
            futures::executor::block_on(state.statement_to_plan(statement)).map_err(planning)?;
        refuse_unstable(&file, &plan)?;
        refuse_steps(&file, &plan)?;
        let plan = state.optimize(&plan).map_err(planning)?;
        let mut steps = Vec::new();
        collect_steps(&file, &plan, &mut steps)?;
        let (columns, positions, reason) = output_columns(&file, plan.schema().as_arrow())?;
        let output = Arc::new(Schema::new(
            columns
                .iter()
                .map(|column| Field::new(&column.name, column.sql_type.arrow(), true))
                .collect::<Vec<_>>(),
        ));
        let query = Self {
            input,
            steps,
            columns,
            positions,
            reason,
            output,
        };
        if query.comes_of(reason, record::PROCESSING_TIME) {
            return Err(SqlError::new(
                path,
                None,
                format!(
                    "`{REJECT_REASON}` depends on `{}`, which is another when the log is read again",
                    record::PROCESSING_TIME
                ),
                "compare with `_timestamp`, the record's own time",
            ));
        }
        Ok(query)
    }

    /// Whether a clean column depends on when it is computed.
    pub(crate) fn is_of_the_moment(&self, column: usize) -> bool {
        self.comes_of(self.positions[column], record::PROCESSING_TIME)
    }

    /// Whether a column of the result is computed from a column of the input.
    fn comes_of(&self, result: usize, input: &str) -> bool {
        let mut wanted = HashSet::from([result]);
        for step in self.steps.iter().rev() {
            wanted = match step {
                Step::Pick(columns) => wanted.into_iter().map(|at| columns[at]).collect(),
                Step::Compute(expressions, _) => wanted
                    .into_iter()
                    .flat_map(|at| collect_columns(&expressions[at]))
                    .map(|column| column.index())
                    .collect(),
            };
        }
        wanted
            .into_iter()
            .any(|at| self.input.field(at).name() == input)
    }

    /// The columns that a batch must have: the declared ones, then those of [`record`].
    pub fn input(&self) -> &SchemaRef {
        &self.input
    }

    /// Whether an expression reads a column of the input.
    pub fn reads(&self, name: &str) -> bool {
        match self.steps.first() {
            Some(Step::Pick(columns)) => columns
                .iter()
                .any(|at| self.input.field(*at).name() == name),
            _ => true,
        }
    }

    /// The clean columns, in the order of the SELECT, without the verdict.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Evaluates all rows at once.
    ///
    /// # Errors
    /// When an expression fails on any of them (a division by zero, say): the caller finds the row by halving the batch.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<Verdicts, DataFusionError> {
        let rows = batch.num_rows();
        let mut current = batch.clone();
        for step in &self.steps {
            current = match step {
                Step::Pick(columns) => current.project(columns)?,
                Step::Compute(expressions, schema) => {
                    let arrays = expressions
                        .iter()
                        .map(|expression| expression.evaluate(&current)?.into_array(rows))
                        .collect::<Result<Vec<_>, _>>()?;
                    let options = RecordBatchOptions::new().with_row_count(Some(rows));
                    RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?
                }
            };
        }
        let arrays = self
            .positions
            .iter()
            .zip(self.output.fields())
            .map(|(position, field)| exactly(current.column(*position), field.data_type()))
            .collect::<Result<Vec<_>, _>>()?;
        let reasons = exactly(current.column(self.reason), &DataType::Utf8)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(Verdicts {
            columns: RecordBatch::try_new_with_options(Arc::clone(&self.output), arrays, &options)?,
            reasons: reasons.as_string::<i32>().clone(),
        })
    }
}

/// The declared columns and the record's own.
fn input_schema(raw: &[Column]) -> SchemaRef {
    let own = [
        (record::KEY, SqlType::Varchar),
        (record::TOPIC, SqlType::Varchar),
        (record::PARTITION, SqlType::BigInt),
        (record::OFFSET, SqlType::BigInt),
        (record::TIMESTAMP, SqlType::Timestamp),
        (record::PROCESSING_TIME, SqlType::Timestamp),
    ];
    let declared = raw
        .iter()
        .map(|column| Field::new(&column.name, column.sql_type.arrow(), true));
    let own = own
        .into_iter()
        .map(|(name, sql_type)| Field::new(name, sql_type.arrow(), true));
    Arc::new(Schema::new(declared.chain(own).collect::<Vec<_>>()))
}

/// Widening casts only, and an error rather than a NULL when a value does not fit.
pub(super) fn exactly(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, DataFusionError> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    Ok(cast_with_options(
        array,
        to,
        &CastOptions {
            safe: false,
            ..CastOptions::default()
        },
    )?)
}

/// A verdict must be the same when the log is read again: no clock, no chance.
pub(super) fn refuse_unstable(file: &File<'_>, plan: &LogicalPlan) -> Result<(), SqlError> {
    let mut found = None;
    let walked = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::ScalarFunction(call) = part
                    && call.func.signature().volatility != Volatility::Immutable
                {
                    found = Some(Arc::clone(&call.func));
                    return Ok(TreeNodeRecursion::Stop);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    walked.map_err(|error| file.planning(&error))?;
    let Some(function) = found else { return Ok(()) };
    let mut names =
        std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str));
    let line = names.find_map(|name| file.words.line_of(name));
    Err(SqlError::new(
        file.path,
        line,
        format!(
            "`{}()` gives another answer when the log is read again",
            function.name()
        ),
        "compare with `_timestamp`, the record's own time; `_processing_time` is there for information",
    ))
}

/// One row out for each row in: nothing but expressions over the table, or over expressions over it.
fn refuse_steps(file: &File<'_>, plan: &LogicalPlan) -> Result<(), SqlError> {
    let mut refused = None;
    let walked = plan.apply_with_subqueries(|node| {
        Ok(match node {
            LogicalPlan::Projection(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::TableScan(_) => TreeNodeRecursion::Continue,
            other => {
                refused = Some(file.refuse_step(other));
                TreeNodeRecursion::Stop
            }
        })
    });
    walked.map_err(|error| file.planning(&error))?;
    refused.map_or(Ok(()), Err)
}

fn collect_steps(
    file: &File<'_>,
    plan: &LogicalPlan,
    steps: &mut Vec<Step>,
) -> Result<(), SqlError> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => collect_steps(file, &alias.input, steps),
        LogicalPlan::TableScan(scan) if scan.fetch.is_none() => {
            if let Some(columns) = &scan.projection {
                steps.push(Step::Pick(columns.clone()));
            }
            Ok(())
        }
        LogicalPlan::Projection(projection) => {
            collect_steps(file, &projection.input, steps)?;
            let properties = ExecutionProps::new();
            let context = PhysicalPlanningContext::default();
            let schema = projection.input.schema();
            let expressions = projection
                .expr
                .iter()
                .map(|expression| create_physical_expr(expression, schema, &properties, &context))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| file.planning(&error))?;
            let schema = nullable(projection.schema.as_arrow());
            steps.push(Step::Compute(expressions, schema));
            Ok(())
        }
        other => Err(file.refuse_step(other)),
    }
}

/// The same fields, each nullable: the planner's opinion of nullability is no reason to fail on a row.
fn nullable(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(
        schema
            .fields()
            .iter()
            .map(|field| field.as_ref().clone().with_nullable(true))
            .collect::<Vec<_>>(),
    ))
}

fn output_columns(
    file: &File<'_>,
    schema: &Schema,
) -> Result<(Vec<Column>, Vec<usize>, usize), SqlError> {
    let mut columns: Vec<Column> = Vec::new();
    let mut positions = Vec::new();
    let mut reason = None;
    for (position, field) in schema.fields().iter().enumerate() {
        let name = field.name();
        let refuse = |message: String, hint: &str| {
            SqlError::new(file.path, file.words.line_of_item(position), message, hint)
        };
        if name == REJECT_REASON {
            if !matches!(
                field.data_type(),
                DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null
            ) {
                let message = format!(
                    "`{REJECT_REASON}` is of type {}, not VARCHAR",
                    field.data_type()
                );
                return Err(refuse(message, ACCEPTED));
            }
            reason = Some(position);
            continue;
        }
        if name.starts_with('_') || columns.iter().any(|other| other.name == *name) {
            return Err(refuse(
                format!(
                    "column `{name}` cannot be a clean column: names are unique and do not start with `_`"
                ),
                "give it a name of its own: expression AS name",
            ));
        }
        let Some(sql_type) = SqlType::from_arrow(field.data_type()) else {
            return Err(refuse(
                format!("column `{name}` is of type {}", field.data_type()),
                "CAST it to VARCHAR, DECIMAL(p, s), BIGINT, DOUBLE, BOOLEAN, DATE or TIMESTAMP",
            ));
        };
        columns.push(Column {
            name: name.clone(),
            sql_type,
        });
        positions.push(position);
    }
    let reason =
        reason.ok_or_else(|| file.refuse(None, format!("there is no column `{REJECT_REASON}`")))?;
    if columns.is_empty() {
        return Err(file.refuse(None, "there is no clean column beside the verdict"));
    }
    Ok((columns, positions, reason))
}
