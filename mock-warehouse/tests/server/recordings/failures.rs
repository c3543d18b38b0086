//! Requests that are turned away and statements that fail.

use axum::body::Body;
use axum::http::{Request, header};
use serde_json::{Value, json};

use super::Replay;
use crate::support::{Answer, ROLE, token};

pub(super) async fn replay(replay: &mut Replay) {
    statements(replay).await;
    privileges(replay).await;
    requests(replay).await;
    credentials(replay).await;
}

async fn statements(replay: &mut Replay) {
    replay
        .prepare("CREATE OR REPLACE TABLE dbimp_it_pk (id NUMBER PRIMARY KEY, u VARCHAR UNIQUE, d NUMBER DEFAULT 5)")
        .await;
    for (number, sql, code, state, message) in [
        (
            62,
            "SELEC 1",
            "001003",
            "42000",
            "SQL compilation error:\nsyntax error line 1 at position 0 unexpected 'SELEC'.",
        ),
        (64, "SELECT 1/0", "100051", "22012", "Division by zero"),
        (
            65,
            "SELECT 'abc'::NUMBER",
            "100038",
            "22018",
            "Numeric value 'abc' is not recognized",
        ),
        (
            66,
            "SELECT 1/(n-5000) FROM (SELECT seq4() AS n FROM TABLE(GENERATOR(ROWCOUNT => 20000))) ORDER BY n",
            "100051",
            "22012",
            "Division by zero",
        ),
        (
            86,
            "SELECT 1; SELECT 2",
            "000008",
            "0A000",
            "Actual statement count 2 did not match the desired statement count 1.",
        ),
        (
            99,
            "BEGIN",
            "391911",
            "0A000",
            "Command not supported by SQL API: TRANSACTION_BEGIN",
        ),
        (
            117,
            "PUT file:///tmp/none.csv @~/dbimp_it/",
            "391911",
            "0A000",
            "Command not supported by SQL API: PUT",
        ),
        (
            123,
            "CREATE INDEX dbimp_it_ix ON dbimp_it_pk (id)",
            "000002",
            "0A000",
            "Unsupported feature 'SECONDARY INDEX'.",
        ),
        (
            128,
            "SELECT dbimp_it_seq.NEXTVAL, dbimp_it_seq.NEXTVAL",
            "000904",
            "42000",
            "SQL compilation error: error line 1 at position 7\ninvalid identifier 'DBIMP_IT_SEQ.NEXTVAL'",
        ),
    ] {
        let answer = replay.sql(sql).await;
        replay.failed(number, &answer, (422, code, state), message);
    }
    let slow = json!({"statement": "SELECT SYSTEM$WAIT(10)", "timeout": 2});
    let answer = replay.post("", slow).await;
    let message =
        "Statement reached its statement or warehouse timeout of 2 second(s) and was canceled.";
    replay.failed(67, &answer, (408, "000630", "57014"), message);
}

async fn privileges(replay: &mut Replay) {
    let missing = format!(
        "SQL compilation error:\nObject 'DBIMP_IT_NOSUCH' does not exist or not authorized. Your primary role {ROLE} or \
         one of your secondary roles must have at least one privilege granted on TABLE DBIMP_IT_NOSUCH."
    );
    let hidden = format!(
        "SQL compilation error:\nSchema 'SNOWFLAKE.ACCOUNT_USAGE' does not exist or not authorized. Your primary role \
         {ROLE} or one of your secondary roles must have USAGE or any other privilege granted on SCHEMA \
         SNOWFLAKE.ACCOUNT_USAGE."
    );
    let forbidden = format!(
        "SQL access control error:\nInsufficient privileges to operate on account 'MOCK'. Your primary role {ROLE} must \
         have CREATE USER granted on ACCOUNT MOCK."
    );
    for (number, sql, code, state, message) in [
        (
            63,
            "SELECT * FROM dbimp_it_nosuch",
            "002003",
            "42S02",
            missing,
        ),
        (
            79,
            "SELECT * FROM SNOWFLAKE.ACCOUNT_USAGE.USERS LIMIT 1",
            "002003",
            "02000",
            hidden,
        ),
        (80, "CREATE USER dbimp_it_u", "003001", "42501", forbidden),
    ] {
        let answer = replay.sql(sql).await;
        replay.failed(number, &answer, (422, code, state), &message);
    }
}

/// Requests that never become a statement.
async fn requests(replay: &mut Replay) {
    let empty = replay.post("", json!({})).await;
    let body = json!({"code": "000900", "message": "SQL compilation error:\nEmpty SQL statement.", "sqlState": "42601",
        "statementHandle": null});
    replay.exactly(20, &empty, 400, &body);

    let nowhere = "00000000-0000-0000-0000-000000000000";
    let answer = replay.warehouse.get(nowhere).await;
    let body = json!({"code": "000709", "message": format!("Statement {nowhere} not found"), "sqlState": "02000",
        "statementHandle": nowhere});
    replay.exactly(69, &answer, 400, &body);

    let answer = sent(replay, &["text/plain", "application/json"], &token()).await;
    let servlet = answer.body()["servlet"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let class = servlet.rsplit_once('-').map(|(class, _)| class);
    let recorded = "com.sun.jersey.spi.container.servlet.ServletContainer";
    replay.compare(111, "servlet", &json!(class), &json!(recorded));
    let body = json!({"servlet": servlet, "message": "Bad Request", "url": "/api/v2/statements", "status": "400"});
    replay.exactly(111, &answer, 400, &body);
}

async fn credentials(replay: &mut Replay) {
    let wrong = sent(replay, &["application/json"], "wrong").await;
    let body = json!({"code": "390144", "message": "JWT token is invalid. null"});
    replay.exactly(78, &wrong, 401, &body);

    let role = json!({"statement": "SELECT 1", "role": "ACCOUNTADMIN"});
    let answer = replay.post("", role).await;
    let body = json!({"code": "390186", "message": "Role 'ACCOUNTADMIN' specified in the connect string is not granted \
        to this user, or is not permitted for the credentials being used. Contact your local system administrator, or \
        attempt to login with another role, e.g. PUBLIC."});
    replay.exactly(81, &answer, 400, &body);
}

/// `SELECT 1` with these content types and this token.
async fn sent(replay: &Replay, content_types: &[&str], token: &str) -> Answer {
    let mut request = Request::post("/api/v2/statements")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header("X-Snowflake-Authorization-Token-Type", "KEYPAIR_JWT");
    for content_type in content_types {
        request = request.header(header::CONTENT_TYPE, *content_type);
    }
    let body: Value = json!({"statement": "SELECT 1", "role": ROLE});
    let request = request.body(Body::from(body.to_string())).unwrap();
    replay.warehouse.send(request).await
}
