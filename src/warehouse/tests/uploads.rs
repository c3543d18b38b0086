//! Uploads to an internal stage, by a server that answers as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::{Value, json};

use super::script::{Asked, Reply, Script};
use crate::warehouse::stage::{Stage, StageError};
use crate::warehouse::{Config, Error};

const LOGIN: &str = "/session/v1/login-request";
const RENEWAL: &str = "/session/token-request";
const QUERY: &str = "/queries/v1/query-request";

fn success(data: &Value) -> Reply {
    Reply::Json(
        200,
        json!({"success": true, "code": null, "message": null, "data": data}),
    )
}

fn failure(code: &str, message: &str) -> Reply {
    let data = json!({"sqlState": "08001"});
    Reply::Json(
        200,
        json!({"success": false, "code": code, "message": message, "data": data}),
    )
}

/// The usual answers, in the order of their sessions and keys; `odd` goes first.
async fn server(odd: impl Fn(&Asked, usize) -> Option<Reply> + Send + 'static) -> Script {
    let address = Arc::new(Mutex::new(String::new()));
    let url = Arc::clone(&address);
    let mut asked_before = 0;
    let mut sessions = 0;
    let mut keys = 0;
    let script = Script::start(move |asked| {
        asked_before += 1;
        if let Some(reply) = odd(asked, asked_before) {
            return reply;
        }
        match asked.path.as_str() {
            LOGIN => {
                sessions += 1;
                success(&json!({"token": format!("session-{sessions}"), "masterToken": format!("master-{sessions}"), "sessionId": 1}))
            }
            RENEWAL => {
                sessions += 1;
                success(&json!({"sessionToken": format!("session-{sessions}"), "masterToken": format!("master-{sessions}")}))
            }
            QUERY => {
                keys += 1;
                let creds = json!({"AWS_KEY_ID": "AKIA", "AWS_SECRET_KEY": "secret", "AWS_TOKEN": format!("key-{keys}")});
                let info = json!({"locationType": "S3", "location": "bucket/p/", "region": "eu-west-1", "endPoint": *url.lock().unwrap(), "creds": creds});
                success(&json!({"command": "UPLOAD", "stageInfo": info, "encryptionMaterial": null}))
            }
            _ => Reply::Headed(200, "etag", "\"1\""),
        }
    })
    .await;
    *address.lock().unwrap() = script.config().url;
    script
}

fn stage(script: &Script) -> Stage {
    let config = Config {
        stage_url: String::new(),
        ..script.config()
    };
    Stage::open(&script.client_with(&config), &config).unwrap()
}

/// What was asked, by the last part of the path and the token that went with it.
fn seen(script: &Script) -> Vec<(String, String)> {
    let token = |asked: &Asked| {
        let lent = asked.header("x-amz-security-token");
        let session = asked
            .header("authorization")
            .trim_start_matches("Snowflake Token=");
        match (lent, asked.path.as_str()) {
            ("", LOGIN) => String::new(),
            ("", _) => session.trim_matches('"').to_owned(),
            (lent, _) => lent.to_owned(),
        }
    };
    let last = |asked: &Asked| asked.path.rsplit('/').next().unwrap().to_owned();
    let asked = script.asked();
    asked
        .iter()
        .map(|asked| (last(asked), token(asked)))
        .collect()
}

fn expected(steps: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(what, token): &(&str, &str)| ((*what).to_owned(), (*token).to_owned());
    steps.iter().map(owned).collect()
}

fn files(names: &[&str]) -> Vec<(String, Bytes)> {
    let file = |name: &&str| ((*name).to_owned(), Bytes::from("rows"));
    names.iter().map(file).collect()
}

#[tokio::test]
async fn one_session_and_one_key_serve_many_files() {
    let script = server(|_, _| None).await;
    let stage = stage(&script);
    stage
        .put_all(&files(&["t/0/a", "t/0/b", "t/1/c"]))
        .await
        .unwrap();
    let mut steps = seen(&script);
    steps[2..].sort();
    assert_eq!(
        steps,
        expected(&[
            ("login-request", ""),
            ("query-request", "session-1"),
            ("a", "key-1"),
            ("b", "key-1"),
            ("c", "key-1"),
        ])
    );
    let asked = script.asked();
    let data = &asked[0].body["data"];
    assert_eq!(data["AUTHENTICATOR"], "SNOWFLAKE_JWT");
    assert_eq!(
        (&data["ACCOUNT_NAME"], &data["LOGIN_NAME"]),
        (&json!("MYORG-MY_ACCT"), &json!("KAFKA_SERVICE"))
    );
    assert_eq!(asked[0].query["roleName"], "KAFKA_LOADER");
    assert_eq!(
        asked[1].body["sqlText"],
        "PUT 'file:///sluicebox/file' '@KAFKA_DB.STREAMING.KAFKA_STAGE' AUTO_COMPRESS=FALSE SOURCE_COMPRESSION=NONE OVERWRITE=TRUE"
    );
    assert!(asked.iter().any(|asked| asked.path == "/bucket/p/t/1/c"));
}

