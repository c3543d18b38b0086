//! What is wrong with a configuration, in words that name the place, the key and the remedy.

use std::path::PathBuf;

/// Why a configuration was not accepted. The message is one line, then a line `hint: ...`.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{path}: the configuration file cannot be read: {source}\nhint: {hint}", path = path.display())]
    Unreadable {
        /// The file that was looked for.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
        /// What to do about it.
        hint: String,
    },
    /// A key or a value is not acceptable.
    #[error("{place}: {problem}\nhint: {hint}")]
    Refused {
        /// Where it stands: `file:line`, a variable of the environment, a flag, or `default`.
        place: String,
        /// The key, and what is wrong with its value. Never holds a secret.
        problem: String,
        /// What would be accepted.
        hint: String,
    },
}

impl ConfigError {
    /// A refusal of what stands at `place`.
    pub(super) fn refused(
        place: impl Into<String>,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::Refused {
            place: place.into(),
            problem: problem.into(),
            hint: hint.into(),
        }
    }
}
