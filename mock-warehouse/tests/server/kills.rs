//! The program is killed again and again while clients load: what was acknowledged is there, once, and nothing is half there.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::{Error, ObjectStoreExt, RetryConfig};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::{ACCOUNT, KEY, ROLE, USER, token};

const KILLS: u64 = 100;

/// Clients that load at once, beside the one that stages files.
const LOADERS: u64 = 2;

/// Rows of one transaction.
const ROWS: u64 = 5;

/// A program that serves the folder.
struct Program {
    child: Child,
    origin: String,
    /// Open for as long as the program lives: it would die of writing to nobody.
    _output: Lines<BufReader<ChildStdout>>,
}

/// What the clients know by their own account.
#[derive(Default)]
struct Known {
    last_batch: u64,
    /// Answered with success.
    acknowledged: Vec<u64>,
    /// Sent and never answered: batch, its loader, its request id.
    unanswered: Vec<(u64, u64, Uuid)>,
    /// Staged files: number -> whether the upload was answered.
    files: BTreeMap<u64, bool>,
    resent: usize,
    /// Sent again although they were committed: the reply alone was lost.
    resent_after_commit: usize,
}

impl Program {
    fn start(folder: &Path, faults: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mock-warehouse"))
            .args(["--listen", "127.0.0.1:0", "--account", ACCOUNT])
            .args(["--user", USER, "--role", ROLE])
            .arg("--public-key-file")
            .arg(folder.join("user.pem"))
            .arg("--data")
            .arg(folder.join("data"))
            .args(faults)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let origin = loop {
            let line = lines.next().expect("it starts").unwrap();
            if let Some(url) = line.strip_prefix("url = ") {
                break url.trim_matches('"').to_owned();
            }
        };
        Self {
            child,
            origin,
            _output: lines,
        }
    }

    /// As `kill -9`.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn client(&self) -> Client {
        Client {
            http: reqwest::Client::new(),
            url: format!("{}/api/v2/statements", self.origin),
            token: token(),
        }
    }

    fn stage(&self) -> AmazonS3 {
        AmazonS3Builder::new()
            .with_endpoint(&self.origin)
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_bucket_name("sluicebox")
            .with_access_key_id("mock-access-key")
            .with_secret_access_key("mock-secret-key")
            .with_retry(RetryConfig {
                max_retries: 0,
                ..RetryConfig::default()
            })
            .build()
            .unwrap()
    }
}

#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Client {
    /// Runs statements; `None` when the server has gone meanwhile.
    async fn send(&self, query: &str, statements: &str) -> Option<Value> {
        let body = json!({"statement": statements, "role": ROLE, "warehouse": "COMPUTE_WH",
            "database": "DB", "schema": "S", "parameters": {"MULTI_STATEMENT_COUNT": "0"}});
        let request = self.http.post(format!("{}{query}", self.url));
        let answer = request
            .bearer_auth(&self.token)
            .json(&body)
            .send()
            .await
            .ok()?;
        let status = answer.status();
        let body: Value = answer.json().await.ok()?;
        assert_eq!(status, 200, "{body}");
        Some(body)
    }

    async fn rows(&self, select: &str) -> Vec<Vec<u64>> {
        let answer = self.send("", select).await.unwrap();
        let cell = |cell: &Value| cell.as_str().unwrap().parse().unwrap();
        let row = |row: &Value| row.as_array().unwrap().iter().map(cell).collect();
        answer["data"].as_array().unwrap().iter().map(row).collect()
    }

    async fn load(&self, batch: u64, loader: u64, query: &str) -> Option<Value> {
        let rows: Vec<String> = (0..ROWS)
            .map(|row| format!("({batch}, {loader}, {row})"))
            .collect();
        // Neither of the two would be right twice.
        let statements = format!(
            "BEGIN; INSERT INTO log VALUES {}; \
             MERGE INTO totals USING (SELECT {loader} AS loader) s ON totals.loader = s.loader \
             WHEN MATCHED THEN UPDATE SET n = totals.n + {ROWS} WHEN NOT MATCHED THEN INSERT (loader, n) VALUES ({loader}, {ROWS}); \
             COMMIT",
            rows.join(", ")
        );
        self.send(query, &statements).await
    }
}

