//! An old owner's load and a new owner's raise, statement by statement in each other's way, in sessions of the mock warehouse,
//! which isolates as weakly as the real one. Whatever the order: no row lost, none doubled, none older than it was.
//!
//! The same oracle is then given statements with one condition taken out, and has to find the damage: so it is known that it
//! would. The conditions: the control row locked first, the fence compared, `next_offset` compared, the version compared.
//! That a retry keeps its request's id is `flush_tests::a_load_that_was_lost_is_sent_again_as_the_same_request`: a new id would run
//! the load a second time, which `next_offset` makes harmless, so that no table can tell.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mock_warehouse::engine::{Bindings, Engine, Grid, SessionContext};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::control::{Bound, ControlRow, ControlTable};
use super::loader::Pending;
use super::position::Fence;
use super::tests::{SOURCE, Scene, event, total};
use crate::broker::{NextOffset, Partition};

/// Statements of a load as they are to be sent instead.
type Mutation = fn(&[String]) -> Vec<String>;

fn unchanged(load: &[String]) -> Vec<String> {
    load.to_vec()
}

/// The control row not locked first.
fn without_lock(load: &[String]) -> Vec<String> {
    let mut load = load.to_vec();
    assert!(load.remove(1).contains("loads = loads + 1"));
    load
}

/// The fence not compared.
fn without_fence(load: &[String]) -> Vec<String> {
    let without = |sql: &String| {
        let mut sql = sql.clone();
        for fence in 1..9 {
            sql = sql.replace(&format!(" AND fence = {fence}"), "");
            sql = sql.replace(&format!(" AND c.fence = {fence}"), "");
        }
        sql
    };
    let changed: Vec<_> = load.iter().map(without).collect();
    assert_ne!(changed, load);
    changed
}

/// `next_offset` not compared.
fn without_next_offset(load: &[String]) -> Vec<String> {
    let without = |sql: &String| {
        sql.replace(">= c.next_offset", ">= 0")
            .replace(" AND next_offset = 0", "")
    };
    let changed: Vec<_> = load.iter().map(without).collect();
    assert_ne!(changed, load);
    changed
}

/// The version not compared.
fn without_version(load: &[String]) -> Vec<String> {
    let without = |sql: &String| sql.replace(" AND s.SLUICEBOX_VERSION > t.SLUICEBOX_VERSION", "");
    let changed: Vec<_> = load.iter().map(without).collect();
    assert_ne!(changed, load);
    changed
}

/// A session that runs a request's statements as far as it is let, as the server does: the first failure ends it.
struct Player {
    statements: usize,
    may: Arc<Semaphore>,
    done: Arc<AtomicUsize>,
    answers: JoinSet<Vec<Grid>>,
}

impl Player {
    fn new(engine: &Engine, statements: Vec<String>) -> Self {
        let mut session = engine.session(SessionContext {
            user: "KAFKA_SERVICE".to_owned(),
            role: Some("ACCOUNTADMIN".to_owned()),
            database: Some("DB".to_owned()),
            schema: Some("S".to_owned()),
            warehouse: Some("COMPUTE_WH".to_owned()),
            ..SessionContext::default()
        });
        let (may, done) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let (allowed, counted, count) = (Arc::clone(&may), Arc::clone(&done), statements.len());
        let mut answers = JoinSet::new();
        answers.spawn(async move {
            let mut grids = Vec::new();
            for sql in statements {
                allowed.acquire().await.unwrap().forget();
                match session
                    .as_mut()
                    .unwrap()
                    .execute(&sql, &Bindings::new())
                    .await
                {
                    Ok(grid) => grids.push(grid),
                    Err(_) => break,
                }
                counted.fetch_add(1, Ordering::SeqCst);
            }
            counted.store(count, Ordering::SeqCst);
            grids
        });
        Self {
            statements: count,
            may,
            done,
            answers,
        }
    }

