//! What a statement that succeeds answers.

use serde::{Deserialize, Serialize};

/// The result of one statement, encoded as the SQL API's `jsonv2` does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grid {
    /// The columns, in order.
    pub columns: Vec<GridColumn>,
    /// The rows; a value is text or NULL.
    pub rows: Vec<Vec<Option<String>>>,
    /// How many rows a DML statement changed; absent when none was.
    pub stats: Option<Stats>,
    /// What kind of statement it was.
    pub kind: StatementKind,
}

/// A column as `resultSetMetaData.rowType` describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GridColumn {
    /// Name; an unnamed expression is its own text in upper case.
    pub name: String,
    /// Database of the table that the column comes from, or empty.
    pub database: String,
    /// Schema of the table that the column comes from, or empty.
    pub schema: String,
    /// Table that the column comes from, or empty.
    pub table: String,
    /// `fixed`, `real`, `text`, `boolean`, `date`, `time`, `timestamp_ntz`, `timestamp_ltz`, `binary`, `variant`, ...
    pub type_: String,
    /// The SQL type where `type_` is that of its encoding: `GEOGRAPHY`, `GEOMETRY`.
    pub extended_type: Option<String>,
    /// Decimal digits in all, for `fixed`; 0 for times.
    pub precision: Option<i64>,
    /// Digits after the point, for `fixed` and times.
    pub scale: Option<i64>,
    /// Most characters, for `text` and `binary`.
    pub length: Option<i64>,
    /// Most bytes, for `text` and `binary`.
    pub byte_length: Option<i64>,
    /// Whether a value may be NULL.
    pub nullable: bool,
}

/// Numbers of rows that a DML statement changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// `numRowsInserted`
    pub rows_inserted: u64,
    /// `numRowsDeleted`
    pub rows_deleted: u64,
    /// `numRowsUpdated`
    pub rows_updated: u64,
    /// `numDmlDuplicates`
    pub duplicates: u64,
}

/// What a statement does, as far as a server has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StatementKind {
    /// SELECT, WITH, VALUES
    Select,
    /// INSERT
    Insert,
    /// UPDATE
    Update,
    /// DELETE
    Delete,
    /// MERGE
    Merge,
    /// TRUNCATE
    Truncate,
    /// BEGIN
    Begin,
    /// COMMIT
    Commit,
    /// ROLLBACK
    Rollback,
    /// USE
    Use,
    /// ALTER SESSION
    AlterSession,
    /// CREATE, ALTER, DROP
    Ddl,
    /// GRANT, REVOKE
    Grant,
    /// SHOW
    Show,
    /// DESCRIBE
    Describe,
    /// LIST
    List,
    /// REMOVE
    Remove,
    /// PUT (never run by the engine)
    Put,
    /// GET (never run by the engine)
    Get,
    /// COPY INTO
    Copy,
    /// Anything else
    Other,
}

impl StatementKind {
    /// Whether such a statement changes rows of a table.
    pub fn changes_data(self) -> bool {
        matches!(
            self,
            Self::Insert | Self::Update | Self::Delete | Self::Merge | Self::Truncate | Self::Copy
        )
    }
}
