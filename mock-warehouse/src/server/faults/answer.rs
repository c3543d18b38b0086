//! What clients see of a fault.

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{FaultKind, Step};
use crate::server::connection::{Connection, Cut};
use crate::server::driver;
use crate::server::refusal::Refusal;

/// A refusal by status: as S3 words it at the stage, as Snowflake words its 429, and otherwise as a gateway in between
/// would.
pub(super) fn status(step: Step, api: bool, status: u16, retry_after: Option<u64>) -> Response {
    let code = StatusCode::from_u16(status).expect("a fault's status is one of a few");
    let mut response = match status {
        500 if step.is_of_the_stage() => of_stage(
            "InternalError",
            "We encountered an internal error. Please try again.",
        ),
        503 if step.is_of_the_stage() => of_stage("SlowDown", "Please reduce your request rate."),
        429 if api => {
            Json(json!({"code": "390505", "message": "Too many requests."})).into_response()
        }
        _ => {
            let page = format!("<html><body><h1>{code}</h1></body></html>");
            ([(header::CONTENT_TYPE, "text/html")], page).into_response()
        }
    };
    *response.status_mut() = code;
    if let Some(seconds) = retry_after {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn of_stage(code: &str, message: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    ([(header::CONTENT_TYPE, "application/xml")], body).into_response()
}

/// A fault that could not be made to happen: the test that asked for it has to know.
pub(super) fn impossible(fault: &FaultKind, reason: &str) -> Response {
    let message = format!(
        "the fault `{fault}` could not happen: {reason}\nhint: correct or remove the rule\n"
    );
    tracing::error!(%fault, reason, "a fault could not happen");
    (StatusCode::INTERNAL_SERVER_ERROR, message).into_response()
}

/// What a client with an expired JWT is told.
pub(super) fn token_refused(step: Step) -> Response {
    match step {
        Step::Login => driver::refused(&Refusal::InvalidToken.body()),
        _ => Refusal::InvalidToken.into_response(),
    }
}

/// The end of the connection. Where there is none, because a test calls the router itself, an empty 502.
pub(super) fn cut(connection: Option<&Connection>, cut: Cut) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    if let Some(connection) = connection {
        connection.cut(cut);
    }
    response
}
