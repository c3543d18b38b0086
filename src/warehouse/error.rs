//! What can go wrong with a call to the warehouse, named by what to do about it.

use std::{sync::Arc, time::Duration};

use crate::keys::KeyError;

/// Longest part of a server's message that is shown.
const LONGEST_MESSAGE: usize = 500;

/// Who a client says it is. Nothing in here is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Account as it stands in a token.
    pub account: String,
    /// User as it stands in a token.
    pub user: String,
    /// Fingerprint of the public key.
    pub fingerprint: String,
    /// The public key, as `RSA_PUBLIC_KEY='...'` takes it.
    pub public_key: String,
}

/// A call to the warehouse that gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The same call may work later: no connection, too many requests, a server in trouble.
    #[error("warehouse unavailable while {call}: {reason}")]
    Unavailable {
        /// What was being done.
        call: &'static str,
        /// What was met.
        reason: String,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
        /// The cause on this side, if it is on this side.
        source: Option<reqwest::Error>,
    },
    /// The token was refused.
    #[error("warehouse refused the token of user {}: {message} ({code})", identity.user)]
    Unauthorized {
        /// The server's code.
        code: String,
        /// The server's message.
        message: String,
        /// Who was refused.
        identity: Arc<Identity>,
        /// By how many seconds this machine's clock is ahead of the server's, behind where negative; as the reply says.
        clock_ahead: Option<i64>,
    },
    /// The call will never work as it is.
    #[error("warehouse refused: {message} ({code}{})", sql_state.as_ref().map(|s| format!(", {s}")).unwrap_or_default())]
    Rejected {
        /// The server's code, or the HTTP status where there is none.
        code: String,
        /// The SQLSTATE, where the server gives one.
        sql_state: Option<String>,
        /// The server's message.
        message: String,
    },
    /// A value of the configuration is wrong.
    #[error("{problem}")]
    Misconfigured {
        /// Key, rule and value.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// The server went on longer than the statement's own time limit allows.
    #[error("statement {handle} still ran after {}", humantime::format_duration(*waited))]
    StillRunning {
        /// The statement's handle.
        handle: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The answer is not of the form that the API promises.
    #[error("answer of the warehouse cannot be understood: {reason}")]
    Unreadable {
        /// What is missing or wrong.
        reason: String,
    },
    /// The private key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Error {
    /// Whether the same call, made later, may work.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Unauthorized { .. }
            | Self::Rejected { .. }
            | Self::Misconfigured { .. }
            | Self::StillRunning { .. }
            | Self::Unreadable { .. }
            | Self::Key(_) => false,
        }
    }

    /// The server's code, where it gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Unauthorized { code, .. } | Self::Rejected { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether a statement was ended, or not ended in time, because of others: it waited too long for a lock, was the victim of a
    /// deadlock, was cancelled, or reached its time limit; or what became of it is no longer known. Run anew, it may work.
    pub fn was_interrupted(&self) -> bool {
        match self {
            Self::StillRunning { .. } => true,
            // The words are in the message whatever the code is; nobody has recorded all of the codes.
            Self::Rejected { code, message, .. } => {
                matches!(code.as_str(), "000604" | "000625" | "000630" | "000709")
                    || [
                        "waiters for this lock",
                        "lock on table",
                        "has locked table",
                        "deadlock",
                    ]
                    .iter()
                    .any(|words| message.contains(words))
            }
            _ => false,
        }
    }

    /// Whether a statement divided by zero, or did not find a staged file: how a load notices that its files are not there.
    pub fn says_rows_are_missing(&self) -> bool {
        let Self::Rejected { code, message, .. } = self else {
            return false;
        };
        matches!(child_code(message).unwrap_or(code), "100051" | "091016")
    }

    /// The same without the value of a row that a message about it quotes.
    pub(crate) fn without_values(mut self) -> Self {
        if let Self::Rejected { message, .. } = &mut self {
            for before in [
                "value '",
                "Value '",
                "String '",
                "Date '",
                "Time '",
                "Timestamp '",
            ] {
                let Some(start) = message.find(before).map(|at| at + before.len()) else {
                    continue;
                };
                // The value itself may hold quotes.
                let end = message.rfind('\'').filter(|end| *end >= start);
                message.replace_range(start..end.unwrap_or(message.len()), "...");
            }
        }
        self
    }

    /// How long the server asks to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unavailable { .. } => {
                Some("check warehouse.account and warehouse.url, the network and the service's status".into())
            }
            Self::Unauthorized { identity, clock_ahead, .. } => Some(match clock_ahead {
                Some(seconds) if seconds.unsigned_abs() > MOST_CLOCK_SKEW => clock_hint(*seconds),
                _ => sign_in_hint(identity),
            }),
            Self::Rejected { code, message, .. } => {
                rejection_hint(child_code(message).unwrap_or(code)).map(Into::into)
            }
            Self::Misconfigured { hint, .. } => Some(hint.clone()),
            Self::StillRunning { .. } => {
                Some("look the handle up in the query history; raise warehouse.statement_timeout if it is right".into())
            }
            Self::Unreadable { .. } => Some("check that warehouse.url leads to a Snowflake SQL API".into()),
            Self::Key(error) => error.hint(),
        }
    }
}

