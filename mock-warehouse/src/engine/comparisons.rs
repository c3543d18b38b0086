//! What a plan compares as DataFusion would, and Snowflake would not. Two TIMESTAMP_TZ of one moment are equal whatever their offsets; their bytes are not, so plans
//! that would compare them are refused.

use arrow::datatypes::DataType;
use datafusion::{
    common::{
        DFSchema, Result,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Distinct, Expr, ExprSchemable, LogicalPlan, Operator, utils::merge_schema},
};

use super::{SqlError, sql_type::SqlType};

/// Passes when nothing in the plan compares TIMESTAMP_TZ values as bytes, or sorts by VARIANT as text. To sort by TIMESTAMP_TZ
/// is right: the moment comes first.
pub(crate) fn refuse_incomparable(plan: &LogicalPlan) -> Result<(), SqlError> {
    plan.apply_with_subqueries(|node| {
        let inputs = merge_schema(&node.inputs());
        let schema = if node.inputs().is_empty() {
            node.schema().as_ref()
        } else {
            &inputs
        };
        if groups(node, schema) {
            return Err(refusal().into());
        }
        if let LogicalPlan::Sort(sort) = node
            && sort
                .expr
                .iter()
                .any(|order| is_variant(&order.expr, schema))
        {
            // Its text would be sorted, and 10 comes before 9 there.
            return Err(SqlError::unsupported("ORDER BY A VARIANT").into());
        }
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if compared(part).any(|value| is_zoned(value, schema)) {
                    return Err(refusal().into());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(())
}

fn refusal() -> SqlError {
    SqlError::unsupported("COMPARISON OF TIMESTAMP_TZ")
}

fn is_zoned(value: &Expr, schema: &DFSchema) -> bool {
    matches!(value.get_type(schema), Ok(DataType::FixedSizeBinary(_)))
}

fn is_variant(value: &Expr, schema: &DFSchema) -> bool {
    let field = value.to_field(schema);
    field.is_ok_and(|(_, field)| SqlType::of(&field).is_ok_and(SqlType::is_semi_structured))
}

/// Whether the node itself finds out which rows are the same.
fn groups(node: &LogicalPlan, schema: &DFSchema) -> bool {
    match node {
        LogicalPlan::Aggregate(aggregate) => aggregate
            .group_expr
            .iter()
            .any(|value| is_zoned(value, schema)),
        LogicalPlan::Join(join) => join.on.iter().any(|(left, _)| is_zoned(left, schema)),
        LogicalPlan::Distinct(Distinct::All(_)) => schema
            .fields()
            .iter()
            .any(|field| matches!(field.data_type(), DataType::FixedSizeBinary(_))),
        LogicalPlan::Distinct(Distinct::On(distinct)) => {
            distinct.on_expr.iter().any(|value| is_zoned(value, schema))
        }
        _ => false,
    }
}

fn compares(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

/// The values that an expression compares.
fn compared(expression: &Expr) -> impl Iterator<Item = &Expr> {
    match expression {
        Expr::BinaryExpr(binary) if compares(binary.op) => vec![binary.left.as_ref()],
        Expr::InList(list) => vec![list.expr.as_ref()],
        Expr::Between(between) => vec![between.expr.as_ref()],
        Expr::Case(case) => case.expr.iter().map(AsRef::as_ref).collect(),
        Expr::AggregateFunction(aggregate)
            if aggregate.params.distinct || aggregate.func.name() != "count" =>
        {
            aggregate.params.args.iter().collect()
        }
        Expr::WindowFunction(window) => window.params.partition_by.iter().collect(),
        _ => vec![],
    }
    .into_iter()
}
