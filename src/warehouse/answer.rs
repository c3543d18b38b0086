//! What a statement answered: columns, and rows of text as the server wrote it.

use serde::Deserialize;

use super::Error;

/// What kind of values a column holds, and so how its text is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
#[non_exhaustive]
pub enum ColumnKind {
    /// Decimal digits at the column's scale.
    Fixed,
    /// A floating-point number, `NaN`, `inf` or `-inf`.
    Real,
    /// Text.
    Text,
    /// `true` or `false`.
    Boolean,
    /// Days since 1970-01-01.
    Date,
    /// Seconds since midnight, with a fraction.
    Time,
    /// Seconds since 1970-01-01 of no zone, with a fraction.
    TimestampNtz,
    /// Seconds since 1970-01-01 UTC, with a fraction.
    TimestampLtz,
    /// The same, a space, and the zone's offset in minutes plus 1440.
    TimestampTz,
    /// Upper-case hexadecimal digits.
    Binary,
    /// JSON: a variant, an object or an array.
    Json,
    /// A kind that is shown as it comes.
    Other,
}

impl From<String> for ColumnKind {
    fn from(name: String) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "fixed" => Self::Fixed,
            "real" => Self::Real,
            "text" => Self::Text,
            "boolean" => Self::Boolean,
            "date" => Self::Date,
            "time" => Self::Time,
            "timestamp_ntz" => Self::TimestampNtz,
            "timestamp_ltz" => Self::TimestampLtz,
            "timestamp_tz" => Self::TimestampTz,
            "binary" => Self::Binary,
            "variant" | "object" | "array" => Self::Json,
            _ => Self::Other,
        }
    }
}

/// A column of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ColumnMeta {
    /// Name; several columns may share one.
    pub name: String,
    /// What its values are.
    #[serde(rename = "type")]
    pub kind: ColumnKind,
    /// Most digits of a number.
    #[serde(default)]
    pub precision: Option<i64>,
    /// Digits after the point, of a number or of seconds.
    #[serde(default)]
    pub scale: Option<i64>,
    /// Whether it may be NULL.
    #[serde(default)]
    pub nullable: Option<bool>,
}

/// A row: text as the server wrote it, or NULL.
pub type Row = Vec<Option<String>>;

/// The whole answer to one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The columns.
    pub columns: Vec<ColumnMeta>,
    /// All rows, each as long as `columns`.
    pub rows: Vec<Row>,
    /// The statement's handle, which the query history knows.
    pub handle: String,
}

impl Answer {
    /// The value of a column in a row; the column's name in any case.
    pub fn text(&self, row: usize, column: &str) -> Result<Option<&str>, Error> {
        let index = self
            .columns
            .iter()
            .position(|meta| meta.name.eq_ignore_ascii_case(column));
        let index = index.ok_or_else(|| Error::Unreadable {
            reason: format!("it has no column {column}"),
        })?;
        let row = self.rows.get(row).ok_or_else(|| Error::Unreadable {
            reason: format!("it has no row {row}"),
        })?;
        Ok(row.get(index).and_then(Option::as_deref))
    }

    /// The integer in a column of a row. NULL is an error.
    pub fn i64(&self, row: usize, column: &str) -> Result<i64, Error> {
        let text = self.text(row, column)?;
        text.and_then(|text| text.parse().ok())
            .ok_or_else(|| Error::Unreadable {
                reason: format!("column {column} of row {row} is no integer"),
            })
    }
}

/// The body of a 200, for one statement or for several.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResultSet {
    pub(super) statement_handle: String,
    #[serde(default)]
    pub(super) statement_handles: Vec<String>,
    #[serde(rename = "resultSetMetaData")]
    pub(super) metadata: Metadata,
    #[serde(default)]
    pub(super) data: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) num_rows: u64,
    #[serde(default)]
    pub(super) partition_info: Vec<PartitionInfo>,
    pub(super) row_type: Vec<ColumnMeta>,
}

/// One part of a result. Its size is not needed: `numRows` is checked at the end.
#[derive(Deserialize)]
pub(super) struct PartitionInfo {}

/// The body of a result's second and later partitions.
#[derive(Deserialize)]
pub(super) struct PartitionData {
    pub(super) data: Vec<Row>,
}

impl ResultSet {
    /// The answer, when all partitions have been added to `data`.
    pub(super) fn into_answer(self) -> Result<Answer, Error> {
        let columns = self.metadata.row_type;
        let (expected, rows) = (self.metadata.num_rows, self.data.len());
        if expected != rows as u64 {
            return Err(Error::Unreadable {
                reason: format!("it promised {expected} rows and has {rows}"),
            });
        }
        if self.data.iter().any(|row| row.len() != columns.len()) {
            return Err(Error::Unreadable {
                reason: "a row is not as wide as the columns".into(),
            });
        }
        Ok(Answer {
            columns,
            rows: self.data,
            handle: self.statement_handle,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(num_rows: u64) -> Result<Answer, Error> {
        let body = serde_json::json!({
            "statementHandle": "h",
            "resultSetMetaData": {
                "numRows": num_rows,
                "rowType": [
                    {"name": "TOPIC", "type": "text", "precision": null, "scale": null},
                    {"name": "NEXT_OFFSET", "type": "FIXED", "precision": 19, "scale": 0, "nullable": false},
                ],
            },
            "data": [["clean_events", "43"], [null, null]],
        });
        serde_json::from_value::<ResultSet>(body)
            .unwrap()
            .into_answer()
    }

    #[test]
    fn values_are_found_by_name() {
        let answer = answer(2).unwrap();
        assert_eq!(answer.text(0, "topic").unwrap(), Some("clean_events"));
        assert_eq!(answer.i64(0, "NEXT_OFFSET").unwrap(), 43);
        assert_eq!(answer.text(1, "TOPIC").unwrap(), None);
        assert_eq!(answer.columns[1].kind, ColumnKind::Fixed);
        for error in [
            answer.i64(1, "NEXT_OFFSET").unwrap_err(),
            answer.i64(0, "TOPIC").unwrap_err(),
            answer.text(0, "FENCE").unwrap_err(),
            answer.text(2, "TOPIC").unwrap_err(),
        ] {
            assert!(matches!(error, Error::Unreadable { .. }), "{error}");
        }
    }

    #[test]
    fn a_result_with_rows_missing_is_no_answer() {
        let error = answer(3).unwrap_err();
        assert!(
            error.to_string().contains("promised 3 rows and has 2"),
            "{error}"
        );
    }
}
