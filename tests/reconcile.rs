//! `sluicebox reconcile` finds nothing where nothing is wrong, also while the service works, and names each kind of damage.

use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{SubsecRound, Utc};
use serde_json::Value;
use sluicebox::generate::{Events, Options, Ratio};

use crate::support::books::Books;
use crate::support::deployment::ADMINISTRATOR;
use crate::support::kafka::Kafka;

const EVENTS: usize = 3_000;

/// Generated events, a few of them broken, some twice.
fn events(seed: u64, count: usize) -> Vec<(Option<&'static str>, Vec<u8>)> {
    let fault = Ratio::new(0.02).expect("it is a ratio");
    let events: Vec<_> = Events::new(Options {
        bad_json: fault,
        ..Options::new(seed, Utc::now().trunc_subsecs(6))
    })
    .take(count)
    .collect();
    let mut all = Vec::new();
    for (number, event) in events.iter().enumerate() {
        all.push((event.key, event.value.clone()));
        if number % 50 == 49 {
            all.push((event.key, event.value.clone()));
        }
        if number % 100 == 99 {
            all.push((event.key, [event.value.as_slice(), b" "].concat()));
        }
    }
    all
}

/// What the command says and the code that it ends with.
fn reconcile(books: &Books, more: &[&str]) -> (Value, Option<i32>) {
    let arguments = [&["reconcile", "--format", "json"], more].concat();
    let Output {
        status,
        stdout,
        stderr,
    } = (books.deployment.command(&arguments).output()).expect("the binary can be started");
    let report = serde_json::from_slice(&stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&stderr)));
    (report, status.code())
}

/// `part: kind place key` of all differences.
fn differences(report: &Value) -> Vec<String> {
    let mut all = Vec::new();
    for part in ["ledger", "gold", "warehouse"] {
        let listed = report[part]["differences"]["listed"].as_array();
        for one in listed.map_or(&[][..], Vec::as_slice) {
            let word = |name: &str| one[name].as_str().expect("a text").to_owned();
            all.push(format!(
                "{part}: {} in {}: {}: {}",
                word("kind"),
                word("place"),
                word("key"),
                word("detail")
            ));
        }
    }
    all
}

fn sum(report: &Value, part: &str, name: &str) -> u64 {
    let numbers = report[part]["numbers"].as_array().expect("numbers");
    numbers
        .iter()
        .map(|row| row[name].as_u64().expect("a number"))
        .sum()
}

fn assert_clean(report: &Value, code: Option<i32>) {
    assert_eq!(differences(report), Vec::<String>::new());
    assert_eq!(code, Some(0), "{report}");
}

/// A deployment through which events have run.
fn after_a_run(name: &str) -> Books {
    let books = Books::open(name);
    books.deployment.produce(events(7, EVENTS));
    let clean = books
        .judged()
        .iter()
        .filter(|(_, verdict)| verdict.clean().is_some())
        .count();
    let mut service = books.deployment.start(&["run"]);
    books.await_loaded(&mut service, clean);
    assert!(service.terminate().success());
    books
}

#[test]
fn books_that_are_right_are_found_right_while_the_service_works_and_afterwards() {
    let books = Books::open("reconcile_right");
    books.deployment.produce(events(1, EVENTS));
    let mut service = books.deployment.start(&["run"]);
    service.wait_for("a batch is cleaned", Duration::from_secs(120), |service| {
        service.log().contains("batch cleaned")
    });
    let mut looks = 0;
    std::thread::scope(|scope| {
        let producing = scope.spawn(|| {
            for seed in 2..6 {
                books.deployment.produce(events(seed, EVENTS / 3));
            }
        });
        while looks < 2 || !producing.is_finished() {
            let (report, code) = reconcile(&books, &[]);
            assert_clean(&report, code);
            looks += 1;
        }
    });
    let clean = books
        .judged()
        .iter()
        .filter(|(_, verdict)| verdict.clean().is_some())
        .count();
    books.await_loaded(&mut service, clean);
    assert!(service.terminate().success());

    let (report, code) = reconcile(&books, &[]);
    assert_clean(&report, code);
    let judged = books.judged().len() as u64;
    let of = |name| sum(&report, "ledger", name);
    assert_eq!(of("consumed"), judged);
    assert_eq!(of("clean"), clean as u64);
    assert_eq!(of("clean") + of("rejected") + of("duplicate"), judged);
    assert!(of("rejected") > 0 && of("duplicate") > 0, "{report}");
    assert_eq!(sum(&report, "gold", "counted"), clean as u64);
    assert!(sum(&report, "gold", "rows") > 0);
    assert_eq!(
        sum(&report, "warehouse", "rows"),
        sum(&report, "warehouse", "equal")
    );

    let (report, code) = reconcile(&books, &["--kafka-only"]);
    assert_clean(&report, code);
    assert!(report["warehouse"].is_null());
}

