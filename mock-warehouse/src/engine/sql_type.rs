//! Snowflake's types: read from SQL text, kept as Arrow.

use std::{collections::HashMap, fmt};

use arrow::datatypes::{DataType, Field, TimeUnit};
use serde::{Deserialize, Serialize};

use super::{SqlError, functions::ZONED_WIDTH};

/// Metadata of an Arrow field: the Snowflake type, where Arrow's says less.
const TYPE_KEY: &str = "snowflake.type";

/// Longest VARCHAR of a column that names no length.
pub(crate) const COLUMN_LENGTH: u64 = 16_777_216;
/// Longest VARCHAR of an expression.
pub(crate) const TEXT_LENGTH: u64 = 134_217_728;
/// Longest BINARY of a column that names no length.
const BINARY_LENGTH: u64 = 8_388_608;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum SqlType {
    Number {
        precision: u8,
        scale: i8,
    },
    Float,
    Varchar {
        length: u64,
    },
    Boolean,
    Date,
    /// Of nine digits.
    Time,
    /// Of fewer digits; apart from the one of nine, so that catalogs that know only that one can be read.
    ShortTime {
        scale: u8,
    },
    TimestampNtz {
        scale: u8,
    },
    TimestampLtz {
        scale: u8,
    },
    TimestampTz {
        scale: u8,
    },
    Binary {
        length: u64,
    },
    Variant,
    Object,
    Array,
    Geography,
    Geometry,
    Vector {
        element: VectorElement,
        dimension: u16,
    },
}

/// What a VECTOR holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum VectorElement {
    Float,
    Int,
}

