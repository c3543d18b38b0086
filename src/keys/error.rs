//! What can be wrong with a key, and what to do about it.

use std::{io, path::PathBuf};

/// A key that could not be made, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file is missing, or may not be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file could not be written.
    #[error("cannot write {}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key is never written over another one.
    #[error("{} exists already and is not overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The private key is readable by more than its owner.
    #[error("{} can be read by group or others (mode {mode:04o})", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key is encrypted, and there is no passphrase to try.
    #[error("{} is encrypted and no passphrase was given", path.display())]
    PassphraseMissing {
        /// The file.
        path: PathBuf,
    },
    /// The passphrase is not the one that the key was encrypted with.
    #[error("the passphrase does not open {}", path.display())]
    PassphraseWrong {
        /// The file.
        path: PathBuf,
    },
    /// A passphrase to encrypt with is missing, empty or mistyped.
    #[error("no passphrase to encrypt the private key with: {reason}")]
    PassphraseUnusable {
        /// What is wrong with it.
        reason: String,
    },
    /// The key is in the older PKCS#1 form.
    #[error("{} is a PKCS#1 key (BEGIN RSA PRIVATE KEY), PKCS#8 is needed", path.display())]
    Pkcs1 {
        /// The file.
        path: PathBuf,
    },
    /// The key is encrypted in a way that is not PBES2 with AES and SHA-2 or scrypt.
    #[error("{} is encrypted in a way that is not supported: {reason}", path.display())]
    Encryption {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        reason: String,
    },
    /// The file holds something else.
    #[error("{} holds no usable RSA key: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        reason: String,
    },
    /// The key is too short for the warehouse.
    #[error("{} is an RSA key of {bits} bits, at least {least} are needed", path.display())]
    TooShort {
        /// The file.
        path: PathBuf,
        /// Its size.
        bits: usize,
        /// The least size.
        least: usize,
    },
    /// The key could not be generated or encoded.
    #[error("cannot make an RSA key: {reason}")]
    Generation {
        /// What the library said.
        reason: String,
    },
}

impl KeyError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unreadable { .. } => {
                "`sluicebox keys generate` makes a key; `warehouse.private_key_file` names it".into()
            }
            Self::Unwritable { .. } => "the folder must exist and be writable".into(),
            Self::Exists { .. } => {
                "choose another --out, or move the old key away once the warehouse no longer uses it".into()
            }
            Self::Exposed { path, .. } => format!("chmod 600 {}", path.display()),
            Self::PassphraseMissing { .. } => format!(
                "set {} or name a file that holds it",
                super::PASSPHRASE_VARIABLE
            ),
            Self::PassphraseWrong { .. } => format!(
                "check {} and the passphrase file; a passphrase file's last line end does not count",
                super::PASSPHRASE_VARIABLE
            ),
            Self::PassphraseUnusable { .. } => format!(
                "give --passphrase-file, set {}, or choose --unencrypted",
                super::PASSPHRASE_VARIABLE
            ),
            Self::Pkcs1 { path } | Self::Encryption { path, .. } => format!(
                "openssl pkcs8 -topk8 -v2 aes-256-cbc -in {0} -out {0}.p8",
                path.display()
            ),
            Self::Malformed { .. } => {
                "expected PEM: BEGIN PRIVATE KEY, BEGIN ENCRYPTED PRIVATE KEY, or BEGIN PUBLIC KEY".into()
            }
            Self::TooShort { .. } => "`sluicebox keys generate` makes one of 2048 bits".into(),
            Self::Generation { .. } => return None,
        };
        Some(hint)
    }
}
