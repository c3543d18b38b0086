//! Functions that make a value of one type from values of others.

use datafusion::sql::sqlparser::ast::Expr;

use super::{
    SqlError,
    expressions::{call, cast, text},
    functions_of_sql::{exactly, wrong_number},
    rewrite::{cast_type, word},
};

/// The expression that a conversion becomes, if the name is that of one.
pub(crate) fn conversion(name: &str, given: Vec<Expr>) -> Result<Option<Expr>, SqlError> {
    Ok(Some(match name {
        "TO_DATE" | "DATE" => converted(name, given, "DATE", "sf_cast")?,
        "TRY_TO_DATE" => converted(name, given, "DATE", "sf_try_cast")?,
        "TO_TIMESTAMP" | "TO_TIMESTAMP_NTZ" => {
            converted(name, given, "TIMESTAMP_NTZ(9)", "sf_cast")?
        }
        "TRY_TO_TIMESTAMP" | "TRY_TO_TIMESTAMP_NTZ" => {
            converted(name, given, "TIMESTAMP_NTZ(9)", "sf_try_cast")?
        }
        "TO_TIMESTAMP_LTZ" => converted(name, given, "TIMESTAMP_LTZ(9)", "sf_cast")?,
        "TO_VARCHAR" | "TO_CHAR" => converted(name, given, &cast_type("VARCHAR"), "sf_cast")?,
        "TO_BOOLEAN" => converted(name, given, "BOOLEAN", "sf_cast")?,
        "TRY_TO_BOOLEAN" => converted(name, given, "BOOLEAN", "sf_try_cast")?,
        "TRY_TO_TIME" => converted(name, given, "TIME", "sf_try_cast")?,
        "TRY_TO_TIMESTAMP_LTZ" => converted(name, given, "TIMESTAMP_LTZ(9)", "sf_try_cast")?,
        "TRY_TO_TIMESTAMP_TZ" => converted(name, given, "TIMESTAMP_TZ(9)", "sf_try_cast")?,
        "TO_DOUBLE" => converted(name, given, "FLOAT", "sf_cast")?,
        "TRY_TO_DOUBLE" => converted(name, given, "FLOAT", "sf_try_cast")?,
        "TO_VARIANT" => converted(name, given, "VARIANT", "sf_cast")?,
        "TO_NUMBER" | "TO_DECIMAL" | "TO_NUMERIC" => to_number(&given, "sf_cast")?,
        "TRY_TO_NUMBER" | "TRY_TO_DECIMAL" | "TRY_TO_NUMERIC" => to_number(&given, "sf_try_cast")?,
        "ARRAY_CONSTRUCT" => array_of(given),
        "OBJECT_CONSTRUCT" => object_of(given)?,
        "TO_GEOGRAPHY" => converted(name, given, "GEOGRAPHY", "sf_cast")?,
        "TO_GEOMETRY" => converted(name, given, "GEOMETRY", "sf_cast")?,
        "TO_BINARY" => to_binary(given)?,
        "TO_TIME" | "TIME" => converted(name, given, "TIME", "sf_cast")?,
        "TO_TIMESTAMP_TZ" => converted(name, given, "TIMESTAMP_TZ(9)", "sf_cast")?,
        _ => return Ok(None),
    }))
}

/// A conversion of one value; formats are not known here.
fn converted(
    name: &str,
    given: Vec<Expr>,
    sql_type: &str,
    function: &str,
) -> Result<Expr, SqlError> {
    if given.len() > 1 {
        return Err(SqlError::unsupported(format!("{name} WITH A FORMAT")));
    }
    let [value] = exactly(name, given)?;
    Ok(call(function, vec![value, text(sql_type)]))
}

fn to_number(given: &[Expr], function: &str) -> Result<Expr, SqlError> {
    let digits = |position: usize, otherwise: &str| {
        given.get(position).map_or(otherwise.to_owned(), |value| {
            value.to_string().trim_end_matches('.').to_owned()
        })
    };
    let sql_type = format!("NUMBER({},{})", digits(1, "38"), digits(2, "0"));
    let value = given
        .first()
        .cloned()
        .ok_or_else(|| wrong_number("TO_NUMBER"))?;
    Ok(call(function, vec![value, text(sql_type)]))
}

/// `[a, b, c]`
pub(crate) fn array_of(items: Vec<Expr>) -> Expr {
    if items.is_empty() {
        return cast(call("sf_parse_json", vec![text("[]")]), "ARRAY");
    }
    call("sf_array", items)
}

pub(crate) fn object_of(given: Vec<Expr>) -> Result<Expr, SqlError> {
    if given.is_empty() {
        return Ok(cast(call("sf_parse_json", vec![text("{}")]), "OBJECT"));
    }
    if !given.len().is_multiple_of(2) {
        return Err(wrong_number("OBJECT_CONSTRUCT"));
    }
    Ok(call("sf_object", given))
}

/// Hexadecimal digits are the only format here.
fn to_binary(mut given: Vec<Expr>) -> Result<Expr, SqlError> {
    if given.len() == 2 {
        let format = given.pop().as_ref().and_then(word).unwrap_or_default();
        if !format.eq_ignore_ascii_case("HEX") {
            return Err(SqlError::unsupported(format!("TO_BINARY WITH {format}")));
        }
    }
    converted("TO_BINARY", given, "BINARY", "sf_cast")
}
