//! The functions that a statement may call, and what each becomes. One that is not here is unknown.

use std::time::Duration;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    ObjectName, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowType,
};

use super::{
    SqlError,
    conversions::conversion,
    expressions::{arguments, bigint, call, call_over, case, cast, column, null, number, text},
    gathering::gathering,
    more_functions::more,
    names::parts,
    resolve::SEQUENCE,
    rewrite::{Rewriter, cast_type, grouped, word},
};

/// The expression that a call becomes.
pub(crate) fn rewritten(
    rewriter: &mut Rewriter<'_>,
    mut function: Function,
) -> Result<Expr, SqlError> {
    let name = parts(&function.name).join(".");
    if name.starts_with("sf_") {
        return Ok(Expr::Function(function));
    }
    if function.filter.is_some() {
        return Err(SqlError::syntax("syntax error unexpected 'FILTER'"));
    }
    plain_frame(&mut function);
    if let Some(renamed) = same_function(&name) {
        function.name = ObjectName::from(vec![Ident::new(renamed)]);
        return Ok(Expr::Function(function));
    }
    if let Some((renamed, first)) = counting_function(&name) {
        function.name = ObjectName::from(vec![Ident::new(renamed)]);
        count_arguments(&mut function, first);
        return Ok(Expr::Function(function));
    }
    if name == "COUNT" {
        return count(function);
    }
    if matches!(name.as_str(), "LAG" | "LEAD" | "NTH_VALUE") && function.over.is_some() {
        function.name = ObjectName::from(vec![Ident::new(name.to_lowercase())]);
        if let FunctionArguments::List(list) = &mut function.args
            && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(offset))) = list.args.get_mut(1)
        {
            *offset = bigint(offset.clone());
        }
        return Ok(Expr::Function(function));
    }
    if let Some(value) = constant(rewriter, &name) {
        return Ok(value);
    }
    if matches!(
        name.as_str(),
        "SUM" | "AVG" | "COUNT_IF" | "FIRST_VALUE" | "LAST_VALUE"
    ) {
        return aggregate(&name, function);
    }
    if let Some(value) = gathering(&name, &function)? {
        return Ok(value);
    }
    let given = arguments(&function)?;
    if name == "SYSTEM$WAIT" {
        let seconds = given.first().map_or(0, |value| {
            value.to_string().trim_end_matches('.').parse().unwrap_or(0)
        });
        rewriter.wait += Duration::from_secs(seconds);
        return Ok(text(format!("waited {seconds} seconds")));
    }
    scalar(&name, given)
}

/// Functions that are the same in DataFusion, under this name.
fn same_function(name: &str) -> Option<&'static str> {
    Some(match name {
        "MIN" => "min",
        "MAX" => "max",
        "ANY_VALUE" => "min",
        "BOOLAND_AGG" => "bool_and",
        "BOOLOR_AGG" => "bool_or",
        "APPROX_COUNT_DISTINCT" | "HLL" => "approx_distinct",
        "ROW_NUMBER" => "row_number",
        "RANK" => "rank",
        "DENSE_RANK" => "dense_rank",
        "PERCENT_RANK" => "percent_rank",
        "CUME_DIST" => "cume_dist",
        "COALESCE" | "NVL" | "IFNULL" => "coalesce",
        "NULLIF" => "nullif",
        "UPPER" => "upper",
        "LOWER" => "lower",
        "LTRIM" => "ltrim",
        "RTRIM" => "rtrim",
        "LENGTH" | "LEN" => "character_length",
        "OCTET_LENGTH" => "octet_length",
        "REPLACE" => "replace",
        "REVERSE" => "reverse",
        "STARTSWITH" => "starts_with",
        "ENDSWITH" => "ends_with",
        "CONTAINS" => "contains",
        "INITCAP" => "initcap",
        "MD5" => "md5",
        "UUID_STRING" => "uuid",
        _ => return None,
    })
}

/// Functions that are the same in DataFusion, with plain integers from that argument on.
fn counting_function(name: &str) -> Option<(&'static str, usize)> {
    Some(match name {
        "LEFT" => ("left", 1),
        "RIGHT" => ("right", 1),
        "SUBSTR" | "SUBSTRING" => ("substr", 1),
        "REPEAT" => ("repeat", 1),

        "NTILE" => ("ntile", 0),
        _ => return None,
    })
}

fn count_arguments(function: &mut Function, first: usize) {
    if let FunctionArguments::List(list) = &mut function.args {
        for argument in list.args.iter_mut().skip(first) {
            if let FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) = argument {
                *value = bigint(value.clone());
            }
        }
    }
}

/// Bounds of a window's frame are plain integers.
fn plain_frame(function: &mut Function) {
    let Some(WindowType::WindowSpec(window)) = &mut function.over else {
        return;
    };
    let Some(frame) = &mut window.window_frame else {
        return;
    };
    for bound in [Some(&mut frame.start_bound), frame.end_bound.as_mut()]
        .into_iter()
        .flatten()
    {
        if let WindowFrameBound::Preceding(Some(value)) | WindowFrameBound::Following(Some(value)) =
            bound
        {
            **value = bigint((**value).clone());
        }
    }
}

