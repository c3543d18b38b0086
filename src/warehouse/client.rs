//! Statements to the server, answers back. Every call is tried again while the reason is a passing one, under the same
//! request id, so that a lost reply never makes a statement run twice.
//!
//! | reply | what is made of it |
//! |---|---|
//! | 200 | the answer; further partitions and the answers of several statements are fetched |
//! | 202 | asked for again, less and less often, until the statement's own time limit is over |
//! | 401 | [`Error::Unauthorized`], with the statement that registers the key |
//! | 429, 500, 502, 503, 504, no reply | [`Error::Unavailable`], tried again; `Retry-After` is kept to |
//! | anything else | [`Error::Rejected`], with the server's code and message |

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures::future::try_join_all;
use rand::{SeedableRng, rngs::StdRng};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout},
};
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

use super::{
    Answer, Binding, Config, Error, RequestId,
    answer::{PartitionData, ResultSet},
    auth::Clock,
    retry::{Backoff, retrying},
    statement::{Body, Session},
    transport::{Success, Transport, parse},
};
use crate::keys::KeyPair;

/// Where statements go.
pub(super) const STATEMENTS: &str = "/api/v2/statements";

/// The server stops a statement at its time limit; what goes on that much longer is not waited for.
const GRACE: Duration = Duration::from_secs(60);

/// The answers of several statements that are read at once: few, because requests are limited in number.
const ANSWERS_AT_ONCE: usize = 4;

/// First and longest wait between two tries, or between two looks at a running statement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) first: Duration,
    pub(super) longest: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(200),
            longest: Duration::from_secs(10),
        }
    }
}

/// Speaks to one account as one user. Clones share the connections and the token; any number of calls may run at once.
#[derive(Clone)]
pub struct Client {
    pub(super) transport: Arc<Transport>,
    pub(super) session: Session,
    statement_timeout: Duration,
    retry_for: Duration,
    pub(super) pace: Pace,
    /// Cancellations on their way.
    cancellations: TaskTracker,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("url", &self.transport.url())
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// What the server says about a statement.
enum Reply {
    Done(ResultSet),
    Running { handle: String },
}

impl Client {
    /// A client for the account of this configuration. Nothing is sent yet.
    pub fn new(config: &Config, pair: &KeyPair) -> Result<Self, Error> {
        Self::with_clock(config, pair, Arc::new(SystemTime::now))
    }

    pub(super) fn with_clock(config: &Config, pair: &KeyPair, clock: Clock) -> Result<Self, Error> {
        config.validate()?;
        Ok(Self {
            transport: Arc::new(Transport::new(config, pair, clock)?),
            session: Session {
                database: config.database.to_ascii_uppercase(),
                schema: config.schema.to_ascii_uppercase(),
                warehouse: config.warehouse.to_ascii_uppercase(),
                role: config.role.to_ascii_uppercase(),
            },
            statement_timeout: config.statement_timeout,
            retry_for: config.retry_for,
            pace: Pace::default(),
            cancellations: TaskTracker::new(),
        })
    }

    /// The same client, for statements that run as another role.
    pub fn with_role(&self, role: &str) -> Self {
        let mut client = self.clone();
        client.session.role = role.to_ascii_uppercase();
        client
    }

    /// The same client, for a caller that tries again itself: every call is tried once.
    pub fn without_retries(&self) -> Self {
        let mut client = self.clone();
        client.retry_for = Duration::ZERO;
        client
    }

    /// Runs one statement and reads its whole answer.
    pub async fn execute(&self, sql: &str) -> Result<Answer, Error> {
        self.execute_with(sql, &[]).await
    }

    /// Runs one statement with a value for each `?`.
    pub async fn execute_with(&self, sql: &str, bindings: &[Binding]) -> Result<Answer, Error> {
        let body = Body::new(sql, 1, bindings, &self.session, self.statement_timeout);
        let result = self.submit(&body, &RequestId::new()).await?;
        self.complete(result).await
    }

    /// Runs statements in one request, hence in one session, and reads all their answers, in order.
    ///
    /// They are one transaction only between a `BEGIN` and a `COMMIT` among them. No statement ends in a comment. A
    /// caller that makes the same call again, because it never learnt what became of it, gives the same `request`.
    pub async fn execute_all(
        &self,
        statements: &[String],
        request: RequestId,
    ) -> Result<Vec<Answer>, Error> {
        if statements.is_empty() {
            return Ok(Vec::new());
        }
        let sql = statements.join(";\n");
        let body = Body::new(
            &sql,
            statements.len(),
            &[],
            &self.session,
            self.statement_timeout,
        );
        let result = self.submit(&body, &request).await?;
        if statements.len() == 1 {
            return Ok(vec![self.complete(result).await?]);
        }
        let handles = &result.statement_handles;
        if handles.len() != statements.len() {
            let reason = format!(
                "{} statements have {} handles",
                statements.len(),
                handles.len()
            );
            return Err(Error::Unreadable { reason });
        }
        let mut answers = Vec::with_capacity(handles.len());
        for some in handles.chunks(ANSWERS_AT_ONCE) {
            answers.extend(try_join_all(some.iter().map(|handle| self.answer_of(handle))).await?);
        }
        Ok(answers)
    }

