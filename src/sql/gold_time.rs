//! The times among the GROUP BY columns of a gold query, told for each clean row by itself.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Schema, TimeUnit, TimestampMicrosecondType};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, when};
use datafusion::physical_plan::ExecutionPlan;

/// One DATE or TIMESTAMP of the GROUP BY.
pub(super) struct KeyTime {
    /// Where it stands in the GROUP BY.
    pub(super) group: usize,
    /// One row for each clean row: the time in microseconds; NULL where the WHERE leaves the row out.
    pub(super) plan: Arc<dyn ExecutionPlan>,
}

/// Plans the times of a gold query's logical plan, before it is optimised. `state` has its GROUP BY columns first.
pub(super) fn key_times(
    session: &SessionState,
    logical: &LogicalPlan,
    state: &Schema,
) -> Result<Vec<KeyTime>> {
    let mut aggregation = None;
    logical.apply(|node| {
        if let LogicalPlan::Aggregate(found) = node {
            aggregation = Some(found.clone());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let Some(aggregation) = aggregation else {
        return Ok(Vec::new());
    };
    let mut times = Vec::new();
    for (group, expression) in aggregation.group_expr.iter().enumerate() {
        let is_time = matches!(
            state.field(group).data_type(),
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _)
        );
        if is_time {
            let plan = plan(session, expression, &aggregation.input)?;
            times.push(KeyTime { group, plan });
        }
    }
    Ok(times)
}

fn plan(
    session: &SessionState,
    expression: &Expr,
    input: &Arc<LogicalPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let time = cast(
        expression.clone().unalias(),
        DataType::Timestamp(TimeUnit::Microsecond, None),
    );
    // Not a filter: every row keeps its place. What the WHERE leaves out is not evaluated either.
    let (input, time) = match input.as_ref() {
        LogicalPlan::Filter(filter) => {
            let time = when(filter.predicate.clone(), time).end()?;
            (&filter.input, time)
        }
        _ => (input, time),
    };
    let logical = LogicalPlanBuilder::from(input.as_ref().clone())
        .project([time.alias("time")])?
        .build()?;
    futures::executor::block_on(session.create_physical_plan(&logical))
}

/// The only column, as times.
pub(super) fn as_times(rows: &RecordBatch) -> Result<TimestampMicrosecondArray> {
    let column = rows.column(0);
    let times = column.as_primitive_opt::<TimestampMicrosecondType>();
    times.cloned().ok_or_else(|| {
        DataFusionError::Internal(format!("times are of type {}", column.data_type()))
    })
}
