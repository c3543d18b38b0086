//! One statement with many sets of bindings: a row of VALUES becomes many rows, so that few plans are made.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Query, SetExpr, Value, visit_expressions_mut};

use super::{
    Bindings, SqlError, bindings::literal, catalog::Column, dml::wrong_width, expressions::null,
    query::Scene, target::value_for,
};

/// Most rows that are planned at once.
const ROWS_AT_ONCE: usize = 1_000;

/// The queries that yield the rows of an INSERT, each with the bindings that it still needs.
pub(crate) fn sources(
    scene: &mut Scene,
    source: &Query,
    batch: &[Bindings],
    columns: &[&Column],
) -> Result<Vec<(Query, Bindings)>, SqlError> {
    let row = match source.body.as_ref() {
        SetExpr::Values(values) if batch.len() > 1 && values.rows.len() == 1 => &values.rows[0],
        _ => {
            let each = |set: &Bindings| (source.clone(), set.clone());
            return Ok(batch.iter().map(each).collect());
        }
    };
    if row.content.len() != columns.len() {
        return Err(wrong_width(columns.len(), row.content.len()));
    }
    let mut queries = Vec::new();
    for sets in batch.chunks(ROWS_AT_ONCE) {
        let mut query = source.clone();
        let SetExpr::Values(values) = query.body.as_mut() else {
            unreachable!("the source is a row of VALUES")
        };
        values.rows.clear();
        for set in sets {
            scene.constants.bindings = set.clone();
            let mut row = row.clone();
            fill(scene, &mut row.content)?;
            // In the columns' types all rows agree; the literals themselves may differ in digits.
            for (cell, column) in row.content.iter_mut().zip(columns) {
                *cell = value_for(column, std::mem::replace(cell, null()));
            }
            values.rows.push(row);
        }
        queries.push((query, Bindings::new()));
    }
    Ok(queries)
}

/// Puts the values where the placeholders are.
fn fill(scene: &Scene, cells: &mut Vec<Expr>) -> Result<(), SqlError> {
    let filled = visit_expressions_mut(cells, |expression| {
        let name = match expression {
            Expr::Value(value) => match &value.value {
                Value::Placeholder(name) if !name.starts_with('$') => name.clone(),
                _ => return ControlFlow::Continue(()),
            },
            _ => return ControlFlow::Continue(()),
        };
        match literal(&scene.constants, &name) {
            Ok(value) => {
                *expression = value;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    });
    match filled {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}
