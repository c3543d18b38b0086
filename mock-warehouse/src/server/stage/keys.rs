//! Who may use the S3 endpoint: its configured key everywhere, and temporary keys, each for a while and in one place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Result, s3_error};
use uuid::Uuid;

/// Long enough for a large file on a slow line.
const VALIDITY: Duration = Duration::from_secs(3600);

/// When so many are known, the one that expires first makes room.
const MOST_KEYS: usize = 10_000;

/// What a temporary key allows in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Scope {
    /// To read objects.
    Read,
    /// To read and write objects.
    Write,
}

/// Credentials that expire.
pub(in crate::server) struct TemporaryKey {
    pub(in crate::server) access_key: String,
    pub(in crate::server) secret_key: String,
    /// Goes with each request, in `x-amz-security-token`.
    pub(in crate::server) token: String,
}

/// The temporary keys that have been handed out. Cheap to clone.
#[derive(Clone, Default)]
pub(in crate::server) struct TemporaryKeys {
    issued: Arc<Mutex<HashMap<String, Issued>>>,
}

struct Issued {
    secret_key: String,
    token: String,
    /// `<bucket>/<begin of the keys>`
    place: String,
    scope: Scope,
    expires: Instant,
}

impl TemporaryKeys {
    /// A key for the objects that begin with `place`, which is `<bucket>/<prefix>`.
    pub(in crate::server) fn issue(&self, place: &str, scope: Scope) -> TemporaryKey {
        self.issue_until(place, scope, Instant::now() + VALIDITY)
    }

    fn issue_until(&self, place: &str, scope: Scope, expires: Instant) -> TemporaryKey {
        let random = || Uuid::new_v4().simple().to_string();
        let key = TemporaryKey {
            access_key: format!("ASIA{}", random().to_uppercase()),
            secret_key: random(),
            token: format!("{}{}", random(), random()),
        };
        let issued = Issued {
            secret_key: key.secret_key.clone(),
            token: key.token.clone(),
            place: place.to_owned(),
            scope,
            expires,
        };
        let mut all = self.issued();
        let now = Instant::now();
        // Those that expired lately stay, so that their users are told why.
        all.retain(|_, issued| now.saturating_duration_since(issued.expires) < VALIDITY);
        if all.len() >= MOST_KEYS
            && let Some(oldest) = all.iter().min_by_key(|(_, issued)| issued.expires)
        {
            let oldest = oldest.0.clone();
            all.remove(&oldest);
        }
        all.insert(key.access_key.clone(), issued);
        key
    }

    /// Ends the validity of the temporary key that has signed the request, if one has.
    pub(in crate::server) fn expire(&self, headers: &HeaderMap) {
        let signature = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let key = signature
            .and_then(|text| text.split_once("Credential="))
            .and_then(|(_, rest)| rest.split('/').next());
        let mut all = self.issued();
        if let Some(issued) = key.and_then(|key| all.get_mut(key)) {
            issued.expires = Instant::now();
        }
    }

    /// Whether the key, if it is a temporary one, allows this request.
    fn check(&self, access_key: &str, request: &Asked<'_>) -> S3Result<()> {
        let issued = self.issued();
        let Some(issued) = issued.get(access_key) else {
            return Ok(());
        };
        if request.token != Some(&issued.token) {
            return Err(s3_error!(
                InvalidToken,
                "The security token is missing or wrong"
            ));
        }
        let reads = matches!(*request.method, Method::GET | Method::HEAD);
        let inside = request
            .object
            .is_some_and(|(bucket, key)| format!("{bucket}/{key}").starts_with(&issued.place));
        if inside && (reads || issued.scope == Scope::Write) {
            Ok(())
        } else {
            Err(s3_error!(AccessDenied, "Access Denied"))
        }
    }

    fn issued(&self) -> MutexGuard<'_, HashMap<String, Issued>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What of a request decides.
struct Asked<'a> {
    method: &'a Method,
    token: Option<&'a str>,
    object: Option<(&'a str, &'a str)>,
}

/// The endpoint's configured key and the temporary ones.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) access_key: String,
    pub(super) secret_key: String,
    pub(super) temporary: TemporaryKeys,
}

#[async_trait::async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == self.access_key {
            return Ok(self.secret_key.as_str().into());
        }
        match self.temporary.issued().get(access_key) {
            None => Err(s3_error!(NotSignedUp, "Your account is not signed up")),
            Some(issued) if issued.expires <= Instant::now() => {
                Err(s3_error!(ExpiredToken, "The provided token has expired."))
            }
            Some(issued) => Ok(issued.secret_key.as_str().into()),
        }
    }
}

#[async_trait::async_trait]
impl S3Access for Keys {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let Some(credentials) = context.credentials() else {
            return Err(s3_error!(AccessDenied, "Signature is required"));
        };
        let token = context.headers().get("x-amz-security-token");
        let asked = Asked {
            method: context.method(),
            token: token.and_then(|token| token.to_str().ok()),
            object: context.s3_path().as_object(),
        };
        self.temporary.check(&credentials.access_key, &asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked<'a>(method: &'a Method, token: &'a str, key: &'a str) -> Asked<'a> {
        Asked {
            method,
            token: Some(token),
            object: Some(("internal", key)),
        }
    }

    #[test]
    fn a_temporary_key_opens_its_own_place_only() {
        let keys = TemporaryKeys::default();
        let writer = keys.issue("internal/DB/S/ST/in/", Scope::Write);
        let reader = keys.issue("internal/DB/S/ST/", Scope::Read);
        let inside = "DB/S/ST/in/x";
        for (key, method, token, object, allowed) in [
            (&writer, Method::PUT, &writer.token, inside, true),
            (&writer, Method::GET, &writer.token, inside, true),
            (&writer, Method::PUT, &writer.token, "DB/S/ST/x", false),
            (&writer, Method::PUT, &reader.token, inside, false),
            (&reader, Method::GET, &reader.token, inside, true),
            (&reader, Method::PUT, &reader.token, inside, false),
            (&reader, Method::GET, &reader.token, "DB/S/OTHER/x", false),
        ] {
            let checked = keys.check(&key.access_key, &asked(&method, token, object));
            assert_eq!(checked.is_ok(), allowed, "{method} {object}");
        }
    }

    #[tokio::test]
    async fn an_expired_key_is_told_so() {
        let keys = Keys {
            access_key: "fixed".to_owned(),
            secret_key: "secret".to_owned(),
            temporary: TemporaryKeys::default(),
        };
        let gone = keys
            .temporary
            .issue_until("internal/", Scope::Read, Instant::now());
        let error = keys.get_secret_key(&gone.access_key).await.err().unwrap();
        assert_eq!(error.code().as_str(), "ExpiredToken");
        assert!(keys.get_secret_key("fixed").await.is_ok());
        assert!(keys.get_secret_key("unknown").await.is_err());
    }
}
