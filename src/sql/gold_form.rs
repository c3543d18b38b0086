//! The form that a gold query must have, and what is said when it has another.

use std::path::Path;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::parser::{DFParser, Statement as DFStatement};
use datafusion::sql::sqlparser::ast::{
    Expr as AstExpr, GroupByExpr, SelectItem, SetExpr, Spanned, Statement,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::error::SqlError;
use super::gold::NEWEST;
use super::record;

pub(super) const ACCEPTED: &str = "a gold file is one SELECT columns, aggregates FROM clean_events [WHERE ...] GROUP BY columns; no HAVING, ORDER BY, \
     LIMIT, DISTINCT, join, window or second aggregation";

/// Parses the text and adds the hidden column [`NEWEST`] to its SELECT list.
pub(super) fn with_newest(
    file: &Path,
    text: &str,
    clean_key: &str,
) -> Result<DFStatement, SqlError> {
    let refuse = |line, message: &str| SqlError::new(file, line, message, ACCEPTED);
    let mut statements =
        DFParser::parse_sql(text).map_err(|error| SqlError::planning(file, &error, ACCEPTED))?;
    let (Some(DFStatement::Statement(mut statement)), true) =
        (statements.pop_front(), statements.is_empty())
    else {
        return Err(refuse(None, "it is not one SELECT"));
    };
    let Statement::Query(query) = statement.as_mut() else {
        return Err(refuse(
            Some(statement.span().start.line).filter(|line| *line > 0),
            "it is not a SELECT",
        ));
    };
    let refused = [
        (query.with.is_some(), "WITH"),
        (query.order_by.is_some(), "ORDER BY"),
        (
            query.limit_clause.is_some() || query.fetch.is_some(),
            "LIMIT",
        ),
    ];
    if let Some((_, clause)) = refused.into_iter().find(|(present, _)| *present) {
        return Err(refuse(line_of(text, clause), &format!("it has a {clause}")));
    }
    let SetExpr::Select(select) = query.body.as_mut() else {
        return Err(refuse(None, "it is not one plain SELECT"));
    };
    if let Some(having) = &select.having {
        return Err(refuse(Some(having.span().start.line), "it has a HAVING"));
    }
    if select.distinct.is_some() {
        return Err(refuse(line_of(text, "DISTINCT"), "it has a DISTINCT"));
    }
    let grouped = match &select.group_by {
        GroupByExpr::Expressions(expressions, modifiers) => {
            !expressions.is_empty() && modifiers.is_empty()
        }
        GroupByExpr::All(_) => false,
    };
    if !grouped {
        return Err(refuse(None, "it has no GROUP BY with a list of columns"));
    }
    if !groups_by(&select.group_by, &select.projection, clean_key) {
        let message = format!(
            "its GROUP BY does not contain `{clean_key}`, the column that clean_events is keyed by"
        );
        let hint = format!(
            "add `{clean_key}` to the GROUP BY, or set clean.key to one of its columns: the rows of one key have to meet in one partition"
        );
        return Err(SqlError::new(
            file,
            line_of(text, "GROUP BY"),
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
    Ok(DFStatement::Statement(statement))
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
pub(super) fn check(file: &Path, plan: &LogicalPlan) -> Result<(), SqlError> {
    let mut aggregations = 0;
    let mut refused = None;
    let walked = plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::Projection(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::TableScan(_) => {}
            LogicalPlan::Filter(_) if aggregations == 1 => {}
            LogicalPlan::Aggregate(aggregate) => {
                aggregations += 1;
                if aggregate
                    .group_expr
                    .iter()
                    .any(|expr| matches!(expr, Expr::GroupingSet(_)))
                {
                    refused = Some("GROUPING SETS".to_owned());
                }
            }
            other => {
                let display = other.display().to_string();
                refused = Some(
                    display
                        .split(':')
                        .next()
                        .unwrap_or_default()
                        .trim()
                        .to_owned(),
                );
            }
        }
        Ok(if refused.is_some() {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    });
    walked.map_err(|error| SqlError::planning(file, &error, ACCEPTED))?;
    match (refused, aggregations) {
        (None, 1) => Ok(()),
        (None, count) => Err(SqlError::new(
            file,
            None,
            format!("it has {count} aggregations, not one"),
            ACCEPTED,
        )),
        (Some(node), _) => Err(SqlError::new(
            file,
            None,
            format!("it needs a step `{node}`"),
            ACCEPTED,
        )),
    }
}

/// The line on which a keyword stands first, outside of comments.
fn line_of(text: &str, keyword: &str) -> Option<u64> {
    text.lines()
        .zip(1..)
        .find(|(line, _)| {
            line.split("--")
                .next()
                .unwrap_or_default()
                .to_uppercase()
                .contains(keyword)
        })
        .map(|(_, number)| number)
}
