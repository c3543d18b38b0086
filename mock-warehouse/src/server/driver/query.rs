//! `POST /queries/v1/query-request`: a statement in, its result out, or word that it still runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Query as UrlQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;

use super::body::{self, Query, RequestQuery};
use super::login::{self, Caller};
use super::sessions::DriverSession;
use super::{answer, results, transfer};
use crate::engine::{Bindings, Grid, Session, SqlError, StatementKind};
use crate::server::Server;
use crate::server::bindings::bindings;
use crate::server::execute::{all_succeeded, passed, wrong_count};
use crate::server::faults::Slow;
use crate::server::refusal::Refusal;
use crate::server::result::{Nulls, ResultSet};
use crate::server::runs::{Admission, Ending, Mode, Outcome, Run, Ticket};

pub(super) async fn submit(
    State(server): State<Server>,
    slow: Slow,
    UrlQuery(url): UrlQuery<RequestQuery>,
    Caller(session): Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(query) = body::read::<Query>(&headers, &body) else {
        return login::refused(&Refusal::InvalidPayload.body());
    };
    if let StatementKind::Put | StatementKind::Get = Session::kind(&query.sql_text) {
        // Nobody polls for these.
        tokio::time::sleep(slow.0).await;
        return transfer::answer(&server, &session, &headers, &query.sql_text).await;
    }
    if let Some(handle) = results::scanned(&query.sql_text) {
        return results::of_handle(&server, &session, &headers, &handle).await;
    }
    let mode = if query.async_exec == Some(true) {
        Mode::Asynchronous
    } else {
        Mode::Synchronous
    };
    let ticket = Ticket {
        user: session.user.clone(),
        request_id: url.request_id,
        // A driver sends a request again under the same id, without saying so.
        is_retry: true,
        mode,
        nulls: Nulls::Null,
        before: None,
    };
    let run = match server.drivers.runs.admit(ticket) {
        Admission::Known(run) => run,
        Admission::New(run, ending) => {
            start(
                &server,
                Arc::clone(&session),
                query,
                Arc::clone(&run),
                ending,
                slow,
            );
            run
        }
    };
    let outcome = match mode {
        Mode::Synchronous if slow == Slow::default() => run.wait(server.synchronous_limit).await,
        Mode::Synchronous => None,
        Mode::Asynchronous => None,
    };
    results::of_run(&server, &session, &headers, &run, outcome.as_deref())
}

/// Runs the statements on a task of their own, so that they go on when the client goes away.
fn start(
    server: &Server,
    session: Arc<DriverSession>,
    query: Query,
    run: Arc<Run>,
    ending: Ending,
    slow: Slow,
) {
    let running = server.clone();
    server.statements.spawn(async move {
        let outcome = tokio::select! {
            // What has ended has ended, even if the client gave up at the same moment.
            biased;
            outcome = run_all(&running, &session, &query, &run, slow) => outcome,
            () = run.cancel.cancelled() => Outcome::Cancelled,
            limit = passed(time_limit(&session)) => Outcome::TimedOut(limit),
        };
        ending.send_replace(Some(Arc::new(outcome)));
    });
}

fn time_limit(session: &DriverSession) -> Option<std::time::Duration> {
    let context = session.context();
    let seconds = context.parameters.get("STATEMENT_TIMEOUT_IN_SECONDS")?;
    let seconds: u64 = seconds.parse().ok().filter(|seconds| *seconds > 0)?;
    Some(std::time::Duration::from_secs(seconds))
}

async fn run_all(
    server: &Server,
    session: &DriverSession,
    query: &Query,
    run: &Run,
    slow: Slow,
) -> Outcome {
    tokio::time::sleep(slow.0).await;
    let mut engine = session.engine.lock().await;
    let ended = statements(server, &mut engine, query, run).await;
    // Of several statements the first may have changed it, even if a later one failed.
    session.set_context(engine.context());
    ended.unwrap_or_else(Outcome::Failed)
}

async fn statements(
    server: &Server,
    session: &mut Session,
    query: &Query,
    run: &Run,
) -> Result<Outcome, SqlError> {
    let texts = Session::split(&query.sql_text)?;
    let wanted = wanted_count(session, query)?;
    if wanted != 0 && wanted != texts.len() && !texts.is_empty() {
        return Err(wrong_count(wanted, texts.len()));
    }
    let values = query.bindings.clone().unwrap_or_default();
    let (grid, children) = match texts.as_slice() {
        [] => {
            return Err(SqlError::new(
                "000900",
                "42601",
                "SQL compilation error:\nEmpty SQL statement.",
            ));
        }
        [text] if query.describe_only == Some(true) => {
            server.faults.count(|counters| counters.statements += 1);
            (described(session, text, values).await?, Vec::new())
        }
        [text] => {
            server.faults.count(|counters| counters.statements += 1);
            let grid = execute(session, text, &bindings(values)?).await?;
            (grid, Vec::new())
        }
        texts => {
            let mut children = Vec::with_capacity(texts.len());
            for text in texts {
                server.faults.count(|counters| counters.statements += 1);
                let grid = execute(session, text, &[Bindings::new()]).await?;
                children.push(server.drivers.runs.admit_child(run, result_set(grid)?));
            }
            (all_succeeded(), children)
        }
    };
    Ok(Outcome::Succeeded {
        result: result_set(grid)?,
        children,
    })
}

