//! `sluicebox reset`: nothing without `--yes`, nothing while somebody works, and afterwards the books are right again.

use std::time::Duration;

use serde_json::Value;

use crate::support::books::{Books, events};
use crate::support::deployment::{ADMINISTRATOR, PARTITIONS};
use crate::support::kafka::Kafka;

const EVENTS: usize = 2_000;
const LIMIT: Duration = Duration::from_secs(120);

/// A deployment through which events have run, and how many of them are clean.
fn after_a_run(name: &str) -> (Books, usize) {
    let books = Books::open(name);
    books.produce(&events(EVENTS, 3));
    let clean = run_until_loaded(&books);
    (books, clean)
}

fn run_until_loaded(books: &Books) -> usize {
    books.assert_exact(&mut books.deployment.start(&["run"]))
}

/// A row of a key that no event has.
fn add_nobody(books: &Books) {
    let role = format!("warehouse.role={ADMINISTRATOR}");
    let insert = format!(
        "INSERT INTO {} VALUES ('nobody', '2026-01-01', 1, 1, 1, 1.00, 1)",
        books.gold
    );
    books.deployment.done(&["query", "--set", &role, &insert]);
}

/// What a command says that has to fail.
fn refused(books: &Books, arguments: &[&str]) -> String {
    let output = books
        .deployment
        .command(arguments)
        .output()
        .expect("the binary can be started");
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).expect("stderr is text")
}

/// A number of a report, over all rows of a part.
fn sum(report: &Value, part: &str, name: &str) -> usize {
    let rows = report[part]["numbers"].as_array().expect("numbers");
    let of = |row: &Value| row[name].as_u64().expect("a number");
    usize::try_from(rows.iter().map(of).sum::<u64>()).expect("few")
}

#[test]
fn everything_begins_anew_and_gold_is_the_same_as_before() {
    let (books, clean) = after_a_run("reset_all");
    let deployment = &books.deployment;
    let gold_before = books.sorted(&["customer_id", "event_date", "total_revenue"], &books.gold);

    // Without --yes nothing happens.
    let rows = "SELECT COUNT(*) AS events FROM KAFKA_EVENTS_SILVER";
    let gold_rows = format!("SELECT COUNT(*) AS rows FROM {}", books.gold);
    add_nobody(&books);
    let all = ["reset", "all", "--truncate-tables", "--role", ADMINISTRATOR];
    let plan = deployment.done(&all);
    assert!(plan.contains("would: delete all records before"), "{plan}");
    for table in ["KAFKA_EVENTS_SILVER", &books.gold.to_uppercase()] {
        let said = format!("would: table {table}: delete all rows");
        assert!(plan.contains(&said), "{plan}");
    }
    assert_eq!(deployment.number(rows), i64::try_from(clean).expect("few"));

    // A second time is as good as once.
    let yes = [&all[..], &["--yes"]].concat();
    for _ in 0..2 {
        let done = deployment.done(&yes);
        assert!(done.contains("done: group sluicebox-"), "{done}");
        assert_eq!(deployment.number(rows), 0);
        assert_eq!(deployment.number(&gold_rows), 0);
        assert_eq!(Kafka::shared().read_all(&deployment.clean), []);
        assert_eq!(Kafka::shared().read_all(&books.gold), []);
    }

    assert_eq!(run_until_loaded(&books), clean);
    let gold = books.sorted(&["customer_id", "event_date", "total_revenue"], &books.gold);
    assert_eq!(gold, gold_before);
    deployment.done(&["reconcile"]);
}

