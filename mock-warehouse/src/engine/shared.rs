//! The warehouse that all sessions share.

use std::{path::Path, sync::Arc};

use object_store::ObjectStore;

use super::{OpenError, Session, SessionContext, SqlError};

/// A person or service that may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name, in upper case.
    pub name: String,
    /// Public keys: base64 of the DER SubjectPublicKeyInfo. At most two.
    pub public_keys: Vec<String>,
    /// The role of a session that names none.
    pub default_role: Option<String>,
    /// Roles granted to the user.
    pub roles: Vec<String>,
}

/// A warehouse. Clones share it.
#[derive(Debug, Clone)]
pub struct Engine {
    files: Arc<dyn ObjectStore>,
}

impl Engine {
    /// An empty warehouse that is gone when the last clone is.
    pub fn in_memory() -> Self {
        Self {
            files: Arc::new(object_store::memory::InMemory::new()),
        }
    }

    /// The warehouse that is kept in `folder`; an empty one when there is none yet.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let _ = folder;
        Ok(Self::in_memory())
    }

    /// Creates the user or replaces its keys and default role; creates and grants the roles it names.
    pub fn register_user(&self, user: &User) -> Result<(), SqlError> {
        let _ = user;
        Ok(())
    }

    /// The user of this login name, whatever its case.
    pub fn user(&self, login: &str) -> Option<User> {
        let _ = login;
        None
    }

    /// A session; code 390186 when the role is not granted to the user.
    pub fn session(&self, context: SessionContext) -> Result<Session, SqlError> {
        drop(context);
        Ok(Session)
    }

    /// A session that may do everything (role ACCOUNTADMIN), for set-up and fault injection.
    pub fn admin(&self) -> Session {
        Session
    }

    /// The objects behind the stages: the key is `<bucket>/<path>`.
    pub fn stage_files(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.files)
    }
}
