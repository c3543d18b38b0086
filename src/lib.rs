//! Raw events in Kafka become clean events, gold metrics and warehouse rows; each counted exactly once.

pub mod broker;
pub mod clean;
pub mod commands;
pub mod config;
pub mod crash;
pub mod generate;
pub mod gold;
pub mod keys;
mod reconcile;
mod rejected;
pub mod sink;
pub mod sql;
pub mod state_folder;
pub mod status;
pub mod warehouse;
pub mod web;
pub mod worker;
