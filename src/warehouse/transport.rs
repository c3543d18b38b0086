//! One request out, one reply in: connections, proxies and certificates, and what each HTTP status means.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use chrono::DateTime;
use reqwest::{
    Certificate, ClientBuilder, Method, Proxy, RequestBuilder, StatusCode, header, redirect,
};
use secrecy::ExposeSecret;
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    Config, Error,
    auth::{Authenticator, Clock},
    error::one_line,
};
use crate::keys::KeyPair;

/// Says that the bearer token is a key-pair JWT; OAuth is assumed otherwise.
const TOKEN_TYPE: &str = "X-Snowflake-Authorization-Token-Type";

/// Longest time that making a connection may take: an address where nobody is should not cost a whole request's time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The way to one account as one user.
pub(super) struct Transport {
    http: reqwest::Client,
    url: String,
    pub(super) authenticator: Authenticator,
}

/// A reply that is no failure.
pub(super) struct Success {
    pub(super) status: StatusCode,
    pub(super) content: Bytes,
    /// The server's clock, to the second.
    pub(super) server_time: Option<SystemTime>,
}

impl Transport {
    pub(super) fn new(config: &Config, pair: &KeyPair, clock: Clock) -> Result<Self, Error> {
        Ok(Self {
            http: build(builder(
                &config.proxy,
                &config.ca_file,
                config.request_timeout,
            )?)?,
            url: config.base_url(),
            authenticator: Authenticator::new(config, pair, clock),
        })
    }

    /// Where requests go, without a `/` at the end.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// A request for a path, which begins with `/`.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// One request of the SQL API and its reply; a reply that is no success is an error. The request is sent again only when its
    /// token was refused.
    pub(super) async fn exchange(
        &self,
        call: &'static str,
        request: RequestBuilder,
    ) -> Result<Success, Error> {
        self.authenticator
            .signed(|token| {
                let request = request.try_clone().map(|request| {
                    request
                        .header(header::ACCEPT, "application/json")
                        .header(TOKEN_TYPE, "KEYPAIR_JWT")
                        .bearer_auth(token.expose_secret())
                });
                async move {
                    let request = request.expect("a body in memory can be sent twice");
                    self.send(call, request).await
                }
            })
            .await
    }

    /// One request, as it is, and its reply; a reply that is no success is an error.
    pub(super) async fn send(
        &self,
        call: &'static str,
        request: RequestBuilder,
    ) -> Result<Success, Error> {
        let (status, headers, content) = Self::reply(call, request).await?;
        match status {
            StatusCode::OK | StatusCode::ACCEPTED if !is_json(&content) => {
                // A gateway's page: the service did not see the request, or its answer got lost.
                Err(Error::Unreadable {
                    reason: format!("{call} was answered with something that is no JSON"),
                })
            }
            StatusCode::OK | StatusCode::ACCEPTED => Ok(Success {
                status,
                content,
                server_time: clock_of(&headers),
            }),
            _ => Err(self.failure(call, status, &headers, &content)),
        }
    }

    /// One request, as it is, and its reply, whatever it says.
    pub(super) async fn reply(
        call: &'static str,
        request: RequestBuilder,
    ) -> Result<(StatusCode, header::HeaderMap, Bytes), Error> {
        let broken = |error: reqwest::Error| Error::Unavailable {
            call,
            reason: "no reply".into(),
            retry_after: None,
            // The URL has the request's id in it, and says nothing new.
            source: Some(error.without_url()),
        };
        let response = request.send().await.map_err(broken)?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok((status, headers, response.bytes().await.map_err(broken)?))
    }

