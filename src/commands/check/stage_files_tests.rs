//! Storage that refuses, keeps, or says nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{Method, StatusCode};
use tokio::task::JoinSet;

use super::*;

const STAGE: &str = "DB.S.ST";

fn internal() -> Files {
    Files {
        is_internal: true,
        place: STAGE.into(),
        role: "LOADER".into(),
    }
}

fn external(place: &str) -> Files {
    Files {
        is_internal: false,
        place: place.into(),
        role: "LOADER".into(),
    }
}

fn refused(code: &str, message: &str) -> StageError {
    StageError::Refused {
        stage: STAGE.into(),
        source: Error::Rejected {
            code: code.into(),
            sql_state: None,
            message: message.into(),
        },
    }
}

fn not_written(stage: &str, source: object_store::Error) -> StageError {
    StageError::Write {
        path: "sluicebox-check/a.txt".into(),
        stage: stage.into(),
        source: source.into(),
    }
}

fn denied() -> object_store::Error {
    object_store::Error::PermissionDenied {
        path: "a".into(),
        source: "no".into(),
    }
}

fn unreachable() -> object_store::Error {
    object_store::Error::Generic {
        store: "S3",
        source: "connection refused".into(),
    }
}

#[test]
fn only_a_stage_of_another_encryption_is_made_anew() {
    let anew = "USE ROLE ACCOUNTADMIN; CREATE OR REPLACE STAGE DB.S.ST ENCRYPTION = (TYPE = 'SNOWFLAKE_SSE'); \
                GRANT READ, WRITE ON STAGE DB.S.ST TO ROLE LOADER;";
    let stage = STAGE.to_owned();
    let asks = "Unsupported feature: create the stage with ENCRYPTION = (TYPE = 'SNOWFLAKE_SSE')";
    for error in [
        StageError::ClientSideEncrypted { stage },
        refused("000002", asks),
    ] {
        assert_eq!(internal().trouble(error).fixes, [anew]);
    }
    for error in [
        refused("003001", "Insufficient privileges on stage 'ENCRYPTED'"),
        refused("000002", "Unsupported feature: encrypted"),
        not_written("encrypted", denied()),
    ] {
        let trouble = internal().trouble(error);
        assert!(!trouble.fixes[0].contains("REPLACE"), "{trouble:?}");
    }
    for place in ["gcs://my-encrypted-bucket/", "s3://my-encrypted-bucket/"] {
        let files = external(place);
        for error in [
            not_written(place, denied()),
            not_written(place, unreachable()),
            refused("000002", asks),
        ] {
            let trouble = files.trouble(error);
            assert!(!trouble.fixes[0].contains("REPLACE"), "{trouble:?}");
        }
    }
}

#[test]
fn a_refused_write_to_an_internal_stage_blames_no_setting_of_an_external_one() {
    let expired = object_store::Error::Unauthenticated {
        path: "a".into(),
        source: "no".into(),
    };
    for (source, begins) in [
        (denied(), "set this machine's clock"),
        (expired, "set this machine's clock"),
        (unreachable(), "let this machine reach the storage"),
    ] {
        let trouble = internal().trouble(not_written(STAGE, source));
        assert!(trouble.fixes[0].starts_with(begins), "{trouble:?}");
        let all = trouble.fixes.join(" ");
        assert!(all.contains("warehouse.proxy"), "{all}");
        assert!(all.contains("network policy"), "{all}");
        assert!(!all.contains("stage_properties"), "{all}");
    }
    let open = StageError::Open {
        stage: STAGE.into(),
        source: unreachable().into(),
    };
    let trouble = internal().trouble(open);
    assert_eq!(
        trouble.fixes,
        ["check warehouse.proxy and warehouse.ca_file"]
    );
}

/// What a bucket does with a file that is written to it.
#[derive(Clone, Copy, PartialEq)]
enum Write {
    Taken,
    NotAnswered,
}

/// A bucket that nothing can be removed from, and the methods of the requests to it; it answers as long as `server` is there.
async fn bucket(
    write: Write,
    server: &mut JoinSet<std::io::Result<()>>,
) -> (Stage, Arc<Mutex<Vec<Method>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let answer = move |method: Method| {
        seen.lock().unwrap().push(method.clone());
        async move {
            if method != Method::PUT {
                return (StatusCode::FORBIDDEN, [("etag", "\"e\"")]);
            }
            if write == Write::NotAnswered {
                std::future::pending::<()>().await;
            }
            (StatusCode::OK, [("etag", "\"e\"")])
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer);
    server.spawn(async move { axum::serve(listener, router).await });
    let properties = [
        ("aws_endpoint", url.as_str()),
        ("aws_allow_http", "true"),
        ("aws_region", "us-east-1"),
        ("aws_access_key_id", "key"),
        ("aws_secret_access_key", "secret"),
    ];
    let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = warehouse::Config {
        stage_url: "s3://bucket/".into(),
        stage_properties: BTreeMap::from(properties),
        ..warehouse::Config::default()
    };
    (Stage::external(&config).unwrap(), asked)
}

#[tokio::test]
async fn a_file_that_stays_is_a_warning_that_names_it() {
    let mut server = JoinSet::new();
    let (stage, _) = bucket(Write::Taken, &mut server).await;
    let files = external("s3://bucket/");
    let limit = Duration::from_secs(10);
    let stays = files.write_and_remove(&stage, limit).await.unwrap();
    let stays = stays.expect("nothing can be removed");
    assert!(
        stays
            .found
            .starts_with("s3://bucket/ can be written to, but the file sluicebox-check/"),
        "{stays:?}"
    );
    assert!(
        stays.fixes[0].contains("to delete under s3://bucket/"),
        "{stays:?}"
    );
    let inside = internal().stays("sluicebox-check/a.txt", "no");
    assert_eq!(
        inside.fixes,
        ["USE ROLE LOADER; REMOVE '@DB.S.ST/sluicebox-check/a.txt';"]
    );
}

#[tokio::test]
async fn after_a_write_that_takes_too_long_the_file_is_removed_too() {
    let mut server = JoinSet::new();
    let (stage, asked) = bucket(Write::NotAnswered, &mut server).await;
    let files = external("s3://bucket/");
    let limit = Duration::from_millis(300);
    let trouble = files.write_and_remove(&stage, limit).await.unwrap_err();
    assert!(
        trouble
            .found
            .starts_with("s3://bucket/ does not answer within 300ms; the file sluicebox-check/"),
        "{trouble:?}"
    );
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.first(), Some(&Method::PUT));
    assert!(
        asked.iter().any(|method| *method != Method::PUT),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_file_that_can_be_removed_leaves_nothing_to_say() {
    let folder = tempfile::tempdir().unwrap();
    let place = format!("file://{}/", folder.path().display());
    let config = warehouse::Config {
        stage_url: place.clone(),
        ..warehouse::Config::default()
    };
    let stage = Stage::external(&config).unwrap();
    let limit = Duration::from_secs(10);
    let said = external(&place).write_and_remove(&stage, limit).await;
    assert_eq!(said, Ok(None));
    let left = std::fs::read_dir(folder.path().join("sluicebox-check")).unwrap();
    assert_eq!(left.count(), 0);
}