/// What a session or a moment decides.
fn constant(rewriter: &Rewriter<'_>, name: &str) -> Option<Expr> {
    let constants = rewriter.constants;
    let now = || text(constants.now.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string());
    let moment = || cast(now(), "TIMESTAMP_LTZ(9)");
    let name_or_null = |value: &Option<String>| value.clone().map_or_else(null, text);
    Some(match name {
        "CURRENT_TIMESTAMP" | "GETDATE" | "SYSTIMESTAMP" | "LOCALTIMESTAMP" => moment(),
        "SYSDATE" => cast(now(), "TIMESTAMP_NTZ(9)"),
        "CURRENT_DATE" => cast(moment(), "DATE"),
        "CURRENT_TIME" | "LOCALTIME" => cast(moment(), "TIME"),
        "CURRENT_USER" => text(constants.context.user.clone()),
        "CURRENT_ROLE" => name_or_null(&constants.context.role),
        "CURRENT_DATABASE" => name_or_null(&constants.context.database),
        "CURRENT_SCHEMA" => name_or_null(&constants.context.schema),
        "CURRENT_WAREHOUSE" => name_or_null(&constants.context.warehouse),
        "CURRENT_ACCOUNT" => text("MOCK"),
        "CURRENT_VERSION" => text("9.0.0"),
        "SEQ4" | "SEQ8" => column(SEQUENCE),
        _ => return None,
    })
}

/// COUNT; of several values those rows in which none is NULL.
fn count(mut function: Function) -> Result<Expr, SqlError> {
    function.name = ObjectName::from(vec![Ident::new("count")]);
    if let FunctionArguments::List(list) = &mut function.args
        && list.args.len() > 1
    {
        let given: Vec<Expr> = list
            .args
            .iter()
            .map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Ok(value.clone()),
                other => Err(SqlError::syntax(format!("unexpected argument '{other}'"))),
            })
            .collect::<Result<_, _>>()?;
        let all = call("sf_array", given.clone());
        let counted = case(vec![(any_null(&given), null())], all);
        list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(counted))];
    }
    Ok(Expr::Function(function))
}

/// Whether one of the values is NULL.
pub(crate) fn any_null(values: &[Expr]) -> Expr {
    let nulls = values
        .iter()
        .map(|value| Expr::IsNull(Box::new(grouped(value.clone()))));
    let either = nulls.reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::Or,
        right: Box::new(right),
    });
    Expr::Nested(Box::new(either.unwrap_or_else(null)))
}

/// Whether all of the text matches the pattern.
pub(crate) fn regexp_like(value: Expr, pattern: Expr) -> Expr {
    let whole = call("concat", vec![text("^(?:"), pattern.clone(), text(")$")]);
    // CONCAT of DataFusion takes NULL for an empty text.
    let unknown = any_null(&[value.clone(), pattern]);
    case(
        vec![(unknown, null())],
        call(
            "regexp_like",
            vec![cast(value, &cast_type("VARCHAR")), whole],
        ),
    )
}

fn aggregate(name: &str, mut function: Function) -> Result<Expr, SqlError> {
    match name {
        "SUM" => {
            function.name = ObjectName::from(vec![Ident::new("sum")]);
            Ok(call("sf_wide", vec![Expr::Function(function)]))
        }
        "AVG" => {
            let (mut sum, mut count) = (function.clone(), function);
            sum.name = ObjectName::from(vec![Ident::new("sum")]);
            count.name = ObjectName::from(vec![Ident::new("count")]);
            let count = call("nullif", vec![Expr::Function(count), number("0")]);
            Ok(call(
                "sf_div",
                vec![call("sf_wide", vec![Expr::Function(sum)]), count],
            ))
        }
        "COUNT_IF" => {
            let [condition] = exactly(name, arguments(&function)?)?;
            let counted = case(vec![(condition, number("1."))], null());
            Ok(call_over("count", vec![counted], function.over))
        }
        _ => {
            // Without a frame these look at the whole partition, not only up to the current row.
            if let Some(WindowType::WindowSpec(window)) = &mut function.over {
                window.window_frame.get_or_insert(WindowFrame {
                    units: WindowFrameUnits::Rows,
                    start_bound: WindowFrameBound::Preceding(None),
                    end_bound: Some(WindowFrameBound::Following(None)),
                });
            }
            function.name = ObjectName::from(vec![Ident::new(name.to_lowercase())]);
            Ok(Expr::Function(function))
        }
    }
}

