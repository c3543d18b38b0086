//! `/admin/faults`: rules and counters for tests in other languages. Off unless asked for: whoever reaches it may run SQL.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Fault, WrongFault};
use crate::server::Server;

/// `GET`, `POST` and `DELETE /admin/faults`, `DELETE /admin/faults/{id}`.
pub(in crate::server) fn routes() -> Router<Server> {
    Router::new()
        .route("/admin/faults", get(read).post(add).delete(clear))
        .route("/admin/faults/{id}", delete(remove))
}

/// The body of a POST.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Rules, as `--fault` takes them.
    faults: Vec<String>,
    /// As `--fault-seed`.
    seed: Option<u64>,
}

async fn read(State(server): State<Server>) -> Json<Value> {
    let rules = server.faults.rules();
    let rules: Vec<Value> = rules
        .iter()
        .map(|rule| {
            json!({"id": rule.id, "fault": rule.fault.to_string(), "seen": rule.seen, "struck": rule.struck})
        })
        .collect();
    let counters = server.faults.counters();
    let requests: BTreeMap<&str, u64> = counters
        .requests
        .iter()
        .map(|(step, count)| (step.name(), *count))
        .collect();
    Json(json!({
        "faults": rules,
        "requests": requests,
        "other_requests": counters.other_requests,
        "statements": counters.statements,
        "bytes_staged": counters.bytes_staged,
        "panics": counters.panics,
    }))
}

/// All of the rules are added, or, when one is wrong, none.
async fn add(State(server): State<Server>, body: Bytes) -> Response {
    let wanted: Wanted = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => {
            let hint = r#"send {"faults": ["429@submit=1"], "seed": 7}; the seed may be left out"#;
            return wrong(&error.to_string(), hint);
        }
    };
    let faults: Result<Vec<Fault>, WrongFault> =
        wanted.faults.iter().map(|text| text.parse()).collect();
    match faults {
        Err(error) => wrong(&error.to_string(), WrongFault::hint()),
        Ok(faults) => {
            if let Some(seed) = wanted.seed {
                server.faults.set_seed(seed);
            }
            let added = faults.into_iter().map(|fault| server.faults.add(fault));
            Json(json!({"added": added.collect::<Vec<u64>>()})).into_response()
        }
    }
}

async fn clear(State(server): State<Server>) -> StatusCode {
    server.faults.clear();
    StatusCode::NO_CONTENT
}

async fn remove(State(server): State<Server>, Path(id): Path<u64>) -> StatusCode {
    if server.faults.remove(id) {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::NOT_FOUND
    }
}

fn wrong(error: &str, hint: &str) -> Response {
    let body = json!({"error": error, "hint": hint});
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}
