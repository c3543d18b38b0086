//! The checks: what is done, and what we build on coming out.

use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use sluicebox::keys::KeyPair;
use sluicebox::warehouse::{Client, RequestId};
use tokio::time::sleep;

use super::place::{Place, STAGE, refusal};
use super::staged;

/// Looks at one thing, and says in few words what it saw.
type Look = for<'a> fn(&'a Place) -> BoxFuture<'a, Result<String, String>>;

/// One thing that we build on.
pub(super) struct Check {
    pub(super) name: &'static str,
    /// What it has to see.
    pub(super) expected: &'static str,
    pub(super) look: Look,
}

/// In the order in which they run.
pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "a request that is sent again under its id runs once",
        expected: "1 row",
        look: |place| Box::pin(sent_again(place)),
    },
    Check {
        name: "a transaction that fails in one request leaves nothing",
        expected: "100132; 0 rows",
        look: |place| Box::pin(failed_transaction(place)),
    },
    Check {
        name: "without BEGIN, statements before the failed one stay",
        expected: "100132; 1 row",
        look: |place| Box::pin(failed_statements(place)),
    },
    Check {
        name: "BEGIN alone is refused",
        expected: "391911 0A000 Command not supported by SQL API: TRANSACTION_BEGIN",
        look: |place| Box::pin(refused(place, "BEGIN")),
    },
    Check {
        name: "several source rows for one target row fail a MERGE",
        expected: "100090 42P18 Duplicate row detected during DML action",
        look: |place| Box::pin(duplicate_source(place)),
    },
    Check {
        name: "source rows that match nothing are inserted each",
        expected: "2 rows",
        look: |place| Box::pin(unmatched_twice(place)),
    },
    Check {
        name: "EQUAL_NULL",
        expected: "true false true",
        look: |place| {
            Box::pin(
                place.text("SELECT EQUAL_NULL(NULL, NULL), EQUAL_NULL(1, NULL), EQUAL_NULL(1, 1)"),
            )
        },
    },
    Check {
        name: "the key for a stage's root writes into its folders",
        expected: "staged/one/0.parquet, staged/two/deep/0.parquet",
        look: |place| Box::pin(folders(place)),
    },
    Check {
        name: "UNION ALL over staged files is the source of a MERGE",
        expected: "a 1, b 2, c 3",
        look: |place| Box::pin(union_of_files(place)),
    },
    Check {
        name: "the guard of a load fails when a file lacks rows",
        expected: "100051 22012 Division by zero",
        look: |place| Box::pin(guard(place)),
    },
    Check {
        name: "a staged file that is not there fails a statement",
        expected: "091016 22000",
        look: |place| Box::pin(missing_file(place)),
    },
    Check {
        name: "NULL_IF = (): texts in staged files stay texts",
        expected: r"4 rows, 1 NULL, \N",
        look: |place| Box::pin(null_if(place)),
    },
    Check {
        name: "REMOVE several times in one request",
        expected: "0 files",
        look: |place| Box::pin(remove(place)),
    },
    Check {
        name: "types: the least values, from Parquet",
        expected: " -99999999999999999999999999999999999999 -9.9999999999999999999999999999999999999 \
                   -9223372036854775808 -0.1 false -719162 -62135596800.000000",
        look: |place| Box::pin(extremes(place, "0")),
    },
    Check {
        name: "types: the greatest values, from Parquet",
        expected: "\u{1f388}\u{5d0}\\N 99999999999999999999999999999999999999 9.9999999999999999999999999999999999999 \
                   9223372036854775807 0.1 true 2932896 253402300799.999999",
        look: |place| Box::pin(extremes(place, "1")),
    },
    Check {
        name: "types: NULL, from Parquet",
        expected: "NULL NULL NULL NULL NULL NULL NULL NULL",
        look: |place| Box::pin(extremes(place, "2")),
    },
    Check {
        name: "a text of 16,777,217 characters is no VARCHAR",
        expected: "100078 22000",
        look: |place| Box::pin(too_long(place)),
    },
    Check {
        name: "an INSERT does not wait for an UPDATE's transaction",
        expected: DOES_NOT_WAIT,
        look: |place| Box::pin(waits(place, "INSERT INTO locked VALUES (2)")),
    },
    Check {
        name: "an UPDATE waits for an UPDATE's transaction",
        expected: WAITS,
        look: |place| Box::pin(waits(place, "UPDATE locked SET n = n + 1")),
    },
    Check {
        name: "a MERGE waits for an UPDATE's transaction",
        expected: WAITS,
        look: |place| {
            let merge = "MERGE INTO locked t USING (SELECT 0 AS n) s ON t.n >= s.n WHEN MATCHED THEN UPDATE SET n = t.n + 1";
            Box::pin(waits(place, merge))
        },
    },
    Check {
        name: "a key that is not the user's is refused",
        expected: "390144 JWT token is invalid.",
        look: |place| Box::pin(wrong_key(place)),
    },
];

