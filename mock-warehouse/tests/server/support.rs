//! A warehouse with one user, tokens that the user signs, and requests without a port.

use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mock_warehouse::engine::{Bindings, Session};
use mock_warehouse::{Config, MockWarehouse, PublicKey};
use rsa::RsaPrivateKey;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use rsa::rand_core::OsRng;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub(crate) const ACCOUNT: &str = "MYORG-MYACCT";
pub(crate) const USER: &str = "KAFKA_SERVICE";
pub(crate) const ROLE: &str = "KAFKA_LOADER";

/// The key that the user is registered with.
pub(crate) static KEY: LazyLock<KeyPair> = LazyLock::new(KeyPair::generate);

/// A key that nobody is registered with.
pub(crate) static OTHER_KEY: LazyLock<KeyPair> = LazyLock::new(KeyPair::generate);

pub(crate) struct KeyPair {
    signing: EncodingKey,
    /// PEM file.
    pub(crate) private_pem: String,
    /// PEM file.
    pub(crate) public_pem: String,
    /// `SHA256:...`
    pub(crate) fingerprint: String,
}

impl KeyPair {
    fn generate() -> Self {
        let private = RsaPrivateKey::new(&mut OsRng, 2048).unwrap();
        let public = private.to_public_key();
        let der = public.to_public_key_der().unwrap();
        Self {
            signing: EncodingKey::from_rsa_der(private.to_pkcs1_der().unwrap().as_bytes()),
            private_pem: private.to_pkcs8_pem(LineEnding::LF).unwrap().to_string(),
            public_pem: public.to_public_key_pem(LineEnding::LF).unwrap(),
            fingerprint: format!(
                "SHA256:{}",
                BASE64_STANDARD.encode(Sha256::digest(der.as_bytes()))
            ),
        }
    }

    pub(crate) fn public(&self) -> PublicKey {
        self.public_pem.parse().unwrap()
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), claims, &self.signing).unwrap()
    }
}

/// The claims of a good token of this age.
pub(crate) fn claims(age: Duration, life: Duration) -> Value {
    let issued = Utc::now().timestamp() - i64::try_from(age.as_secs()).unwrap();
    json!({
        "iss": format!("{ACCOUNT}.{USER}.{}", KEY.fingerprint),
        "sub": format!("{ACCOUNT}.{USER}"),
        "iat": issued,
        "exp": issued + i64::try_from(life.as_secs()).unwrap(),
    })
}

pub(crate) fn token() -> String {
    KEY.sign(&claims(Duration::ZERO, Duration::from_mins(5)))
}

pub(crate) fn config() -> Config {
    Config::new(ACCOUNT).with_user(USER, ROLE, KEY.public())
}

/// A warehouse of its own, with the database DB and the schema DB.S.
pub(crate) struct Warehouse {
    pub(crate) warehouse: MockWarehouse,
    router: Router,
    token: String,
    sent: Mutex<Vec<Sent>>,
    exchanges: Mutex<Vec<Exchange>>,
}

/// A request that was sent.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) method: Method,
    pub(crate) uri: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// A request and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) answer: Answer,
}

/// What a request was answered with.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn body(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    pub(crate) fn text(&self, field: &str) -> String {
        let body = self.body();
        body[field]
            .as_str()
            .unwrap_or_else(|| panic!("no text `{field}` in {body}"))
            .to_owned()
    }

    pub(crate) fn handle(&self) -> String {
        self.text("statementHandle")
    }

    /// Status and code.
    pub(crate) fn verdict(&self) -> (u16, String) {
        (self.status.as_u16(), self.text("code"))
    }

    pub(crate) fn data(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body());
        self.body()["data"].clone()
    }
}