#[tokio::test]
async fn a_key_that_expires_in_the_middle_of_an_upload_is_exchanged_once() {
    let expired = "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message><Token-0>key-1</Token-0></Error>";
    for (status, body) in [
        (400, expired),
        (403, "<Error><Code>AccessDenied</Code></Error>"),
    ] {
        let script = server(move |asked, _| {
            let old = asked.path.ends_with("/b") && asked.header("x-amz-security-token") == "key-1";
            old.then_some(Reply::Text(status, body))
        })
        .await;
        let stage = stage(&script);
        for file in ["a", "b", "c"] {
            stage.put(file, Bytes::from("rows")).await.unwrap();
        }
        assert_eq!(
            seen(&script)[2..],
            expected(&[
                ("a", "key-1"),
                ("b", "key-1"),
                ("query-request", "session-1"),
                ("b", "key-2"),
                ("c", "key-2"),
            ]),
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_key_that_is_refused_when_it_is_new_is_an_error_that_names_the_file() {
    let script =
        server(|asked, _| asked.path.ends_with("/a").then_some(Reply::Text(403, ""))).await;
    let error = stage(&script)
        .put("t/a", Bytes::from("rows"))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "t/a could not be written to the stage KAFKA_DB.STREAMING.KAFKA_STAGE"
    );
    assert!(!error.is_transient());
    let uploads = seen(&script).iter().filter(|(what, _)| what == "a").count();
    assert_eq!(uploads, 2);
}

#[tokio::test]
async fn a_session_that_expired_is_renewed_and_one_that_is_over_opened_anew() {
    for (code, then, tokens) in [
        ("390112", RENEWAL, "session-2"),
        ("390111", LOGIN, "session-2"),
        ("390104", LOGIN, "session-2"),
        ("390114", LOGIN, "session-2"),
    ] {
        let script = server(move |asked, _| {
            let first = asked.path == QUERY && asked.header("authorization").contains("session-1");
            first.then(|| failure(code, "no"))
        })
        .await;
        stage(&script).put("a", Bytes::from("rows")).await.unwrap();
        let then = then.rsplit('/').next().unwrap();
        let steps = seen(&script);
        assert_eq!(steps[2].0, then, "{code}");
        assert_eq!(
            steps[3],
            ("query-request".to_owned(), tokens.to_owned()),
            "{code}"
        );
    }
}

#[tokio::test]
async fn a_master_token_that_has_expired_too_leads_to_a_new_session() {
    let script = server(|asked, _| match asked.path.as_str() {
        QUERY if asked.header("authorization").contains("session-1") => {
            Some(Reply::Text(401, "Session expired"))
        }
        RENEWAL => Some(failure("390114", "Master token has expired.")),
        _ => None,
    })
    .await;
    stage(&script).put("a", Bytes::from("rows")).await.unwrap();
    let steps: Vec<String> = seen(&script).into_iter().map(|(what, _)| what).collect();
    assert_eq!(
        steps,
        [
            "login-request",
            "query-request",
            "token-request",
            "login-request",
            "query-request",
            "a"
        ]
    );
}

#[tokio::test]
async fn a_session_that_is_refused_for_ever_ends_in_an_error() {
    let script =
        server(|asked, _| (asked.path == QUERY).then(|| failure("390112", "Session expired.")))
            .await;
    let error = stage(&script)
        .put("a", Bytes::from("rows"))
        .await
        .unwrap_err();
    let StageError::Refused { source, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(source.code(), Some("390112"));
    assert!(script.asked().len() < 12, "{}", script.asked().len());
}

#[tokio::test]
async fn what_the_warehouse_refuses_is_said_with_its_remedy() {
    let script = server(|asked, _| match asked.path.as_str() {
        QUERY => Some(failure(
            "002003",
            "SQL compilation error: Stage 'X' does not exist or not authorized.",
        )),
        _ => None,
    })
    .await;
    let error = stage(&script)
        .put("a", Bytes::from("rows"))
        .await
        .unwrap_err();
    assert!(error.hint().unwrap().contains("sluicebox setup"), "{error}");
    assert!(!error.is_transient());

    let script = server(|asked, _| {
        (asked.path == LOGIN).then(|| failure("390144", "JWT token is invalid. [0]"))
    })
    .await;
    let error = stage(&script)
        .put("a", Bytes::from("rows"))
        .await
        .unwrap_err();
    let StageError::Refused { source, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(matches!(source, Error::Unauthorized { .. }), "{source}");
    assert!(
        error
            .hint()
            .unwrap()
            .contains("ALTER USER KAFKA_SERVICE SET RSA_PUBLIC_KEY"),
        "{error}"
    );
}

#[tokio::test]
async fn a_passing_failure_of_each_step_is_tried_again() {
    for step in [LOGIN, QUERY] {
        let failures = Mutex::new(VecDeque::from([503, 429, 500]));
        let script = server(move |asked, _| {
            let next = || failures.lock().unwrap().pop_front();
            (asked.path == step)
                .then(next)
                .flatten()
                .map(|status| Reply::Text(status, "busy"))
        })
        .await;
        stage(&script).put("a", Bytes::from("rows")).await.unwrap();
        let tries = script
            .asked()
            .iter()
            .filter(|asked| asked.path == step)
            .count();
        assert_eq!(tries, 4, "{step}");
    }
}

#[tokio::test]
async fn loaded_files_are_removed_by_their_full_names() {
    let script = Script::start(|_| super::script::status("removed")).await;
    let stage = stage(&script);
    let removed = stage.remove_all(&["t/0/1-2.parquet".to_owned()]).await;
    assert_eq!(removed, None);
    assert_eq!(stage.remove_all(&[]).await, None);
    let asked = script.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        asked[0].body["statement"],
        "REMOVE '@KAFKA_DB.STREAMING.KAFKA_STAGE/t/0/1-2.parquet'"
    );
}