/// How long the first of two transactions holds its lock at least, in seconds, and when the second comes. A small statement
/// that waits for nobody is done within the difference.
const HELD: u32 = 12;
const SECOND_AFTER: Duration = Duration::from_secs(4);

const WAITS: &str = "it waits";
const DOES_NOT_WAIT: &str = "it does not wait";

async fn table(place: &Place, name: &str, columns: &str) -> Result<(), String> {
    let sql = format!("CREATE OR REPLACE TABLE {name} ({columns})");
    place.run(&sql).await.map(drop)
}

async fn rows(place: &Place, table: &str) -> Result<String, String> {
    let count = place.text(&format!("SELECT COUNT(*) FROM {table}")).await?;
    Ok(if count == "1" {
        "1 row".to_owned()
    } else {
        format!("{count} rows")
    })
}

/// The refusal of a statement; being taken is the error.
async fn refused(place: &Place, sql: &str) -> Result<String, String> {
    Ok(place
        .run(sql)
        .await
        .map_or_else(|refusal| refusal, |_| "taken".to_owned()))
}

fn code(refusal: &str) -> &str {
    refusal.split(' ').next().unwrap_or_default()
}

async fn sent_again(place: &Place) -> Result<String, String> {
    table(place, "once", "n NUMBER").await?;
    let request = RequestId::new();
    let insert = ["INSERT INTO once VALUES (1)".to_owned()];
    for _ in 0..2 {
        let sent = place.client.execute_all(&insert, request.clone()).await;
        sent.map_err(|error| refusal(&error))?;
    }
    rows(place, "once").await
}

async fn failed_transaction(place: &Place) -> Result<String, String> {
    table(place, "failed", "n NUMBER").await?;
    let statements = [
        "BEGIN",
        "INSERT INTO failed VALUES (1)",
        "SELECT 1 / 0",
        "COMMIT",
    ];
    let refusal = place.several(&statements).await.err().unwrap_or_default();
    Ok(format!(
        "{}; {}",
        code(&refusal),
        rows(place, "failed").await?
    ))
}

async fn failed_statements(place: &Place) -> Result<String, String> {
    table(place, "partly", "n NUMBER").await?;
    let statements = ["INSERT INTO partly VALUES (1)", "SELECT 1 / 0"];
    let refusal = place.several(&statements).await.err().unwrap_or_default();
    Ok(format!(
        "{}; {}",
        code(&refusal),
        rows(place, "partly").await?
    ))
}

async fn duplicate_source(place: &Place) -> Result<String, String> {
    table(place, "target", "k NUMBER, n NUMBER").await?;
    place.run("INSERT INTO target VALUES (1, 0)").await?;
    let merge = "MERGE INTO target t USING (SELECT column1 AS k, column2 AS n FROM VALUES (1, 1), (1, 2)) s \
                 ON t.k = s.k WHEN MATCHED THEN UPDATE SET n = s.n";
    refused(place, merge).await
}

async fn unmatched_twice(place: &Place) -> Result<String, String> {
    table(place, "twice", "k NUMBER").await?;
    let merge = "MERGE INTO twice t USING (SELECT column1 AS k FROM VALUES (1), (1)) s ON t.k = s.k \
                 WHEN NOT MATCHED THEN INSERT (k) VALUES (s.k)";
    place.run(merge).await?;
    rows(place, "twice").await
}

async fn put(place: &Place, path: &str, bytes: bytes::Bytes) -> Result<(), String> {
    let put = place.stage.put(path, bytes).await;
    put.map_err(|error| error.to_string())
}

/// Names and nothing else; sizes differ.
async fn listed(place: &Place) -> Result<Vec<String>, String> {
    let answer = place.run(&format!("LIST @{STAGE}")).await?;
    let names = answer.rows.into_iter().map(|row| row.into_iter().next());
    let mut names: Vec<_> = names.flatten().flatten().collect();
    names.sort();
    Ok(names)
}

async fn folders(place: &Place) -> Result<String, String> {
    put(
        place,
        "one/0.parquet",
        staged::numbers(&[("a", 1), ("b", 2)]),
    )
    .await?;
    put(place, "two/deep/0.parquet", staged::numbers(&[("c", 3)])).await?;
    Ok(listed(place).await?.join(", "))
}

async fn union_of_files(place: &Place) -> Result<String, String> {
    table(place, "merged", "k VARCHAR, n NUMBER(19, 0)").await?;
    place.run("INSERT INTO merged VALUES ('a', 0)").await?;
    let part = |path: &str| {
        let file = place.staged(path);
        format!("SELECT $1:k::VARCHAR AS k, $1:n::NUMBER(19, 0) AS n FROM {file}")
    };
    let merge = format!(
        "MERGE INTO merged t USING (SELECT s.* FROM ({} UNION ALL {}) s QUALIFY ROW_NUMBER() OVER (PARTITION BY s.k ORDER BY s.n DESC) = 1) s \
         ON EQUAL_NULL(t.k, s.k) WHEN MATCHED AND s.n > t.n THEN UPDATE SET n = s.n \
         WHEN NOT MATCHED THEN INSERT (k, n) VALUES (s.k, s.n)",
        part("one/0.parquet"),
        part("two/deep/0.parquet")
    );
    place.run(&merge).await?;
    place.text("SELECT k, n FROM merged ORDER BY k").await
}

