//! What the warehouse says of a stage's storage in, that storage opened out.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::AmazonS3Builder;
use object_store::azure::{AzureCredential, MicrosoftAzureBuilder};
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use object_store::path::Path;
use object_store::{
    BackoffConfig, Certificate, ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig,
    StaticCredentialProvider,
};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::StageError;
use crate::warehouse::Config;
use crate::warehouse::driver::{Credentials, StageInfo, Upload};
use crate::warehouse::transport;

/// A write is tried again in here for so long; then it is the caller's to decide.
const RETRY_FOR: Duration = Duration::from_secs(20);
const MOST_RETRIES: usize = 4;

/// Longest time that one file may take on its way.
const LONGEST_UPLOAD: Duration = Duration::from_secs(300);

/// How the storage is reached.
pub(super) struct Network {
    proxy: String,
    ca_file: PathBuf,
    timeout: Duration,
}

/// A place that files may be written to.
pub(super) struct Place {
    stage: String,
    storage: Storage,
}

enum Storage {
    /// All of the stage.
    Store {
        store: Box<dyn ObjectStore>,
        prefix: Path,
    },
    /// One file, by a plain PUT.
    Address {
        http: reqwest::Client,
        url: SecretString,
    },
}

impl Network {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            proxy: config.proxy.clone(),
            ca_file: config.ca_file.clone(),
            timeout: config.request_timeout,
        }
    }

    fn client(&self) -> Result<reqwest::Client, object_store::Error> {
        transport::builder(&self.proxy, &self.ca_file, self.timeout)
            .and_then(transport::build)
            .map_err(|error| object_store::Error::Generic {
                store: "HTTP",
                source: Box::new(error),
            })
    }

    fn options(&self) -> Result<ClientOptions, object_store::Error> {
        let mut options = ClientOptions::new().with_timeout(self.timeout.max(LONGEST_UPLOAD));
        if !self.proxy.is_empty() {
            options = options.with_proxy_url(&self.proxy);
        }
        if !self.ca_file.as_os_str().is_empty() {
            let failed = |error: std::io::Error| object_store::Error::Generic {
                store: "certificates",
                source: Box::new(error),
            };
            let pem = fs::read(&self.ca_file).map_err(failed)?;
            for certificate in Certificate::from_pem_bundle(&pem)? {
                options = options.with_root_certificate(certificate);
            }
        }
        Ok(options)
    }
}

impl Place {
    /// What the warehouse says of a stage, opened. Nothing is sent.
    pub(super) fn open(
        stage: &str,
        upload: &Upload,
        network: &Network,
    ) -> Result<Self, StageError> {
        if upload.wants_encrypted_files() {
            let stage = stage.to_owned();
            return Err(StageError::ClientSideEncrypted { stage });
        }
        let info = &upload.stage_info;
        let storage = storage(info, network).map_err(|source| StageError::Open {
            stage: stage.to_owned(),
            source: source.into(),
        })?;
        match storage {
            Some(storage) => Ok(Self {
                stage: stage.to_owned(),
                storage,
            }),
            None => Err(StageError::UnknownStorage {
                stage: stage.to_owned(),
                kind: info.location_type.clone(),
            }),
        }
    }

    /// Whether other files may be written there too.
    pub(super) fn is_for_all(&self) -> bool {
        matches!(self.storage, Storage::Store { .. })
    }

    pub(super) async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StageError> {
        match &self.storage {
            Storage::Store { store, prefix } => {
                let location: Path = prefix.parts().chain(Path::from(path).parts()).collect();
                let put = store.put(&location, bytes.into()).await;
                put.map(drop).map_err(|source| StageError::Write {
                    path: path.to_owned(),
                    stage: self.stage.clone(),
                    source: source.into(),
                })
            }
            Storage::Address { http, url } => {
                let sent = http.put(url.expose_secret()).body(bytes).send().await;
                let answer = sent.and_then(reqwest::Response::error_for_status);
                answer.map(drop).map_err(|error| StageError::Send {
                    path: path.to_owned(),
                    stage: self.stage.clone(),
                    // The address is as good as a key.
                    source: error.without_url(),
                })
            }
        }
    }

    /// Whether a write failed because the key, or the address, is no longer any good.
    pub(super) fn is_used_up_by(&self, error: &StageError) -> bool {
        match error {
            StageError::Send { source, .. } => source.status().is_some(),
            StageError::Write { source, .. } => source.is_about_the_key(),
            _ => false,
        }
    }
}

