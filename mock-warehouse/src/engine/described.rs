//! How a grid describes columns: what its `rowType` says of each type, and which table a column comes from.

use arrow::datatypes::Field;

use super::{
    GridColumn, SqlError,
    sql_type::{COLUMN_LENGTH, SqlType, TEXT_LENGTH},
};

/// Metadata of an Arrow field: database, schema and table of a table's column, separated by NUL.
const TABLE_KEY: &str = "snowflake.table";

impl SqlType {
    /// How a grid describes a column of this type.
    pub(crate) fn grid_column(self, name: &str, nullable: bool) -> GridColumn {
        let (precision, scale) = self.digits();
        let (length, byte_length) = self.lengths();
        GridColumn {
            name: name.to_owned(),
            database: String::new(),
            schema: String::new(),
            table: String::new(),
            type_: self.encoding().to_owned(),
            extended_type: self.is_geospatial().then(|| self.to_string()),
            precision,
            scale,
            length,
            byte_length,
            nullable,
        }
    }

    /// What `rowType` calls the type.
    fn encoding(self) -> &'static str {
        match self {
            Self::Number { .. } => "fixed",
            Self::Float => "real",
            Self::Varchar { .. } => "text",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Time | Self::ShortTime { .. } => "time",
            Self::TimestampNtz { .. } => "timestamp_ntz",
            Self::TimestampLtz { .. } => "timestamp_ltz",
            Self::TimestampTz { .. } => "timestamp_tz",
            Self::Binary { .. } => "binary",
            Self::Variant => "variant",
            Self::Object | Self::Geography | Self::Geometry => "object",
            Self::Array => "array",
            Self::Vector { .. } => "vector",
        }
    }

    /// Precision and scale; times have a precision of 0.
    fn digits(self) -> (Option<i64>, Option<i64>) {
        match self {
            Self::Number { precision, scale } => (Some(precision.into()), Some(scale.into())),
            Self::Time => (Some(0), Some(9)),
            Self::ShortTime { scale }
            | Self::TimestampNtz { scale }
            | Self::TimestampLtz { scale }
            | Self::TimestampTz { scale } => (Some(0), Some(scale.into())),
            _ => (None, None),
        }
    }

    /// Characters and bytes.
    fn lengths(self) -> (Option<i64>, Option<i64>) {
        match self {
            Self::Varchar { length } => {
                let characters = i64::try_from(length).unwrap_or(i64::MAX);
                let bytes = if length == COLUMN_LENGTH {
                    4 * characters
                } else {
                    characters.saturating_mul(4).min(TEXT_LENGTH as i64)
                };
                (Some(characters), Some(bytes))
            }
            Self::Binary { length } => {
                let bytes = i64::try_from(length).ok();
                (bytes, bytes)
            }
            _ => (None, None),
        }
    }
}

/// The field with the table it belongs to.
pub(crate) fn with_table(field: Field, database: &str, schema: &str, table: &str) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(
        TABLE_KEY.to_owned(),
        format!("{database}\0{schema}\0{table}"),
    );
    field.with_metadata(metadata)
}

/// The grid's description of a field that a query yields, under the name that people see.
pub(crate) fn described(field: &Field, name: &str) -> Result<GridColumn, SqlError> {
    let sql_type = SqlType::of(field)?;
    let mut column = sql_type.grid_column(name, field.is_nullable());
    // The service leaves the table out where a column is shown as another type than its own.
    if let Some(table) = field.metadata().get(TABLE_KEY)
        && !sql_type.is_geospatial()
    {
        let mut parts = table.split('\0').map(str::to_owned);
        column.database = parts.next().unwrap_or_default();
        column.schema = parts.next().unwrap_or_default();
        column.table = parts.next().unwrap_or_default();
    }
    Ok(column)
}
