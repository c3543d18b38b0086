//! Statements in, one at a time, each a grid out; a session carries the role, the names that are current and the
//! open transaction. A session that is dropped rolls back.

use std::collections::BTreeMap;

use super::{Grid, SqlError, StatementKind};

/// Who works, as what, and where.
#[derive(Debug, Clone, Default)]
pub struct SessionContext {
    /// Login name.
    pub user: String,
    /// Role; the user's default role when absent.
    pub role: Option<String>,
    /// Current database.
    pub database: Option<String>,
    /// Current schema.
    pub schema: Option<String>,
    /// Current warehouse.
    pub warehouse: Option<String>,
    /// Session parameters, e.g. `TIMEZONE`; names in upper case.
    pub parameters: BTreeMap<String, String>,
}

/// A value for a placeholder, as the SQL API sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// `FIXED`, `REAL`, `TEXT`, `BOOLEAN`, `DATE`, `TIMESTAMP_NTZ`, ...
    pub kind: String,
    /// The value, or NULL.
    pub value: Option<String>,
}

/// Values by placeholder: `"1"` for the first `?` or `:1`, a name for `:name`.
pub type Bindings = BTreeMap<String, Binding>;

/// Where a stage keeps its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageLocation {
    /// `DATABASE.SCHEMA.STAGE`
    pub name: String,
    /// The bucket of the S3 endpoint: keys of [`Engine::stage_files`](super::Engine::stage_files) begin with it.
    pub bucket: String,
    /// What the stage's objects begin with inside the bucket: empty or ending in `/`.
    pub prefix: String,
    /// Whether files in it are encrypted by the client.
    pub encryption: StageEncryption,
}

/// Who encrypts the files of an internal stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageEncryption {
    /// The client, before it uploads (an internal stage's default).
    SnowflakeFull,
    /// The server.
    SnowflakeSse,
    /// Nobody: an external stage.
    External,
}

/// One session: run its statements one after another.
#[derive(Debug)]
pub struct Session;

impl Session {
    /// The statements of a request, without the separating semicolons; comments, quotes and `$$` are respected.
    pub fn split(sql: &str) -> Result<Vec<String>, SqlError> {
        Ok(vec![sql.to_owned()])
    }

    /// What one statement does, from its first words.
    pub fn kind(sql: &str) -> StatementKind {
        let _ = sql;
        StatementKind::Other
    }

    /// Runs one statement. Dropping the future cancels it; the transaction then stays as it was before.
    pub async fn execute(&mut self, sql: &str, bindings: &Bindings) -> Result<Grid, SqlError> {
        let _ = (sql, bindings);
        std::future::ready(Err(SqlError::new("000002", "0A000", "Unsupported feature 'SQL'."))).await
    }

    /// Whether a transaction is open.
    pub fn in_transaction(&self) -> bool {
        false
    }

    /// Where the named stage (`@stage`, `@db.schema.stage/path`: the path is ignored) keeps its files.
    /// Asks for the privilege to write into it.
    pub fn stage(&self, name: &str) -> Result<StageLocation, SqlError> {
        Err(SqlError::new("002003", "02000", format!("Stage '{name}' does not exist or not authorized.")))
    }

    /// What is current now: role, database, schema, warehouse, parameters.
    pub fn context(&self) -> SessionContext {
        SessionContext::default()
    }
}