    /// Sends a request until the server has it, then waits until it is done.
    async fn submit(&self, body: &Body<'_>, request: &RequestId) -> Result<ResultSet, Error> {
        let reply = self
            .retrying(|| {
                let mut path = format!("{STATEMENTS}?requestId={}", request.id());
                if request.mark_sent() {
                    path.push_str("&retry=true");
                }
                let post = self.transport.request(Method::POST, &path);
                self.ask("submitting a statement", post.json(body))
            })
            .await?;
        self.wait_for(reply).await
    }

    /// The whole answer of one among several statements.
    async fn answer_of(&self, handle: &str) -> Result<Answer, Error> {
        let reply = self.look_at(handle).await?;
        let result = self.wait_for(reply).await?;
        self.complete(result).await
    }

    async fn look_at(&self, handle: &str) -> Result<Reply, Error> {
        let path = format!("{STATEMENTS}/{handle}");
        self.retrying(|| {
            let get = self.transport.request(Method::GET, &path);
            self.ask("reading an answer", get)
        })
        .await
    }

    async fn wait_for(&self, mut reply: Reply) -> Result<ResultSet, Error> {
        let start = Instant::now();
        let mut delays = self.backoff();
        let mut running = RunningStatement::none(self);
        loop {
            let handle = match reply {
                Reply::Done(result) => {
                    running.handle = None;
                    return Ok(result);
                }
                Reply::Running { handle } => handle,
            };
            running.handle = Some(handle.clone());
            let waited = start.elapsed();
            if waited > self.statement_timeout + GRACE {
                // Its own time limit ends it, or the caller comes back under the same id.
                running.handle = None;
                return Err(Error::StillRunning { handle, waited });
            }
            sleep(delays.next().unwrap_or(self.pace.longest)).await;
            let looked = self.look_at(&handle).await;
            if looked.is_err() {
                // It has failed, or the caller comes back under the same id and finds it going on.
                running.handle = None;
            }
            reply = looked?;
        }
    }

    /// Waits until the statements that nobody waits for any more are cancelled, but no longer than `limit`. A program that is about
    /// to end calls it, since what is on its way ends with it.
    pub async fn await_cancellations(&self, limit: Duration) {
        self.cancellations.close();
        // A statement that cannot be cancelled in time ends by its own time limit.
        let _ = timeout(limit, self.cancellations.wait()).await;
        self.cancellations.reopen();
    }

    /// Stops a statement, as far as that works.
    async fn cancel(&self, handle: &str) {
        let path = format!("{STATEMENTS}/{handle}/cancel");
        let post = self.transport.request(Method::POST, &path);
        match self
            .transport
            .exchange("cancelling a statement", post)
            .await
        {
            Ok(_) => info!(
                handle,
                "a statement that nobody waits for any more is cancelled"
            ),
            Err(error) => debug!(handle, %error, "a statement cannot be cancelled"),
        }
    }

    /// Reads the partitions after the first.
    async fn complete(&self, mut result: ResultSet) -> Result<Answer, Error> {
        for partition in 1..result.metadata.partition_info.len() {
            let handle = &result.statement_handle;
            let path = format!("{STATEMENTS}/{handle}?partition={partition}");
            let body = self
                .retrying(|| {
                    let get = self.transport.request(Method::GET, &path);
                    self.transport.exchange("reading an answer", get)
                })
                .await?;
            let part: PartitionData = parse(&body.content)?;
            result.data.extend(part.data);
        }
        result.into_answer()
    }

    async fn ask(&self, call: &'static str, request: RequestBuilder) -> Result<Reply, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Running {
            statement_handle: String,
        }
        let body: Success = self.transport.exchange(call, request).await?;
        if body.status == StatusCode::ACCEPTED {
            let Running {
                statement_handle: handle,
            } = parse(&body.content)?;
            return Ok(Reply::Running { handle });
        }
        parse(&body.content).map(Reply::Done)
    }

    /// Makes a call again while it fails for a passing reason, as long as this client is to.
    pub(super) async fn retrying<T, F: Future<Output = Result<T, Error>>>(
        &self,
        call: impl FnMut() -> F,
    ) -> Result<T, Error> {
        retrying(self.retry_for, self.backoff(), call).await
    }

    fn backoff(&self) -> Backoff<StdRng> {
        Backoff::new(self.pace.first, self.pace.longest, StdRng::from_os_rng())
    }
}

/// A statement that the server works on. When nobody waits for it any more, it is cancelled: it would hold its locks, and cost
/// money, until its own time limit.
struct RunningStatement<'a> {
    client: &'a Client,
    handle: Option<String>,
}

impl<'a> RunningStatement<'a> {
    fn none(client: &'a Client) -> Self {
        let handle = None;
        Self { client, handle }
    }
}

impl Drop for RunningStatement<'_> {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take()
            && let Ok(runtime) = Handle::try_current()
        {
            let client = self.client.without_retries();
            let cancel = async move { client.cancel(&handle).await };
            self.client.cancellations.spawn_on(cancel, &runtime);
        }
    }
}