#[test]
fn a_steady_stream_leaves_nothing_out() {
    let books = Books::open("reconcile_steady");
    let mut service = books.deployment.start(&["run"]);
    service.wait_ready();
    let done = AtomicBool::new(false);
    let reports = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut stream = Events::new(Options::new(21, Utc::now().trunc_subsecs(6)))
                .map(|event| (event.key, event.value));
            while !done.load(Ordering::Relaxed) {
                books.deployment.produce(stream.by_ref().take(50));
            }
        });
        let looking = scope.spawn(|| [(); 3].map(|()| reconcile(&books, &[])));
        let reports = looking.join();
        done.store(true, Ordering::Relaxed);
        reports.expect("each look gives a report")
    });
    for (report, code) in &reports {
        assert_clean(report, *code);
        assert_eq!(report["complete"], true, "{}", report["not_compared"]);
    }
    assert!(sum(&reports[2].0, "gold", "counted") > 0);
    assert!(service.terminate().success());
}

#[test]
fn what_retention_took_after_it_was_read_has_expired_and_before_it_was_read_is_lost() {
    let books = after_a_run("reconcile_retention");
    let deployment = &books.deployment;
    let kafka = Kafka::shared();
    let rejected = kafka.read_all(&deployment.rejected).len() as u64;
    kafka.delete_records(&deployment.rejected, &kafka.ends(&deployment.rejected));
    let (report, code) = reconcile(&books, &["--kafka-only"]);
    assert_clean(&report, code);
    assert!(rejected > 0);
    assert_eq!(sum(&report, "ledger", "expired"), rejected);

    let read = kafka.ends(&deployment.raw);
    deployment.produce(events(11, 200));
    let unread = kafka.ends(&deployment.raw);
    kafka.delete_records(&deployment.raw, &unread);
    let (report, code) = reconcile(&books, &["--kafka-only"]);
    assert_eq!(code, Some(1));
    let mut expected = Vec::new();
    for (partition, end) in unread {
        let position = read[&partition];
        // Events without a key may all fall into other partitions.
        if end == position {
            continue;
        }
        expected.push(format!(
            "ledger: lost in {}[{partition}]: offsets {position} to {end}: lost by retention: the log begins at {end}, and the clean job has read up to {position}",
            deployment.raw
        ));
    }
    assert!(!expected.is_empty());
    assert_eq!(differences(&report), expected);
}

