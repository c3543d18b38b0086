//! The bodies and headers that drivers send, read and checked.

use std::collections::BTreeMap;
use std::io::Read;

use axum::http::{HeaderMap, header};
use flate2::read::GzDecoder;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::LONGEST_BODY_BYTES;

/// `POST /session/v1/login-request`: what is used of its `data`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) struct LoginData {
    pub(super) login_name: Option<String>,
    pub(super) authenticator: Option<String>,
    pub(super) token: Option<String>,
    #[serde(default)]
    pub(super) session_parameters: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Login {
    pub(super) data: LoginData,
}

/// Where the session is to begin; the names are identifiers as in SQL.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct LoginQuery {
    pub(super) database_name: Option<String>,
    pub(super) schema_name: Option<String>,
    pub(super) warehouse: Option<String>,
    pub(super) role_name: Option<String>,
}

/// `POST /queries/v1/query-request`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Query {
    #[serde(default)]
    pub(super) sql_text: String,
    pub(super) async_exec: Option<bool>,
    pub(super) describe_only: Option<bool>,
    pub(super) bindings: Option<BTreeMap<String, Value>>,
    pub(super) parameters: Option<BTreeMap<String, Value>>,
}

/// The query of most requests.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RequestQuery {
    pub(super) request_id: Option<String>,
}

/// `POST /queries/v1/abort-request`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Abort {
    pub(super) request_id: String,
}

/// Reads a JSON body that may be gzip-compressed; `None` when it is not of that shape or too large.
pub(super) fn read<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Option<T> {
    let encoding = headers.get(header::CONTENT_ENCODING);
    if encoding.is_none_or(|encoding| encoding != "gzip") {
        return serde_json::from_slice(body).ok();
    }
    let mut plain = Vec::new();
    let most = u64::try_from(LONGEST_BODY_BYTES).unwrap_or(u64::MAX);
    GzDecoder::new(body)
        .take(most)
        .read_to_end(&mut plain)
        .ok()?;
    serde_json::from_slice(&plain).ok()
}

/// The token of `Authorization: Snowflake Token="..."`.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Snowflake Token=\"")?.strip_suffix('"')
}

/// A parameter as text: drivers send `false`, `"false"` and `0` alike.
pub(super) fn parameter_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
