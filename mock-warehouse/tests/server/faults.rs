//! Faults on demand, as clients see them on the wire.

use std::time::{Duration, Instant};

use mock_warehouse::{Config, Step};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ObjectStoreExt, RetryConfig};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::driver::{Driver, Served};
use crate::support::{ROLE, config, token};

const ID: &str = "6b1b2c9e-0d6a-4a55-8f3f-0f1f3a1f7c11";

/// A warehouse behind a port, with the table DB.S.T, empty, of the client's role.
pub(crate) struct Wire {
    pub(crate) served: Served,
}

impl Wire {
    pub(crate) async fn new() -> Self {
        Self::with(config()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let wire = Self {
            served: Served::new(config).await,
        };
        wire.admin("CREATE TABLE DB.S.T (n NUMBER)").await;
        wire.admin(&format!(
            "GRANT SELECT, INSERT ON TABLE DB.S.T TO ROLE {ROLE}"
        ))
        .await;
        wire
    }

    pub(crate) fn fault(&self, fault: &str) -> u64 {
        self.served.warehouse.faults().add(fault.parse().unwrap())
    }

    pub(crate) async fn admin(&self, sql: &str) -> Value {
        let mut admin = self.served.warehouse.engine().admin();
        let grid = admin.execute(sql, &Default::default()).await;
        json!(grid.unwrap_or_else(|error| panic!("{sql}: {error}")).rows)
    }

    async fn rows(&self) -> usize {
        let rows = self.admin("SELECT n FROM DB.S.T").await;
        rows.as_array().unwrap().len()
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.served
            .http
            .request(method, format!("{}{path}", self.served.origin))
            .bearer_auth(token())
    }

    pub(crate) fn statement(&self, query: &str, sql: &str) -> RequestBuilder {
        let body = json!({"statement": sql, "role": ROLE, "warehouse": "WH", "database": "DB", "schema": "S"});
        self.request(Method::POST, &format!("/api/v2/statements{query}"))
            .json(&body)
    }

    /// Sends a statement; the status and code of the answer.
    pub(crate) async fn sql(&self, sql: &str) -> (u16, String) {
        verdict(self.statement("", sql).send().await.unwrap()).await
    }

    pub(crate) async fn insert(&self, query: &str) -> Result<Response, reqwest::Error> {
        self.statement(query, "INSERT INTO t VALUES (1)")
            .send()
            .await
    }

    fn statements(&self) -> u64 {
        self.served.warehouse.faults().counters().statements
    }
}

pub(crate) async fn verdict(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap_or_default();
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

fn pair(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_comes_instead_of_the_statement() {
    let wire = Wire::new().await;
    wire.fault("429:7@submit=1");
    let limited = wire.insert("").await.unwrap();
    assert_eq!(limited.headers()["retry-after"], "7");
    assert_eq!(verdict(limited).await, pair(429, "390505"));
    for status in [500, 502, 503, 504] {
        wire.fault(&format!("{status}@submit=1"));
        assert_eq!(wire.insert("").await.unwrap().status(), status);
    }
    assert_eq!((wire.rows().await, wire.statements()), (0, 0));
    assert_eq!(wire.insert("").await.unwrap().status(), 200);
    assert_eq!((wire.rows().await, wire.statements()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_can_strike_each_step() {
    let wire = Wire::new().await;
    let driver = wire.served.log_in().await;
    let master = driver.login["data"]["masterToken"]
        .as_str()
        .unwrap()
        .to_owned();
    let as_driver = |method: Method, path: &str, token: &str| {
        wire.request(method, path)
            .header("Authorization", format!("Snowflake Token=\"{token}\""))
    };
    for step in Step::all() {
        let request = match step {
            Step::Login => as_driver(Method::POST, "/session/v1/login-request", ""),
            Step::Renew => as_driver(Method::POST, "/session/token-request", &master),
            Step::Query => as_driver(Method::POST, "/queries/v1/query-request", &driver.token)
                .json(&json!({"sqlText": "SELECT 1"})),
            Step::Upload => wire.request(Method::PUT, "/sluicebox/x").body("x"),
            Step::Download => wire.request(Method::GET, "/sluicebox/x"),
            Step::Submit => wire.statement("", "SELECT 1"),
            Step::Poll => wire.request(Method::GET, "/api/v2/statements/x"),
            Step::Partition => wire.request(Method::GET, "/api/v2/statements/x?partition=1"),
            Step::Cancel => wire.request(Method::POST, "/api/v2/statements/x/cancel"),
        };
        let rule = wire.fault(&format!("502@{step}"));
        let struck = request.try_clone().unwrap().send().await.unwrap();
        assert_eq!(struck.status(), 502, "{step}");
        let faults = wire.served.warehouse.faults();
        assert_eq!(faults.struck(rule), Some(1), "{step}");
        faults.clear();
        assert_ne!(request.send().await.unwrap().status(), 502, "{step}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_breaks_before_or_after_the_statement() {
    let wire = Wire::new().await;
    for (fault, ran) in [("reset", 0), ("reset-after", 1), ("drop-reply", 2)] {
        let id = uuid::Uuid::new_v4();
        wire.fault(&format!("{fault}@submit=1"));
        let broken = wire.insert(&format!("?requestId={id}")).await;
        assert!(broken.is_err(), "{fault}: {broken:?}");
        assert_eq!(wire.rows().await, ran, "{fault}");
        if ran > 0 {
            let again = wire.insert(&format!("?requestId={id}&retry=true")).await;
            assert_eq!(
                verdict(again.unwrap()).await,
                pair(200, "090001"),
                "{fault}"
            );
            assert_eq!(wire.rows().await, ran, "{fault}");
        }
    }
}

/// How a connection ends on which this request was written.
async fn ending(wire: &Wire, path: &str) -> Result<usize, std::io::ErrorKind> {
    let address = wire.served.origin.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    stream
        .read_to_end(&mut read)
        .await
        .map_err(|error| error.kind())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_a_reset_and_a_dropped_reply_an_end_without_a_byte() {
    let wire = Wire::new().await;
    for (fault, expected) in [
        ("reset@poll=1", Err(std::io::ErrorKind::ConnectionReset)),
        (
            "reset-after@poll=1",
            Err(std::io::ErrorKind::ConnectionReset),
        ),
        ("drop-reply@poll=1", Ok(0)),
    ] {
        wire.fault(fault);
        assert_eq!(
            ending(&wire, "/api/v2/statements/x").await,
            expected,
            "{fault}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_is_late() {
    let wire = Wire::new().await;
    wire.fault("delay:0.3@submit=1");
    let began = Instant::now();
    assert_eq!(wire.insert("").await.unwrap().status(), 200);
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_statement_is_answered_with_202_and_polled() {
    let wire = Wire::new().await;
    wire.fault("slow:0.2@submit=1");
    let sent = wire.insert("").await.unwrap();
    assert_eq!(sent.status(), 202);
    let body: Value = sent.json().await.unwrap();
    assert_eq!((&body["code"], wire.rows().await), (&json!("333334"), 0));
    let path = body["statementStatusUrl"].as_str().unwrap();
    let mut polls = 0;
    while wire
        .request(Method::GET, path)
        .send()
        .await
        .unwrap()
        .status()
        == 202
    {
        polls += 1;
    }
    assert!(polls > 0);
    assert_eq!(wire.rows().await, 1);

    wire.fault("slow:0.2@query=1");
    let driver = wire.served.log_in().await;
    let waiting = driver.sql("INSERT INTO t VALUES (2)").await;
    assert_eq!(waiting["code"], "333333");
    let path = waiting["data"]["getResultUrl"].as_str().unwrap();
    assert_eq!(driver.get(path).await["data"]["rowset"], json!([["1"]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_result_is_not_found_and_a_forgotten_request_runs_again() {
    let wire = Wire::new().await;
    let first = wire.insert(&format!("?requestId={ID}")).await.unwrap();
    let body: Value = first.json().await.unwrap();
    let path = format!(
        "/api/v2/statements/{}",
        body["statementHandle"].as_str().unwrap()
    );
    wire.fault("forget@poll+1=1");
    let ask = async || verdict(wire.request(Method::GET, &path).send().await.unwrap()).await;
    assert_eq!(ask().await, pair(200, "090001"));
    assert_eq!(ask().await, pair(400, "000709"));
    assert_eq!(ask().await, pair(400, "000709"));

    let query = format!("?requestId={ID}&retry=true");
    assert_eq!(wire.insert(&query).await.unwrap().status(), 200);
    assert_eq!(wire.insert(&query).await.unwrap().status(), 200);
    assert_eq!(wire.rows().await, 2);
    wire.fault("forget@submit=1");
    assert_eq!(wire.insert(&query).await.unwrap().status(), 200);
    assert_eq!(wire.rows().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_token_is_refused_for_once() {
    let wire = Wire::new().await;
    wire.fault("expire@submit=1");
    assert_eq!(wire.sql("SELECT 1").await, pair(401, "390144"));
    assert_eq!(wire.sql("SELECT 1").await, pair(200, "090001"));
    wire.fault("expire@login=1");
    let refused = wire.served.log_in_with(&token(), "").await;
    assert_eq!(
        (&refused["success"], &refused["code"]),
        (&json!(false), &json!("390144"))
    );
    wire.served.log_in().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_token_stays_expired_until_it_is_renewed() {
    let wire = Wire::new().await;
    let driver = wire.served.log_in().await;
    wire.fault("expire@query=1");
    for _ in 0..2 {
        assert_eq!(driver.sql("SELECT 1").await["code"], "390112");
    }
    let master = driver.login["data"]["masterToken"]
        .as_str()
        .unwrap()
        .to_owned();
    let body = json!({"oldSessionToken": driver.token, "requestType": "RENEW"});
    let renew = async || {
        wire.served
            .post("/session/token-request", &master, &body)
            .await
    };
    let renewed = renew().await;
    let token = renewed["data"]["sessionToken"].as_str().unwrap();
    let query = json!({"sqlText": "SELECT 1"});
    let answer = wire
        .served
        .post("/queries/v1/query-request", token, &query)
        .await;
    assert_eq!(answer["success"], true);
    wire.fault("expire@renew=1");
    for _ in 0..2 {
        assert_eq!(renew().await["code"], "390114");
    }
}

/// The stage's credentials of a PUT, as an S3 client that does not retry.
async fn stage_client(driver: &Driver<'_>) -> object_store::aws::AmazonS3 {
    let answer = driver.sql("PUT file:///x @inside").await;
    let info = &answer["data"]["stageInfo"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    AmazonS3Builder::new()
        .with_endpoint(text(&info["endPoint"]))
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_bucket_name("internal")
        .with_access_key_id(text(&info["creds"]["AWS_KEY_ID"]))
        .with_secret_access_key(text(&info["creds"]["AWS_SECRET_KEY"]))
        .with_token(text(&info["creds"]["AWS_TOKEN"]))
        .with_retry(RetryConfig {
            max_retries: 0,
            ..RetryConfig::default()
        })
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_fails_as_s3_does() {
    let wire = Wire::new().await;
    for (fault, status, code) in [
        ("500@upload=1", 500, "InternalError"),
        ("503:1@upload=1", 503, "SlowDown"),
    ] {
        wire.fault(fault);
        let put = wire
            .request(Method::PUT, "/sluicebox/x")
            .body(vec![7; 1 << 20]);
        let answer = put.send().await.unwrap();
        assert_eq!(answer.status(), status);
        let text = answer.text().await.unwrap();
        assert!(text.contains(&format!("<Code>{code}</Code>")), "{text}");
    }
    wire.fault("reset@upload=1");
    let put = wire
        .request(Method::PUT, "/sluicebox/x")
        .body(vec![7; 1 << 20]);
    assert!(put.send().await.is_err());
    assert_eq!(wire.served.warehouse.faults().counters().bytes_staged, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn stage_credentials_stay_expired_and_new_ones_work() {
    let wire = Wire::new().await;
    wire.admin("CREATE STAGE DB.S.INSIDE ENCRYPTION = (TYPE = 'SNOWFLAKE_SSE')")
        .await;
    wire.admin(&format!(
        "GRANT READ, WRITE ON STAGE DB.S.INSIDE TO ROLE {ROLE}"
    ))
    .await;
    let driver = wire.served.log_in().await;
    let client = stage_client(&driver).await;
    let path = Path::from("DB/S/INSIDE/x");
    client.put(&path, "0123456789".into()).await.unwrap();
    wire.fault("expire@upload=1");
    for _ in 0..2 {
        let refused = client.put(&path, "1".into()).await.unwrap_err();
        assert!(
            format!("{refused:?}").contains("ExpiredToken"),
            "{refused:?}"
        );
    }
    stage_client(&driver)
        .await
        .put(&path, "12".into())
        .await
        .unwrap();
    wire.fault("reset-after@upload=1");
    let new = stage_client(&driver).await;
    assert!(new.put(&path, "123".into()).await.is_err());
    let read = new.get(&path).await.unwrap().bytes().await.unwrap();
    assert_eq!(read, "123");
    let counters = wire.served.warehouse.faults().counters();
    assert_eq!(counters.bytes_staged, 15);
    assert_eq!(counters.requests[&Step::Upload], 5);
}