/// Loads batch after batch until the server is gone; first what was not answered, every second of it.
async fn loader(client: Client, loader: u64, known: Arc<Mutex<Known>>) {
    let due: Vec<(u64, u64, Uuid)> = {
        let known = known.lock().unwrap();
        let mine = known
            .unanswered
            .iter()
            .filter(|(batch, by, _)| *by == loader && batch % 2 == 0);
        mine.copied().collect()
    };
    for (batch, loader, id) in due {
        let was_there = format!("SELECT COUNT(*) FROM log WHERE batch = {batch}");
        let Some(was_there) = client.send("", &was_there).await else {
            return;
        };
        let query = format!("?requestId={id}&retry=true");
        if client.load(batch, loader, &query).await.is_none() {
            return;
        }
        let mut known = known.lock().unwrap();
        known.resent += 1;
        known.resent_after_commit += usize::from(was_there["data"][0][0] != "0");
        known.unanswered.retain(|(other, _, _)| *other != batch);
        known.acknowledged.push(batch);
    }
    loop {
        let (batch, id) = {
            let mut known = known.lock().unwrap();
            known.last_batch += 1;
            let (batch, id) = (known.last_batch, Uuid::new_v4());
            known.unanswered.push((batch, loader, id));
            (batch, id)
        };
        if client
            .load(batch, loader, &format!("?requestId={id}"))
            .await
            .is_none()
        {
            return;
        }
        let mut known = known.lock().unwrap();
        known.unanswered.retain(|(other, _, _)| *other != batch);
        known.acknowledged.push(batch);
    }
}

fn content(file: u64) -> Vec<u8> {
    let size = usize::try_from(file * 7919 % 200_000).unwrap();
    file.to_le_bytes()
        .into_iter()
        .cycle()
        .take(size + 1)
        .collect()
}

/// Stages file after file until the server is gone.
async fn stager(stage: AmazonS3, known: Arc<Mutex<Known>>) {
    loop {
        let file = {
            let mut known = known.lock().unwrap();
            let file = known.files.len() as u64;
            known.files.insert(file, false);
            file
        };
        let key = Key::from(format!("run/{file}"));
        if stage.put(&key, content(file).into()).await.is_err() {
            return;
        }
        known.lock().unwrap().files.insert(file, true);
    }
}

/// Everything acknowledged is there, wholly and once; what is not acknowledged is there wholly or not at all.
async fn verify(program: &Program, known: &Known) {
    let client = program.client();
    let batches = client
        .rows("SELECT batch, COUNT(*), COUNT(DISTINCT line), MIN(loader) FROM log GROUP BY batch ORDER BY batch")
        .await;
    let mut sums: BTreeMap<u64, u64> = BTreeMap::new();
    for row in &batches {
        assert_eq!(
            row[1..3],
            [ROWS, ROWS],
            "batch {} is half there, or twice",
            row[0]
        );
        *sums.entry(row[3]).or_default() += ROWS;
    }
    let found: Vec<u64> = batches.iter().map(|row| row[0]).collect();
    for batch in &known.acknowledged {
        assert!(found.binary_search(batch).is_ok(), "batch {batch} is lost");
    }
    let totals = client
        .rows("SELECT loader, n FROM totals ORDER BY loader")
        .await;
    let expected: Vec<Vec<u64>> = sums
        .into_iter()
        .map(|(loader, sum)| vec![loader, sum])
        .collect();
    assert_eq!(totals, expected, "the two tables of a transaction differ");
    let stage = program.stage();
    for (file, acknowledged) in &known.files {
        match stage.get(&Key::from(format!("run/{file}"))).await {
            Ok(found) => assert!(
                found.bytes().await.unwrap() == content(*file),
                "file {file} is half there"
            ),
            Err(Error::NotFound { .. }) => assert!(!acknowledged, "file {file} is lost"),
            Err(error) => panic!("file {file}: {error}"),
        }
    }
}

