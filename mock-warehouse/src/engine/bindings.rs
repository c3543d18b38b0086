//! Values of placeholders as literals.

use datafusion::sql::sqlparser::ast::{Expr, UnaryOperator};

use super::{
    Binding, SqlError,
    expressions::{cast, null, number, text},
    functions::{decimal, instant},
    rewrite::Constants,
};

/// The literal for a placeholder: `?1` is the first `?`, `:1` and `:name` are as they are written.
pub(crate) fn literal(constants: &Constants, placeholder: &str) -> Result<Expr, SqlError> {
    let key = &placeholder[1..];
    let binding = constants
        .bindings
        .get(key)
        .or_else(|| constants.bindings.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value));
    let Some(binding) = binding else {
        let position = key
            .parse::<usize>()
            .ok()
            .and_then(|number| constants.placeholders.get(number.saturating_sub(1)));
        let (line, column) = position.map_or((1, 0), |place| (place.line, place.column.saturating_sub(1)));
        let shown = if placeholder.starts_with('?') { "?" } else { placeholder };
        return Err(SqlError::new(
            "002049",
            "42601",
            format!("SQL compilation error: error line {line} at position {column}\nBind variable {shown} not set."),
        ));
    };
    value_of(binding)
}

fn value_of(binding: &Binding) -> Result<Expr, SqlError> {
    let kind = binding.kind.to_uppercase();
    let sql_type = match kind.as_str() {
        "FIXED" => "NUMBER(38,0)",
        "REAL" => "FLOAT",
        "TEXT" | "ANY" => "VARCHAR(134217728)",
        "BOOLEAN" => "BOOLEAN",
        "DATE" => "DATE",
        "TIMESTAMP_NTZ" => "TIMESTAMP_NTZ(9)",
        "TIMESTAMP_LTZ" => "TIMESTAMP_LTZ(9)",
        _ => {
            return Err(SqlError::new(
                "002040",
                "42601",
                format!("SQL compilation error:\nUnsupported data type '{kind}'."),
            ));
        }
    };
    let Some(value) = &binding.value else {
        return Ok(cast(null(), sql_type));
    };
    let refuse = || {
        SqlError::new(
            "002086",
            "22000",
            format!("SQL compilation error:\nInvalid bind value ({value}) for type ({kind})."),
        )
    };
    Ok(match kind.as_str() {
        "FIXED" => fixed(value).ok_or_else(refuse)?,
        "REAL" => {
            value.parse::<f64>().map_err(|_| refuse())?;
            cast(text(value.clone()), sql_type)
        }
        "BOOLEAN" => {
            let value = matches!(value.to_lowercase().as_str(), "true" | "1" | "t" | "yes");
            cast(text(value.to_string()), sql_type)
        }
        "DATE" => {
            let milliseconds: i128 = value.parse().map_err(|_| refuse())?;
            cast(text(instant(milliseconds * 1_000_000).format("%Y-%m-%d").to_string()), sql_type)
        }
        "TIMESTAMP_NTZ" | "TIMESTAMP_LTZ" => {
            let nanoseconds: i128 = value.parse().map_err(|_| refuse())?;
            cast(text(instant(nanoseconds).format("%Y-%m-%dT%H:%M:%S%.9fZ").to_string()), sql_type)
        }
        _ => text(value.clone()),
    })
}

/// A decimal literal as it was sent.
fn fixed(value: &str) -> Option<Expr> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || digits.len() > 39 {
        return None;
    }
    let plain: i128 = format!("{whole}{fraction}").parse().ok()?;
    let text = decimal(plain, i8::try_from(fraction.len()).ok()?);
    let literal = number(if fraction.is_empty() { format!("{text}.") } else { text });
    Some(if value.starts_with('-') {
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr: Box::new(literal),
        }
    } else {
        literal
    })
}
