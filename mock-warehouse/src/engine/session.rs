//! Statements in, one at a time, each a grid out; a session carries the role, the names that are current and the
//! open transaction. A session that is dropped rolls back.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use tokio::{
    runtime::{self, Runtime},
    sync::Mutex,
    task::JoinSet,
};

use super::{
    Grid, Note, SqlError, StatementKind,
    access::Access,
    catalog::{Catalog, Key},
    command, ddl, dml, encode, merge, query,
    shared::Shared,
    stage, text,
    transaction::{Change, Transaction},
};

/// DataFusion plans recursively, and far deeper than a worker thread's usual 2 MiB allow; so statements run on threads
/// of their own.
static PLANNERS: LazyLock<Runtime> = LazyLock::new(|| {
    runtime::Builder::new_multi_thread()
        .thread_name("warehouse")
        .thread_stack_size(64 << 20)
        .enable_time()
        .build()
        .expect("threads can be started")
});

/// How long a statement waits for a lock unless LOCK_TIMEOUT says otherwise.
const LOCK_TIMEOUT: Duration = Duration::from_secs(43_200);

/// Who works, as what, and where.
#[derive(Debug, Clone, Default)]
pub struct SessionContext {
    /// Login name.
    pub user: String,
    /// Role; the user's default role when absent.
    pub role: Option<String>,
    /// Current database.
    pub database: Option<String>,
    /// Current schema.
    pub schema: Option<String>,
    /// Current warehouse.
    pub warehouse: Option<String>,
    /// Session parameters, e.g. `TIMEZONE`; names in upper case.
    pub parameters: BTreeMap<String, String>,
}

/// A value for a placeholder, as the SQL API sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// `FIXED`, `REAL`, `TEXT`, `BOOLEAN`, `DATE`, `TIMESTAMP_NTZ`, ...
    pub kind: String,
    /// The value, or NULL.
    pub value: Option<String>,
}

/// Values by placeholder: `"1"` for the first `?` or `:1`, a name for `:name`.
pub type Bindings = BTreeMap<String, Binding>;

/// Where a stage keeps its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageLocation {
    /// `DATABASE.SCHEMA.STAGE`
    pub name: String,
    /// The bucket of the S3 endpoint: keys of [`Engine::stage_files`](super::Engine::stage_files) begin with it.
    pub bucket: String,
    /// What the stage's objects begin with inside the bucket: empty or ending in `/`.
    pub prefix: String,
    /// Whether files in it are encrypted by the client.
    pub encryption: StageEncryption,
}

/// What a stage is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageUse {
    /// To read files.
    Read,
    /// To write files.
    Write,
}

/// Who encrypts the files of an internal stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageEncryption {
    /// The client, before it uploads (an internal stage's default).
    SnowflakeFull,
    /// The server.
    SnowflakeSse,
    /// Nobody: an external stage.
    External,
}

/// One session: run its statements one after another.
#[derive(Debug)]
pub struct Session {
    pub(super) work: Arc<Mutex<Work>>,
}

impl Session {
    pub(crate) fn new(shared: Arc<Shared>, context: SessionContext) -> Self {
        let work = Work {
            id: shared.new_id(),
            shared,
            context,
            transaction: None,
            temporaries: Catalog::default(),
        };
        Self {
            work: Arc::new(Mutex::new(work)),
        }
    }

    /// The statements of a request, without the separating semicolons; comments, quotes and `$$` are respected.
    pub fn split(sql: &str) -> Result<Vec<String>, SqlError> {
        text::split(sql)
    }

    /// What one statement does, from its first words.
    pub fn kind(sql: &str) -> StatementKind {
        text::kind(sql)
    }

    /// Runs one statement. Dropping the future cancels it; the transaction then stays as it was before.
    pub async fn execute(&mut self, sql: &str, bindings: &Bindings) -> Result<Grid, SqlError> {
        self.execute_batch(sql, std::slice::from_ref(bindings))
            .await
    }

