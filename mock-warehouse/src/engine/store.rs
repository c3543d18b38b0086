//! The warehouse in a folder: each part a Parquet file, and a manifest that says which exist. The manifest is renamed
//! into place after the parts are there, and each is on the disk before the next step, so a crash at any moment leaves
//! the state before or after a commit, nothing between.
//!
//! | died after | what the next open finds |
//! |---|---|
//! | some or all parts were written | the manifest before; the parts are removed, for their numbers are given out again |
//! | the manifest was renamed | the commit; parts that it no longer names are removed |
//! | a staged file was half written | the file before, or none; the half is removed |

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use arrow::{compute::concat_batches, datatypes::Schema};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};

use super::{
    OpenError,
    catalog::{Body, Catalog, Part},
};

/// How long an open waits for somebody who is just letting go of the folder.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    /// Locked for as long as the warehouse is open; a process that dies lets go of it.
    _lock: File,
}

impl Store {
    /// Opens the folder, making it if it is not there; the catalog is absent in a new one.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Option<Catalog>), OpenError> {
        fs::create_dir_all(folder).map_err(|error| files(folder, error))?;
        let store = Self {
            folder: folder.to_owned(),
            _lock: lock(folder)?,
        };
        for folder in [store.parts(), store.stage()] {
            fs::create_dir_all(&folder).map_err(|error| files(&folder, error))?;
        }
        let catalog = store.load()?;
        let kept = catalog.iter().flat_map(|catalog| store.parts_of(catalog));
        store
            .remove_leftovers(&kept.collect())
            .map_err(|error| files(folder, error))?;
        Ok((store, catalog))
    }

    fn load(&self) -> Result<Option<Catalog>, OpenError> {
        let manifest = self.manifest();
        let text = match fs::read(&manifest) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(files(&manifest, error)),
        };
        let mut catalog: Catalog =
            serde_json::from_slice(&text).map_err(|error| damaged(&manifest, &error))?;
        for object in catalog.objects.values_mut() {
            if let Body::Table(table) = &mut object.body {
                for part in &mut Arc::make_mut(table).parts {
                    self.read(part)?;
                }
            }
        }
        Ok(Some(catalog))
    }

    /// Where staged files are kept.
    pub(crate) fn stage(&self) -> PathBuf {
        self.folder.join("stage")
    }

    fn parts(&self) -> PathBuf {
        self.folder.join("parts")
    }

    fn manifest(&self) -> PathBuf {
        self.folder.join("manifest.json")
    }

    fn manifest_draft(&self) -> PathBuf {
        self.folder.join("manifest.json.draft")
    }

    fn part(&self, id: u64) -> PathBuf {
        self.parts().join(format!("{id}.parquet"))
    }

    fn parts_of(&self, catalog: &Catalog) -> Vec<PathBuf> {
        let tables = catalog
            .objects
            .values()
            .filter_map(|object| match &object.body {
                Body::Table(table) => Some(table),
                _ => None,
            });
        tables
            .flat_map(|table| table.parts.iter().map(|part| self.part(part.id)))
            .collect()
    }

    fn read(&self, part: &mut Part) -> Result<(), OpenError> {
        let path = self.part(part.id);
        let file = File::open(&path).map_err(|error| files(&path, error))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(|error| damaged(&path, &error))?;
        let schema = Arc::clone(builder.schema());
        let batches: Vec<_> = builder
            .build()
            .map_err(|error| damaged(&path, &error))?
            .collect::<Result<_, _>>()
            .map_err(|error| damaged(&path, &error))?;
        let batch = concat_batches(&schema, &batches).map_err(|error| damaged(&path, &error))?;
        part.rows = Some(Arc::new(batch));
        Ok(())
    }

    /// Makes the catalog what a later [`Store::open`] finds, whatever happens after this has returned.
    pub(crate) fn save(&self, catalog: &Catalog) -> io::Result<()> {
        let mut wrote = false;
        for object in catalog.objects.values() {
            let Body::Table(table) = &object.body else {
                continue;
            };
            for part in &table.parts {
                if !self.part(part.id).exists() {
                    self.write(part)?;
                    wrote = true;
                }
            }
        }
        if wrote {
            sync_folder(&self.parts())?;
        }
        let draft = self.manifest_draft();
        fs::write(&draft, serde_json::to_vec(catalog)?)?;
        File::open(&draft)?.sync_all()?;
        fs::rename(&draft, self.manifest())?;
        sync_folder(&self.folder)?;
        let kept = self.parts_of(catalog).into_iter().collect();
        // The commit has happened; what could not be removed now is at the next open.
        if let Err(error) = self.remove_parts_without(&kept) {
            tracing::warn!(%error, folder = %self.folder.display(), "old parts stay for now");
        }
        Ok(())
    }

    fn write(&self, part: &Part) -> io::Result<()> {
        let draft = self.parts().join(format!("{}.draft", part.id));
        let batch = part.batch();
        // The table knows its columns; the file needs only names that differ.
        let fields: Vec<_> = batch
            .schema()
            .fields()
            .iter()
            .map(|field| field.as_ref().clone().with_nullable(true))
            .collect();
        let batch = batch
            .clone()
            .with_schema(Arc::new(Schema::new(fields)))
            .map_err(io::Error::other)?;
        let file = File::create(&draft)?;
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None)?;
        writer.write(&batch)?;
        writer.into_inner()?.sync_all()?;
        fs::rename(draft, self.part(part.id))
    }

    /// Removes what a process that died has left half done.
    fn remove_leftovers(&self, kept: &BTreeSet<PathBuf>) -> io::Result<()> {
        match fs::remove_file(self.manifest_draft()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.remove_parts_without(kept)?;
        remove_half_uploads(&self.stage())
    }

    fn remove_parts_without(&self, kept: &BTreeSet<PathBuf>) -> io::Result<()> {
        for entry in fs::read_dir(self.parts())? {
            let path = entry?.path();
            if !kept.contains(&path) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

/// Two processes on one folder would each overwrite what the other has committed.
fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(|error| files(&path, error))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => {
                let path = folder.display().to_string();
                return Err(OpenError::InUse { path });
            }
            Err(TryLockError::Error(error)) => return Err(files(&path, error)),
        }
    }
}

/// `object_store` 0.13 writes `<name>#<number>` and renames it; names with a `#` of the client's arrive as `%23`.
fn remove_half_uploads(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            remove_half_uploads(&path)?;
        } else if path.file_name().is_some_and(is_half_upload) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn is_half_upload(name: &OsStr) -> bool {
    let number = name.to_str().and_then(|name| name.rsplit_once('#'));
    number.is_some_and(|(_, number)| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// A name in a folder is as durable as the folder.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn files(path: &Path, source: io::Error) -> OpenError {
    OpenError::Files {
        path: path.display().to_string(),
        source,
    }
}

fn damaged(path: &Path, reason: &dyn std::fmt::Display) -> OpenError {
    OpenError::Damaged {
        path: path.display().to_string(),
        reason: reason.to_string(),
    }
}
