//! Whether a column of the warehouse can hold every value that is written to it.

use std::fmt;

/// Digits of a NUMBER that names none.
/// <https://docs.snowflake.com/en/sql-reference/data-types-numeric>
const DEFAULT_PRECISION: u32 = 38;

/// Length of a VARCHAR that names none is the most that there is; no column is longer.
const UNBOUNDED: u32 = u32::MAX;

/// A column's type, with its synonyms folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WarehouseType {
    /// NUMBER(precision, scale), and every integer type.
    Number {
        /// Digits in all.
        precision: u32,
        /// Digits after the point.
        scale: u32,
    },
    /// VARCHAR and its synonyms.
    Text {
        /// Most characters.
        length: u32,
    },
    /// Anything else, under its one name: FLOAT, BOOLEAN, DATE, TIMESTAMP_NTZ, ...
    Other(String),
}

impl WarehouseType {
    /// Reads a type as it is written in SQL, or as DESCRIBE TABLE shows it.
    pub fn parse(text: &str) -> Self {
        let (name, arguments) = match text.split_once('(') {
            Some((name, rest)) => (name, rest.trim_end().trim_end_matches(')')),
            None => (text, ""),
        };
        let name = name
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .to_ascii_uppercase();
        let mut numbers = arguments
            .split(',')
            .map_while(|number| number.trim().parse().ok());
        match name.as_str() {
            "NUMBER" | "DECIMAL" | "NUMERIC" | "DEC" => Self::Number {
                precision: numbers.next().unwrap_or(DEFAULT_PRECISION),
                scale: numbers.next().unwrap_or(0),
            },
            "INT" | "INTEGER" | "BIGINT" | "SMALLINT" | "TINYINT" | "BYTEINT" => Self::Number {
                precision: DEFAULT_PRECISION,
                scale: 0,
            },
            "VARCHAR" | "STRING" | "TEXT" | "NVARCHAR" | "NVARCHAR2" | "CHAR VARYING"
            | "NCHAR VARYING" => {
                // 16777216 is what DESCRIBE shows for a VARCHAR that names no length.
                let length = numbers.next().filter(|length| *length < 16_777_216);
                Self::Text {
                    length: length.unwrap_or(UNBOUNDED),
                }
            }
            "CHAR" | "CHARACTER" | "NCHAR" => Self::Text {
                length: numbers.next().unwrap_or(1),
            },
            "FLOAT" | "FLOAT4" | "FLOAT8" | "DOUBLE" | "DOUBLE PRECISION" | "REAL" => {
                Self::Other("FLOAT".into())
            }
            "TIMESTAMP" | "DATETIME" | "TIMESTAMPNTZ" | "TIMESTAMP WITHOUT TIME ZONE" => {
                Self::Other("TIMESTAMP_NTZ".into())
            }
            "TIMESTAMPLTZ" => Self::Other("TIMESTAMP_LTZ".into()),
            "TIMESTAMPTZ" => Self::Other("TIMESTAMP_TZ".into()),
            _ => Self::Other(name),
        }
    }
}

impl fmt::Display for WarehouseType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { precision, scale } => write!(f, "NUMBER({precision},{scale})"),
            Self::Text { length: UNBOUNDED } => f.write_str("VARCHAR"),
            Self::Text { length } => write!(f, "VARCHAR({length})"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// Whether every value of `ours` has its place in a column of type `column`, without rounding or cutting.
pub fn holds(column: &WarehouseType, ours: &WarehouseType) -> bool {
    use WarehouseType::{Number, Other, Text};
    match (column, ours) {
        (
            Number { precision, scale },
            Number {
                precision: our_precision,
                scale: our_scale,
            },
        ) => {
            let whole = precision.saturating_sub(*scale);
            scale >= our_scale && whole >= our_precision.saturating_sub(*our_scale)
        }
        (Text { length }, Text { length: ours }) => length >= ours,
        (Other(column), Other(ours)) => column == ours,
        (Number { .. } | Text { .. } | Other(_), _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_holds_what_is_no_wider_than_itself() {
        for (column, ours, expected) in [
            ("NUMBER(38,0)", "BIGINT", true),
            ("NUMBER(19,0)", "NUMBER(19,0)", true),
            ("NUMBER(18,2)", "NUMBER(28,2)", false),
            ("NUMBER(38,2)", "NUMBER(28,2)", true),
            ("NUMBER(38,0)", "NUMBER(28,2)", false),
            ("NUMBER(30,10)", "NUMBER(28,2)", false),
            ("NUMBER", "NUMBER(10, 0)", true),
            ("VARCHAR(16777216)", "VARCHAR", true),
            ("TEXT", "VARCHAR", true),
            ("VARCHAR(10)", "VARCHAR", false),
            ("VARCHAR(10)", "VARCHAR(10)", true),
            ("TIMESTAMP_NTZ(9)", "TIMESTAMP", true),
            ("TIMESTAMP_LTZ(9)", "TIMESTAMP_NTZ", false),
            ("FLOAT", "double", true),
            ("FLOAT", "NUMBER(28,2)", false),
            ("DATE", "DATE", true),
            ("VARCHAR", "DATE", false),
        ] {
            let found = holds(&WarehouseType::parse(column), &WarehouseType::parse(ours));
            assert_eq!(found, expected, "{column} for {ours}");
        }
    }

    #[test]
    fn a_type_is_shown_as_the_warehouse_writes_it() {
        for (text, shown) in [
            ("decimal(28, 2)", "NUMBER(28,2)"),
            ("string", "VARCHAR"),
            ("timestamp", "TIMESTAMP_NTZ"),
        ] {
            assert_eq!(WarehouseType::parse(text).to_string(), shown);
        }
    }
}
