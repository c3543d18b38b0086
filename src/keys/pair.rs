//! A key pair in memory: it signs, it knows its fingerprint, and it does not print.

use std::{fmt, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use pkcs8::{
    EncodePublicKey, EncryptedPrivateKeyInfo, LineEnding, PrivateKeyInfo, SecretDocument,
    der::{Decode, pem::PemLabel},
    pkcs5::pbes2,
    spki::DecodePublicKey,
};
use rsa::{
    RsaPrivateKey, RsaPublicKey,
    pkcs1::EncodeRsaPrivateKey,
    pkcs8::EncodePrivateKey,
    rand_core::{OsRng, RngCore},
    traits::PublicKeyParts,
};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{
    KeyError,
    file::{self, Readers},
};

/// The warehouse refuses shorter keys.
/// <https://docs.snowflake.com/en/user-guide/key-pair-auth>
const LEAST_BITS: usize = 2048;

/// Makes each guess at a stolen file's passphrase cost a good part of a second.
/// <https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>
const PBKDF2_ROUNDS: u32 = 600_000;

/// An RSA key that the warehouse may know: who holds it can prove nothing.
#[derive(Clone, Debug)]
pub struct PublicKey {
    /// SubjectPublicKeyInfo in DER.
    der: Vec<u8>,
}

impl PublicKey {
    /// Reads `BEGIN PUBLIC KEY` from a PEM file.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let text = file::read(path)?;
        let key = RsaPublicKey::from_public_key_pem(text.expose_secret())
            .map_err(|error| malformed(path, &error))?;
        long_enough(path, &key)?;
        Ok(Self::of(&key))
    }

    fn of(key: &RsaPublicKey) -> Self {
        let der = key
            .to_public_key_der()
            .expect("an RSA public key has a DER form");
        Self {
            der: der.into_vec(),
        }
    }

    /// `SHA256:` and the base64 of the SHA-256 of the key, as `DESC USER` shows in `RSA_PUBLIC_KEY_FP`.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD.encode(Sha256::digest(&self.der)))
    }

    /// The key's DER in base64 on one line: what `RSA_PUBLIC_KEY='...'` takes, the body of the PEM.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.der)
    }

    /// The key as PEM, `BEGIN PUBLIC KEY`.
    pub fn to_pem(&self) -> String {
        pkcs8::Document::try_from(self.der.as_slice())
            .and_then(|document| document.to_pem("PUBLIC KEY", LineEnding::LF))
            .expect("a DER document has a PEM form")
    }
}

/// A private key and its public half. `Debug` shows the fingerprint alone.
pub struct KeyPair {
    private: RsaPrivateKey,
    public: PublicKey,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair")
            .field("fingerprint", &self.public.fingerprint())
            .finish_non_exhaustive()
    }
}

impl KeyPair {
    /// A new pair. 2048 bits take a moment, 4096 several.
    pub fn generate(bits: usize) -> Result<Self, KeyError> {
        let private =
            RsaPrivateKey::new(&mut OsRng, bits).map_err(|error| KeyError::Generation {
                reason: error.to_string(),
            })?;
        Ok(Self::of(private))
    }

    /// Reads a PKCS#8 PEM file that nobody but its owner may read.
    ///
    /// A passphrase that the file does not need is ignored.
    pub fn read(path: &Path, passphrase: Option<&SecretString>) -> Result<Self, KeyError> {
        let text = file::read_private(path)?;
        if text.expose_secret().contains("BEGIN RSA PRIVATE KEY") {
            return Err(KeyError::Pkcs1 {
                path: path.to_owned(),
            });
        }
        let (label, document) = SecretDocument::from_pem(text.expose_secret())
            .map_err(|error| malformed(path, &error))?;
        let private = match label {
            PrivateKeyInfo::PEM_LABEL => {
                parse(&document).map_err(|error| malformed(path, &error))?
            }
            EncryptedPrivateKeyInfo::PEM_LABEL => decrypt(path, &document, passphrase)?,
            other => return Err(malformed(path, &format!("it is a {other}"))),
        };
        long_enough(path, private.as_ref())?;
        Ok(Self::of(private))
    }

