//! The warehouse in a folder: each part a Parquet file, and a manifest that says which exist. The manifest is renamed
//! into place after the parts are there, so a crash leaves the state before or after a commit, nothing between.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{compute::concat_batches, datatypes::Schema};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};

use super::{
    OpenError,
    catalog::{Body, Catalog, Part},
};

#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
}

impl Store {
    /// Opens the folder, making it if it is not there; the catalog is absent in a new one.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Option<Catalog>), OpenError> {
        let store = Self {
            folder: folder.to_owned(),
        };
        for folder in [store.parts(), store.stage()] {
            fs::create_dir_all(&folder).map_err(|error| files(&folder, error))?;
        }
        let manifest = store.manifest();
        let text = match fs::read(&manifest) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((store, None)),
            Err(error) => return Err(files(&manifest, error)),
        };
        let mut catalog: Catalog = serde_json::from_slice(&text).map_err(|error| damaged(&manifest, &error))?;
        for object in catalog.objects.values_mut() {
            if let Body::Table(table) = &mut object.body {
                for part in &mut Arc::make_mut(table).parts {
                    store.read(part)?;
                }
            }
        }
        Ok((store, Some(catalog)))
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

    fn part(&self, id: u64) -> PathBuf {
        self.parts().join(format!("{id}.parquet"))
    }

    fn read(&self, part: &mut Part) -> Result<(), OpenError> {
        let path = self.part(part.id);
        let file = File::open(&path).map_err(|error| files(&path, error))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| damaged(&path, &error))?;
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

    /// Makes the catalog what a later [`Store::open`] finds.
    pub(crate) fn save(&self, catalog: &Catalog) -> io::Result<()> {
        let mut kept = BTreeSet::new();
        for object in catalog.objects.values() {
            let Body::Table(table) = &object.body else { continue };
            for part in &table.parts {
                kept.insert(self.part(part.id));
                if !self.part(part.id).exists() {
                    self.write(part)?;
                }
            }
        }
        let draft = self.folder.join("manifest.json.draft");
        fs::write(&draft, serde_json::to_vec(catalog)?)?;
        File::open(&draft)?.sync_all()?;
        fs::rename(&draft, self.manifest())?;
        for entry in fs::read_dir(self.parts())? {
            let path = entry?.path();
            if !kept.contains(&path) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn write(&self, part: &Part) -> io::Result<()> {
        let draft = self.parts().join(format!("{}.draft", part.id));
        let batch = part.batch();
        // The table knows its columns; the file needs only names that differ.
        let fields: Vec<_> = batch.schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let batch = batch.clone().with_schema(Arc::new(Schema::new(fields))).map_err(io::Error::other)?;
        let file = File::create(&draft)?;
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None)?;
        writer.write(&batch)?;
        writer.into_inner()?.sync_all()?;
        fs::rename(draft, self.part(part.id))
    }
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
