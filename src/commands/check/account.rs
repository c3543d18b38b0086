//! The account: settings, key, way there, clock, sign-in, role.

use std::time::{Duration, SystemTime};

use super::report::{Report, Trouble};
use crate::config::Config;
use crate::keys::{self, KeyError};
use crate::warehouse::{self, Client, Error, Greeting, is_identifier, seconds_between};

/// A token is honoured for an hour; a clock that is off by this has something wrong with it. How much exactly Snowflake tolerates
/// is not published.
const MOST_SKEW: Duration = Duration::from_secs(60);

/// A passing failure is tried again for so long at most: somebody waits.
const RETRY_FOR: Duration = Duration::from_secs(5);

/// The code of a token that is refused, for whichever reason.
const REFUSED_TOKEN: &str = "390144";

/// What a server says that is in trouble or asked too often: it passes, and no setting is wrong.
const PASSING: [u16; 5] = [429, 500, 502, 503, 504];

/// The lines that come before the objects.
const BEFORE: [&str; 6] = [
    "warehouse settings",
    "private key",
    "account",
    "clock",
    "sign-in",
    "role",
];

/// A client that is signed in as the loader's role, or a report that says why there is none.
pub(super) async fn connected(
    report: &mut Report,
    config: &Config,
    program: &str,
) -> Option<Client> {
    let skip_after = |report: &mut Report, name: &str| {
        let at = BEFORE.iter().position(|other| *other == name);
        for later in BEFORE.iter().skip(at.map_or(0, |at| at + 1)) {
            report.skip(*later, format!("needs {name}"));
        }
    };
    let settings = settings(config);
    let warehouse = match settings {
        Ok(warehouse) => {
            let found = format!("account {}, user {}", warehouse.account, warehouse.user);
            report.add("warehouse settings", Ok(found));
            warehouse
        }
        Err(trouble) => {
            report.add("warehouse settings", Err(trouble));
            skip_after(report, "warehouse settings");
            return None;
        }
    };
    let client = match key(&warehouse, program) {
        Ok((client, found)) => {
            report.add("private key", Ok(found));
            client
        }
        Err(trouble) => {
            report.add("private key", Err(trouble));
            skip_after(report, "private key");
            return None;
        }
    };
    let greeting = client.greet().await;
    let now = SystemTime::now();
    let (reached, greeting) = reached(&warehouse, greeting, program);
    if !report.add("account", reached) {
        skip_after(report, "account");
        return None;
    }
    let skew = greeting.and_then(|greeting| Some(seconds_between(greeting.now?, now)));
    report.add("clock", clock(skew));
    // What a default role may not do, a signed-in user is refused for: only a refused token counts here.
    let asked = client.nowhere().execute("SHOW GRANTS").await;
    if !report.add("sign-in", signed_in(asked.err(), skew, &warehouse)) {
        skip_after(report, "sign-in");
        return None;
    }
    let client = client.nowhere().with_role(&warehouse.role);
    let asked = client.execute("SHOW GRANTS").await;
    report
        .add("role", role(asked.err(), &warehouse))
        .then_some(client)
}

fn settings(config: &Config) -> Result<warehouse::Config, Trouble> {
    config.require_warehouse().map_err(|error| {
        let trouble = Trouble::of(error);
        match config.warehouse.account.is_empty() {
            true => Trouble::new(
                trouble.found,
                "[warehouse] account = \"<account identifier>\"",
            ),
            false => trouble,
        }
    })?;
    let mut warehouse = warehouse::Config::from(&config.warehouse);
    warehouse.validate().map_err(Trouble::of)?;
    warehouse.retry_for = warehouse.retry_for.min(RETRY_FOR);
    Ok(warehouse)
}

fn key(warehouse: &warehouse::Config, program: &str) -> Result<(Client, String), Trouble> {
    let file = warehouse.private_key_file.display();
    let pair = warehouse.read_key().map_err(|error| {
        let named = "[warehouse] private_key_file = \"<file>\"";
        let passphrase = format!("export {}='<passphrase>'", keys::PASSPHRASE_VARIABLE);
        match &error {
            Error::Key(KeyError::Unreadable { path, .. })
                if *path == warehouse.private_key_file && !path.exists() =>
            {
                Trouble {
                    found: Trouble::of(error).found,
                    fixes: vec![format!(
                        "{program} keys generate --unencrypted --out {file}"
                    )],
                }
                .or(named)
            }
            Error::Key(KeyError::PassphraseMissing { .. } | KeyError::PassphraseWrong { .. }) => {
                Trouble {
                    found: Trouble::of(error).found,
                    fixes: vec![passphrase],
                }
                .or("[warehouse] private_key_passphrase_file = \"<file>\"")
            }
            _ => Trouble::of(error),
        }
    })?;
    let found = format!("{file}, {}", pair.fingerprint());
    let client = Client::new(warehouse, &pair).map_err(Trouble::of)?;
    Ok((client, found))
}

/// The setting that the address follows from.
fn address(warehouse: &warehouse::Config) -> String {
    match warehouse.url.is_empty() {
        true => format!(
            "[warehouse] account = \"<account identifier>\"  # now {}",
            warehouse.account
        ),
        false => format!(
            "[warehouse] url = \"<https://...>\"  # now {}",
            warehouse.url
        ),
    }
}

