//! broker

pub mod load;
