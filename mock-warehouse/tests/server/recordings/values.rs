//! Queries: what each type looks like, and what columns are called.

use serde_json::{Value, json};

use super::{Replay, columns::Column};

const TYPES: &str = "DBIMP_IT_TYPES";

pub(super) async fn replay(replay: &mut Replay) {
    table_of_types(replay).await;
    literals(replay).await;
    semi_structured(replay).await;
    parameters(replay).await;
    elsewhere(replay).await;
}

/// A column of each type, a row with values and a row without.
async fn table_of_types(replay: &mut Replay) {
    replay
        .prepare(
            "CREATE TABLE dbimp_it_types (i NUMBER(38,0), n NUMBER(10,2), f FLOAT, s VARCHAR, b BINARY, bo BOOLEAN, \
             d DATE, tm TIME(9), tn TIMESTAMP_NTZ(9), tl TIMESTAMP_LTZ(9), tz TIMESTAMP_TZ(9), v VARIANT, o OBJECT, \
             a ARRAY, g GEOGRAPHY, gm GEOMETRY)",
        )
        .await;
    replay
        .prepare(
            "INSERT INTO dbimp_it_types SELECT 12345678901234567890123456789012345678, 12345678.91, 1.5, 'héllo', \
             TO_BINARY('DEADBEEF','HEX'), TRUE, '2026-10-09', '12:34:56.123456789', '2026-10-09 12:34:56.123456789', \
             '2026-10-09 12:34:56.123456789 +0700', '2026-10-09 12:34:56.123456789 +0700', PARSE_JSON('{\"a\":1}'), \
             OBJECT_CONSTRUCT('k','v'), ARRAY_CONSTRUCT(1,'x',NULL), TO_GEOGRAPHY('POINT(1 2)'), \
             TO_GEOMETRY('POINT(3 4)')",
        )
        .await;
    replay
        .prepare("INSERT INTO dbimp_it_types (i) VALUES (NULL)")
        .await;

    let empty = replay.sql("SELECT * FROM dbimp_it_types WHERE 1 = 0").await;
    replay.succeeded(23, &empty, &columns_of_types(), json!([]));

    let all = replay
        .sql("SELECT * FROM dbimp_it_types ORDER BY i NULLS LAST")
        .await;
    let values = json!([
        "12345678901234567890123456789012345678",
        "12345678.91",
        "1.5",
        "héllo",
        "DEADBEEF",
        "true",
        "20735",
        "45296.123456789",
        "1791549296.123456789",
        "1791524096.123456789",
        "1791524096.123456789 1860",
        "{\n  \"a\": 1\n}",
        "{\n  \"k\": \"v\"\n}",
        "[\n  1,\n  \"x\",\n  undefined\n]",
        "{\n  \"coordinates\": [\n    1,\n    2\n  ],\n  \"type\": \"Point\"\n}",
        "{\n  \"coordinates\": [\n    3.000000000000000e+00,\n    4.000000000000000e+00\n  ],\n  \"type\": \"Point\"\n}"
    ]);
    let nulls = vec![Value::Null; 16];
    replay.succeeded(26, &all, &columns_of_types(), json!([values, nulls]));

    let described = replay.sql("DESCRIBE TABLE dbimp_it_types").await;
    replay.succeeded(27, &described, &columns_of_describe(), description());

    let counted = replay
        .post(
            "",
            json!({"statement": "SELECT COUNT(*) FROM dbimp_it_types", "warehouse": "NOSUCH_WH"}),
        )
        .await;
    replay.succeeded(
        82,
        &counted,
        &[Column::fixed("COUNT(*)", 18)],
        json!([["2"]]),
    );
}

fn columns_of_types() -> Vec<Column> {
    let plain = |name: &str, kind: &str| Column::new(name, kind).of(TYPES);
    let time = |name: &str, kind: &str| Column::time(name, kind).of(TYPES);
    vec![
        Column::fixed("I", 38).of(TYPES),
        Column::new("N", "fixed").digits(10, 2).of(TYPES),
        plain("F", "real"),
        Column::stored_text("S").of(TYPES),
        plain("B", "binary").long(8_388_608, 8_388_608),
        plain("BO", "boolean"),
        plain("D", "date"),
        time("TM", "time"),
        time("TN", "timestamp_ntz"),
        time("TL", "timestamp_ltz"),
        time("TZ", "timestamp_tz"),
        plain("V", "variant"),
        plain("O", "object"),
        plain("A", "array"),
        Column::new("G", "object").nullable().extended("GEOGRAPHY"),
        Column::new("GM", "object").nullable().extended("GEOMETRY"),
    ]
}

fn columns_of_describe() -> Vec<Column> {
    [
        "name",
        "type",
        "kind",
        "null?",
        "default",
        "primary key",
        "unique key",
        "check",
        "expression",
        "comment",
        "policy name",
        "privacy domain",
        "write default",
    ]
    .into_iter()
    .map(|name| match name {
        "privacy domain" => Column::new(name, "object").nullable(),
        _ => Column::listed(name),
    })
    .collect()
}

