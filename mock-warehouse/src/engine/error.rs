//! What a statement that fails answers: Snowflake's code, SQL state and message.

use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};

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

    pub(crate) fn syntax(reason: impl std::fmt::Display) -> Self {
        Self::new(
            "001003",
            "42000",
            format!("SQL compilation error:\n{reason}."),
        )
    }

    pub(crate) fn unsupported(feature: impl std::fmt::Display) -> Self {
        Self::new(
            "000002",
            "0A000",
            format!("Unsupported feature '{feature}'."),
        )
    }

    pub(crate) fn invalid_identifier(name: &str, line: u64, position: u64) -> Self {
        Self::new(
            "000904",
            "42000",
            format!(
                "SQL compilation error: error line {line} at position {position}\ninvalid identifier '{name}'"
            ),
        )
    }

    pub(crate) fn unknown_function(name: &str) -> Self {
        Self::new(
            "002140",
            "42601",
            format!("SQL compilation error:\nUnknown function {name}."),
        )
    }

    pub(crate) fn division_by_zero() -> Self {
        Self::new("100051", "22012", "Division by zero")
    }

    pub(crate) fn not_a_number(text: &str) -> Self {
        Self::new(
            "100038",
            "22018",
            format!("Numeric value '{text}' is not recognized"),
        )
    }

    pub(crate) fn out_of_range(text: impl std::fmt::Display) -> Self {
        Self::new(
            "100039",
            "22003",
            format!("Numeric value '{text}' is out of range"),
        )
    }

    pub(crate) fn no_database(what: &str) -> Self {
        Self::new(
            "391918",
            "22000",
            format!(
                "Cannot perform {what}. This session does not have a current database. Call 'USE DATABASE', or use a \
                 qualified name."
            ),
        )
    }
}

/// For errors that travel through DataFusion: they come out as they went in.
impl From<SqlError> for DataFusionError {
    fn from(error: SqlError) -> Self {
        Self::External(Box::new(error))
    }
}

impl From<DataFusionError> for SqlError {
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::External(inner) => match inner.downcast::<Self>() {
                Ok(error) => *error,
                Err(other) => Self::internal(&other.to_string()),
            },
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
                (*inner).into()
            }
            DataFusionError::Shared(inner) => match DataFusionError::find_root(&inner) {
                DataFusionError::External(boxed) if boxed.is::<Self>() => boxed
                    .downcast_ref::<Self>()
                    .cloned()
                    .expect("the type was asked for just now"),
                other => Self::internal(&other.to_string()),
            },
            DataFusionError::ArrowError(inner, _) => (*inner).into(),
            DataFusionError::SchemaError(inner, _) => match *inner {
                SchemaError::FieldNotFound { field, .. } => {
                    Self::invalid_identifier(&field.flat_name(), 1, 0)
                }
                SchemaError::AmbiguousReference { field } => Self::new(
                    "002028",
                    "42601",
                    format!(
                        "SQL compilation error:\nambiguous column name '{}'",
                        field.name
                    ),
                ),
                other => Self::compilation(&other.to_string()),
            },
            DataFusionError::Collection(mut errors) if !errors.is_empty() => {
                errors.remove(0).into()
            }
            DataFusionError::NotImplemented(reason) => Self::unsupported(reason),
            DataFusionError::SQL(inner, _) => Self::syntax(inner),
            DataFusionError::Plan(reason) => Self::compilation(&reason),
            other => Self::internal(&other.strip_backtrace()),
        }
    }
}

impl From<ArrowError> for SqlError {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::DivideByZero => Self::division_by_zero(),
            ArrowError::ExternalError(inner) => match inner.downcast::<Self>() {
                Ok(error) => *error,
                Err(other) => match other.downcast::<DataFusionError>() {
                    Ok(error) => (*error).into(),
                    Err(other) => Self::internal(&other.to_string()),
                },
            },
            ArrowError::ArithmeticOverflow(reason) => Self::out_of_range(reason),
            other => Self::internal(&other.to_string()),
        }
    }
}

impl SqlError {
    fn compilation(reason: &str) -> Self {
        Self::new(
            "001003",
            "42000",
            format!("SQL compilation error:\n{reason}"),
        )
    }

    /// What Snowflake says of its own faults.
    pub(crate) fn internal(reason: &str) -> Self {
        Self::new(
            "000603",
            "XX000",
            format!("SQL execution internal error: {reason}"),
        )
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
    /// Another process, or another warehouse of this one, has it open.
    #[error("{path} is in use by another warehouse")]
    InUse {
        /// The folder.
        path: String,
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

impl OpenError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::InUse { .. } => "end the process that holds it, or choose another folder",
            Self::Files { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                "put the file back from a copy of the folder, or begin anew with an empty one"
            }
            Self::Files { .. } => "make the folder writable, or choose another",
            Self::Damaged { .. } => {
                "put the file back from a copy of the folder, or begin anew with an empty one"
            }
        }
    }
}
