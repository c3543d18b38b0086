//! Made-up raw events out, to Kafka or to stdout; the same seed and `now` always give the same bytes.
//!
//! [`Events`] is the pure part: an endless iterator that touches nothing. [`run`] paces it and hands it on.

mod args;
mod events;
mod output;
mod pace;
mod ratio;
mod run;

pub use args::{GenerateArgs, UsageError};
pub use events::{Event, Events, Options, Zone};
pub use ratio::{InvalidRatio, Ratio};
pub use run::{Kafka, Summary, run};
