//! Staged files: where a stage keeps them, which there are, and Parquet files as rows.

use std::{path::Path as FilePath, sync::Arc};

use arrow::{
    array::{RecordBatch, new_null_array},
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, local::LocalFileSystem, path::Path};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{
    SessionContext, SqlError, StageEncryption, StageLocation,
    access::Access,
    catalog::{Body, Catalog, Key, Kind, Stage},
    names::{key, text_parts},
    shared::Shared,
    text::StageReference,
};

/// The bucket of internal stages.
const INTERNAL_BUCKET: &str = "internal";

/// A stage, and a path in it.
pub(crate) struct Place {
    pub(crate) key: Key,
    pub(crate) stage: Stage,
    /// What follows the stage's name, without the first `/`.
    pub(crate) path: String,
}

/// A staged source as rows: one column per key of its Parquet files.
#[derive(Debug, Clone)]
pub(crate) struct StagedRows {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
}

impl StagedRows {
    pub(crate) fn row_count(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

impl Stage {
    fn encryption(&self) -> StageEncryption {
        match (&self.url, self.server_side_encryption) {
            (Some(_), _) => StageEncryption::External,
            (None, true) => StageEncryption::SnowflakeSse,
            (None, false) => StageEncryption::SnowflakeFull,
        }
    }

    /// What a role needs to read the stage, and to write into it.
    pub(crate) fn privileges(&self) -> (&'static str, &'static str) {
        if self.url.is_some() {
            ("USAGE", "USAGE")
        } else {
            ("READ", "WRITE")
        }
    }
}

/// The stage that `stage/path`, `db.schema.stage/path` or the same with `@` names.
pub(crate) fn place(
    catalog: &Catalog,
    access: &Access,
    context: &SessionContext,
    text: &str,
) -> Result<Place, SqlError> {
    let text = text.strip_prefix('@').unwrap_or(text);
    if text.starts_with('~') || text.starts_with('%') {
        return Err(SqlError::unsupported("USER AND TABLE STAGES"));
    }
    let (name, path) = text.split_once('/').unwrap_or((text, ""));
    let key = key(context, Kind::Stage, &text_parts(name))?;
    match catalog.objects.get(&key).map(|object| &object.body) {
        Some(Body::Stage(stage)) if access.sees(catalog, &key) => Ok(Place {
            stage: stage.clone(),
            path: path.to_owned(),
            key,
        }),
        _ => Err(access.missing(catalog, &key)),
    }
}

/// A path in the stage that a user has to itself.
pub(crate) fn of_user(user: &str, path: &str) -> Place {
    Place {
        key: Key::new(Kind::Stage, &["@", user]),
        stage: Stage {
            url: None,
            server_side_encryption: false,
            integration: None,
            format: None,
            parquet: false,
        },
        path: path.trim_start_matches('/').to_owned(),
    }
}

/// Bucket and prefix of a stage's files; the prefix is empty or ends in `/`.
pub(crate) fn location(place: &Place) -> StageLocation {
    let address = match &place.stage.url {
        None => format!("{INTERNAL_BUCKET}/{}", place.key.path.join("/")),
        Some(url) => {
            let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
            // azure://<account>.blob.core.windows.net/<container>/<path>
            let rest = if scheme == "azure" {
                rest.split_once('/').map_or("", |(_, rest)| rest)
            } else {
                rest
            };
            rest.to_owned()
        }
    };
    let address = address.trim_end_matches('/');
    let (bucket, prefix) = address.split_once('/').unwrap_or((address, ""));
    StageLocation {
        name: place.key.full_name(),
        bucket: bucket.to_owned(),
        prefix: if prefix.is_empty() {
            String::new()
        } else {
            format!("{prefix}/")
        },
        encryption: place.stage.encryption(),
    }
}

/// The files of the place: those whose path in the stage begins with the place's, with that path, in name order.
pub(crate) async fn files(
    shared: &Shared,
    place: &Place,
) -> Result<Vec<(String, ObjectMeta)>, SqlError> {
    let (store, root) = opened(shared, place)?;
    let begin = format!("{root}{}", place.path);
    let folder = begin.rsplit_once('/').map_or("", |(folder, _)| folder);
    let listed: Vec<ObjectMeta> = store
        .list(Some(&Path::from(folder)))
        .try_collect()
        .await
        .map_err(|error| {
            SqlError::internal(&format!("cannot list {}: {error}", place.key.full_name()))
        })?;
    let mut files: Vec<_> = listed
        .into_iter()
        .filter(|file| file.location.as_ref().starts_with(&begin))
        .map(|file| (file.location.as_ref()[root.len()..].to_owned(), file))
        .collect();
    files.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(files)
}

/// The store that holds the stage's files, and what their names begin with in it.
pub(crate) fn opened(
    shared: &Shared,
    place: &Place,
) -> Result<(Arc<dyn ObjectStore>, String), SqlError> {
    if let Some(folder) = place
        .stage
        .url
        .as_deref()
        .and_then(|url| url.strip_prefix("file://"))
    {
        if !FilePath::new(folder).is_dir() {
            return Ok((Arc::clone(&shared.files), "no-such-folder/".to_owned()));
        }
        let store = LocalFileSystem::new_with_prefix(folder)
            .map_err(|error| SqlError::internal(&format!("cannot use {folder}: {error}")))?;
        return Ok((Arc::new(store), String::new()));
    }
    let location = location(place);
    Ok((
        Arc::clone(&shared.files),
        format!("{}/{}", location.bucket, location.prefix),
    ))
}

/// The rows of a staged source. The file format must be a named one that the role may use.
pub(crate) async fn read(
    shared: &Shared,
    catalog: &Catalog,
    access: &Access,
    context: &SessionContext,
    source: &StageReference,
) -> Result<StagedRows, SqlError> {
    let place = place(catalog, access, context, &source.path)?;
    access.require(catalog, &place.key, &[place.stage.privileges().0])?;
    if source.format.is_some() || !place.stage.parquet {
        let format = source.format.as_ref().or(place.stage.format.as_ref());
        require_parquet(catalog, access, context, format)?;
    }
    let (store, _) = opened(shared, &place)?;
    let files = files(shared, &place).await?;
    if files.is_empty() && !place.path.is_empty() && !place.path.ends_with('/') {
        return Err(not_found(&source.path));
    }
    let mut batches = Vec::new();
    for (path, file) in files {
        batches.extend(batches_of(&store, &path, &file).await?);
    }
    united(batches)
}

/// What is said of a file that is not there.
pub(crate) fn not_found(path: &str) -> SqlError {
    SqlError::new(
        "091016",
        "22000",
        format!(
            "Remote file '@{path}' was not found. There are several potential reasons. The file might not exist. The \
             required credentials may be missing or invalid."
        ),
    )
}

/// The rows of one file.
pub(crate) async fn read_file(
    store: &Arc<dyn ObjectStore>,
    path: &str,
    file: &ObjectMeta,
) -> Result<StagedRows, SqlError> {
    united(batches_of(store, path, file).await?)
}

async fn batches_of(
    store: &Arc<dyn ObjectStore>,
    path: &str,
    file: &ObjectMeta,
) -> Result<Vec<RecordBatch>, SqlError> {
    let unreadable = |error: &dyn std::fmt::Display| {
        SqlError::new(
            "100100",
            "22000",
            format!("Error reading the Parquet file '{path}': {error}"),
        )
    };
    let found = store
        .get(&file.location)
        .await
        .map_err(|error| unreadable(&error))?;
    let bytes: Bytes = found.bytes().await.map_err(|error| unreadable(&error))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
        .and_then(|builder| builder.build())
        .map_err(|error| unreadable(&error))?;
    let mut batches = Vec::new();
    for batch in reader {
        batches.push(plain(&batch.map_err(|error| unreadable(&error))?)?);
    }
    Ok(batches)
}

/// What LIST and COPY write in front of a file's path in the stage.
pub(crate) fn shown_prefix(place: &Place) -> String {
    match &place.stage.url {
        Some(url) => format!("{}/", url.trim_end_matches('/')),
        None => format!("{}/", place.key.name().to_lowercase()),
    }
}

pub(crate) fn require_parquet(
    catalog: &Catalog,
    access: &Access,
    context: &SessionContext,
    format: Option<&String>,
) -> Result<(), SqlError> {
    let Some(name) = format else {
        return Err(SqlError::unsupported("STAGED FILES THAT ARE NOT PARQUET"));
    };
    let format = key(context, Kind::FileFormat, &text_parts(name))?;
    access.require(catalog, &format, &["USAGE"])?;
    match catalog.objects.get(&format).map(|object| &object.body) {
        Some(Body::FileFormat { parquet: true }) => Ok(()),
        _ => Err(SqlError::unsupported("STAGED FILES THAT ARE NOT PARQUET")),
    }
}

/// The batch in the types that tables use.
fn plain(batch: &RecordBatch) -> Result<RecordBatch, SqlError> {
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let wanted = match field.data_type() {
            DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => DataType::Utf8,
            DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                DataType::Binary
            }
            DataType::Float32 | DataType::Float16 => DataType::Float64,
            DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
                DataType::Decimal128(*precision, *scale)
            }
            kind if kind.is_integer() => DataType::Decimal128(20, 0),
            other => other.clone(),
        };
        columns.push(cast(column, &wanted)?);
        fields.push(Field::new(field.name(), wanted, true));
    }
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}

/// The batches with the columns of all of them: what a file does not have is NULL.
fn united(batches: Vec<RecordBatch>) -> Result<StagedRows, SqlError> {
    let mut fields: Vec<Field> = Vec::new();
    for batch in &batches {
        for field in batch.schema().fields() {
            if !fields.iter().any(|known| known.name() == field.name()) {
                fields.push(field.as_ref().clone());
            }
        }
    }
    let schema = Arc::new(Schema::new(fields));
    let batches = batches
        .into_iter()
        .map(|batch| {
            let columns = schema
                .fields()
                .iter()
                .map(|field| match batch.column_by_name(field.name()) {
                    Some(column) => Ok(cast(column, field.data_type())?),
                    None => Ok(new_null_array(field.data_type(), batch.num_rows())),
                })
                .collect::<Result<Vec<_>, SqlError>>()?;
            let options =
                arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            Ok(RecordBatch::try_new_with_options(
                Arc::clone(&schema),
                columns,
                &options,
            )?)
        })
        .collect::<Result<_, SqlError>>()?;
    Ok(StagedRows { schema, batches })
}
