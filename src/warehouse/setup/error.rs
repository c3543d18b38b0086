//! What can be wrong with a pipeline's scripts, or with what they met in the warehouse.

use std::{fmt, io, path::PathBuf};

use crate::warehouse;

/// Where in the scripts something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The script.
    pub file: PathBuf,
    /// Its line, counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A set-up that was not done, or a table that does not fit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The folder or a script cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A script is wrong; nothing was sent.
    #[error("{place}: {problem}")]
    Script {
        /// Where.
        place: Place,
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// The warehouse refused a statement; those before it are done.
    #[error("{place}: failed: {statement}")]
    Failed {
        /// Where.
        place: Place,
        /// The statement's first words.
        statement: String,
        /// Why.
        source: Box<warehouse::Error>,
    },
    /// A table cannot be looked at.
    #[error("cannot describe table {table}")]
    Undescribed {
        /// Which.
        table: String,
        /// Why.
        source: Box<warehouse::Error>,
    },
    /// The configuration or the key cannot be used.
    #[error(transparent)]
    Warehouse(#[from] warehouse::Error),
    /// A table does not have what is written to it.
    #[error("table {table} does not fit: {problem}")]
    Unfit {
        /// Which.
        table: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: String,
    },
}

impl SetupError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreadable { .. } => Some(
                "a pipeline's warehouse scripts are in <pipeline>/warehouse/*.sql, in UTF-8".into(),
            ),
            Self::Script { hint, .. } | Self::Unfit { hint, .. } => Some(hint.clone()),
            Self::Failed { source, .. } | Self::Undescribed { source, .. } => source.hint(),
            Self::Warehouse(error) => error.hint(),
        }
    }
}