    /// What a reply that is no success means.
    fn failure(
        &self,
        call: &'static str,
        status: StatusCode,
        headers: &header::HeaderMap,
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
        let is_gateways = failure.code.is_none();
        let code = failure
            .code
            .unwrap_or_else(|| format!("HTTP {}", status.as_u16()));
        let message = failure.message.as_deref().map_or_else(
            || status.canonical_reason().unwrap_or("no message").to_owned(),
            one_line,
        );
        match status {
            StatusCode::REQUEST_TIMEOUT if is_gateways => Error::Unavailable {
                call,
                reason: format!("{message} ({code})"),
                retry_after: retry_after(headers),
                source: None,
            },
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Error::Unavailable {
                call,
                reason: format!("{message} ({code})"),
                retry_after: retry_after(headers),
                source: None,
            },
            StatusCode::UNAUTHORIZED => self.unauthorized(code, message, clock_of(headers)),
            _ => Error::Rejected {
                code,
                sql_state: failure.sql_state,
                message,
            },
        }
    }

    /// A token was refused by a server whose clock says so.
    pub(super) fn unauthorized(
        &self,
        code: String,
        message: String,
        server: Option<SystemTime>,
    ) -> Error {
        let now = self.authenticator.now();
        Error::Unauthorized {
            code,
            message,
            identity: self.authenticator.identity(),
            clock_ahead: server.map(|server| seconds_between(server, now)),
        }
    }
}

/// How every client of the service reaches others: `proxy` empty takes the environment's, `ca_file` empty the usual certificates.
pub(super) fn builder(
    proxy: &str,
    ca_file: &Path,
    timeout: Duration,
) -> Result<ClientBuilder, Error> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("sluicebox/", env!("CARGO_PKG_VERSION")))
        .timeout(timeout)
        .connect_timeout(CONNECT_TIMEOUT.min(timeout))
        // A token goes to the host that was configured, and nowhere else.
        .redirect(redirect::Policy::none());
    for certificate in certificates(ca_file)? {
        builder = builder.add_root_certificate(certificate);
    }
    if !proxy.is_empty() {
        let proxy = Proxy::all(proxy).map_err(|error| Error::Misconfigured {
            problem: format!("warehouse.proxy is no address of a proxy: {error}"),
            hint: "write it as http://host:port, or leave it empty to take HTTPS_PROXY of the environment".into(),
        })?;
        builder = builder.proxy(proxy);
    }
    Ok(builder)
}

pub(super) fn build(builder: ClientBuilder) -> Result<reqwest::Client, Error> {
    builder.build().map_err(|error| Error::Misconfigured {
        problem: format!("cannot make an HTTP client: {error}"),
        hint: "check warehouse.proxy and the proxy variables of the environment".into(),
    })
}

/// The certificates of `warehouse.ca_file`, which are trusted besides the usual ones.
fn certificates(path: &Path) -> Result<Vec<Certificate>, Error> {
    if path.as_os_str().is_empty() {
        return Ok(Vec::new());
    }
    let problem = |reason: String| Error::Misconfigured {
        problem: format!("warehouse.ca_file {}: {reason}", path.display()),
        hint: "name a PEM file with one or more BEGIN CERTIFICATE".into(),
    };
    let pem = fs::read(path).map_err(|error| problem(error.to_string()))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| problem(error.to_string()))?;
    if found.is_empty() {
        return Err(problem("it holds no certificate".to_owned()));
    }
    Ok(found)
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    // The parser's message names a position, and for a wrong type the value: data stays out of messages.
    serde_json::from_slice(body).map_err(|error| Error::Unreadable {
        reason: format!(
            "it is not as promised at line {}, column {}",
            error.line(),
            error.column()
        ),
    })
}

fn is_json(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'{')
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

/// The server's clock, to the second.
pub(super) fn clock_of(headers: &header::HeaderMap) -> Option<SystemTime> {
    let text = headers.get(header::DATE)?.to_str().ok()?;
    DateTime::parse_from_rfc2822(text).ok().map(Into::into)
}

/// Seconds from one time to the other, negative when the other is earlier.
pub(crate) fn seconds_between(from: SystemTime, to: SystemTime) -> i64 {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    match to.duration_since(from) {
        Ok(ahead) => seconds(ahead),
        Err(behind) => -seconds(behind.duration()),
    }
}