    /// Lets it run up to its statement number `upto`; a while later it has, or waits for a lock.
    async fn advance(&self, upto: usize) {
        self.may
            .add_permits(upto.saturating_sub(self.done.load(Ordering::SeqCst)));
        let deadline = Instant::now() + Duration::from_millis(40);
        while self.done.load(Ordering::SeqCst) < upto && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Lets it run to its end.
    async fn finish(mut self) -> Vec<Grid> {
        self.may.add_permits(self.statements);
        let ended = tokio::time::timeout(Duration::from_secs(20), self.answers.join_next()).await;
        ended.expect("no session waits for ever").unwrap().unwrap()
    }
}

/// Partition 0 of both topics, with what they are.
async fn claimed(scene: &Scene) -> Vec<(Partition, Bound)> {
    let created = "SELECT TABLE_NAME, CREATED FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_NAME IN ('TOTALS', 'EVENTS')";
    let answer = scene.client.execute(created).await.unwrap();
    let claim = |row: &Vec<Option<String>>| {
        let [Some(table), Some(target)] = row.as_slice() else {
            panic!("{row:?}");
        };
        let at = Partition {
            topic: table.to_lowercase(),
            number: 0,
        };
        let source = SOURCE.to_owned();
        let target = target.clone();
        let low = NextOffset::START;
        (
            at,
            Bound {
                low,
                source,
                target,
            },
        )
    };
    answer.rows.iter().map(claim).collect()
}

/// The rows that the raise has read.
fn raised(grids: &[Grid]) -> Vec<ControlRow> {
    let row = |row: &Vec<Option<String>>| {
        let cell = |at: usize| row[at].clone().unwrap();
        ControlRow {
            at: Partition {
                topic: cell(0),
                number: cell(1).parse().unwrap(),
            },
            next_offset: NextOffset::at(cell(2).parse().unwrap()),
            fence: Fence::new(cell(3).parse().unwrap()),
        }
    };
    grids[2].rows.iter().map(row).collect()
}

/// A load of all records of both topics from the rows' positions up to offset `end`, its files on the stage.
fn load(scene: &Scene, rows: &[ControlRow], end: i64) -> Arc<Pending> {
    let mut sink = scene.new_sink();
    for row in rows {
        sink.assign(row, row.next_offset).unwrap();
        for offset in row.next_offset.get()..end {
            if row.at.topic == "events" {
                event(&mut sink, offset, &format!(r#"{{"id":"{offset}"}}"#));
            } else {
                // Two keys in turn, and a value that tells the offset.
                let (id, value) = (
                    ["a", "b"][usize::from(offset % 2 == 1)],
                    format!("{offset}.00"),
                );
                total(&mut sink, 0, offset, id, Some(&value));
            }
        }
    }
    let pending = sink.begin().unwrap().expect("there is something to load");
    for (path, bytes) in &pending.files {
        let file = scene.folder.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    pending
}

/// How the two get in each other's way.
#[derive(Clone, Copy, Debug)]
struct Order {
    /// So many statements of the old owner's load come first.
    old: usize,
    /// Then so many of the new owner's raise; then the rest of the load, then the rest of the raise.
    new: usize,
}

/// What is wrong after the old owner loads two records of each topic, a new one takes over and loads to offset 3, and the old one's
/// request comes once more; nothing, if all is well.
async fn damage(scene: &Scene, order: Order, mutation: Mutation) -> Option<String> {
    for table in ["SLUICEBOX_CONTROL", "TOTALS", "EVENTS"] {
        let delete = format!("DELETE FROM {table}");
        scene.client.execute(&delete).await.unwrap();
    }
    let control = ControlTable::new("SLUICEBOX_CONTROL");
    let raising = control.raising(&claimed(scene).await);
    let first = Player::new(&scene.engine, raising.clone()).finish().await;
    let old_load = mutation(&load(scene, &raised(&first), 2).load.statements());

    let old = Player::new(&scene.engine, old_load.clone());
    let new = Player::new(&scene.engine, raising);
    old.advance(order.old).await;
    new.advance(order.new).await;
    old.advance(old_load.len()).await;
    new.advance(new.statements).await;
    let (_, second) = tokio::join!(old.finish(), new.finish());

    let new_load = load(scene, &raised(&second), 3).load.statements();
    for again in [mutation(&new_load), old_load] {
        Player::new(&scene.engine, again).finish().await;
    }
    let found = [
        scene.rows("SELECT ID FROM EVENTS ORDER BY ID").await,
        scene.totals().await,
        scene
            .rows("SELECT DISTINCT NEXT_OFFSET FROM SLUICEBOX_CONTROL")
            .await,
    ];
    let right = [
        vec!["0", "1", "2"],
        vec!["a 1 2.00 2", "b 1 1.00 1"],
        vec!["3"],
    ];
    (found != right).then(|| format!("{order:?}: {found:?}"))
}

/// Up to where the load comes first: its beginning and its reads change nothing.
const LOAD: [usize; 7] = [0, 2, 3, 4, 5, 6, 8];

/// Up to where the raise comes in between: nothing of it, its change, all of it. What else it has are reads and its beginning.
const RAISE: [usize; 3] = [0, 2, 5];

async fn first_damage(scene: &Scene, mutation: Mutation) -> Option<String> {
    for old in LOAD {
        for new in RAISE {
            let order = Order { old, new };
            if let Some(damage) = damage(scene, order, mutation).await {
                return Some(damage);
            }
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn in_no_order_does_a_takeover_lose_or_double_a_row() {
    let scene = Scene::new().await;
    assert_eq!(first_damage(&scene, unchanged).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_lock_or_the_fence_some_order_does_damage() {
    let scene = Scene::new().await;
    let mutations: [(&str, Mutation); 2] = [
        ("the control row not locked first", without_lock),
        ("the fence not compared", without_fence),
    ];
    for (name, mutation) in mutations {
        assert!(first_damage(&scene, mutation).await.is_some(), "{name}");
    }
}

/// What the totals are after a load up to offset 4 and then, the position set back, an old file of the first two records alone.
async fn after_an_old_file(mutation: Mutation) -> Vec<String> {
    let scene = Scene::new().await;
    let control = ControlTable::new("SLUICEBOX_CONTROL");
    let raising = control.raising(&claimed(&scene).await);
    let rows = raised(&Player::new(&scene.engine, raising).finish().await);
    let whole = load(&scene, &rows, 4).load.statements();
    Player::new(&scene.engine, whole).finish().await;
    let back = "UPDATE SLUICEBOX_CONTROL SET NEXT_OFFSET = 0";
    scene.client.execute(back).await.unwrap();
    let old = mutation(&load(&scene, &rows, 2).load.statements());
    Player::new(&scene.engine, old).finish().await;
    scene.totals().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_does_not_go_back_when_an_old_file_is_loaded_again() {
    let newest = ["a 1 2.00 2", "b 1 3.00 3"];
    assert_eq!(after_an_old_file(unchanged).await, newest);
    let backwards = after_an_old_file(without_version).await;
    assert_ne!(backwards, newest, "without the version it would");
}

/// The events after a request with two of them has run twice, under one fence: nobody remembered its id.
async fn after_a_repeated_request(mutation: Mutation) -> Vec<String> {
    let scene = Scene::new().await;
    let control = ControlTable::new("SLUICEBOX_CONTROL");
    let raising = control.raising(&claimed(&scene).await);
    let rows = raised(&Player::new(&scene.engine, raising).finish().await);
    let request = mutation(&load(&scene, &rows, 2).load.statements());
    for request in [request.clone(), request] {
        Player::new(&scene.engine, request).finish().await;
    }
    scene.rows("SELECT ID FROM EVENTS ORDER BY ID").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_runs_twice_counts_once() {
    assert_eq!(after_a_repeated_request(unchanged).await, ["0", "1"]);
    let doubled = after_a_repeated_request(without_next_offset).await;
    assert_eq!(doubled, ["0", "0", "1", "1"], "without the position");
}
