//! The warehouse's objects, from the pipeline's own scripts: `warehouse/*.sql` in, tables, stages and grants out. Each
//! statement may run any number of times; what is there already stays as it is.

mod check;
mod declared;
mod error;
mod run;
mod split;
mod variables;

pub(crate) use check::misfits;
pub use check::{TableContract, check, check_declared};
pub use declared::{DeclaredTable, declared_tables};
pub use error::{Place, SetupError};
pub use run::{Outcome, SetupArgs, Statement, Step, apply, load, run, text_of};
pub use variables::Variables;

#[cfg(test)]
mod tests;
