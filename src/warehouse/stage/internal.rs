//! A stage of the warehouse's own: it is asked for a key to the storage, and the file is written there.
//!
//! The key covers the whole stage and is kept until it is refused: keys expire after hours, in the middle of an upload too.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Mutex;
use tracing::debug;

use super::StageError;
use super::place::{Network, Place};
use crate::warehouse::driver::Driver;
use crate::warehouse::{Client, Config, Error, RequestId};

pub(super) struct InternalStage {
    client: Client,
    driver: Driver,
    /// `DATABASE.SCHEMA.STAGE`
    name: String,
    network: Network,
    place: Mutex<Option<Arc<Place>>>,
}

impl InternalStage {
    pub(super) fn new(client: &Client, config: &Config) -> Self {
        let name = [&config.database, &config.schema, &config.stage];
        Self {
            driver: Driver::new(client),
            client: client.clone(),
            name: name.map(|part| part.to_ascii_uppercase()).join("."),
            network: Network::new(config),
            place: Mutex::new(None),
        }
    }

    /// Writes a file. A key that is refused is exchanged once.
    pub(super) async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StageError> {
        let place = self.place(path, None).await?;
        match place.put(path, bytes.clone()).await {
            Err(error) if place.is_used_up_by(&error) => {
                debug!(path, %error, "the key to the stage is refused, asking for another");
                let renewed = self.place(path, Some(&place)).await?;
                renewed.put(path, bytes).await
            }
            known => known,
        }
    }

    /// Where to write this file; asked for when it is not known, or no longer any good.
    async fn place(
        &self,
        path: &str,
        refused: Option<&Arc<Place>>,
    ) -> Result<Arc<Place>, StageError> {
        let mut known = self.place.lock().await;
        if let Some(place) = &*known
            && refused.is_none_or(|refused| !Arc::ptr_eq(refused, place))
        {
            return Ok(Arc::clone(place));
        }
        let place = Arc::new(self.ask(path).await?);
        // An address for one file is of no use to the next.
        *known = place.is_for_all().then(|| Arc::clone(&place));
        Ok(place)
    }

    pub(super) async fn forget_place(&self) {
        *self.place.lock().await = None;
    }

    async fn ask(&self, path: &str) -> Result<Place, StageError> {
        let root = format!("@{}", self.name);
        let place = self.ask_for(&root, "file").await?;
        if place.is_for_all() {
            return Ok(place);
        }
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        self.ask_for(&format!("{root}/{folder}"), file).await
    }

    async fn ask_for(&self, folder: &str, file: &str) -> Result<Place, StageError> {
        let asked = self.driver.upload(folder, file).await;
        let upload = asked.map_err(|source| StageError::Refused {
            stage: self.name.clone(),
            source,
        })?;
        Place::open(&self.name, &upload, &self.network)
    }

    /// Removes files; what kept it from removing some.
    pub(super) async fn remove_all(&self, paths: &[String]) -> Option<Error> {
        let removals: Vec<String> = paths
            .iter()
            .map(|path| format!("REMOVE '@{}/{path}'", self.name))
            .collect();
        self.client
            .execute_all(&removals, RequestId::new())
            .await
            .err()
    }
}
