//! Arrow columns in, JSON events out.
