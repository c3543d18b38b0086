//! The query and the body of `POST /api/v2/statements`, read and checked.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::Value;

use super::refusal::Refusal;
use super::result::Nulls;
use super::runs::Mode;

/// Session parameters that a request may carry. Anything else takes an ALTER SESSION in a request of several statements.
const ACCEPTED_PARAMETERS: [&str; 13] = [
    "BINARY_OUTPUT_FORMAT",
    "CLIENT_RESULT_CHUNK_SIZE",
    "DATE_OUTPUT_FORMAT",
    "MULTI_STATEMENT_COUNT",
    "QUERY_TAG",
    "ROWS_PER_RESULTSET",
    "TIMESTAMP_LTZ_OUTPUT_FORMAT",
    "TIMESTAMP_NTZ_OUTPUT_FORMAT",
    "TIMESTAMP_OUTPUT_FORMAT",
    "TIMESTAMP_TZ_OUTPUT_FORMAT",
    "TIMEZONE",
    "TIME_OUTPUT_FORMAT",
    "USE_CACHED_RESULT",
];

/// The query of the request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Query {
    pub(super) request_id: Option<String>,
    retry: Option<bool>,
    r#async: Option<bool>,
    nullable: Option<bool>,
}

impl Query {
    pub(super) fn is_retry(&self) -> bool {
        self.retry.unwrap_or(false)
    }

    pub(super) fn mode(&self) -> Mode {
        if self.r#async.unwrap_or(false) {
            Mode::Asynchronous
        } else {
            Mode::Synchronous
        }
    }

    pub(super) fn nulls(&self) -> Nulls {
        if self.nullable.unwrap_or(true) {
            Nulls::Null
        } else {
            Nulls::Text
        }
    }
}

#[derive(Debug, Deserialize)]
struct Body {
    statement: Option<String>,
    timeout: Option<u64>,
    database: Option<String>,
    schema: Option<String>,
    warehouse: Option<String>,
    role: Option<String>,
    bindings: Option<BTreeMap<String, Value>>,
    parameters: Option<BTreeMap<String, Value>>,
}

/// How many statements the client says it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatementCount {
    Any,
    Exactly(usize),
}

/// What is to be run, and in which session.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) statement: String,
    pub(super) count: StatementCount,
    /// Longest time it may run; `None`: as long as it takes.
    pub(super) timeout: Option<Duration>,
    pub(super) database: Option<String>,
    pub(super) schema: Option<String>,
    pub(super) warehouse: Option<String>,
    pub(super) role: Option<String>,
    pub(super) bindings: BTreeMap<String, Value>,
    /// Without `MULTI_STATEMENT_COUNT`; names in upper case.
    pub(super) parameters: BTreeMap<String, String>,
}

/// Reads the body. The service wants each `Content-Type` to be JSON, and at least one.
pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Submission, Refusal> {
    let types = headers.get_all(header::CONTENT_TYPE);
    if types.iter().next().is_none() || !types.iter().all(|value| is_json(value.as_bytes())) {
        return Err(Refusal::NotJson);
    }
    let body: Body = serde_json::from_slice(body).map_err(|_| Refusal::InvalidPayload)?;
    let mut parameters = BTreeMap::new();
    for (name, value) in body.parameters.unwrap_or_default() {
        let name = name.to_ascii_uppercase();
        let value = parameter_text(value).filter(|_| ACCEPTED_PARAMETERS.contains(&name.as_str()));
        parameters.insert(name, value.ok_or(Refusal::InvalidPayload)?);
    }
    let count = match parameters.remove("MULTI_STATEMENT_COUNT") {
        None => StatementCount::Exactly(1),
        Some(count) => match count.parse().map_err(|_| Refusal::InvalidPayload)? {
            0 => StatementCount::Any,
            count => StatementCount::Exactly(count),
        },
    };
    Ok(Submission {
        statement: body
            .statement
            .filter(|sql| !sql.trim().is_empty())
            .ok_or(Refusal::EmptyStatement)?,
        count,
        timeout: body
            .timeout
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs),
        database: body.database,
        schema: body.schema,
        warehouse: body.warehouse,
        role: body.role,
        bindings: body.bindings.unwrap_or_default(),
        parameters,
    })
}

fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default();
    essence
        .trim_ascii()
        .eq_ignore_ascii_case(b"application/json")
}

fn parameter_text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
