//! Statements that change tables, and those that only say what they did.

use serde_json::{Value, json};

use super::{Replay, columns::Column};
use crate::support::ROLE;

const DONE: &str = "Statement executed successfully.";

/// Goes on with the table that the bindings have left: one row, (1, 'a').
pub(super) async fn replay(replay: &mut Replay) {
    rows(replay).await;
    made(replay).await;
    shown(replay).await;
    transaction(replay).await;
    session(replay).await;
    several_tables(replay).await;
}

fn stats(inserted: u64, deleted: u64, updated: u64) -> Value {
    json!({"numRowsInserted": inserted, "numRowsDeleted": deleted, "numRowsUpdated": updated, "numDmlDuplicates": 0})
}

async fn rows(replay: &mut Replay) {
    let inserted = Column::count("number of rows inserted");
    let updated = Column::count("number of rows updated");
    let joined = Column::count("number of multi-joined rows updated");
    let deleted = Column::count("number of rows deleted");
    for (number, sql, columns, data, stats) in [
        (
            91,
            "INSERT INTO dbimp_it_dml VALUES (2,'b'),(3,'c')",
            vec![inserted],
            json!([["2"]]),
            stats(2, 0, 0),
        ),
        (
            92,
            "UPDATE dbimp_it_dml SET name = 'z' WHERE id < 3",
            vec![updated.clone(), joined],
            json!([["2", "0"]]),
            stats(0, 0, 2),
        ),
        (
            93,
            "DELETE FROM dbimp_it_dml WHERE id = 3",
            vec![deleted],
            json!([["1"]]),
            stats(0, 1, 0),
        ),
        (
            94,
            "MERGE INTO dbimp_it_dml t USING (SELECT 1 AS id, 'm' AS name) s ON t.id = s.id WHEN MATCHED THEN UPDATE \
             SET name = s.name",
            vec![updated],
            json!([["1"]]),
            stats(0, 0, 1),
        ),
        (
            95,
            "TRUNCATE TABLE dbimp_it_dml",
            vec![Column::status()],
            json!([[DONE]]),
            stats(0, 2, 0),
        ),
    ] {
        let answer = replay.sql(sql).await;
        replay.changed(number, &answer, &columns, data, stats);
    }
}

async fn made(replay: &mut Replay) {
    for (number, sql, said) in [
        (
            96,
            "CREATE OR REPLACE TABLE dbimp_it_dml (id NUMBER, name VARCHAR)",
            "Table DBIMP_IT_DML successfully created.",
        ),
        (
            97,
            "DROP TABLE IF EXISTS dbimp_it_nosuch",
            "Drop statement executed successfully (DBIMP_IT_NOSUCH already dropped).",
        ),
    ] {
        let answer = replay.sql(sql).await;
        replay.succeeded(number, &answer, &[Column::status()], json!([[said]]));
    }
}

/// Two tables: the empty one, and the one with a column of each type.
async fn shown(replay: &mut Replay) {
    let number = |name: &str| Column::fixed(name, 38).nullable();
    let mut columns = vec![
        Column::new("created_on", "timestamp_ltz")
            .digits(0, 3)
            .nullable(),
    ];
    for name in [
        "name",
        "database_name",
        "schema_name",
        "kind",
        "comment",
        "cluster_by",
    ] {
        columns.push(Column::listed(name));
    }
    columns.extend([number("rows"), number("bytes")]);
    for name in [
        "owner",
        "retention_time",
        "automatic_clustering",
        "change_tracking",
        "is_external",
        "enable_schema_evolution",
        "owner_role_type",
        "is_event",
        "is_hybrid",
        "is_iceberg",
        "is_dynamic",
        "is_immutable",
        "is_interactive",
        "row_timestamp",
        "error_logging",
    ] {
        columns.push(Column::listed(name));
    }
    let answer = replay.sql("SHOW TABLES LIKE 'DBIMP_IT_%'").await;
    let found = answer.data();
    // Times and sizes are the mock's own.
    let row = |index: usize, name: &str, rows: &str| {
        json!([
            found[index][0],
            name,
            "DBMETA",
            "PUBLIC",
            "TABLE",
            "",
            "",
            rows,
            found[index][8],
            ROLE,
            "1",
            "OFF",
            "OFF",
            "N",
            "N",
            "ROLE",
            "N",
            "N",
            "N",
            "N",
            "N",
            "N",
            "OFF",
            "OFF"
        ])
    };
    let data = json!([row(0, "DBIMP_IT_DML", "0"), row(1, "DBIMP_IT_TYPES", "2")]);
    replay.succeeded(98, &answer, &columns, data);
    let created = found[0][0].as_str().unwrap();
    assert_eq!(created.split_once('.').unwrap().1.len(), 3, "{created}");
}

async fn transaction(replay: &mut Replay) {
    let three = |statements: &str| json!({"statement": statements, "parameters": {"MULTI_STATEMENT_COUNT": "3"}});
    let kept = "BEGIN; INSERT INTO dbimp_it_dml VALUES (9,'t'); COMMIT";
    let answer = replay.post("", three(kept)).await;
    let parent = Column::text("multiple statement execution");
    let data = json!([["Multiple statements executed successfully."]]);
    replay.succeeded(101, &answer, &[parent], data);
    let children = answer.body()["statementHandles"].as_array().map(Vec::len);
    replay.compare(101, "children", &json!(children), &json!(3));

    let undone = "BEGIN; INSERT INTO dbimp_it_dml VALUES (8,'r'); ROLLBACK";
    assert_eq!(replay.post("", three(undone)).await.status, 200);

    let rows = replay
        .sql("SELECT id, name FROM dbimp_it_dml ORDER BY id")
        .await;
    let table = "DBIMP_IT_DML";
    let columns = [
        Column::fixed("ID", 38).of(table),
        Column::stored_text("NAME").of(table),
    ];
    replay.succeeded(103, &rows, &columns, json!([["9", "t"]]));
}

async fn session(replay: &mut Replay) {
    let answer = replay.sql("ALTER SESSION SET TIMEZONE = 'UTC'").await;
    replay.succeeded(105, &answer, &[Column::status()], json!([[DONE]]));
}

/// One statement into two tables, and a load of nothing.
async fn several_tables(replay: &mut Replay) {
    for sql in [
        "CREATE OR REPLACE TABLE dbimp_it_m1 (id NUMBER)",
        "CREATE OR REPLACE TABLE dbimp_it_m2 (id NUMBER)",
    ] {
        replay.prepare(sql).await;
    }
    let answer = replay
        .sql("INSERT ALL INTO dbimp_it_m1 VALUES (id) INTO dbimp_it_m2 VALUES (id) SELECT 1 AS id")
        .await;
    let columns = [
        Column::count("number of rows inserted into DBIMP_IT_M1"),
        Column::count("number of rows inserted into DBIMP_IT_M2"),
    ];
    replay.changed(115, &answer, &columns, json!([["1", "1"]]), stats(2, 0, 0));
    for table in ["dbimp_it_m1", "dbimp_it_m2"] {
        let rows = replay.sql(&format!("SELECT id FROM {table}")).await;
        assert_eq!(rows.data(), json!([["1"]]), "{table}");
    }

    let answer = replay
        .sql("COPY INTO dbimp_it_dml FROM @~/dbimp_it_none/")
        .await;
    let data = json!([["Copy executed with 0 files processed."]]);
    replay.succeeded(116, &answer, &[Column::status()], data);
}
