//! Every statement that was sent, under its handle and under its request id, for as long as its result may be read.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use chrono::Utc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::result::{Nulls, ResultSet};
use crate::engine::SqlError;

/// The service keeps results for 24 hours; a process that runs for days needs a bound in memory instead.
const KEPT_RUNS: usize = 5_000;

/// How a statement ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Succeeded {
        result: ResultSet,
        /// Handles of the statements of a request of several; empty otherwise.
        children: Vec<String>,
    },
    Failed(SqlError),
    TimedOut(Duration),
    Cancelled,
}

/// Whether the client waits for the result of its POST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Synchronous,
    Asynchronous,
}

/// One statement that was sent.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) handle: String,
    pub(super) request_id: String,
    pub(super) user: String,
    /// Milliseconds since the epoch.
    pub(super) created_on: i64,
    pub(super) mode: Mode,
    pub(super) nulls: Nulls,
    /// Whether the client chose the request id, and so can ask again.
    pub(super) is_named: bool,
    pub(super) cancel: CancellationToken,
    ended: watch::Receiver<Option<Arc<Outcome>>>,
}

/// The end of a [`Run`] that says how it went. Dropping it unused tells those who wait that the run was lost.
pub(super) type Ending = watch::Sender<Option<Arc<Outcome>>>;

impl Run {
    /// How it ended, if it has.
    pub(super) fn outcome(&self) -> Option<Arc<Outcome>> {
        let ended = self.ended.borrow().clone();
        // A sender that is gone without a word belonged to a thread that panicked.
        ended.or_else(|| {
            self.ended
                .has_changed()
                .is_err()
                .then(|| Arc::new(Outcome::Failed(lost())))
        })
    }

    /// Waits for the end, for at most `limit`.
    pub(super) async fn wait(&self, limit: Duration) -> Option<Arc<Outcome>> {
        let mut ended = self.ended.clone();
        // Neither a limit that has passed nor a run that was lost needs telling apart here: `outcome` knows.
        let _ = tokio::time::timeout(limit, ended.wait_for(Option::is_some)).await;
        self.outcome()
    }
}

fn lost() -> SqlError {
    SqlError {
        code: "000603".to_owned(),
        sql_state: "XX000".to_owned(),
        message: "SQL execution internal error: the statement's thread ended without a result"
            .to_owned(),
    }
}

/// Who sends a statement, and how its answer is wanted.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    pub(super) user: String,
    pub(super) request_id: Option<String>,
    /// The client says that it sends this request id again.
    pub(super) is_retry: bool,
    pub(super) mode: Mode,
    pub(super) nulls: Nulls,
    /// Handle and creation, in milliseconds since the epoch, of the same request before the server was started anew.
    pub(super) before: Option<(String, i64)>,
}

/// What became of a [`Ticket`].
pub(super) enum Admission {
    /// A statement to run.
    New(Arc<Run>, Ending),
    /// The request was seen before: nothing runs again.
    Known(Arc<Run>),
}

/// All runs of a server. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Runs {
    /// Cancelled when the server stops; every run's own token is its child.
    stop: CancellationToken,
    book: Arc<Mutex<Book>>,
}

#[derive(Debug, Default)]
struct Book {
    by_handle: HashMap<String, Arc<Run>>,
    /// (user, request id) -> handle.
    by_request: HashMap<(String, String), String>,
    oldest_first: VecDeque<String>,
}

impl Runs {
    pub(super) fn new(stop: &CancellationToken) -> Self {
        Self {
            stop: stop.child_token(),
            book: Arc::default(),
        }
    }

    /// Enters a statement, unless it is a resend of one that is known. Atomic: of two equal requests one is new.
    pub(super) fn admit(&self, ticket: Ticket) -> Admission {
        let mut book = self.book();
        if ticket.is_retry
            && let Some(request_id) = &ticket.request_id
            && let Some(run) = book.sent_before(&ticket.user, request_id)
        {
            return Admission::Known(run);
        }
        let (ending, ended) = watch::channel(None);
        let run = self.enter(&mut book, ticket, ended);
        Admission::New(run, ending)
    }

