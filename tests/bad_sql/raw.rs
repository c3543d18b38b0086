//! raw_events.sql in forms that are refused.

use super::{assert_refused, refusal};

#[test]
fn raw_events_is_one_create_table_with_the_types_of_a_pipeline() {
    let table = |columns: &str| format!("CREATE TABLE raw_events (\n    id VARCHAR,\n{columns}\n)");
    assert_refused(
        "raw_events.sql",
        &[
            refusal("", None, "not one CREATE TABLE"),
            refusal("-- nothing\n", None, "not one CREATE TABLE"),
            refusal("SELECT 1", None, "not one CREATE TABLE"),
            refusal(
                "CREATE TABLE raw_events (id VARCHAR);\nCREATE TABLE other (id VARCHAR)",
                None,
                "not one CREATE TABLE",
            ),
            refusal("\nCREATE TABLE events (id VARCHAR)", 2, "called `events`"),
            refusal("CREATE TABLE raw_events", 1, "no column"),
            refusal(
                "CREATE TABLE raw_events (\n  id VARCHAR,\n  who VARCHAR VARCHAR\n)",
                3,
                "VARCHAR",
            ),
            refusal("CREATE TABLE raw_events (\n  id VARCHAR\n", None, "EOF"),
            refusal(table("    amount MONEY"), 3, "`MONEY` is not accepted"),
            refusal(table("    amount INTEGER"), 3, "`INTEGER` is not accepted"),
            refusal(table("    amount FLOAT"), 3, "`FLOAT` is not accepted"),
            refusal(table("    amount DECIMAL"), 3, "`DECIMAL` is not accepted"),
            refusal(
                table("    amount DECIMAL(18)"),
                3,
                "`DECIMAL(18)` is not accepted",
            ),
            refusal(
                table("    amount DECIMAL(39, 2)"),
                3,
                "`DECIMAL(39,2)` is not accepted",
            ),
            refusal(
                table("    amount DECIMAL(2, 3)"),
                3,
                "`DECIMAL(2,3)` is not accepted",
            ),
            refusal(
                table("    amount DECIMAL(0, 0)"),
                3,
                "`DECIMAL(0,0)` is not accepted",
            ),
            refusal(
                table("    name VARCHAR(20)"),
                3,
                "`VARCHAR(20)` is not accepted",
            ),
            refusal(
                table("    at TIMESTAMP WITH TIME ZONE"),
                3,
                "is not accepted",
            ),
            refusal(
                table("    at TIMESTAMP(3)"),
                3,
                "`TIMESTAMP(3)` is not accepted",
            ),
            refusal(table("    tags VARCHAR[]"), 3, "is not accepted"),
            refusal(
                table("    who VARCHAR,\n    who VARCHAR"),
                4,
                "`who` is declared twice",
            ),
            refusal(
                table("    who VARCHAR,\n    WHO BIGINT"),
                4,
                "`who` is declared twice",
            ),
            refusal(table("    who VARCHAR NOT NULL"), 3, "`NOT NULL` is a rule"),
            refusal(table("    who VARCHAR DEFAULT 'x'"), 3, "is a rule"),
            refusal(table("    who VARCHAR PRIMARY KEY"), 3, "is a rule"),
            refusal(
                table("    who VARCHAR,\n    PRIMARY KEY (who)"),
                4,
                "is a rule",
            ),
            refusal(table("    _key VARCHAR"), 3, "`_key`"),
            refusal("CREATE TABLE raw_events AS SELECT 1 AS id", 1, "AS SELECT"),
            refusal(
                "CREATE TABLE raw_events (id VARCHAR) AS SELECT 1 AS id",
                1,
                "AS SELECT",
            ),
        ],
    );
}
