//! What a folder holds after its warehouse has ended, and what is said when it cannot be opened.

use std::fs;
use std::path::{Path, PathBuf};

use mock_warehouse::engine::{Engine, OpenError};
use mock_warehouse::{Config, Storage};
use object_store::ObjectStoreExt;
use serde_json::{Value, json};

use crate::support::{Warehouse, config};

const ID: &str = "6b1b2c9e-0d6a-4a55-8f3f-0f1f3a1f7c11";

fn kept_in(folder: &Path) -> Config {
    Config {
        storage: Storage::Folder(folder.to_owned()),
        ..config()
    }
}

/// A folder with the table DB.S.T of one row.
async fn folder_with_a_row() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::with(kept_in(folder.path())).await;
    warehouse.sql("CREATE TABLE t (n NUMBER)").await.data();
    warehouse.sql("INSERT INTO t VALUES (1)").await.data();
    folder
}

fn part_of(folder: &Path) -> PathBuf {
    let mut parts = fs::read_dir(folder.join("parts")).unwrap();
    parts.next().unwrap().unwrap().path()
}

async fn count(warehouse: &Warehouse, table: &str) -> Value {
    let answer = warehouse
        .sql(&format!("SELECT COUNT(*) FROM {table}"))
        .await;
    answer.data()[0][0].clone()
}

#[tokio::test]
async fn a_request_whose_reply_was_lost_with_the_process_does_not_run_twice() {
    let folder = folder_with_a_row().await;
    let insert = json!({"statement": "INSERT INTO t VALUES (2), (3)"});
    let transaction = json!({"statement":
        "ALTER SESSION SET TIMEZONE = 'UTC'; BEGIN; INSERT INTO t VALUES (4); COMMIT; SELECT COUNT(*) FROM t",
        "parameters": {"MULTI_STATEMENT_COUNT": "0"}});
    for (body, rows) in [(insert, "3"), (transaction, "4")] {
        let id = uuid::Uuid::new_v4();
        let first = Warehouse::with(kept_in(folder.path())).await;
        let sent = first.post(&format!("?requestId={id}"), body.clone()).await;
        assert_eq!(sent.status, 200, "{}", sent.body());
        drop(first);
        let second = Warehouse::with(kept_in(folder.path())).await;
        let query = format!("?requestId={id}&retry=true");
        for _ in 0..2 {
            let again = second.post(&query, body.clone()).await;
            let told = |answer: &Value| {
                ["data", "statementHandle", "createdOn", "stats", "code"]
                    .map(|name| answer[name].clone())
            };
            assert_eq!(told(&again.body()), told(&sent.body()));
            assert_eq!(count(&second, "t").await, json!(rows));
        }
        if let Some(children) =
            second.post(&query, body).await.body()["statementHandles"].as_array()
        {
            let last = children.last().unwrap().as_str().unwrap();
            assert_eq!(second.get(last).await.data(), json!([[rows]]));
        }
    }
}

#[tokio::test]
async fn a_request_goes_on_behind_what_it_has_committed() {
    let folder = folder_with_a_row().await;
    let body = json!({"statement":
        "INSERT INTO t VALUES (2); INSERT INTO later VALUES (1); INSERT INTO t VALUES (3)",
        "parameters": {"MULTI_STATEMENT_COUNT": "0"}});
    let first = Warehouse::with(kept_in(folder.path())).await;
    let failed = first.post(&format!("?requestId={ID}"), body.clone()).await;
    assert_eq!(failed.verdict(), (422, "100132".to_owned()));
    drop(first);
    let second = Warehouse::with(kept_in(folder.path())).await;
    second.sql("CREATE TABLE later (n NUMBER)").await.data();
    second
        .post(&format!("?requestId={ID}&retry=true"), body.clone())
        .await
        .data();
    assert_eq!(count(&second, "t").await, json!("3"));
    // Without the word that it is a retry it is a new request.
    second.post(&format!("?requestId={ID}"), body).await.data();
    assert_eq!(count(&second, "t").await, json!("5"));
}

#[tokio::test]
async fn a_forgotten_request_is_forgotten_in_the_folder_too() {
    let folder = folder_with_a_row().await;
    let insert = json!({"statement": "INSERT INTO t VALUES (2)"});
    let first = Warehouse::with(kept_in(folder.path())).await;
    first
        .post(&format!("?requestId={ID}"), insert.clone())
        .await
        .data();
    drop(first);
    let second = Warehouse::with(kept_in(folder.path())).await;
    second
        .warehouse
        .faults()
        .add("forget@submit=1".parse().unwrap());
    second
        .post(&format!("?requestId={ID}&retry=true"), insert)
        .await
        .data();
    assert_eq!(count(&second, "t").await, json!("3"));
}

#[tokio::test]
async fn what_a_death_leaves_half_done_is_removed() {
    let folder = folder_with_a_row().await;
    let leftovers = [
        "manifest.json.draft",
        // The number that the next part is given: what lies there must not be taken for it.
        "parts/9999.parquet",
        "parts/7.draft",
        "stage/sluicebox/run/x.parquet#3",
    ];
    for name in leftovers {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "half").unwrap();
    }
    let whole = folder.path().join("stage/sluicebox/run/x#y.parquet");
    fs::write(&whole, "whole").unwrap();
    let warehouse = Warehouse::with(kept_in(folder.path())).await;
    for name in leftovers {
        assert!(!folder.path().join(name).exists(), "{name}");
    }
    assert!(whole.exists());
    assert_eq!(count(&warehouse, "t").await, json!("1"));
}

#[tokio::test]
async fn a_staged_file_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = object_store::path::Path::from("sluicebox/run 1/ä#1.parquet");
    {
        let engine = Engine::open(folder.path()).unwrap();
        engine.stage_files().put(&path, "x".into()).await.unwrap();
    }
    let engine = Engine::open(folder.path()).unwrap();
    let read = engine.stage_files().get(&path).await.unwrap();
    assert_eq!(read.bytes().await.unwrap(), "x");
}

#[tokio::test]
async fn a_folder_is_open_once() {
    let folder = folder_with_a_row().await;
    let held = Engine::open(folder.path()).unwrap();
    let refused = Engine::open(folder.path()).unwrap_err();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
    assert!(
        refused
            .to_string()
            .contains(folder.path().to_str().unwrap()),
        "{refused}"
    );
    drop(held);
    Engine::open(folder.path()).unwrap();
}

#[tokio::test]
async fn a_damaged_folder_is_named_by_the_file() {
    type Damage = fn(&Path) -> PathBuf;
    let damages: [(&str, Damage); 4] = [
        ("a manifest cut short", |folder| {
            let path = folder.join("manifest.json");
            let text = fs::read(&path).unwrap();
            fs::write(&path, &text[..text.len() / 2]).unwrap();
            path
        }),
        ("a manifest of something else", |folder| {
            let path = folder.join("manifest.json");
            fs::write(&path, "{}").unwrap();
            path
        }),
        ("a part that is missing", |folder| {
            let path = part_of(folder);
            fs::remove_file(&path).unwrap();
            path
        }),
        ("a part cut short", |folder| {
            let path = part_of(folder);
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            path
        }),
    ];
    for (what, damage) in damages {
        let folder = folder_with_a_row().await;
        let file = damage(folder.path());
        let refused = Engine::open(folder.path()).unwrap_err();
        assert!(
            refused.to_string().contains(file.to_str().unwrap()),
            "{what}: {refused}"
        );
        assert!(refused.hint().contains("a copy of the folder"), "{what}");
    }
}
