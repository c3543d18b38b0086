//! S3 requests in, files of the stages out: signed with the configured or a temporary key, in path style
//! (`/<bucket>/<key>`).

mod keys;
mod listing;
mod objects;
mod uploads;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use object_store::ObjectStore;
use s3s::service::{S3Service, S3ServiceBuilder};

use keys::Keys;
pub(super) use keys::{Scope, TemporaryKey, TemporaryKeys};
use objects::StageFiles;

/// Who may use the S3 endpoint, and which buckets are there.
#[derive(Clone)]
pub(crate) struct StageAccess {
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    pub(crate) buckets: Vec<String>,
}

/// The endpoint over `files`, whose keys are `<bucket>/<key>`.
pub(super) fn service(
    files: Arc<dyn ObjectStore>,
    access: &StageAccess,
    temporary: &TemporaryKeys,
) -> S3Service {
    let mut builder = S3ServiceBuilder::new(StageFiles::new(files, access.buckets.clone()));
    let keys = Keys {
        access_key: access.access_key.clone(),
        secret_key: access.secret_key.clone(),
        temporary: temporary.clone(),
    };
    builder.set_auth(keys.clone());
    builder.set_access(keys);
    builder.build()
}

/// Answers one request.
pub(super) async fn answer(service: S3Service, request: Request) -> Response {
    match service.call(request.map(s3s::Body::http_body_unsync)).await {
        Ok(response) => response.map(Body::new),
        Err(error) => {
            tracing::error!(?error, "stage endpoint failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