fn description() -> Value {
    [
        ("I", "NUMBER(38,0)"),
        ("N", "NUMBER(10,2)"),
        ("F", "FLOAT"),
        ("S", "VARCHAR(16777216)"),
        ("B", "BINARY(8388608)"),
        ("BO", "BOOLEAN"),
        ("D", "DATE"),
        ("TM", "TIME(9)"),
        ("TN", "TIMESTAMP_NTZ(9)"),
        ("TL", "TIMESTAMP_LTZ(9)"),
        ("TZ", "TIMESTAMP_TZ(9)"),
        ("V", "VARIANT"),
        ("O", "OBJECT"),
        ("A", "ARRAY"),
        ("G", "GEOGRAPHY"),
        ("GM", "GEOMETRY"),
    ]
    .into_iter()
    .map(|(name, kind)| {
        json!([
            name, kind, "COLUMN", "Y", null, "N", "N", null, null, null, null, null, null
        ])
    })
    .collect()
}

/// Values that a statement spells out.
async fn literals(replay: &mut Replay) {
    let real = |name: &str| Column::new(name, "real");
    for (number, sql, columns, data) in [
        (
            18,
            "SELECT 1 AS a, 'x' AS b",
            vec![Column::fixed("A", 1), Column::new("B", "text").long(1, 4)],
            json!([["1", "x"]]),
        ),
        (
            24,
            "SELECT 1 AS a, 2 AS a",
            vec![Column::fixed("A", 1), Column::fixed("A", 1)],
            json!([["1", "2"]]),
        ),
        (
            28,
            "SELECT 1.2345678901234567890123456789012345678::NUMBER(38,37)",
            vec![
                Column::new(
                    "1.2345678901234567890123456789012345678::NUMBER(38,37)",
                    "fixed",
                )
                .digits(38, 37),
            ],
            json!([["1.2345678901234567890123456789012345678"]]),
        ),
        (
            30,
            "SELECT 'NaN'::FLOAT, 'inf'::FLOAT, '-inf'::FLOAT",
            vec![
                real("'NAN'::FLOAT"),
                real("'INF'::FLOAT"),
                real("'-INF'::FLOAT"),
            ],
            json!([["NaN", "inf", "-inf"]]),
        ),
        (
            31,
            "SELECT '1900-01-01'::DATE",
            vec![Column::new("'1900-01-01'::DATE", "date")],
            json!([["-25567"]]),
        ),
    ] {
        let answer = replay.sql(sql).await;
        replay.succeeded(number, &answer, &columns, data);
    }
}

async fn semi_structured(replay: &mut Replay) {
    let variants = replay
        .sql(
            "SELECT PARSE_JSON('1'), PARSE_JSON('\"s\"'), PARSE_JSON('null'), PARSE_JSON('[1,{\"a\":2}]'), \
             PARSE_JSON('{\"a\":[1,2]}')",
        )
        .await;
    let columns: Vec<Column> = ["1", "\"S\"", "NULL", "[1,{\"A\":2}]", "{\"A\":[1,2]}"]
        .iter()
        .map(|json| Column::new(&format!("PARSE_JSON('{json}')"), "variant").nullable())
        .collect();
    let data = json!([[
        "1",
        "\"s\"",
        "null",
        "[\n  1,\n  {\n    \"a\": 2\n  }\n]",
        "{\n  \"a\": [\n    1,\n    2\n  ]\n}"
    ]]);
    replay.succeeded(34, &variants, &columns, data);

    let vector = replay.sql("SELECT [1.0,2.0,3.0]::VECTOR(FLOAT,3)").await;
    let column = Column::new("[1.0,2.0,3.0]::VECTOR(FLOAT,3)", "vector").nullable();
    let data = json!([["[1.000000,2.000000,3.000000]"]]);
    replay.succeeded(35, &vector, &[column], data);
}

/// Session parameters that a request carries.
async fn parameters(replay: &mut Replay) {
    let now = replay
        .post("", json!({"statement": "SELECT CURRENT_TIMESTAMP()::STRING", "parameters": {"TIMEZONE": "UTC"}}))
        .await;
    let data = now.body()["data"].clone();
    let shape = data
        .to_string()
        .replace(|digit: char| digit.is_ascii_digit(), "0");
    let recorded = json!([["0000-00-00 00:00:00.000 Z"]]);
    replay.compare(107, "shape", &json!(shape), &json!(recorded.to_string()));
    replay.succeeded(
        107,
        &now,
        &[Column::text("CURRENT_TIMESTAMP()::STRING")],
        data,
    );

    let dates = replay
        .post(
            "",
            json!({"statement": "SELECT '2026-10-09'::DATE::STRING, '2026-10-09'::DATE",
                "parameters": {"DATE_OUTPUT_FORMAT": "DD/MM/YYYY"}}),
        )
        .await;
    let columns = [
        Column::text("'2026-10-09'::DATE::STRING"),
        Column::new("'2026-10-09'::DATE", "date"),
    ];
    replay.succeeded(142, &dates, &columns, json!([["09/10/2026", "09/10/2026"]]));
}

/// A database that is not there is no matter to a statement that needs none.
async fn elsewhere(replay: &mut Replay) {
    let answer = replay
        .post(
            "",
            json!({"statement": "SELECT 1", "database": "NOSUCH_DB"}),
        )
        .await;
    replay.succeeded(83, &answer, &[Column::fixed("1", 1)], json!([["1"]]));
}
