//! sink
pub mod control;
mod literal;
pub mod load;
pub mod position;
pub mod table;
