//! How a statement ended in, the answer that a driver reads out. Failures are HTTP 200 too.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::sessions::TokenFault;
use crate::engine::{SessionContext, SqlError, StatementKind};
use crate::server::answer::{ColumnBody, cancelled, timed_out};
use crate::server::result::ResultSet;
use crate::server::runs::{Mode, Outcome, Run};

/// What a statement's answer needs beside its outcome.
pub(super) struct Surroundings<'a> {
    /// Of the session that asks.
    pub(super) context: &'a SessionContext,
    /// `http://<host>`, as the client reaches this server.
    pub(super) origin: &'a str,
    /// Looks up the kinds of a request's several statements.
    pub(super) kind_of: &'a dyn Fn(&str) -> StatementKind,
}

/// An answer without a result.
pub(super) fn success(data: &Value) -> Response {
    Json(json!({"data": data, "code": null, "message": null, "success": true})).into_response()
}

pub(super) fn token_fault(fault: TokenFault) -> Response {
    let (code, message) = fault.code_and_message();
    failure(&SqlError::new(code, "08001", message), None)
}

/// An error, of the statement with this handle if there was one.
pub(super) fn failure(error: &SqlError, handle: Option<&str>) -> Response {
    let body = json!({
        "data": {
            "internalError": false,
            "errorCode": error.code,
            "age": 0,
            "sqlState": error.sql_state,
            "queryId": handle,
            "line": -1,
            "pos": -1,
            "type": "COMPILATION",
        },
        "code": error.code,
        "message": error.message,
        "success": false,
        "headers": null,
    });
    Json(body).into_response()
}

/// The answer about a run that has ended, or that the client has waited for long enough.
pub(super) fn to_run(run: &Run, outcome: Option<&Outcome>, around: &Surroundings<'_>) -> Response {
    match outcome {
        None => in_progress(run),
        Some(Outcome::Succeeded { result, children }) => {
            success(&result_data(run, result, children, around))
        }
        Some(Outcome::Failed(error)) => failure(error, Some(&run.handle)),
        Some(Outcome::TimedOut(limit)) => failure(&timed_out(limit.as_secs()), Some(&run.handle)),
        Some(Outcome::Cancelled) => failure(&cancelled(), Some(&run.handle)),
    }
}

/// The driver goes on asking at `getResultUrl`, or comes back later when it did not want to wait.
fn in_progress(run: &Run) -> Response {
    let (code, message) = match run.mode {
        Mode::Synchronous => ("333333", "Query execution in progress."),
        Mode::Asynchronous => ("333334", "Asynchronous execution in progress."),
    };
    let body = json!({
        "data": {
            "queryId": run.handle,
            "getResultUrl": format!("/queries/{}/result", run.handle),
            "queryAbortsAfterSecs": 300,
            "progressDesc": null,
        },
        "code": code,
        "message": message,
        "success": true,
    });
    Json(body).into_response()
}

fn result_data(
    run: &Run,
    result: &ResultSet,
    children: &[String],
    around: &Surroundings<'_>,
) -> Value {
    let context = around.context;
    let columns: Vec<ColumnBody<'_>> = result.columns.iter().map(ColumnBody::of).collect();
    let mut data = json!({
        "parameters": parameters(context),
        "rowtype": columns,
        "rowset": result.partitions[0].data,
        "total": result.rows(),
        "returned": result.rows(),
        "queryId": run.handle,
        "finalDatabaseName": context.database,
        "finalSchemaName": context.schema,
        "finalWarehouseName": context.warehouse,
        "finalRoleName": context.role,
        "numberOfBinds": 0,
        "arrayBindSupported": result.kind == StatementKind::Insert,
        "statementTypeId": type_id(result.kind),
        "version": 1,
        "queryResultFormat": "json",
    });
    if result.partitions.len() > 1 {
        let chunks = result.partitions.iter().enumerate().skip(1);
        let chunks: Vec<Value> = chunks
            .map(|(number, partition)| {
                json!({
                    "url": format!("{}/queries/{}/chunks/{number}", around.origin, run.handle),
                    "rowCount": partition.rows,
                    "uncompressedSize": partition.uncompressed_bytes,
                    "compressedSize": partition.uncompressed_bytes,
                })
            })
            .collect();
        data["chunks"] = chunks.into();
        data["chunkHeaders"] = json!({});
    }
    if !children.is_empty() {
        let kinds = children.iter().map(|child| (around.kind_of)(child));
        let types: Vec<String> = kinds.map(|kind| type_id(kind).to_string()).collect();
        data["resultIds"] = children.join(",").into();
        data["resultTypes"] = types.join(",").into();
        data["statementTypeId"] = MULTI_STATEMENT.into();
    }
    data
}

/// Several statements in one request.
const MULTI_STATEMENT: u32 = 0xA000;

/// By this number drivers tell rows from counts of rows.
pub(super) fn type_id(kind: StatementKind) -> u32 {
    match kind {
        StatementKind::Select => 0x1000,
        StatementKind::Insert => 0x3100,
        StatementKind::Update => 0x3200,
        StatementKind::Delete => 0x3300,
        StatementKind::Merge => 0x3400,
        StatementKind::Begin | StatementKind::Commit | StatementKind::Rollback => 0x5000,
        StatementKind::Ddl | StatementKind::Grant | StatementKind::Truncate => 0x6000,
        _ => 0x4000,
    }
}

/// The session parameters that drivers read.
pub(super) fn parameters(context: &SessionContext) -> Value {
    let set = |name: &str| context.parameters.get(name).map(String::as_str);
    json!([
        {"name": "AUTOCOMMIT", "value": autocommits(context)},
        {"name": "TIMEZONE", "value": set("TIMEZONE").unwrap_or("UTC")},
        {"name": "CLIENT_TELEMETRY_ENABLED", "value": false},
        {"name": "CLIENT_SESSION_KEEP_ALIVE", "value": false},
        {"name": "CLIENT_SESSION_KEEP_ALIVE_HEARTBEAT_FREQUENCY", "value": 3600},
        {"name": "CLIENT_PREFETCH_THREADS", "value": 4},
        // So many that no driver uploads bound values by way of a stage.
        {"name": "CLIENT_STAGE_ARRAY_BINDING_THRESHOLD", "value": 1_000_000_000},
        {"name": "TIMESTAMP_TYPE_MAPPING", "value": "TIMESTAMP_NTZ"},
        {"name": "BINARY_OUTPUT_FORMAT", "value": "HEX"},
        {"name": "PYTHON_CONNECTOR_QUERY_RESULT_FORMAT", "value": "JSON"},
    ])
}

/// Whether a statement outside of BEGIN and COMMIT commits by itself.
pub(super) fn autocommits(context: &SessionContext) -> bool {
    let set = context.parameters.get("AUTOCOMMIT");
    !set.is_some_and(|value| value.eq_ignore_ascii_case("false") || value == "0")
}
