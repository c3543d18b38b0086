//! Whether there is a warehouse at the other end, and what time it is there: asked without a token, so that nothing can be done.

use std::time::SystemTime;

use reqwest::Method;
use serde::Deserialize;

use super::{
    Client, Error,
    client::STATEMENTS,
    statement::Session,
    transport::{Transport, clock_of},
};

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
        let post = self.transport.request(Method::POST, STATEMENTS);
        let request = post.json(&serde_json::json!({}));
        let (status, headers, body) =
            Transport::reply("asking whether it is there", request).await?;
        let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
        Ok(Greeting {
            status: status.as_u16(),
            code: refusal.code,
            now: clock_of(&headers),
        })
    }
}
