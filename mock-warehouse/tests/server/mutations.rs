//! A hundred thousand requests that nobody would send: the recorded ones and those of drivers and S3 clients, with bytes,
//! values, words and headers changed. Each is answered, in time, and none with a fault of the server's own.

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tower::ServiceExt;

use crate::recordings::replayed;
use crate::support::{ACCOUNT, Sent, USER, Warehouse, token};

const REQUESTS: u64 = 100_000;

const TASKS: u64 = 4;

/// Far longer than any takes; a request that hangs would hang for ever.
const PATIENCE: Duration = Duration::from_secs(20);

const SEED: u64 = 0x51_0B0C;

/// Pieces that have broken parsers before.
const PIECES: [&str; 28] = [
    "'",
    "\"",
    ";",
    "--",
    "/*",
    "$$",
    "\\",
    "\0",
    "\u{feff}",
    "\u{202e}",
    "é",
    "💥",
    "@",
    "(",
    ")",
    "[[[[[[[[",
    "{\"a\":",
    "}",
    "null",
    "-1",
    "1e999",
    "99999999999999999999999999999999999999999",
    "0x",
    "%00",
    "../",
    "::",
    "?",
    " ",
];

/// Values that fields of JSON bodies are not made for.
fn odd_value(random: &mut Random) -> Value {
    let odd = [
        json!(null),
        json!([]),
        json!({}),
        json!(-1),
        json!(1.5e300),
        json!(u64::MAX),
        json!(true),
        json!(""),
        json!("\0"),
        json!("x".repeat(2_000)),
        json!([[[[null]]]]),
        json!({"type": "FIXED", "value": "a"}),
        json!({"type": [], "value": {}}),
        json!("0"),
    ];
    odd[random.below(odd.len())].clone()
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }

    fn one_in(&mut self, chance: usize) -> bool {
        self.below(chance) == 0
    }
}

/// Changes bytes: most bodies are no JSON afterwards.
fn mutate_bytes(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(20)).min(bytes.len());
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            4 => bytes.insert(at, u8::try_from(random.below(256)).unwrap()),
            _ => {
                let piece = PIECES[random.below(PIECES.len())];
                bytes.splice(at..at, piece.bytes());
            }
        }
    }
}

/// Changes a value somewhere in a JSON body.
fn mutate_value(value: &mut Value, random: &mut Random) {
    match value {
        Value::Object(members) if !members.is_empty() && !random.one_in(4) => {
            let at = random.below(members.len());
            let name = members.keys().nth(at).unwrap().clone();
            if random.one_in(4) {
                let moved = members.remove(&name).unwrap();
                members.insert(
                    format!("{name}{}", PIECES[random.below(PIECES.len())]),
                    moved,
                );
            } else {
                mutate_value(&mut members[&name], random);
            }
        }
        Value::Array(values) if !values.is_empty() && !random.one_in(4) => {
            let at = random.below(values.len());
            mutate_value(&mut values[at], random);
        }
        other => *other = odd_value(random),
    }
}

/// Changes words of the statement, so that the body still is a request.
fn mutate_statement(body: &mut Value, random: &mut Random) {
    let name = if body.get("sqlText").is_some() {
        "sqlText"
    } else {
        "statement"
    };
    let Some(statement) = body.get(name).and_then(Value::as_str) else {
        return;
    };
    let mut words: Vec<String> = statement.split(' ').map(str::to_owned).collect();
    for _ in 0..=random.below(2) {
        let (at, other) = (random.below(words.len()), random.below(words.len()));
        match random.below(4) {
            0 => drop(words.remove(at)),
            1 => words.swap(at, other),
            2 => words.insert(at, words[other].clone()),
            _ => words[at].push_str(PIECES[random.below(PIECES.len())]),
        }
        if words.is_empty() {
            break;
        }
    }
    body[name] = words.join(" ").into();
}

fn mutate_uri(uri: &mut String, random: &mut Random) {
    let extras = [
        "?requestId=",
        "&retry=true",
        "?async=maybe",
        "&partition=-1",
        "?partition=99999999999999999999",
        "/cancel",
        "%ff",
        "//",
        "/..",
        "?nullable=2",
        "&&&=",
        "/x",
        "?list-type=2&max-keys=-1",
        "?uploads",
        "?uploadId=x&partNumber=0",
        "?delete",
    ];
    if random.one_in(2) {
        uri.push_str(extras[random.below(extras.len())]);
    } else {
        let mut bytes = std::mem::take(uri).into_bytes();
        mutate_bytes(&mut bytes, random);
        *uri = String::from_utf8_lossy(&bytes).into_owned();
    }
}

fn mutate_headers(headers: &mut HeaderMap, random: &mut Random) {
    let names = [
        "authorization",
        "content-type",
        "content-encoding",
        "x-snowflake-authorization-token-type",
        "range",
        "x-amz-content-sha256",
        "x-amz-security-token",
        "x-amz-date",
        "host",
        "if-none-match",
    ];
    let values = [
        "",
        "application/json",
        "text/plain",
        "gzip",
        "Bearer x",
        "Bearer a.b.c",
        "Snowflake Token=\"\"",
        "bytes=9-1",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "UNSIGNED-PAYLOAD",
        "\u{e9}",
        "KEYPAIR_JWT",
        "*",
        "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
    ];
    let name = HeaderName::from_static(names[random.below(names.len())]);
    if random.one_in(3) {
        headers.remove(name);
    } else if let Ok(value) = HeaderValue::from_bytes(values[random.below(values.len())].as_bytes())
    {
        headers.insert(name, value);
    }
}

/// One of the corpus, changed. Few still reach the engine: those that do take longest.
fn mutated(corpus: &[Sent], random: &mut Random) -> Sent {
    let mut sent = corpus[random.below(corpus.len())].clone();
    if random.one_in(8) {
        mutate_headers(&mut sent.headers, random);
    }
    if random.one_in(6) {
        mutate_uri(&mut sent.uri, random);
    }
    if random.one_in(20) {
        let methods = [
            Method::GET,
            Method::PUT,
            Method::POST,
            Method::DELETE,
            Method::HEAD,
            Method::PATCH,
            Method::OPTIONS,
        ];
        sent.method = methods[random.below(methods.len())].clone();
    }
    let parsed = serde_json::from_slice::<Value>(&sent.body);
    match (parsed, random.below(40)) {
        (Ok(mut body), 0) => {
            mutate_statement(&mut body, random);
            sent.body = body.to_string().into_bytes();
        }
        (Ok(mut body), 1..4) => {
            mutate_value(&mut body, random);
            sent.body = body.to_string().into_bytes();
        }
        _ => {
            mutate_bytes(&mut sent.body, random);
            // Bodies that are JSON by luck reach the engine in small numbers anyway.
            if serde_json::from_slice::<Value>(&sent.body).is_ok() && !random.one_in(8) {
                sent.body.truncate(random.below(sent.body.len()));
            }
        }
    }
    sent
}

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
