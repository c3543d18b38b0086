//! FLATTEN: each element of a VARIANT a row. A call becomes a lateral subquery of six columns; in the plan that makes of
//! it, the join with that subquery becomes an unnesting of its left side, which DataFusion can run.

use datafusion::{
    common::{
        Column, JoinType, NullHandling, Result, TableReference, UnnestOptions,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        Expr as PlanExpr, Join, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias,
    },
    sql::sqlparser::ast::{
        Expr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, SelectItem, TableAlias,
        TableFactor,
    },
};

use super::{
    SqlError,
    expressions::{call, query, select_of, text},
    functions::{FLATTEN_COLUMNS, flat_field, flattened},
    names::{parts, quoted},
    resolve::alias_of,
    rewrite::word,
};

/// The function that stands for one column of a FLATTEN until the plan is made.
const PLACEHOLDER: &str = "sf_flat";

/// The subquery that a FLATTEN of these arguments becomes.
pub(crate) fn factor(
    arguments: &[FunctionArg],
    alias: Option<TableAlias>,
    number: usize,
) -> Result<TableFactor, SqlError> {
    let mut input = None;
    let (mut path, mut outer, mut recursive) = (String::new(), false, false);
    let mut mode = "BOTH".to_owned();
    for (position, argument) in arguments.iter().enumerate() {
        let (name, value) = named(argument, position)?;
        match (name.as_str(), value) {
            ("INPUT", value) => input = Some(value),
            ("PATH", value) => path = constant(&name, &value)?,
            ("OUTER", value) => outer = flag(&name, &value)?,
            ("RECURSIVE", value) => recursive = flag(&name, &value)?,
            ("MODE", value) => mode = constant(&name, &value)?.to_uppercase(),
            (other, _) => return Err(SqlError::syntax(format!("unexpected argument '{other}'"))),
        }
    }
    let Some(input) = input else {
        return Err(SqlError::syntax("FLATTEN expects an INPUT"));
    };
    if !matches!(mode.as_str(), "BOTH" | "OBJECT" | "ARRAY") {
        return Err(SqlError::syntax(format!(
            "invalid MODE '{mode}' of FLATTEN"
        )));
    }
    if alias
        .as_ref()
        .is_some_and(|alias| !alias.columns.is_empty())
    {
        return Err(SqlError::unsupported("COLUMN ALIASES OF FLATTEN"));
    }
    let options = format!("{outer},{recursive},{mode}");
    let mut subquery = query("SELECT 1");
    select_of(&mut subquery).projection = FLATTEN_COLUMNS
        .iter()
        .map(|column| SelectItem::ExprWithAlias {
            expr: call(
                PLACEHOLDER,
                vec![
                    text(*column),
                    input.clone(),
                    text(path.clone()),
                    text(options.clone()),
                ],
            ),
            alias: quoted(column),
        })
        .collect();
    Ok(TableFactor::Derived {
        lateral: true,
        subquery: Box::new(subquery),
        alias: Some(alias.unwrap_or_else(|| alias_of(&format!("@FLATTEN{number}"), &[]))),
        sample: None,
    })
}

/// The arguments of `FLATTEN(...)`, if the expression is a call of it.
pub(crate) fn arguments_of(expression: &Expr) -> Option<&[FunctionArg]> {
    match expression {
        Expr::Function(function) if is_flatten(&function.name) => match &function.args {
            FunctionArguments::List(list) => Some(&list.args),
            _ => None,
        },
        _ => None,
    }
}

pub(crate) fn is_flatten(name: &ObjectName) -> bool {
    parts(name) == ["FLATTEN"]
}

fn named(argument: &FunctionArg, position: usize) -> Result<(String, Expr), SqlError> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) if position == 0 => {
            Ok(("INPUT".to_owned(), value.clone()))
        }
        FunctionArg::Named {
            name,
            arg: FunctionArgExpr::Expr(value),
            ..
        } => Ok((name.value.to_uppercase(), value.clone())),
        FunctionArg::ExprNamed {
            name,
            arg: FunctionArgExpr::Expr(value),
            ..
        } => Ok((name.to_string().to_uppercase(), value.clone())),
        other => Err(SqlError::syntax(format!("unexpected argument '{other}'"))),
    }
}

fn constant(name: &str, value: &Expr) -> Result<String, SqlError> {
    word(value).ok_or_else(|| SqlError::unsupported(format!("FLATTEN WITH A COMPUTED {name}")))
}