fn reached(
    warehouse: &warehouse::Config,
    greeting: Result<Greeting, Error>,
    program: &str,
) -> (Result<String, Trouble>, Option<Greeting>) {
    let setting = address(warehouse);
    match greeting {
        Ok(greeting) if PASSING.contains(&greeting.status) => {
            let found = format!(
                "{} is in trouble or asked too often at the moment: HTTP {}",
                warehouse.account, greeting.status
            );
            let trouble = Trouble::new(
                found,
                format!("try again in a minute: {program} check warehouse"),
            )
            .or("if it goes on: https://status.snowflake.com, and the proxy on the way");
            (Err(trouble), None)
        }
        Ok(greeting) if greeting.code.is_some() => {
            let found = format!("the SQL API of {} answers", warehouse.account);
            (Ok(found), Some(greeting))
        }
        Ok(greeting) => {
            let found = format!(
                "what answers is no SQL API of Snowflake: HTTP {}",
                greeting.status
            );
            (Err(Trouble::new(found, setting)), None)
        }
        Err(error) => {
            let Trouble { found, .. } = Trouble::of(error);
            let trouble = Trouble::new(found, setting)
                .or("let this machine reach that address: name server, firewall, proxy, the account's network policy");
            (Err(trouble), None)
        }
    }
}

fn is_off(skew: i64) -> bool {
    skew.unsigned_abs() > MOST_SKEW.as_secs()
}

fn clock_trouble(skew: i64) -> (String, &'static str) {
    // Their seconds are whole and the answer took a moment: more than minutes are not known.
    let minutes = (skew.unsigned_abs() + 30) / 60;
    let apart = humantime::format_duration(Duration::from_secs(minutes * 60));
    let side = if skew > 0 { "ahead of" } else { "behind" };
    (
        format!("this machine's clock is {apart} {side} the warehouse's"),
        "timedatectl set-ntp true",
    )
}

fn clock(skew: Option<i64>) -> Result<String, Trouble> {
    match skew {
        None => Ok("the warehouse tells no time".to_owned()),
        Some(skew) if is_off(skew) => {
            let (found, fix) = clock_trouble(skew);
            Err(Trouble::new(found, fix))
        }
        Some(skew) => Ok(format!("{} s from the warehouse's", skew.unsigned_abs())),
    }
}

fn signed_in(
    refused: Option<Error>,
    skew: Option<i64>,
    warehouse: &warehouse::Config,
) -> Result<String, Trouble> {
    match refused {
        Some(Error::Unauthorized {
            code,
            message,
            identity,
            ..
        }) => {
            let refused = format!(
                "the token of {} is refused: {message} ({code})",
                identity.user
            );
            // The clock first: a token of another time is refused whoever signs it.
            if let Some(skew) = skew.filter(|skew| is_off(*skew)) {
                let (why, fix) = clock_trouble(skew);
                return Err(Trouble::new(format!("{why}, and so {refused}"), fix));
            }
            let user = match is_identifier(&identity.user) {
                true => identity.user.clone(),
                false => format!("\"{}\"", identity.user),
            };
            // 390144 is all that was recorded of refused tokens; what else there is, the message says.
            if code != REFUSED_TOKEN {
                return Err(Trouble::new(
                    refused,
                    format!(
                        "USE ROLE ACCOUNTADMIN; DESC USER {user}; SHOW PARAMETERS LIKE 'NETWORK_POLICY' FOR USER {user};"
                    ),
                ));
            }
            let (account, public_key) = (&identity.account, &identity.public_key);
            Err(Trouble::new(
                format!(
                    "{refused}: its key is not registered with that user, or account or user is not the right one"
                ),
                format!("USE ROLE ACCOUNTADMIN; ALTER USER {user} SET RSA_PUBLIC_KEY='{public_key}';"),
            )
            .or(format!(
                "[warehouse] account = \"<account identifier>\"  # now {account}"
            ))
            .or(format!(
                "[warehouse] user = \"<login name>\"  # now {}",
                identity.user
            )))
        }
        Some(error) if error.is_transient() => Err(Trouble::of(error)),
        None => Ok(format!("the token of {} is accepted", warehouse.user)),
        Some(Error::Rejected { code, .. }) if is_of_snowflake(&code) => {
            Ok(format!("the token of {} is accepted", warehouse.user))
        }
        // A proxy, a page to sign in at, a web server: nobody has looked at the token.
        Some(error @ (Error::Rejected { .. } | Error::Unreadable { .. })) => {
            let Trouble { found, .. } = Trouble::of(error);
            let found = format!("no SQL API of Snowflake answers so: {found}");
            let proxy =
                "[warehouse] proxy = \"<http://host:port>\"  # or HTTPS_PROXY of the environment";
            Err(Trouble::new(found, address(warehouse)).or(proxy).or(
                "the account's network policy: SHOW PARAMETERS LIKE 'NETWORK_POLICY' IN ACCOUNT",
            ))
        }
        Some(error) => Err(Trouble::of(error)),
    }
}

/// Snowflake's codes have six digits.
fn is_of_snowflake(code: &str) -> bool {
    code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit())
}

fn role(refused: Option<Error>, warehouse: &warehouse::Config) -> Result<String, Trouble> {
    let (role, user) = (
        warehouse.role.to_ascii_uppercase(),
        warehouse.user.to_ascii_uppercase(),
    );
    match refused {
        None => Ok(format!("{role} is granted to {user}")),
        Some(error) if error.code() == Some("390186") => Err(Trouble::new(
            format!("{role} does not exist, or is not granted to {user}"),
            format!(
                "USE ROLE ACCOUNTADMIN; CREATE ROLE IF NOT EXISTS {role}; GRANT ROLE {role} TO USER {user};"
            ),
        )),
        Some(error) => Err(Trouble::of(error)),
    }
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
