//! A run and how it ended in, the response that the SQL API would give out.

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderValue, Response as HttpResponse, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::refusal::Refusal;
use super::result::{Partition, ResultSet};
use super::runs::{Mode, Outcome, Run};
use crate::engine::{GridColumn, SqlError, Stats};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Success<'a> {
    result_set_meta_data: MetaData<'a>,
    data: &'a RawValue,
    code: &'static str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    statement_handles: &'a [String],
    statement_status_url: String,
    request_id: &'a str,
    sql_state: &'static str,
    statement_handle: &'a str,
    message: &'static str,
    created_on: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<StatsBody>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MetaData<'a> {
    num_rows: usize,
    format: &'static str,
    partition_info: Vec<PartitionInfo>,
    row_type: Vec<ColumnBody<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PartitionInfo {
    row_count: usize,
    uncompressed_size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    compressed_size: Option<usize>,
}

/// The answer to the POST that sent the run, once it ended or the client has waited long enough.
pub(super) fn to_post(run: &Run, outcome: Option<&Outcome>) -> Response {
    match outcome {
        None => in_progress(run),
        Some(Outcome::Succeeded { result, children }) => first_partition(run, result, children),
        Some(Outcome::Failed(error)) => failure(StatusCode::UNPROCESSABLE_ENTITY, run, error),
        Some(Outcome::TimedOut(limit)) => failure(
            StatusCode::REQUEST_TIMEOUT,
            run,
            &timed_out(limit.as_secs()),
        ),
        Some(Outcome::Cancelled) => failure(StatusCode::UNPROCESSABLE_ENTITY, run, &cancelled()),
    }
}

