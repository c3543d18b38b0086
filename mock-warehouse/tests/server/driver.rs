//! The drivers' protocol over a real port: logins, sessions, statements, files.

use std::time::Duration;

use mock_warehouse::{Config, MockWarehouse};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{OTHER_KEY, ROLE, USER, Warehouse, claims, config, token};

pub(crate) struct Served {
    pub(crate) origin: String,
    pub(crate) http: reqwest::Client,
    pub(crate) warehouse: MockWarehouse,
    _tasks: JoinSet<std::io::Result<()>>,
}

/// One login.
pub(crate) struct Driver<'a> {
    served: &'a Served,
    pub(crate) login: Value,
    pub(crate) token: String,
}

impl Served {
    pub(crate) async fn new(config: Config) -> Self {
        let warehouse = Warehouse::with(config).await.warehouse;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(warehouse.clone().serve(listener, CancellationToken::new()));
        Self {
            origin,
            http: reqwest::Client::new(),
            warehouse,
            _tasks: tasks,
        }
    }

    /// Every answer is HTTP 200, whatever it says.
    pub(crate) async fn post(&self, path: &str, token: &str, body: &Value) -> Value {
        let answer = self
            .http
            .post(format!("{}{path}", self.origin))
            .header("Authorization", format!("Snowflake Token=\"{token}\""))
            .json(body)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.unwrap()
    }

    pub(crate) async fn log_in_with(&self, token: &str, query: &str) -> Value {
        let data = json!({"LOGIN_NAME": USER, "AUTHENTICATOR": "SNOWFLAKE_JWT", "TOKEN": token,
            "ACCOUNT_NAME": "MYORG-MYACCT", "SESSION_PARAMETERS": {"AUTOCOMMIT": "true"}});
        let path = format!("/session/v1/login-request?{query}");
        self.post(&path, "", &json!({"data": data})).await
    }

    pub(crate) async fn log_in(&self) -> Driver<'_> {
        let query = "databaseName=db&schemaName=s&warehouse=wh";
        let login = self.log_in_with(&token(), query).await;
        assert_eq!(login["success"], true, "{login}");
        Driver {
            served: self,
            token: text(&login["data"]["token"]),
            login,
        }
    }
}

