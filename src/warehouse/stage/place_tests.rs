//! What goes to each kind of storage, seen by a server that takes anything.

use serde_json::{Value, json};

use super::*;
use crate::warehouse::tests::script::{Asked, Reply, Script};

/// Puts one file where `stage_info` says, and tells what the storage was asked.
async fn put(stage_info: impl Fn(&str) -> Value) -> (Result<(), StageError>, Vec<Asked>) {
    let script = Script::start(|_| Reply::Headed(201, "etag", "\"1\"")).await;
    let upload = json!({"stageInfo": stage_info(&script.config().url), "encryptionMaterial": null});
    let upload: Upload = serde_json::from_value(upload).unwrap();
    let network = Network::new(&Config::default());
    let place = Place::open("DB.S.ST", &upload, &network).unwrap();
    let done = place.put("events/0/a b.parquet", Bytes::from("rows")).await;
    (done, script.asked())
}

#[tokio::test]
async fn s3_is_written_with_the_key_and_its_token() {
    let (done, asked) = put(|url| {
        json!({
            "locationType": "S3", "location": "bucket/stages/1/", "region": "eu-west-1", "endPoint": url,
            "creds": {"AWS_KEY_ID": "AKIA1", "AWS_SECRET_KEY": "secret", "AWS_TOKEN": "lent"},
        })
    })
    .await;
    done.unwrap();
    assert_eq!(asked[0].path, "/bucket/stages/1/events/0/a%20b.parquet");
    assert_eq!(asked[0].header("x-amz-security-token"), "lent");
    let signed = asked[0].header("authorization");
    assert!(
        signed.contains("Credential=AKIA1/") && signed.contains("/eu-west-1/s3/"),
        "{signed}"
    );
}

#[tokio::test]
async fn azure_is_written_with_the_shared_signature() {
    let (done, asked) = put(|url| {
        json!({
            "locationType": "AZURE", "location": "container/prefix/", "storageAccount": "account", "endPoint": url,
            "creds": {"AZURE_SAS_TOKEN": "?sv=2021-08-06&sig=a%2Bb%3D&sp=racwl"},
        })
    })
    .await;
    done.unwrap();
    assert_eq!(asked[0].path, "/container/prefix/events/0/a%20b.parquet");
    assert_eq!(asked[0].query["sig"], "a+b=");
    assert_eq!(asked[0].query["sp"], "racwl");
    assert_eq!(asked[0].header("x-ms-blob-type"), "BlockBlob");
}

#[tokio::test]
async fn google_is_written_with_the_token() {
    let (done, asked) = put(|url| {
        json!({
            "locationType": "GCS", "location": "bucket/prefix/", "endPoint": url,
            "creds": {"GCS_ACCESS_TOKEN": "lent"}, "presignedUrl": "http://127.0.0.1:1/unused",
        })
    })
    .await;
    done.unwrap();
    let path = asked[0].path.replace("%2F", "/").replace("%2E", ".");
    assert_eq!(path, "/bucket/prefix/events/0/a%20b.parquet");
    assert_eq!(asked[0].header("authorization"), "Bearer lent");
}

#[tokio::test]
async fn an_address_for_one_file_is_written_as_it_is() {
    let (done, asked) = put(|url| {
        let address = format!("{url}/bucket/file?X-Goog-Signature=ab%2Fcd");
        json!({"locationType": "GCS", "location": "bucket/", "creds": {}, "presignedUrl": address})
    })
    .await;
    done.unwrap();
    assert_eq!(asked[0].path, "/bucket/file");
    assert_eq!(asked[0].query["X-Goog-Signature"], "ab/cd");
    assert_eq!(asked[0].header("authorization"), "");
}

#[test]
fn hosts_without_a_scheme_are_those_of_the_clouds() {
    let network = Network::new(&Config::default());
    for (info, expected) in [
        (
            json!({"locationType": "S3", "location": "b/p/", "region": "us-west-2", "endPoint": null}),
            "https://b.s3.us-west-2.amazonaws.com",
        ),
        (
            json!({"locationType": "S3", "location": "b/p/", "region": "cn-north-1", "endPoint": ""}),
            "https://b.s3.cn-north-1.amazonaws.com.cn",
        ),
        (
            json!({"locationType": "S3", "location": "b/p/", "region": "us-gov-west-1", "endPoint": "s3-fips.us-gov-west-1.amazonaws.com"}),
            "https://b.s3-fips.us-gov-west-1.amazonaws.com",
        ),
        (
            json!({"locationType": "AZURE", "location": "c/p/", "storageAccount": "acct", "endPoint": "blob.core.windows.net"}),
            "acct.blob.core.windows.net",
        ),
    ] {
        let info: StageInfo = serde_json::from_value(info).unwrap();
        let Some(Storage::Store { store, .. }) = storage(&info, &network).unwrap() else {
            panic!("{expected}: no storage");
        };
        let shown = format!("{store:?}");
        assert!(shown.contains(expected), "{expected} is not in {shown}");
    }
}

#[test]
fn a_stage_that_takes_encrypted_files_and_storage_of_another_kind_are_refused_with_the_remedy() {
    let network = Network::new(&Config::default());
    let s3 = json!({"locationType": "S3", "location": "b/p/", "region": "us-west-2", "creds": {}});
    let mut flagged = s3.clone();
    flagged["isClientSideEncrypted"] = true.into();
    let material = json!({"queryStageMasterKey": "k==", "queryId": "q", "smkId": 1});
    for upload in [
        json!({"stageInfo": flagged, "encryptionMaterial": material}),
        json!({"stageInfo": s3, "encryptionMaterial": material}),
        json!({"stageInfo": s3, "encryptionMaterial": [material]}),
    ] {
        let upload: Upload = serde_json::from_value(upload).unwrap();
        let error = Place::open("DB.S.ST", &upload, &network).err().unwrap();
        assert!(error.to_string().contains("DB.S.ST"), "{error}");
        let hint = error.hint().unwrap();
        assert!(
            hint.contains("CREATE STAGE DB.S.ST ENCRYPTION = (TYPE = 'SNOWFLAKE_SSE')"),
            "{hint}"
        );
        assert!(!error.is_transient());
    }
    let elsewhere = json!({"stageInfo": {"locationType": "LOCAL_FS", "location": "/stage/"}});
    let upload: Upload = serde_json::from_value(elsewhere).unwrap();
    let error = Place::open("DB.S.ST", &upload, &network).err().unwrap();
    assert!(error.to_string().contains("LOCAL_FS"), "{error}");
    let mut plain = s3.clone();
    plain["isClientSideEncrypted"] = false.into();
    let mut unsaid = s3.clone();
    unsaid["isClientSideEncrypted"] = Value::Null;
    for upload in [
        json!({"stageInfo": s3, "encryptionMaterial": [null]}),
        json!({"stageInfo": flagged, "encryptionMaterial": null}),
        json!({"stageInfo": plain, "encryptionMaterial": material}),
        json!({"stageInfo": unsaid, "encryptionMaterial": null}),
    ] {
        let upload: Upload = serde_json::from_value(upload).unwrap();
        assert!(Place::open("DB.S.ST", &upload, &network).is_ok());
    }
}
