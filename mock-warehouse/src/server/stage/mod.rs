//! S3 requests in, files of the stages out: signed with the configured keys, in path style (`/<bucket>/<key>`).

mod listing;
mod objects;
mod uploads;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use object_store::ObjectStore;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};

use objects::StageFiles;

/// Who may use the S3 endpoint, and which buckets are there.
#[derive(Clone)]
pub(crate) struct StageAccess {
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    pub(crate) buckets: Vec<String>,
}

/// The endpoint over `files`, whose keys are `<bucket>/<key>`.
pub(super) fn service(files: Arc<dyn ObjectStore>, access: &StageAccess) -> S3Service {
    let mut builder = S3ServiceBuilder::new(StageFiles::new(files, access.buckets.clone()));
    builder.set_auth(SimpleAuth::from_single(
        &access.access_key,
        access.secret_key.as_str(),
    ));
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
