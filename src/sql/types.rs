//! The seven column types of a pipeline, and what each is called in SQL, in Arrow and in the warehouse.

use std::fmt;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, TimeUnit};

/// The type of a column of raw events, clean events or a gold table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SqlType {
    /// Text in UTF-8, of any length.
    Varchar,
    /// An exact number of `precision` digits, `scale` of them after the point.
    Decimal {
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Digits after the point, at most `precision`.
        scale: u8,
    },
    /// A signed integer of 64 bits.
    BigInt,
    /// A binary floating point number of 64 bits.
    Double,
    /// True or false.
    Boolean,
    /// A day of the calendar, years 1 to 9999.
    Date,
    /// A moment in UTC, to the microsecond, years 1 to 9999.
    Timestamp,
}

impl SqlType {
    /// The Arrow type that holds this type's values in a batch.
    pub fn arrow(&self) -> DataType {
        match *self {
            Self::Varchar => DataType::Utf8,
            Self::Decimal { precision, scale } => {
                DataType::Decimal128(precision, scale.cast_signed())
            }
            Self::BigInt => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        }
    }

    /// The narrowest of our types that holds every value of an Arrow type, or `None` if there is none.
    ///
    /// Whoever gets a type back whose [`SqlType::arrow`] differs from `data_type` has to cast. A timestamp counts as
    /// UTC when it has no zone, and is refused when its zone is any other than UTC. Nanoseconds are cut off by the cast.
    /// A `UInt64` does not fit a BIGINT and becomes `DECIMAL(20,0)`.
    pub fn from_arrow(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(Self::Varchar),
            DataType::Dictionary(_, values) => Self::from_arrow(values),
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                Some(Self::BigInt)
            }
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => Some(Self::BigInt),
            DataType::UInt64 => Some(Self::Decimal {
                precision: 20,
                scale: 0,
            }),
            DataType::Float16 | DataType::Float32 | DataType::Float64 => Some(Self::Double),
            DataType::Boolean => Some(Self::Boolean),
            DataType::Date32 => Some(Self::Date),
            DataType::Timestamp(_, None) => Some(Self::Timestamp),
            DataType::Timestamp(_, Some(zone)) => is_utc(zone).then_some(Self::Timestamp),
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale)
            | DataType::Decimal256(precision, scale) => decimal(*precision, *scale),
            _ => None,
        }
    }

    /// The type of the warehouse's column that holds this type's values.
    pub fn warehouse(&self) -> String {
        match *self {
            Self::Varchar => "VARCHAR".to_owned(),
            Self::Decimal { precision, scale } => format!("NUMBER({precision},{scale})"),
            Self::BigInt => "NUMBER(19,0)".to_owned(),
            Self::Double => "FLOAT".to_owned(),
            Self::Boolean => "BOOLEAN".to_owned(),
            Self::Date => "DATE".to_owned(),
            Self::Timestamp => "TIMESTAMP_NTZ(6)".to_owned(),
        }
    }
}

/// A negative scale means zeros before the point, which we hold as digits.
fn decimal(precision: u8, scale: i8) -> Option<SqlType> {
    let zeros_before_the_point = scale.min(0).unsigned_abs();
    let precision = precision.checked_add(zeros_before_the_point)?;
    let scale = scale.max(0).unsigned_abs();
    (precision <= DECIMAL128_MAX_PRECISION && scale <= precision)
        .then_some(SqlType::Decimal { precision, scale })
}

fn is_utc(zone: &str) -> bool {
    matches!(
        zone,
        "UTC" | "Etc/UTC" | "Z" | "+00:00" | "+00" | "+0000" | "-00:00"
    )
}

impl fmt::Display for SqlType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Varchar => formatter.write_str("VARCHAR"),
            Self::Decimal { precision, scale } => write!(formatter, "DECIMAL({precision},{scale})"),
            Self::BigInt => formatter.write_str("BIGINT"),
            Self::Double => formatter.write_str("DOUBLE"),
            Self::Boolean => formatter.write_str("BOOLEAN"),
            Self::Date => formatter.write_str("DATE"),
            Self::Timestamp => formatter.write_str("TIMESTAMP"),
        }
    }
}

/// A named column with its type; every column may be NULL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Column {
    /// The name, exactly as it stands in the JSON object.
    pub name: String,
    /// The type of its values.
    pub sql_type: SqlType,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONEY: SqlType = SqlType::Decimal {
        precision: 18,
        scale: 2,
    };

    #[test]
    fn each_type_has_its_name_everywhere() {
        let table = [
            (SqlType::Varchar, "VARCHAR", DataType::Utf8, "VARCHAR"),
            (
                MONEY,
                "DECIMAL(18,2)",
                DataType::Decimal128(18, 2),
                "NUMBER(18,2)",
            ),
            (SqlType::BigInt, "BIGINT", DataType::Int64, "NUMBER(19,0)"),
            (SqlType::Double, "DOUBLE", DataType::Float64, "FLOAT"),
            (SqlType::Boolean, "BOOLEAN", DataType::Boolean, "BOOLEAN"),
            (SqlType::Date, "DATE", DataType::Date32, "DATE"),
            (
                SqlType::Timestamp,
                "TIMESTAMP",
                DataType::Timestamp(TimeUnit::Microsecond, None),
                "TIMESTAMP_NTZ(6)",
            ),
        ];
        for (sql_type, sql, arrow, warehouse) in table {
            assert_eq!(sql_type.to_string(), sql);
            assert_eq!(sql_type.arrow(), arrow, "{sql}");
            assert_eq!(sql_type.warehouse(), warehouse, "{sql}");
            assert_eq!(SqlType::from_arrow(&arrow), Some(sql_type), "{sql}");
        }
    }

    #[test]
    fn an_arrow_type_widens_to_ours_or_is_refused() {
        let decimal = |precision, scale| Some(SqlType::Decimal { precision, scale });
        let utf8 = || Box::new(DataType::Utf8);
        let table = [
            (DataType::Utf8View, Some(SqlType::Varchar)),
            (DataType::LargeUtf8, Some(SqlType::Varchar)),
            (
                DataType::Dictionary(Box::new(DataType::Int32), utf8()),
                Some(SqlType::Varchar),
            ),
            (DataType::Int8, Some(SqlType::BigInt)),
            (DataType::UInt32, Some(SqlType::BigInt)),
            (DataType::UInt64, decimal(20, 0)),
            (DataType::Float32, Some(SqlType::Double)),
            (DataType::Decimal64(9, 3), decimal(9, 3)),
            (DataType::Decimal128(5, -2), decimal(7, 0)),
            (DataType::Decimal128(38, -1), None),
            (DataType::Decimal256(38, 38), decimal(38, 38)),
            (DataType::Decimal256(39, 0), None),
            (
                DataType::Timestamp(TimeUnit::Nanosecond, None),
                Some(SqlType::Timestamp),
            ),
            (
                DataType::Timestamp(TimeUnit::Second, Some("UTC".into())),
                Some(SqlType::Timestamp),
            ),
            (
                DataType::Timestamp(TimeUnit::Second, Some("+00:00".into())),
                Some(SqlType::Timestamp),
            ),
            (
                DataType::Timestamp(TimeUnit::Second, Some("Europe/Berlin".into())),
                None,
            ),
            (DataType::Date64, None),
            (DataType::Binary, None),
            (DataType::Null, None),
        ];
        for (arrow, expected) in table {
            assert_eq!(SqlType::from_arrow(&arrow), expected, "{arrow}");
        }
    }
}
