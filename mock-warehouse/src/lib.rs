//! A Snowflake-compatible server on DataFusion, for tests, demos and development.

pub mod engine;
