//! A warehouse whose clock is ahead of ours, which is the same as ours being behind: it says so in its answers, and refuses our tokens.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use chrono::{DateTime, Utc};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Stands before a warehouse until it is dropped.
pub(super) struct Skewed {
    url: String,
    shared: Arc<Shared>,
    _folder: TempDir,
    _runtime: Runtime,
}

struct Shared {
    to: String,
    ahead: Duration,
    /// Once this file is there, the clocks agree.
    switch: PathBuf,
    http: reqwest::Client,
    /// The statements that came with a token.
    asked: Mutex<Vec<Value>>,
}

impl Skewed {
    pub(super) fn before(to: &str, seconds: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let shared = Arc::new(Shared {
            to: to.to_owned(),
            ahead: Duration::from_secs(seconds),
            switch: folder.path().join("right"),
            http: reqwest::Client::new(),
            asked: Mutex::default(),
        });
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self {
            url,
            shared,
            _folder: folder,
            _runtime: runtime,
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The requests with statements that have been passed on or refused.
    pub(super) fn asked(&self) -> Vec<Value> {
        self.shared.asked.lock().unwrap().clone()
    }

    pub(super) fn switch(&self) -> &Path {
        &self.shared.switch
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let is_off = !shared.switch.exists();
    if headers.contains_key(header::AUTHORIZATION)
        && let Ok(statement) = serde_json::from_slice(&body)
    {
        shared.asked.lock().unwrap().push(statement);
    }
    let mut response = if is_off && headers.contains_key(header::AUTHORIZATION) {
        let refused = r#"{"code":"390144","message":"JWT token is invalid. [0b7a1c1e-0000-4000-8000-000000000000]"}"#;
        let mut response = Response::new(Body::from(refused));
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        response
    } else {
        passed_on(&shared, method, &uri, headers, body).await
    };
    if is_off {
        let now = DateTime::<Utc>::from(SystemTime::now() + shared.ahead);
        let date = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        response
            .headers_mut()
            .insert(header::DATE, date.parse().unwrap());
    }
    response
}

async fn passed_on(
    shared: &Shared,
    method: Method,
    uri: &Uri,
    mut headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    headers.remove(header::HOST);
    let url = format!("{}{}", shared.to, uri.path_and_query().unwrap());
    let request = shared.http.request(method, url).headers(headers).body(body);
    let answer = request.send().await.unwrap();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    response.headers_mut().remove(header::TRANSFER_ENCODING);
    *response.body_mut() = Body::from(answer.bytes().await.unwrap());
    response
}
