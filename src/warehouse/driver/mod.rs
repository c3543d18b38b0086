//! The protocol of the warehouse's drivers, as far as an upload to an internal stage takes it: the SQL API refuses PUT.
//!
//! A session is opened by the same signed token as the SQL API's requests carry. It is kept, renewed when it expires, and opened
//! anew when it is over; the warehouse ends it after hours without a request.
//!
//! The protocol is not documented; this is what the official clients do.
//! <https://github.com/snowflakedb/snowflake-connector-python> (5.2.0)

mod messages;

use std::sync::Arc;

use reqwest::{Method, RequestBuilder, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tracing::debug;
use uuid::Uuid;

use super::{Client, Error, error::one_line, transport::parse};
pub(super) use messages::{Credentials, StageInfo, Upload};
use messages::{LoginData, RenewalData, Reply};

/// The session's token is too old; the master token buys a new one.
const TOKEN_EXPIRED: &str = "390112";
/// The signed token is refused.
const INVALID_JWT: &str = "390144";
/// Codes that begin so are about the session or who is in it.
const ABOUT_THE_SESSION: &str = "3901";

/// A session among those of drivers. Any number of calls may be made at once.
pub(super) struct Driver {
    client: Client,
    session: Mutex<Option<Arc<Tokens>>>,
}

/// What a session is known by.
struct Tokens {
    session: SecretString,
    master: SecretString,
}

impl Driver {
    /// Nothing is sent yet.
    pub(super) fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            session: Mutex::new(None),
        }
    }

    /// Asks for a place to upload to: `stage` is `@name` with an optional path, `file` the name of the file if there is one alone.
    pub(super) async fn upload(&self, stage: &str, file: &str) -> Result<Upload, Error> {
        // The file is named only to be named: nobody reads it here.
        let sql = format!(
            "PUT 'file:///sluicebox/{file}' '{stage}' AUTO_COMPRESS=FALSE SOURCE_COMPRESSION=NONE OVERWRITE=TRUE"
        );
        let request = Uuid::new_v4();
        self.client
            .retrying(|| async {
                let data = self.query(&sql, request).await?;
                serde_json::from_value(data).map_err(|_| Error::Unreadable {
                    reason: "PUT was not answered with a place to upload to".into(),
                })
            })
            .await
    }

    /// One statement in the session. A session that is over is renewed, then opened anew; then that is an error.
    async fn query(&self, sql: &str, request: Uuid) -> Result<Value, Error> {
        let mut tries = 0;
        loop {
            let tokens = self.tokens().await?;
            let error = match self.ask(sql, request, &tokens).await {
                Err(error) if is_about_the_session(&error) => error,
                known => return known,
            };
            debug!(%error, "the upload session is over");
            tries += 1;
            match tries {
                1 if may_be_renewed(&error) => self.replace(&tokens, true).await?,
                1 | 2 => self.replace(&tokens, false).await?,
                _ => return Err(error),
            }
        }
    }

    async fn ask(&self, sql: &str, request: Uuid, tokens: &Tokens) -> Result<Value, Error> {
        let body = json!({
            "sqlText": sql,
            "asyncExec": false,
            "sequenceId": 1,
            "isInternal": false,
            "describeOnly": false,
            "parameters": {},
        });
        let path = format!(
            "/queries/v1/query-request?requestId={request}&request_guid={}",
            Uuid::new_v4()
        );
        let post = self.post(&path).json(&body);
        let post = with_token(post, &tokens.session);
        self.reply("asking for an upload", post).await
    }

    /// The session's tokens; it is opened when there is none.
    async fn tokens(&self) -> Result<Arc<Tokens>, Error> {
        let mut session = self.session.lock().await;
        if let Some(tokens) = &*session {
            return Ok(Arc::clone(tokens));
        }
        let tokens = Arc::new(self.log_in().await?);
        *session = Some(Arc::clone(&tokens));
        Ok(tokens)
    }

    /// Drops the session with these tokens, unless somebody else did, or renews it where that works.
    async fn replace(&self, old: &Arc<Tokens>, renew: bool) -> Result<(), Error> {
        let mut session = self.session.lock().await;
        if session.as_ref().is_some_and(|now| !Arc::ptr_eq(now, old)) {
            return Ok(());
        }
        *session = None;
        if !renew {
            return Ok(());
        }
        match self.renew(old).await {
            Ok(tokens) => *session = Some(Arc::new(tokens)),
            Err(error @ Error::Unavailable { .. }) => return Err(error),
            Err(error) => debug!(%error, "the upload session cannot be renewed"),
        }
        Ok(())
    }

    async fn renew(&self, old: &Tokens) -> Result<Tokens, Error> {
        let path = format!(
            "/session/token-request?requestId={}&request_guid={}",
            Uuid::new_v4(),
            Uuid::new_v4()
        );
        let body = json!({"oldSessionToken": old.session.expose_secret(), "requestType": "RENEW"});
        let post = with_token(self.post(&path).json(&body), &old.master);
        let data: RenewalData = self.reply("renewing the upload session", post).await?;
        Ok(Tokens {
            session: data.session_token,
            master: data.master_token,
        })
    }

    async fn log_in(&self) -> Result<Tokens, Error> {
        let transport = &self.client.transport;
        let data: LoginData = transport
            .authenticator
            .signed(|token| async move {
                let post = self.login_request(&token);
                self.reply("signing in to upload", post).await
            })
            .await?;
        Ok(Tokens {
            session: data.token,
            master: data.master_token,
        })
    }

    fn login_request(&self, token: &SecretString) -> RequestBuilder {
        let session = &self.client.session;
        let identity = self.client.transport.authenticator.identity();
        let data = json!({
            "CLIENT_APP_ID": "sluicebox",
            "CLIENT_APP_VERSION": env!("CARGO_PKG_VERSION"),
            "ACCOUNT_NAME": identity.account,
            "LOGIN_NAME": identity.user,
            "AUTHENTICATOR": "SNOWFLAKE_JWT",
            "TOKEN": token.expose_secret(),
            // On Google's storage: a token for the stage rather than an address for each file.
            "SESSION_PARAMETERS": {"GCS_USE_DOWNSCOPED_CREDENTIAL": true},
            "CLIENT_ENVIRONMENT": {"APPLICATION": "sluicebox", "OS": std::env::consts::OS},
        });
        let (request, guid) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
        let query = [
            ("requestId", &request),
            ("request_guid", &guid),
            ("databaseName", &session.database),
            ("schemaName", &session.schema),
            ("warehouse", &session.warehouse),
            ("roleName", &session.role),
        ];
        let given: Vec<_> = query
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .collect();
        self.post("/session/v1/login-request")
            .header(header::ACCEPT, "application/json")
            .query(&given)
            .json(&json!({ "data": data }))
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.client.transport.request(Method::POST, path)
    }

    /// Sends a request and reads the data of its answer. Failures are HTTP 200 as well.
    async fn reply<T: serde::de::DeserializeOwned>(
        &self,
        call: &'static str,
        request: RequestBuilder,
    ) -> Result<T, Error> {
        let transport = &self.client.transport;
        let answer = transport.send(call, request).await?;
        let reply: Reply = parse(&answer.content)?;
        if reply.success {
            return serde_json::from_value(reply.data).map_err(|_| Error::Unreadable {
                reason: format!("{call} was not answered as promised"),
            });
        }
        let code = reply.code.unwrap_or_default();
        let message = one_line(reply.message.as_deref().unwrap_or("no message"));
        if code == INVALID_JWT {
            return Err(transport.unauthorized(code, message, answer.server_time));
        }
        let sql_state = reply.data.get("sqlState").and_then(Value::as_str);
        Err(Error::Rejected {
            code,
            sql_state: sql_state.map(str::to_owned),
            message,
        })
    }
}

fn with_token(request: RequestBuilder, token: &SecretString) -> RequestBuilder {
    let value = format!("Snowflake Token=\"{}\"", token.expose_secret());
    request
        .header(header::AUTHORIZATION, value)
        .header(header::ACCEPT, "application/snowflake")
}

/// Whether it is only the session's token that is too old.
fn may_be_renewed(error: &Error) -> bool {
    matches!(error, Error::Unauthorized { .. }) || error.code() == Some(TOKEN_EXPIRED)
}

/// Whether the session is why a statement was not run. A role that is not granted is not: another session has it no more.
fn is_about_the_session(error: &Error) -> bool {
    match error {
        // HTTP 401.
        Error::Unauthorized { .. } => true,
        Error::Rejected { code, .. } => {
            code.starts_with(ABOUT_THE_SESSION) && code != "390186" && code != "390189"
        }
        _ => false,
    }
}
