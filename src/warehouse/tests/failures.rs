//! A server that misbehaves in each way the real one may.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use serde_json::json;

use super::{
    rows,
    script::{Reply, Script, one, refused, running},
};
use crate::{
    keys::tests::PAIR,
    warehouse::{Client, Config, Error},
};

#[tokio::test]
async fn what_fails_in_passing_is_sent_again_under_the_same_id() {
    let replies = [
        Reply::Text(503, "<html>busy</html>"),
        Reply::BreaksOff,
        Reply::RetryAfter(429, "0"),
        Reply::Json(500, json!({"code": "000001", "message": "oops"})),
        Reply::Text(502, ""),
        Reply::Text(504, ""),
        one("7"),
    ];
    let script = Script::in_turn(replies).await;
    let answer = script.client().execute("SELECT 7").await.unwrap();
    assert_eq!(rows(&answer), [[Some("7")]]);
    let asked = script.asked();
    assert_eq!(asked.len(), 7);
    for (number, request) in asked.iter().enumerate() {
        assert_eq!(request.query["requestId"], asked[0].query["requestId"]);
        let retry = request.query.get("retry").map(String::as_str);
        assert_eq!(retry, (number > 0).then_some("true"), "request {number}");
        assert_eq!(request.body, asked[0].body);
    }
}

#[tokio::test]
async fn trying_again_ends_and_the_error_says_what_was_met() {
    let script = Script::start(|_| Reply::RetryAfter(429, "7")).await;
    let config = Config {
        retry_for: Duration::from_secs(1),
        ..script.config()
    };
    let error = script
        .client_with(&config)
        .execute("SELECT 1")
        .await
        .unwrap_err();
    assert!(error.is_transient());
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert_eq!(
        error.to_string(),
        "warehouse unavailable while submitting a statement: Too Many Requests (HTTP 429)"
    );
    // The next try would begin after the end of the time allowed.
    assert_eq!(script.asked().len(), 1);
}

#[tokio::test]
async fn nobody_at_the_address_is_unavailable() {
    let script = Script::in_turn([]).await;
    let unused = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let config = Config {
        url: format!("http://{unused}"),
        retry_for: Duration::ZERO,
        ..script.config()
    };
    let error = script
        .client_with(&config)
        .execute("SELECT 1")
        .await
        .unwrap_err();
    assert!(
        error.is_transient() && error.hint().unwrap().contains("warehouse.url"),
        "{error}"
    );
}

#[tokio::test]
async fn a_refused_token_comes_with_the_statement_that_registers_the_key() {
    let body = json!({"code": "390144", "message": "JWT token is invalid. [0c7e7b6e-0000-4f83-a56e-04bf005de3a3]"});
    let script = Script::in_turn([Reply::Json(401, body)]).await;
    let error = script.client().execute("SELECT 1").await.unwrap_err();
    assert!(
        matches!(&error, Error::Unauthorized { code, .. } if code == "390144"),
        "{error}"
    );
    assert!(error.to_string().contains("user KAFKA_SERVICE"), "{error}");
    let hint = error.hint().unwrap();
    let register = format!(
        "ALTER USER KAFKA_SERVICE SET RSA_PUBLIC_KEY='{}'",
        PAIR.public_key_base64()
    );
    for part in [
        register.as_str(),
        &PAIR.fingerprint(),
        "account MYORG-MY_ACCT",
        "clock",
    ] {
        assert!(hint.contains(part), "{part} is not in {hint}");
    }
    let asked = script.asked();
    assert_eq!(asked.len(), 1);
    let token = asked[0]
        .header("authorization")
        .trim_start_matches("Bearer ")
        .to_owned();
    assert!(!format!("{error:?} {error} {hint}").contains(&token));
}

