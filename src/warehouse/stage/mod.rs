//! Bytes in, a file on the warehouse's stage out.
//!
//! An internal stage belongs to the warehouse, which lends a key to its storage; an external one is a bucket or folder of the
//! user's, which the warehouse reads by the stage's name.

mod error;
mod external;
mod internal;
mod place;

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::{Client, Config};
pub use error::{StageError, StorageError};
use external::ExternalStage;
use internal::InternalStage;

/// Files that are sent at once: enough to hide the round trips, too few to matter to anybody.
const AT_ONCE: usize = 4;

/// Longest time that cleaning up after a load may take. What is left costs storage, nothing else.
const MOST_CLEANING: Duration = Duration::from_secs(10);

/// A stage that loads read from.
pub struct Stage(Kind);

enum Kind {
    Internal(Box<InternalStage>),
    External(ExternalStage),
}

impl Stage {
    /// The stage of a configuration: external when `stage_url` says where it is, internal otherwise. Nothing is sent yet.
    pub fn open(client: &Client, config: &Config) -> Result<Self, StageError> {
        if config.stage_url.is_empty() {
            let stage = InternalStage::new(client, config);
            return Ok(Self(Kind::Internal(Box::new(stage))));
        }
        Self::external(config)
    }

    /// The external stage of a configuration, which takes no warehouse to be written to. Nothing is sent yet.
    pub fn external(config: &Config) -> Result<Self, StageError> {
        let stage = ExternalStage::open(&config.stage_url, &config.stage_properties)?;
        Ok(Self(Kind::External(stage)))
    }

    /// Writes a file; under a name that is there already, it replaces that file.
    pub async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StageError> {
        match &self.0 {
            Kind::Internal(stage) => stage.put(path, bytes).await,
            Kind::External(stage) => stage.put(path, bytes).await,
        }
    }

    /// Writes several files. After an error some may be there and some not; writing all again is right.
    pub async fn put_all(&self, files: &[(String, Bytes)]) -> Result<(), StageError> {
        let mut writes = Vec::with_capacity(files.len());
        for (path, bytes) in files {
            writes.push(self.put(path, bytes.clone()));
        }
        stream::iter(writes)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Forgets where an internal stage keeps its files, so that the warehouse is asked again: a stage that was made anew keeps
    /// them elsewhere, and the old key may still be good.
    pub async fn forget_place(&self) {
        if let Kind::Internal(stage) = &self.0 {
            stage.forget_place().await;
        }
    }

    /// Removes files, as far as that works soon: a file that stays does no harm. Why files stay, or may.
    pub async fn remove_all(&self, paths: &[String]) -> Option<String> {
        if paths.is_empty() {
            return None;
        }
        let cleaning = async {
            match &self.0 {
                Kind::Internal(stage) => {
                    stage.remove_all(paths).await.map(|error| error.to_string())
                }
                Kind::External(stage) => {
                    stage.remove_all(paths).await.map(|error| error.to_string())
                }
            }
        };
        let cleaned = tokio::time::timeout(MOST_CLEANING, cleaning).await;
        cleaned.unwrap_or_else(|_| Some("removing them takes too long".to_owned()))
    }
}
