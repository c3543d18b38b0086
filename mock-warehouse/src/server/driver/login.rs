//! A signed token in, a session out; then its renewal, heartbeat and end.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, parameters};
use super::body::{self, Login, LoginData, LoginQuery};
use super::sessions::{DriverSession, IDLE_LIMIT, TokenFault, Tokens};
use crate::engine::{Bindings, Session, SessionContext, SqlError};
use crate::server::faults::Moment;
use crate::server::refusal::Refusal;
use crate::server::{Server, auth};

/// `POST /session/v1/login-request`
pub(super) async fn log_in(
    State(server): State<Server>,
    now: Moment,
    Query(query): Query<LoginQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(Login { data }) = body::read(&headers, &body) else {
        return refused(&Refusal::InvalidPayload.body());
    };
    let user = match authenticated(&server, &data, now) {
        Ok(user) => user,
        Err(body) => return refused(&body),
    };
    match session(&server, &user, query, data.session_parameters).await {
        Ok(session) => {
            let tokens = server.drivers.sessions.open(user, session);
            Json(welcome(&tokens)).into_response()
        }
        Err(error) => answer::failure(&error, None),
    }
}

/// The login name of who signed the token; otherwise the body that says why not.
fn authenticated(server: &Server, data: &LoginData, now: Moment) -> Result<String, Value> {
    let is_key_pair = data
        .authenticator
        .as_deref()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("SNOWFLAKE_JWT"));
    let Some(token) = data.token.as_deref().filter(|_| is_key_pair) else {
        return Err(json!({"code": "390100", "message":
            "Incorrect username or password was specified. This server takes key-pair authentication only."}));
    };
    let user = auth::verify(token, &server.account, &server.engine, now).map_err(Refusal::body)?;
    match &data.login_name {
        Some(name) if !name.eq_ignore_ascii_case(&user.name) => Err(Refusal::InvalidToken.body()),
        _ => Ok(user.name),
    }
}

/// The answer to a request that never becomes a statement.
pub(in crate::server) fn refused(body: &Value) -> Response {
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    answer::failure(
        &SqlError::new(&text("code"), "08001", text("message")),
        None,
    )
}

/// A session that begins where the driver asks. A name that does not exist leaves nothing current, as in the service.
async fn session(
    server: &Server,
    user: &str,
    query: LoginQuery,
    parameters: BTreeMap<String, Value>,
) -> Result<Session, SqlError> {
    let parameters = parameters.iter().filter_map(|(name, value)| {
        Some((name.to_ascii_uppercase(), body::parameter_text(value)?))
    });
    let mut session = server.engine.session(SessionContext {
        user: user.to_owned(),
        role: query.role_name,
        parameters: parameters.collect(),
        ..SessionContext::default()
    })?;
    let places = [
        ("WAREHOUSE", query.warehouse),
        ("DATABASE", query.database_name),
        ("SCHEMA", query.schema_name),
    ];
    for (kind, name) in places {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            continue;
        };
        let statement = format!("USE {kind} {name}");
        if let Err(error) = session.execute(&statement, &Bindings::new()).await {
            tracing::debug!(kind, %error, "a session begins without what it asks for");
        }
    }
    Ok(session)
}

fn welcome(tokens: &Tokens) -> Value {
    let context = tokens.session.context();
    json!({
        "data": {
            "token": tokens.session_token,
            "masterToken": tokens.master_token,
            "validityInSeconds": tokens.validity.as_secs(),
            "masterValidityInSeconds": IDLE_LIMIT.as_secs(),
            "displayUserName": tokens.session.user,
            "serverVersion": env!("CARGO_PKG_VERSION"),
            "firstLogin": false,
            "remMeToken": null,
            "remMeValidityInSeconds": 0,
            "healthCheckInterval": 45,
            "sessionId": tokens.session.id,
            "parameters": parameters(&context),
            "sessionInfo": {
                "databaseName": context.database,
                "schemaName": context.schema,
                "warehouseName": context.warehouse,
                "roleName": context.role,
            },
        },
        "code": null,
        "message": null,
        "success": true,
    })
}

/// `POST /session/token-request`: the header carries the master token.
pub(super) async fn renew(State(server): State<Server>, headers: HeaderMap) -> Response {
    let token = body::token(&headers).unwrap_or_default();
    match server.drivers.sessions.renew(token) {
        Ok(tokens) => {
            let data = json!({
                "sessionToken": tokens.session_token,
                "validityInSecondsST": tokens.validity.as_secs(),
                "masterToken": tokens.master_token,
                "validityInSecondsMT": IDLE_LIMIT.as_secs(),
                "sessionId": tokens.session.id,
            });
            answer::success(&data)
        }
        Err(fault) => answer::token_fault(fault),
    }
}

/// `POST /session/heartbeat`
pub(super) async fn heartbeat(_: Caller) -> Response {
    answer::success(&Value::Null)
}

#[derive(Debug, Deserialize)]
pub(super) struct CloseQuery {
    delete: Option<bool>,
}

/// `POST /session?delete=true`
pub(super) async fn close(
    State(server): State<Server>,
    Query(query): Query<CloseQuery>,
    headers: HeaderMap,
) -> Response {
    if query.delete != Some(true) {
        return refused(&Refusal::InvalidPayload.body());
    }
    let token = body::token(&headers).unwrap_or_default();
    match server.drivers.sessions.close(token) {
        Ok(()) => answer::success(&Value::Null),
        Err(fault) => answer::token_fault(fault),
    }
}

/// The session whose token the request carries; without one the request is answered with why not.
pub(super) struct Caller(pub(super) Arc<DriverSession>);

impl FromRequestParts<Server> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Result<Self, Response> {
        let token = body::token(&parts.headers).ok_or(TokenFault::SessionOver);
        token
            .and_then(|token| server.drivers.sessions.find(token))
            .map(Self)
            .map_err(answer::token_fault)
    }
}
