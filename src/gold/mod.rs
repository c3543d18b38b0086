//! Clean events in, the newest row of every key out; each event counted once.
//!
//! A gold topic is the output and the changelog: a record's value is the row, its header the mergeable state. Rows, states
//! and input positions are one transaction, so what is restored from the topic is what the positions say was counted.
//!
//! A local copy of each state is written now and then, see `snapshot.rs`; restart = copy + the end of the topic.
//!
//! | died after | what happens next |
//! |---|---|
//! | reading, before the commit | the transaction is aborted; state is restored without it; the records are read again |
//! | the commit | state is restored with it; the next records are read |

mod batch;
mod definition;
mod keep;
#[cfg(test)]
mod keep_tests;
mod outputs;
mod restore;
mod run;
mod snapshot;
#[cfg(test)]
mod snapshot_tests;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod written;

pub(crate) use batch::CleanBatches;
pub use keep::{Keep, check_keep};
pub use run::{Config, run};
pub(crate) use snapshot::Standing;
pub(crate) use table::Table;
