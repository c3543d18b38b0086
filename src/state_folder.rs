//! The folder that a process keeps between its runs: who it is, and copies of its state. All of it can be lost; what is
//! true stands in Kafka and the warehouse.
//!
//! Several processes may share the folder: each takes a slot, a numbered folder in it, and keeps it locked while it lives. Who
//! comes back takes the first free slot again and with it the name that the broker knows it by, so that it gets its
//! partitions back at once and ends the transaction that it left open.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// More processes than that do not share one folder by intention.
const MOST_SLOTS: u32 = 1000;

const ID_FILE: &str = "id";
const LOCK_FILE: &str = "lock";

/// A slot of a state folder, this process's alone until the value is dropped or the process ends in any way.
#[derive(Debug)]
pub struct Slot {
    id: String,
    path: PathBuf,
    /// The operating system unlocks it when the process ends, however that happens.
    _lock: File,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateFolderError {
    /// The operating system refuses.
    #[error(
        "cannot use {path} for state: {source}\nhint: set state.folder to a folder that the service may write to"
    )]
    Refused {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Every slot is taken.
    #[error(
        "{MOST_SLOTS} processes use {path} already\nhint: give each deployment a state.folder of its own"
    )]
    Full {
        /// The folder.
        path: PathBuf,
    },
}

impl Slot {
    /// Takes the first free slot of the folder, which is made if it is missing.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub fn take(folder: &Path) -> Result<Self, StateFolderError> {
        for number in 0..MOST_SLOTS {
            let path = folder.join(number.to_string());
            let refused = |at: &Path, source| StateFolderError::Refused {
                path: at.to_owned(),
                source,
            };
            fs::create_dir_all(&path).map_err(|error| refused(&path, error))?;
            let lock_path = path.join(LOCK_FILE);
            let lock = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&lock_path)
                .map_err(|error| refused(&lock_path, error))?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(refused(&lock_path, error)),
            }
            let id = id_of(&path).map_err(|error| refused(&path, error))?;
            return Ok(Self {
                id,
                path,
                _lock: lock,
            });
        }
        Err(StateFolderError::Full {
            path: folder.to_owned(),
        })
    }

    /// Who the process is: the same after every restart in this slot, and nobody else's.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where the process keeps its own files.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The slot's id, made at the first use. A torn file is as good as none: only the quick return is lost.
fn id_of(slot: &Path) -> io::Result<String> {
    let path = slot.join(ID_FILE);
    match fs::read_to_string(&path) {
        Ok(id) if Uuid::try_parse(id.trim()).is_ok() => return Ok(id.trim().to_owned()),
        Err(error)
            if error.kind() != io::ErrorKind::NotFound
                && error.kind() != io::ErrorKind::InvalidData =>
        {
            return Err(error);
        }
        _ => {}
    }
    let id = Uuid::new_v4().to_string();
    let draft = slot.join("id.new");
    let mut file = File::create(&draft)?;
    file.write_all(id.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, &path)?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_one_process_s_and_keeps_its_id() {
        let folder = tempfile::tempdir().unwrap();
        let first = Slot::take(folder.path()).unwrap();
        let second = Slot::take(folder.path()).unwrap();
        assert_ne!(first.id(), second.id());
        assert_ne!(first.path(), second.path());
        let (id, path) = (first.id().to_owned(), first.path().to_owned());
        drop(first);
        let again = Slot::take(folder.path()).unwrap();
        assert_eq!((again.id(), again.path()), (id.as_str(), path.as_path()));
    }

    #[test]
    fn a_torn_id_is_made_anew() {
        for torn in ["", "1234", "\u{fffd}"] {
            let folder = tempfile::tempdir().unwrap();
            let slot = folder.path().join("0");
            fs::create_dir(&slot).unwrap();
            fs::write(slot.join(ID_FILE), torn).unwrap();
            let taken = Slot::take(folder.path()).unwrap();
            assert!(Uuid::try_parse(taken.id()).is_ok(), "{}", taken.id());
            assert_eq!(fs::read_to_string(slot.join(ID_FILE)).unwrap(), taken.id());
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state");
        fs::write(&file, "").unwrap();
        let error = Slot::take(&file).unwrap_err().to_string();
        assert!(
            error.contains("state") && error.contains("hint: set state.folder"),
            "{error}"
        );
    }
}
