//! Clean events in, the newest row of every key out; each event counted once.
mod state;