impl SqlType {
    /// The type that `text` names, e.g. `NUMBER(19,0)`; a VARCHAR without length is as long as a column may be.
    pub(crate) fn parse(text: &str) -> Result<Self, SqlError> {
        let text = text.trim().to_uppercase();
        let (name, arguments) = match text.split_once('(') {
            Some((name, rest)) => (name.trim(), rest.trim_end_matches(')')),
            None => (text.as_str(), ""),
        };
        if name == "VECTOR" {
            return Self::vector(arguments).ok_or_else(|| unsupported(&text));
        }
        let numbers: Vec<u64> = arguments
            .split(',')
            .filter(|part| !part.trim().is_empty())
            .map(|part| part.trim().parse().map_err(|_| unsupported(&text)))
            .collect::<Result<_, _>>()?;
        let scale = numbers.first().copied().unwrap_or(9);
        let timestamp_scale = u8::try_from(scale).ok().filter(|scale| *scale <= 9);
        Ok(match name {
            "NUMBER" | "DECIMAL" | "NUMERIC" | "DEC" => Self::number(&text, &numbers)?,
            "INT" | "INTEGER" | "BIGINT" | "SMALLINT" | "TINYINT" | "BYTEINT" => Self::Number {
                precision: 38,
                scale: 0,
            },
            "FLOAT" | "FLOAT4" | "FLOAT8" | "DOUBLE" | "DOUBLE PRECISION" | "REAL" => Self::Float,
            "VARCHAR" | "STRING" | "TEXT" | "NVARCHAR" | "CHAR VARYING" | "CHARACTER VARYING" => {
                Self::Varchar {
                    length: numbers.first().copied().unwrap_or(COLUMN_LENGTH),
                }
            }
            "CHAR" | "CHARACTER" | "NCHAR" => Self::Varchar {
                length: numbers.first().copied().unwrap_or(1),
            },
            "BOOLEAN" | "BOOL" => Self::Boolean,
            "DATE" => Self::Date,
            "TIME" => match timestamp_scale.ok_or_else(|| unsupported(&text))? {
                9 => Self::Time,
                scale => Self::ShortTime { scale },
            },
            "TIMESTAMP_NTZ"
            | "TIMESTAMPNTZ"
            | "TIMESTAMP"
            | "DATETIME"
            | "TIMESTAMP WITHOUT TIME ZONE" => Self::TimestampNtz {
                scale: timestamp_scale.ok_or_else(|| unsupported(&text))?,
            },
            "TIMESTAMP_LTZ" | "TIMESTAMPLTZ" | "TIMESTAMP WITH LOCAL TIME ZONE" => {
                Self::TimestampLtz {
                    scale: timestamp_scale.ok_or_else(|| unsupported(&text))?,
                }
            }
            "TIMESTAMP_TZ" | "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => Self::TimestampTz {
                scale: timestamp_scale.ok_or_else(|| unsupported(&text))?,
            },
            "BINARY" | "VARBINARY" | "BYTES" => Self::Binary {
                length: numbers.first().copied().unwrap_or(BINARY_LENGTH),
            },
            "VARIANT" => Self::Variant,
            "OBJECT" => Self::Object,
            "ARRAY" => Self::Array,
            "GEOGRAPHY" => Self::Geography,
            "GEOMETRY" => Self::Geometry,
            _ => return Err(unsupported(&text)),
        })
    }

    fn number(text: &str, numbers: &[u64]) -> Result<Self, SqlError> {
        let precision = numbers.first().copied().unwrap_or(38);
        let scale = numbers.get(1).copied().unwrap_or(0);
        if !(1..=38).contains(&precision) || scale > 37 || scale > precision {
            return Err(unsupported(text));
        }
        Ok(Self::Number {
            precision: u8::try_from(precision).expect("at most 38"),
            scale: i8::try_from(scale).expect("at most 37"),
        })
    }

    /// `FLOAT, 3`
    fn vector(arguments: &str) -> Option<Self> {
        let (element, dimension) = arguments.split_once(',')?;
        let element = match element.trim() {
            "FLOAT" => VectorElement::Float,
            "INT" => VectorElement::Int,
            _ => return None,
        };
        let dimension = dimension.trim().parse().ok()?;
        (1..=4096)
            .contains(&dimension)
            .then_some(Self::Vector { element, dimension })
    }

    /// The type of a field that a query yields.
    pub(crate) fn of(field: &Field) -> Result<Self, SqlError> {
        if let Some(text) = field.metadata().get(TYPE_KEY)
            && let Ok(declared) = Self::parse(text)
            && declared.arrow() == *field.data_type()
        {
            return Ok(declared);
        }
        Ok(match field.data_type() {
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Self::Number {
                precision: 18,
                scale: 0,
            },
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
                Self::Number {
                    precision: 18,
                    scale: 0,
                }
            }
            DataType::Decimal128(precision, scale) => Self::Number {
                precision: *precision,
                scale: *scale,
            },
            DataType::Float16 | DataType::Float32 | DataType::Float64 => Self::Float,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
                Self::Varchar {
                    length: TEXT_LENGTH,
                }
            }
            DataType::Boolean => Self::Boolean,
            DataType::Date32 => Self::Date,
            DataType::Time64(_) | DataType::Time32(_) => Self::Time,
            DataType::Timestamp(_, None) => Self::TimestampNtz { scale: 9 },
            DataType::Timestamp(_, Some(_)) => Self::TimestampLtz { scale: 9 },
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Self::Binary {
                length: BINARY_LENGTH,
            },
            other => return Err(unsupported(&other.to_string())),
        })
    }

    /// How values are kept. Timestamps of more than six digits are nanoseconds (years 1677 to 2262), others
    /// microseconds, so that every year that Snowflake knows fits.
    pub(crate) fn arrow(self) -> DataType {
        match self {
            Self::Number { precision, scale } => DataType::Decimal128(precision, scale),
            Self::Float => DataType::Float64,
            Self::Varchar { .. }
            | Self::Variant
            | Self::Object
            | Self::Array
            | Self::Geography
            | Self::Geometry => DataType::Utf8,
            Self::Boolean => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Time | Self::ShortTime { .. } => DataType::Time64(TimeUnit::Nanosecond),
            Self::TimestampNtz { scale } => DataType::Timestamp(time_unit(scale), None),
            Self::TimestampLtz { scale } => {
                DataType::Timestamp(time_unit(scale), Some("UTC".into()))
            }
            Self::TimestampTz { .. } => DataType::FixedSizeBinary(ZONED_WIDTH),
            Self::Binary { .. } => DataType::Binary,
            Self::Vector { element, dimension } => {
                let element = match element {
                    VectorElement::Float => DataType::Float32,
                    VectorElement::Int => DataType::Int32,
                };
                DataType::new_fixed_size_list(element, i32::from(dimension), true)
            }
        }
    }

    /// A field of this type that remembers it.
    pub(crate) fn field(self, name: &str, nullable: bool) -> Field {
        Field::new(name, self.arrow(), nullable)
            .with_metadata(HashMap::from([(TYPE_KEY.to_owned(), self.to_string())]))
    }

    /// Digits behind the seconds of a TIME.
    pub(crate) fn time_scale(self) -> u8 {
        match self {
            Self::ShortTime { scale } => scale,
            _ => 9,
        }
    }

    /// VARIANT, OBJECT or ARRAY.
    pub(crate) fn is_semi_structured(self) -> bool {
        matches!(self, Self::Variant | Self::Object | Self::Array)
    }

    /// GEOGRAPHY or GEOMETRY.
    pub(crate) fn is_geospatial(self) -> bool {
        matches!(self, Self::Geography | Self::Geometry)
    }

    /// Whether values are kept as JSON text.
    pub(crate) fn is_json(self) -> bool {
        self.is_semi_structured() || self.is_geospatial()
    }
}

