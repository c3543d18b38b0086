//! Who gets in, and what the others are told.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use mock_warehouse::engine::Bindings;
use serde_json::{Value, json};

use crate::support::{ACCOUNT, Answer, KEY, OTHER_KEY, USER, Warehouse, claims, config};

async fn ask(warehouse: &Warehouse, authorization: Option<&str>, kind: Option<&str>) -> Answer {
    let mut request =
        Request::post("/api/v2/statements").header(header::CONTENT_TYPE, "application/json");
    if let Some(value) = authorization {
        request = request.header(header::AUTHORIZATION, value);
    }
    if let Some(kind) = kind {
        request = request.header("X-Snowflake-Authorization-Token-Type", kind);
    }
    warehouse
        .send(
            request
                .body(Body::from(r#"{"statement":"SELECT 1"}"#))
                .unwrap(),
        )
        .await
}

fn fresh() -> Value {
    claims(Duration::ZERO, Duration::from_mins(5))
}

fn changed(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = fresh();
    claims[name] = value.into();
    claims
}

#[tokio::test]
async fn a_token_signed_with_the_registered_key_gets_in() {
    let warehouse = Warehouse::new().await;
    for (what, claims) in [
        ("fresh", fresh()),
        (
            "59 minutes old",
            claims(Duration::from_mins(59), Duration::from_hours(1)),
        ),
        (
            "to live for a day, young enough",
            claims(Duration::ZERO, Duration::from_hours(24)),
        ),
    ] {
        let bearer = format!("Bearer {}", KEY.sign(&claims));
        assert_eq!(
            ask(&warehouse, Some(&bearer), Some("KEYPAIR_JWT"))
                .await
                .status,
            StatusCode::OK,
            "{what}"
        );
        assert_eq!(
            ask(&warehouse, Some(&bearer), None).await.status,
            StatusCode::OK,
            "{what}, kind not declared"
        );
    }
}

#[tokio::test]
async fn any_other_token_is_refused_in_the_same_words() {
    let warehouse = Warehouse::new().await;
    let hour = Duration::from_hours(1);
    let fingerprint = &KEY.fingerprint;
    let tokens = [
        ("expired", KEY.sign(&claims(Duration::from_mins(10), Duration::from_mins(5)))),
        ("older than an hour", KEY.sign(&claims(hour + Duration::from_secs(1), 24 * hour))),
        ("from the future", KEY.sign(&changed("iat", chrono::Utc::now().timestamp() + 600))),
        ("signed with another key", OTHER_KEY.sign(&fresh())),
        ("another key's fingerprint", OTHER_KEY.sign(&changed(
            "iss",
            format!("{ACCOUNT}.{USER}.{}", OTHER_KEY.fingerprint),
        ))),
        ("fingerprint without its prefix", KEY.sign(&changed(
            "iss",
            format!("{ACCOUNT}.{USER}.{}", &fingerprint["SHA256:".len()..]),
        ))),
        ("another account in iss", KEY.sign(&changed("iss", format!("OTHER.{USER}.{fingerprint}")))),
        ("another account in both", KEY.sign(&json!({
            "iss": format!("OTHER.{USER}.{fingerprint}"), "sub": format!("OTHER.{USER}"),
            "iat": fresh()["iat"], "exp": fresh()["exp"],
        }))),
        ("unknown user", KEY.sign(&json!({
            "iss": format!("{ACCOUNT}.NOBODY.{fingerprint}"), "sub": format!("{ACCOUNT}.NOBODY"),
            "iat": fresh()["iat"], "exp": fresh()["exp"],
        }))),
        ("user in lower case", KEY.sign(&json!({
            "iss": format!("{ACCOUNT}.kafka_service.{fingerprint}"), "sub": format!("{ACCOUNT}.kafka_service"),
            "iat": fresh()["iat"], "exp": fresh()["exp"],
        }))),
    ];
    for (what, token) in tokens {
        let answer = ask(
            &warehouse,
            Some(&format!("Bearer {token}")),
            Some("KEYPAIR_JWT"),
        )
        .await;
        assert_eq!(answer.verdict(), (401, "390144".to_owned()), "{what}");
        let body = answer.body();
        assert_eq!(body.as_object().unwrap().len(), 2, "{what}: {body}");
        let message = answer.text("message");
        let id = message
            .strip_prefix("JWT token is invalid. [")
            .and_then(|rest| rest.strip_suffix(']'));
        assert!(
            id.is_some_and(|id| id.parse::<uuid::Uuid>().is_ok()),
            "{what}: {message}"
        );
    }
}

#[tokio::test]
async fn a_token_that_is_no_jwt_and_one_that_is_missing_are_told_apart() {
    let warehouse = Warehouse::new().await;
    let garbage = ask(&warehouse, Some("Bearer nonsense"), Some("KEYPAIR_JWT")).await;
    assert_eq!(garbage.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        garbage.body(),
        json!({"code": "390144", "message": "JWT token is invalid. null"})
    );
    assert_eq!(
        ask(&warehouse, None, Some("KEYPAIR_JWT")).await.verdict(),
        (400, "390146".to_owned())
    );
    let oauth = ask(
        &warehouse,
        Some(&format!("Bearer {}", KEY.sign(&fresh()))),
        Some("OAUTH"),
    )
    .await;
    assert_eq!(oauth.verdict(), (401, "390144".to_owned()));
}

#[tokio::test]
async fn while_keys_are_rotated_both_work_and_the_fingerprint_chooses() {
    let mut config = config();
    config.users[0].public_keys.push(OTHER_KEY.public());
    let warehouse = Warehouse::with(config).await;
    let with_other = changed("iss", format!("{ACCOUNT}.{USER}.{}", OTHER_KEY.fingerprint));
    for token in [KEY.sign(&fresh()), OTHER_KEY.sign(&with_other)] {
        let answer = ask(
            &warehouse,
            Some(&format!("Bearer {token}")),
            Some("KEYPAIR_JWT"),
        )
        .await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    let mixed = ask(
        &warehouse,
        Some(&format!("Bearer {}", KEY.sign(&with_other))),
        Some("KEYPAIR_JWT"),
    )
    .await;
    assert_eq!(mixed.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_key_that_is_unset_no_longer_gets_in() {
    let warehouse = Warehouse::new().await;
    let mut admin = warehouse.warehouse.engine().admin();
    admin
        .execute(
            &format!("ALTER USER {USER} UNSET RSA_PUBLIC_KEY"),
            &Bindings::new(),
        )
        .await
        .unwrap();
    let answer = ask(
        &warehouse,
        Some(&format!("Bearer {}", KEY.sign(&fresh()))),
        Some("KEYPAIR_JWT"),
    )
    .await;
    assert_eq!(answer.verdict(), (401, "390144".to_owned()));
}

#[tokio::test]
async fn reading_and_cancelling_need_a_token_too() {
    let warehouse = Warehouse::new().await;
    let handle = warehouse.sql("SELECT 1").await.handle();
    for (method, path) in [("GET", ""), ("POST", "/cancel")] {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v2/statements/{handle}{path}"));
        let answer = warehouse.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.verdict(), (400, "390146".to_owned()), "{method}");
    }
}

#[tokio::test]
async fn a_role_must_be_granted() {
    let warehouse = Warehouse::new().await;
    let answer = warehouse
        .post("", json!({"statement": "SELECT 1", "role": "ACCOUNTADMIN"}))
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let message = "Role 'ACCOUNTADMIN' specified in the connect string is not granted to this user, or is not permitted \
                   for the credentials being used. Contact your local system administrator, or attempt to login with \
                   another role, e.g. PUBLIC.";
    assert_eq!(answer.body(), json!({"code": "390186", "message": message}));
}