async fn guard(place: &Place) -> Result<String, String> {
    let file = place.staged("one/0.parquet");
    let sql = format!(
        "SELECT SUM(1 / IFF(SEEN = WRITTEN, 1, 0)) FROM (SELECT COUNT(*) AS SEEN, 3 AS WRITTEN FROM {file}) f"
    );
    refused(place, &sql).await
}

async fn missing_file(place: &Place) -> Result<String, String> {
    let sql = format!("SELECT COUNT(*) FROM {}", place.staged("one/1.parquet"));
    let refusal = refused(place, &sql).await?;
    Ok(refusal.split(' ').take(2).collect::<Vec<_>>().join(" "))
}

async fn null_if(place: &Place) -> Result<String, String> {
    put(
        place,
        "texts.parquet",
        staged::texts(&[Some("\\N"), Some("NULL"), Some(""), None]),
    )
    .await?;
    let sql = format!(
        "SELECT COUNT(*) || ' rows,', COUNT_IF($1:t::VARCHAR IS NULL) || ' NULL,', MAX(IFF($1:t::VARCHAR = '\\\\N', $1:t::VARCHAR, NULL)) FROM {}",
        place.staged("texts.parquet")
    );
    place.text(&sql).await
}

async fn remove(place: &Place) -> Result<String, String> {
    let files = listed(place).await?;
    let removals: Vec<_> = (files.iter())
        .filter_map(|name| name.split_once('/'))
        .map(|(_, path)| format!("REMOVE '@{}.{STAGE}/{path}'", place.schema()))
        .collect();
    let removals: Vec<&str> = removals.iter().map(String::as_str).collect();
    place.several(&removals).await?;
    Ok(format!("{} files", listed(place).await?.len()))
}

async fn extremes(place: &Place, row: &str) -> Result<String, String> {
    put(place, "extremes.parquet", staged::extremes()).await?;
    let types = [
        ("text", "VARCHAR"),
        ("whole", "NUMBER(38, 0)"),
        ("fine", "NUMBER(38, 37)"),
        ("big", "NUMBER(19, 0)"),
        ("double", "FLOAT"),
        ("truth", "BOOLEAN"),
        ("day", "DATE"),
        ("moment", "TIMESTAMP_NTZ(6)"),
    ];
    let columns = types.map(|(name, sql_type)| format!("c_{name} {sql_type}"));
    table(place, "extremes", &columns.join(", ")).await?;
    let casts = types.map(|(name, sql_type)| format!("$1:{name}::{sql_type}"));
    let file = place.staged("extremes.parquet");
    place
        .run(&format!(
            "INSERT INTO extremes SELECT {} FROM {file}",
            casts.join(", ")
        ))
        .await?;
    let order = "ORDER BY c_big NULLS LAST";
    place
        .text(&format!(
            "SELECT * FROM extremes {order} LIMIT 1 OFFSET {row}"
        ))
        .await
}

async fn too_long(place: &Place) -> Result<String, String> {
    let refusal = refused(
        place,
        "SELECT LENGTH(REPEAT('x', 16777217)::VARCHAR(16777216))",
    )
    .await?;
    Ok(refusal.split(' ').take(2).collect::<Vec<_>>().join(" "))
}

/// A transaction updates and stays open for a while; whether a second request waits for it. Who answers first says little:
/// the answers of several statements are read one by one.
async fn waits(place: &Place, second: &str) -> Result<String, String> {
    table(place, "locked", "n NUMBER").await?;
    place.run("INSERT INTO locked VALUES (1)").await?;
    let wait = format!("SELECT SYSTEM$WAIT({HELD})");
    let statements = ["BEGIN", "UPDATE locked SET n = n + 1", &wait, "COMMIT"];
    let begun = Instant::now();
    let second = async {
        sleep(SECOND_AFTER).await;
        place.run(second).await.map(|_| begun.elapsed())
    };
    let (first, second) = tokio::join!(place.several(&statements), second);
    first?;
    // Nobody gets the lock earlier.
    let waited = second? >= Duration::from_secs(HELD.into());
    Ok(if waited { WAITS } else { DOES_NOT_WAIT }.to_owned())
}

async fn wrong_key(place: &Place) -> Result<String, String> {
    let other = KeyPair::generate(2048).map_err(|error| error.to_string())?;
    let mut config = place.config.clone();
    // A client that is refused looks into the key file, which holds the right one.
    config.private_key_file = "none.p8".into();
    let client = Client::new(&config, &other).map_err(|error| refusal(&error))?;
    let asked = client.without_retries().execute("SELECT 1").await;
    Ok(asked
        .err()
        .map_or_else(|| "taken".to_owned(), |error| refusal(&error)))
}
