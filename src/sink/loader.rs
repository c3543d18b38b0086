//! What is sent: fences to be raised, and loads with their files. Knows nothing of what waits; any number of tries of the same
//! load do the same or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::{debug, warn};

use super::SinkError;
use super::control::{Bound, BoundError, ControlRow};
use super::literal::text;
use super::load::{Load, Objects, Outcome};
use crate::broker::{NextOffset, Partition};
use crate::crash;
use crate::warehouse::stage::Stage;
use crate::warehouse::{Answer, Client, Error, RequestId};

/// How often files that the warehouse does not find are written again, before that counts as an error.
const MOST_UPLOADS: u32 = 4;

/// Between two looks at whether a target table was replaced.
pub(super) const BETWEEN_LOOKS: Duration = Duration::from_secs(600);

/// The id under which something is asked for, until it is known what became of that request.
struct Request(Mutex<RequestId>);

impl Request {
    fn new() -> Self {
        Self(Mutex::new(RequestId::new()))
    }

    fn id(&self) -> RequestId {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// After a failure. When the warehouse has said that the request failed, it would say so again under the same id; when nobody
    /// knows, the id is what keeps it from running twice.
    fn failed(&self, failure: &Error) {
        if matches!(failure, Error::Rejected { .. }) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = RequestId::new();
        }
    }
}

/// Partitions that are to be taken over from whoever had them.
pub struct Claim {
    /// Each with where it begins, what its topic is (see [`Bound`]) and the table that it is loaded into.
    pub(super) partitions: Vec<Claimed>,
    request: Request,
}

/// One partition of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claimed {
    pub(super) at: Partition,
    /// Where the partition begins: at the first claim of all, loading begins there.
    pub(super) low: NextOffset,
    pub(super) source: String,
    pub(super) table: String,
}

impl Claim {
    pub(super) fn new(partitions: Vec<Claimed>) -> Self {
        let request = Request::new();
        Self {
            partitions,
            request,
        }
    }
}

/// What was found out about the target tables.
#[derive(Default)]
pub(super) struct Targets {
    /// When each was created, as the warehouse writes it.
    created: BTreeMap<String, String>,
    pub(super) looked: Option<Instant>,
}

/// A load with its files.
pub struct Pending {
    pub(super) load: Load,
    pub(super) files: Vec<(String, Bytes)>,
    pub(super) newest_record_ms: i64,
    request: Request,
    /// Whether the files were written to the stage.
    pub(super) staged: AtomicBool,
}

impl Pending {
    pub(super) fn new(load: Load, files: Vec<(String, Bytes)>, newest_record_ms: i64) -> Self {
        Self {
            load,
            files,
            newest_record_ms,
            request: Request::new(),
            staged: AtomicBool::new(false),
        }
    }
}

/// What a load did.
#[derive(Debug)]
pub struct Loaded {
    /// To each partition, in the order of the tables and files.
    pub outcomes: Vec<(Partition, Outcome)>,
    /// From the first byte sent to the transaction's end.
    pub took: Duration,
}

/// Sends loads. Clones share the connections.
#[derive(Clone)]
pub struct Loader {
    client: Client,
    stage: Arc<Stage>,
    objects: Objects,
    pub(super) targets: Arc<Mutex<Targets>>,
}

impl Loader {
    /// Nothing is sent yet. Every call is one try: the caller tries again, and for ever.
    pub(super) fn new(client: &Client, stage: Stage, objects: Objects) -> Self {
        Self {
            client: client.without_retries(),
            stage: Arc::new(stage),
            objects,
            targets: Arc::default(),
        }
    }

    pub(super) fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Waits until the loads that nobody waits for any more are cancelled, but no longer than `limit`.
    pub(super) async fn await_cancellations(&self, limit: Duration) {
        self.client.await_cancellations(limit).await;
    }

    /// Raises the fences of these partitions, and says where the warehouse stands in each.
    pub async fn raise(&self, claim: &Claim) -> Result<Vec<ControlRow>, SinkError> {
        let tables = claim.partitions.iter().map(|claimed| &claimed.table);
        let created = self.created(tables.cloned().collect()).await?;
        let bound = |claimed: &Claimed| {
            let bound = Bound {
                low: claimed.low,
                source: claimed.source.clone(),
                target: created[&claimed.table].clone(),
            };
            (claimed.at.clone(), bound)
        };
        let claimed: Vec<_> = claim.partitions.iter().map(bound).collect();
        crash::point("sink", "fence.before");
        let control = &self.objects.control;
        let raised = control
            .raise(&self.client, &claimed, claim.request.id())
            .await;
        if let Err(SinkError::Warehouse { source, .. }) = &raised {
            claim.request.failed(source);
        }
        crash::point("sink", "fence.after");
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if raised.is_ok() {
            targets.created.extend(created);
            targets.looked = Some(Instant::now());
        }
        raised
    }

