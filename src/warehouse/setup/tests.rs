//! Scripts from a folder, and what a warehouse makes of them.

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::{
    keys::tests::PAIR,
    warehouse::{
        Config, query,
        tests::script::{Reply, Script, refused, result, status},
    },
};

const OBJECTS: &str = "-- The file format, and the stage.
CREATE FILE FORMAT IF NOT EXISTS SLUICEBOX_PARQUET TYPE = PARQUET USE_LOGICAL_TYPE = TRUE;
CREATE STAGE IF NOT EXISTS ${stage} URL = '${stage_url}' FILE_FORMAT = (FORMAT_NAME = 'SLUICEBOX_PARQUET');
";

const TABLES: &str = "/* Tables. */
CREATE TABLE IF NOT EXISTS ${database}.${schema}.CUSTOMER_DAILY_METRICS (
  customer_id VARCHAR NOT NULL, -- who
  event_date DATE,
  page_views NUMBER(19,0) NOT NULL DEFAULT 0,
  total_revenue NUMBER(28, 2),
  \"Note\" VARCHAR(10),
  loaded_at TIMESTAMP_NTZ,
  PRIMARY KEY (customer_id, event_date)
) CLUSTER BY (event_date) COMMENT = 'one row per customer; and day';
CREATE OR REPLACE VIEW V AS SELECT * FROM CUSTOMER_DAILY_METRICS;
";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[tokio::test]
async fn scripts_run_in_the_order_of_their_names_a_request_a_statement() {
    let folder = folder(&[
        ("20_tables.sql", TABLES),
        ("10_objects.sql", OBJECTS),
        ("notes.txt", "not SQL"),
    ]);
    let script = Script::in_turn([
        status("File format SLUICEBOX_PARQUET successfully created."),
        status("KAFKA_STAGE already exists, statement succeeded."),
        status("Table CUSTOMER_DAILY_METRICS successfully created."),
        status("View V successfully created."),
    ])
    .await;
    let variables = Variables::new(&script.config()).unwrap();
    let statements = load(folder.path(), &variables).unwrap();
    let mut steps = Vec::new();
    let mut report = |step: &Step<'_>| steps.push((step.statement.summary(), step.outcome.clone()));
    apply(&script.client(), &statements, &mut report)
        .await
        .unwrap();
    assert_eq!(
        steps,
        [
            (
                "CREATE FILE FORMAT IF NOT EXISTS SLUICEBOX_PARQUET TYPE = PARQUET USE_LOGICAL_TYPE = TRUE".to_owned(),
                Outcome::Created
            ),
            (
                "CREATE STAGE IF NOT EXISTS KAFKA_STAGE URL = 's3://bucket/prefix/' FILE_FORMAT =".to_owned(),
                Outcome::AlreadyThere
            ),
            ("CREATE TABLE IF NOT EXISTS KAFKA_DB.STREAMING.CUSTOMER_DAILY_METRICS".to_owned(), Outcome::Created),
            ("CREATE OR REPLACE VIEW V AS SELECT * FROM CUSTOMER_DAILY_METRICS".to_owned(), Outcome::Created),
        ]
    );
    let asked = script.asked();
    assert_eq!(asked.len(), 4);
    for (request, statement) in asked.iter().zip(&statements) {
        assert_eq!(request.body["statement"], statement.text);
        assert!(
            request.body["parameters"]
                .get("MULTI_STATEMENT_COUNT")
                .is_none()
        );
    }
}

#[tokio::test]
async fn a_failing_statement_is_named_by_file_and_line_and_ends_the_run() {
    let folder = folder(&[("10_objects.sql", OBJECTS)]);
    let script = Script::in_turn([refused("003001", "42501", "Insufficient privileges")]).await;
    let statements = load(folder.path(), &Variables::new(&script.config()).unwrap()).unwrap();
    let error = apply(&script.client(), &statements, &mut |_| {
        panic!("nothing was done")
    })
    .await
    .unwrap_err();
    let place = folder.path().join("10_objects.sql").display().to_string()
        + ":2: failed: CREATE FILE FORMAT";
    assert!(error.to_string().starts_with(&place), "{error}");
    assert!(error.hint().unwrap().contains("--role ACCOUNTADMIN"));
    assert_eq!(script.asked().len(), 1);
}

