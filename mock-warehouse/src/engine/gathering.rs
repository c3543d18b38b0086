//! Aggregates that look at all values at once: DataFusion gathers them in a list, a function of ours makes the result.

use datafusion::sql::sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArgumentList, FunctionArguments, Ident, ObjectName, OrderByExpr, OrderByOptions,
};

use super::{
    SqlError,
    expressions::{arguments, call, case, cast, null, text},
    functions_of_sql::{any_null, exactly, wrong_number},
};

/// The expression that the call becomes, if it is one of these.
pub(crate) fn gathering(name: &str, function: &Function) -> Result<Option<Expr>, SqlError> {
    let distinct = is_distinct(function);
    let order = function.within_group.clone();
    Ok(Some(match name {
        "LISTAGG" => {
            let mut given = arguments(function)?;
            let separator = match given.len() {
                1 => text(""),
                2 => given.remove(1),
                _ => return Err(wrong_number(name)),
            };
            require_same(distinct, &order, &given[0])?;
            let list = list(function, given.remove(0), order);
            call("sf_list_text", vec![list, separator])
        }
        "ARRAY_AGG" | "ARRAYAGG" => {
            let [value] = exactly(name, arguments(function)?)?;
            if distinct && !order.is_empty() {
                return Err(SqlError::unsupported("ARRAY_AGG(DISTINCT) WITHIN GROUP"));
            }
            let value = cast(value, "VARIANT");
            call("sf_list_array", vec![list(function, value, order)])
        }
        "OBJECT_AGG" => {
            let [key, value] = exactly(name, arguments(function)?)?;
            let pair = call("sf_array", vec![key, value]);
            call("sf_list_object", vec![list(function, pair, vec![])])
        }
        "MEDIAN" => {
            let [value] = exactly(name, arguments(function)?)?;
            percentile(function, value, "0.5".to_owned(), "CONT")
        }
        "PERCENTILE_CONT" | "PERCENTILE_DISC" => {
            let [fraction] = exactly(name, arguments(function)?)?;
            let [
                OrderByExpr {
                    expr: value,
                    options:
                        OrderByOptions {
                            asc: None | Some(true),
                            ..
                        },
                    ..
                },
            ] = order.as_slice()
            else {
                return Err(SqlError::unsupported(format!(
                    "{name} WITHOUT ONE ORDER THAT ASCENDS"
                )));
            };
            let kind = name.trim_start_matches("PERCENTILE_");
            percentile(function, value.clone(), fraction.to_string(), kind)
        }
        "MIN_BY" | "MAX_BY" => {
            let [value, by] = exactly(name, arguments(function)?)?;
            let known = case(vec![(any_null(std::slice::from_ref(&by)), null())], value);
            let order = OrderByExpr {
                expr: by,
                options: OrderByOptions {
                    asc: Some(name == "MIN_BY"),
                    nulls_first: Some(false),
                },
                with_fill: None,
            };
            aggregate("first_value", function, known, vec![order])
        }
        _ => return Ok(None),
    }))
}

fn is_distinct(function: &Function) -> bool {
    matches!(
        &function.args,
        FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: Some(DuplicateTreatment::Distinct),
            ..
        })
    )
}

/// Different values can only be in the order of the values.
fn require_same(distinct: bool, order: &[OrderByExpr], value: &Expr) -> Result<(), SqlError> {
    if !distinct || order.iter().all(|order| order.expr == *value) {
        return Ok(());
    }
    Err(SqlError::new(
        "002079",
        "42601",
        "SQL compilation error:\nWITHIN GROUP expression must be the same as the argument of a DISTINCT aggregate",
    ))
}

/// The values that are not NULL, in a list.
fn list(function: &Function, value: Expr, order: Vec<OrderByExpr>) -> Expr {
    aggregate("array_agg", function, value, order)
}

fn percentile(function: &Function, value: Expr, fraction: String, kind: &str) -> Expr {
    call(
        "sf_percentile",
        vec![list(function, value, vec![]), text(fraction), text(kind)],
    )
}

/// A call of DataFusion's aggregate with the window and DISTINCT of the call that was written.
fn aggregate(name: &str, written: &Function, value: Expr, order: Vec<OrderByExpr>) -> Expr {
    let duplicates = is_distinct(written).then_some(DuplicateTreatment::Distinct);
    let clauses = match order.is_empty() {
        true => vec![],
        false => vec![FunctionArgumentClause::OrderBy(order)],
    };
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: duplicates,
            args: vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(value))],
            clauses,
        }),
        within_group: vec![],
        ..written.clone()
    })
}
