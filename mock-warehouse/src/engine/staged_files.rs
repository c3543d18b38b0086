//! Staged files in a folder, each on the disk before its upload is answered.

use std::{fmt, fs::File, io, path::PathBuf};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    local::LocalFileSystem, path::Path,
};

use super::store::sync_folder;

/// `object_store` 0.13 renames a file into place without waiting for the disk.
#[derive(Debug)]
pub(crate) struct StagedFiles {
    files: LocalFileSystem,
    root: PathBuf,
}

impl StagedFiles {
    /// The files below this folder, which exists.
    pub(crate) fn new(root: PathBuf) -> Result<Self> {
        let files = LocalFileSystem::new_with_prefix(&root)?;
        Ok(Self { files, root })
    }

    /// Waits until the file and the folders that name it are on the disk.
    async fn sync(&self, location: &Path) -> Result<()> {
        let (path, root) = (self.files.path_to_filesystem(location)?, self.root.clone());
        let synced = tokio::task::spawn_blocking(move || {
            File::open(&path)?.sync_all()?;
            for folder in path.ancestors().skip(1) {
                sync_folder(folder)?;
                if folder == root {
                    break;
                }
            }
            Ok(())
        });
        let synced = synced.await.map_err(io::Error::other).flatten();
        synced.map_err(|source| Error::Generic {
            store: "StagedFiles",
            source: Box::new(source),
        })
    }
}

impl fmt::Display for StagedFiles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "staged files in {}", self.root.display())
    }
}

#[async_trait]
impl ObjectStore for StagedFiles {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let put = self.files.put_opts(location, payload, options).await?;
        self.sync(location).await?;
        Ok(put)
    }

    /// Not offered: parts are put together in memory and come by `put_opts`.
    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotImplemented {
            operation: "put_multipart_opts".to_owned(),
            implementer: self.to_string(),
        })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await?;
        self.sync(to).await
    }
}
