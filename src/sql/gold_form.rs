//! The form that a gold query must have, and what is said when it has another.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement as DFStatement;
use datafusion::sql::sqlparser::ast::{
    Expr as AstExpr, GroupByExpr, SelectItem, Statement, TableFactor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::error::SqlError;
use super::gold::NEWEST;
use super::query_form::File;
use super::record;

pub(super) const ACCEPTED: &str = "a gold file is one SELECT columns, aggregates FROM clean_events [WHERE ...] GROUP BY columns; no HAVING, ORDER BY, \
     LIMIT, DISTINCT, join, window or second aggregation";

/// Parses the text and adds the hidden column [`NEWEST`] to its SELECT list.
pub(super) fn with_newest(file: &File<'_>, clean_key: &str) -> Result<DFStatement, SqlError> {
    let mut query = file.query()?;
    if query.with.is_some() {
        return Err(file.refuse_clause("WITH"));
    }
    let select = file.select(&mut query)?;
    let from_table = matches!(
        select.from.first().map(|from| &from.relation),
        Some(TableFactor::Table { .. })
    );
    if !from_table {
        return Err(file.refuse(
            file.words.line_of("FROM"),
            "it does not read FROM clean_events",
        ));
    }
    let GroupByExpr::Expressions(groups, modifiers) = &select.group_by else {
        return Err(file.refuse_clause("GROUP BY ALL"));
    };
    if groups.is_empty() {
        return Err(file.refuse(None, "it has no GROUP BY with a list of columns"));
    }
    let several = groups.iter().any(|group| {
        matches!(
            group,
            AstExpr::GroupingSets(_) | AstExpr::Rollup(_) | AstExpr::Cube(_)
        )
    });
    if several || !modifiers.is_empty() {
        let line = file.words.line_of("GROUP BY");
        return Err(file.refuse(line, "its GROUP BY has more than one set of columns"));
    }
    if !groups_by(&select.group_by, &select.projection, clean_key) {
        let message = format!(
            "its GROUP BY does not contain `{clean_key}`, the column that clean_events is keyed by"
        );
        let hint = format!(
            "add `{clean_key}` to the GROUP BY, or set clean.key to one of its columns: the rows of one key have to meet in one partition"
        );
        return Err(SqlError::new(
            file.path,
            file.words.line_of("GROUP BY"),
            message,
            hint,
        ));
    }
    let newest = format!("max(\"{}\")", record::TIMESTAMP);
    let expr = Parser::new(&GenericDialect {})
        .try_with_sql(&newest)
        .and_then(|mut parser| parser.parse_expr())
        .expect("the hidden column is valid SQL");
    select.projection.push(SelectItem::ExprWithAlias {
        expr,
        alias: NEWEST.into(),
    });
    Ok(DFStatement::Statement(Box::new(Statement::Query(query))))
}

/// Whether a GROUP BY expression is the column itself: by name, by number, or by the alias of it.
fn groups_by(group_by: &GroupByExpr, select: &[SelectItem], column: &str) -> bool {
    let GroupByExpr::Expressions(expressions, _) = group_by else {
        return false;
    };
    let is_column = |expr: &AstExpr| match expr {
        AstExpr::Identifier(name) => name.value.eq_ignore_ascii_case(column),
        AstExpr::CompoundIdentifier(names) => names
            .last()
            .is_some_and(|name| name.value.eq_ignore_ascii_case(column)),
        _ => false,
    };
    expressions.iter().any(|expr| {
        if is_column(expr) {
            return true;
        }
        let selected = match (expr, expr.to_string().parse::<usize>()) {
            (_, Ok(number)) => number.checked_sub(1).and_then(|at| select.get(at)),
            (AstExpr::Identifier(alias), _) => select.iter().find(
                |item| matches!(item, SelectItem::ExprWithAlias { alias: other, .. } if other.value == alias.value),
            ),
            _ => None,
        };
        matches!(selected, Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) if is_column(expr))
    })
}

/// Walks the logical plan from the top: projections, one aggregation, then projections and filters over the table.
pub(super) fn check(file: &File<'_>, plan: &LogicalPlan) -> Result<(), SqlError> {
    let mut aggregations = 0;
    let mut refused = None;
    let walked = plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::Projection(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::TableScan(_) => {}
            LogicalPlan::Filter(_) if aggregations == 1 => {}
            LogicalPlan::Aggregate(_) => aggregations += 1,
            other => refused = Some(file.refuse_step(other)),
        }
        Ok(if refused.is_some() {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    });
    walked.map_err(|error| file.planning(&error))?;
    match (refused, aggregations) {
        (Some(refused), _) => Err(refused),
        (None, 1) => Ok(()),
        (None, count) => Err(file.refuse(None, format!("it has {count} aggregations, not one"))),
    }
}
