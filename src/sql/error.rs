//! What is wrong with a pipeline's file, where, and what would be accepted.

use std::fmt;
use std::path::{Path, PathBuf};

use datafusion::common::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

use super::words::Words;

/// A file of the pipeline that cannot be used. Prints as `file:line: message` and a `hint:` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    file: PathBuf,
    line: Option<u64>,
    message: String,
    hint: String,
}

impl SqlError {
    pub(super) fn new(
        file: &Path,
        line: Option<u64>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            file: file.to_owned(),
            line,
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// The line is taken from what DataFusion or its parser says, else from a word that it quotes; its message is cut to
    /// its first line.
    pub(super) fn planning(
        file: &Path,
        words: &Words,
        error: &DataFusionError,
        hint: &str,
    ) -> Self {
        let said = message(error);
        let line = diagnostic_line(error)
            .or_else(|| line_in(&said))
            .or_else(|| words.line_of_quoted(&said));
        let said = said.split(" at Line: ").next().unwrap_or_default();
        Self::new(file, line, first_line(said), hint)
    }

    /// The file that is wrong.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}\nhint: {}", self.message, self.hint)
    }
}

impl std::error::Error for SqlError {}

/// What the error says, without the names of its types.
fn message(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::SQL(error, _) => match error.as_ref() {
            ParserError::ParserError(said) | ParserError::TokenizerError(said) => said.clone(),
            ParserError::RecursionLimitExceeded => "it is nested too deeply".to_owned(),
        },
        DataFusionError::Plan(said) | DataFusionError::NotImplemented(said) => said.clone(),
        other => other.strip_backtrace(),
    }
}

fn diagnostic_line(error: &DataFusionError) -> Option<u64> {
    error
        .iter()
        .find_map(|error| error.diagnostic()?.span.map(|span| span.start.line))
}

/// sqlparser writes `at Line: 3, Column: 7` into its messages.
fn line_in(message: &str) -> Option<u64> {
    let after = message.split("Line: ").nth(1)?;
    after
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().trim().to_owned()
}
