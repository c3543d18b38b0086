//! The S3 operations that a stage's clients use, over the files that the engine reads.

use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload,
};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CommonPrefix,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput,
    DeleteObjectsOutput, DeletedObject, ETag, ETagCondition, GetObjectInput, GetObjectOutput,
    HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListObjectsV2Input,
    ListObjectsV2Output, Object, PutObjectInput, PutObjectOutput, Range as HeaderRange,
    StreamingBlob, Timestamp, UploadPartInput, UploadPartOutput,
};
use s3s::{Body, S3, S3Error, S3Request, S3Response, S3Result, s3_error};

use super::listing::{self, Wanted};
use super::uploads::Uploads;

/// Most bytes of one PUT. S3 takes 5 GB; here they pass through memory, and clients send larger files in parts.
const LARGEST_BODY_BYTES: usize = 512 << 20;

/// The files of all stages as S3 objects.
pub(super) struct StageFiles {
    files: Arc<dyn ObjectStore>,
    buckets: Vec<String>,
    uploads: Uploads,
}

impl StageFiles {
    pub(super) fn new(files: Arc<dyn ObjectStore>, buckets: Vec<String>) -> Self {
        Self {
            files,
            buckets,
            uploads: Uploads::default(),
        }
    }

    fn bucket(&self, bucket: &str) -> S3Result<Path> {
        if self.buckets.iter().any(|known| known == bucket) {
            Ok(Path::from(bucket))
        } else {
            Err(s3_error!(NoSuchBucket))
        }
    }

    fn location(&self, bucket: &str, key: &str) -> S3Result<Path> {
        self.bucket(bucket)?;
        Path::parse(format!("{bucket}/{key}")).map_err(|error| s3_error!(error, InvalidArgument))
    }

    async fn put(
        &self,
        location: &Path,
        payload: PutPayload,
        condition: Option<&ETagCondition>,
    ) -> S3Result<ETag> {
        let mode = match condition {
            None => PutMode::Overwrite,
            Some(ETagCondition::Any) => PutMode::Create,
            Some(ETagCondition::ETag(_)) => return Err(s3_error!(NotImplemented)),
        };
        let put = self
            .files
            .put_opts(location, payload, mode.into())
            .await
            .map_err(s3_failure)?;
        Ok(e_tag(put.e_tag.as_deref()))
    }

    async fn head(&self, bucket: &str, key: &str) -> S3Result<ObjectMeta> {
        self.files
            .head(&self.location(bucket, key)?)
            .await
            .map_err(s3_failure)
    }
}

