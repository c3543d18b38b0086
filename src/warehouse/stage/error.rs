//! Why a stage cannot be used.

use std::{error::Error as _, fmt, iter};

use crate::warehouse::Error;

/// What a storage said: its status, its code and its sentence. The rest of its answers may hold the token that it was asked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageError {
    kind: StorageErrorKind,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StorageErrorKind {
    NotAllowed,
    Unknown,
    Unsupported,
    Missing,
    Other,
}

impl From<object_store::Error> for StorageError {
    fn from(error: object_store::Error) -> Self {
        use object_store::Error as E;
        let kind = match &error {
            E::PermissionDenied { .. } => StorageErrorKind::NotAllowed,
            E::Unauthenticated { .. } => StorageErrorKind::Unknown,
            E::NotImplemented { .. } | E::NotSupported { .. } => StorageErrorKind::Unsupported,
            E::NotFound { .. } => StorageErrorKind::Missing,
            _ => StorageErrorKind::Other,
        };
        // The innermost cause says most.
        let cause = iter::successors(error.source(), |&cause| cause.source()).last();
        let said = cause.map_or_else(|| error.to_string(), ToString::to_string);
        Self {
            kind,
            text: without_body(&said),
        }
    }
}

impl StorageError {
    /// Whether the key is no longer any good, as far as the storage says so.
    pub(crate) fn is_about_the_key(&self) -> bool {
        // S3 says 400 to a key that has expired: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
        matches!(
            self.kind,
            StorageErrorKind::NotAllowed | StorageErrorKind::Unknown
        ) || ["ExpiredToken", "InvalidToken", "TokenRefreshRequired"]
            .iter()
            .any(|code| self.text.contains(code))
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for StorageError {}

/// What comes before an XML body, and the body's code and message.
fn without_body(said: &str) -> String {
    let (before, body) = said.find('<').map_or((said, ""), |at| said.split_at(at));
    let element = |name: &str| {
        let (_, rest) = body.split_once(&format!("<{name}>"))?;
        Some(rest.split_once('<')?.0.trim())
    };
    let before = before.trim().trim_end_matches(':');
    let parts = [Some(before), element("Code"), element("Message")];
    let parts: Vec<&str> = parts
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect();
    parts.join(": ")
}

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
        source: StorageError,
    },
    /// A file could not be written.
    #[error("{path} could not be written to the stage {stage}")]
    Write {
        /// The file's name under the stage.
        path: String,
        /// The stage's URL, or its name.
        stage: String,
        /// What the storage says.
        source: StorageError,
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
            Self::Open { stage, .. } if stage.contains("://") => {
                "check warehouse.stage_url and warehouse.stage_properties"
            }
            Self::Open { .. } => {
                "check warehouse.ca_file and warehouse.proxy; or use an external stage (warehouse.stage_url)"
            }
            Self::Write { source, stage, .. } => write_hint(source, stage.contains("://")),
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
            Self::Refused { source, .. } => source.is_transient() || source.was_interrupted(),
            Self::Write { source, .. } => matches!(
                source.kind,
                StorageErrorKind::Missing | StorageErrorKind::Other
            ),
        }
    }
}

fn write_hint(error: &StorageError, is_external: bool) -> &'static str {
    match (error.kind, is_external) {
        (StorageErrorKind::NotAllowed, true) => {
            "allow the service's credentials to write and delete under warehouse.stage_url"
        }
        (StorageErrorKind::Unknown, true) => {
            "give valid credentials in warehouse.stage_properties or the environment"
        }
        (StorageErrorKind::NotAllowed | StorageErrorKind::Unknown, false) => {
            "the key that the warehouse lent is refused by its storage: look at this machine's clock, at the proxy, and at network policies that keep this machine from the storage"
        }
        (StorageErrorKind::Missing, true) => {
            "create the bucket or container that warehouse.stage_url names"
        }
        _ => "check that the storage can be reached and may be written; the load is tried again",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_storages_answer_the_code_and_the_sentence_are_shown_and_no_token() {
        let body = "<?xml version=\"1.0\"?><Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message>\
                    <Token-0>FwoGZXIvYXdzEXAMPLE</Token-0></Error>";
        let said = format!("Server returned non-2xx status code: 400 Bad Request: {body}");
        let error = StorageError::from(object_store::Error::Generic {
            store: "S3",
            source: said.into(),
        });
        assert_eq!(
            error.to_string(),
            "Server returned non-2xx status code: 400 Bad Request: ExpiredToken: The provided token has expired."
        );
        assert!(error.is_about_the_key());
        assert!(!format!("{error:?}").contains("EXAMPLE"));
        assert_eq!(without_body("connection refused"), "connection refused");
    }
}
