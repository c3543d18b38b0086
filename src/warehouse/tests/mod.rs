//! The client against a server that answers as it is told.

mod answers;
mod failures;
pub(crate) mod script;
mod uploads;

use std::time::Duration;

use super::{Answer, Client, client::Pace};

/// The client, which does not wait long between tries.
pub(crate) fn hurried(mut client: Client) -> Client {
    client.pace = Pace {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(2),
    };
    client
}

pub(crate) fn rows(answer: &Answer) -> Vec<Vec<Option<&str>>> {
    answer
        .rows
        .iter()
        .map(|row| row.iter().map(Option::as_deref).collect())
        .collect()
}
