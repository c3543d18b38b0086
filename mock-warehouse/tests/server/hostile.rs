//! Requests of clients that mean harm or have lost their way: the documented error, in bounded memory.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode, header};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use crate::support::{Answer, USER, Warehouse, token};

/// A body of so many MiB that counts what is read of it.
fn endless(mebibytes: usize) -> (Body, Arc<AtomicUsize>) {
    let read = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&read);
    let chunk = Bytes::from(vec![b' '; 1 << 20]);
    let chunks = stream::iter(0..mebibytes).map(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok::<_, std::io::Error>(chunk.clone())
    });
    (Body::from_stream(chunks), read)
}

async fn driver(
    warehouse: &Warehouse,
    path: &str,
    token: &str,
    encoding: &str,
    body: Body,
) -> Answer {
    let request = Request::post(path)
        .header(
            header::AUTHORIZATION,
            format!("Snowflake Token=\"{token}\""),
        )
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_ENCODING, encoding);
    warehouse.send(request.body(body).unwrap()).await
}

async fn logged_in(warehouse: &Warehouse) -> Answer {
    let login =
        json!({"data": {"LOGIN_NAME": USER, "AUTHENTICATOR": "SNOWFLAKE_JWT", "TOKEN": token()}});
    driver(
        warehouse,
        "/session/v1/login-request",
        "",
        "identity",
        login.to_string().into(),
    )
    .await
}

fn session_token(login: &Answer) -> String {
    login.body()["data"]["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_body_of_a_hundred_megabytes_is_refused_before_it_is_read() {
    let warehouse = Warehouse::new().await;
    let router = warehouse.router();
    for (path, most) in [
        ("/api/v2/statements", 17),
        ("/session/v1/login-request", 65),
        ("/queries/v1/query-request", 65),
    ] {
        let (body, read) = endless(100);
        let token = session_token(&logged_in(&warehouse).await);
        let authorization = match path {
            "/api/v2/statements" => format!("Bearer {}", crate::support::token()),
            _ => format!("Snowflake Token=\"{token}\""),
        };
        let request = Request::post(path)
            .header(header::AUTHORIZATION, authorization)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .unwrap();
        let response = tower::ServiceExt::oneshot(router.clone(), request)
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        assert!(
            read.load(Ordering::Relaxed) <= most,
            "{path}: {read:?} MiB read"
        );
    }
}

#[tokio::test]
async fn a_gzip_bomb_is_no_payload() {
    let warehouse = Warehouse::new().await;
    let token = session_token(&logged_in(&warehouse).await);
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(b"{\"sqlText\":\"SELECT 1").unwrap();
    for _ in 0..200 {
        bomb.write_all(&[b' '; 1 << 20]).unwrap();
    }
    bomb.write_all(b"\"}").unwrap();
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    for path in ["/queries/v1/query-request", "/session/v1/login-request"] {
        let answer = driver(&warehouse, path, &token, "gzip", bomb.clone().into()).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body()["code"]),
            (200, &json!("390142")),
            "{path}"
        );
    }
    let half = bomb[..bomb.len() / 2].to_vec();
    let answer = driver(
        &warehouse,
        "/queries/v1/query-request",
        &token,
        "gzip",
        half.into(),
    )
    .await;
    assert_eq!(answer.body()["code"], "390142");
}

#[tokio::test]
async fn a_drivers_body_that_is_no_request_is_no_payload() {
    let warehouse = Warehouse::new().await;
    let token = session_token(&logged_in(&warehouse).await);
    for body in [
        "",
        "{",
        "{\"sqlText\":\"SELECT",
        "[]",
        "null",
        "{\"sqlText\":1}",
        "{\"sqlText\":\"SELECT 1\",\"bindings\":[]}",
    ] {
        let answer = driver(
            &warehouse,
            "/queries/v1/query-request",
            &token,
            "identity",
            body.into(),
        )
        .await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body()["code"]),
            (200, &json!("390142")),
            "{body}"
        );
    }
    // Fields that nobody knows are passed over: drivers send more of them with each version.
    let query = json!({"sqlText": "SELECT 1", "somethingNew": {"a": [1]}}).to_string();
    let answer = driver(
        &warehouse,
        "/queries/v1/query-request",
        &token,
        "identity",
        query.into(),
    )
    .await;
    assert_eq!(answer.body()["data"]["rowset"], json!([["1"]]));
}

