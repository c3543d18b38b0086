use datafusion::sql::sqlparser::{dialect::SnowflakeDialect, parser::Parser};

use super::*;
use crate::sql::types::SqlType;

fn column(name: &str, sql_type: SqlType) -> Column {
    Column {
        name: name.to_owned(),
        sql_type,
    }
}

fn daily_metrics() -> TargetTable {
    let columns = vec![
        column("customer_id", SqlType::Varchar),
        column("event_date", SqlType::Date),
        column("page_views", SqlType::BigInt),
        column(
            "total_revenue",
            SqlType::Decimal {
                precision: 28,
                scale: 2,
            },
        ),
    ];
    TargetTable::upsert(
        "customer_daily_metrics",
        "customer_daily_metrics",
        columns,
        &["customer_id", "event_date"],
    )
    .unwrap()
}

fn silver() -> TargetTable {
    let columns = vec![
        column("event_id", SqlType::Varchar),
        column("order", SqlType::Double),
        column("is_new", SqlType::Boolean),
        column("event_timestamp", SqlType::Timestamp),
    ];
    TargetTable::append("KAFKA_EVENTS_SILVER", "clean_events", columns).unwrap()
}

fn file(topic: &str, partition: i32, expected: i64, new: i64) -> StagedFile {
    StagedFile {
        partition,
        path: format!("{topic}/{partition}/{expected}-{}.parquet", new - 1),
        rows: 3,
        expected: NextOffset::at(expected),
        new: NextOffset::at(new),
        fence: Fence::new(7),
    }
}

fn load() -> Load {
    Load {
        objects: Objects {
            control: ControlTable::new("SLUICEBOX_CONTROL"),
            stage: "KAFKA_STREAMING_STAGE".to_owned(),
            file_format: "SLUICEBOX_PARQUET".to_owned(),
        },
        tables: vec![
            TableLoad {
                table: Arc::new(daily_metrics()),
                files: vec![
                    file("customer_daily_metrics", 0, 0, 42),
                    file("customer_daily_metrics", 1, 5, 9),
                ],
            },
            TableLoad {
                table: Arc::new(silver()),
                files: vec![file("clean_events", 0, 10, 43)],
            },
        ],
        passed: Vec::new(),
    }
}

#[test]
fn a_load_is_one_transaction_of_this_text() {
    let expected = include_str!("load.golden.sql");
    let statements = load().statements().join(";\n") + ";\n";
    assert_eq!(statements, expected);
}

#[test]
fn every_statement_is_snowflake_sql() {
    for statement in load().statements() {
        let parsed = Parser::parse_sql(&SnowflakeDialect, &statement)
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
        assert_eq!(parsed.len(), 1, "{statement}");
    }
}

#[test]
fn names_that_need_quotes_get_them_everywhere() {
    let mut load = load();
    load.objects.stage = "my stage".to_owned();
    load.objects.file_format = "it's".to_owned();
    let insert = &load.statements()[4];
    assert!(
        insert.contains(
            "FROM '@\"my stage\"/clean_events/0/10-42.parquet' (FILE_FORMAT => '\"it''s\"')"
        ),
        "{insert}"
    );
}

/// What the warehouse answers when the advance changed so many rows and the control table then reads so.
fn answers(advanced: &str, control: &[[&str; 4]]) -> Vec<Answer> {
    let answer = |rows: Vec<Vec<&str>>| Answer {
        columns: Vec::new(),
        handle: String::new(),
        rows: rows
            .into_iter()
            .map(|row| row.into_iter().map(|cell| Some(cell.to_owned())).collect())
            .collect(),
    };
    let done = || answer(vec![vec!["Statement executed successfully."]]);
    let control = control.iter().map(|row| row.to_vec()).collect();
    vec![
        done(),
        done(),
        answer(vec![vec!["3"]]),
        done(),
        done(),
        answer(vec![vec![advanced, "0"]]),
        answer(control),
        done(),
    ]
}

fn outcomes(advanced: &str, control: &[[&str; 4]]) -> Result<Vec<Outcome>, UnexpectedAnswer> {
    let outcomes = load().outcomes(&answers(advanced, control))?;
    Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
}

const METRICS: &str = "customer_daily_metrics";

#[test]
fn a_load_that_advanced_is_loaded() {
    let control = [
        [METRICS, "1", "9", "7"],
        [METRICS, "0", "42", "7"],
        ["clean_events", "0", "43", "7"],
    ];
    assert_eq!(outcomes("3", &control), Ok(vec![Outcome::Loaded; 3]));
}

#[test]
fn a_load_that_runs_twice_was_already_loaded() {
    let control = [
        [METRICS, "0", "42", "7"],
        [METRICS, "1", "9", "7"],
        ["clean_events", "0", "43", "7"],
    ];
    assert_eq!(outcomes("0", &control), Ok(vec![Outcome::AlreadyLoaded; 3]));
}

#[test]
fn a_partition_under_another_fence_is_fenced_and_the_others_are_loaded() {
    let control = [
        [METRICS, "0", "42", "7"],
        [METRICS, "1", "5", "8"],
        ["clean_events", "0", "43", "7"],
    ];
    assert_eq!(
        outcomes("2", &control),
        Ok(vec![Outcome::Loaded, Outcome::Fenced, Outcome::Loaded])
    );
}

#[test]
fn a_position_that_nobody_set_is_an_error() {
    let control = [
        [METRICS, "0", "42", "7"],
        [METRICS, "1", "5", "7"],
        ["clean_events", "0", "43", "7"],
    ];
    let error = outcomes("2", &control).unwrap_err().to_string();
    assert!(
        error.contains("customer_daily_metrics[1] goes on at offset 5"),
        "{error}"
    );
}

#[test]
fn a_missing_result_is_an_error() {
    let error = load().outcomes(&answers("3", &[])[1..]).unwrap_err();
    assert_eq!(
        error,
        UnexpectedAnswer::Incomplete {
            answers: 7,
            statements: 8
        }
    );
}
