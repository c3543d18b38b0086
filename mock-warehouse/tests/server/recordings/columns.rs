//! Columns as `rowType` describes them.

use serde_json::{Value, json};

/// Longest text of an expression.
const TEXT: i64 = 134_217_728;
/// Longest text of a column.
const COLUMN_TEXT: i64 = 16_777_216;

/// One member of `rowType`.
#[derive(Debug, Clone)]
pub(super) struct Column(Value);

impl Column {
    /// A column that holds a value in each row and belongs to no table.
    pub(super) fn new(name: &str, kind: &str) -> Self {
        Self(
            json!({"name": name, "database": "", "schema": "", "table": "", "collation": null, "precision": null,
            "scale": null, "nullable": false, "byteLength": null, "length": null, "type": kind}),
        )
    }

    /// `NUMBER(precision,0)`
    pub(super) fn fixed(name: &str, precision: i64) -> Self {
        Self::new(name, "fixed").digits(precision, 0)
    }

    /// How many rows a statement changed.
    pub(super) fn count(name: &str) -> Self {
        Self::fixed(name, 19)
    }

    /// A text as long as an expression may be.
    pub(super) fn text(name: &str) -> Self {
        Self::new(name, "text").long(TEXT, TEXT)
    }

    /// A column of SHOW and DESCRIBE, and of statements that say what they did.
    pub(super) fn listed(name: &str) -> Self {
        Self::new(name, "text")
            .long(COLUMN_TEXT, COLUMN_TEXT)
            .nullable()
    }

    /// The one column of a statement that says what it did.
    pub(super) fn status() -> Self {
        Self::listed("status")
    }

    /// A VARCHAR of a table.
    pub(super) fn stored_text(name: &str) -> Self {
        Self::new(name, "text").long(COLUMN_TEXT, 4 * COLUMN_TEXT)
    }

    /// A time with nine digits of a second.
    pub(super) fn time(name: &str, kind: &str) -> Self {
        Self::new(name, kind).digits(0, 9)
    }

    pub(super) fn digits(self, precision: i64, scale: i64) -> Self {
        self.with("precision", precision.into())
            .with("scale", scale.into())
    }

    pub(super) fn long(self, length: i64, bytes: i64) -> Self {
        self.with("length", length.into())
            .with("byteLength", bytes.into())
    }

    pub(super) fn nullable(self) -> Self {
        self.with("nullable", true.into())
    }

    /// A nullable column of DBMETA.PUBLIC.
    pub(super) fn of(self, table: &str) -> Self {
        self.with("database", "DBMETA".into())
            .with("schema", "PUBLIC".into())
            .with("table", table.into())
            .nullable()
    }

    /// Of a SQL type that another type stands for.
    pub(super) fn extended(self, sql_type: &str) -> Self {
        self.with("extTypeName", sql_type.into())
    }

    pub(super) fn described(&self) -> Value {
        self.0.clone()
    }

    fn with(mut self, member: &str, value: Value) -> Self {
        self.0[member] = value;
        self
    }
}
