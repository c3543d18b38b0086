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
    let binding = constants.bindings.get(key).or_else(|| {
        constants
            .bindings
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(key))
            .map(|(_, value)| value)
    });
    let Some(binding) = binding else {
        let position = key
            .parse::<usize>()
            .ok()
            .and_then(|number| constants.placeholders.get(number.saturating_sub(1)));
        let (line, column) =
            position.map_or((1, 0), |place| (place.line, place.column.saturating_sub(1)));
        let shown = if placeholder.starts_with('?') {
            "?"
        } else {
            placeholder
        };
        return Err(SqlError::new(
            "002049",
            "42601",
            format!(
                "SQL compilation error: error line {line} at position {column}\nBind variable {shown} not set."
            ),
        ));
    };
    value_of(binding)
}

fn value_of(binding: &Binding) -> Result<Expr, SqlError> {
    let kind = binding.kind.to_uppercase();
    let sql_type = sql_type(&kind).ok_or_else(|| {
        SqlError::new(
            "002040",
            "42601",
            format!("SQL compilation error:\nUnsupported data type '{kind}'."),
        )
    })?;
    let Some(value) = &binding.value else {
        return Ok(cast(null(), sql_type));
    };
    let written = match kind.as_str() {
        "FIXED" => fixed(value),
        "TEXT" | "ANY" => Some(text(value.clone())),
        "BINARY" => binary(value),
        kind => as_text(kind, value).map(|value| cast(text(value), sql_type)),
    };
    written.ok_or_else(|| {
        SqlError::new(
            "002086",
            "22000",
            format!("SQL compilation error:\nInvalid bind value ({value}) for type ({kind})."),
        )
    })
}

/// The SQL type of a kind of bindings.
fn sql_type(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "FIXED" => "NUMBER(38,0)",
        "REAL" => "FLOAT",
        "TEXT" | "ANY" => "VARCHAR(134217728)",
        "BOOLEAN" => "BOOLEAN",
        "DATE" => "DATE",
        "TIME" => "TIME(9)",
        "TIMESTAMP_NTZ" => "TIMESTAMP_NTZ(9)",
        "TIMESTAMP_LTZ" => "TIMESTAMP_LTZ(9)",
        "TIMESTAMP_TZ" => "TIMESTAMP_TZ(9)",
        "BINARY" => "BINARY",
        _ => return None,
    })
}

/// The value as SQL would write it in quotes.
fn as_text(kind: &str, value: &str) -> Option<String> {
    Some(match kind {
        "REAL" => {
            value.parse::<f64>().ok()?;
            value.to_owned()
        }
        "BOOLEAN" => match value.to_lowercase().as_str() {
            "true" | "1" | "t" | "yes" => "true".to_owned(),
            "false" | "0" | "f" | "no" => "false".to_owned(),
            _ => return None,
        },
        "DATE" => {
            let milliseconds: i128 = value.parse().ok()?;
            instant(milliseconds.checked_mul(1_000_000)?)
                .format("%Y-%m-%d")
                .to_string()
        }
        "TIME" => time_of_day(value)?,
        "TIMESTAMP_TZ" => zoned(value)?,
        _ => instant(value.parse().ok()?)
            .format("%Y-%m-%dT%H:%M:%S%.9fZ")
            .to_string(),
    })
}

/// Hexadecimal digits.
fn binary(value: &str) -> Option<Expr> {
    let hexadecimal = value.bytes().all(|byte| byte.is_ascii_hexdigit());
    let length = (value.len() / 2).max(1);
    (hexadecimal && value.len().is_multiple_of(2))
        .then(|| cast(text(value), &format!("BINARY({length})")))
}

/// `<nanoseconds> <minutes + 1440>` as a time with its offset.
fn zoned(value: &str) -> Option<String> {
    let (nanoseconds, offset) = value.split_once(' ')?;
    let nanoseconds: i128 = nanoseconds.parse().ok()?;
    let minutes = offset.parse::<i32>().ok()?.checked_sub(1440)?;
    if minutes.abs() > 1440 {
        return None;
    }
    let wall = instant(nanoseconds.checked_add(i128::from(minutes) * 60_000_000_000)?);
    let sign = if minutes < 0 { '-' } else { '+' };
    Some(format!(
        "{}{sign}{:02}:{:02}",
        wall.format("%Y-%m-%dT%H:%M:%S%.9f"),
        minutes.abs() / 60,
        minutes.abs() % 60
    ))
}

/// Nanoseconds since midnight as a time of day.
fn time_of_day(value: &str) -> Option<String> {
    let nanoseconds: i128 = value.parse().ok()?;
    (0..86_400_000_000_000)
        .contains(&nanoseconds)
        .then(|| instant(nanoseconds).format("%H:%M:%S%.9f").to_string())
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
    let literal = number(if fraction.is_empty() {
        format!("{text}.")
    } else {
        text
    });
    Some(if value.starts_with('-') {
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr: Box::new(literal),
        }
    } else {
        literal
    })
}
