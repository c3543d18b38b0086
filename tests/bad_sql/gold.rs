//! gold/*.sql in forms that are refused.

use super::{assert_refused, refusal};

#[test]
fn a_gold_file_is_one_group_by_over_the_clean_events() {
    let query = |select: &str, after: &str| {
        format!("SELECT who,\n    {select}\nFROM clean_events\n{after}")
    };
    assert_refused(
        "gold/totals.sql",
        &[
            refusal("", None, "one SELECT"),
            refusal(
                "SELECT who, COUNT(*) AS n FROM clean_events GROUP BY who;\nSELECT 1",
                None,
                "one SELECT",
            ),
            refusal("\nDELETE FROM clean_events", None, "not a SELECT"),
            refusal(query("COUNT(*) AS n", ""), None, "no GROUP BY"),
            refusal(query("number", ""), None, "GROUP BY"),
            refusal(
                query("COUNT(*) AS n", "GROUP BY who\nHAVING COUNT(*) > 1"),
                5,
                "HAVING",
            ),
            refusal(
                query("COUNT(*) AS n", "GROUP BY who\nORDER BY who"),
                5,
                "ORDER BY",
            ),
            refusal(query("COUNT(*) AS n", "GROUP BY who\nLIMIT 3"), 5, "LIMIT"),
            refusal(query("COUNT(*) AS n", "GROUP BY who\nOFFSET 3"), 5, "LIMIT"),
            refusal(
                "SELECT DISTINCT who,\n COUNT(*) AS n\nFROM clean_events GROUP BY who",
                1,
                "DISTINCT",
            ),
            refusal(
                query(
                    "COUNT(*) AS n",
                    "GROUP BY who\nQUALIFY ROW_NUMBER() OVER () = 1",
                ),
                5,
                "QUALIFY",
            ),
            refusal(query("COUNT(*) OVER () AS n", "GROUP BY who"), 2, "window"),
            refusal(
                query("SUM(COUNT(*)) OVER () AS n", "GROUP BY who"),
                2,
                "window",
            ),
            refusal(query("SUM(COUNT(*)) AS n", "GROUP BY who"), 2, ""),
            refusal(
                "SELECT a.who, COUNT(*) AS n\nFROM clean_events a\nJOIN clean_events b ON a.id = b.id\nGROUP BY a.who",
                3,
                "JOIN",
            ),
            refusal(
                "SELECT a.who, COUNT(*) AS n\nFROM clean_events a, clean_events b\nGROUP BY a.who",
                2,
                "JOIN",
            ),
            refusal(
                "SELECT who, SUM(n) AS n\nFROM (SELECT who, number, COUNT(*) AS n FROM clean_events GROUP BY who, number)\nGROUP BY who",
                2,
                "",
            ),
            refusal(
                query(
                    "COUNT(*) AS n, (SELECT MAX(number) FROM clean_events) AS m",
                    "GROUP BY who",
                ),
                2,
                "subquery",
            ),
            refusal(
                query(
                    "COUNT(*) AS n",
                    "WHERE number IN (SELECT number FROM clean_events)\nGROUP BY who",
                ),
                4,
                "subquery",
            ),
            refusal(
                "WITH c AS (SELECT * FROM clean_events)\nSELECT who, COUNT(*) AS n FROM c GROUP BY who",
                1,
                "WITH",
            ),
            refusal(
                "SELECT who, COUNT(*) AS n FROM clean_events GROUP BY who\nUNION ALL\nSELECT who, COUNT(*) FROM clean_events GROUP BY who",
                2,
                "UNION",
            ),
            refusal(
                "SELECT COUNT(*) AS n\nFROM clean_events\nGROUP BY who",
                3,
                "not in the SELECT list",
            ),
            refusal(
                "SELECT upper(who) AS who, COUNT(*) AS n\nFROM clean_events\nGROUP BY who",
                3,
                "not in the SELECT list",
            ),
            refusal(
                query("COUNT(*) AS n", "GROUP BY GROUPING SETS ((who), ())"),
                4,
                "more than one set",
            ),
            refusal(
                query("COUNT(*) AS n", "GROUP BY ROLLUP (who)"),
                4,
                "more than one set",
            ),
            refusal(
                query("COUNT(*) AS n", "GROUP BY CUBE (who)"),
                4,
                "more than one set",
            ),
            refusal(query("COUNT(*) AS n", "GROUP BY ALL"), 4, "GROUP BY"),
            refusal(
                "SELECT number, COUNT(*) AS n\nFROM clean_events\nGROUP BY number",
                3,
                "keyed by",
            ),
            refusal(
                "SELECT upper(who) AS who, COUNT(*) AS n\nFROM clean_events\nGROUP BY upper(who)",
                3,
                "keyed by",
            ),
            refusal(
                "SELECT upper(who) AS who, COUNT(*) AS n\nFROM clean_events\nGROUP BY 1",
                3,
                "keyed by",
            ),
        ],
    );
}

#[test]
fn a_gold_file_has_names_types_and_functions_that_are_there() {
    let query =
        |select: &str| format!("SELECT who,\n    {select}\nFROM clean_events\nGROUP BY who");
    assert_refused(
        "gold/totals.sql",
        &[
            refusal(
                "SELECT who,\n  COUNT(* AS n\nFROM clean_events GROUP BY who",
                2,
                "found: AS",
            ),
            refusal(query("SUM(nowhere) AS n"), 2, "nowhere"),
            refusal(query("unheard_of(number) AS n"), 2, "unheard_of"),
            refusal(query("SUM(who) AS n"), 2, "sum"),
            refusal(query("number, COUNT(*) AS n"), 2, "number"),
            refusal(query("COUNT(*) AS n, MAX(now()) AS m"), 2, "read again"),
            refusal(
                query("COUNT(*) FILTER (WHERE random() > 0.5) AS n"),
                2,
                "read again",
            ),
            refusal(query("array_agg(number) AS numbers"), 2, "`numbers`"),
            refusal(
                query("COUNT(*) AS n, MAX(number) AS n"),
                2,
                "`n` is selected twice",
            ),
            refusal(query("COUNT(*) AS _n"), 2, "`_n`"),
            refusal(
                "SELECT who, COUNT(*) AS n\nFROM raw_events\nGROUP BY who",
                2,
                "raw_events",
            ),
        ],
    );
}
