//! A pipeline's SQL files in, planned steps out.

pub mod decode;
pub mod encode;
pub mod types;
