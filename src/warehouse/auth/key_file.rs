//! The key file, looked at while the service runs: a key that is exchanged needs no restart.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

use tracing::warn;

use crate::{keys::KeyPair, warehouse::Config};

/// Between two looks at the file.
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);

/// The same after a file that could not be used; opening an encrypted key takes a good part of a second of one core.
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// What changes when a file is written, replaced, or given other permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// `None` when there is no such file, or it may not be looked at.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

type Stamps = [Option<Stamp>; 2];

/// The files that the key is read from: its own, and its passphrase's.
pub(super) struct KeyFile {
    config: Config,
    /// What was read. Nothing at first: the key in use was read a while before, and may have been exchanged since.
    read: Option<Stamps>,
    /// What could not be used, and was told.
    failed: Option<Stamps>,
    due: Instant,
}

impl KeyFile {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            config: config.clone(),
            read: None,
            failed: None,
            due: Instant::now() + BETWEEN_LOOKS,
        }
    }

    /// Whether it is time to look at the file.
    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.due
    }

    /// The key, when the file has changed since it was read.
    pub(super) async fn changed(&mut self) -> Option<KeyPair> {
        self.due = Instant::now() + BETWEEN_LOOKS;
        let now = stamps(&self.config);
        // A file that is gone for a moment is about to be replaced.
        if now[0].is_none() || self.read == Some(now) {
            return None;
        }
        let config = self.config.clone();
        let read = tokio::task::spawn_blocking(move || config.read_key()).await;
        match read.ok()? {
            Ok(pair) => {
                self.read = Some(now);
                self.failed = None;
                Some(pair)
            }
            Err(error) => {
                self.due = Instant::now() + AFTER_FAILURE;
                if self.failed.replace(now) != Some(now) {
                    let file = self.config.private_key_file.display();
                    warn!(%file, %error, hint = error.hint(), "the key file cannot be used; the key in use stays in use");
                }
                None
            }
        }
    }

    #[cfg(test)]
    pub(super) fn make_due(&mut self) {
        self.due = Instant::now();
    }
}

fn stamps(config: &Config) -> Stamps {
    let files = [
        &config.private_key_file,
        &config.private_key_passphrase_file,
    ];
    files.map(|file| Stamp::of(file))
}
