//! RSA key pairs in and out of files: a private key is read only when nobody else can read it, and never printed.
//!
//! Files are PKCS#8 in PEM, as `openssl pkcs8 -topk8` writes them: plain, or encrypted by a passphrase (PBES2).

mod command;
mod error;
mod file;
mod pair;
mod passphrase;

pub use command::{ExportArgs, FingerprintArgs, GenerateArgs, KeysCommand, run};
pub use error::KeyError;
pub use pair::{KeyPair, PublicKey};
pub use passphrase::{PASSPHRASE_VARIABLE, read_passphrase_file};

#[cfg(test)]
pub(crate) mod tests;