    fn of(private: RsaPrivateKey) -> Self {
        let public = PublicKey::of(private.as_ref());
        Self { private, public }
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// See [`PublicKey::fingerprint`].
    pub fn fingerprint(&self) -> String {
        self.public.fingerprint()
    }

    /// See [`PublicKey::to_base64`].
    pub fn public_key_base64(&self) -> String {
        self.public.to_base64()
    }

    /// The private key in PKCS#1 DER, for the one call that signs with it. Wiped when dropped.
    pub fn reveal(&self) -> SecretDocument {
        self.private
            .to_pkcs1_der()
            .expect("an RSA key of two primes has a PKCS#1 form")
    }

    /// Writes the private key to a file that must not exist yet, readable by its owner alone: encrypted, or plain
    /// without a passphrase.
    pub fn write_new(
        &self,
        path: &Path,
        passphrase: Option<&SecretString>,
    ) -> Result<(), KeyError> {
        let pem = self.to_pem(passphrase, PBKDF2_ROUNDS)?;
        file::write_new(path, pem.expose_secret(), Readers::Owner)
    }

    /// The private key as PKCS#8 PEM: encrypted by PBES2 (PBKDF2 with SHA-256, AES-256-CBC), or plain without a
    /// passphrase. The number of rounds is what makes encryption slow.
    pub(super) fn to_pem(
        &self,
        passphrase: Option<&SecretString>,
        rounds: u32,
    ) -> Result<SecretString, KeyError> {
        let failed = |error: pkcs8::Error| KeyError::Generation {
            reason: error.to_string(),
        };
        let plain = self.private.to_pkcs8_der().map_err(failed)?;
        let (label, document) = match passphrase {
            None => (PrivateKeyInfo::PEM_LABEL, plain),
            Some(passphrase) => {
                let (mut salt, mut iv) = ([0; 16], [0; 16]);
                OsRng.fill_bytes(&mut salt);
                OsRng.fill_bytes(&mut iv);
                let scheme = pbes2::Parameters::pbkdf2_sha256_aes256cbc(rounds, &salt, &iv)
                    .map_err(|error| failed(error.into()))?;
                let info = PrivateKeyInfo::from_der(plain.as_bytes())
                    .map_err(|error| failed(error.into()))?;
                let sealed = info
                    .encrypt_with_params(scheme, passphrase.expose_secret())
                    .map_err(failed)?;
                (EncryptedPrivateKeyInfo::PEM_LABEL, sealed)
            }
        };
        let pem = document
            .to_pem(label, LineEnding::LF)
            .map_err(|error| failed(error.into()))?;
        Ok(SecretString::from(pem.as_str()))
    }
}

fn parse(document: &SecretDocument) -> Result<RsaPrivateKey, pkcs8::Error> {
    PrivateKeyInfo::from_der(document.as_bytes())?.try_into()
}

fn decrypt(
    path: &Path,
    document: &SecretDocument,
    passphrase: Option<&SecretString>,
) -> Result<RsaPrivateKey, KeyError> {
    let sealed = EncryptedPrivateKeyInfo::from_der(document.as_bytes()).map_err(|error| {
        KeyError::Encryption {
            path: path.to_owned(),
            reason: error.to_string(),
        }
    })?;
    let Some(passphrase) = passphrase else {
        return Err(KeyError::PassphraseMissing {
            path: path.to_owned(),
        });
    };
    let plain = sealed
        .decrypt(passphrase.expose_secret())
        .map_err(|error| {
            use pkcs8::pkcs5::Error as Scheme;
            match error {
                pkcs8::Error::EncryptedPrivateKey(
                    Scheme::UnsupportedAlgorithm { .. }
                    | Scheme::AlgorithmParametersInvalid { .. }
                    | Scheme::NoPbes1CryptSupport,
                ) => KeyError::Encryption {
                    path: path.to_owned(),
                    reason: error.to_string(),
                },
                _ => KeyError::PassphraseWrong {
                    path: path.to_owned(),
                },
            }
        })?;
    // One wrong passphrase in 256 gives a valid padding, and then rubbish.
    PrivateKeyInfo::from_der(plain.as_bytes())
        .map_err(|_| KeyError::PassphraseWrong {
            path: path.to_owned(),
        })?
        .try_into()
        .map_err(|error: pkcs8::Error| malformed(path, &error))
}

fn long_enough(path: &Path, key: &RsaPublicKey) -> Result<(), KeyError> {
    let bits = key.n().bits();
    if bits < LEAST_BITS {
        return Err(KeyError::TooShort {
            path: path.to_owned(),
            bits,
            least: LEAST_BITS,
        });
    }
    Ok(())
}

fn malformed(path: &Path, reason: &dyn fmt::Display) -> KeyError {
    KeyError::Malformed {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
