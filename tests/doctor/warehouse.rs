//! Keys, clocks, roles and objects that are not as they have to be.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use sluicebox::keys::KeyPair;

use super::guide;
use super::scene::{Break, Case, Scene, environment, sql};
use super::skewed::Skewed;
use crate::support::deployment::{ACCOUNT, Deployment, USER};
use crate::support::pipeline::Pipeline;

const ROLE: &str = "KAFKA_LOADER";
const SCHEMA: &str = "KAFKA_DB.STREAMING";
const VIEWS: [&str; 5] = [
    "EVENT_FUNNEL",
    "DAILY_CUSTOMER_REVENUE",
    "REAL_TIME_CUSTOMER_METRICS",
    "TOP_CUSTOMERS",
    "HOURLY_TRENDS",
];

fn full(name: &str) -> String {
    format!("{SCHEMA}.{}", name.to_uppercase())
}

/// The key, the account and who signs in.
fn sign_ins(scene: &Scene) -> Vec<Case> {
    let folder = scene.path();
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let secret = |text: &str| text.to_owned().into();
    let key = scene.deployment.key();
    key.write_new(&folder.join("locked.p8"), Some(&secret("open sesame")))
        .unwrap();
    key.write_new(&folder.join("seen.p8"), None).unwrap();
    let stranger = KeyPair::generate(2048).unwrap();
    stranger
        .write_new(&folder.join("stranger.p8"), None)
        .unwrap();
    let (key_file, passphrase) = (
        "warehouse.private_key_file",
        "warehouse.private_key_passphrase",
    );
    let register = "USE ROLE ACCOUNTADMIN; ALTER USER KAFKA_SERVICE SET RSA_PUBLIC_KEY=";
    vec![
        Case::new("a key file that others can read", {
            fs::set_permissions(folder.join("seen.p8"), fs::Permissions::from_mode(0o644)).unwrap();
            environment(&[(key_file, &file("seen.p8"))])
        })
        .then(
            "private key",
            "can be read by group or others (mode 0644)",
            "chmod 600 ",
            &[],
        ),
        Case::new(
            "an encrypted key without a passphrase",
            environment(&[(key_file, &file("locked.p8"))]),
        )
        .then(
            "private key",
            "is encrypted and no passphrase was given",
            "export SLUICEBOX_WAREHOUSE__PRIVATE_KEY_PASSPHRASE=",
            &["open sesame"],
        ),
        Case::new(
            "a wrong passphrase",
            environment(&[(key_file, &file("locked.p8")), (passphrase, "open barley")]),
        )
        .then(
            "private key",
            "the passphrase does not open",
            "export SLUICEBOX_WAREHOUSE__PRIVATE_KEY_PASSPHRASE=",
            &["open sesame"],
        ),
        Case::new("no account", environment(&[("warehouse.account", "")])).then(
            "warehouse settings",
            "warehouse.account",
            "[warehouse] account = ",
            &[ACCOUNT],
        ),
        Case::new(
            "a wrong account",
            environment(&[("warehouse.account", "OTHER")]),
        )
        .then(
            "sign-in",
            "is refused: JWT token is invalid.",
            "[warehouse] account = ",
            &[ACCOUNT],
        ),
        Case::new("a wrong user", environment(&[("warehouse.user", "NOBODY")])).then(
            "sign-in",
            "the token of NOBODY is refused",
            "[warehouse] user = ",
            &[USER],
        ),
        Case::new(
            "nobody at the address",
            environment(&[("warehouse.url", "http://127.0.0.1:1")]),
        )
        .then(
            "account",
            "warehouse unavailable while asking whether it is there: no reply",
            "[warehouse] url = ",
            &[scene.deployment.warehouse()],
        ),
        Case::new(
            "somebody else at the address",
            environment(&[(
                "warehouse.url",
                &format!("{}/health", scene.deployment.warehouse()),
            )]),
        )
        .then(
            "account",
            "what answers is no SQL API of Snowflake: HTTP ",
            "[warehouse] url = ",
            &[scene.deployment.warehouse()],
        ),
        Case::new(
            "a key that is not registered",
            environment(&[(key_file, &file("stranger.p8"))]),
        )
        .then(
            "sign-in",
            "its key is not registered with that user",
            register,
            &[],
        ),
        // The last one: from now on this key is the user's.
        Case::new(
            "a key file that is not there",
            environment(&[(key_file, &file("missing.p8"))]),
        )
        .then("private key", "cannot read ", "sluicebox --config ", &[])
        .then(
            "sign-in",
            "its key is not registered with that user",
            register,
            &[],
        ),
    ]
}

