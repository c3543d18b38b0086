//! The S3 endpoint as the `object_store` client uses it, over a real port.

use bytes::Bytes;
use futures::TryStreamExt;
use mock_warehouse::MockWarehouse;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload, WriteMultipart};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::config;

struct Served {
    endpoint: String,
    stop: CancellationToken,
    tasks: JoinSet<std::io::Result<()>>,
}

impl Served {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(
            MockWarehouse::open(config())
                .unwrap()
                .serve(listener, stop.clone()),
        );
        Self {
            endpoint,
            stop,
            tasks,
        }
    }

    fn client(&self, bucket: &str, secret: &str) -> AmazonS3 {
        AmazonS3Builder::new()
            .with_endpoint(&self.endpoint)
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_bucket_name(bucket)
            .with_access_key_id("mock-access-key")
            .with_secret_access_key(secret)
            .build()
            .unwrap()
    }

    fn good_client(&self) -> AmazonS3 {
        self.client("sluicebox", "mock-secret-key")
    }

    async fn end(mut self) {
        self.stop.cancel();
        self.tasks.join_next().await.unwrap().unwrap().unwrap();
    }
}

async fn keys(client: &AmazonS3, prefix: Option<&str>) -> Vec<String> {
    let prefix = prefix.map(Path::from);
    let objects: Vec<_> = client.list(prefix.as_ref()).try_collect().await.unwrap();
    objects
        .into_iter()
        .map(|object| object.location.to_string())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_put_read_listed_and_deleted() {
    let served = Served::new().await;
    let client = served.good_client();
    let path = Path::from("run 1/clean_events/0/part=ä.parquet");
    client
        .put(&path, PutPayload::from_static(b"0123456789"))
        .await
        .unwrap();

    let got = client.get(&path).await.unwrap();
    assert_eq!(got.meta.size, 10);
    assert_eq!(
        got.bytes().await.unwrap(),
        Bytes::from_static(b"0123456789")
    );
    assert_eq!(
        client.get_range(&path, 2..5).await.unwrap(),
        Bytes::from_static(b"234")
    );
    assert_eq!(client.head(&path).await.unwrap().size, 10);

    client
        .put(&Path::from("run 2/a"), PutPayload::from_static(b"a"))
        .await
        .unwrap();
    assert_eq!(
        keys(&client, None).await,
        [path.to_string(), "run 2/a".to_owned()]
    );
    assert_eq!(keys(&client, Some("run 2")).await, ["run 2/a"]);
    let folders = client
        .list_with_delimiter(None)
        .await
        .unwrap()
        .common_prefixes;
    assert_eq!(folders, [Path::from("run 1"), Path::from("run 2")]);

    client.delete(&path).await.unwrap();
    client.delete(&path).await.unwrap();
    assert!(matches!(
        client.get(&path).await,
        Err(Error::NotFound { .. })
    ));
    assert_eq!(keys(&client, None).await, ["run 2/a"]);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_arrives_whole_in_parts() {
    let served = Served::new().await;
    let client = served.good_client();
    let path = Path::from("large.parquet");
    let content: Bytes = (0..20 << 20).map(|at: u32| (at / 1000) as u8).collect();
    let mut upload =
        WriteMultipart::new_with_chunk_size(client.put_multipart(&path).await.unwrap(), 6 << 20);
    upload.put(content.clone());
    upload.finish().await.unwrap();
    assert!(client.get(&path).await.unwrap().bytes().await.unwrap() == content);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_there_is_not_created_again() {
    let served = Served::new().await;
    let client = served.good_client();
    let path = Path::from("once");
    client
        .put_opts(&path, PutPayload::from_static(b"1"), PutMode::Create.into())
        .await
        .unwrap();
    let again = client
        .put_opts(&path, PutPayload::from_static(b"2"), PutMode::Create.into())
        .await;
    assert!(
        matches!(again, Err(Error::AlreadyExists { .. })),
        "{again:?}"
    );
    assert_eq!(
        client.get(&path).await.unwrap().bytes().await.unwrap(),
        Bytes::from_static(b"1")
    );
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_an_unsigned_request_and_an_unknown_bucket_are_refused() {
    let served = Served::new().await;
    let path = Path::from("x");
    let forged = served
        .client("sluicebox", "wrong")
        .put(&path, PutPayload::from_static(b"x"))
        .await;
    assert!(
        matches!(forged, Err(Error::PermissionDenied { .. })),
        "{forged:?}"
    );
    let unsigned = reqwest::get(format!("{}/sluicebox/x", served.endpoint))
        .await
        .unwrap();
    assert_eq!(unsigned.status(), 403);
    let elsewhere = served
        .client("other", "mock-secret-key")
        .put(&path, PutPayload::from_static(b"x"))
        .await;
    assert!(
        matches!(elsewhere, Err(Error::NotFound { .. })),
        "{elsewhere:?}"
    );
    assert!(keys(&served.good_client(), None).await.is_empty());
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_answers_without_a_signature() {
    let served = Served::new().await;
    assert_eq!(
        reqwest::get(format!("{}/health", served.endpoint))
            .await
            .unwrap()
            .status(),
        200
    );
    served.end().await;
}