fn scalar(name: &str, mut given: Vec<Expr>) -> Result<Expr, SqlError> {
    let zero = || number("0.");
    Ok(match name {
        "IFF" => {
            let [condition, yes, no] = exactly(name, given)?;
            case(vec![(condition, yes)], no)
        }
        "NVL2" => {
            let [value, yes, no] = exactly(name, given)?;
            case(vec![(Expr::IsNotNull(Box::new(value)), yes)], no)
        }
        "ZEROIFNULL" => {
            let [value] = exactly(name, given)?;
            call("coalesce", vec![value, zero()])
        }
        "NULLIFZERO" => {
            let [value] = exactly(name, given)?;
            call("nullif", vec![value, zero()])
        }
        "EQUAL_NULL" => {
            let [left, right] = exactly(name, given)?;
            Expr::Nested(Box::new(Expr::IsNotDistinctFrom(
                Box::new(grouped(left)),
                Box::new(grouped(right)),
            )))
        }
        "DIV0" => call("sf_div0", exactly::<2>(name, given)?.to_vec()),
        "DIV0NULL" => {
            let [left, right] = exactly(name, given)?;
            call("sf_div0", vec![left, call("coalesce", vec![right, zero()])])
        }
        "CONCAT" => joined(given)?,
        "TRIM" => call("btrim", given),
        "DECODE" => decode(given)?,
        "ROUND" => call("sf_round", given),
        "TRUNC" | "TRUNCATE" => call("sf_trunc", given),
        "FLOOR" => call("sf_floor", given),
        "CEIL" => call("sf_ceil", given),
        "ABS" => call("sf_abs", exactly::<1>(name, given)?.to_vec()),
        "MOD" => {
            let [left, right] = exactly(name, given)?;
            Expr::BinaryOp {
                left: Box::new(grouped(left)),
                op: BinaryOperator::Modulo,
                right: Box::new(grouped(right)),
            }
        }
        "PARSE_JSON" => call("sf_parse_json", exactly::<1>(name, given)?.to_vec()),
        "TRY_PARSE_JSON" => call("sf_try_parse_json", exactly::<1>(name, given)?.to_vec()),
        "CONVERT_TIMEZONE" => call("sf_convert_timezone", given),
        "DATE_TRUNC" | "DATEADD" | "TIMESTAMPADD" | "DATEDIFF" | "TIMESTAMPDIFF" | "DATE_PART"
        | "TIMEADD" => {
            let Some(unit) = given.first().and_then(word) else {
                return Err(SqlError::syntax(format!("{name} expects a unit of time")));
            };
            given[0] = text(unit);
            let width = if matches!(name, "DATE_TRUNC" | "DATE_PART") {
                2
            } else {
                3
            };
            if given.len() != width {
                return Err(wrong_number(name));
            }
            call(time_function(name), given)
        }
        "YEAR" | "QUARTER" | "MONTH" | "WEEK" | "DAY" | "DAYOFMONTH" | "DAYOFWEEK"
        | "DAYOFWEEKISO" | "DAYOFYEAR" | "HOUR" | "MINUTE" | "SECOND" | "WEEKISO"
        | "WEEKOFYEAR" | "YEAROFWEEK" | "YEAROFWEEKISO" => {
            let [value] = exactly(name, given)?;
            call("sf_date_part", vec![text(name), value])
        }
        _ => {
            if let Some(value) = more(name, &given)? {
                return Ok(value);
            }
            return conversion(name, given)?.ok_or_else(|| SqlError::unknown_function(name));
        }
    })
}

fn time_function(name: &str) -> &'static str {
    match name {
        "DATE_TRUNC" => "sf_date_trunc",
        "DATE_PART" => "sf_date_part",
        "DATEDIFF" | "TIMESTAMPDIFF" => "sf_datediff",
        _ => "sf_dateadd",
    }
}

/// `a || b || c`: NULL when one of them is.
fn joined(given: Vec<Expr>) -> Result<Expr, SqlError> {
    given
        .into_iter()
        .map(|part| cast(part, &cast_type("VARCHAR")))
        .reduce(|left, right| Expr::BinaryOp {
            left: Box::new(left),
            op: BinaryOperator::StringConcat,
            right: Box::new(right),
        })
        .ok_or_else(|| wrong_number("CONCAT"))
}

fn decode(given: Vec<Expr>) -> Result<Expr, SqlError> {
    let mut given = given.into_iter();
    let value = given.next().ok_or_else(|| wrong_number("DECODE"))?;
    let (mut conditions, mut otherwise) = (Vec::new(), null());
    while let Some(first) = given.next() {
        match given.next() {
            Some(result) => conditions.push((
                Expr::IsNotDistinctFrom(Box::new(grouped(value.clone())), Box::new(grouped(first))),
                result,
            )),
            None => otherwise = first,
        }
    }
    Ok(case(conditions, otherwise))
}

pub(crate) fn exactly<const N: usize>(name: &str, given: Vec<Expr>) -> Result<[Expr; N], SqlError> {
    given.try_into().map_err(|_| wrong_number(name))
}

pub(crate) fn wrong_number(name: &str) -> SqlError {
    SqlError::new(
        "000938",
        "22023",
        format!("SQL compilation error:\nwrong number of arguments for function [{name}]"),
    )
}
