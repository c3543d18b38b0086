//! More functions: of text, of floats, of dates by the calendar, of VARIANT.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr};

use super::{
    SqlError,
    expressions::{bigint, call, case, cast, null, number, text},
    functions_of_sql::{any_null, exactly, regexp_like, wrong_number},
    rewrite::{cast_type, grouped},
};

/// The expression that a call of one of these becomes.
pub(crate) fn more(name: &str, given: &[Expr]) -> Result<Option<Expr>, SqlError> {
    for family in [of_text, of_numbers, of_dates, of_json] {
        if let Some(value) = family(name, given)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn of_text(name: &str, given: &[Expr]) -> Result<Option<Expr>, SqlError> {
    let given = given.to_vec();
    Ok(Some(match name {
        "LPAD" | "RPAD" if given.len() >= 2 => {
            let mut given = given;
            given[1] = bigint(given[1].clone());
            call(&name.to_lowercase(), given)
        }
        "CHARINDEX" | "POSITION" => {
            let [part, whole] = exactly(name, given)?;
            call("strpos", vec![whole, part])
        }
        "TRANSLATE" => call("translate", exactly::<3>(name, given)?.to_vec()),
        "ASCII" => call("ascii", exactly::<1>(name, given)?.to_vec()),
        "CHR" | "CHAR" => {
            let [code] = exactly(name, given)?;
            call("chr", vec![bigint(code)])
        }
        "SPLIT_PART" => {
            let [value, separator, position] = exactly(name, given)?;
            // 0 is the first part too.
            let position = call("nullif", vec![bigint(position), number("0")]);
            let position = call("coalesce", vec![position, number("1")]);
            call("split_part", vec![value, separator, position])
        }
        "SPACE" => {
            let [count] = exactly(name, given)?;
            call("repeat", vec![text(" "), bigint(count)])
        }
        "CONCAT_WS" => {
            let any = any_null(&given);
            unless(any, call("concat_ws", given))
        }
        "SHA2" => sha2(given)?,
        "HEX_ENCODE" => {
            let [value] = exactly(name, given)?;
            call("upper", vec![call("encode", vec![value, text("hex")])])
        }
        "REGEXP_LIKE" | "RLIKE" => {
            let [value, pattern] = exactly(name, given)?;
            regexp_like(value, pattern)
        }
        "REGEXP_COUNT" | "REGEXP_INSTR" => {
            call(&name.to_lowercase(), exactly::<2>(name, given)?.to_vec())
        }
        "REGEXP_SUBSTR" => call("sf_regexp_substr", exactly::<2>(name, given)?.to_vec()),
        "REGEXP_REPLACE" => {
            let mut given = given;
            if given.len() == 2 {
                given.push(text(""));
            }
            let [value, pattern, by] = exactly(name, given)?;
            call("regexp_replace", vec![value, pattern, by, text("g")])
        }
        "ILIKE" | "LIKE" => {
            let [value, pattern] = exactly(name, given)?;
            let (expr, pattern) = (Box::new(grouped(value)), Box::new(grouped(pattern)));
            let (negated, any, escape_char) = (false, false, None);
            match name {
                "LIKE" => Expr::Like {
                    negated,
                    any,
                    expr,
                    pattern,
                    escape_char,
                },
                _ => Expr::ILike {
                    negated,
                    any,
                    expr,
                    pattern,
                    escape_char,
                },
            }
        }
        _ => return Ok(None),
    }))
}

/// `SHA2(text, bits)`: 256 when no bits are given.
fn sha2(mut given: Vec<Expr>) -> Result<Expr, SqlError> {
    let bits = match given.len() {
        2 => given.remove(1).to_string().trim_end_matches('.').to_owned(),
        _ => "256".to_owned(),
    };
    if !matches!(bits.as_str(), "224" | "256" | "384" | "512") {
        return Err(SqlError::unsupported(format!("SHA2 OF {bits} BITS")));
    }
    let [value] = exactly("SHA2", given)?;
    Ok(call(
        "encode",
        vec![call(&format!("sha{bits}"), vec![value]), text("hex")],
    ))
}

/// NULL when the condition holds.
fn unless(condition: Expr, result: Expr) -> Expr {
    case(vec![(condition, null())], result)
}

fn of_numbers(name: &str, given: &[Expr]) -> Result<Option<Expr>, SqlError> {
    let given = given.to_vec();
    let float = |name: &str, given: Vec<Expr>| {
        let mut all = vec![text(name)];
        all.extend(given);
        call("sf_math", all)
    };
    Ok(Some(match name {
        "SQRT" | "CBRT" | "SQUARE" | "EXP" | "LN" | "SIN" | "COS" | "TAN" | "ASIN" | "ACOS"
        | "ATAN" | "DEGREES" | "RADIANS" => float(name, exactly::<1>(name, given)?.to_vec()),
        "POWER" | "POW" => float("POWER", exactly::<2>(name, given)?.to_vec()),
        "LOG" | "ATAN2" => float(name, exactly::<2>(name, given)?.to_vec()),
        "PI" => {
            exactly::<0>(name, given)?;
            cast(text("3.141592653589793"), "FLOAT")
        }
        "SIGN" => {
            let [value] = exactly(name, given)?;
            let than_zero = |op| Expr::BinaryOp {
                left: Box::new(grouped(value.clone())),
                op,
                right: Box::new(number("0.")),
            };
            case(
                vec![
                    (than_zero(BinaryOperator::Gt), number("1.")),
                    (than_zero(BinaryOperator::Lt), number("-1.")),
                    (than_zero(BinaryOperator::Eq), number("0.")),
                ],
                null(),
            )
        }
        "GREATEST" | "LEAST" if !given.is_empty() => {
            let any = any_null(&given);
            unless(any, call(&name.to_lowercase(), given))
        }
        _ => return Ok(None),
    }))
}

fn of_dates(name: &str, given: &[Expr]) -> Result<Option<Expr>, SqlError> {
    let given = given.to_vec();
    Ok(Some(match name {
        "LAST_DAY" => {
            let [value] = exactly(name, given)?;
            call("sf_last_day", vec![value])
        }
        "ADD_MONTHS" => call("sf_add_months", exactly::<2>(name, given)?.to_vec()),
        "DAYNAME" => call("sf_day_name", exactly::<1>(name, given)?.to_vec()),
        "MONTHNAME" => call("sf_month_name", exactly::<1>(name, given)?.to_vec()),
        "DATE_FROM_PARTS" | "DATEFROMPARTS" => {
            call("sf_date_of", exactly::<3>(name, given)?.to_vec())
        }
        "TIMESTAMP_NTZ_FROM_PARTS" | "TIMESTAMP_FROM_PARTS" | "TIMESTAMPFROMPARTS" => {
            if !matches!(given.len(), 6 | 7) {
                return Err(wrong_number(name));
            }
            call("sf_timestamp_of", given)
        }
        _ => return Ok(None),
    }))
}

fn of_json(name: &str, given: &[Expr]) -> Result<Option<Expr>, SqlError> {
    let given = given.to_vec();
    let json = |value: Expr| cast(value, "VARIANT");
    Ok(Some(match name {
        "TYPEOF" => {
            let [value] = exactly(name, given)?;
            call("sf_typeof", vec![json(value)])
        }
        "TO_JSON" => call("sf_to_json", exactly::<1>(name, given)?.to_vec()),
        "IS_NULL_VALUE" => call("sf_is_null_value", exactly::<1>(name, given)?.to_vec()),
        "ARRAY_SIZE" => call("sf_array_size", exactly::<1>(name, given)?.to_vec()),
        "OBJECT_KEYS" => call("sf_object_keys", exactly::<1>(name, given)?.to_vec()),
        "GET" => call("sf_get_at", exactly::<2>(name, given)?.to_vec()),
        "GET_PATH" => call("sf_get_path", exactly::<2>(name, given)?.to_vec()),
        "ARRAY_CONTAINS" => {
            let [wanted, array] = exactly(name, given)?;
            call("sf_array_contains", vec![json(wanted), array])
        }
        "ARRAY_APPEND" => {
            let [array, item] = exactly(name, given)?;
            call("sf_array_append", vec![array, json(item)])
        }
        "ARRAY_CAT" => call("sf_array_cat", exactly::<2>(name, given)?.to_vec()),
        "ARRAY_TO_STRING" => call("sf_array_to_string", exactly::<2>(name, given)?.to_vec()),
        "SPLIT" => {
            let [value, separator] = exactly(name, given)?;
            call(
                "sf_split",
                vec![cast(value, &cast_type("VARCHAR")), separator],
            )
        }
        _ => return Ok(None),
    }))
}
