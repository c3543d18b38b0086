//! What is sent, and how an answer is put together.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::Method;
use serde_json::json;

use super::{
    rows,
    script::{Asked, Reply, Script, one, refused, result, running},
};
use crate::{
    keys::tests::PAIR,
    warehouse::{Binding, RequestId, query},
};

#[tokio::test]
async fn a_statement_is_sent_once_with_all_that_it_needs() {
    let script = Script::in_turn([one("1")]).await;
    let answer = script.client().execute("SELECT 1 AS a").await.unwrap();
    assert_eq!(rows(&answer), [[Some("1")]]);
    assert_eq!(
        (answer.handle.as_str(), answer.i64(0, "A").unwrap()),
        ("h1", 1)
    );

    let [asked]: [Asked; 1] = script.asked().try_into().unwrap();
    assert_eq!(
        (&asked.method, asked.path.as_str()),
        (&Method::POST, "/api/v2/statements")
    );
    assert_eq!(asked.query.keys().collect::<Vec<_>>(), ["requestId"]);
    assert!(uuid::Uuid::parse_str(&asked.query["requestId"]).is_ok());
    assert_eq!(
        asked.header("user-agent"),
        concat!("sluicebox/", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(
        asked.header("x-snowflake-authorization-token-type"),
        "KEYPAIR_JWT"
    );
    assert_eq!(
        (asked.header("content-type"), asked.header("accept")),
        ("application/json", "application/json")
    );
    assert_eq!(
        asked.body,
        json!({
            "statement": "SELECT 1 AS a", "timeout": 600,
            "database": "KAFKA_DB", "schema": "STREAMING", "warehouse": "COMPUTE_WH", "role": "KAFKA_LOADER",
            "parameters": {"TIMEZONE": "UTC", "QUERY_TAG": "sluicebox"},
        })
    );
    let claims = asked.claims();
    assert_eq!(
        claims["iss"],
        format!("MYORG-MY_ACCT.KAFKA_SERVICE.{}", PAIR.fingerprint())
    );
    assert_eq!(claims["sub"], "MYORG-MY_ACCT.KAFKA_SERVICE");
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let (iat, exp) = (
        claims["iat"].as_u64().unwrap(),
        claims["exp"].as_u64().unwrap(),
    );
    assert!(
        iat <= now && now - iat < 600 && exp - iat <= 3600,
        "{claims}"
    );
}

#[tokio::test]
async fn bindings_are_numbered_and_typed() {
    let script = Script::in_turn([one("1")]).await;
    let bindings = [
        Binding::text("a'b"),
        Binding::integer(-5),
        Binding::boolean(true),
        Binding::null(),
    ];
    script
        .client()
        .execute_with("SELECT ?, ?, ?, ?", &bindings)
        .await
        .unwrap();
    assert_eq!(
        script.asked()[0].body["bindings"],
        json!({
            "1": {"type": "TEXT", "value": "a'b"}, "2": {"type": "FIXED", "value": "-5"},
            "3": {"type": "BOOLEAN", "value": "true"}, "4": {"type": "TEXT", "value": null},
        })
    );
}

#[tokio::test]
async fn another_role_is_a_matter_of_the_body() {
    let script = Script::in_turn([one("1")]).await;
    script
        .client()
        .with_role("accountadmin")
        .execute("SELECT 1")
        .await
        .unwrap();
    assert_eq!(script.asked()[0].body["role"], "ACCOUNTADMIN");
}

#[tokio::test]
async fn a_running_statement_is_asked_for_until_it_is_done() {
    let script = Script::in_turn([
        running("h9"),
        running("h9"),
        Reply::Text(503, ""),
        running("h9"),
        one("1"),
    ])
    .await;
    let answer = script
        .client()
        .execute("SELECT SYSTEM$WAIT(50)")
        .await
        .unwrap();
    assert_eq!(rows(&answer), [[Some("1")]]);
    let asked = script.asked();
    assert_eq!(asked.len(), 5);
    for request in &asked[1..] {
        assert_eq!(
            (&request.method, request.path.as_str()),
            (&Method::GET, "/api/v2/statements/h9")
        );
        assert!(request.query.is_empty());
    }
}

#[tokio::test]
async fn further_partitions_are_read_in_order() {
    let script = Script::start(
        |asked| match asked.query.get("partition").map(String::as_str) {
            None => {
                let mut body = result("h5", &[("A", "fixed")], &json!([["1"], ["2"]]));
                body["resultSetMetaData"]["numRows"] = json!(5);
                let part =
                    |count| json!({"rowCount": count, "uncompressedSize": 1, "compressedSize": 1});
                body["resultSetMetaData"]["partitionInfo"] = json!([part(2), part(2), part(1)]);
                Reply::Json(200, body)
            }
            Some("1") => Reply::Gzip(json!({"data": [["3"], [null]]})),
            Some("2") => Reply::Gzip(json!({"data": [["5"]]})),
            Some(_) => refused("391922", "22023", "Invalid partition parameter."),
        },
    )
    .await;
    let answer = script.client().execute("SELECT a FROM t").await.unwrap();
    assert_eq!(
        rows(&answer),
        [[Some("1")], [Some("2")], [Some("3")], [None], [Some("5")]]
    );
    let asked = script.asked();
    assert_eq!(asked.len(), 3);
    assert!(
        asked[1..]
            .iter()
            .all(|asked| asked.path == "/api/v2/statements/h5")
    );
    assert!(asked[1].header("accept-encoding").contains("gzip"));
}

/// Answers a parent with two children, and each child.
fn two_children(asked: &Asked) -> Reply {
    match asked.path.rsplit('/').next() {
        Some("statements") => {
            let text = json!([["Multiple statements executed successfully."]]);
            let mut body = result("parent", &[("multiple statement execution", "text")], &text);
            body["statementHandles"] = json!(["c1", "c2"]);
            Reply::Json(200, body)
        }
        Some("c1") => Reply::Json(200, result("c1", &[("A", "fixed")], &json!([["1"]]))),
        Some("c2") => Reply::Json(200, result("c2", &[("A", "fixed")], &json!([["2"]]))),
        _ => refused("000709", "02000", "no such statement"),
    }
}

#[tokio::test]
async fn several_statements_are_one_request_and_an_answer_each() {
    let script = Script::start(two_children).await;
    let statements = ["SELECT 1 AS a".to_owned(), "SELECT 2 AS a".to_owned()];
    let request = RequestId::new();
    let client = script.client();
    let answers = client
        .execute_all(&statements, request.clone())
        .await
        .unwrap();
    assert_eq!(
        answers.iter().map(rows).collect::<Vec<_>>(),
        [[[Some("1")]], [[Some("2")]]]
    );

    client
        .execute_all(&statements, request.clone())
        .await
        .unwrap();
    let asked = script.asked();
    let posts: Vec<_> = asked
        .iter()
        .filter(|asked| asked.method == Method::POST)
        .collect();
    assert_eq!((posts.len(), asked.len()), (2, 6));
    assert_eq!(posts[0].body["statement"], "SELECT 1 AS a;\nSELECT 2 AS a");
    assert_eq!(
        posts[0].body["parameters"],
        json!({"TIMEZONE": "UTC", "QUERY_TAG": "sluicebox", "MULTI_STATEMENT_COUNT": "2"})
    );
    // The same id given again is the same request sent again.
    let id = request.id().to_string();
    assert_eq!(
        posts
            .iter()
            .map(|post| post.query["requestId"].clone())
            .collect::<Vec<_>>(),
        [id.clone(), id]
    );
    assert_eq!(
        (
            posts[0].query.get("retry"),
            posts[1].query["retry"].as_str()
        ),
        (None, "true")
    );
}

#[tokio::test]
async fn several_statements_may_take_their_time() {
    let mut looked = false;
    let script = Script::start(move |asked| match asked.method {
        Method::POST => running("parent"),
        // The parent is asked for twice; the children are done with it.
        _ if asked.path.ends_with("parent") && !looked => {
            looked = true;
            running("parent")
        }
        _ if asked.path.ends_with("parent") => two_children(&Asked {
            path: "/api/v2/statements".into(),
            ..asked.clone()
        }),
        _ => two_children(asked),
    })
    .await;
    let statements = ["SELECT 1 AS a".to_owned(), "SELECT 2 AS a".to_owned()];
    let answers = script
        .client()
        .execute_all(&statements, RequestId::new())
        .await
        .unwrap();
    assert_eq!(
        answers.iter().map(rows).collect::<Vec<_>>(),
        [[[Some("1")]], [[Some("2")]]]
    );
    assert_eq!(script.asked().len(), 5);
}

#[tokio::test]
async fn one_statement_of_a_list_is_a_plain_request_and_none_is_no_request() {
    let script = Script::in_turn([one("1")]).await;
    let client = script.client();
    let answers = client
        .execute_all(&["SELECT 1".to_owned()], RequestId::new())
        .await
        .unwrap();
    assert_eq!(rows(&answers[0]), [[Some("1")]]);
    assert!(
        client
            .execute_all(&[], RequestId::new())
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(script.asked().len(), 1);
    assert!(
        script.asked()[0].body["parameters"]
            .get("MULTI_STATEMENT_COUNT")
            .is_none()
    );
}

#[tokio::test]
async fn calls_can_run_on_any_thread() {
    let script = Script::in_turn([one("1")]).await;
    let client = script.client();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        client
            .execute_all(&["SELECT 1".to_owned()], RequestId::new())
            .await
    });
    tasks.join_next().await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn each_type_is_read_as_the_service_writes_it() {
    let columns = [
        ("I", "fixed"),
        ("F", "real"),
        ("S", "text"),
        ("B", "binary"),
        ("BO", "boolean"),
        ("D", "date"),
        ("TM", "time"),
        ("TN", "timestamp_ntz"),
        ("TL", "timestamp_ltz"),
        ("TZ", "timestamp_tz"),
        ("V", "variant"),
        ("A", "array"),
    ];
    let values = json!([
        "12345678901234567890123456789012345678",
        "1.5",
        "héllo",
        "DEADBEEF",
        "true",
        "20735",
        "45296.123456789",
        "1791549296.123456789",
        "1791524096.123456789",
        "1791524096.123456789 1860",
        "{\n  \"a\": 1\n}",
        "[\n  1,\n  \"x\",\n  undefined\n]",
    ]);
    let nulls = vec![serde_json::Value::Null; columns.len()];
    let script = Script::in_turn([Reply::Json(
        200,
        result("h", &columns, &json!([values, nulls])),
    )])
    .await;
    let answer = script
        .client()
        .execute("SELECT * FROM types")
        .await
        .unwrap();
    let written = query::json(&answer);
    let expected = concat!(
        "[\n{\"I\":12345678901234567890123456789012345678,\"F\":1.5,\"S\":\"héllo\",\"B\":\"DEADBEEF\",\"BO\":true,",
        "\"D\":\"2026-10-09\",\"TM\":\"12:34:56.123456789\",\"TN\":\"2026-10-09T12:34:56.123456789\",",
        "\"TL\":\"2026-10-09T05:34:56.123456789Z\",\"TZ\":\"2026-10-09T12:34:56.123456789+07:00\",\"V\":{\"a\":1},",
        "\"A\":\"[\\n  1,\\n  \\\"x\\\",\\n  undefined\\n]\"},\n"
    );
    assert!(written.starts_with(expected), "{written}");
    assert!(written.ends_with("\"V\":null,\"A\":null}\n]"), "{written}");
}