fn flag(name: &str, value: &Expr) -> Result<bool, SqlError> {
    match value.to_string().to_uppercase().as_str() {
        "TRUE" => Ok(true),
        "FALSE" => Ok(false),
        _ => Err(SqlError::unsupported(format!(
            "FLATTEN WITH A COMPUTED {name}"
        ))),
    }
}

/// The plan with each FLATTEN in it unnested.
pub(crate) fn unnested(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_down_with_subqueries(|node| match &node {
        LogicalPlan::Join(join) => match placeholder(&join.right) {
            Some((alias, projection)) => {
                joined(join, alias.as_ref(), projection).map(Transformed::yes)
            }
            None => Ok(Transformed::no(node)),
        },
        LogicalPlan::Projection(projection) if is_placeholder(projection) => {
            let one_row = LogicalPlanBuilder::empty(true).build()?;
            expanded(one_row, None, projection).map(Transformed::yes)
        }
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(plan.data)
}

fn is_placeholder(projection: &Projection) -> bool {
    projection.expr.len() == FLATTEN_COLUMNS.len()
        && projection
            .expr
            .iter()
            .all(|value| arguments(value).is_some())
}

/// The arguments of a placeholder under its alias.
fn arguments(value: &PlanExpr) -> Option<&[PlanExpr]> {
    match value {
        PlanExpr::Alias(alias) => arguments(&alias.expr),
        PlanExpr::ScalarFunction(function) if function.name() == PLACEHOLDER => {
            Some(&function.args)
        }
        _ => None,
    }
}

/// The projection of placeholders that a lateral subquery is, and its alias.
fn placeholder(plan: &LogicalPlan) -> Option<(Option<TableReference>, &Projection)> {
    match plan {
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, alias, .. }) => {
            placeholder(input).map(|(_, projection)| (Some(alias.clone()), projection))
        }
        LogicalPlan::Subquery(subquery) => placeholder(&subquery.subquery),
        LogicalPlan::Projection(projection) if is_placeholder(projection) => {
            Some((None, projection))
        }
        _ => None,
    }
}

fn joined(
    join: &Join,
    alias: Option<&TableReference>,
    projection: &Projection,
) -> Result<LogicalPlan> {
    if join.join_type != JoinType::Inner || !join.on.is_empty() {
        return Err(SqlError::unsupported("OUTER JOIN WITH FLATTEN").into());
    }
    let plan = expanded(join.left.as_ref().clone(), alias, projection)?;
    match &join.filter {
        Some(filter) => LogicalPlanBuilder::from(plan)
            .filter(filter.clone())?
            .build(),
        None => Ok(plan),
    }
}

/// The rows of `left`, each as often as the projection's FLATTEN of it has rows, and these beside it.
fn expanded(
    left: LogicalPlan,
    alias: Option<&TableReference>,
    projection: &Projection,
) -> Result<LogicalPlan> {
    let mut given = Vec::new();
    for argument in projection
        .expr
        .first()
        .and_then(arguments)
        .unwrap_or_default()
    {
        let argument = argument.clone().transform(|part| {
            Ok(match part {
                PlanExpr::OuterReferenceColumn(_, column) => {
                    Transformed::yes(PlanExpr::Column(column))
                }
                other => Transformed::no(other),
            })
        })?;
        given.push(argument.data);
    }
    let kept: Vec<PlanExpr> = left
        .schema()
        .columns()
        .into_iter()
        .map(PlanExpr::Column)
        .collect();
    for column in given.iter().flat_map(|argument| argument.column_refs()) {
        if !left.schema().has_column(column) {
            return Err(SqlError::new(
                "002031",
                "42601",
                "SQL compilation error:\nUnsupported subquery type cannot be evaluated",
            )
            .into());
        }
    }
    let list = "@FLAT";
    let rows = flattened().call(given.split_off(1)).alias(list);
    let wide = LogicalPlanBuilder::from(left).project(kept.iter().cloned().chain([rows]))?;
    let options = UnnestOptions::default().with_null_handling(NullHandling::Drop);
    let element = PlanExpr::Column(Column::from_name(list));
    let columns = FLATTEN_COLUMNS.iter().map(|name| {
        let value = flat_field(name).call(vec![element.clone()]);
        value.alias_qualified(alias.cloned(), *name)
    });
    let shown: Vec<PlanExpr> = kept.into_iter().chain(columns).collect();
    let plan = wide
        .unnest_column_with_options(Column::from_name(list), options)?
        .project(shown)?
        .build()?;
    Ok(plan)
}
