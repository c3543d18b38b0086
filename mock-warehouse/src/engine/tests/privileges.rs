//! Roles, grants and what is refused.

use super::{Engine, Session, SessionContext, User, fail, lines, rows, run, warehouse};

async fn service(engine: &Engine) -> Session {
    let mut session = engine
        .session(SessionContext {
            user: "service".to_owned(),
            role: Some("LOADER".to_owned()),
            database: Some("D".to_owned()),
            schema: Some("S".to_owned()),
            warehouse: Some("COMPUTE_WH".to_owned()),
            ..SessionContext::default()
        })
        .unwrap();
    run(&mut session, "ALTER SESSION SET TIMEZONE = 'UTC'").await;
    session
}

fn register(engine: &Engine) {
    engine
        .register_user(&User {
            name: "SERVICE".to_owned(),
            public_keys: vec!["MII".to_owned()],
            default_role: Some("LOADER".to_owned()),
            roles: vec![],
        })
        .unwrap();
}

#[tokio::test]
async fn each_privilege_is_needed() {
    let (engine, mut admin) = warehouse().await;
    register(&engine);
    run(
        &mut admin,
        "CREATE TABLE t (a NUMBER); CREATE VIEW v AS SELECT a FROM t",
    )
    .await;
    let mut loader = service(&engine).await;
    let merge = "MERGE INTO t USING (SELECT 1 AS a) s ON t.a = s.a WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (a) VALUES (s.a)";
    for (grant, sql, code) in [
        (
            "GRANT USAGE ON WAREHOUSE COMPUTE_WH TO ROLE LOADER",
            "SELECT * FROM t",
            "002003",
        ),
        (
            "GRANT USAGE ON DATABASE D TO ROLE LOADER",
            "SELECT * FROM t",
            "002003",
        ),
        (
            "GRANT USAGE ON SCHEMA D.S TO ROLE LOADER",
            "SELECT * FROM t",
            "002003",
        ),
        (
            "GRANT SELECT ON TABLE t TO ROLE LOADER",
            "INSERT INTO t VALUES (1)",
            "003001",
        ),
        ("GRANT INSERT ON TABLE t TO ROLE LOADER", merge, "003001"),
        (
            "GRANT DELETE ON TABLE t TO ROLE LOADER",
            "UPDATE t SET a = 1",
            "003001",
        ),
        (
            "GRANT UPDATE ON TABLE t TO ROLE LOADER",
            "SELECT * FROM v",
            "002003",
        ),
        (
            "GRANT SELECT ON VIEW v TO ROLE LOADER",
            "DROP TABLE t",
            "003001",
        ),
        (
            "GRANT CREATE TABLE ON SCHEMA D.S TO ROLE LOADER",
            "CREATE USER x",
            "003001",
        ),
    ] {
        run(&mut admin, grant).await;
        assert_eq!(
            fail(&mut loader, sql).await.code,
            code,
            "{sql} after {grant}"
        );
    }
    run(&mut loader, merge).await;
    run(
        &mut loader,
        "UPDATE t SET a = 2; CREATE TABLE mine (b NUMBER); INSERT INTO mine SELECT a FROM v",
    )
    .await;
    assert_eq!(rows(&mut loader, "SELECT * FROM mine").await, ["2"]);
    run(&mut admin, "REVOKE SELECT ON TABLE t FROM ROLE LOADER").await;
    assert_eq!(fail(&mut loader, "SELECT * FROM t").await.code, "003001");
    assert_eq!(
        rows(&mut loader, "SELECT * FROM v").await,
        ["2"],
        "a view has its owner's rights"
    );
    run(
        &mut admin,
        "REVOKE USAGE ON WAREHOUSE COMPUTE_WH FROM ROLE LOADER",
    )
    .await;
    assert_eq!(fail(&mut loader, "SELECT * FROM v").await.code, "000606");
    assert_eq!(rows(&mut loader, "SELECT 1").await, ["1"]);
}

#[tokio::test]
async fn a_replaced_table_loses_its_grants() {
    let (engine, mut admin) = warehouse().await;
    register(&engine);
    run(
        &mut admin,
        "CREATE TABLE t (a NUMBER); GRANT USAGE ON DATABASE D TO ROLE LOADER; GRANT USAGE ON SCHEMA S TO ROLE LOADER;
         GRANT USAGE ON WAREHOUSE COMPUTE_WH TO ROLE LOADER; GRANT ALL ON TABLE t TO ROLE LOADER",
    )
    .await;
    let mut loader = service(&engine).await;
    run(&mut loader, "INSERT INTO t VALUES (1)").await;
    run(&mut admin, "CREATE OR REPLACE TABLE t (a NUMBER)").await;
    assert_eq!(
        fail(&mut loader, "INSERT INTO t VALUES (1)").await.code,
        "002003"
    );
}