#[async_trait::async_trait]
impl S3 for StageFiles {
    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.bucket(&request.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        let location = self.location(&input.bucket, &input.key)?;
        let payload = payload(input.body).await?;
        let e_tag = self
            .put(&location, payload, input.if_none_match.as_ref())
            .await?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(e_tag),
            ..Default::default()
        }))
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let location = self.location(&input.bucket, &input.key)?;
        let options = GetOptions {
            range: input.range.map(asked_range),
            ..GetOptions::default()
        };
        let found = self
            .files
            .get_opts(&location, options)
            .await
            .map_err(s3_failure)?;
        let Range { start, end } = found.range.clone();
        let content_range = input.range.map(|_| {
            format!(
                "bytes {start}-{}/{}",
                end.saturating_sub(1),
                found.meta.size
            )
        });
        let object = found.meta.clone();
        let output = GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            body: Some(Body::from(found.bytes().await.map_err(s3_failure)?).into()),
            content_length: Some(length(end - start)?),
            content_range,
            e_tag: Some(e_tag(object.e_tag.as_deref())),
            last_modified: Some(last_modified(&object)),
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let object = self.head(&request.input.bucket, &request.input.key).await?;
        let output = HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(length(object.size)?),
            e_tag: Some(e_tag(object.e_tag.as_deref())),
            last_modified: Some(last_modified(&object)),
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.delete(&request.input.bucket, &request.input.key)
            .await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let mut deleted = Vec::new();
        for object in request.input.delete.objects {
            self.delete(&request.input.bucket, &object.key).await?;
            deleted.push(DeletedObject {
                key: Some(object.key),
                ..Default::default()
            });
        }
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted: Some(deleted),
            ..Default::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let bucket = self.bucket(&input.bucket)?;
        let all: Vec<ObjectMeta> = self
            .files
            .list(Some(&bucket))
            .try_collect()
            .await
            .map_err(s3_failure)?;
        let root = format!("{bucket}/");
        let keyed = all.into_iter().filter_map(|object| {
            let key = object.location.as_ref().strip_prefix(&root)?.to_owned();
            Some((key, object))
        });
        let wanted = Wanted {
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: input.delimiter.as_deref().unwrap_or_default(),
            after: input
                .continuation_token
                .as_deref()
                .or(input.start_after.as_deref())
                .unwrap_or_default(),
            most: input.max_keys.and_then(|most| usize::try_from(most).ok()),
        };
        let page = listing::page(keyed.collect(), &wanted);
        let count = page.objects.len() + page.common_prefixes.len();
        let contents: S3Result<Vec<Object>> = page
            .objects
            .iter()
            .map(|(key, object)| listed(key, object))
            .collect();
        let prefixes = page.common_prefixes.into_iter().map(|prefix| CommonPrefix {
            prefix: Some(prefix),
        });
        let output = ListObjectsV2Output {
            name: Some(input.bucket),
            key_count: i32::try_from(count).ok(),
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next,
            contents: Some(contents?),
            common_prefixes: Some(prefixes.collect()),
            prefix: input.prefix,
            delimiter: input.delimiter,
            max_keys: input.max_keys,
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        self.location(&input.bucket, &input.key)?;
        let output = CreateMultipartUploadOutput {
            upload_id: Some(self.uploads.begin()),
            bucket: Some(input.bucket),
            key: Some(input.key),
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = request.input;
        let part = payload(input.body).await?;
        self.uploads
            .add(&input.upload_id, input.part_number, part)?;
        let e_tag = ETag::Strong(format!("{}-{}", input.upload_id, input.part_number));
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(e_tag),
            ..Default::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        let location = self.location(&input.bucket, &input.key)?;
        let parts = input
            .multipart_upload
            .and_then(|upload| upload.parts)
            .unwrap_or_default();
        let payload = self.uploads.assemble(
            &input.upload_id,
            parts.iter().filter_map(|part| part.part_number),
        )?;
        let e_tag = self
            .put(&location, payload, input.if_none_match.as_ref())
            .await?;
        self.uploads.end(&input.upload_id);
        let output = CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(e_tag),
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.uploads.end(&request.input.upload_id);
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}

impl StageFiles {
    /// Deleting what is not there is no error in S3.
    async fn delete(&self, bucket: &str, key: &str) -> S3Result<()> {
        match self.files.delete(&self.location(bucket, key)?).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(s3_failure(error)),
        }
    }
}

async fn payload(body: Option<StreamingBlob>) -> S3Result<PutPayload> {
    match body {
        None => Ok(PutPayload::default()),
        Some(mut body) => {
            let mut chunks = Vec::new();
            let mut length = 0;
            while let Some(chunk) = body
                .try_next()
                .await
                .map_err(|_| s3_error!(IncompleteBody))?
            {
                length += chunk.len();
                if length > LARGEST_BODY_BYTES {
                    return Err(s3_error!(
                        EntityTooLarge,
                        "Your proposed upload exceeds the maximum allowed size"
                    ));
                }
                chunks.push(chunk);
            }
            Ok(chunks.into_iter().collect())
        }
    }
}

fn asked_range(range: HeaderRange) -> GetRange {
    match range {
        HeaderRange::Int {
            first,
            last: Some(last),
        } => GetRange::Bounded(first..last.saturating_add(1)),
        HeaderRange::Int { first, last: None } => GetRange::Offset(first),
        HeaderRange::Suffix { length } => GetRange::Suffix(length),
    }
}

fn listed(key: &str, object: &ObjectMeta) -> S3Result<Object> {
    Ok(Object {
        key: Some(key.to_owned()),
        size: Some(length(object.size)?),
        e_tag: Some(e_tag(object.e_tag.as_deref())),
        last_modified: Some(last_modified(object)),
        ..Default::default()
    })
}

fn length(bytes: u64) -> S3Result<i64> {
    i64::try_from(bytes).map_err(internal)
}

fn e_tag(stored: Option<&str>) -> ETag {
    ETag::Strong(stored.unwrap_or("0").trim_matches('"').to_owned())
}

fn last_modified(object: &ObjectMeta) -> Timestamp {
    Timestamp::from(std::time::SystemTime::from(object.last_modified))
}

fn s3_failure(error: Error) -> S3Error {
    match error {
        Error::NotFound { .. } => s3_error!(NoSuchKey),
        Error::AlreadyExists { .. } | Error::Precondition { .. } => s3_error!(PreconditionFailed),
        other => internal(other),
    }
}

fn internal(error: impl Display) -> S3Error {
    tracing::error!(%error, "stage files failed");
    s3_error!(InternalError)
}
