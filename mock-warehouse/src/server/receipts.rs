//! What a request of the SQL API has committed, kept with the commit: a client that lost the reply to a crash sends the
//! request again, and what was committed then does not run twice.
//!
//! A receipt counts the statements up to the last commit. The resent request goes on behind them. DDL commits by itself and
//! has no receipt of its own: resent right after a crash it runs again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Server;
use super::runs::Run;
use crate::engine::{Bindings, Grid, Note, Session, SqlError, StatementKind};

/// What is known of a request from before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Receipt {
    pub(super) handle: String,
    /// Milliseconds since the epoch.
    pub(super) created_on: i64,
    /// What the statements up to the commit answered; absent for those that can simply run again.
    grids: Vec<Option<Grid>>,
}

/// The statements of one request, each run once.
pub(super) struct Ledger {
    /// Absent where nothing survives the process or the client cannot ask again.
    name: Option<String>,
    run: Arc<Run>,
    committed: usize,
    grids: Vec<Option<Grid>>,
}

/// The receipt of a request that was committed, at least in part, before.
pub(super) fn find(server: &Server, user: &str, request_id: &str) -> Option<Receipt> {
    let note = server.engine.note(&name(user, request_id))?;
    serde_json::from_str(&note).ok()
}

/// Forgets the receipts of a request id.
pub(super) fn forget(server: &Server, request_id: &str) {
    if server.engine.is_kept()
        && let Err(error) = server.engine.forget_notes(&name("", request_id))
    {
        tracing::error!(%error, "a receipt cannot be forgotten");
    }
}

fn name(user: &str, request_id: &str) -> String {
    format!("{user}/{request_id}")
}

impl Receipt {
    /// Handle and creation of the request's run.
    pub(super) fn identity(&self) -> (String, i64) {
        (self.handle.clone(), self.created_on)
    }
}

impl Ledger {
    /// `before` is what an earlier try of the same request has committed.
    pub(super) fn new(server: &Server, run: &Arc<Run>, before: Option<Receipt>) -> Self {
        let is_kept = server.engine.is_kept() && run.is_named;
        let grids = before.map(|receipt| receipt.grids).unwrap_or_default();
        Self {
            name: is_kept.then(|| name(&run.user, &run.request_id)),
            run: Arc::clone(run),
            committed: grids.len(),
            grids,
        }
    }

    /// The run that it is about.
    pub(super) fn run(&self) -> Arc<Run> {
        Arc::clone(&self.run)
    }

    /// Runs the statement that stands at `index` of the request, unless it is committed already.
    pub(super) async fn execute(
        &mut self,
        session: &mut Session,
        index: usize,
        text: &str,
        sets: &[Bindings],
    ) -> Result<Grid, SqlError> {
        if index < self.committed
            && let Some(grid) = self.grids.get(index).cloned().flatten()
        {
            return Ok(grid);
        }
        let Some(name) = self.name.clone() else {
            return session.execute_batch(text, sets).await;
        };
        let kind = Session::kind(text);
        let grid = match kind {
            StatementKind::Commit if session.in_transaction() => {
                self.enter(index, None);
                session.commit_with(self.note(name)).await?
            }
            StatementKind::Ddl | StatementKind::Grant => {
                if session.in_transaction() {
                    session.commit_with(self.note(name)).await?;
                }
                session.execute_batch(text, sets).await?
            }
            _ if kind.changes_data() && !session.in_transaction() => {
                session.execute("BEGIN", &Bindings::new()).await?;
                let ended = session.execute_batch(text, sets).await;
                let Ok(grid) = ended else {
                    session.execute("ROLLBACK", &Bindings::new()).await?;
                    return ended;
                };
                self.enter(index, Some(grid.clone()));
                session.commit_with(self.note(name)).await?;
                grid
            }
            _ => session.execute_batch(text, sets).await?,
        };
        let runs_again = matches!(
            kind,
            StatementKind::Select
                | StatementKind::Use
                | StatementKind::AlterSession
                | StatementKind::Show
                | StatementKind::Describe
                | StatementKind::List
                | StatementKind::Other
        );
        self.enter(index, (!runs_again).then(|| grid.clone()));
        Ok(grid)
    }

    /// What is committed stays as it is noted, also when it runs again.
    fn enter(&mut self, index: usize, grid: Option<Grid>) {
        if index >= self.committed {
            self.grids.truncate(index);
            self.grids.push(grid);
        }
    }

    fn note(&self, name: String) -> Note {
        let receipt = Receipt {
            handle: self.run.handle.clone(),
            created_on: self.run.created_on,
            grids: self.grids.clone(),
        };
        let text = serde_json::to_string(&receipt).expect("grids are plain data");
        Note { name, text }
    }
}