    /// When these tables were created.
    async fn created(
        &self,
        tables: BTreeSet<String>,
    ) -> Result<BTreeMap<String, String>, SinkError> {
        let answer = self
            .client
            .execute(&created_at(&tables))
            .await
            .map_err(|source| SinkError::Warehouse {
                call: "looking at the tables",
                source,
            })?;
        let mut found = BTreeMap::new();
        for row in &answer.rows {
            if let [Some(table), Some(created)] = row.as_slice() {
                found.insert(table.clone(), created.clone());
            }
        }
        match tables.into_iter().find(|table| !found.contains_key(table)) {
            None => Ok(found),
            Some(table) => Err(SinkError::NoTarget { table }),
        }
    }

    /// Before a load, once in a while: whether the tables are still those whose fences were raised.
    async fn look_at_targets(&self, pending: &Pending) -> Result<(), SinkError> {
        let known = {
            let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
            let lately = targets.looked.is_none_or(|at| at.elapsed() < BETWEEN_LOOKS);
            if lately || pending.load.tables.is_empty() {
                return Ok(());
            }
            targets.created.clone()
        };
        let tables = pending.load.tables.iter();
        let tables = tables.map(|load| load.table.name().to_owned()).collect();
        let created = self.created(tables).await?;
        for load in &pending.load.tables {
            let table = load.table.name();
            if let (Some(before), Some(now)) = (known.get(table), created.get(table))
                && before != now
            {
                let file = load.files.first().expect("a load of a table has a file");
                let at = Partition {
                    topic: load.table.topic().to_owned(),
                    number: file.partition,
                };
                return Err(BoundError::replaced(at, before, now).into());
            }
        }
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.looked = Some(Instant::now());
        Ok(())
    }

    /// Stages the files, unless they are, and does the load. After an error that is transient the same call, made again, does
    /// the same load, under the same request id as long as nobody knows what became of it.
    pub async fn load(&self, pending: &Pending) -> Result<Loaded, SinkError> {
        let start = Instant::now();
        self.look_at_targets(pending).await?;
        let answers = self.answers(pending).await?;
        crash::point("sink", "reply.after");
        let outcomes = pending.load.outcomes(&answers)?;
        let took = start.elapsed();
        let loaded = outcomes.iter().zip(&pending.files);
        let done: Vec<String> = loaded
            .filter(|((_, outcome), _)| *outcome != Outcome::Fenced)
            .map(|(_, (path, _))| path.clone())
            .collect();
        if let Some(reason) = self.stage.remove_all(&done).await {
            warn!(files = done.len(), reason, "loaded files stay on the stage");
        }
        Ok(Loaded { outcomes, took })
    }

    async fn answers(&self, pending: &Pending) -> Result<Vec<Answer>, SinkError> {
        let statements = pending.load.statements();
        let mut uploads = 0;
        loop {
            if !pending.staged.load(Ordering::Relaxed) {
                crash::point("sink", "upload.before");
                self.stage.put_all(&pending.files).await?;
                pending.staged.store(true, Ordering::Relaxed);
                crash::point("sink", "upload.after");
                uploads += 1;
            }
            crash::point("sink", "request.before");
            let request = pending.request.id();
            let failure = match self.client.execute_all(&statements, request).await {
                Ok(answers) => return Ok(answers),
                Err(failure) => failure,
            };
            pending.request.failed(&failure);
            if !failure.says_rows_are_missing() {
                return Err(SinkError::Warehouse {
                    call: "the load",
                    source: failure.without_values(),
                });
            }
            // Somebody cleaned the stage, or another sink with the same file loaded it and removed it.
            debug!(error = %failure, "staged files are not what was written, writing them again");
            pending.staged.store(false, Ordering::Relaxed);
            self.stage.forget_place().await;
            if uploads >= MOST_UPLOADS {
                return Err(self.what_is_missing(pending, failure).await);
            }
        }
    }

    /// The first file that the warehouse does not see as it was written.
    async fn what_is_missing(&self, pending: &Pending, failure: Error) -> SinkError {
        for file in pending.load.tables.iter().flat_map(|load| &load.files) {
            let counted = self
                .client
                .execute(&self.objects.count_rows(&file.path))
                .await;
            let seen = match counted {
                Ok(answer) => first_cell(&answer).unwrap_or_else(|| "no".to_owned()),
                Err(error) if error.says_rows_are_missing() => "no".to_owned(),
                Err(source) => {
                    let call = "reading the stage";
                    return SinkError::Warehouse { call, source };
                }
            };
            if seen.parse() != Ok(file.rows) {
                return SinkError::NotOnStage {
                    stage: self.objects.stage.clone(),
                    path: file.path.clone(),
                    seen,
                    written: file.rows,
                };
            }
        }
        SinkError::Warehouse {
            call: "the load",
            source: failure,
        }
    }
}

/// The statement that asks when tables were created.
fn created_at(tables: &BTreeSet<String>) -> String {
    let names: Vec<String> = tables.iter().map(|table| text(table)).collect();
    format!(
        "SELECT TABLE_NAME, CREATED FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = CURRENT_SCHEMA() AND TABLE_NAME IN ({})",
        names.join(", ")
    )
}

fn first_cell(answer: &Answer) -> Option<String> {
    answer.rows.first()?.first()?.clone()
}
