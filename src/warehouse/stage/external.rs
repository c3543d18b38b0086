//! A stage on a bucket or folder of the user's. The service writes to the bucket or folder behind the stage; the warehouse reads the same place by the stage's name.

use std::collections::BTreeMap;
use std::str::FromStr;

use bytes::Bytes;
use futures::{StreamExt, stream};
use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, ObjectStoreScheme};
use reqwest::Url;

use super::{StageError, StorageError};

/// The place behind an external stage.
#[derive(Debug)]
pub(super) struct ExternalStage {
    store: Box<dyn ObjectStore>,
    prefix: Path,
    url: String,
}

impl ExternalStage {
    /// The stage behind a URL as Snowflake writes it. What the properties do not say is taken from the usual
    /// variables of the environment (`AWS_...`, `AZURE_...`, `GOOGLE_...`).
    pub(super) fn open(
        url: &str,
        properties: &BTreeMap<String, String>,
    ) -> Result<Self, StageError> {
        let refused = || StageError::Url {
            url: url.to_owned(),
        };
        let parsed = Url::parse(&translated(url)).map_err(|_| refused())?;
        let (scheme, _) = ObjectStoreScheme::parse(&parsed).map_err(|_| refused())?;
        let (prefix, known) = properties_of(&scheme).ok_or_else(refused)?;
        if let Some(property) = properties
            .keys()
            .find(|name| !known(&name.to_ascii_lowercase()))
        {
            return Err(StageError::Property {
                property: property.clone(),
                stage: url.to_owned(),
            });
        }
        let ambient =
            std::env::vars().filter(|(name, _)| !prefix.is_empty() && name.starts_with(prefix));
        let given = properties
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()));
        let (store, prefix) =
            object_store::parse_url_opts(&parsed, ambient.chain(given)).map_err(|source| {
                StageError::Open {
                    stage: url.to_owned(),
                    source: source.into(),
                }
            })?;
        Ok(Self {
            store,
            prefix,
            url: url.to_owned(),
        })
    }

    /// Writes a file; under a name that is there already, it replaces that file.
    pub(super) async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StageError> {
        self.store
            .put(&self.location(path), bytes.into())
            .await
            .map(drop)
            .map_err(|source| StageError::Write {
                path: path.to_owned(),
                stage: self.url.clone(),
                source: source.into(),
            })
    }

    /// Removes files; the first reason why one stays.
    pub(super) async fn remove_all(&self, paths: &[String]) -> Option<StorageError> {
        let locations: Vec<_> = paths.iter().map(|path| Ok(self.location(path))).collect();
        let mut removals = self.store.delete_stream(stream::iter(locations).boxed());
        let mut first = None;
        while let Some(removed) = removals.next().await {
            let failed = removed.err();
            first = first
                .or(failed.filter(|error| !matches!(error, object_store::Error::NotFound { .. })));
        }
        first.map(StorageError::from)
    }

    fn location(&self, path: &str) -> Path {
        self.prefix
            .parts()
            .chain(Path::from(path).parts())
            .collect()
    }
}

/// A stage's URL as the storage's client writes it.
fn translated(url: &str) -> String {
    match url.split_once("://") {
        Some(("gcs", rest)) => format!("gs://{rest}"),
        // Snowflake names the account's host first, then the container.
        Some(("azure", rest))
            if rest
                .split('/')
                .next()
                .is_some_and(|host| host.contains('.')) =>
        {
            format!("https://{rest}")
        }
        _ => url.to_owned(),
    }
}

/// Whether a storage has a property of that name.
type Knows = fn(&str) -> bool;

/// The environment's prefix of a storage's properties, and which properties there are.
fn properties_of(scheme: &ObjectStoreScheme) -> Option<(&'static str, Knows)> {
    match scheme {
        ObjectStoreScheme::AmazonS3 => {
            Some(("AWS_", |name| AmazonS3ConfigKey::from_str(name).is_ok()))
        }
        ObjectStoreScheme::GoogleCloudStorage => {
            Some(("GOOGLE_", |name| GoogleConfigKey::from_str(name).is_ok()))
        }
        ObjectStoreScheme::MicrosoftAzure => {
            Some(("AZURE_", |name| AzureConfigKey::from_str(name).is_ok()))
        }
        ObjectStoreScheme::Local => Some(("", |_| false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    #[tokio::test]
    async fn a_file_is_written_under_the_prefix_replaced_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let stage = ExternalStage::open(
            &format!("file://{}/stage/", folder.path().display()),
            &none(),
        )
        .unwrap();
        let written = folder.path().join("stage/clean_events/0/0-1.parquet");
        for content in ["one", "two"] {
            let file = "clean_events/0/0-1.parquet";
            stage.put(file, Bytes::from(content)).await.unwrap();
            assert_eq!(std::fs::read_to_string(&written).unwrap(), content);
        }
        let paths = [
            "clean_events/0/0-1.parquet".to_owned(),
            "clean_events/0/never-was.parquet".to_owned(),
        ];
        assert!(stage.remove_all(&paths).await.is_none());
        assert!(!written.exists());
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let stage =
            ExternalStage::open(&format!("file://{}/", file.path().display()), &none()).unwrap();
        let error = stage.put("a.parquet", Bytes::from("x")).await.unwrap_err();
        assert!(
            error.to_string().contains("a.parquet could not be written"),
            "{error}"
        );
        assert!(error.is_transient());
    }

    #[test]
    fn every_kind_of_stage_opens() {
        let azure = BTreeMap::from([("azure_storage_account_key".to_owned(), "a2V5".to_owned())]);
        let google = BTreeMap::from([("google_skip_signature".to_owned(), "true".to_owned())]);
        let aws = BTreeMap::from([
            (
                "aws_endpoint".to_owned(),
                "http://127.0.0.1:9000".to_owned(),
            ),
            ("aws_allow_http".to_owned(), "true".to_owned()),
            ("aws_region".to_owned(), "eu-central-1".to_owned()),
        ]);
        for (url, properties, prefix) in [
            ("s3://bucket/some/prefix", aws, "some/prefix"),
            ("gcs://bucket/prefix/", google.clone(), "prefix"),
            ("gs://bucket/", google, ""),
            (
                "azure://account.blob.core.windows.net/container/prefix/",
                azure,
                "prefix",
            ),
            ("file:///tmp/stage/", none(), "tmp/stage"),
        ] {
            let stage = ExternalStage::open(url, &properties)
                .unwrap_or_else(|error| panic!("{url}: {error} {error:?}"));
            assert_eq!(stage.prefix.as_ref(), prefix, "{url}");
        }
    }

    #[test]
    fn what_is_no_stage_is_refused_with_a_remedy() {
        for url in [
            "bucket/prefix",
            "http://example.com/",
            "memory:///",
            "sftp://host/",
            "",
        ] {
            let error = ExternalStage::open(url, &none()).unwrap_err().to_string();
            assert!(error.contains("is no stage"), "{url}: {error}");
        }
        let misspelt = BTreeMap::from([("aws_regoin".to_owned(), "x".to_owned())]);
        let error = ExternalStage::open("s3://bucket/", &misspelt)
            .unwrap_err()
            .to_string();
        assert!(error.contains("aws_regoin"), "{error}");
    }
}