#[tokio::test]
async fn a_token_that_is_refused_because_of_the_clock_is_said_to_be_so() {
    // The server's time is in its reply; ours is given to the client.
    let server = "Sun, 22 Nov 2026 12:00:00 GMT";
    let noon = UNIX_EPOCH + Duration::from_secs(1_795_348_800);
    for (ours, expected) in [
        (noon + Duration::from_secs(7200), Some("2h ahead of")),
        (noon - Duration::from_secs(90), Some("1m 30s behind")),
        (noon + Duration::from_secs(5), None),
    ] {
        let script = Script::start(move |_| Reply::Headed(401, "date", server)).await;
        let client = Client::with_clock(&script.config(), &PAIR, Arc::new(move || ours)).unwrap();
        let error = client.execute("SELECT 1").await.unwrap_err();
        let hint = error.hint().unwrap();
        match expected {
            Some(expected) => assert!(
                hint.contains(expected) && hint.contains("timedatectl"),
                "{hint}"
            ),
            None => assert!(hint.contains("ALTER USER"), "{hint}"),
        }
    }
}

#[tokio::test]
async fn a_statement_that_nobody_waits_for_any_more_is_cancelled() {
    let script = Script::start(|asked| match asked.path.ends_with("/cancel") {
        true => Reply::Json(200, json!({"code": "000604"})),
        false => running("h9"),
    })
    .await;
    let client = script.client();
    let statement = client.execute("SELECT SYSTEM$WAIT(600)");
    tokio::time::timeout(Duration::from_millis(200), statement)
        .await
        .unwrap_err();
    client.await_cancellations(Duration::from_secs(10)).await;
    let last = script.asked().pop().unwrap();
    assert_eq!(last.path, "/api/v2/statements/h9/cancel");
}

#[tokio::test]
async fn a_statement_whose_state_cannot_be_asked_for_goes_on() {
    let script = Script::in_turn([running("h9"), Reply::Text(503, "")]).await;
    let client = script.client().without_retries();
    let error = client.execute("SELECT 1").await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    client.await_cancellations(Duration::from_secs(10)).await;
    assert_eq!(script.asked().len(), 2, "whoever comes back finds it");
}

#[tokio::test]
async fn a_refused_statement_is_not_sent_again() {
    for (reply, code, hint) in [
        (
            refused(
                "001003",
                "42000",
                "SQL compilation error:\nsyntax error line 1.",
            ),
            "001003",
            None,
        ),
        (
            refused("002003", "42S02", "no"),
            "002003",
            Some("sluicebox setup"),
        ),
        (
            refused("003001", "42501", "no"),
            "003001",
            Some("grant the missing privilege"),
        ),
        (
            Reply::Json(400, json!({"code": "390186", "message": "no"})),
            "390186",
            Some("GRANT ROLE"),
        ),
        (
            Reply::Json(408, json!({"code": "000630", "message": "no"})),
            "000630",
            Some("statement_timeout"),
        ),
        (
            Reply::Text(404, "<html>"),
            "HTTP 404",
            Some("warehouse.account"),
        ),
        (Reply::Text(302, ""), "HTTP 302", None),
    ] {
        let script = Script::in_turn([reply]).await;
        let error = script
            .client()
            .execute("SELECT 'secret'")
            .await
            .unwrap_err();
        assert_eq!(error.code(), Some(code));
        assert!(!error.is_transient());
        let text = error.to_string();
        assert!(!text.contains('\n') && !text.contains("secret"), "{text}");
        assert_eq!(error.hint().is_some(), hint.is_some(), "{code}");
        assert!(
            error
                .hint()
                .unwrap_or_default()
                .contains(hint.unwrap_or_default()),
            "{code}"
        );
        assert_eq!(script.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_statement_that_fails_while_it_is_asked_for_is_refused() {
    let failed = Reply::Json(
        422,
        json!({"code": "100051", "message": "Division by zero"}),
    );
    let script = Script::in_turn([running("h9"), failed]).await;
    let error = script.client().execute("SELECT 1/0").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "warehouse refused: Division by zero (100051)"
    );
}

#[tokio::test]
async fn an_answer_that_is_no_answer_is_said_without_its_content() {
    for body in [
        json!({"secret": "value"}),
        json!({"statementHandle": 5, "secret": "value"}),
    ] {
        let script = Script::in_turn([Reply::Json(200, body)]).await;
        let error = script.client().execute("SELECT 1").await.unwrap_err();
        assert!(matches!(error, Error::Unreadable { .. }), "{error}");
        assert!(!error.to_string().contains("value"), "{error}");
    }
}