impl fmt::Display for SqlType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { precision, scale } => write!(formatter, "NUMBER({precision},{scale})"),
            Self::Float => formatter.write_str("FLOAT"),
            Self::Varchar { length } => write!(formatter, "VARCHAR({length})"),
            Self::Boolean => formatter.write_str("BOOLEAN"),
            Self::Date => formatter.write_str("DATE"),
            Self::Time => formatter.write_str("TIME(9)"),
            Self::ShortTime { scale } => write!(formatter, "TIME({scale})"),
            Self::TimestampNtz { scale } => write!(formatter, "TIMESTAMP_NTZ({scale})"),
            Self::TimestampLtz { scale } => write!(formatter, "TIMESTAMP_LTZ({scale})"),
            Self::TimestampTz { scale } => write!(formatter, "TIMESTAMP_TZ({scale})"),
            Self::Binary { length } => write!(formatter, "BINARY({length})"),
            Self::Variant => formatter.write_str("VARIANT"),
            Self::Object => formatter.write_str("OBJECT"),
            Self::Array => formatter.write_str("ARRAY"),
            Self::Geography => formatter.write_str("GEOGRAPHY"),
            Self::Geometry => formatter.write_str("GEOMETRY"),
            Self::Vector { element, dimension } => {
                let element = match element {
                    VectorElement::Float => "FLOAT",
                    VectorElement::Int => "INT",
                };
                write!(formatter, "VECTOR({element}, {dimension})")
            }
        }
    }
}

fn time_unit(scale: u8) -> TimeUnit {
    if scale > 6 {
        TimeUnit::Nanosecond
    } else {
        TimeUnit::Microsecond
    }
}

fn unsupported(text: &str) -> SqlError {
    SqlError::new(
        "002040",
        "42601",
        format!("SQL compilation error:\nUnsupported data type '{text}'."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_reads_back_as_it_is_written() {
        for text in [
            "NUMBER(19,0)",
            "FLOAT",
            "VARCHAR(10)",
            "BOOLEAN",
            "DATE",
            "TIME(9)",
            "TIME(3)",
            "TIMESTAMP_NTZ(6)",
            "TIMESTAMP_LTZ(9)",
            "BINARY(4)",
            "TIMESTAMP_TZ(3)",
            "VARIANT",
            "GEOGRAPHY",
            "VECTOR(FLOAT, 3)",
        ] {
            assert_eq!(SqlType::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(SqlType::parse("int").unwrap().to_string(), "NUMBER(38,0)");
        assert_eq!(
            SqlType::parse("string").unwrap().to_string(),
            "VARCHAR(16777216)"
        );
        assert!(SqlType::parse("INTERVAL").is_err());
        assert!(SqlType::parse("VECTOR(TEXT, 3)").is_err());
        assert!(SqlType::parse("NUMBER(39,0)").is_err());
    }
}
