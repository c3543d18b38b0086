//! The protocol of Snowflake's own drivers: log in, keep a session, run statements in it, move files by way of a stage.
//!
//! A session lives from its login until it is closed or idle for too long; it keeps USE, parameters and an open
//! transaction. Its statements run one after another. Errors are HTTP 200 with `"success": false`, as drivers expect.

mod answer;
mod body;
mod login;
mod query;
mod results;
mod sessions;
mod transfer;

use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Server;
use super::runs::Runs;
pub(super) use login::refused;
use sessions::Sessions;

/// Longest request body; executemany sends its rows in one.
const LONGEST_BODY_BYTES: usize = 64 << 20;

/// What the drivers' requests share. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Drivers {
    sessions: Sessions,
    /// Apart from the SQL API's: the two encode booleans differently.
    runs: Runs,
}

impl Drivers {
    /// `validity` is how long a session token is good before the driver has to renew it.
    pub(super) fn new(validity: Duration, stop: &CancellationToken) -> Self {
        Self {
            sessions: Sessions::new(validity),
            runs: Runs::new(stop),
        }
    }

    /// Forgets a statement by its handle.
    pub(super) fn forget(&self, handle: &str) {
        self.runs.forget(handle);
    }

    /// Forgets the statements of a request id.
    pub(super) fn forget_request(&self, request_id: &str) {
        self.runs.forget_request(request_id);
    }

    /// Ends the validity of the session or master token that the request carries.
    pub(super) fn expire(&self, headers: &HeaderMap) {
        self.sessions
            .expire(body::token(headers).unwrap_or_default());
    }

    /// Cancels what still runs.
    pub(super) fn cancel_all(&self) {
        self.runs.cancel_all();
    }
}

/// `/session...`, `/queries...`, `/monitoring...`, `/telemetry...` and the chunks of results.
pub(super) fn routes() -> Router<Server> {
    Router::new()
        .route("/session/v1/login-request", post(login::log_in))
        .route("/session/token-request", post(login::renew))
        .route("/session/heartbeat", post(login::heartbeat))
        .route("/session", post(login::close))
        .route("/queries/v1/query-request", post(query::submit))
        .route("/queries/v1/abort-request", post(results::abort_request))
        .route("/queries/{handle}/abort-request", post(results::abort))
        .route("/queries/{handle}/result", get(results::read))
        .route("/monitoring/queries/{handle}", get(results::status))
        // Version 5 of the Python connector writes two slashes.
        .route("/monitoring/queries//{handle}", get(results::status))
        .route("/queries/{handle}/chunks/{chunk}", get(results::chunk))
        // Whatever is sent is thrown away.
        .route(
            "/telemetry/send",
            post(async || Json(json!({"success": true, "data": "Log Received"}))),
        )
        .layer(DefaultBodyLimit::max(LONGEST_BODY_BYTES))
}
