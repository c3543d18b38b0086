//! SQL in, grids out: Snowflake's dialect over immutable snapshots of Arrow batches, with Snowflake's
//! transactions, locks and privileges. Knows nothing of HTTP.

mod access;
mod alter;
mod batch;
mod bindings;
mod catalog;
mod columns;
mod command;
mod comparisons;
mod conversions;
mod copy;
mod copy_statement;
mod cursor;
mod ddl;
mod described;
mod dml;
mod encode;
mod error;
mod expressions;
mod flatten;
mod functions;
mod functions_of_sql;
mod gathering;
mod grants;
mod grid;
mod information;
mod merge;
mod more_functions;
mod multi_insert;
mod names;
mod notes;
mod operators;
mod query;
mod resolve;
mod rewrite;
mod sequences;
mod session;
mod shared;
mod show;
mod sql_type;
mod stage;
mod staged_files;
mod store;
mod tables;
mod target;
mod temporary;
mod text;
mod transaction;
mod waits;
mod warehouses;
mod yielding;

pub use error::{OpenError, SqlError};
pub use grid::{Grid, GridColumn, StatementKind, Stats};
pub use notes::Note;
pub use session::{
    Binding, Bindings, Session, SessionContext, StageEncryption, StageLocation, StageUse,
};
pub use shared::{Engine, User};

#[cfg(test)]
mod tests;