/// Things that are not there.
fn missing(gold: &str) -> Vec<Case> {
    let administrator = "USE ROLE ACCOUNTADMIN; ";
    let all = "sluicebox --config ";
    let gone = "it does not exist, or KAFKA_LOADER has no privilege on it";
    let mut cases = vec![
        Case::new("no warehouse", sql(&["DROP WAREHOUSE COMPUTE_WH"])).then(
            "warehouse COMPUTE_WH",
            gone,
            "USE ROLE ACCOUNTADMIN; CREATE WAREHOUSE IF NOT EXISTS COMPUTE_WH ",
            &[],
        ),
        Case::new("no database", sql(&["DROP DATABASE KAFKA_DB"])).then("database KAFKA_DB", gone, all, &[]),
        Case::new("no schema", sql(&["DROP SCHEMA KAFKA_DB.STREAMING"])).then(
            "schema KAFKA_DB.STREAMING",
            gone,
            all,
            &[],
        ),
        Case::new("a role that the user does not have", sql(&["REVOKE ROLE KAFKA_LOADER FROM USER KAFKA_SERVICE"])).then(
            "role",
            "KAFKA_LOADER does not exist, or is not granted to KAFKA_SERVICE",
            "USE ROLE ACCOUNTADMIN; CREATE ROLE IF NOT EXISTS KAFKA_LOADER; GRANT ROLE KAFKA_LOADER TO USER KAFKA_SERVICE;",
            &[],
        ),
        Case::new("several: no role", sql(&["DROP ROLE KAFKA_LOADER"]))
            .then("role", "does not exist", "USE ROLE ACCOUNTADMIN; CREATE ROLE", &[])
            .then("warehouse COMPUTE_WH", gone, administrator, &[])
            .then("database KAFKA_DB", gone, all, &[]),
    ];
    let objects = [
        "FILE FORMAT SLUICEBOX_PARQUET",
        "STAGE KAFKA_STREAMING_STAGE",
    ]
    .map(str::to_owned);
    let tables =
        ["SLUICEBOX_CONTROL", "KAFKA_EVENTS_SILVER", gold].map(|table| format!("TABLE {table}"));
    let views = VIEWS.map(|view| format!("VIEW {view}"));
    for object in objects.into_iter().chain(tables).chain(views) {
        let (kind, name) = object.rsplit_once(' ').unwrap();
        let name = full(name);
        let case = Case::new(
            format!("no {object}"),
            sql(&[format!("DROP {kind} {name}")]),
        );
        cases.push(case.then(
            format!("{} {name}", kind.to_lowercase()),
            gone,
            "USE ROLE ACCOUNTADMIN; CREATE ",
            &[],
        ));
    }
    cases
}

