//! What a request for statements is made of.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::Serialize;
use uuid::Uuid;

/// Names one request, so that the server runs it once however often it is sent.
///
/// Clones are the same request: whichever is sent second, the server is told that it is a resend. Make one for each
/// thing to be done, and keep it until that is known to be done or refused.
#[derive(Clone, Debug)]
pub struct RequestId {
    id: Uuid,
    sent: Arc<AtomicBool>,
}

impl RequestId {
    /// The id of a request that was never sent.
    #[expect(clippy::new_without_default, reason = "two defaults would differ")]
    pub fn new() -> Self {
        Self {
            id: Uuid::new_v4(),
            sent: Arc::new(AtomicBool::new(false)),
        }
    }

    /// The id as the server sees it.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Notes that the request goes out now. Whether it went out before.
    pub(super) fn mark_sent(&self) -> bool {
        self.sent.swap(true, Ordering::SeqCst)
    }
}

/// A value for one `?` of a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Binding {
    #[serde(rename = "type")]
    kind: &'static str,
    value: Option<String>,
}

impl Binding {
    /// Text.
    pub fn text(value: impl Into<String>) -> Self {
        Self {
            kind: "TEXT",
            value: Some(value.into()),
        }
    }

    /// An integer.
    pub fn integer(value: i64) -> Self {
        Self {
            kind: "FIXED",
            value: Some(value.to_string()),
        }
    }

    /// True or false.
    pub fn boolean(value: bool) -> Self {
        Self {
            kind: "BOOLEAN",
            value: Some(value.to_string()),
        }
    }

    /// NULL; the server takes it for a column of any type.
    pub fn null() -> Self {
        Self {
            kind: "TEXT",
            value: None,
        }
    }
}

/// Which names statements are resolved against, and as whom they run. In upper case: names in a request are
/// case-sensitive, and unquoted names in SQL are stored in upper case. An empty name is left out.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Session {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) database: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) schema: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) warehouse: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) role: String,
}

/// The session parameters of a request.
#[derive(Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
struct Parameters {
    timezone: &'static str,
    query_tag: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_statement_count: Option<String>,
}

/// The body of `POST /api/v2/statements`.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    statement: &'a str,
    timeout: u64,
    #[serde(flatten)]
    session: &'a Session,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    bindings: BTreeMap<String, &'a Binding>,
    parameters: Parameters,
}

impl<'a> Body<'a> {
    /// One statement, or several when `count` is greater than 1; several take no bindings.
    pub(super) fn new(
        statement: &'a str,
        count: usize,
        bindings: &'a [Binding],
        session: &'a Session,
        timeout: std::time::Duration,
    ) -> Self {
        let bindings = bindings.iter().enumerate();
        Self {
            statement,
            timeout: timeout.as_secs(),
            session,
            bindings: bindings
                .map(|(index, binding)| ((index + 1).to_string(), binding))
                .collect(),
            parameters: Parameters {
                // Timestamps are UTC everywhere; an account's own default would shift them.
                timezone: "UTC",
                // Marks our statements in the query history.
                query_tag: "sluicebox",
                multi_statement_count: (count > 1).then(|| count.to_string()),
            },
        }
    }
}
