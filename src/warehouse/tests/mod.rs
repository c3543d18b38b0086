//! The client against a server that answers as it is told.

mod answers;
mod failures;
pub(crate) mod script;
mod uploads;

use super::Answer;

pub(crate) fn rows(answer: &Answer) -> Vec<Vec<Option<&str>>> {
    answer
        .rows
        .iter()
        .map(|row| row.iter().map(Option::as_deref).collect())
        .collect()
}
