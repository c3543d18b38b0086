//! Sluicebox from the outside, beside a real Kafka.

mod bad_sql;
mod generate;
mod golden_fixture;
mod harness;
mod own_pipeline;
mod restarts;
mod support;
mod whole_path;