/// The answer to a GET of the run's handle.
pub(super) fn to_get(run: &Run, outcome: Option<&Outcome>, partition: Option<&str>) -> Response {
    match outcome {
        Some(Outcome::Succeeded { result, children }) => match chosen(run, result, partition) {
            Ok(0) => first_partition(run, result, children),
            Ok(number) => later_partition(run, result, number),
            Err(refusal) => refusal.into_response(),
        },
        // The service leaves out state and handle for what went wrong while an asynchronous statement ran.
        Some(Outcome::Failed(error))
            if run.mode == Mode::Asynchronous && !is_compile_error(error) =>
        {
            let body = json!({"code": error.code, "message": error.message});
            (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
        }
        Some(Outcome::TimedOut(limit)) => failure(
            StatusCode::UNPROCESSABLE_ENTITY,
            run,
            &timed_out(limit.as_secs()),
        ),
        None | Some(Outcome::Failed(_) | Outcome::Cancelled) => to_post(run, outcome),
    }
}

/// The answer to a cancel of a run that has ended by now, or not yet.
pub(super) fn to_cancel(run: &Run, outcome: Option<&Outcome>) -> Response {
    let ended_otherwise = matches!(
        outcome,
        Some(Outcome::Succeeded { .. } | Outcome::Failed(_) | Outcome::TimedOut(_))
    );
    let (status, code, state, message) = if ended_otherwise {
        (
            StatusCode::UNPROCESSABLE_ENTITY,
            "000605",
            "57014",
            "Identified SQL statement is not currently executing.",
        )
    } else {
        (StatusCode::OK, "000604", "57014", "SQL execution canceled")
    };
    let body = json!({
        "code": code,
        "sqlState": state,
        "message": message,
        "statementHandle": run.handle,
        // Without the version, as recorded.
        "statementStatusUrl": format!("/api/statements/{}", run.handle),
    });
    (status, Json(body)).into_response()
}

fn in_progress(run: &Run) -> Response {
    let body = json!({
        "code": "333334",
        "message": "Asynchronous execution in progress. Use provided query id to perform query monitoring and management.",
        "statementHandle": run.handle,
        "statementStatusUrl": format!("/api/v2/statements/{}", run.handle),
    });
    (StatusCode::ACCEPTED, Json(body)).into_response()
}

fn failure(status: StatusCode, run: &Run, error: &SqlError) -> Response {
    let body = json!({
        "code": error.code,
        "message": error.message,
        "sqlState": error.sql_state,
        "statementHandle": run.handle,
    });
    (status, Json(body)).into_response()
}

pub(super) fn timed_out(seconds: u64) -> SqlError {
    SqlError {
        code: "000630".to_owned(),
        sql_state: "57014".to_owned(),
        message: format!(
            "Statement reached its statement or warehouse timeout of {seconds} second(s) and was canceled."
        ),
    }
}

pub(super) fn cancelled() -> SqlError {
    SqlError {
        code: "000604".to_owned(),
        sql_state: "57014".to_owned(),
        message: "SQL execution canceled".to_owned(),
    }
}

fn is_compile_error(error: &SqlError) -> bool {
    error.message.starts_with("SQL compilation error")
}

fn chosen(run: &Run, result: &ResultSet, partition: Option<&str>) -> Result<usize, Refusal> {
    let Some(asked) = partition else { return Ok(0) };
    let number = asked
        .parse()
        .ok()
        .filter(|number| *number < result.partitions.len());
    number.ok_or_else(|| Refusal::WrongPartition {
        handle: run.handle.clone(),
        asked: asked.to_owned(),
        last: result.partitions.len() - 1,
    })
}

fn first_partition(run: &Run, result: &ResultSet, children: &[String]) -> Response {
    let body = Success {
        result_set_meta_data: MetaData {
            num_rows: result.rows(),
            format: "jsonv2",
            partition_info: result.partitions.iter().map(PartitionInfo::of).collect(),
            row_type: result.columns.iter().map(ColumnBody::of).collect(),
        },
        data: &result.partitions[0].data,
        code: "090001",
        statement_handles: children,
        statement_status_url: format!(
            "/api/v2/statements/{}?requestId={}",
            run.handle, run.request_id
        ),
        request_id: &run.request_id,
        sql_state: "00000",
        statement_handle: &run.handle,
        message: "Statement executed successfully.",
        created_on: run.created_on,
        stats: result.stats.as_ref().and_then(StatsBody::of),
    };
    let mut response = Json(body).into_response();
    add_links(&mut response, run, 0, result.partitions.len() - 1);
    response
}

fn later_partition(run: &Run, result: &ResultSet, number: usize) -> Response {
    let compressed = result.partitions[number]
        .compressed
        .clone()
        .expect("one of several partitions is compressed");
    let mut response = HttpResponse::new(Body::from(compressed));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    add_links(&mut response, run, number, result.partitions.len() - 1);
    response
}

/// Each link carries a request id of its own, as recorded.
fn add_links(response: &mut Response, run: &Run, current: usize, last: usize) {
    let link = |partition: usize, relation: &str| {
        let (handle, request) = (&run.handle, Uuid::new_v4());
        format!(
            "</api/v2/statements/{handle}?requestId={request}&partition={partition}>; rel=\"{relation}\""
        )
    };
    let mut links = vec![link(0, "first")];
    if current > 0 {
        links.push(link(current - 1, "prev"));
    }
    if current < last {
        links.push(link(current + 1, "next"));
    }
    links.push(link(last, "last"));
    let value =
        HeaderValue::from_str(&links.join(",")).expect("handles and numbers make a header value");
    response.headers_mut().insert(header::LINK, value);
}

impl PartitionInfo {
    fn of(partition: &Partition) -> Self {
        Self {
            row_count: partition.rows,
            uncompressed_size: partition.uncompressed_bytes,
            compressed_size: partition.compressed.as_ref().map(Vec::len),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ColumnBody<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ext_type_name: Option<&'a str>,
    database: &'a str,
    schema: &'a str,
    table: &'a str,
    /// Columns with a collation are not offered here.
    collation: Option<&'a str>,
    precision: Option<i64>,
    scale: Option<i64>,
    nullable: bool,
    byte_length: Option<i64>,
    length: Option<i64>,
    r#type: &'a str,
}

impl<'a> ColumnBody<'a> {
    pub(super) fn of(column: &'a GridColumn) -> Self {
        Self {
            name: &column.name,
            ext_type_name: column.extended_type.as_deref(),
            database: &column.database,
            schema: &column.schema,
            table: &column.table,
            collation: None,
            precision: column.precision,
            scale: column.scale,
            nullable: column.nullable,
            byte_length: column.byte_length,
            length: column.length,
            r#type: &column.type_,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatsBody {
    num_rows_inserted: u64,
    num_rows_deleted: u64,
    num_rows_updated: u64,
    num_dml_duplicates: u64,
}

impl StatsBody {
    /// A statement that changed no row has no stats.
    fn of(stats: &Stats) -> Option<Self> {
        (*stats != Stats::default()).then_some(Self {
            num_rows_inserted: stats.rows_inserted,
            num_rows_deleted: stats.rows_deleted,
            num_rows_updated: stats.rows_updated,
            num_dml_duplicates: stats.duplicates,
        })
    }
}
