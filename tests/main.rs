//! Sluicebox from the outside, beside a real Kafka.
#![expect(
    clippy::unwrap_used,
    reason = "clippy's exception for tests does not cover the helpers beside them"
)]

mod bad_sql;
mod chaos;
mod command_line;
mod conformance;
mod doctor;
mod generate;
mod gold_topics;
mod golden_fixture;
mod harness;
mod hostile_events;
mod keys;
mod late;
mod members;
mod network;
mod own_pipeline;
mod positions;
mod reconcile;
mod reset;
mod restarts;
mod restore;
mod service;
mod sinks;
mod snapshots;
mod support;
mod topic_identity;
mod types;
mod warehouse_refusals;
mod whole_path;