    /// Runs an INSERT for each set of bindings, as one statement. Other statements take one set only.
    pub async fn execute_batch(
        &mut self,
        sql: &str,
        bindings: &[Bindings],
    ) -> Result<Grid, SqlError> {
        let work = Arc::clone(&self.work);
        let (sql, bindings) = (sql.to_owned(), bindings.to_vec());
        let mut running = JoinSet::new();
        running.spawn_on(
            async move { Box::pin(work.lock().await.run(&sql, &bindings)).await },
            PLANNERS.handle(),
        );
        match running.join_next().await {
            Some(Ok(result)) => result,
            Some(Err(error)) => Err(SqlError::internal(&error.to_string())),
            None => unreachable!("one task was started"),
        }
    }

    /// Whether a transaction is open.
    pub fn in_transaction(&self) -> bool {
        self.work
            .try_lock()
            .is_ok_and(|work| work.transaction.is_some())
    }

    /// Where the named stage (`@stage`, `@db.schema.stage/path`: the path is ignored) keeps its files.
    /// Asks for the privilege that the use takes.
    pub fn stage(&self, name: &str, wanted: StageUse) -> Result<StageLocation, SqlError> {
        let work = self.idle()?;
        let (catalog, access) = (work.view(), work.access());
        let place = stage::place(&catalog, &access, &work.context, name)?;
        let (to_read, to_write) = place.stage.privileges();
        let privilege = match wanted {
            StageUse::Read => to_read,
            StageUse::Write => to_write,
        };
        access.require(&catalog, &place.key, &[privilege])?;
        Ok(stage::location(&place))
    }

    /// What is current now: role, database, schema, warehouse, parameters.
    pub fn context(&self) -> SessionContext {
        self.idle()
            .map(|work| work.context.clone())
            .unwrap_or_default()
    }

    /// The session between two statements.
    fn idle(&self) -> Result<tokio::sync::MutexGuard<'_, Work>, SqlError> {
        self.work
            .try_lock()
            .map_err(|_| SqlError::internal("a statement of this session is still running"))
    }
}

/// A session at work.
#[derive(Debug)]
pub(crate) struct Work {
    /// The session's number.
    id: u64,
    pub(crate) shared: Arc<Shared>,
    pub(crate) context: SessionContext,
    pub(crate) transaction: Option<Transaction>,
    /// The session's own tables.
    pub(crate) temporaries: Catalog,
}

impl Work {
    async fn run(&mut self, sql: &str, batch: &[Bindings]) -> Result<Grid, SqlError> {
        let kind = text::kind(sql);
        let bindings = match batch {
            _ if kind == StatementKind::Insert => &Bindings::new(),
            [single] => single,
            _ => return Err(SqlError::unsupported("ARRAY BINDS OUTSIDE OF INSERT")),
        };
        let mut grid = match kind {
            StatementKind::Select => query::select(self, sql, bindings).await?,
            StatementKind::Insert => Box::pin(dml::insert(self, sql, batch)).await?,
            StatementKind::Update => dml::update(self, sql, bindings).await?,
            StatementKind::Delete => dml::delete(self, sql, bindings).await?,
            StatementKind::Truncate => dml::truncate(self, sql).await?,
            StatementKind::Merge => Box::pin(merge::merge(self, sql, bindings)).await?,
            StatementKind::Begin => {
                self.transaction.get_or_insert_default();
                encode::status("Statement executed successfully.")
            }
            StatementKind::Commit => {
                self.commit()?;
                encode::status("Statement executed successfully.")
            }
            StatementKind::Rollback => {
                self.transaction = None;
                encode::status("Statement executed successfully.")
            }
            StatementKind::Ddl | StatementKind::Grant => {
                self.commit()?;
                ddl::run(self, sql, bindings).await?
            }
            StatementKind::Put | StatementKind::Get => {
                return Err(SqlError::unsupported("FILE TRANSFER"));
            }
            _ => command::run(self, sql).await?,
        };
        grid.kind = kind;
        Ok(grid)
    }

    pub(crate) fn access(&self) -> Access {
        Access::new(self.context.role.as_deref().unwrap_or("PUBLIC"))
    }

    /// What a statement that begins now sees: what is committed, and the changes of its own transaction.
    pub(crate) fn view(&self) -> Arc<Catalog> {
        let committed = self.shared.snapshot();
        let changed = self
            .transaction
            .as_ref()
            .filter(|transaction| !transaction.is_empty());
        if changed.is_none() && self.temporaries.objects.is_empty() {
            return committed;
        }
        let mut catalog = Catalog::clone(&committed);
        for (key, object) in &self.temporaries.objects {
            catalog.objects.insert(key.clone(), object.clone());
        }
        if let Some(transaction) = changed {
            transaction.apply(&mut catalog);
        }
        Arc::new(catalog)
    }