/// Seconds. Tokens are honoured for an hour after they were made, and not before; a reply says the time to the second.
const MOST_CLOCK_SKEW: u64 = 30;

fn clock_hint(ahead: i64) -> String {
    let by = humantime::format_duration(Duration::from_secs(ahead.unsigned_abs()));
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    format!(
        "this machine's clock is {by} {side} the warehouse's, which makes every token invalid: set it, e.g. timedatectl set-ntp true"
    )
}

/// The server does not say which of these it is.
fn sign_in_hint(identity: &Identity) -> String {
    let Identity {
        account,
        user,
        fingerprint,
        public_key,
    } = identity;
    format!(
        "one of: the key is not registered (DESC USER {user} must show {fingerprint}; else run \
         ALTER USER {user} SET RSA_PUBLIC_KEY='{public_key}'); account {account} or user {user} is wrong \
         (the user's login name counts); this machine's clock is off"
    )
}

/// How the message of a request of several statements begins when one of them has failed.
const SEVERAL_FAILED: &str =
    "JavaScript execution error: Uncaught Execution of multiple statements failed on statement";

/// The code of the statement that failed among several: the server gives the code of the whole request alone.
fn child_code(message: &str) -> Option<&'static str> {
    if !message.ends_with(" in SYSTEM$MULTISTMT") {
        return None;
    }
    let codes = [
        ("Insufficient privileges", "003001"),
        ("does not exist or not authorized", "002003"),
        ("Division by zero", "100051"),
        ("was not found", "091016"),
        ("invalid identifier", "000904"),
        ("No active warehouse", "000606"),
        ("exceeded its quota", "090073"),
    ];
    let known = codes.iter().find(|(words, _)| message.contains(words));
    known.map(|(_, code)| *code)
}

/// The remedy for a code of the SQL API.
/// <https://docs.snowflake.com/en/developer-guide/sql-api/handling-responses>
fn rejection_hint(code: &str) -> Option<&'static str> {
    let hint = match code {
        "390189" => "grant warehouse.role to the user: GRANT ROLE <role> TO USER <user>",
        "390201" => {
            "warehouse.database, warehouse.schema and warehouse.warehouse must exist and warehouse.role must have USAGE on them"
        }
        "390186" => "grant warehouse.role to the user: GRANT ROLE <role> TO USER <user>",
        "003001" => {
            "grant the missing privilege to warehouse.role; `sluicebox setup --role ACCOUNTADMIN` runs the scripts with the grants"
        }
        "002003" => {
            "run `sluicebox setup`, and check that warehouse.role may use the database, the schema and the object"
        }
        "000904" => {
            "a column is missing or has another name: `sluicebox check` compares the tables with what is written, and names what repairs them"
        }
        "002002" => "write CREATE ... IF NOT EXISTS, so that it may run again",
        "391918" => {
            "warehouse.database and warehouse.schema must exist and warehouse.role must have USAGE on both"
        }
        "000606" => {
            "warehouse.warehouse must exist, warehouse.role must have USAGE on it, and it must resume by itself: ALTER WAREHOUSE <name> SET AUTO_RESUME = TRUE"
        }
        "000630" => "raise warehouse.statement_timeout, or use a larger warehouse",
        "000604" => "somebody cancelled the statement; a load is tried again",
        "000625" => {
            "other statements hold the table for long: find them in SHOW LOCKS; a load is tried again"
        }
        "000709" => {
            "the warehouse has forgotten the statement; a load is tried again and finds what was done"
        }
        "090073" => {
            "the resource monitor of warehouse.warehouse has used up its quota: raise it (ALTER RESOURCE MONITOR ... SET CREDIT_QUOTA), or wait for its next period"
        }
        "391911" => {
            "the SQL API runs neither PUT nor GET, USE, BEGIN, COMMIT or ROLLBACK on their own"
        }
        "HTTP 403" | "HTTP 404" => {
            "check warehouse.account, warehouse.url and the account's network policy"
        }
        _ => return None,
    };
    Some(hint)
}

/// A server's message on one line, not endless.
pub(super) fn one_line(message: &str) -> String {
    // Of several statements the failed one is quoted whole, and why it failed comes after that.
    let cause = message
        .strip_prefix(SEVERAL_FAILED)
        .and_then(|rest| rest.rsplit_once(").\n"))
        .map_or(message, |(_, cause)| cause);
    let line = cause.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_a_message_quotes_can_be_left_out() {
        for (message, shown) in [
            (
                "Numeric value 'it's 12' is not recognized",
                "Numeric value '...' is not recognized",
            ),
            (
                "String 'long' is too long and would be truncated",
                "String '...' is too long and would be truncated",
            ),
            (
                "Date '1-2' is not recognized",
                "Date '...' is not recognized",
            ),
            ("Division by zero", "Division by zero"),
        ] {
            let error = Error::Rejected {
                code: "100038".to_owned(),
                sql_state: None,
                message: message.to_owned(),
            };
            assert_eq!(
                error.without_values().to_string(),
                format!("warehouse refused: {shown} (100038)")
            );
        }
    }
}
