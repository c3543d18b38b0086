//! Requests that never become a statement, and the answer that each gets.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use uuid::Uuid;

/// Why a request is turned away before anything runs.
#[derive(Debug)]
pub(super) enum Refusal {
    /// No `Authorization: Bearer`.
    NoToken,
    /// The bearer token is no JWT at all.
    MalformedToken,
    /// A JWT that names another account, an unknown user or key, has expired, or is not signed by that key.
    InvalidToken,
    /// The user does not have the role that the body asks for.
    RoleNotGranted(String),
    /// The body is not declared as JSON.
    NotJson,
    /// The body is no JSON object of the expected shape.
    InvalidPayload,
    /// There is no SQL in the body.
    EmptyStatement,
    /// No statement of this user has the handle.
    UnknownHandle(String),
    /// The result of `handle` has no such partition.
    WrongPartition {
        handle: String,
        asked: String,
        last: usize,
    },
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::MalformedToken | Self::InvalidToken => StatusCode::UNAUTHORIZED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// Code and message, and what else the SQL API says.
    pub(super) fn body(self) -> Value {
        match self {
            Self::NoToken => {
                json!({"code": "390146", "message": "Authorization token is missing."})
            }
            Self::MalformedToken => {
                json!({"code": "390144", "message": "JWT token is invalid. null"})
            }
            Self::InvalidToken => {
                json!({"code": "390144", "message": format!("JWT token is invalid. [{}]", Uuid::new_v4())})
            }
            Self::RoleNotGranted(role) => json!({"code": "390186", "message": format!(
                "Role '{role}' specified in the connect string is not granted to this user, or is not permitted for the \
                 credentials being used. Contact your local system administrator, or attempt to login with another \
                 role, e.g. PUBLIC.")}),
            Self::NotJson => {
                json!({"servlet": "com.sun.jersey.spi.container.servlet.ServletContainer-0", "message": "Bad Request", "url": "/api/v2/statements",
                "status": "400"})
            }
            Self::InvalidPayload => {
                json!({"code": "390142", "message": "Incoming request does not contain a valid payload."})
            }
            Self::EmptyStatement => {
                json!({"code": "000900", "message": "SQL compilation error:\nEmpty SQL statement.",
                "sqlState": "42601", "statementHandle": null})
            }
            Self::UnknownHandle(handle) => {
                json!({"code": "000709", "message": format!("Statement {handle} not found"),
                "sqlState": "02000", "statementHandle": handle})
            }
            Self::WrongPartition {
                handle,
                asked,
                last,
            } => json!({"code": "391922", "message": format!(
                "Invalid partition parameter. The partition must be long type parsable and between 0 and {last}, but \
                 '{asked}' is specified."), "sqlState": "22023", "statementHandle": handle}),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status(), Json(self.body())).into_response()
    }
}
