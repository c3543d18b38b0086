//! SQL in, grids out: Snowflake's dialect over immutable snapshots of Arrow batches, with Snowflake's
//! transactions, locks and privileges. Knows nothing of HTTP.

mod access;
mod catalog;
mod error;
mod functions;
mod grid;
mod session;
mod shared;
mod sql_type;
mod text;

pub use error::{OpenError, SqlError};
pub use grid::{Grid, GridColumn, Stats, StatementKind};
pub use session::{Binding, Bindings, Session, SessionContext, StageEncryption, StageLocation};
pub use shared::{Engine, User};
