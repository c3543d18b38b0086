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

use bytes::Bytes;
use futures::future::try_join_all;
use rand::{SeedableRng, rngs::StdRng};
use reqwest::{RequestBuilder, StatusCode, header, redirect};
use secrecy::ExposeSecret;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::{Instant, sleep};

use super::{
    Answer, Binding, Config, Error, RequestId,
    answer::{PartitionData, ResultSet},
    auth::{Authenticator, Clock},
    error::one_line,
    retry::{Backoff, retrying},
    statement::{Body, Session},
};
use crate::keys::KeyPair;

/// Says that the bearer token is a key-pair JWT; OAuth is assumed otherwise.
const TOKEN_TYPE: &str = "X-Snowflake-Authorization-Token-Type";

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
    pub(super) http: reqwest::Client,
    pub(super) url: String,
    authenticator: Arc<Authenticator>,
    pub(super) session: Session,
    statement_timeout: Duration,
    retry_for: Duration,
    pub(super) pace: Pace,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("url", &self.url)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// What the server says about a statement.
enum Reply {
    Done(ResultSet),
    Running { handle: String },
}

/// A reply that is no failure.
struct Success {
    status: StatusCode,
    content: Bytes,
}

impl Client {
    /// A client for the account of this configuration. Nothing is sent yet.
    pub fn new(config: &Config, pair: &KeyPair) -> Result<Self, Error> {
        Self::with_clock(config, pair, Arc::new(SystemTime::now))
    }

    pub(super) fn with_clock(config: &Config, pair: &KeyPair, clock: Clock) -> Result<Self, Error> {
        config.validate()?;
        let mut headers = header::HeaderMap::new();
        headers.insert(TOKEN_TYPE, header::HeaderValue::from_static("KEYPAIR_JWT"));
        headers.insert(
            header::ACCEPT,
            header::HeaderValue::from_static("application/json"),
        );
        let http = reqwest::Client::builder()
            .user_agent(concat!("sluicebox/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .timeout(config.request_timeout)
            // A token goes to the host that was configured, and nowhere else.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| Error::Misconfigured {
                problem: format!("cannot make an HTTP client: {error}"),
                hint: "check the proxy variables of the environment".into(),
            })?;
        Ok(Self {
            http,
            url: format!("{}/api/v2/statements", config.base_url()),
            authenticator: Arc::new(Authenticator::new(config, pair, clock)),
            session: Session {
                database: config.database.to_ascii_uppercase(),
                schema: config.schema.to_ascii_uppercase(),
                warehouse: config.warehouse.to_ascii_uppercase(),
                role: config.role.to_ascii_uppercase(),
            },
            statement_timeout: config.statement_timeout,
            retry_for: config.retry_for,
            pace: Pace::default(),
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
        let reply = retrying(self.retry_for, self.backoff(), || {
            let mut url = format!("{}?requestId={}", self.url, request.id());
            if request.mark_sent() {
                url.push_str("&retry=true");
            }
            self.ask("submitting a statement", self.http.post(url).json(body))
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
        let url = format!("{}/{handle}", self.url);
        retrying(self.retry_for, self.backoff(), || {
            self.ask("reading an answer", self.http.get(&url))
        })
        .await
    }

    async fn wait_for(&self, mut reply: Reply) -> Result<ResultSet, Error> {
        let start = Instant::now();
        let mut delays = self.backoff();
        loop {
            let handle = match reply {
                Reply::Done(result) => return Ok(result),
                Reply::Running { handle } => handle,
            };
            let waited = start.elapsed();
            if waited > self.statement_timeout + GRACE {
                return Err(Error::StillRunning { handle, waited });
            }
            sleep(delays.next().unwrap_or(self.pace.longest)).await;
            reply = self.look_at(&handle).await?;
        }
    }

    /// Reads the partitions after the first.
    async fn complete(&self, mut result: ResultSet) -> Result<Answer, Error> {
        for partition in 1..result.metadata.partition_info.len() {
            let url = format!(
                "{}/{}?partition={partition}",
                self.url, result.statement_handle
            );
            let body = retrying(self.retry_for, self.backoff(), || {
                self.exchange("reading an answer", self.http.get(&url))
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
        let body = self.exchange(call, request).await?;
        if body.status == StatusCode::ACCEPTED {
            let Running {
                statement_handle: handle,
            } = parse(&body.content)?;
            return Ok(Reply::Running { handle });
        }
        parse(&body.content).map(Reply::Done)
    }

    /// One request and its reply; a reply that is no success is an error.
    async fn exchange(
        &self,
        call: &'static str,
        request: RequestBuilder,
    ) -> Result<Success, Error> {
        let broken = |error: reqwest::Error| Error::Unavailable {
            call,
            reason: "no reply".into(),
            retry_after: None,
            // The URL has the request's id in it, and says nothing new.
            source: Some(error.without_url()),
        };
        let token = self.authenticator.token()?;
        let response = request
            .bearer_auth(token.expose_secret())
            .send()
            .await
            .map_err(broken)?;
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let body = response.bytes().await.map_err(broken)?;
        match status {
            StatusCode::OK | StatusCode::ACCEPTED => Ok(Success {
                status,
                content: body,
            }),
            _ => Err(self.failure(call, status, retry_after, &body)),
        }
    }

    /// What a reply that is no success means.
    fn failure(
        &self,
        call: &'static str,
        status: StatusCode,
        retry_after: Option<Duration>,
        body: &[u8],
    ) -> Error {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Failure {
            code: Option<String>,
            message: Option<String>,
            sql_state: Option<String>,
        }
        // Gateways answer in HTML: then the status has to do.
        let failure: Failure = serde_json::from_slice(body).unwrap_or_default();
        let code = failure
            .code
            .unwrap_or_else(|| format!("HTTP {}", status.as_u16()));
        let message = failure.message.as_deref().map_or_else(
            || status.canonical_reason().unwrap_or("no message").to_owned(),
            one_line,
        );
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Error::Unavailable {
                call,
                reason: format!("{message} ({code})"),
                retry_after,
                source: None,
            },
            StatusCode::UNAUTHORIZED => Error::Unauthorized {
                code,
                message,
                identity: self.authenticator.identity(),
            },
            _ => Error::Rejected {
                code,
                sql_state: failure.sql_state,
                message,
            },
        }
    }

    fn backoff(&self) -> Backoff<StdRng> {
        Backoff::new(self.pace.first, self.pace.longest, StdRng::from_os_rng())
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    // The parser's message names a position, and for a wrong type the value: data stays out of messages.
    serde_json::from_slice(body).map_err(|error| Error::Unreadable {
        reason: format!(
            "it is not as promised at line {}, column {}",
            error.line(),
            error.column()
        ),
    })
}

/// `Retry-After` in seconds; a date is not worth a parser, the back-off takes over.
fn retry_after(headers: &header::HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}