impl Driver<'_> {
    pub(crate) async fn send(&self, request_id: &str, body: &Value) -> Value {
        let path = format!("/queries/v1/query-request?requestId={request_id}");
        self.served.post(&path, &self.token, body).await
    }

    pub(crate) async fn sql(&self, statement: &str) -> Value {
        let request_id = uuid::Uuid::new_v4().to_string();
        self.send(&request_id, &json!({"sqlText": statement, "sequenceId": 1}))
            .await
    }

    pub(crate) async fn rows(&self, statement: &str) -> Value {
        let answer = self.sql(statement).await;
        assert_eq!(answer["success"], true, "{statement}: {answer}");
        answer["data"]["rowset"].clone()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let request = self
            .served
            .http
            .get(format!("{}{path}", self.served.origin));
        let request = request.header(
            "Authorization",
            format!("Snowflake Token=\"{}\"", self.token),
        );
        request.send().await.unwrap().json().await.unwrap()
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("no text: {value}"))
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_begins_where_it_asks_and_a_wrong_key_begins_nothing() {
    let served = Served::new(config()).await;
    let driver = served.log_in().await;
    let info = &driver.login["data"]["sessionInfo"];
    assert_eq!(
        info,
        &json!({"databaseName": "DB", "schemaName": "S", "warehouseName": "WH", "roleName": ROLE})
    );
    let elsewhere = served.log_in_with(&token(), "databaseName=nosuch").await;
    assert_eq!(
        elsewhere["data"]["sessionInfo"]["databaseName"],
        Value::Null
    );

    let forged = OTHER_KEY.sign(&claims(Duration::ZERO, Duration::from_mins(5)));
    let old = claims(Duration::from_mins(61), Duration::from_mins(90));
    for wrong in [
        forged,
        crate::support::KEY.sign(&old),
        "no token".to_owned(),
    ] {
        let answer = served.log_in_with(&wrong, "").await;
        assert_eq!(
            (&answer["success"], &answer["code"]),
            (&json!(false), &json!("390144"))
        );
    }
    let role = served.log_in_with(&token(), "roleName=ACCOUNTADMIN").await;
    assert_eq!(role["code"], "390186");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_keeps_its_transaction_until_it_is_closed() {
    let served = Served::new(config()).await;
    let (one, other) = (served.log_in().await, served.log_in().await);
    one.rows("CREATE TABLE t (n NUMBER, b BOOLEAN)").await;
    one.rows("BEGIN").await;
    assert_eq!(
        one.rows("INSERT INTO t VALUES (1, TRUE)").await,
        json!([["1"]])
    );
    assert_eq!(one.rows("SELECT * FROM t").await, json!([["1", "1"]]));
    assert_eq!(other.rows("SELECT * FROM t").await, json!([]));
    let beat = served
        .post("/session/heartbeat", &one.token, &json!({}))
        .await;
    assert_eq!(beat["success"], true);
    let closed = served
        .post("/session?delete=true", &one.token, &json!({}))
        .await;
    assert_eq!(closed["success"], true);
    assert_eq!(one.sql("COMMIT").await["code"], "390111");
    assert_eq!(other.rows("SELECT * FROM t").await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_is_renewed_and_the_session_goes_on() {
    let mut config = config();
    config.session_validity = Duration::ZERO;
    let served = Served::new(config).await;
    let driver = served.log_in().await;
    assert_eq!(driver.sql("SELECT 1").await["code"], "390112");
    let master = text(&driver.login["data"]["masterToken"]);
    let body = json!({"oldSessionToken": driver.token, "requestType": "RENEW"});
    let renewed = served.post("/session/token-request", &master, &body).await;
    assert_eq!(
        renewed["data"]["sessionId"],
        driver.login["data"]["sessionId"]
    );
    assert_ne!(text(&renewed["data"]["sessionToken"]), driver.token);
    let refused = served
        .post("/session/token-request", &driver.token, &body)
        .await;
    assert_eq!(refused["code"], "390114");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_sent_again_runs_once() {
    let served = Served::new(config()).await;
    let driver = served.log_in().await;
    driver.rows("CREATE TABLE t (n NUMBER)").await;
    let body = json!({"sqlText": "INSERT INTO t VALUES (1)"});
    let first = driver.send("same", &body).await;
    let second = driver.send("same", &body).await;
    assert_eq!(first["data"]["queryId"], second["data"]["queryId"]);
    assert_eq!(driver.rows("SELECT COUNT(*) FROM t").await, json!([["1"]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_nobody_waits_for_is_asked_about_and_aborted() {
    let mut config = config();
    config.synchronous_limit = Duration::from_millis(50);
    let served = Served::new(config).await;
    let (holder, driver) = (served.log_in().await, served.log_in().await);
    holder.rows("CREATE TABLE t (n NUMBER)").await;
    holder.rows("INSERT INTO t VALUES (0)").await;
    holder.rows("BEGIN").await;
    holder.rows("UPDATE t SET n = 1").await;
    let waiting = driver.sql("UPDATE t SET n = 2").await;
    assert_eq!(
        (&waiting["success"], &waiting["code"]),
        (&json!(true), &json!("333333"))
    );
    let handle = text(&waiting["data"]["queryId"]);
    let status = driver.get(&format!("/monitoring/queries//{handle}")).await;
    assert_eq!(status["data"]["queries"][0]["status"], "RUNNING");
    let abort = format!("/queries/{handle}/abort-request");
    assert_eq!(
        served.post(&abort, &driver.token, &json!({})).await["success"],
        true
    );
    let ended = driver.get(&text(&waiting["data"]["getResultUrl"])).await;
    assert_eq!(
        (&ended["code"], &ended["data"]["sqlState"]),
        (&json!("000604"), &json!("57014"))
    );
    assert_eq!(
        served.post(&abort, &driver.token, &json!({})).await["success"],
        true
    );
    holder.rows("COMMIT").await;
    assert_eq!(driver.rows("SELECT n FROM t").await, json!([["1"]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_result_goes_on_in_chunks() {
    let served = Served::new(config()).await;
    let driver = served.log_in().await;
    driver.rows("CREATE TABLE t (n NUMBER, s VARCHAR)").await;
    let values: Vec<String> = (0..1000)
        .map(|n| format!("({n}, '{}')", "x".repeat(300)))
        .collect();
    driver
        .rows(&format!("INSERT INTO t VALUES {}", values.join(", ")))
        .await;
    let answer = driver.sql("SELECT n, s FROM t ORDER BY n").await;
    let data = &answer["data"];
    let mut rows = data["rowset"].as_array().unwrap().clone();
    assert!(!data["chunks"].as_array().unwrap().is_empty());
    for chunk in data["chunks"].as_array().unwrap() {
        let answer = served.http.get(text(&chunk["url"])).send().await.unwrap();
        let body = format!("[{}]", answer.text().await.unwrap());
        let more: Vec<Value> = serde_json::from_str(&body).unwrap();
        assert_eq!(json!(more.len()), chunk["rowCount"]);
        rows.extend(more);
    }
    assert_eq!(data["total"], 1000);
    let numbers: Vec<String> = rows.iter().map(|row| text(&row[0])).collect();
    assert_eq!(
        numbers,
        (0..1000).map(|n| n.to_string()).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_statements_are_read_one_by_one() {
    let served = Served::new(config()).await;
    let driver = served.log_in().await;
    let body =
        json!({"sqlText": "SELECT 1; SELECT 'two'", "parameters": {"MULTI_STATEMENT_COUNT": 2}});
    let answer = driver.send("several", &body).await;
    let handles = text(&answer["data"]["resultIds"]);
    assert_eq!(answer["data"]["resultTypes"], "4096,4096");
    let mut rows = Vec::new();
    for handle in handles.split(',') {
        rows.push(driver.get(&format!("/queries/{handle}/result")).await["data"]["rowset"].clone());
    }
    assert_eq!(rows, [json!([["1"]]), json!([["two"]])]);
    assert_eq!(driver.sql("SELECT 1; SELECT 2").await["code"], "000008");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_is_opened_with_keys_for_it_alone() {
    let served = Served::new(config()).await;
    let mut admin = served.warehouse.engine().admin();
    for sql in [
        "CREATE STAGE DB.S.INSIDE ENCRYPTION = (TYPE = 'SNOWFLAKE_SSE')",
        "CREATE STAGE DB.S.PLAIN",
        "GRANT READ ON STAGE DB.S.INSIDE TO ROLE KAFKA_LOADER",
        "GRANT READ, WRITE ON STAGE DB.S.PLAIN TO ROLE KAFKA_LOADER",
    ] {
        admin.execute(sql, &Default::default()).await.unwrap();
    }
    let driver = served.log_in().await;
    let put = "PUT 'file:///a b/*.csv' @inside/in OVERWRITE=TRUE";
    assert_eq!(driver.sql(put).await["code"], "003001");
    let grant = "GRANT WRITE ON STAGE DB.S.INSIDE TO ROLE KAFKA_LOADER";
    admin.execute(grant, &Default::default()).await.unwrap();
    let data = driver.sql(put).await["data"].clone();
    assert_eq!(data["src_locations"], json!(["/a b/*.csv"]));
    assert_eq!(
        (&data["overwrite"], &data["autoCompress"]),
        (&json!(true), &json!(true))
    );
    let info = &data["stageInfo"];
    assert_eq!(info["location"], "internal/DB/S/INSIDE/in/");
    let client = |token: &str| {
        AmazonS3Builder::new()
            .with_endpoint(text(&info["endPoint"]))
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_bucket_name("internal")
            .with_access_key_id(text(&info["creds"]["AWS_KEY_ID"]))
            .with_secret_access_key(text(&info["creds"]["AWS_SECRET_KEY"]))
            .with_token(token)
            .build()
            .unwrap()
    };
    let good = client(&text(&info["creds"]["AWS_TOKEN"]));
    let inside = Path::from("DB/S/INSIDE/in/x.csv");
    good.put(&inside, "1".into()).await.unwrap();
    let outside = good.put(&Path::from("DB/S/PLAIN/x.csv"), "1".into()).await;
    assert!(
        matches!(outside, Err(Error::PermissionDenied { .. })),
        "{outside:?}"
    );
    assert!(client("wrong").get(&inside).await.is_err());
    let get = driver.sql("GET @inside/in/ file:///tmp/").await["data"].clone();
    assert_eq!(get["src_locations"], json!(["in/x.csv"]));
    let refused = driver.sql("PUT file:///x @plain").await;
    assert!(
        text(&refused["message"]).contains("SNOWFLAKE_SSE"),
        "{refused}"
    );
}
