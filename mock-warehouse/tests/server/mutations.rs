//! A hundred thousand requests that nobody would send: the recorded ones and those of drivers and S3 clients, with bytes,
//! values, words and headers changed. Each is answered, in time, and none with a fault of the server's own.

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Method, Request};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tower::ServiceExt;

use crate::mutator::{Random, mutated};
use crate::recordings::replayed;
use crate::support::{ACCOUNT, Sent, USER, Warehouse, token};

const REQUESTS: u64 = 100_000;

const TASKS: u64 = 4;

/// Far longer than any takes; a request that hangs would hang for ever.
const PATIENCE: Duration = Duration::from_secs(20);

const SEED: u64 = 0x51_0B0C;

/// The requests of drivers and of S3 clients, beside the recorded ones.
fn others(session_token: &str, master_token: &str) -> Vec<Sent> {
    let request = |method: Method, uri: &str, authorization: &str, body: Value| {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert(
            "authorization",
            HeaderValue::from_str(authorization).unwrap(),
        );
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        Sent {
            method,
            uri: uri.to_owned(),
            headers,
            body,
        }
    };
    let session = format!("Snowflake Token=\"{session_token}\"");
    let master = format!("Snowflake Token=\"{master_token}\"");
    let login = json!({"data": {"LOGIN_NAME": USER, "AUTHENTICATOR": "SNOWFLAKE_JWT", "TOKEN": token(),
        "ACCOUNT_NAME": ACCOUNT, "SESSION_PARAMETERS": {"AUTOCOMMIT": "true"}, "CLIENT_ENVIRONMENT": {}}});
    let query = "/queries/v1/query-request?requestId=1";
    let sql = |text: &str| {
        json!({"sqlText": text, "asyncExec": false, "sequenceId": 1,
        "bindings": {"1": {"type": "FIXED", "value": "1"}}, "parameters": {"MULTI_STATEMENT_COUNT": 1}})
    };
    let s3 = "AWS4-HMAC-SHA256 Credential=mock-access-key/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00";
    vec![
        request(
            Method::POST,
            "/session/v1/login-request?databaseName=db&warehouse=wh",
            "",
            login,
        ),
        request(
            Method::POST,
            "/session/token-request",
            &master,
            json!({"oldSessionToken": session_token, "requestType": "RENEW"}),
        ),
        request(Method::POST, "/session/heartbeat", &session, json!({})),
        request(Method::POST, query, &session, sql("SELECT ?")),
        request(
            Method::POST,
            query,
            &session,
            sql("PUT 'file:///a b/*.csv' '@DB.S.ST/in' OVERWRITE=TRUE PARALLEL=4"),
        ),
        request(
            Method::POST,
            query,
            &session,
            sql("GET @DB.S.ST/in file:///tmp/"),
        ),
        request(
            Method::POST,
            query,
            &session,
            sql("SELECT * FROM TABLE(RESULT_SCAN('x'))"),
        ),
        request(
            Method::POST,
            "/queries/v1/abort-request",
            &session,
            json!({"requestId": "1"}),
        ),
        request(Method::GET, "/queries/x/result", &session, Value::Null),
        request(Method::GET, "/queries/x/chunks/1", &session, Value::Null),
        request(Method::GET, "/monitoring/queries//x", &session, Value::Null),
        request(Method::POST, "/telemetry/send", &session, json!({})),
        request(Method::PUT, "/sluicebox/a/b.parquet", s3, json!("content")),
        request(
            Method::GET,
            "/sluicebox?list-type=2&prefix=a",
            s3,
            Value::Null,
        ),
        request(Method::POST, "/sluicebox/a?uploads", s3, Value::Null),
        request(
            Method::PUT,
            "/sluicebox/a?partNumber=1&uploadId=x",
            s3,
            json!("part"),
        ),
        request(
            Method::GET,
            "/sluicebox/a?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=1&X-Amz-Signature=0",
            "",
            Value::Null,
        ),
        request(
            Method::POST,
            "/admin/faults",
            "",
            json!({"faults": ["500@poll=0"]}),
        ),
    ]
}