#[tokio::test]
async fn an_unknown_field_of_a_statement_is_passed_over() {
    // Unproven: what the service does with one. Its OpenAPI file does not forbid them.
    let warehouse = Warehouse::new().await;
    let answer = warehouse
        .post("", json!({"statement": "SELECT 1", "somethingNew": 1}))
        .await;
    assert_eq!(answer.data(), json!([["1"]]));
}

#[tokio::test]
async fn any_name_can_be_quoted() {
    let warehouse = Warehouse::new().await;
    for name in [
        "a.b",
        "say \"\"hi\"\"",
        "it's",
        "ünï 💥",
        "a/b",
        "..",
        " ",
        "select",
        "a;b",
        "--",
        "$$",
        "%",
    ] {
        let table = format!("DB.S.\"{name}\"");
        for (sql, data) in [
            (format!("CREATE TABLE {table} (\"{name}\" NUMBER)"), None),
            (format!("INSERT INTO {table} (\"{name}\") VALUES (7)"), None),
            (
                format!("SELECT \"{name}\" FROM {table}"),
                Some(json!([["7"]])),
            ),
            (format!("DROP TABLE {table}"), None),
        ] {
            let answer = warehouse.sql(&sql).await;
            assert_eq!(answer.status, 200, "{sql}: {}", answer.body());
            if let Some(data) = data {
                assert_eq!(answer.data(), data, "{sql}");
            }
        }
    }
}

/// A statement that would take years.
async fn endless_statement(warehouse: &Warehouse) -> &'static str {
    warehouse.sql("CREATE TABLE many (n NUMBER)").await.data();
    let values: Vec<String> = (0..1_000).map(|n| format!("({n})")).collect();
    warehouse
        .sql(&format!("INSERT INTO many VALUES {}", values.join(", ")))
        .await
        .data();
    "SELECT SUM(a.n * b.n + c.n - d.n + e.n) FROM many a, many b, many c, many d, many e"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_without_end_is_ended_by_its_time_out_or_a_cancel() {
    let warehouse = Warehouse::new().await;
    let statement = endless_statement(&warehouse).await;
    let began = Instant::now();
    let answer = warehouse
        .post("", json!({"statement": statement, "timeout": 1}))
        .await;
    assert_eq!(answer.verdict(), (408, "000630".to_owned()));
    let sent = warehouse
        .post("?async=true", json!({"statement": statement}))
        .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(
        warehouse.cancel(&sent.handle()).await.verdict(),
        (200, "000604".to_owned())
    );
    assert_eq!(
        warehouse.ended(&sent.handle()).await.verdict(),
        (422, "000604".to_owned())
    );
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(
        warehouse.sql("SELECT COUNT(*) FROM many").await.data(),
        json!([["1000"]])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_thousand_open_sessions_end_the_idlest() {
    let warehouse = Warehouse::new().await;
    let mut tokens = Vec::new();
    for _ in 0..1_010 {
        tokens.push(session_token(&logged_in(&warehouse).await));
    }
    let ask = async |token: &str| -> Value {
        let body = json!({"sqlText": "SELECT 1"}).to_string();
        driver(
            &warehouse,
            "/queries/v1/query-request",
            token,
            "identity",
            body.into(),
        )
        .await
        .body()
    };
    for gone in &tokens[..10] {
        assert_eq!(ask(gone).await["code"], "390111");
    }
    for open in [&tokens[10], &tokens[1_009]] {
        assert_eq!(ask(open).await["success"], true);
    }
}
