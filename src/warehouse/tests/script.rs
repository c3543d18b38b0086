//! A server for tests that answers as it is told, and remembers what it was asked.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Query, State},
    http::{HeaderMap, Method, Response, Uri},
};
use futures::stream;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rsa::{RsaPublicKey, pkcs1::EncodeRsaPublicKey, pkcs8::DecodePublicKey};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    keys::tests::PAIR,
    warehouse::{Client, Config, tests::hurried},
};

/// What the server was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn claims(&self) -> Value {
        verified_claims(
            self.header("authorization")
                .strip_prefix("Bearer ")
                .unwrap(),
        )
    }
}

/// What the server answers.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Json(u16, Value),
    Text(u16, &'static str),
    RetryAfter(u16, &'static str),
    /// No body, and one header.
    Headed(u16, &'static str, &'static str),
    Gzip(Value),
    /// A 200 whose body breaks off.
    BreaksOff,
}

type Replies = Box<dyn FnMut(&Asked) -> Reply + Send>;

#[derive(Clone)]
struct Shared {
    replies: Arc<Mutex<Replies>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// The server; it ends with this value.
pub(crate) struct Script {
    shared: Shared,
    url: String,
    _server: JoinSet<io::Result<()>>,
}

impl Script {
    pub(crate) async fn start(replies: impl FnMut(&Asked) -> Reply + Send + 'static) -> Self {
        let shared = Shared {
            replies: Arc::new(Mutex::new(Box::new(replies))),
            asked: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(handle).with_state(shared.clone());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await });
        Self {
            shared,
            url,
            _server: server,
        }
    }

    /// Answers the n-th request with the n-th reply.
    pub(crate) async fn in_turn(replies: impl IntoIterator<Item = Reply>) -> Self {
        let mut replies: VecDeque<_> = replies.into_iter().collect();
        Self::start(move |asked| {
            replies
                .pop_front()
                .unwrap_or_else(|| panic!("nothing left for {asked:?}"))
        })
        .await
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            account: "myorg-my_acct.us-east-1".into(),
            user: "kafka_service".into(),
            role: "kafka_loader".into(),
            database: "KAFKA_DB".into(),
            schema: "STREAMING".into(),
            warehouse: "COMPUTE_WH".into(),
            url: self.url.clone(),
            private_key_file: "unused.p8".into(),
            stage: "KAFKA_STAGE".into(),
            stage_url: "s3://bucket/prefix/".into(),
            ..Config::default()
        }
    }

    /// A client that does not wait long between tries.
    pub(crate) fn client(&self) -> Client {
        self.client_with(&self.config())
    }

    pub(crate) fn client_with(&self, config: &Config) -> Client {
        hurried(Client::new(config, &PAIR).unwrap())
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }
}

async fn handle(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let asked = Asked {
        method,
        path: uri.path().to_owned(),
        query,
        headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    };
    let reply = (shared.replies.lock().unwrap())(&asked);
    shared.asked.lock().unwrap().push(asked);
    let response = Response::builder().header("content-type", "application/json");
    match reply {
        Reply::Json(status, body) => response.status(status).body(Body::from(body.to_string())),
        Reply::Text(status, body) => response.status(status).body(Body::from(body)),
        Reply::RetryAfter(status, seconds) => response
            .status(status)
            .header("retry-after", seconds)
            .body(Body::from("{}")),
        Reply::Headed(status, name, value) => response
            .status(status)
            .header(name, value)
            .body(Body::empty()),
        Reply::Gzip(body) => response
            .header("content-encoding", "gzip")
            .body(Body::from(gzip(&body.to_string()))),
        Reply::BreaksOff => {
            let parts = [Ok("{\"statementHandle\""), Err(io::Error::other("broken"))];
            response.body(Body::from_stream(stream::iter(parts)))
        }
    }
    .unwrap()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = Command::new("gzip")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    io::Write::write_all(&mut gzip.stdin.take().unwrap(), text.as_bytes()).unwrap();
    gzip.wait_with_output().unwrap().stdout
}

/// The claims of a token that the tests' key has signed.
pub(crate) fn verified_claims(token: &str) -> Value {
    let key = RsaPublicKey::from_public_key_pem(&PAIR.public().to_pem()).unwrap();
    let key = DecodingKey::from_rsa_der(key.to_pkcs1_der().unwrap().as_bytes());
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    jsonwebtoken::decode::<Value>(token, &key, &validation)
        .unwrap()
        .claims
}

/// A 200 with columns of a kind each, and rows.
pub(crate) fn result(handle: &str, columns: &[(&str, &str)], rows: &Value) -> Value {
    let row_type: Vec<_> = columns
        .iter()
        .map(|(name, kind)| json!({"name": name, "type": kind, "precision": null, "scale": null, "length": null, "nullable": true}))
        .collect();
    json!({
        "resultSetMetaData": {
            "numRows": rows.as_array().unwrap().len(),
            "format": "jsonv2",
            "partitionInfo": [{"rowCount": rows.as_array().unwrap().len(), "uncompressedSize": 1}],
            "rowType": row_type,
        },
        "data": rows,
        "code": "090001",
        "statementHandle": handle,
        "statementStatusUrl": format!("/api/v2/statements/{handle}?requestId=00000000-0000-0000-0000-000000000000"),
        "sqlState": "00000",
        "message": "Statement executed successfully.",
        "createdOn": 1_791_499_261_098_u64,
    })
}

/// A 202.
pub(crate) fn running(handle: &str) -> Reply {
    Reply::Json(
        202,
        json!({
            "code": "333334",
            "message": "Asynchronous execution in progress. Use provided query id to perform query monitoring and management.",
            "statementHandle": handle,
            "statementStatusUrl": format!("/api/v2/statements/{handle}"),
        }),
    )
}

/// A 422.
pub(crate) fn refused(code: &str, sql_state: &str, message: &str) -> Reply {
    let body =
        json!({"code": code, "message": message, "sqlState": sql_state, "statementHandle": "h"});
    Reply::Json(422, body)
}

/// The answer to DDL.
pub(crate) fn status(text: &str) -> Reply {
    Reply::Json(200, result("h", &[("status", "text")], &json!([[text]])))
}

/// A 200 with one number.
pub(crate) fn one(value: &str) -> Reply {
    Reply::Json(200, result("h1", &[("A", "fixed")], &json!([[value]])))
}
