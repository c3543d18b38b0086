//! Forms that look unusual and are accepted.

use super::{folder, load};

fn assert_accepted(file: &str, text: &str) {
    let folder = folder(file, text);
    if let Err(error) = load(folder.path()) {
        panic!("{text}\n{error}");
    }
}

#[test]
fn aggregates_with_a_mergeable_state_are_accepted() {
    for aggregate in [
        "COUNT(*)",
        "COUNT(number)",
        "COUNT(DISTINCT number)",
        "COUNT(DISTINCT id)",
        "SUM(number)",
        "SUM(amount)",
        "AVG(amount)",
        "AVG(number)",
        "approx_distinct(id)",
        "STDDEV(number)",
        "STDDEV(CAST(amount AS DOUBLE))",
        "MIN(id)",
        "MAX(id)",
        "MIN(happened)",
        "MAX(CAST(happened AS DATE))",
        "COUNT(*) FILTER (WHERE amount > 10)",
        "bool_and(number > 0)",
        "COALESCE(SUM(amount) FILTER (WHERE number = 1), 0)",
        "SUM(amount) / COUNT(*)",
        "CASE WHEN COUNT(*) > 3 THEN 'many' ELSE 'few' END",
    ] {
        assert_accepted(
            "gold/totals.sql",
            &format!("SELECT who, {aggregate} AS result FROM clean_events GROUP BY who"),
        );
    }
}

#[test]
fn the_group_by_may_be_written_in_several_ways() {
    for query in [
        "SELECT who, number, COUNT(*) AS n FROM clean_events GROUP BY 1, 2",
        "SELECT who, number FROM clean_events GROUP BY who, number",
        "SELECT COUNT(*) AS n, number, who FROM clean_events GROUP BY who, number",
        "SELECT who AS person, COUNT(*) AS n FROM clean_events GROUP BY person",
        "SELECT c.who, COUNT(*) AS n FROM clean_events c GROUP BY c.who",
        "SELECT who, CAST(happened AS DATE) AS day, COUNT(*) AS n FROM clean_events GROUP BY who, CAST(happened AS DATE)",
        "SELECT who, date_trunc('hour', happened) AS hour, COUNT(*) AS n FROM clean_events GROUP BY who, hour",
        "SELECT who, COUNT(*) AS n FROM clean_events WHERE amount > 10 AND id NOT LIKE 'test%' GROUP BY who;",
        "-- LIMIT, ORDER BY and HAVING stand in this comment only\nselect who, count(*) as n from clean_events group by who",
    ] {
        assert_accepted("gold/totals.sql", query);
    }
}

#[test]
fn the_verdict_may_be_written_in_several_ways() {
    for query in [
        "SELECT *, NULL AS reject_reason FROM raw_events",
        "SELECT NULL AS reject_reason, id, who, number, amount, happened FROM raw_events;",
        "SELECT r.id, r.who, r.number, r.amount, r.happened, CASE WHEN r.id IS NULL THEN 'id_missing' END AS reject_reason FROM raw_events r",
        "SELECT id, who, number, amount, happened, CASE WHEN 1 / number = 1 THEN 'one' END AS reject_reason FROM raw_events",
    ] {
        // `*` stands for the record's own columns too, and those cannot be clean columns.
        if query.starts_with("SELECT *") {
            let folder = folder("clean_events.sql", query);
            assert!(load(folder.path()).unwrap_err().contains("`_key`"));
        } else {
            assert_accepted("clean_events.sql", query);
        }
    }
}

#[test]
fn names_with_capital_letters_are_quoted() {
    let folder = folder(
        "raw_events.sql",
        r#"CREATE TABLE raw_events (id VARCHAR, who VARCHAR, "eventType" VARCHAR, "EventType" BIGINT)"#,
    );
    let clean = r#"SELECT id, who, "eventType", "EventType" AS "Kind", NULL AS reject_reason FROM raw_events"#;
    let gold = r#"SELECT who, "eventType", COUNT(*) AS "Events" FROM clean_events GROUP BY who, "eventType""#;
    std::fs::write(folder.path().join("clean_events.sql"), clean).unwrap();
    std::fs::write(folder.path().join("gold/totals.sql"), gold).unwrap();
    let pipeline = load(folder.path()).unwrap();
    let names = |columns: &[sluicebox::sql::Column]| {
        columns
            .iter()
            .map(|column| column.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(pipeline.clean.columns()),
        ["id", "who", "eventType", "Kind"]
    );
    assert_eq!(
        names(pipeline.gold[0].query.columns()),
        ["who", "eventType", "Events"]
    );
}
