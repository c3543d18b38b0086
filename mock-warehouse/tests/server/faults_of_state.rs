//! Faults that change the account while a client works: keys, clocks, warehouses, grants, tables.

use chrono::{DateTime, Utc};
use serde_json::json;

use crate::faults::{Wire, verdict};
use crate::support::{KEY, ROLE, USER};

fn pair(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_until_it_is_set_again() {
    let wire = Wire::new().await;
    wire.fault(&format!("revoke:{USER}@submit=1"));
    for _ in 0..2 {
        assert_eq!(wire.sql("SELECT 1").await, pair(401, "390144"));
    }
    let pem: String = KEY
        .public_pem
        .lines()
        .filter(|line| !line.starts_with("---"))
        .collect();
    wire.admin(&format!("ALTER USER {USER} SET RSA_PUBLIC_KEY = '{pem}'"))
        .await;
    assert_eq!(wire.sql("SELECT 1").await, pair(200, "090001"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_refuses_good_tokens_and_tells_its_time() {
    let wire = Wire::new().await;
    for skew in [-7200, 7200] {
        wire.fault(&format!("clock:{skew}@submit=1"));
        let refused = wire.statement("", "SELECT 1").send().await.unwrap();
        let date = refused.headers()["date"].to_str().unwrap();
        let ahead = DateTime::parse_from_rfc2822(date).unwrap().to_utc() - Utc::now();
        assert!((ahead.num_seconds() - skew).abs() < 60, "{skew}: {date}");
        assert_eq!(verdict(refused).await, pair(401, "390144"), "{skew}");
        assert_eq!(wire.sql("SELECT 1").await, pair(200, "090001"), "{skew}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warehouse_that_cannot_run_says_so_and_a_remedy_helps() {
    let wire = Wire::new().await;
    let select = "SELECT n FROM t";
    for (fault, code, remedy) in [
        (
            "sql:ALTER WAREHOUSE WH SET AUTO_RESUME = FALSE; ALTER WAREHOUSE WH SUSPEND@submit=1",
            "000606",
            "ALTER WAREHOUSE WH RESUME",
        ),
        (
            "quota:wh@submit=1",
            "090073",
            "ALTER WAREHOUSE WH UNSET RESOURCE_MONITOR",
        ),
        (
            "sql:DROP WAREHOUSE WH@submit=1",
            "000606",
            "CREATE WAREHOUSE WH",
        ),
    ] {
        wire.fault(fault);
        for _ in 0..2 {
            assert_eq!(wire.sql(select).await, pair(422, code), "{fault}");
        }
        // What needs no warehouse goes on.
        assert_eq!(
            wire.sql("SHOW TABLES").await,
            pair(200, "090001"),
            "{fault}"
        );
        wire.admin(remedy).await;
        wire.admin(&format!("GRANT USAGE ON WAREHOUSE WH TO ROLE {ROLE}"))
            .await;
        assert_eq!(wire.sql(select).await, pair(200, "090001"), "{fault}");
    }
    wire.admin("ALTER WAREHOUSE WH SUSPEND").await;
    assert_eq!(
        wire.sql(select).await,
        pair(200, "090001"),
        "it resumes by itself"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_statement_needs_is_taken_away_just_before_it() {
    let insert = "INSERT INTO t SELECT n, other FROM t";
    for (statement, code) in [
        (
            format!("REVOKE INSERT ON TABLE DB.S.T FROM ROLE {ROLE}"),
            "003001",
        ),
        ("DROP TABLE DB.S.T".to_owned(), "002003"),
        (
            "CREATE OR REPLACE TABLE DB.S.T (n NUMBER)".to_owned(),
            "002003",
        ),
        (
            "ALTER TABLE DB.S.T ADD COLUMN third NUMBER".to_owned(),
            "002020",
        ),
    ] {
        let wire = Wire::new().await;
        wire.admin("CREATE OR REPLACE TABLE DB.S.T (n NUMBER, other NUMBER)")
            .await;
        wire.admin(&format!(
            "GRANT SELECT, INSERT ON TABLE DB.S.T TO ROLE {ROLE}"
        ))
        .await;
        let rule = wire.fault(&format!("sql:{statement}@submit+1=1"));
        assert_eq!(wire.sql(insert).await, pair(200, "090001"), "{statement}");
        assert_eq!(wire.sql(insert).await, pair(422, code), "{statement}");
        assert_eq!(wire.served.warehouse.faults().struck(rule), Some(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_cannot_happen_is_no_silence() {
    let wire = Wire::new().await;
    for fault in [
        "sql:DROP TABLE DB.S.NOSUCH",
        "quota:NOSUCH",
        "revoke:NOBODY",
    ] {
        wire.fault(&format!("{fault}@submit=1"));
        let answer = wire.statement("", "SELECT 1").send().await.unwrap();
        assert_eq!(answer.status(), 500, "{fault}");
        let text = answer.text().await.unwrap();
        assert!(text.contains(fault) && text.contains("hint: "), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_may_stand_in_a_faults_statement() {
    let wire = Wire::new().await;
    wire.admin("CREATE STAGE DB.S.INSIDE ENCRYPTION = (TYPE = 'SNOWFLAKE_SSE')")
        .await;
    wire.fault("sql:REMOVE @DB.S.INSIDE/x@submit=1");
    assert_eq!(wire.sql("SELECT 1").await, pair(200, "090001"));
    assert_eq!(wire.admin("LIST @DB.S.INSIDE").await, json!([]));
}
