//! Raw JSON events in, Arrow columns out.
