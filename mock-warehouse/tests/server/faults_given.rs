//! How rules are given while the server runs, and what it counts.

use mock_warehouse::{Fault, Step};
use reqwest::Method;
use serde_json::{Value, json};

use crate::faults::Wire;
use crate::support::config;

#[tokio::test(flavor = "multi_thread")]
async fn rules_come_go_and_count_over_http_where_that_is_allowed() {
    let mut config = config();
    config.admin = true;
    let wire = Wire::with(config).await;
    let admin = |method: Method| wire.request(method, "/admin/faults");
    let read = async || -> Value {
        admin(Method::GET)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    };
    let body = json!({"faults": ["503@submit=1", "drop-reply@poll=50%"], "seed": 3});
    let added = admin(Method::POST).json(&body).send().await.unwrap();
    let added: Value = added.json().await.unwrap();
    assert_eq!(added["added"].as_array().unwrap().len(), 2);
    assert_eq!(wire.insert("").await.unwrap().status(), 503);
    assert_eq!(wire.insert("").await.unwrap().status(), 200);
    let state = read().await;
    assert_eq!(
        state["faults"][0],
        json!({"id": added["added"][0], "fault": "503@submit=1", "seen": 2, "struck": 1})
    );
    assert_eq!(state["requests"], json!({"submit": 2}));
    assert_eq!(
        (&state["statements"], &state["panics"]),
        (&json!(1), &json!(0))
    );

    for wrong in [
        json!({"faults": ["503@submit", "oops"]}),
        json!({"faults": [], "sead": 1}),
        json!({"fault": "503@submit"}),
        json!([]),
    ] {
        let refused = admin(Method::POST).json(&wrong).send().await.unwrap();
        assert_eq!(refused.status(), 400, "{wrong}");
        let refused: Value = refused.json().await.unwrap();
        assert!(
            refused["error"].is_string() && refused["hint"].is_string(),
            "{refused}"
        );
    }
    assert_eq!(read().await["faults"].as_array().unwrap().len(), 2);
    let one = format!("/admin/faults/{}", added["added"][1]);
    for status in [204, 404] {
        let gone = wire.request(Method::DELETE, &one).send().await.unwrap();
        assert_eq!(gone.status(), status);
    }
    assert_eq!(admin(Method::DELETE).send().await.unwrap().status(), 204);
    assert_eq!(read().await["faults"], json!([]));
    assert_eq!(read().await["requests"], state["requests"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_not_taken_over_http_unless_allowed() {
    let wire = Wire::new().await;
    let body = json!({"faults": ["503@submit"]});
    let refused = wire.request(Method::POST, "/admin/faults").json(&body);
    assert!(refused.send().await.unwrap().status().is_client_error());
    assert_eq!(wire.insert("").await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_sent_is_nothing_counted() {
    let wire = Wire::new().await;
    let before = wire.served.warehouse.faults().counters();
    wire.served
        .http
        .get(format!("{}/health", wire.served.origin))
        .send()
        .await
        .unwrap();
    assert_eq!(wire.served.warehouse.faults().counters(), before);
    let fault: Fault = "500@submit=0%".parse().unwrap();
    let rule = wire.served.warehouse.faults().add(fault);
    wire.sql("SELECT 1").await;
    let after = wire.served.warehouse.faults().counters();
    assert_eq!(after.requests[&Step::Submit], 1);
    assert_eq!(after.statements, before.statements + 1);
    assert_eq!(wire.served.warehouse.faults().struck(rule), Some(0));
}
