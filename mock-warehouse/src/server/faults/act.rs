//! The layer around all endpoints: what a request is for, what is to go wrong with it, and that it does.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use chrono::{TimeDelta, Utc};
use futures::{FutureExt, StreamExt};

use super::{FaultKind, Step, answer};
use crate::engine::{Bindings, Session};
use crate::server::connection::{Connection, Cut};
use crate::server::{Server, receipts};

/// What the server takes for the present while it answers a request: seconds since the epoch.
#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct Moment(pub(in crate::server) i64);

/// How much later than its request a statement begins; zero unless a fault says otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::server) struct Slow(pub(in crate::server) Duration);

/// How far off the server's clock is for this request, in seconds.
#[derive(Debug, Clone, Copy)]
struct Skew(i64);

impl<S: Sync> FromRequestParts<S> for Moment {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let skew = parts.extensions.get::<Skew>().map_or(0, |skew| skew.0);
        Ok(Self(Utc::now().timestamp().saturating_add(skew)))
    }
}

impl<S: Sync> FromRequestParts<S> for Slow {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get().copied().unwrap_or_default())
    }
}

/// Answers a request, with the faults that strike it.
pub(in crate::server) async fn act(
    State(server): State<Server>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(step) = step_of(request.method(), request.uri()) else {
        let path = request.uri().path();
        if path != "/health" && !path.starts_with("/admin/") {
            server.faults.count(|counters| counters.other_requests += 1);
        }
        return answered(&server, request, next).await;
    };
    let strikes = server.faults.strikes(step);
    let (mut skew, uri) = (0, request.uri().clone());
    for change in strikes.changes {
        match change {
            FaultKind::Clock(seconds) => skew += seconds,
            FaultKind::Slow(time) => {
                request.extensions_mut().insert(Slow(time));
            }
            other => {
                if let Err(reason) = apply(&server, &uri, &other).await {
                    // A fault that cannot be would let a test pass that has tested nothing.
                    return answer::impossible(&other, &reason);
                }
            }
        }
    }
    if skew != 0 {
        request.extensions_mut().insert(Skew(skew));
    }
    let mut response = match strikes.reply {
        None => staged(&server, step, request, next).await,
        Some(reply) => faulty(&server, step, reply, request, next).await,
    };
    // Clients learn from it that their clock and the server's differ.
    let date = (Utc::now() + TimeDelta::seconds(skew)).format("%a, %d %b %Y %H:%M:%S GMT");
    if skew != 0
        && let Ok(date) = HeaderValue::from_str(&date.to_string())
    {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

/// What a request is for; `None`: nothing that faults are for.
fn step_of(method: &Method, uri: &Uri) -> Option<Step> {
    let path = uri.path();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let is_later_part = || {
        let query = uri.query().unwrap_or_default();
        let number = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("partition="));
        number.is_some_and(|number| number != "0")
    };
    match parts.as_slice() {
        ["session", "v1", "login-request"] => Some(Step::Login),
        ["session", "token-request"] => Some(Step::Renew),
        ["queries", "v1", "query-request"] => Some(Step::Query),
        ["queries", _, "abort-request"] => Some(Step::Cancel),
        ["queries", _, "result"] => Some(Step::Poll),
        ["queries", _, "chunks", _] => Some(Step::Partition),
        ["api", "v2", "statements"] => Some(Step::Submit),
        ["api", "v2", "statements", _] if is_later_part() => Some(Step::Partition),
        ["api", "v2", "statements", _] => Some(Step::Poll),
        ["api", "v2", "statements", _, "cancel"] => Some(Step::Cancel),
        []
        | [
            "api" | "session" | "queries" | "monitoring" | "telemetry" | "health" | "admin",
            ..,
        ] => None,
        _ if matches!(*method, Method::GET | Method::HEAD) => Some(Step::Download),
        _ => Some(Step::Upload),
    }
}

/// A fault that changes something before the request is looked at; an error says why it cannot be.
async fn apply(server: &Server, uri: &Uri, change: &FaultKind) -> Result<(), String> {
    match change {
        FaultKind::Sql(statements) => {
            let mut session = server.engine.admin();
            for text in Session::split(statements).map_err(|error| error.to_string())? {
                let ended = session.execute(&text, &Bindings::new()).await;
                ended.map_err(|error| error.to_string())?;
            }
            Ok(())
        }
        FaultKind::Quota(warehouse) if !server.engine.use_up_quota(warehouse) => {
            Err(format!("there is no warehouse {warehouse}"))
        }
        FaultKind::Revoke(user) if !server.engine.revoke_keys(user) => {
            Err(format!("there is no user {user}"))
        }
        FaultKind::Quota(_) | FaultKind::Revoke(_) => Ok(()),
        FaultKind::Forget => {
            forget(server, uri);
            Ok(())
        }
        other => unreachable!("{other} changes nothing"),
    }
}

/// Forgets the statement that the path names by its handle, or the query by its request id.
fn forget(server: &Server, uri: &Uri) {
    for part in uri.path().split('/') {
        server.runs.forget(part);
        server.drivers.forget(part);
    }
    let pairs = uri.query().unwrap_or_default().split('&');
    let request_ids = pairs.filter_map(|pair| pair.strip_prefix("requestId="));
    for id in request_ids {
        server.runs.forget_request(id);
        receipts::forget(server, id);
        server.drivers.forget_request(id);
    }
}

/// A request that meets a fault instead of its answer, or with it.
async fn faulty(
    server: &Server,
    step: Step,
    fault: FaultKind,
    request: Request,
    next: Next,
) -> Response {
    let connection = request
        .extensions()
        .get::<ConnectInfo<Connection>>()
        .map(|info| info.0.clone());
    match fault {
        FaultKind::Status(status, after) => {
            let api = request.uri().path().starts_with("/api/");
            // A client that still sends would see a broken connection, not the answer.
            request
                .into_body()
                .into_data_stream()
                .for_each(async |_| ())
                .await;
            answer::status(step, api, status, after)
        }
        FaultKind::Expire => expired(server, step, request, next).await,
        FaultKind::Reset => answer::cut(connection.as_ref(), Cut::Reset),
        FaultKind::ResetAfter => {
            staged(server, step, request, next).await;
            answer::cut(connection.as_ref(), Cut::Reset)
        }
        FaultKind::DropReply => {
            staged(server, step, request, next).await;
            answer::cut(connection.as_ref(), Cut::Close)
        }
        FaultKind::Delay(time) => {
            let response = staged(server, step, request, next).await;
            tokio::time::sleep(time).await;
            response
        }
        other => unreachable!("{other} is no reply"),
    }
}

/// Credentials that are kept here expire in earnest; a signed token is refused this once.
async fn expired(server: &Server, step: Step, request: Request, next: Next) -> Response {
    if step.is_of_the_stage() {
        server.stage_keys.expire(request.headers());
        return staged(server, step, request, next).await;
    }
    if step == Step::Login || request.uri().path().starts_with("/api/") {
        return answer::token_refused(step);
    }
    server.drivers.expire(request.headers());
    answered(server, request, next).await
}

/// Answers, and counts what has come to a stage.
async fn staged(server: &Server, step: Step, request: Request, next: Next) -> Response {
    let sent = match *request.method() {
        Method::PUT if step == Step::Upload => length(request.headers()),
        _ => 0,
    };
    let response = answered(server, request, next).await;
    if response.status().is_success() {
        server
            .faults
            .count(|counters| counters.bytes_staged += sent);
    }
    response
}

/// A body that is sent in signed chunks says elsewhere how long it is without the signatures.
fn length(headers: &HeaderMap) -> u64 {
    let of = |name: &str| headers.get(name)?.to_str().ok()?.parse().ok();
    of("x-amz-decoded-content-length")
        .or_else(|| of("content-length"))
        .unwrap_or(0)
}

/// Answers. A handler that panics would leave the client without a reply, and nobody would know why.
async fn answered(server: &Server, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    answered.unwrap_or_else(|_| {
        server.faults.count(|counters| counters.panics += 1);
        tracing::error!(%method, path, "a handler panicked");
        let mut response = Response::new(Body::from("internal error: a handler panicked"));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware;
    use axum::routing::get;
    use tokio_util::sync::CancellationToken;
    use tower::ServiceExt;

    use super::*;
    use crate::engine::Engine;
    use crate::server::{Faults, Settings};

    #[tokio::test]
    async fn a_handler_that_panics_is_answered_and_counted() {
        let settings = Settings {
            account: "A",
            synchronous_limit: Duration::ZERO,
            session_validity: Duration::ZERO,
            admin: false,
        };
        let faults = Faults::default();
        let stop = CancellationToken::new();
        let server = Server::new(Engine::in_memory(), &settings, faults.clone(), &stop);
        let panics = async || -> StatusCode { panic!("on purpose") };
        let router = Router::new()
            .route("/bucket/key", get(panics))
            .layer(middleware::from_fn_with_state(server, act));
        let request = Request::get("/bucket/key").body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(faults.counters().panics, 1);
    }

    #[test]
    fn each_request_is_of_its_step() {
        for (method, uri, step) in [
            (
                "POST",
                "/session/v1/login-request?requestId=1",
                Some(Step::Login),
            ),
            ("POST", "/session/token-request", Some(Step::Renew)),
            ("POST", "/session/heartbeat", None),
            ("POST", "/queries/v1/query-request", Some(Step::Query)),
            ("GET", "/queries/x/result", Some(Step::Poll)),
            ("POST", "/queries/x/abort-request", Some(Step::Cancel)),
            ("POST", "/api/v2/statements?async=true", Some(Step::Submit)),
            ("GET", "/api/v2/statements/x", Some(Step::Poll)),
            ("GET", "/api/v2/statements/x?partition=0", Some(Step::Poll)),
            (
                "GET",
                "/api/v2/statements/x?requestId=1&partition=2",
                Some(Step::Partition),
            ),
            ("POST", "/api/v2/statements/x/cancel", Some(Step::Cancel)),
            ("PUT", "/sluicebox/a/b.parquet", Some(Step::Upload)),
            ("POST", "/sluicebox/a?uploads", Some(Step::Upload)),
            ("HEAD", "/sluicebox/a", Some(Step::Download)),
            ("GET", "/health", None),
            ("GET", "/admin/faults", None),
        ] {
            let found = step_of(&method.parse().unwrap(), &uri.parse().unwrap());
            assert_eq!(found, step, "{method} {uri}");
        }
    }
}
