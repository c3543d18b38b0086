//! A Snowflake-compatible server on DataFusion, for tests, demos and development.
//!
//! It verifies key-pair JWTs against registered public keys, speaks the SQL API and the protocol of Snowflake's drivers,
//! and serves the files of its stages over an S3-compatible endpoint. What it has
//! acknowledged outlives the process where a folder is given; what goes wrong is decided by [`Faults`]. It keeps no promise about
//! security beyond what those uses need.
#![forbid(unsafe_code)]

pub mod engine;
mod key;
mod server;
mod warehouse;

pub use key::{KeyError, PublicKey};
pub use server::{Counters, Fault, FaultKind, Faults, HowOften, RuleState, Step, WrongFault};
pub use warehouse::{Config, MockWarehouse, Registration, StartError, Storage};