/// Privileges that the role does not have, one by one.
fn ungranted(gold: &str) -> Vec<Case> {
    let mut needs = vec![
        (
            "WAREHOUSE".to_owned(),
            "COMPUTE_WH".to_owned(),
            vec!["USAGE"],
        ),
        ("DATABASE".to_owned(), "KAFKA_DB".to_owned(), vec!["USAGE"]),
        ("SCHEMA".to_owned(), SCHEMA.to_owned(), vec!["USAGE"]),
    ];
    for (kind, name, privileges) in [
        ("FILE FORMAT", "SLUICEBOX_PARQUET", vec!["USAGE"]),
        ("STAGE", "KAFKA_STREAMING_STAGE", vec!["READ", "WRITE"]),
        (
            "TABLE",
            "SLUICEBOX_CONTROL",
            vec!["SELECT", "INSERT", "UPDATE"],
        ),
        ("TABLE", "KAFKA_EVENTS_SILVER", vec!["SELECT", "INSERT"]),
        ("TABLE", gold, vec!["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ] {
        needs.push((kind.to_owned(), full(name), privileges));
    }
    needs.extend(VIEWS.map(|view| ("VIEW".to_owned(), full(view), vec!["SELECT"])));
    let mut cases = Vec::new();
    for (kind, name, privileges) in needs {
        for privilege in &privileges {
            let revoke = format!("REVOKE {privilege} ON {kind} {name} FROM ROLE {ROLE}");
            let known = privileges.len() > 1 || ["DATABASE", "SCHEMA"].contains(&kind.as_str());
            let (says, fix) = match known {
                true => ("KAFKA_LOADER lacks ", "USE ROLE ACCOUNTADMIN; GRANT "),
                false => (
                    "KAFKA_LOADER has no privilege on it",
                    "USE ROLE ACCOUNTADMIN; ",
                ),
            };
            let case = Case::new(format!("no {privilege} on {kind} {name}"), sql(&[revoke]));
            cases.push(case.then(format!("{} {name}", kind.to_lowercase()), says, fix, &[]));
        }
    }
    cases
}

/// Tables that cannot take what is written to them.
fn unfit(gold: &str) -> Vec<Case> {
    let replaced = |table: &str, columns: &str, privileges: &str| {
        let table = full(table);
        sql(&[
            format!("CREATE OR REPLACE TABLE {table} ({columns})"),
            format!("GRANT {privileges} ON TABLE {table} TO ROLE {ROLE}"),
        ])
    };
    let every = "SELECT, INSERT, UPDATE, DELETE";
    let gold_columns = |revenue: &str, more: &str| {
        format!(
            "CUSTOMER_ID VARCHAR, EVENT_DATE DATE, PAGE_VIEWS NUMBER(19,0), ADD_TO_CART_COUNT NUMBER(19,0), \
             PURCHASE_COUNT NUMBER(19,0), {revenue} SLUICEBOX_VERSION NUMBER(19,0){more}"
        )
    };
    let alter = "USE ROLE ACCOUNTADMIN; ALTER TABLE ";
    let line = |table: &str| format!("columns of {}", full(table));
    let case = |name: &str, columns: &str| Case::new(name, replaced(gold, columns, every));
    vec![
        case("a column that is not there", &gold_columns("", "")).then(
            line(gold),
            "it has no column TOTAL_REVENUE",
            alter,
            &[],
        ),
        case("a column that is too narrow", &gold_columns("TOTAL_REVENUE NUMBER(10,2),", "")).then(
            line(gold),
            "column TOTAL_REVENUE is NUMBER(10,2) and has to hold NUMBER(28,2)",
            alter,
            &[],
        ),
        case("a column of another type", &gold_columns("TOTAL_REVENUE FLOAT,", "")).then(
            line(gold),
            "column TOTAL_REVENUE is FLOAT and has to hold NUMBER(28,2)",
            alter,
            &[],
        ),
        case(
            "a column that nobody writes",
            &gold_columns("TOTAL_REVENUE NUMBER(28,2),", ", REGION VARCHAR NOT NULL"),
        )
        .then(line(gold), "column REGION is NOT NULL without a default", alter, &[]),
        Case::new(
            "a control table of an older version",
            replaced(
                "SLUICEBOX_CONTROL",
                "TOPIC VARCHAR, PARTITION_ID NUMBER(10,0), NEXT_OFFSET NUMBER(19,0), FENCE NUMBER(19,0), LOADS NUMBER(19,0)",
                "SELECT, INSERT, UPDATE",
            ),
        )
        .then(line("SLUICEBOX_CONTROL"), "it has no column SOURCE, TARGET", alter, &[]),
    ]
}

/// The bucket of an external stage.
fn bucket(scene: &Scene) -> Case {
    let [access, secret] = scene.deployment.s3_keys();
    Case::new(
        "a wrong key of the bucket",
        environment(&[("warehouse.stage_properties.aws_secret_access_key", "wrong")]),
    )
    .then(
        "stage files",
        "could not be written to the stage s3://",
        "export SLUICEBOX_WAREHOUSE__STAGE_PROPERTIES__AWS_ACCESS_KEY_ID=",
        &[access, secret],
    )
}

/// The pipeline, the files of the stage.
fn surroundings(scene: &Scene) -> Vec<Case> {
    let folder = scene.path().join("pipeline");
    let stage = full("KAFKA_STREAMING_STAGE");
    vec![
        Case::new(
            "a stage that takes encrypted files",
            sql(&[
                format!("CREATE OR REPLACE STAGE {stage}"),
                format!("GRANT READ, WRITE ON STAGE {stage} TO ROLE {ROLE}"),
            ]),
        )
        .then(
            "stage files",
            "the warehouse lends no key to the stage",
            "USE ROLE ACCOUNTADMIN; CREATE OR REPLACE STAGE ",
            &[],
        ),
        Case::new(
            "no such pipeline",
            environment(&[("pipeline.folder", "/nowhere")]),
        )
        .then(
            "pipeline",
            "/nowhere/raw_events.sql",
            "[pipeline] folder = ",
            &[folder.to_str().unwrap()],
        ),
    ]
}

#[test]
fn every_broken_warehouse_comes_with_what_repairs_it() {
    let pipeline = Pipeline::customer_metrics();
    let gold = pipeline.gold.clone();
    let deployment = Deployment::new("doctor", &pipeline);
    deployment.setup();
    let mut scene = Scene::new(deployment, gold.clone(), "warehouse");
    let first = scene.check();
    assert!(first.ok, "{:#?}", first.wrong());

    let cases = [
        surroundings(&scene),
        missing(&gold),
        ungranted(&gold),
        unfit(&gold),
        sign_ins(&scene),
    ]
    .concat();
    for case in &cases {
        scene.play(case);
    }
    let pipeline = Pipeline {
        external_stage: true,
        ..Pipeline::customer_metrics()
    };
    let gold = pipeline.gold.clone();
    let deployment = Deployment::new("bucket", &pipeline);
    deployment.setup();
    let mut external = Scene::new(deployment, gold, "warehouse");
    external.play(&bucket(&external));
    scene.said.append(&mut external.said);
    println!(
        "{} broken set-ups of the warehouse, each repaired by what was printed",
        cases.len() + 1
    );
    guide::assert_said("The warehouse", &scene.said);
}

#[test]
fn a_clock_that_is_off_is_named_before_the_token_that_it_spoils() {
    let pipeline = Pipeline::customer_metrics();
    let gold = pipeline.gold.clone();
    let deployment = Deployment::new("clock", &pipeline);
    deployment.setup();
    let warehouse = Skewed::before(deployment.warehouse(), 2 * 3600);
    let url = warehouse.url().to_owned();
    let mut scene = Scene::new(deployment, gold, "warehouse");
    scene.always("warehouse.url", &url);
    // What sets the clock here sets the server's.
    scene.tool(
        "timedatectl",
        &format!(
            "test \"$*\" = 'set-ntp true' && touch '{}'",
            warehouse.switch().display()
        ),
    );
    let case = Case::new(
        "several: a clock two hours behind",
        Break::Environment(Vec::new()),
    )
    .then(
        "clock",
        "this machine's clock is 2h behind the warehouse's",
        "timedatectl set-ntp true",
        &[],
    );
    let report = scene.check();
    let signing_in = report.wrong()[1].clone();
    assert_eq!(signing_in.name, "sign-in");
    assert!(
        signing_in
            .found
            .starts_with("this machine's clock is 2h behind"),
        "{signing_in:?}"
    );
    assert_eq!(signing_in.fix.as_deref(), Some("timedatectl set-ntp true"));
    scene.play(&case);
    guide::assert_said("The clock", &scene.said);
    only_shows_and_describes(&warehouse.asked());
}

/// Statements that need no virtual warehouse; none is named, so none can be woken. But for a file on the stage, which is removed,
/// they change nothing.
fn only_shows_and_describes(asked: &[Value]) {
    let statements =
        |request: &&Value| ["statement", "sqlText"].map(|name| request[name].is_string());
    let asked = asked
        .iter()
        .filter(|request| statements(request) != [false; 2]);
    let asked: Vec<_> = asked.collect();
    assert!(asked.len() >= 8, "{asked:#?}");
    for request in asked {
        let text = request["statement"]
            .as_str()
            .or(request["sqlText"].as_str());
        let text = text.unwrap();
        let looks = text.starts_with("SHOW ") || text.starts_with("DESCRIBE ");
        let of_the_file = text.starts_with("PUT 'file:///sluicebox/file'")
            || text
                .starts_with("REMOVE '@KAFKA_DB.STREAMING.KAFKA_STREAMING_STAGE/sluicebox-check/");
        assert!(looks || of_the_file, "{text}");
        assert!(request.get("warehouse").is_none(), "{request}");
    }
}

#[test]
fn people_read_a_line_each_and_what_repairs_it_below() {
    let deployment = Deployment::new("words", &Pipeline::customer_metrics());
    let output = deployment.command(&["check"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    for line in [
        "ok      kafka broker: somebody listens at ",
        &format!(
            "wrong   topic {}: it does not exist\n        fix: sluicebox --config ",
            deployment.clean
        ),
        "wrong   role: KAFKA_LOADER does not exist, or is not granted to KAFKA_SERVICE\n        fix: USE ROLE ACCOUNTADMIN; ",
        "skipped warehouse objects: needs role\n",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let (_, summary) = said.trim_end().rsplit_once('\n').unwrap();
    assert!(
        summary.contains(" wrong, 2 skipped, 0 warnings"),
        "{summary}"
    );
}
