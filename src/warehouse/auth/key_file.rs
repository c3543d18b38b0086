//! The key file, looked at while the service runs: a key that is exchanged needs no restart.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use tracing::{info, warn};

use crate::{keys::KeyPair, warehouse::Config};

/// Between two looks at the file.
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);

/// What changes when a file is written or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: SystemTime,
}

impl Stamp {
    /// `None` when there is no such file, or it may not be looked at.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: metadata.modified().ok()?,
        })
    }
}

/// The files that the key was read from: its own, and its passphrase's.
pub(super) struct KeyFile {
    config: Config,
    seen: [Option<Stamp>; 2],
    looked: Instant,
}

impl KeyFile {
    /// The file as it is now; what it holds is in use already.
    pub(super) fn new(config: &Config) -> Self {
        Self {
            seen: stamps(config),
            config: config.clone(),
            looked: Instant::now(),
        }
    }

    /// Whether it is time to look at the file.
    pub(super) fn is_due(&self) -> bool {
        self.looked.elapsed() >= BETWEEN_LOOKS
    }

    /// The configuration to read the key by, when the file has changed since the last look. A change is seen once.
    pub(super) fn changed(&mut self) -> Option<Config> {
        self.looked = Instant::now();
        let now = stamps(&self.config);
        // A file that is gone for a moment is about to be replaced.
        if now[0].is_none() || now == self.seen {
            return None;
        }
        self.seen = now;
        Some(self.config.clone())
    }

    #[cfg(test)]
    pub(super) fn make_due(&mut self) {
        self.looked -= BETWEEN_LOOKS;
    }
}

fn stamps(config: &Config) -> [Option<Stamp>; 2] {
    let files = [
        &config.private_key_file,
        &config.private_key_passphrase_file,
    ];
    files.map(|file| Stamp::of(file))
}

/// Reads a file that has changed. Opening an encrypted key takes a good part of a second of one core.
pub(super) async fn read(config: Config) -> Option<KeyPair> {
    let path = config.private_key_file.clone();
    let read = tokio::task::spawn_blocking(move || config.read_key()).await;
    match read.ok()? {
        Ok(pair) => {
            info!(file = %path.display(), fingerprint = pair.fingerprint(), "the key file has changed");
            Some(pair)
        }
        Err(error) => {
            warn!(file = %path.display(), %error, hint = error.hint(), "the key file has changed and cannot be used; the old key stays in use");
            None
        }
    }
}
