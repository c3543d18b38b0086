//! A submission in, its outcome out. Each has a session of its own, which is dropped, and so rolled back, at its end.

use std::io;
use std::time::Duration;

use super::Server;
use super::bindings::bindings;
use super::faults::Slow;
use super::receipts::Ledger;
use super::result::ResultSet;
use super::runs::{Outcome, Run};
use super::submission::{StatementCount, Submission};
use crate::engine::{Bindings, Grid, GridColumn, Session, SessionContext, SqlError, StatementKind};

/// Runs a submission to its end, its time limit or its cancellation, whichever is first.
pub(super) async fn execute(
    server: &Server,
    submission: Submission,
    ledger: Ledger,
    slow: Slow,
) -> Outcome {
    let (limit, run) = (submission.timeout, ledger.run());
    let work = async {
        tokio::time::sleep(slow.0).await;
        statements(server, submission, ledger).await
    };
    tokio::select! {
        // What has ended has ended, even if the client gave up at the same moment.
        biased;
        ended = work => ended.unwrap_or_else(Outcome::Failed),
        () = run.cancel.cancelled() => Outcome::Cancelled,
        limit = passed(limit) => Outcome::TimedOut(limit),
    }
}

pub(super) async fn passed(limit: Option<Duration>) -> Duration {
    match limit {
        Some(limit) => {
            tokio::time::sleep(limit).await;
            limit
        }
        None => std::future::pending().await,
    }
}

async fn statements(
    server: &Server,
    submission: Submission,
    mut ledger: Ledger,
) -> Result<Outcome, SqlError> {
    let run = &ledger.run();
    let texts = Session::split(&submission.statement)?;
    if let StatementCount::Exactly(wanted) = submission.count
        && wanted != texts.len()
    {
        return Err(wrong_count(wanted, texts.len()));
    }
    let mut session = server.engine.session(SessionContext {
        user: run.user.clone(),
        role: submission.role,
        database: submission.database,
        schema: submission.schema,
        warehouse: submission.warehouse,
        parameters: submission.parameters,
    })?;
    match texts.as_slice() {
        [] => Err(SqlError::new(
            "000900",
            "42601",
            "SQL compilation error:\nEmpty SQL statement.",
        )),
        [text] => {
            refuse(refused_alone(text).or_else(|| refused_always(text)))?;
            let bindings = bindings(submission.bindings)?;
            server.faults.count(|counters| counters.statements += 1);
            let grid = ledger.execute(&mut session, 0, text, &bindings).await?;
            Ok(Outcome::Succeeded {
                result: result_set(grid, run)?,
                children: Vec::new(),
            })
        }
        texts if submission.bindings.is_empty() => {
            several(&mut session, &submission.statement, texts, ledger, server).await
        }
        _ => Err(SqlError::new(
            "000002",
            "0A000",
            "Unsupported feature 'bindings with several statements'.",
        )),
    }
}

pub(super) fn wrong_count(wanted: usize, actual: usize) -> SqlError {
    let message = format!(
        "Actual statement count {actual} did not match the desired statement count {wanted}."
    );
    SqlError::new("000008", "0A000", message)
}

/// Runs the statements in order up to the first that fails. What was committed by then stays.
async fn several(
    session: &mut Session,
    request: &str,
    texts: &[String],
    mut ledger: Ledger,
    server: &Server,
) -> Result<Outcome, SqlError> {
    let run = &ledger.run();
    let mut children = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let ended = match refuse(refused_always(text)) {
            Ok(()) => {
                server.faults.count(|counters| counters.statements += 1);
                ledger
                    .execute(session, index, text, &[Bindings::new()])
                    .await
            }
            Err(error) => Err(error),
        };
        let grid = ended.map_err(|error| child_failed(request, text, &error))?;
        children.push(server.runs.admit_child(run, result_set(grid, run)?));
    }
    Ok(Outcome::Succeeded {
        result: result_set(all_succeeded(), run)?,
        children,
    })
}

fn result_set(grid: Grid, run: &Run) -> Result<ResultSet, SqlError> {
    ResultSet::new(grid, run.nulls).map_err(|error| unencodable(&error))
}

fn unencodable(error: &io::Error) -> SqlError {
    SqlError::new(
        "000603",
        "XX000",
        format!("SQL execution internal error: the result cannot be encoded: {error}"),
    )
}

fn refuse(command: Option<&str>) -> Result<(), SqlError> {
    match command {
        None => Ok(()),
        Some(command) => Err(SqlError::new(
            "391911",
            "0A000",
            format!("Command not supported by SQL API: {command}"),
        )),
    }
}

/// Commands without a meaning where each request is a session of its own.
fn refused_alone(text: &str) -> Option<&'static str> {
    match Session::kind(text) {
        StatementKind::Begin => Some("TRANSACTION_BEGIN"),
        StatementKind::Commit => Some("TRANSACTION_COMMIT"),
        StatementKind::Rollback => Some("TRANSACTION_ROLLBACK"),
        StatementKind::Use => Some("USE"),
        _ => None,
    }
}

/// Commands that move files between a client and a stage take a driver.
fn refused_always(text: &str) -> Option<&'static str> {
    match Session::kind(text) {
        StatementKind::Put => Some("PUT"),
        StatementKind::Get => Some("GET"),
        _ => None,
    }
}

/// The parent's error names the statement and where it stands in the request.
fn child_failed(request: &str, text: &str, error: &SqlError) -> SqlError {
    let before = request.find(text).map_or("", |at| &request[..at]);
    let line = before.matches('\n').count() + 1;
    let position = before.len() - before.rfind('\n').map_or(0, |at| at + 1);
    let message = format!(
        "JavaScript execution error: Uncaught Execution of multiple statements failed on statement \"{text}\" (at line \
         {line}, position {position}).\n{} in SYSTEM$MULTISTMT",
        error.message
    );
    SqlError::new("100132", "P0000", message)
}

/// The grid of a request of several statements that all succeeded.
pub(super) fn all_succeeded() -> Grid {
    const TEXT_LENGTH: i64 = 134_217_728;
    let column = GridColumn {
        name: "multiple statement execution".to_owned(),
        database: String::new(),
        schema: String::new(),
        table: String::new(),
        type_: "text".to_owned(),
        extended_type: None,
        precision: None,
        scale: None,
        length: Some(TEXT_LENGTH),
        byte_length: Some(TEXT_LENGTH),
        nullable: false,
    };
    Grid {
        columns: vec![column],
        rows: vec![vec![Some(
            "Multiple statements executed successfully.".to_owned(),
        )]],
        stats: None,
        kind: StatementKind::Other,
    }
}
