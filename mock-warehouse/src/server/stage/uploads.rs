//! Multipart uploads that have begun: parts in any order, kept in memory until all are there.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};

use object_store::PutPayload;
use s3s::{S3Result, s3_error};
use uuid::Uuid;

/// Most bytes that open uploads hold together.
const MOST_BYTES: usize = 4 << 30;

/// When so many are open, those without a part are forgotten.
const MOST_UPLOADS: usize = 1_000;

type Parts = BTreeMap<i32, PutPayload>;

/// The open uploads of the endpoint.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    open: Mutex<HashMap<String, Parts>>,
}

impl Uploads {
    /// Begins an upload and returns its id.
    pub(super) fn begin(&self) -> String {
        let id = Uuid::new_v4().to_string();
        let mut open = self.open();
        if open.len() >= MOST_UPLOADS {
            // Abandoned ones hold nothing, as a rule: clients send a part at once.
            open.retain(|_, parts| !parts.is_empty());
        }
        open.insert(id.clone(), Parts::new());
        id
    }

    /// Keeps a part; the same number again replaces it.
    pub(super) fn add(&self, id: &str, number: i32, part: PutPayload) -> S3Result<()> {
        let mut open = self.open();
        let held: usize = open
            .values()
            .flat_map(Parts::values)
            .map(PutPayload::content_length)
            .sum();
        let parts = open.get_mut(id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        if held + part.content_length() > MOST_BYTES {
            return Err(s3_error!(SlowDown, "Please reduce your request rate."));
        }
        parts.insert(number, part);
        Ok(())
    }

    /// The object that the listed parts make up. The upload stays open until [`Self::end`], so that a completion can
    /// be sent again.
    pub(super) fn assemble(
        &self,
        id: &str,
        numbers: impl IntoIterator<Item = i32>,
    ) -> S3Result<PutPayload> {
        let open = self.open();
        let parts = open.get(id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        let mut chunks = Vec::new();
        for number in numbers {
            let part = parts.get(&number).ok_or_else(|| s3_error!(InvalidPart))?;
            chunks.extend(part.iter().cloned());
        }
        Ok(chunks.into_iter().collect())
    }

    /// Forgets an upload; one that is unknown is as good as forgotten.
    pub(super) fn end(&self, id: &str) {
        self.open().remove(id);
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Parts>> {
        self.open
            .lock()
            .expect("no code panics while it holds the open uploads")
    }
}
