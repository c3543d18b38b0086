//! A request's headers in, the user who signed them out: RS256, with a key that is registered, at most an hour ago.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jsonwebtoken::dangerous::insecure_decode;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rsa::RsaPublicKey;
use rsa::pkcs8::DecodePublicKey;
use rsa::traits::PublicKeyParts;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::faults::Moment;
use super::refusal::Refusal;
use crate::engine::{Engine, User};

/// Snowflake honours a token for one hour from `iat`, whatever `exp` says.
const LONGEST_LIFE_SECONDS: i64 = 3600;

/// How far a client's clock may run ahead of ours.
const CLOCK_SKEW_SECONDS: i64 = 60;

#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    iat: i64,
    exp: i64,
}

/// Finds the user who signed the request's bearer token for `account` (in the form of a claim: upper case, no region).
pub(super) fn authenticate(
    headers: &HeaderMap,
    account: &str,
    engine: &Engine,
    now: Moment,
) -> Result<User, Refusal> {
    let token = bearer_token(headers).ok_or(Refusal::NoToken)?;
    if !is_key_pair(headers) {
        return Err(Refusal::InvalidToken);
    }
    verify(token, account, engine, now)
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let token = value.strip_prefix("Bearer ")?.trim();
    (!token.is_empty()).then_some(token)
}

/// The service reads the kind from the token when the header is absent (measured); another kind is not offered here.
fn is_key_pair(headers: &HeaderMap) -> bool {
    match headers.get("x-snowflake-authorization-token-type") {
        None => true,
        Some(kind) => kind.is_empty() || kind == "KEYPAIR_JWT",
    }
}

/// Finds the user who signed the token for `account`.
pub(super) fn verify(
    token: &str,
    account: &str,
    engine: &Engine,
    now: Moment,
) -> Result<User, Refusal> {
    let claims: Claims = insecure_decode(token)
        .map_err(|_| Refusal::MalformedToken)?
        .claims;
    let login = login_of(&claims, account).ok_or(Refusal::InvalidToken)?;
    let user = engine.user(login).ok_or(Refusal::InvalidToken)?;
    let fingerprint = claims
        .iss
        .strip_prefix(&claims.sub)
        .and_then(|rest| rest.strip_prefix(".SHA256:"));
    let key = fingerprint
        .and_then(|fingerprint| key_with(fingerprint, &user.public_keys))
        .ok_or(Refusal::InvalidToken)?;
    let mut signed_only = Validation::new(Algorithm::RS256);
    signed_only.required_spec_claims.clear();
    signed_only.validate_exp = false;
    signed_only.validate_aud = false;
    jsonwebtoken::decode::<Claims>(token, &key, &signed_only).map_err(|_| Refusal::InvalidToken)?;
    if is_current(&claims, now.0) {
        Ok(user)
    } else {
        Err(Refusal::InvalidToken)
    }
}

/// `sub` is `<ACCOUNT>.<USER>`, both in upper case.
fn login_of<'a>(claims: &'a Claims, account: &str) -> Option<&'a str> {
    let login = claims.sub.strip_prefix(account)?.strip_prefix('.')?;
    (login == login.to_uppercase()).then_some(login)
}

fn is_current(claims: &Claims, now: i64) -> bool {
    let issued = claims.iat <= now + CLOCK_SKEW_SECONDS;
    let alive = now
        < claims
            .exp
            .min(claims.iat.saturating_add(LONGEST_LIFE_SECONDS));
    issued && alive
}

/// The registered key that a fingerprint selects; with two slots filled, both work.
fn key_with(fingerprint: &str, public_keys: &[String]) -> Option<DecodingKey> {
    let der = public_keys
        .iter()
        .filter_map(|key| BASE64_STANDARD.decode(key).ok())
        .find(|der| BASE64_STANDARD.encode(Sha256::digest(der)) == fingerprint)?;
    let key = RsaPublicKey::from_public_key_der(&der).ok()?;
    Some(DecodingKey::from_rsa_raw_components(
        &key.n().to_bytes_be(),
        &key.e().to_bytes_be(),
    ))
}