impl Warehouse {
    pub(crate) async fn new() -> Self {
        Self::with(config()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let warehouse = MockWarehouse::open(config).unwrap();
        let mut admin = warehouse.engine().admin();
        for sql in [
            "CREATE DATABASE IF NOT EXISTS DB".to_owned(),
            "CREATE SCHEMA IF NOT EXISTS DB.S".to_owned(),
            "CREATE WAREHOUSE IF NOT EXISTS WH".to_owned(),
            format!("GRANT USAGE ON WAREHOUSE WH TO ROLE {ROLE}"),
            format!("GRANT USAGE ON DATABASE DB TO ROLE {ROLE}"),
            format!("GRANT USAGE, CREATE TABLE ON SCHEMA DB.S TO ROLE {ROLE}"),
        ] {
            admin
                .execute(&sql, &Bindings::new())
                .await
                .unwrap_or_else(|e| panic!("{sql}: {e}"));
        }
        let router = warehouse.router(&CancellationToken::new());
        Self {
            warehouse,
            router,
            token: token(),
            sent: Mutex::default(),
            exchanges: Mutex::default(),
        }
    }

    /// All requests so far, with their answers.
    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges.lock().unwrap().clone()
    }

    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    /// The requests that were sent since this was last asked.
    pub(crate) fn take_sent(&self) -> Vec<Sent> {
        std::mem::take(&mut *self.sent.lock().unwrap())
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (method, target) = (request.method().clone(), request.uri().to_string());
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        self.sent.lock().unwrap().push(Sent {
            method: parts.method.clone(),
            uri: parts.uri.to_string(),
            headers: parts.headers.clone(),
            body: body.to_vec(),
        });
        let request = Request::from_parts(parts, Body::from(body));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        let answer = Answer {
            status: parts.status,
            headers: parts.headers,
            bytes,
        };
        self.exchanges.lock().unwrap().push(Exchange {
            method,
            target,
            answer: answer.clone(),
        });
        answer
    }

    /// `POST /api/v2/statements<query>` with the role, database and schema set unless the body sets them.
    pub(crate) async fn post(&self, query: &str, body: Value) -> Answer {
        let mut whole = json!({"role": ROLE, "warehouse": "WH", "database": "DB", "schema": "S",
            "timeout": 60});
        whole
            .as_object_mut()
            .unwrap()
            .extend(body.as_object().unwrap().clone());
        let request = self.request("POST", &format!("/api/v2/statements{query}"));
        self.send(
            request
                .header(header::CONTENT_TYPE, "application/json")
                .body(whole.to_string().into())
                .unwrap(),
        )
        .await
    }

    /// Runs one statement.
    pub(crate) async fn sql(&self, statement: &str) -> Answer {
        self.post("", json!({"statement": statement})).await
    }

    /// Runs several statements.
    pub(crate) async fn several(&self, statements: &str) -> Answer {
        self.post(
            "",
            json!({"statement": statements, "parameters": {"MULTI_STATEMENT_COUNT": "0"}}),
        )
        .await
    }

    /// `GET /api/v2/statements/<rest>`
    pub(crate) async fn get(&self, rest: &str) -> Answer {
        self.send(
            self.request("GET", &format!("/api/v2/statements/{rest}"))
                .body(Body::empty())
                .unwrap(),
        )
        .await
    }

    pub(crate) async fn cancel(&self, handle: &str) -> Answer {
        let path = format!("/api/v2/statements/{handle}/cancel");
        self.send(self.request("POST", &path).body(Body::empty()).unwrap())
            .await
    }

    /// Asks for a handle until it no longer answers 202.
    pub(crate) async fn ended(&self, handle: &str) -> Answer {
        loop {
            let answer = self.get(handle).await;
            if answer.status != StatusCode::ACCEPTED {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    }

    /// A table DB.S.LOCKED with one row, n = 0, that somebody else has locked.
    pub(crate) async fn locked_table(&self) -> Lock {
        let mut holder = self.warehouse.engine().admin();
        for sql in [
            "USE WAREHOUSE WH",
            "CREATE TABLE DB.S.locked (n NUMBER)",
            "INSERT INTO DB.S.locked VALUES (0)",
            "GRANT SELECT, UPDATE ON TABLE DB.S.locked TO ROLE KAFKA_LOADER",
            "BEGIN",
            "UPDATE DB.S.locked SET n = n",
        ] {
            holder.execute(sql, &Bindings::new()).await.unwrap();
        }
        Lock { holder }
    }

    fn request(&self, method: &str, path: &str) -> axum::http::request::Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header("X-Snowflake-Authorization-Token-Type", "KEYPAIR_JWT")
            .header(header::ACCEPT, "application/json")
    }
}

/// A lock on a table, held by an open transaction.
pub(crate) struct Lock {
    holder: Session,
}

impl Lock {
    pub(crate) async fn release(mut self) {
        self.holder
            .execute("ROLLBACK", &Bindings::new())
            .await
            .unwrap();
    }
}
