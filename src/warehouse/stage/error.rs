//! Why a stage cannot be used.

use crate::warehouse::Error;

/// Why a stage cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The URL is none that a stage can have.
    #[error("warehouse.stage_url `{url}` is no stage")]
    Url {
        /// The URL as it was given.
        url: String,
    },
    /// A property that the kind of storage does not know.
    #[error("warehouse.stage_properties has no `{property}` for {stage}")]
    Property {
        /// The property's name.
        property: String,
        /// The stage's URL.
        stage: String,
    },
    /// The properties, or what the warehouse says of the storage, do not go together.
    #[error("the stage {stage} cannot be opened")]
    Open {
        /// The stage's URL, or its name.
        stage: String,
        /// What the storage's client says.
        source: object_store::Error,
    },
    /// A file could not be written.
    #[error("{path} could not be written to the stage {stage}")]
    Write {
        /// The file's name under the stage.
        path: String,
        /// The stage's URL, or its name.
        stage: String,
        /// What the storage says.
        source: object_store::Error,
    },
    /// A file could not be sent to the address that was given for it.
    #[error("{path} could not be sent to the stage {stage}")]
    Send {
        /// The file's name under the stage.
        path: String,
        /// The stage's name.
        stage: String,
        /// What was met.
        source: reqwest::Error,
    },
    /// The warehouse gave no place to write to.
    #[error("the warehouse lends no key to the stage {stage}")]
    Refused {
        /// The stage's name.
        stage: String,
        /// What it said.
        source: Error,
    },
    /// The warehouse expects files that the client has encrypted.
    #[error(
        "the stage {stage} takes files only that the client encrypts, which Sluicebox does not"
    )]
    ClientSideEncrypted {
        /// The stage's name.
        stage: String,
    },
    /// Storage of a kind that is not known.
    #[error("the stage {stage} is on {kind}, which is no storage that Sluicebox knows")]
    UnknownStorage {
        /// The stage's name.
        stage: String,
        /// The kind.
        kind: String,
    },
}

impl StageError {
    /// What can be done about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Url { .. } => {
                "use s3://bucket/path/, gcs://bucket/path/, azure://account.blob.core.windows.net/container/path/ or file:///folder/, or leave it empty for an internal stage"
            }
            Self::Property { .. } => {
                "the names are those of the object_store crate, for example aws_region or aws_endpoint"
            }
            Self::Open { .. } => "check warehouse.stage_url and warehouse.stage_properties",
            Self::Write { source, .. } => write_hint(source),
            Self::Send { .. } => "the load is tried again",
            Self::Refused { source, .. } => return source.hint(),
            Self::ClientSideEncrypted { stage } => {
                return Some(format!(
                    "make it anew with encryption at the server: DROP STAGE {stage}; CREATE STAGE {stage} ENCRYPTION = (TYPE = 'SNOWFLAKE_SSE'); then `sluicebox setup` for its grants"
                ));
            }
            Self::UnknownStorage { .. } => {
                "use an external stage: set warehouse.stage_url and warehouse.storage_integration"
            }
        };
        Some(hint.to_owned())
    }

    /// Whether the same call may work later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Url { .. }
            | Self::Property { .. }
            | Self::Open { .. }
            | Self::ClientSideEncrypted { .. }
            | Self::UnknownStorage { .. } => false,
            Self::Send { .. } => true,
            Self::Refused { source, .. } => source.is_transient(),
            Self::Write { source, .. } => {
                use object_store::Error::{
                    NotImplemented, NotSupported, PermissionDenied, Unauthenticated,
                };
                !matches!(
                    source,
                    NotSupported { .. }
                        | NotImplemented { .. }
                        | PermissionDenied { .. }
                        | Unauthenticated { .. }
                )
            }
        }
    }
}

fn write_hint(error: &object_store::Error) -> &'static str {
    match error {
        object_store::Error::PermissionDenied { .. } => {
            "allow the service's credentials to write and delete there"
        }
        object_store::Error::Unauthenticated { .. } => {
            "give valid credentials in warehouse.stage_properties or the environment"
        }
        object_store::Error::NotFound { .. } => {
            "create the bucket or container that the stage is on"
        }
        _ => "check that the storage can be reached and may be written; the load is tried again",
    }
}
