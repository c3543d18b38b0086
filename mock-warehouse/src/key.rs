//! Public keys as people have them, in the one form that the warehouse keeps.

use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rsa::RsaPublicKey;
use rsa::pkcs8::{DecodePublicKey, EncodePublicKey};
use rsa::traits::PublicKeyParts;

/// Snowflake takes no shorter RSA key.
const SHORTEST_KEY_BITS: usize = 2048;

/// An RSA public key of at least 2048 bits: base64 of the DER SubjectPublicKeyInfo, without PEM's lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(String);

/// Why a text is no usable public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Neither a PEM file of a public key nor its base64 body.
    #[error("not a public key in PEM (`-----BEGIN PUBLIC KEY-----`) or its base64 body")]
    Unreadable,
    /// A private key does not belong in a warehouse.
    #[error("a private key where the public key is wanted")]
    Private,
    /// Too short to be accepted.
    #[error("an RSA key of {0} bits; at least 2048 are wanted")]
    TooShort(usize),
}

impl PublicKey {
    /// The base64 text.
    pub fn as_base64(&self) -> &str {
        &self.0
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    /// Reads a PEM file of a public key, or the base64 between its first and last line.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.contains("PRIVATE KEY-----") {
            return Err(KeyError::Private);
        }
        let body: String = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with("-----"))
            .collect();
        let der = BASE64_STANDARD
            .decode(body)
            .map_err(|_| KeyError::Unreadable)?;
        let key = RsaPublicKey::from_public_key_der(&der).map_err(|_| KeyError::Unreadable)?;
        let bits = key.n().bits();
        if bits < SHORTEST_KEY_BITS {
            return Err(KeyError::TooShort(bits));
        }
        let canonical = key.to_public_key_der().map_err(|_| KeyError::Unreadable)?;
        Ok(Self(BASE64_STANDARD.encode(canonical.as_bytes())))
    }
}