/// The storage of a stage; `None` when it is of a kind that is not known.
fn storage(info: &StageInfo, network: &Network) -> Result<Option<Storage>, object_store::Error> {
    let nothing = Credentials::default();
    let creds = info.creds.as_ref().unwrap_or(&nothing);
    let (bucket, prefix) = info
        .location
        .split_once('/')
        .unwrap_or((&info.location, ""));
    let store: Box<dyn ObjectStore> = match info.location_type.as_str() {
        "S3" => Box::new(s3(info, creds, bucket, network)?),
        "AZURE" => Box::new(azure(info, creds, bucket, network)?),
        "GCS" => match (&creds.gcs_access_token, &info.presigned_url) {
            (None, Some(url)) => {
                return Ok(Some(Storage::Address {
                    http: network.client()?,
                    url: url.clone(),
                }));
            }
            (token, _) => Box::new(gcs(info, token.as_ref(), bucket, network)?),
        },
        _ => return Ok(None),
    };
    let prefix = Path::from(prefix);
    Ok(Some(Storage::Store { store, prefix }))
}

fn s3(
    info: &StageInfo,
    creds: &Credentials,
    bucket: &str,
    network: &Network,
) -> Result<impl ObjectStore + use<>, object_store::Error> {
    let region = info.region.as_deref().unwrap_or("us-east-1");
    let end_point = given(info.end_point.as_deref());
    let builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region)
        .with_access_key_id(creds.aws_key_id.as_deref().unwrap_or_default())
        .with_secret_access_key(shown(creds.aws_secret_key.as_ref()))
        .with_client_options(network.options()?)
        .with_retry(retry());
    let builder = match end_point {
        // An address of its own, as of a server for tests: the bucket is in the path.
        Some(address) if address.contains("://") => builder
            .with_endpoint(address)
            .with_allow_http(address.starts_with("http://")),
        Some(host) => builder
            .with_virtual_hosted_style_request(true)
            .with_endpoint(format!("https://{bucket}.{host}")),
        None => {
            let china = if region.starts_with("cn-") { ".cn" } else { "" };
            let host = format!("https://{bucket}.s3.{region}.amazonaws.com{china}");
            builder
                .with_virtual_hosted_style_request(true)
                .with_endpoint(host)
        }
    };
    match &creds.aws_token {
        Some(token) => builder.with_token(token.expose_secret()),
        None => builder,
    }
    .build()
}

fn azure(
    info: &StageInfo,
    creds: &Credentials,
    container: &str,
    network: &Network,
) -> Result<impl ObjectStore + use<>, object_store::Error> {
    let account = info.storage_account.as_deref().unwrap_or_default();
    let end_point = given(info.end_point.as_deref()).unwrap_or("blob.core.windows.net");
    let address = match end_point.contains("://") {
        true => end_point.to_owned(),
        false => format!("https://{account}.{end_point}"),
    };
    let sas = shown(creds.azure_sas_token.as_ref());
    let pairs = Url::parse(&format!("sas:?{}", sas.trim_start_matches('?')))
        .map(|url| url.query_pairs().into_owned().collect())
        .unwrap_or_default();
    let key = StaticCredentialProvider::new(AzureCredential::SASToken(pairs));
    MicrosoftAzureBuilder::new()
        .with_account(account)
        .with_container_name(container)
        .with_client_options(network.options()?)
        .with_allow_http(address.starts_with("http://"))
        .with_endpoint(address)
        .with_credentials(Arc::new(key))
        .with_retry(retry())
        .build()
}

fn gcs(
    info: &StageInfo,
    token: Option<&SecretString>,
    bucket: &str,
    network: &Network,
) -> Result<impl ObjectStore + use<>, object_store::Error> {
    let key = StaticCredentialProvider::new(GcpCredential {
        bearer: shown(token).to_owned(),
    });
    let mut options = network.options()?;
    let mut builder = GoogleCloudStorageBuilder::new().with_bucket_name(bucket);
    if let Some(end_point) = given(info.end_point.as_deref()) {
        let address = match end_point.contains("://") {
            true => end_point.to_owned(),
            false => format!("https://{end_point}"),
        };
        options = options.with_allow_http(address.starts_with("http://"));
        builder = builder.with_base_url(&address);
    }
    builder
        .with_credentials(Arc::new(key))
        .with_client_options(options)
        .with_retry(retry())
        .build()
}

fn retry() -> RetryConfig {
    RetryConfig {
        max_retries: MOST_RETRIES,
        retry_timeout: RETRY_FOR,
        backoff: BackoffConfig::default(),
    }
}

/// A field that is absent, null or empty says nothing.
fn given(field: Option<&str>) -> Option<&str> {
    field.filter(|text| !text.is_empty())
}

fn shown(secret: Option<&SecretString>) -> &str {
    secret.map_or("", |secret| secret.expose_secret())
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