    /// Commits what is open, if anything.
    pub(crate) fn commit(&mut self) -> Result<(), SqlError> {
        self.commit_with(None)
    }

    /// Commits what is open, if anything, and with it the note.
    pub(super) fn commit_with(&mut self, note: Option<Note>) -> Result<(), SqlError> {
        if let Some(transaction) = self.transaction.take()
            && !transaction.is_empty()
        {
            self.keep(&transaction, note)?;
        }
        Ok(())
    }

    /// Makes changes last: of the warehouse's tables for all, and with them the note; of the session's own for it.
    fn keep(&mut self, transaction: &Transaction, note: Option<Note>) -> Result<(), SqlError> {
        transaction.apply(&mut self.temporaries);
        if transaction.touches_only(|key| self.temporaries.objects.contains_key(key)) {
            return Ok(());
        }
        self.shared.change(|catalog| {
            transaction.apply(catalog);
            if let Some(note) = note {
                catalog.add_note(note);
            }
            Ok(())
        })
    }

    /// Waits for the table's lock and holds it until the transaction ends. Outside of a transaction one begins that
    /// [`Work::finish`] ends.
    pub(crate) async fn lock(
        &mut self,
        table_id: u64,
        name: &str,
    ) -> Result<StatementLock, SqlError> {
        if self
            .transaction
            .as_ref()
            .is_some_and(|transaction| transaction.holds(table_id))
        {
            return Ok(StatementLock(None));
        }
        let wait = self
            .context
            .parameters
            .get("LOCK_TIMEOUT")
            .and_then(|seconds| seconds.parse().ok())
            .map_or(LOCK_TIMEOUT, Duration::from_secs);
        let lock = self.shared.lock_of(table_id);
        let locked = if let Ok(guard) = Arc::clone(&lock).try_lock_owned() {
            Ok(guard)
        } else {
            let waits = &self.shared.waits;
            if !waits.begin(self.id, table_id) {
                return Err(deadlocked(name));
            }
            let _waiting = Waiting(&self.shared, self.id);
            tokio::time::timeout(wait, lock.lock_owned()).await
        };
        let Ok(guard) = locked else {
            return Err(SqlError::new(
                "000625",
                "57014",
                format!(
                    "Statement has waited for the lock on table '{name}' longer than LOCK_TIMEOUT and was aborted."
                ),
            ));
        };
        self.shared.waits.holds(self.id, table_id);
        Ok(match &mut self.transaction {
            Some(transaction) => {
                transaction.hold(table_id, guard);
                StatementLock(None)
            }
            None => StatementLock(Some(guard)),
        })
    }

    /// Keeps what a statement changed: in the open transaction, or at once.
    pub(crate) fn finish(&mut self, table: &Key, change: Change) -> Result<(), SqlError> {
        if change.is_empty() {
            return Ok(());
        }
        match &mut self.transaction {
            Some(transaction) => {
                transaction.record(table, change);
                Ok(())
            }
            None => {
                let mut single = Transaction::default();
                single.record(table, change);
                self.keep(&single, None)
            }
        }
    }
}

/// A session that waits for a lock, until this is dropped: also when the statement is cancelled meanwhile.
struct Waiting<'a>(&'a Shared, u64);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waits.end(self.1);
    }
}

/// What the statement is told that closes a circle of sessions that wait for each other. Nobody here has recorded the real words.
fn deadlocked(table: &str) -> SqlError {
    SqlError::new(
        "000625",
        "57014",
        format!(
            "Statement was aborted: it is part of a deadlock, waiting for the lock on table '{table}'."
        ),
    )
}

/// The lock of a statement outside of a transaction; the transaction holds it otherwise.
#[derive(Debug)]
#[must_use = "the lock is free when this is dropped"]
pub(crate) struct StatementLock(
    #[expect(dead_code, reason = "held, not read")] Option<tokio::sync::OwnedMutexGuard<()>>,
);
