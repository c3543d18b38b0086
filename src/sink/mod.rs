//! Rows of the gold topics and of the clean topic in, one idempotent load of the warehouse out.
//!
//! The control table in the warehouse says, per partition, who may load (`fence`) and what is next (`next_offset`).
//! A sink raises the fence of what it is given and reads from that `next_offset`, not from the group's. A flush writes
//! Parquet files, named after their offsets, to the stage and loads them all in one transaction that also moves
//! `next_offset`. Whatever fails, a flush that is done again does the same or nothing.
//!
//! | died after | what happens next |
//! |---|---|
//! | writing Parquet, before the upload | nothing is staged; the same offsets are read again |
//! | the upload | the same rows are staged again; a file of the same name is replaced by the same content |
//! | the transaction committed, before the reply | the control table says so; a repeated request matches no row |
//! | the reply, before the group's offsets were written | the control table says so; the group's offsets are for lag tools |
//! | the load, before the staged files were removed | they stay on the stage and are never read again |
//!
//! | somebody else | what happens next |
//! |---|---|
//! | raises a fence while a load runs | waits for the lock, then reads the moved `next_offset` |
//! | has raised it before a load begins | the load matches no row: the partition is dropped and the group joined again |
//!
//! A staged file is removed only when the control table stands behind its rows under this sink's own fence: nobody
//! then needs it, and no later sink can give the same name to rows it still has to load.

pub mod buffer;
pub mod control;
mod error;
pub mod files;
mod flush;
mod lag;
mod literal;
pub mod load;
mod loader;
mod look;
pub mod position;
pub mod run;
pub mod session;
pub mod table;
mod trouble;

pub use error::SinkError;
pub use flush::{Flushed, Limits, Settled, Sink};
pub(crate) use literal::{quoted, text};
pub use loader::{Claim, Loaded, Loader, Pending};
pub use look::Found;

#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod interleaving_tests;
#[cfg(test)]
mod tests;
