//! What a statement that fails answers: Snowflake's code, SQL state and message.

/// A statement's failure as Snowflake words it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} ({sql_state}): {message}")]
pub struct SqlError {
    /// Six digits, e.g. `002003`.
    pub code: String,
    /// Five characters, e.g. `42S02`.
    pub sql_state: String,
    /// The text for people, as Snowflake words it.
    pub message: String,
}

impl SqlError {
    /// An error of the given code, SQL state and message.
    pub fn new(code: &str, sql_state: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            sql_state: sql_state.to_owned(),
            message: message.into(),
        }
    }
}

/// A folder that cannot be opened as a warehouse.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or a file in it cannot be read or written.
    #[error("cannot use {path}")]
    Files {
        /// What was to be read or written.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is there and is not what it should be.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// Which file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}
