//! clean_events.sql in forms that are refused.

use super::{assert_refused, refusal};

/// A query with the key, the id and the verdict, the given expression on line 3, and what follows the table.
fn query(expression: &str, after: &str) -> String {
    format!(
        "SELECT id, who,\n    CAST(NULL AS VARCHAR) AS reject_reason,\n    {expression}\nFROM raw_events\n{after}"
    )
}

#[test]
fn clean_events_is_one_select_with_one_row_out_for_each_row_in() {
    assert_refused(
        "clean_events.sql",
        &[
            refusal("", None, "SELECT"),
            refusal("SELECT 1;\nSELECT 2", None, "one"),
            refusal(
                "INSERT INTO raw_events SELECT * FROM raw_events",
                None,
                "SELECT",
            ),
            refusal("CREATE TABLE clean_events (id VARCHAR)", None, "SELECT"),
            refusal(query("number", "WHERE amount > 0"), 5, "WHERE"),
            refusal(query("number", "WHERE 1 = 1"), 5, "WHERE"),
            refusal(query("COUNT(*) AS n", "GROUP BY id, who"), 5, "GROUP BY"),
            refusal(query("COUNT(*) OVER () AS n", ""), 3, "window"),
            refusal(query("number", "LIMIT 10"), 5, "LIMIT"),
            refusal(query("number", "OFFSET 10"), 5, "LIMIT"),
            refusal(query("number", "ORDER BY id"), 5, "ORDER BY"),
            refusal(query("number", "CROSS JOIN raw_events other"), 5, "JOIN"),
            refusal(
                "SELECT r.id, r.who, NULL AS reject_reason FROM raw_events r\nJOIN raw_events s ON r.id = s.id",
                2,
                "JOIN",
            ),
            refusal(
                "SELECT id, who, NULL AS reject_reason FROM raw_events\nUNION ALL SELECT id, who, NULL FROM raw_events",
                2,
                "UNION",
            ),
            refusal(
                "SELECT DISTINCT id, who, NULL AS reject_reason FROM raw_events",
                1,
                "DISTINCT",
            ),
            refusal(
                query("(SELECT MAX(number) FROM raw_events) AS n", ""),
                3,
                "subquery",
            ),
            refusal(query("unnest([1, 2]) AS n", ""), 3, ""),
            refusal(
                "SELECT 'a' AS id, 'b' AS who, NULL AS reject_reason",
                None,
                "no table",
            ),
        ],
    );
}

#[test]
fn clean_events_has_names_types_and_functions_that_are_there() {
    assert_refused(
        "clean_events.sql",
        &[
            refusal(
                "SELECT id,\n  who,\n  CASE WHEN amount THEN\nFROM raw_events",
                3,
                "expected",
            ),
            refusal("SELECT id, who\nFROM raw_events\nWHERE WHERE", 3, "WHERE"),
            refusal("SELECT id, who,\n  'open\nFROM raw_events", 2, "string"),
            refusal(query("nowhere", ""), 3, "nowhere"),
            refusal(query("number + nowhere AS n", ""), 3, "nowhere"),
            refusal(
                "SELECT id, who, NULL AS reject_reason\nFROM other_events",
                2,
                "other_events",
            ),
            refusal(query("unheard_of(number) AS n", ""), 3, "unheard_of"),
            refusal(query("upper(number, number) AS n", ""), 3, "upper"),
            refusal(query("amount + who AS n", ""), 3, "coerce"),
            refusal(query("CAST(number AS MONEY) AS n", ""), None, "MONEY"),
        ],
    );
}

#[test]
fn clean_events_gives_the_same_verdict_when_the_log_is_read_again() {
    for function in [
        "now()",
        "random()",
        "current_timestamp",
        "current_date",
        "uuid()",
    ] {
        let text = query(&format!("CAST({function} AS VARCHAR) AS n"), "");
        assert_refused("clean_events.sql", &[refusal(text, 3, "read again")]);
    }
}

#[test]
fn clean_events_has_columns_that_can_be_written() {
    assert_refused(
        "clean_events.sql",
        &[
            refusal(
                "SELECT id, who\nFROM raw_events",
                None,
                "no column `reject_reason`",
            ),
            refusal(
                "SELECT NULL AS reject_reason\nFROM raw_events",
                None,
                "no clean column",
            ),
            refusal(
                "SELECT id, who, number AS reject_reason\nFROM raw_events",
                1,
                "`reject_reason` is of type",
            ),
            refusal(
                query("number > 0 AS reject_reason", ""),
                3,
                "`reject_reason` is selected twice",
            ),
            refusal(
                query("make_array(number) AS numbers", ""),
                3,
                "`numbers` is of type",
            ),
            refusal(query("NULL AS nothing", ""), 3, "`nothing` is of type"),
            refusal(
                query("arrow_cast(amount, 'Decimal256(50, 2)') AS wide", ""),
                3,
                "`wide` is of type",
            ),
            refusal(query("id", ""), 3, "`id` is selected twice"),
            refusal(query("number AS who", ""), 3, "`who` is selected twice"),
            refusal(query("_offset", ""), 3, "`_offset`"),
            refusal(
                "SELECT id, number,\n  NULL AS reject_reason\nFROM raw_events",
                None,
                "clean.key is `who`",
            ),
            refusal(
                "SELECT id, number AS who,\n  NULL AS reject_reason\nFROM raw_events",
                None,
                "clean.key is `who`, which is BIGINT",
            ),
            refusal(
                "SELECT who,\n  NULL AS reject_reason\nFROM raw_events",
                None,
                "clean.event_id is `id`",
            ),
        ],
    );
}