async fn set_up(folder: &Path) {
    std::fs::write(folder.join("user.pem"), &KEY.public_pem).unwrap();
    let engine = mock_warehouse::engine::Engine::open(&folder.join("data")).unwrap();
    let mut admin = engine.admin();
    for sql in [
        "CREATE DATABASE DB",
        "CREATE SCHEMA DB.S",
        "CREATE TABLE DB.S.log (batch NUMBER, loader NUMBER, line NUMBER)",
        "CREATE TABLE DB.S.totals (loader NUMBER, n NUMBER)",
        &format!("CREATE ROLE {ROLE}"),
        &format!("GRANT USAGE ON WAREHOUSE COMPUTE_WH TO ROLE {ROLE}"),
        &format!("GRANT USAGE ON DATABASE DB TO ROLE {ROLE}"),
        &format!("GRANT USAGE ON SCHEMA DB.S TO ROLE {ROLE}"),
        &format!("GRANT ALL ON TABLE DB.S.log TO ROLE {ROLE}"),
        &format!("GRANT ALL ON TABLE DB.S.totals TO ROLE {ROLE}"),
    ] {
        let ended = admin.execute(sql, &Default::default()).await;
        ended.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_kills_lose_nothing_and_leave_nothing_half_done() {
    let began = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    set_up(folder.path()).await;
    let known = Arc::new(Mutex::new(Known::default()));
    let (mut rows, mut files, mut cut_off) = (0, 0, 0);
    for round in 0..=KILLS {
        // In some rounds replies come too late to come at all: what was committed was not acknowledged.
        let faults: &[&str] = match round % 4 {
            1 if round % 10 != 0 => &["--fault", "delay:60@submit+2"],
            _ => &[],
        };
        let program = Program::start(folder.path(), faults);
        // Now and then all is counted and begun anew: thousands of parts would only slow the starts down.
        if round % 10 == 0 {
            let state = std::mem::take(&mut *known.lock().unwrap());
            verify(&program, &state).await;
            rows += state.acknowledged.len() as u64 * ROWS;
            files += state
                .files
                .values()
                .filter(|acknowledged| **acknowledged)
                .count();
            program
                .client()
                .send("", "TRUNCATE TABLE log; TRUNCATE TABLE totals")
                .await
                .unwrap();
            let fresh = Known {
                last_batch: state.last_batch,
                resent: state.resent,
                resent_after_commit: state.resent_after_commit,
                ..Known::default()
            };
            *known.lock().unwrap() = fresh;
            remove_files(&program, &state).await;
        }
        if round == KILLS {
            program.kill();
            break;
        }
        let mut clients = JoinSet::new();
        for number in 0..LOADERS {
            clients.spawn(loader(program.client(), number, Arc::clone(&known)));
        }
        clients.spawn(stager(program.stage(), Arc::clone(&known)));
        // A different moment each time: in a statement, in a commit, in between.
        let wait = match faults {
            [] => Duration::from_millis(60 + round * 37 % 240),
            _ => Duration::from_millis(400),
        };
        tokio::time::sleep(wait).await;
        program.kill();
        while let Some(ended) = clients.join_next().await {
            ended.unwrap();
        }
        cut_off += known.lock().unwrap().unanswered.len();
    }
    let (resent, after_commit) = {
        let known = known.lock().unwrap();
        (known.resent, known.resent_after_commit)
    };
    println!(
        "{KILLS} kills in {:.0?}: {rows} rows and {files} files acknowledged, none lost, none half there; {resent} transactions sent \
         again under their request ids, {after_commit} of them committed before, none twice",
        began.elapsed()
    );
    assert!(rows > 0 && files > 0 && resent > 0 && after_commit > 0 && cut_off > 0);
}

async fn remove_files(program: &Program, state: &Known) {
    let stage = program.stage();
    for file in state.files.keys() {
        match stage.delete(&Key::from(format!("run/{file}"))).await {
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(error) => panic!("file {file}: {error}"),
        }
    }
}