/// How the tasks fared.
#[derive(Debug, Default)]
struct Tally {
    sent: u64,
    succeeded: u64,
    slowest: Duration,
}

async fn send_all(router: Router, corpus: Vec<Sent>, seed: u64, count: u64) -> Tally {
    let mut tally = Tally::default();
    let mut random = Random(seed);
    while tally.sent < count {
        let sent = mutated(&corpus, &mut random);
        let mut request = Request::builder()
            .method(sent.method.clone())
            .uri(&sent.uri);
        if let Some(headers) = request.headers_mut() {
            *headers = sent.headers.clone();
        }
        // What is no request at all never reaches a server's router.
        let Ok(request) = request.body(Body::from(sent.body.clone())) else {
            continue;
        };
        tally.sent += 1;
        let began = Instant::now();
        let answered = async {
            let response = router.clone().oneshot(request).await.unwrap();
            let status = response.status();
            (
                status,
                to_bytes(response.into_body(), usize::MAX).await.unwrap(),
            )
        };
        let shown = || {
            format!(
                "{} {} {:?}\n{}",
                sent.method,
                sent.uri,
                sent.headers,
                String::from_utf8_lossy(&sent.body)
            )
        };
        let Ok((status, body)) = tokio::time::timeout(PATIENCE, answered).await else {
            panic!(
                "no answer to request {} of seed {seed}: {}",
                tally.sent,
                shown()
            );
        };
        let text = String::from_utf8_lossy(&body);
        let of_its_own = text.contains("panicked") || text.contains("ended without a result");
        assert!(
            !of_its_own && status != 500,
            "{status} to request {} of seed {seed}: {}\n{text}",
            tally.sent,
            shown()
        );
        tally.succeeded += u64::from(status.is_success());
        tally.slowest = tally.slowest.max(began.elapsed());
    }
    tally
}

async fn tokens(warehouse: &Warehouse) -> (String, String) {
    let login =
        json!({"data": {"LOGIN_NAME": USER, "AUTHENTICATOR": "SNOWFLAKE_JWT", "TOKEN": token()}});
    let request = Request::post("/session/v1/login-request").body(login.to_string().into());
    let answer = warehouse.send(request.unwrap()).await.body();
    let text = |name: &str| answer["data"][name].as_str().unwrap().to_owned();
    (text("token"), text("masterToken"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_mutated_requests_are_answered() {
    let (warehouse, mut corpus) = replayed().await;
    // Numbers in these stand for time and memory: changed ones would only take both.
    let costly = |sent: &Sent| {
        let body = String::from_utf8_lossy(&sent.body);
        body.contains("SYSTEM$WAIT") || body.contains("GENERATOR")
    };
    corpus.retain(|sent| !costly(sent));
    let recorded = corpus.len();
    assert!(recorded >= 60, "{recorded}");
    let (session, master) = tokens(&warehouse).await;
    corpus.extend(others(&session, &master));
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        tasks.spawn(send_all(
            warehouse.router(),
            corpus.clone(),
            SEED + task,
            REQUESTS / TASKS,
        ));
    }
    let mut whole = Tally::default();
    while let Some(tally) = tasks.join_next().await {
        let tally = tally.unwrap();
        whole.sent += tally.sent;
        whole.succeeded += tally.succeeded;
        whole.slowest = whole.slowest.max(tally.slowest);
    }
    let counters = warehouse.warehouse.faults().counters();
    println!(
        "{} mutated requests in {:.0?}, from {recorded} recorded and {} others: {} succeeded, {} statements ran, the slowest took {:.1?}",
        whole.sent,
        began.elapsed(),
        corpus.len() - recorded,
        whole.succeeded,
        counters.statements,
        whole.slowest
    );
    assert!(whole.sent >= REQUESTS);
    assert_eq!(counters.panics, 0);
    // A server that refused everything unread would pass too.
    assert!(
        whole.succeeded > 1_000 && counters.statements > 500,
        "{whole:?} {counters:?}"
    );
}
