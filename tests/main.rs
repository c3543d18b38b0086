//! Sluicebox from the outside, beside a real Kafka.

mod bad_sql;
mod command_line;
mod generate;
mod golden_fixture;
mod harness;
mod own_pipeline;
mod restarts;
mod hostile_events;
mod support;
mod warehouse_refusals;
mod whole_path;