#[tokio::test]
async fn roles_are_inherited_and_have_to_be_granted() {
    let (engine, mut admin) = warehouse().await;
    register(&engine);
    let context = |role: &str| SessionContext {
        user: "SERVICE".to_owned(),
        role: Some(role.to_owned()),
        ..SessionContext::default()
    };
    let error = engine.session(context("ACCOUNTADMIN")).unwrap_err();
    assert_eq!(error.code, "390186");
    assert!(
        error
            .message
            .starts_with("Role 'ACCOUNTADMIN' specified in the connect string is not granted")
    );
    run(
        &mut admin,
        "CREATE ROLE IF NOT EXISTS READER; GRANT ROLE READER TO ROLE LOADER",
    )
    .await;
    assert!(
        engine.session(context("reader")).is_ok(),
        "a role that one's role has is one's own"
    );
    run(
        &mut admin,
        "CREATE ROLE other; GRANT ROLE other TO USER SERVICE",
    )
    .await;
    assert!(engine.session(context("OTHER")).is_ok());
    run(&mut admin, "REVOKE ROLE other FROM USER SERVICE").await;
    assert!(engine.session(context("OTHER")).is_err());
}

#[tokio::test]
async fn keys_are_registered_by_sql() {
    let (engine, mut admin) = warehouse().await;
    run(
        &mut admin,
        "CREATE USER IF NOT EXISTS kafka DEFAULT_ROLE = LOADER; ALTER USER kafka SET RSA_PUBLIC_KEY = 'MIIone'; ALTER USER KAFKA SET RSA_PUBLIC_KEY_2='MIItwo'",
    )
    .await;
    let user = engine.user("Kafka").unwrap();
    assert_eq!(
        (user.public_keys.len(), user.default_role.as_deref()),
        (2, Some("LOADER"))
    );
    run(&mut admin, "ALTER USER kafka UNSET RSA_PUBLIC_KEY").await;
    assert_eq!(engine.user("kafka").unwrap().public_keys, ["MIItwo"]);
}

#[tokio::test]
async fn show_lists_what_the_role_sees() {
    let (engine, mut admin) = warehouse().await;
    register(&engine);
    run(&mut admin, "CREATE TABLE a_1 (a NUMBER) COMMENT = 'one'; CREATE TABLE b (a NUMBER); CREATE VIEW v AS SELECT * FROM b").await;
    let grid = run(&mut admin, "SHOW TABLES LIKE 'a\\_%'").await;
    assert_eq!(grid.columns.len(), 24);
    let grid = run(&mut admin, "SHOW TABLES LIKE 'A_%' IN SCHEMA D.S").await;
    assert_eq!(
        (
            grid.rows.len(),
            grid.rows[0][1].as_deref(),
            grid.rows[0][5].as_deref()
        ),
        (1, Some("A_1"), Some("one"))
    );
    assert_eq!(
        run(&mut admin, "SHOW VIEWS IN DATABASE D").await.rows[0][7].as_deref(),
        Some("CREATE VIEW v AS SELECT * FROM b")
    );
    run(&mut admin, "GRANT SELECT ON TABLE b TO ROLE LOADER").await;
    let grants = lines(&run(&mut admin, "SHOW GRANTS TO ROLE LOADER").await);
    assert_eq!(
        grants,
        ["0.000|SELECT|TABLE|D.S.B|ROLE|LOADER|false|ACCOUNTADMIN"]
    );
    let mut loader = service(&engine).await;
    assert_eq!(
        run(&mut loader, "SHOW TABLES IN ACCOUNT").await.rows.len(),
        0
    );
}

#[tokio::test]
async fn sequences_and_changes_of_tables_need_their_privileges() {
    let (engine, mut admin) = warehouse().await;
    register(&engine);
    run(
        &mut admin,
        "CREATE TABLE t (a NUMBER); CREATE SEQUENCE s; GRANT USAGE ON DATABASE D TO ROLE LOADER;
         GRANT USAGE ON SCHEMA D.S TO ROLE LOADER; GRANT USAGE ON WAREHOUSE COMPUTE_WH TO ROLE LOADER;
         GRANT SELECT, INSERT ON TABLE t TO ROLE LOADER",
    )
    .await;
    let mut loader = service(&engine).await;
    for (sql, code) in [
        ("SELECT s.NEXTVAL", "002003"),
        ("CREATE SEQUENCE q", "003001"),
        ("CREATE TABLE q LIKE t", "003001"),
        ("ALTER TABLE t DROP COLUMN a", "003001"),
        ("ALTER TABLE t RENAME TO u", "003001"),
        ("COMMENT ON TABLE t IS 'x'", "003001"),
        ("DROP SEQUENCE s", "002003"),
        ("INSERT OVERWRITE INTO t VALUES (1)", "003001"),
        ("INSERT OVERWRITE ALL INTO t SELECT 1 AS a", "003001"),
        ("TRUNCATE TABLE IF EXISTS t", "003001"),
    ] {
        assert_eq!(fail(&mut loader, sql).await.code, code, "{sql}");
    }
    run(
        &mut admin,
        "GRANT USAGE ON SEQUENCE s TO ROLE LOADER; GRANT CREATE SEQUENCE ON SCHEMA S TO ROLE LOADER",
    )
    .await;
    run(
        &mut loader,
        "CREATE SEQUENCE q; CREATE TEMPORARY TABLE mine (n NUMBER DEFAULT s.NEXTVAL, a NUMBER)",
    )
    .await;
    run(&mut loader, "INSERT INTO mine (a) SELECT 1").await;
    assert_eq!(rows(&mut loader, "SELECT * FROM mine").await, ["1|1"]);
}
