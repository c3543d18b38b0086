//! Whether there is a warehouse at the other end, and what time it is there: asked without a token, so that nothing can be done.

use std::time::SystemTime;

use chrono::DateTime;
use reqwest::header;
use serde::Deserialize;

use super::{Client, Error, statement::Session};

/// What a server says to somebody whom it does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The code that the SQL API gives with a refusal; None when the answer is none of it.
    pub(crate) code: Option<String>,
    /// The server's clock, in whole seconds.
    pub(crate) now: Option<SystemTime>,
}

impl Client {
    /// The same client, for statements that name no database, schema or virtual warehouse, and run as the user's default role. What
    /// is not named cannot be missing, and cannot be woken.
    pub(crate) fn nowhere(&self) -> Self {
        let mut client = self.clone();
        client.session = Session::default();
        client
    }

    /// Asks without a token and without a statement.
    ///
    /// # Errors
    /// No reply.
    pub(crate) async fn greet(&self) -> Result<Greeting, Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Refusal {
            code: Option<String>,
        }
        let broken = |error: reqwest::Error| Error::Unavailable {
            call: "asking whether it is there",
            reason: "no reply".into(),
            retry_after: None,
            source: Some(error.without_url()),
        };
        let request = self.http.post(&self.url).json(&serde_json::json!({}));
        let response = request.send().await.map_err(broken)?;
        let now = response
            .headers()
            .get(header::DATE)
            .and_then(|date| DateTime::parse_from_rfc2822(date.to_str().ok()?).ok())
            .map(SystemTime::from);
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(broken)?;
        let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
        Ok(Greeting {
            status,
            code: refusal.code,
            now,
        })
    }
}
