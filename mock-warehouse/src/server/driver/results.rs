//! What a driver asks about statements that it sent before: results, chunks of them, status, abort.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::answer::{self, Surroundings};
use super::body::{self, Abort};
use super::login::{self, Caller};
use super::sessions::DriverSession;
use crate::engine::{SqlError, StatementKind};
use crate::server::Server;
use crate::server::answer::cancelled;
use crate::server::refusal::Refusal;
use crate::server::runs::{Outcome, Run};

/// How long an abort waits for the statement to end.
const ABORT_WAIT: Duration = Duration::from_secs(5);

/// `GET /queries/<id>/result`: waits like the request itself.
pub(super) async fn read(
    State(server): State<Server>,
    Path(handle): Path<String>,
    Caller(session): Caller,
    headers: HeaderMap,
) -> Response {
    of_handle(&server, &session, &headers, &handle).await
}

/// The answer about a statement of this user.
pub(super) async fn of_handle(
    server: &Server,
    session: &DriverSession,
    headers: &HeaderMap,
    handle: &str,
) -> Response {
    let Some(run) = server.drivers.runs.find(&session.user, handle) else {
        return answer::failure(&unknown(handle), Some(handle));
    };
    let outcome = run.wait(server.synchronous_limit).await;
    of_run(server, session, headers, &run, outcome.as_deref())
}

pub(super) fn of_run(
    server: &Server,
    session: &DriverSession,
    headers: &HeaderMap,
    run: &Run,
    outcome: Option<&Outcome>,
) -> Response {
    let kind_of = |handle: &str| {
        let child = server.drivers.runs.find(&run.user, handle);
        match child.and_then(|child| child.outcome()).as_deref() {
            Some(Outcome::Succeeded { result, .. }) => result.kind,
            _ => StatementKind::Other,
        }
    };
    let around = Surroundings {
        context: &session.context(),
        origin: &origin(headers),
        kind_of: &kind_of,
    };
    answer::to_run(run, outcome, &around)
}

/// The server as the client reaches it. An address instead of `localhost`: drivers would put a bucket's name before it.
pub(super) fn origin(headers: &HeaderMap) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("127.0.0.1");
    match host.strip_prefix("localhost") {
        Some(port) => format!("http://127.0.0.1{port}"),
        None => format!("http://{host}"),
    }
}

/// The handle in `SELECT * FROM TABLE(RESULT_SCAN('<handle>'))`, with which drivers read what ran before.
pub(super) fn scanned(sql: &str) -> Option<String> {
    let text: String = sql.split_whitespace().collect();
    let text = text.trim_end_matches(';').to_ascii_lowercase();
    let handle = text
        .strip_prefix("select*fromtable(result_scan('")?
        .strip_suffix("'))")?;
    Some(handle.to_owned())
}

/// `GET /queries/<id>/chunks/<n>`: rows without the outer brackets. As with a signed address, who knows it may read it.
pub(super) async fn chunk(
    State(server): State<Server>,
    Path((handle, number)): Path<(String, usize)>,
) -> Response {
    let outcome = server.drivers.runs.of_anybody(&handle);
    let outcome = outcome.and_then(|run| run.outcome());
    let Some(Outcome::Succeeded { result, .. }) = outcome.as_deref() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match result.partitions.get(number) {
        Some(partition) => {
            let rows = partition.data.get();
            let inner = rows[1..rows.len() - 1].to_owned();
            ([(header::CONTENT_TYPE, "application/json")], inner).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// `GET /monitoring/queries/<id>`
pub(super) async fn status(
    State(server): State<Server>,
    Path(handle): Path<String>,
    Caller(session): Caller,
) -> Response {
    let found = server.drivers.runs.find(&session.user, &handle);
    let entry = found.map(|run| status_of(&run, &session));
    answer::success(&json!({"queries": entry.into_iter().collect::<Vec<_>>()}))
}

fn status_of(run: &Run, session: &DriverSession) -> Value {
    let outcome = run.outcome();
    let (status, error) = match outcome.as_deref() {
        None => ("RUNNING", None),
        Some(Outcome::Succeeded { .. }) => ("SUCCESS", None),
        Some(Outcome::Failed(error)) => ("FAILED_WITH_ERROR", Some(error.clone())),
        Some(Outcome::TimedOut(_) | Outcome::Cancelled) => ("FAILED_WITH_ERROR", Some(cancelled())),
    };
    json!({
        "id": run.handle,
        "status": status,
        "state": status,
        "errorCode": error.as_ref().map_or("", |error| error.code.as_str()),
        "errorMessage": error.as_ref().map_or("", |error| error.message.as_str()),
        "sessionId": session.id,
        "startTime": run.created_on,
    })
}

/// `POST /queries/<id>/abort-request`
pub(super) async fn abort(
    State(server): State<Server>,
    Path(handle): Path<String>,
    Caller(session): Caller,
) -> Response {
    let run = server.drivers.runs.find(&session.user, &handle);
    aborted(run, &handle).await
}

/// `POST /queries/v1/abort-request`: names the statement by the id of its request.
pub(super) async fn abort_request(
    State(server): State<Server>,
    Caller(session): Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(Abort { request_id }) = body::read(&headers, &body) else {
        return login::refused(&Refusal::InvalidPayload.body());
    };
    let run = server.drivers.runs.of_request(&session.user, &request_id);
    aborted(run, &request_id).await
}

async fn aborted(run: Option<Arc<Run>>, name: &str) -> Response {
    let Some(run) = run else {
        return answer::failure(&unknown(name), None);
    };
    run.cancel.cancel();
    match run.wait(ABORT_WAIT).await.as_deref() {
        None | Some(Outcome::Cancelled) => answer::success(&Value::Null),
        Some(_) => {
            let message = "Identified SQL statement is not currently executing.";
            answer::failure(
                &SqlError::new("000605", "57014", message),
                Some(&run.handle),
            )
        }
    }
}

fn unknown(handle: &str) -> SqlError {
    SqlError::new("000709", "02000", format!("Statement {handle} not found"))
}
