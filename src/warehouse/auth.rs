//! A signed token for each request; made when needed, kept while the server honours it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::SecretString;
use serde::Serialize;

use super::{Config, Error, Identity};
use crate::keys::KeyPair;

/// The server honours a token for one hour after `iat` whatever `exp` says; a minute less is left for clocks that differ.
/// <https://docs.snowflake.com/en/developer-guide/sql-api/authenticating>
const LIFETIME: Duration = Duration::from_secs(59 * 60);

/// Renew early, so that no token expires on its way, or while a request waits for its reply.
const RENEW_BEFORE: Duration = Duration::from_secs(5 * 60);

/// Tells the time; a test tells it what it likes.
pub(super) type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

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

/// Makes tokens for one user. Any number of requests may ask at once.
pub(super) struct Authenticator {
    identity: Arc<Identity>,
    subject: String,
    key: EncodingKey,
    clock: Clock,
    token: Mutex<Option<Token>>,
}

impl Authenticator {
    pub(super) fn new(config: &Config, pair: &KeyPair, clock: Clock) -> Self {
        let identity = Identity {
            account: config.account_name(),
            user: config.user.to_ascii_uppercase(),
            fingerprint: pair.fingerprint(),
            public_key: pair.public_key_base64(),
        };
        Self {
            subject: format!("{}.{}", identity.account, identity.user),
            identity: Arc::new(identity),
            key: EncodingKey::from_rsa_der(pair.reveal().as_bytes()),
            clock,
            token: Mutex::new(None),
        }
    }

    /// Who the tokens are for.
    pub(super) fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity)
    }

    /// A token that is good for minutes at least.
    pub(super) fn token(&self) -> Result<SecretString, Error> {
        let now = (self.clock)();
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use secrecy::ExposeSecret;

    use super::*;
    use crate::{keys::tests::PAIR, warehouse::tests::script::verified_claims};

    fn authenticator(seconds: &Arc<AtomicU64>) -> Authenticator {
        let config = Config {
            account: "xy12345.us-east-1.aws".into(),
            user: "kafka_service".into(),
            ..Config::default()
        };
        let seconds = Arc::clone(seconds);
        let clock =
            Arc::new(move || UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::SeqCst)));
        Authenticator::new(&config, &PAIR, clock)
    }

    #[test]
    fn a_token_says_who_and_when_and_is_signed() {
        let seconds = Arc::new(AtomicU64::new(1_800_000_000));
        let token = authenticator(&seconds).token().unwrap();
        let claims = verified_claims(token.expose_secret());
        assert_eq!(
            claims["iss"],
            format!("XY12345.KAFKA_SERVICE.{}", PAIR.fingerprint())
        );
        assert_eq!(claims["sub"], "XY12345.KAFKA_SERVICE");
        assert_eq!(claims["iat"], 1_800_000_000_u64);
        assert_eq!(claims["exp"], 1_800_000_000_u64 + 59 * 60);
    }

    #[test]
    fn a_token_is_kept_and_renewed_early() {
        let seconds = Arc::new(AtomicU64::new(1_800_000_000));
        let authenticator = authenticator(&seconds);
        let made_at = || {
            let token = authenticator.token().unwrap();
            verified_claims(token.expose_secret())["iat"]
                .as_u64()
                .unwrap()
        };
        for (now, made) in [
            (0, 0),
            (53 * 60, 0),
            (54 * 60, 54 * 60),
            (60 * 60, 54 * 60),
            (0, 0),
        ] {
            seconds.store(1_800_000_000 + now, Ordering::SeqCst);
            assert_eq!(made_at() - 1_800_000_000, made, "after {now} s");
        }
    }
}
