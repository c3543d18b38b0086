//! Sluicebox from the outside, beside a real Kafka.

mod bad_sql;
mod generate;
mod harness;
mod support;
mod whole_path;