#[test]
fn gold_is_counted_anew_from_clean_events() {
    let (books, clean) = after_a_run("reset_gold");
    let deployment = &books.deployment;
    // Somebody has written into the gold topic what is not so.
    let mut forged = Kafka::shared().read_all(&books.gold).remove(0);
    let value = String::from_utf8(forged.value.take().expect("a row")).expect("text");
    forged.value = Some(
        value
            .replace("\"page_views\":", "\"page_views\":9")
            .into_bytes(),
    );
    Kafka::shared().rewrite(&books.gold, &forged);
    assert!(
        !deployment
            .command(&["reconcile"])
            .output()
            .expect("started")
            .status
            .success()
    );

    let plan = deployment.command(&["reset", "gold"]).output();
    let warnings = String::from_utf8(plan.expect("started").stderr).expect("text");
    let said = format!(
        "{} keeps the rows of keys that do not come again",
        books.gold.to_uppercase()
    );
    assert!(warnings.contains(&said), "{warnings}");
    deployment.done(&["reset", "gold", "--yes"]);
    let mut service = deployment.start(&["run"]);
    service.wait_for("all events are counted and loaded again", LIMIT, |_| {
        let report = deployment.done(&["reconcile", "--format", "json"]);
        let report: Value = serde_json::from_str(&report).expect("the report is JSON");
        let counted = sum(&report, "gold", "counted") == clean;
        counted && sum(&report, "warehouse", "rows") == sum(&report, "warehouse", "equal")
    });
    assert!(service.terminate().success());
    books.assert_hold(&books.clean());

    add_nobody(&books);
    let truncate = [
        "reset",
        "gold",
        "--truncate-tables",
        "--role",
        ADMINISTRATOR,
        "--yes",
    ];
    deployment.done(&truncate);
    let nobody = format!("SELECT COUNT(*) AS rows FROM {}", books.gold);
    assert_eq!(deployment.number(&nobody), 0);
    assert_eq!(run_until_loaded(&books), clean);
}

#[test]
fn the_sink_goes_on_where_it_is_told() {
    let (books, clean) = after_a_run("reset_sink");
    let deployment = &books.deployment;
    // The tables were lost.
    let role = format!("warehouse.role={ADMINISTRATOR}");
    for table in ["KAFKA_EVENTS_SILVER", books.gold.as_str()] {
        let delete = format!("DELETE FROM {table}");
        deployment.done(&["query", "--set", &role, &delete]);
    }
    assert!(
        refused(&books, &["reset", "sink", "nothing", "--to", "earliest"])
            .contains("hint: the topics are")
    );
    deployment.done(&["reset", "sink", "--to", "earliest", "--yes"]);
    assert_eq!(run_until_loaded(&books), clean);
    deployment.done(&["reconcile"]);
}

#[test]
fn the_clean_job_goes_on_where_it_is_told_and_nobody_may_work_meanwhile() {
    let (books, clean) = after_a_run("reset_clean");
    let deployment = &books.deployment;
    let mut service = deployment.start(&["run", "clean"]);
    // A reset that begins before there is a member would stop it, as it should.
    service.wait_for("the group has a member", LIMIT, |service| {
        service.log().contains("partitions assigned")
    });
    let error = refused(&books, &["reset", "clean", "--to", "latest", "--yes"]);
    assert!(error.contains("members"), "{error}");
    assert!(service.terminate().success());
    for (to, said) in [
        ("0=1", "says nothing about"),
        ("1000000", "holds the offsets"),
        ("0=0,1=0,2=0,9=1", "has no partition 9"),
    ] {
        let error = refused(&books, &["reset", "clean", "--to", to, "--yes"]);
        assert!(
            error.contains(said) && error.contains("hint: "),
            "{to}: {error}"
        );
    }
    // Half of the fullest partition comes a second time: the books then say so.
    let ends = Kafka::shared().ends(&deployment.raw);
    let fullest = (0..PARTITIONS).max_by_key(|partition| ends[partition]);
    let again = ends.values().max().map_or(0, |end| end / 2);
    let place: Vec<String> = (0..PARTITIONS)
        .map(|partition| {
            let end = ends[&partition];
            format!(
                "{partition}={}",
                if Some(partition) == fullest {
                    end - again
                } else {
                    end
                }
            )
        })
        .collect();
    deployment.done(&["reset", "clean", "--to", &place.join(","), "--yes"]);
    let mut service = deployment.start(&["run", "clean"]);
    service.wait_for("the events came again", LIMIT, |_| {
        Kafka::shared().read_all(&deployment.clean).len() > clean
    });
    assert!(service.terminate().success());
    let said = deployment
        .command(&["reconcile", "--kafka-only"])
        .output()
        .expect("started");
    assert_eq!(said.status.code(), Some(1));
    let said = String::from_utf8(said.stdout).expect("text");
    assert!(said.contains("a second clean record"), "{said}");
}
