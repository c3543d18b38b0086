//! The SQL API: submit, read, cancel.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use tokio::runtime::Handle;

use super::execute::execute;
use super::faults::{Moment, Slow};
use super::receipts::{self, Ledger, Receipt};
use super::refusal::Refusal;
use super::runs::{Admission, Ending, Mode, Outcome, Run, Ticket};
use super::submission::{self, Submission};
use super::{Server, answer, auth};
use crate::engine::User;

/// DataFusion plans deeply, above all without optimisation.
const STATEMENT_STACK_BYTES: usize = 64 << 20;

/// Longest request body; the service takes a statement of about 1 MB.
const LONGEST_BODY_BYTES: usize = 16 << 20;

/// How long the answer to a cancel waits to learn whether the statement ended otherwise in the same moment.
const CANCEL_WAIT: Duration = Duration::from_secs(5);

/// `/api/v2/statements...`
pub(super) fn routes() -> Router<Server> {
    Router::new()
        .route("/api/v2/statements", post(submit))
        .route("/api/v2/statements/{handle}", get(read))
        .route("/api/v2/statements/{handle}/cancel", post(cancel))
        .layer(DefaultBodyLimit::max(LONGEST_BODY_BYTES))
}

async fn submit(
    State(server): State<Server>,
    now: Moment,
    slow: Slow,
    query: Result<Query<submission::Query>, QueryRejection>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let user = auth::authenticate(&headers, &server.account, &server.engine, now)?;
    let Query(query) = query.map_err(|_| Refusal::InvalidPayload)?;
    let submission = submission::read(&headers, &body)?;
    check_role(&user, submission.role.as_deref())?;
    let mode = query.mode();
    let before = query.request_id.as_ref().filter(|_| query.is_retry());
    let before = before.and_then(|id| receipts::find(&server, &user.name, id));
    let ticket = Ticket {
        before: before.as_ref().map(Receipt::identity),
        is_retry: query.is_retry(),
        mode,
        nulls: query.nulls(),
        user: user.name,
        request_id: query.request_id,
    };
    let run = match server.runs.admit(ticket) {
        Admission::Known(run) => run,
        Admission::New(run, ending) => {
            let ledger = Ledger::new(&server, &run, before);
            start(&server, submission, ledger, ending, slow);
            run
        }
    };
    let outcome = match mode {
        Mode::Synchronous if slow == Slow::default() => run.wait(server.synchronous_limit).await,
        Mode::Synchronous => None,
        Mode::Asynchronous => None,
    };
    Ok(answer::to_post(&run, outcome.as_deref()))
}

/// Everybody has the role PUBLIC.
fn check_role(user: &User, role: Option<&str>) -> Result<(), Refusal> {
    match role {
        Some(role) if role != "PUBLIC" && !user.roles.iter().any(|granted| granted == role) => {
            Err(Refusal::RoleNotGranted(role.to_owned()))
        }
        _ => Ok(()),
    }
}

/// Runs the statement on a thread of its own, so that it goes on when the client goes away.
fn start(server: &Server, submission: Submission, ledger: Ledger, ending: Ending, slow: Slow) {
    let (server, tracked) = (server.clone(), server.statements.token());
    let runtime = Handle::current();
    let work = move || {
        let outcome = runtime.block_on(execute(&server, submission, ledger, slow));
        ending.send_replace(Some(Arc::new(outcome)));
        // Whoever waits for the last statement may want to open the folder anew.
        drop(server);
        drop(tracked);
    };
    let started: io::Result<_> = thread::Builder::new()
        .name("statement".to_owned())
        .stack_size(STATEMENT_STACK_BYTES)
        .spawn(work);
    // The closure, and with it `ending`, is gone when no thread could be started: the run then answers as lost.
    if let Err(error) = started {
        tracing::error!(%error, "no thread for a statement");
    }
}

#[derive(Debug, Deserialize)]
struct PartitionQuery {
    partition: Option<String>,
}

async fn read(
    State(server): State<Server>,
    now: Moment,
    Path(handle): Path<String>,
    Query(query): Query<PartitionQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let run = find(&server, now, &headers, &handle)?;
    Ok(answer::to_get(
        &run,
        run.outcome().as_deref(),
        query.partition.as_deref(),
    ))
}

async fn cancel(
    State(server): State<Server>,
    now: Moment,
    Path(handle): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let run = find(&server, now, &headers, &handle)?;
    run.cancel.cancel();
    let outcome: Option<Arc<Outcome>> = run.wait(CANCEL_WAIT).await;
    Ok(answer::to_cancel(&run, outcome.as_deref()))
}

fn find(
    server: &Server,
    now: Moment,
    headers: &HeaderMap,
    handle: &str,
) -> Result<Arc<Run>, Refusal> {
    let user = auth::authenticate(headers, &server.account, &server.engine, now)?;
    server
        .runs
        .find(&user.name, handle)
        .ok_or_else(|| Refusal::UnknownHandle(handle.to_owned()))
}
