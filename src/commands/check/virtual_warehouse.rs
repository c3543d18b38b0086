//! The virtual warehouse, as SHOW WAREHOUSES lists it: looked at without being woken.

use super::report::{Report, Trouble};
use crate::warehouse::{Answer, Client, Error};

/// Says in which state it is, and what will cost money or stop loads.
pub(super) async fn check(report: &mut Report, client: &Client, name: &str) -> Result<(), Error> {
    let answer = client
        .execute(&format!("SHOW WAREHOUSES LIKE '{name}'"))
        .await?;
    let line = format!("resuming of {name}");
    match judge(&answer, name) {
        None => report.skip(line, "the warehouse does not list it"),
        Some(Verdict::Good(found)) => {
            report.add(line, Ok(found));
        }
        Some(Verdict::Wrong(trouble)) => {
            report.add(line, Err(trouble));
        }
        Some(Verdict::Costly(trouble)) => report.warn(line, trouble),
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Good(String),
    Wrong(Trouble),
    Costly(Trouble),
}

fn judge(answer: &Answer, name: &str) -> Option<Verdict> {
    // LIKE takes `_` for any character.
    let row = (0..answer.rows.len()).find(|row| {
        answer
            .text(*row, "name")
            .is_ok_and(|found| found.is_some_and(|found| found.eq_ignore_ascii_case(name)))
    })?;
    let text = |column| answer.text(row, column).ok().flatten();
    let script =
        |change: &str| format!("USE ROLE ACCOUNTADMIN; ALTER WAREHOUSE {name} SET {change};");
    if text("auto_resume").is_some_and(|value| value.eq_ignore_ascii_case("false")) {
        return Some(Verdict::Wrong(Trouble::new(
            "it does not resume by itself: once suspended, every load fails",
            script("AUTO_RESUME = TRUE"),
        )));
    }
    // Never is 0 or NULL; a server that has no such column says nothing.
    // https://docs.snowflake.com/en/sql-reference/sql/create-warehouse
    let never_suspends = answer.text(row, "auto_suspend").is_ok_and(|value| {
        value.is_none_or(|value| value == "0" || value.eq_ignore_ascii_case("null"))
    });
    if never_suspends {
        return Some(Verdict::Costly(Trouble::new(
            "it never suspends by itself, and is billed all day",
            script("AUTO_SUSPEND = 60"),
        )));
    }
    let shown = ["state", "size"]
        .into_iter()
        .filter_map(|column| text(column).map(|value| format!("{column} {value}")));
    let shown: Vec<String> = shown.collect();
    Some(Verdict::Good(match shown.is_empty() {
        true => "it is there".to_owned(),
        false => format!("{}; it was not woken", shown.join(", ")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warehouse::{ColumnKind, ColumnMeta};

    fn shown(columns: &[(&str, Option<&str>)]) -> Answer {
        Answer {
            columns: columns
                .iter()
                .map(|(name, _)| ColumnMeta {
                    name: (*name).to_owned(),
                    kind: ColumnKind::Text,
                    precision: None,
                    scale: None,
                    nullable: None,
                })
                .collect(),
            rows: vec![
                columns
                    .iter()
                    .map(|(_, value)| value.map(str::to_owned))
                    .collect(),
            ],
            handle: String::new(),
        }
    }

    #[test]
    fn a_warehouse_that_stops_loads_is_wrong_and_one_that_costs_is_a_warning() {
        let good = [
            ("name", Some("W_1")),
            ("state", Some("SUSPENDED")),
            ("size", Some("X-Small")),
            ("auto_suspend", Some("60")),
            ("auto_resume", Some("true")),
        ];
        let with = |column: &str, value: Option<&'static str>| {
            let mut columns = good;
            for known in &mut columns {
                if known.0 == column {
                    known.1 = value;
                }
            }
            judge(&shown(&columns), "W_1")
        };
        assert_eq!(
            with("state", Some("SUSPENDED")),
            Some(Verdict::Good(
                "state SUSPENDED, size X-Small; it was not woken".into()
            ))
        );
        let Some(Verdict::Wrong(trouble)) = with("auto_resume", Some("false")) else {
            panic!("it resumes")
        };
        assert_eq!(
            trouble.fixes,
            ["USE ROLE ACCOUNTADMIN; ALTER WAREHOUSE W_1 SET AUTO_RESUME = TRUE;"]
        );
        for never in [Some("0"), Some("null"), None] {
            let Some(Verdict::Costly(trouble)) = with("auto_suspend", never) else {
                panic!("{never:?}: it suspends")
            };
            assert_eq!(
                trouble.fixes,
                ["USE ROLE ACCOUNTADMIN; ALTER WAREHOUSE W_1 SET AUTO_SUSPEND = 60;"]
            );
        }
        let without: Vec<_> = good
            .into_iter()
            .filter(|(name, _)| *name != "auto_suspend")
            .collect();
        assert!(matches!(
            judge(&shown(&without), "W_1"),
            Some(Verdict::Good(_))
        ));
        assert_eq!(with("name", Some("WX1")), None);
    }
}
