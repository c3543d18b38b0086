//! Raw events in, clean events out; each exactly once, in partition order. What is refused goes to rejected_events byte for
//! byte, with its reason and where it came from.
//!
//! | died after | what happens next |
//! |---|---|
//! | reading, before the commit | the transaction is aborted; the same records are read again |
//! | the commit | its positions are committed with it; the next records are read |

mod batch;
mod duplicates;
mod length;
mod run;

pub use batch::Cleaner;
pub(crate) use batch::Fate;
pub use duplicates::{Bounds, Window};
pub use run::{Config, run};
