//! Short texts that are committed together with data: what was done, for whom, so that it is not done again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Engine, Grid, Session, SqlError, StatementKind, catalog::Catalog, encode};

/// The newest are kept. Whoever asks again does so soon, and each commit writes all of them.
const KEPT: usize = 100;

/// A text under a name. A later note of the same name takes its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Whose note it is.
    pub name: String,
    /// What it says.
    pub text: String,
}

impl Session {
    /// COMMIT, and the note with it: either both are there afterwards, also after a crash, or neither. A transaction that
    /// changes nothing leaves no note.
    pub async fn commit_with(&mut self, note: Note) -> Result<Grid, SqlError> {
        self.work.lock().await.commit_with(Some(note))?;
        let mut grid = encode::status("Statement executed successfully.");
        grid.kind = StatementKind::Commit;
        Ok(grid)
    }
}

impl Engine {
    /// The note of this name.
    pub fn note(&self, name: &str) -> Option<String> {
        let catalog = self.shared().snapshot();
        let note = catalog.notes.iter().find(|note| note.name == name);
        note.map(|note| note.text.clone())
    }

    /// Takes away the notes whose name ends so.
    pub fn forget_notes(&self, end: &str) -> Result<(), SqlError> {
        self.shared().change(|catalog| {
            catalog.notes.retain(|note| !note.name.ends_with(end));
            Ok(())
        })
    }
}

impl Catalog {
    pub(crate) fn add_note(&mut self, note: Note) {
        self.notes.retain(|other| other.name != note.name);
        if self.notes.len() >= KEPT {
            self.notes.pop_front();
        }
        self.notes.push_back(Arc::new(note));
    }
}