    /// Enters a statement of a request of several that has already ended well, and returns its handle.
    pub(super) fn admit_child(&self, parent: &Run, result: ResultSet) -> String {
        let outcome = Outcome::Succeeded {
            result,
            children: Vec::new(),
        };
        let (_, ended) = watch::channel(Some(Arc::new(outcome)));
        let ticket = Ticket {
            user: parent.user.clone(),
            request_id: None,
            is_retry: false,
            mode: parent.mode,
            nulls: parent.nulls,
            before: None,
        };
        self.enter(&mut self.book(), ticket, ended).handle.clone()
    }

    /// The run with this handle, if `user` sent it.
    pub(super) fn find(&self, user: &str, handle: &str) -> Option<Arc<Run>> {
        self.book()
            .by_handle
            .get(handle)
            .filter(|run| run.user == user)
            .map(Arc::clone)
    }

    /// The run with this handle, whoever sent it.
    pub(super) fn of_anybody(&self, handle: &str) -> Option<Arc<Run>> {
        self.book().by_handle.get(handle).map(Arc::clone)
    }

    /// The run that `user` sent under this request id last.
    pub(super) fn of_request(&self, user: &str, request_id: &str) -> Option<Arc<Run>> {
        self.book().sent_before(user, request_id)
    }

    /// Forgets the run with this handle, as the service does with a result that expires.
    pub(super) fn forget(&self, handle: &str) {
        let mut book = self.book();
        if let Some(run) = book.by_handle.remove(handle) {
            let request = (run.user.clone(), run.request_id.clone());
            book.by_request.remove(&request);
        }
    }

    /// Forgets the runs of this request id, whoever sent them.
    pub(super) fn forget_request(&self, request_id: &str) {
        let mut book = self.book();
        book.by_request.retain(|(_, id), _| id != request_id);
        book.by_handle.retain(|_, run| run.request_id != request_id);
    }

    /// Cancels what still runs.
    pub(super) fn cancel_all(&self) {
        self.stop.cancel();
    }

    fn enter(
        &self,
        book: &mut Book,
        ticket: Ticket,
        ended: watch::Receiver<Option<Arc<Outcome>>>,
    ) -> Arc<Run> {
        let new = || (Uuid::new_v4().to_string(), Utc::now().timestamp_millis());
        let (handle, created_on) = ticket.before.unwrap_or_else(new);
        let run = Arc::new(Run {
            handle,
            is_named: ticket.request_id.is_some(),
            request_id: ticket
                .request_id
                .unwrap_or_else(|| Uuid::new_v4().to_string()),
            user: ticket.user,
            created_on,
            mode: ticket.mode,
            nulls: ticket.nulls,
            cancel: self.stop.child_token(),
            ended,
        });
        book.forget_the_oldest();
        book.by_request.insert(
            (run.user.clone(), run.request_id.clone()),
            run.handle.clone(),
        );
        book.by_handle.insert(run.handle.clone(), Arc::clone(&run));
        book.oldest_first.push_back(run.handle.clone());
        run
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book
            .lock()
            .expect("no code panics while it holds the book of runs")
    }
}

impl Book {
    fn sent_before(&self, user: &str, request_id: &str) -> Option<Arc<Run>> {
        let handle = self
            .by_request
            .get(&(user.to_owned(), request_id.to_owned()))?;
        self.by_handle.get(handle).map(Arc::clone)
    }

    fn forget_the_oldest(&mut self) {
        while self.oldest_first.len() >= KEPT_RUNS
            && let Some(handle) = self.oldest_first.pop_front()
        {
            let Some(run) = self.by_handle.remove(&handle) else {
                continue;
            };
            let request = (run.user.clone(), run.request_id.clone());
            if self
                .by_request
                .get(&request)
                .is_some_and(|newest| *newest == handle)
            {
                self.by_request.remove(&request);
            }
        }
    }
}