#[tokio::test]
async fn what_cannot_run_is_found_before_anything_is_sent() {
    let script = Script::in_turn([]).await;
    let variables = Variables::new(&script.config()).unwrap();
    for (text, line, problem) in [
        (
            "SELECT 1;\n\ncreate or replace transient table t (a int)",
            3,
            "CREATE OR REPLACE TABLE would throw away",
        ),
        (
            "CREATE OR REPLACE STAGE s",
            1,
            "CREATE OR REPLACE STAGE would throw away",
        ),
        (
            "CREATE OR REPLACE DATABASE s",
            1,
            "CREATE OR REPLACE DATABASE would throw away",
        ),
        (
            "CREATE OR REPLACE /* x */ SCHEMA s",
            1,
            "CREATE OR REPLACE SCHEMA would throw away",
        ),
        ("USE SCHEMA s", 1, "USE has no effect"),
        ("BEGIN; SELECT 1; COMMIT", 1, "BEGIN has no effect"),
        (
            "\nGRANT ROLE ${rôle} TO x",
            2,
            "unknown variable `${rôle}`; there are ${database}",
        ),
        (
            "SELECT '${storage_integration}'",
            1,
            "`${storage_integration}` has no value: warehouse.storage_integration is empty",
        ),
    ] {
        let folder = folder(&[("02_tables.sql", text)]);
        let error = load(folder.path(), &variables).unwrap_err();
        let place = format!("02_tables.sql:{line}: ");
        assert!(error.to_string().contains(&place), "{text}: {error}");
        assert!(error.to_string().contains(problem), "{text}: {error}");
        assert!(error.hint().is_some());
    }
}

#[test]
fn the_shipped_kinds_of_replacement_stay_possible() {
    let folder = folder(&[(
        "a.sql",
        "CREATE OR REPLACE VIEW v AS SELECT 1; CREATE OR REPLACE PROCEDURE p() AS $$ x; $$",
    )]);
    assert_eq!(
        load(folder.path(), &Variables::placeholders())
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn declared_tables_are_read_without_a_warehouse() {
    let folder = folder(&[("10_objects.sql", OBJECTS), ("20_tables.sql", TABLES)]);
    let tables = declared_tables(folder.path()).unwrap();
    let column = |name: &str, kind: &str, not_null| (name.to_owned(), kind.to_owned(), not_null);
    assert_eq!(
        tables,
        [DeclaredTable {
            name: "CUSTOMER_DAILY_METRICS".into(),
            columns: vec![
                column("CUSTOMER_ID", "VARCHAR", true),
                column("EVENT_DATE", "DATE", true),
                column("PAGE_VIEWS", "NUMBER(19,0)", true),
                column("TOTAL_REVENUE", "NUMBER(28,2)", false),
                column("Note", "VARCHAR(10)", false),
                column("LOADED_AT", "TIMESTAMP_NTZ", false),
            ],
            file: folder.path().join("20_tables.sql"),
            line: 2,
        }]
    );
}

#[test]
fn a_table_that_cannot_be_read_is_named_by_file_and_line() {
    let folder = folder(&[("t.sql", "\nCREATE TABLE t (a NUMBER(;")]);
    let error = declared_tables(folder.path()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("t.sql:2: cannot read this CREATE TABLE"),
        "{error}"
    );
}

#[tokio::test]
async fn tables_are_described_and_compared() {
    let columns = [
        ("name", "text"),
        ("type", "text"),
        ("kind", "text"),
        ("null?", "text"),
        ("default", "text"),
    ];
    let rows = json!([
        ["CUSTOMER_ID", "VARCHAR(16777216)", "COLUMN", "N", null],
        ["PAGE_VIEWS", "NUMBER(10,0)", "COLUMN", "N", "0"],
    ]);
    let description = Reply::Json(200, result("h", &columns, &rows));
    let missing = refused(
        "002003",
        "42S02",
        "Table 'T' does not exist or not authorized.",
    );
    let script = Script::in_turn([description.clone(), description, missing]).await;
    let contract = |kind: &str| {
        let columns = vec![
            ("CUSTOMER_ID".to_owned(), "VARCHAR".to_owned()),
            ("PAGE_VIEWS".to_owned(), kind.to_owned()),
        ];
        [TableContract {
            name: "T".into(),
            columns,
        }]
    };
    let client = script.client();
    check(&client, &contract("NUMBER(9,0)")).await.unwrap();
    let error = check(&client, &contract("NUMBER(19,0)")).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("PAGE_VIEWS is NUMBER(10,0) and has to hold NUMBER(19,0)"),
        "{error}"
    );
    let error = check(&client, &contract("NUMBER(19,0)")).await.unwrap_err();
    assert!(error.hint().unwrap().contains("sluicebox setup"), "{error}");
    assert_eq!(script.asked()[0].body["statement"], "DESCRIBE TABLE T");
}

#[test]
fn a_dry_run_shows_each_statement_with_its_place() {
    let folder = folder(&[("a.sql", "SELECT 1;\n\nSELECT '${stage_url}'")]);
    let statements = load(folder.path(), &Variables::placeholders()).unwrap();
    let file = folder.path().join("a.sql");
    let file = file.display();
    assert_eq!(
        text_of(&statements),
        format!("-- {file}:1\nSELECT 1;\n\n-- {file}:3\nSELECT 'stage_url';\n")
    );
}

#[test]
fn what_the_scripts_declare_is_compared_without_a_warehouse() {
    let folder = folder(&[("20_tables.sql", TABLES)]);
    let declared = declared_tables(folder.path()).unwrap();
    let contract = |name: &str, columns: &[(&str, &str)]| {
        let columns = columns
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned()))
            .collect();
        [TableContract {
            name: name.into(),
            columns,
        }]
    };
    let metrics = "CUSTOMER_DAILY_METRICS";
    check_declared(
        &declared,
        &contract(
            metrics,
            &[
                ("customer_id", "VARCHAR"),
                ("TOTAL_REVENUE", "NUMBER(28,2)"),
            ],
        ),
    )
    .unwrap();
    for (contract, place, problem, hint) in [
        (
            contract(metrics, &[("TOTAL_REVENUE", "NUMBER(38,2)")]),
            "20_tables.sql:2: ",
            "column TOTAL_REVENUE is NUMBER(28,2) and has to hold NUMBER(38,2)",
            "declare it as TOTAL_REVENUE NUMBER(38,2)",
        ),
        (
            contract(metrics, &[("SLUICEBOX_VERSION", "NUMBER(19,0)")]),
            "20_tables.sql:2: ",
            "it has no column SLUICEBOX_VERSION",
            "add to the CREATE TABLE: SLUICEBOX_VERSION NUMBER(19,0)",
        ),
        (
            contract("OTHER", &[("A", "DATE")]),
            "table OTHER",
            "no script of the pipeline's warehouse folder creates it",
            "CREATE TABLE IF NOT EXISTS OTHER (A DATE)",
        ),
    ] {
        let error = check_declared(&declared, &contract).unwrap_err();
        assert!(
            error.to_string().contains(place) && error.to_string().contains(problem),
            "{error}"
        );
        assert_eq!(error.hint().unwrap(), hint);
    }
}

