//! The mock warehouse from outside: over its router, its port and its program.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test may panic like the test"
)]

mod authentication;
mod cancellation;
mod connectors;
mod driver;
mod durability;
#[path = "../connectors/environment.rs"]
mod environment;
mod faults;
mod faults_given;
mod faults_of_state;
mod hostile;
mod kills;
mod mutations;
mod mutator;
mod openapi;
mod partitions;
mod program;
mod recordings;
mod requests;
mod stage;
mod support;
mod transactions;