#[test]
fn damage_in_the_topics_is_found_and_named() {
    let books = after_a_run("reconcile_topics");
    let deployment = &books.deployment;
    let kafka = Kafka::shared();
    let find = |differences: &[String], what: &str| {
        assert!(
            differences
                .iter()
                .any(|difference| difference.contains(what)),
            "no {what} in {differences:#?}"
        );
    };

    // A clean event written a second time, and one that nobody has sent.
    let clean = kafka.read_all(&deployment.clean);
    kafka.rewrite(&deployment.clean, &clean[0]);
    let mut forged = clean[1].clone();
    forged
        .headers
        .retain(|(name, _)| name != "sluicebox.source");
    kafka.rewrite(&deployment.clean, &forged);
    // A refused event whose reason was changed.
    let rejected = kafka.read_all(&deployment.rejected);
    let mut other = rejected[0].clone();
    for (name, value) in &mut other.headers {
        if name == "sluicebox.reason" {
            *value = Some(b"no_reason".to_vec());
        }
    }
    kafka.rewrite(&deployment.rejected, &other);
    // A gold row that its events do not add up to, and one without events.
    let gold = kafka.read_all(&books.gold);
    let mut wrong = gold[0].clone();
    let text = String::from_utf8(wrong.value.take().expect("a row")).expect("text");
    let (before, rest) = text.split_once("\"page_views\":").expect("the column");
    wrong.value = Some(format!("{before}\"page_views\":9{rest}").into_bytes());
    kafka.rewrite(&books.gold, &wrong);
    let mut invented = gold[1].clone();
    let rename = |bytes: Option<Vec<u8>>| {
        let text = String::from_utf8(bytes.expect("there")).expect("text");
        let (before, rest) = text.split_once("\"customer_id\":\"").expect("the column");
        Some(format!("{before}\"customer_id\":\"nobody-{rest}").into_bytes())
    };
    invented.key = rename(invented.key.take());
    invented.value = rename(invented.value.take());
    kafka.rewrite(&books.gold, &invented);

    let (report, code) = reconcile(&books, &["--kafka-only"]);
    assert_eq!(code, Some(1));
    let found = differences(&report);
    find(&found, "ledger: doubled");
    find(&found, "a second clean record");
    find(&found, "no source");
    find(&found, "a second rejected record");
    find(&found, "gold: different");
    find(&found, "gold: unexpected");
    find(&found, "nobody-");
    let ledger = report["ledger"]["differences"]["total"].as_u64();
    assert_eq!(ledger, Some(3), "{found:#?}");
    let gold = report["gold"]["differences"]["total"].as_u64();
    assert_eq!(gold, Some(2), "{found:#?}");

    // The list is cut, the number is not.
    let (report, _) = reconcile(&books, &["--kafka-only", "--limit", "1"]);
    assert_eq!(
        report["ledger"]["differences"]["listed"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    assert_eq!(report["ledger"]["differences"]["total"].as_u64(), Some(3));
}

#[test]
fn events_that_were_skipped_are_lost_by_offset() {
    let books = after_a_run("reconcile_lost");
    let deployment = &books.deployment;
    // Another run of the same group takes the raw topic for read, but has never written what it read.
    deployment.produce(events(11, 200));
    let group = format!("sluicebox-{}-clean", deployment.clean);
    let kafka = Kafka::shared();
    let ends = kafka.ends(&deployment.raw);
    kafka.commit(&group, &deployment.raw, &ends);
    let (report, code) = reconcile(&books, &["--kafka-only"]);
    assert_eq!(code, Some(1));
    let lost = report["ledger"]["differences"]["total"]
        .as_u64()
        .expect("a number");
    assert!((190..=210).contains(&lost), "{lost}");
    assert!(
        differences(&report)
            .iter()
            .all(|difference| difference
                .starts_with(&format!("ledger: lost in {}[", deployment.raw))),
        "{report}"
    );
}

#[test]
fn damage_in_the_warehouse_is_found_and_named() {
    let books = after_a_run("reconcile_warehouse");
    let deployment = &books.deployment;
    let gold = books.gold.to_uppercase();
    let (report, code) = reconcile(&books, &[]);
    assert_clean(&report, code);

    // The service's own role may not do such things.
    let role = format!("warehouse.role={ADMINISTRATOR}");
    let damage = |sql: &str, back: &str, expected: &[&str]| {
        deployment.done(&["query", "--set", &role, sql]);
        let (report, code) = reconcile(&books, &["--limit", "100000"]);
        let found = differences(&report);
        assert_eq!(code, Some(1), "{sql}: {report}");
        for what in expected {
            assert!(
                found.iter().any(|difference| difference.contains(what)),
                "{sql}: no {what} in {found:#?}"
            );
        }
        if !back.is_empty() {
            deployment.done(&["query", "--set", &role, back]);
            let (report, code) = reconcile(&books, &[]);
            assert_clean(&report, code);
        }
    };
    // Changed, deleted and invented rows of an upserted table.
    damage(
        &format!("UPDATE {gold} SET page_views = page_views + 1"),
        &format!("UPDATE {gold} SET page_views = page_views - 1"),
        &["warehouse: different", "page_views is"],
    );
    damage(
        &format!("UPDATE {gold} SET sluicebox_version = sluicebox_version + 1"),
        &format!("UPDATE {gold} SET sluicebox_version = sluicebox_version - 1"),
        &["warehouse: different", "version is"],
    );
    damage(
        &format!("INSERT INTO {gold} VALUES ('nobody', '2026-01-01', 1, 1, 1, 1.00, 1)"),
        &format!("DELETE FROM {gold} WHERE customer_id = 'nobody'"),
        &[
            "warehouse: unexpected",
            "customer_id=nobody event_date=2026-01-01",
        ],
    );
    // An invented row of the appended table.
    damage(
        "INSERT INTO KAFKA_EVENTS_SILVER VALUES ('e', 'nobody', 'PURCHASE', 1.00, 'USD', '2026-01-01 00:00:00', '2026-01-01 00:00:00')",
        "DELETE FROM KAFKA_EVENTS_SILVER WHERE customer_id = 'nobody'",
        &["warehouse: unexpected", "event_id=e"],
    );
    // What was loaded is said not to be, and the other way round.
    damage(
        &format!(
            "UPDATE SLUICEBOX_CONTROL SET next_offset = next_offset - 20 WHERE topic = '{}'",
            deployment.clean
        ),
        &format!(
            "UPDATE SLUICEBOX_CONTROL SET next_offset = next_offset + 20 WHERE topic = '{}'",
            deployment.clean
        ),
        &["warehouse: unexpected in KAFKA_EVENTS_SILVER"],
    );
    // An appended row twice, then none at all.
    damage(
        "INSERT INTO KAFKA_EVENTS_SILVER SELECT * FROM KAFKA_EVENTS_SILVER",
        "",
        &["warehouse: doubled", "once more than in the topic"],
    );
    damage(
        "DELETE FROM KAFKA_EVENTS_SILVER",
        "",
        &["warehouse: lost in KAFKA_EVENTS_SILVER"],
    );
    damage(
        &format!("DELETE FROM {gold}"),
        "",
        &[&format!("warehouse: lost in {gold}")],
    );
}
