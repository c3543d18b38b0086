//! The parts of the answers that are used.

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

/// Every answer.
#[derive(Deserialize)]
pub(super) struct Reply {
    #[serde(default)]
    pub(super) success: bool,
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
    #[serde(default)]
    pub(super) data: Value,
}

/// Of a login.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LoginData {
    pub(super) token: SecretString,
    pub(super) master_token: SecretString,
}

/// Of a renewal.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RenewalData {
    pub(super) session_token: SecretString,
    pub(super) master_token: SecretString,
}

/// Of a PUT.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::warehouse) struct Upload {
    pub(in crate::warehouse) stage_info: StageInfo,
    /// What a client is to encrypt with: null, one of that, or a list.
    #[serde(default)]
    encryption_material: Value,
}

/// Where a stage keeps its files, and what opens it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::warehouse) struct StageInfo {
    /// `S3`, `AZURE` or `GCS`.
    pub(in crate::warehouse) location_type: String,
    /// `bucket/prefix/`
    pub(in crate::warehouse) location: String,
    #[serde(default)]
    pub(in crate::warehouse) region: Option<String>,
    #[serde(default)]
    pub(in crate::warehouse) storage_account: Option<String>,
    /// A host, or an address with its scheme.
    #[serde(default)]
    pub(in crate::warehouse) end_point: Option<String>,
    /// Where one file is to be put, by a plain HTTP PUT.
    #[serde(default)]
    pub(in crate::warehouse) presigned_url: Option<SecretString>,
    #[serde(default)]
    is_client_side_encrypted: Option<bool>,
    #[serde(default)]
    pub(in crate::warehouse) creds: Option<Credentials>,
}

/// What opens the place, for some hours.
#[derive(Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE", default)]
pub(in crate::warehouse) struct Credentials {
    pub(in crate::warehouse) aws_key_id: Option<String>,
    pub(in crate::warehouse) aws_secret_key: Option<SecretString>,
    pub(in crate::warehouse) aws_token: Option<SecretString>,
    pub(in crate::warehouse) azure_sas_token: Option<SecretString>,
    pub(in crate::warehouse) gcs_access_token: Option<SecretString>,
}

impl Upload {
    /// Whether the warehouse could not read a file that is written as it is: there is something to encrypt with, and it is not said
    /// that it is for nothing, as drivers read it.
    pub(in crate::warehouse) fn wants_encrypted_files(&self) -> bool {
        let has_material = match &self.encryption_material {
            Value::Null => false,
            Value::Array(each) => each.iter().any(|material| !material.is_null()),
            _ => true,
        };
        self.stage_info.is_client_side_encrypted.unwrap_or(true) && has_material
    }
}