/// How many statements the request may hold; 0: any number. The request's parameter goes before the session's.
fn wanted_count(session: &Session, query: &Query) -> Result<usize, SqlError> {
    const NAME: &str = "MULTI_STATEMENT_COUNT";
    let sent = query.parameters.as_ref().and_then(|sent| sent.get(NAME));
    let text = match sent.and_then(body::parameter_text) {
        Some(text) => Some(text),
        None => session.context().parameters.get(NAME).cloned(),
    };
    let refuse = |_| {
        SqlError::new(
            "001006",
            "22023",
            format!("Invalid value for parameter '{NAME}'."),
        )
    };
    text.map_or(Ok(1), |text| text.parse().map_err(refuse))
}

/// Runs one statement, once for each set of values: all or nothing. Without AUTOCOMMIT the first change of data begins a
/// transaction.
async fn execute(session: &mut Session, text: &str, sets: &[Bindings]) -> Result<Grid, SqlError> {
    let kind = Session::kind(text);
    let commits = answer::autocommits(&session.context());
    // An INSERT of many sets is one statement to the engine.
    let one_by_one = sets.len() != 1 && kind != StatementKind::Insert;
    let begins = !session.in_transaction() && (one_by_one || (kind.changes_data() && !commits));
    if begins {
        session.execute("BEGIN", &Bindings::new()).await?;
    }
    let ended = if one_by_one {
        each(session, text, sets).await
    } else {
        session.execute_batch(text, sets).await
    };
    if begins && one_by_one {
        match &ended {
            Ok(_) if commits => session.execute("COMMIT", &Bindings::new()).await?,
            Err(_) => session.execute("ROLLBACK", &Bindings::new()).await?,
            Ok(_) => return ended,
        };
    }
    ended
}

/// What the statement's result will look like. A query is run for that; anything else is not.
async fn described(
    session: &mut Session,
    text: &str,
    values: BTreeMap<String, Value>,
) -> Result<Grid, SqlError> {
    let kind = Session::kind(text);
    let mut grid = if kind == StatementKind::Select {
        execute(session, text, &bindings(values)?).await?
    } else {
        all_succeeded()
    };
    grid.kind = kind;
    grid.rows.clear();
    Ok(grid)
}

/// One grid with the counts of all.
async fn each(session: &mut Session, text: &str, sets: &[Bindings]) -> Result<Grid, SqlError> {
    let mut whole: Option<Grid> = None;
    for set in sets {
        let grid = session.execute(text, set).await?;
        match &mut whole {
            None => whole = Some(grid),
            Some(whole) => add_counts(whole, &grid),
        }
    }
    whole.ok_or_else(|| {
        SqlError::new(
            "002099",
            "42601",
            "SQL compilation error:\nNo rows to bind.",
        )
    })
}

fn add_counts(whole: &mut Grid, grid: &Grid) {
    let (Some(sums), Some(counts)) = (whole.rows.first_mut(), grid.rows.first()) else {
        return;
    };
    for (sum, count) in sums.iter_mut().zip(counts) {
        let number = |cell: &Option<String>| cell.as_ref()?.parse::<u64>().ok();
        if let (Some(one), Some(other)) = (number(sum), number(count)) {
            *sum = Some((one + other).to_string());
        }
    }
}

/// The grid in the drivers' encoding: booleans are `1` and `0`.
fn result_set(mut grid: Grid) -> Result<ResultSet, SqlError> {
    for (index, column) in grid.columns.iter().enumerate() {
        if column.type_ != "boolean" {
            continue;
        }
        for row in &mut grid.rows {
            if let Some(Some(cell)) = row.get_mut(index) {
                *cell = if cell == "true" { "1" } else { "0" }.to_owned();
            }
        }
    }
    ResultSet::new(grid, Nulls::Null).map_err(|error| {
        SqlError::new(
            "000603",
            "XX000",
            format!("SQL execution internal error: the result cannot be encoded: {error}"),
        )
    })
}
