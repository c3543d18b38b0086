//! One key, and the token it has signed; made when needed, kept while the server honours it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::SecretString;
use serde::Serialize;

use crate::{
    keys::KeyPair,
    warehouse::{Error, Identity},
};

/// The server honours a token for one hour after `iat` whatever `exp` says; a minute less is left for clocks that differ.
/// <https://docs.snowflake.com/en/developer-guide/sql-api/authenticating>
const LIFETIME: Duration = Duration::from_secs(59 * 60);

/// Renew early, so that no token expires on its way, or while a request waits for its reply.
const RENEW_BEFORE: Duration = Duration::from_secs(5 * 60);

#[derive(Serialize)]
struct Claims<'a> {
    iss: String,
    sub: &'a str,
    iat: u64,
    exp: u64,
}

struct Token {
    text: SecretString,
    made: SystemTime,
}

/// Makes tokens for one user with one key. Any number of requests may ask at once.
pub(super) struct Signer {
    identity: Arc<Identity>,
    subject: String,
    key: EncodingKey,
    token: Mutex<Option<Token>>,
}

impl Signer {
    pub(super) fn new(account: &str, user: &str, pair: &KeyPair) -> Self {
        Self {
            subject: format!("{account}.{user}"),
            identity: Arc::new(Identity {
                account: account.to_owned(),
                user: user.to_owned(),
                fingerprint: pair.fingerprint(),
                public_key: pair.public_key_base64(),
            }),
            key: EncodingKey::from_rsa_der(pair.reveal().as_bytes()),
            token: Mutex::new(None),
        }
    }

    /// Who the tokens are for.
    pub(super) fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// Whether both sign with the same key.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.identity.fingerprint == other.identity.fingerprint
    }

    /// A token that is good for minutes at least.
    pub(super) fn token(&self, now: SystemTime) -> Result<SecretString, Error> {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back makes the age an error: then the token may be from the future, and is made anew.
        if let Some(token) = &*token
            && now
                .duration_since(token.made)
                .is_ok_and(|age| age < LIFETIME - RENEW_BEFORE)
        {
            return Ok(token.text.clone());
        }
        let text = self.sign(now)?;
        *token = Some(Token {
            text: text.clone(),
            made: now,
        });
        Ok(text)
    }

    /// Drops the token, unless it was made just now: a new one would say the same. Whether it was dropped.
    pub(super) fn drop_old_token(&self, now: SystemTime) -> bool {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let old = token.as_ref().is_some_and(|token| {
            now.duration_since(token.made)
                .map_or(true, |age| age.as_secs() > 0)
        });
        if old {
            *token = None;
        }
        old
    }

    fn sign(&self, now: SystemTime) -> Result<SecretString, Error> {
        let iat = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = Claims {
            iss: format!("{}.{}", self.subject, self.identity.fingerprint),
            sub: &self.subject,
            iat,
            exp: iat + LIFETIME.as_secs(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.key)
            .map(SecretString::from)
            .map_err(|error| Error::Misconfigured {
                problem: format!("cannot sign a token: {error}"),
                hint: "check that warehouse.private_key_file is an RSA key".into(),
            })
    }
}
