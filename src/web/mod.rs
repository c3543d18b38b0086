//! The status of the jobs in, pages out: /metrics for Prometheus, /health/live and /health/ready for whoever restarts us.

use std::io;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::status::{Stage, Status};

#[derive(Clone)]
struct Pages {
    status: Arc<Status>,
    metrics: PrometheusHandle,
}

/// The process's metrics; the first call sets up where they are collected, so it comes before the jobs.
///
/// # Errors
/// When something else in the process collects metrics already.
pub fn metrics() -> Result<PrometheusHandle, BuildError> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new().install_recorder()?;
    Ok(HANDLE.get_or_init(|| handle).clone())
}

/// All pages.
pub fn router(status: Arc<Status>, metrics: PrometheusHandle) -> Router {
    Router::new()
        .route(
            "/metrics",
            get(async |State(pages): State<Pages>| pages.metrics.render()),
        )
        .route("/health/live", get(async || "alive\n"))
        .route(
            "/health/ready",
            get(async |State(pages): State<Pages>| ready(&pages.status)),
        )
        .with_state(Pages { status, metrics })
}

/// Serves until `stop`; the caller owns the port.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    status: Arc<Status>,
    metrics: PrometheusHandle,
    stop: CancellationToken,
) -> io::Result<()> {
    axum::serve(listener, router(status, metrics))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

fn ready(status: &Status) -> (StatusCode, String) {
    let snapshot = status.snapshot();
    let code = if snapshot.ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let lines = snapshot.jobs.iter().map(|(job, stage)| {
        let stage = match stage {
            Stage::Starting => "starting".to_owned(),
            Stage::Running => "running".to_owned(),
            Stage::Delayed(why) => format!("delayed: {why}"),
            Stage::Stopped => "stopped".to_owned(),
        };
        format!("{}: {stage}\n", job.name())
    });
    (code, lines.collect())
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;
    use crate::status::Job;

    async fn get(status: &Arc<Status>, path: &str) -> (StatusCode, String) {
        let router = router(Arc::clone(status), metrics().unwrap());
        let answer = router
            .oneshot(Request::get(path).body(Body::empty()).unwrap())
            .await
            .unwrap();
        let code = answer.status();
        let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (code, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn ready_means_that_every_started_job_works() {
        let status = Arc::new(Status::default());
        assert_eq!(
            get(&status, "/health/ready").await.0,
            StatusCode::SERVICE_UNAVAILABLE
        );
        status.stage(Job::Clean, Stage::Running);
        status.stage(
            Job::Sink,
            Stage::Delayed("the warehouse is suspended".to_owned()),
        );
        let (code, text) = get(&status, "/health/ready").await;
        assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            text,
            "clean: running\nsink: delayed: the warehouse is suspended\n"
        );
        status.stage(Job::Sink, Stage::Running);
        assert_eq!(get(&status, "/health/ready").await.0, StatusCode::OK);
        assert_eq!(get(&status, "/health/live").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_prometheus_text() {
        let status = Arc::new(Status::default());
        let _ = metrics().unwrap();
        status.loaded(7, None, std::time::Duration::from_millis(5));
        let (code, text) = get(&status, "/metrics").await;
        assert_eq!(code, StatusCode::OK);
        assert!(text.contains("sluicebox_load_rows_total"), "{text}");
    }
}
