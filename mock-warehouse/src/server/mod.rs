//! HTTP in, SQL and stage files out: the SQL API under `/api/v2`, the protocol of Snowflake's drivers, an S3 endpoint
//! for the stage under everything else.

mod answer;
mod auth;
mod bindings;
mod connection;
mod driver;
mod execute;
mod faults;
mod receipts;
mod refusal;
mod result;
mod runs;
mod stage;
mod statements;
mod submission;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{any, get};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::Engine;
pub(crate) use connection::{BreakableListener, Connection};
use driver::Drivers;
pub use faults::{Counters, Fault, FaultKind, Faults, HowOften, RuleState, Step, WrongFault};
use runs::Runs;
pub(crate) use stage::StageAccess;
use stage::TemporaryKeys;

/// What all requests share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Server {
    engine: Engine,
    /// As it stands in a token's claims.
    account: Arc<str>,
    /// A statement that runs longer than this answers 202.
    synchronous_limit: Duration,
    runs: Runs,
    drivers: Drivers,
    faults: Faults,
    /// Whether rules may be given over HTTP.
    admin: bool,
    /// For drivers that move files.
    stage_keys: TemporaryKeys,
    /// Counts the statements that still run.
    statements: TaskTracker,
}

/// What a server is told of its configuration.
pub(crate) struct Settings<'a> {
    /// As it stands in a token's claims.
    pub(crate) account: &'a str,
    pub(crate) synchronous_limit: Duration,
    pub(crate) session_validity: Duration,
    pub(crate) admin: bool,
}

impl Server {
    pub(crate) fn new(
        engine: Engine,
        settings: &Settings<'_>,
        faults: Faults,
        stop: &CancellationToken,
    ) -> Self {
        let runs = Runs::new(stop);
        Self {
            engine,
            account: settings.account.into(),
            synchronous_limit: settings.synchronous_limit,
            runs,
            drivers: Drivers::new(settings.session_validity, stop),
            faults,
            admin: settings.admin,
            stage_keys: TemporaryKeys::default(),
            statements: TaskTracker::new(),
        }
    }

    /// All endpoints.
    pub(crate) fn router(&self, access: &StageAccess) -> Router {
        let stage = stage::service(self.engine.stage_files(), access, &self.stage_keys);
        let admin = if self.admin {
            faults::admin_routes()
        } else {
            Router::new()
        };
        Router::new()
            .merge(admin)
            .merge(statements::routes())
            .merge(driver::routes())
            .route("/api/{*unknown}", any(async || StatusCode::NOT_FOUND))
            .route("/health", get(async || StatusCode::OK))
            .fallback(async move |request: Request| stage::answer(stage.clone(), request).await)
            .layer(middleware::from_fn_with_state(self.clone(), faults::act))
            .layer(middleware::from_fn(log))
            .with_state(self.clone())
    }

    /// Cancels the statements that still run, and waits until each has rolled back.
    pub(crate) async fn wind_down(&self) {
        self.runs.cancel_all();
        self.drivers.cancel_all();
        self.statements.close();
        self.statements.wait().await;
    }
}

/// The request log: neither bodies nor headers, for both carry secrets.
async fn log(request: Request, next: Next) -> Response {
    let (method, path, began) = (
        request.method().clone(),
        request.uri().path().to_owned(),
        Instant::now(),
    );
    let response = next.run(request).await;
    let elapsed_ms = began.elapsed().as_millis();
    tracing::debug!(%method, path, status = response.status().as_u16(), elapsed_ms, "request answered");
    response
}