#[tokio::test]
async fn scripts_may_run_as_another_role_than_the_one_that_uses_the_tables() {
    let folder = folder(&[("a.sql", "CREATE TABLE IF NOT EXISTS t (a DATE)")]);
    let columns = [
        ("name", "text"),
        ("type", "text"),
        ("null?", "text"),
        ("default", "text"),
    ];
    let description = Reply::Json(
        200,
        result("h", &columns, &json!([["A", "DATE", "Y", null]])),
    );
    let script = Script::in_turn([status("Table T successfully created."), description]).await;
    let key = folder.path().join("key.p8");
    PAIR.write_new(&key, None).unwrap();
    let config = Config {
        private_key_file: key,
        ..script.config()
    };
    let args = SetupArgs {
        dry_run: false,
        role: Some("ACCOUNTADMIN".into()),
    };
    let contract = TableContract {
        name: "T".into(),
        columns: vec![("A".into(), "DATE".into())],
    };
    let mut done = 0;
    run(&config, folder.path(), &args, &[contract], &mut |_| {
        done += 1
    })
    .await
    .unwrap();
    let roles: Vec<_> = script
        .asked()
        .iter()
        .map(|asked| asked.body["role"].clone())
        .collect();
    assert_eq!(
        (done, roles),
        (1, vec![json!("ACCOUNTADMIN"), json!("KAFKA_LOADER")])
    );
}

#[test]
fn the_arguments_are_consistent() {
    use clap::{Args, Command};

    SetupArgs::augment_args(Command::new("setup")).debug_assert();
    query::QueryArgs::augment_args(Command::new("query")).debug_assert();
}
