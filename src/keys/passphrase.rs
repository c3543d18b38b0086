//! Where a passphrase comes from: a file, the environment, or the person at the terminal.

use std::{
    env,
    io::{self, IsTerminal},
    path::Path,
};

use secrecy::{ExposeSecret, SecretString};

use super::{KeyError, file};

/// The environment variable that holds the private key's passphrase.
pub const PASSPHRASE_VARIABLE: &str = "SLUICEBOX_WAREHOUSE__PRIVATE_KEY_PASSPHRASE";

/// The content of a passphrase file, without the end of its last line.
pub fn read_passphrase_file(path: &Path) -> Result<SecretString, KeyError> {
    let text = file::read(path)?;
    let line = text.expose_secret();
    let line = line.strip_suffix('\n').unwrap_or(line);
    Ok(SecretString::from(line.strip_suffix('\r').unwrap_or(line)))
}

/// The passphrase of a key that is there already: from the file, the environment, or asked for once.
///
/// `None` when there is nobody to ask: an unencrypted key needs none.
pub(super) fn to_open(path: Option<&Path>, key: &Path) -> Result<Option<SecretString>, KeyError> {
    if let Some(passphrase) = given(path)? {
        return Ok(Some(passphrase));
    }
    if !io::stdin().is_terminal() || !is_encrypted(key)? {
        return Ok(None);
    }
    prompt(&format!("Passphrase of {}: ", key.display())).map(Some)
}

/// A passphrase for a new key: from the file, the environment, or asked for twice.
pub(super) fn to_encrypt(path: Option<&Path>) -> Result<SecretString, KeyError> {
    let unusable = |reason: &str| KeyError::PassphraseUnusable {
        reason: reason.to_owned(),
    };
    let passphrase = match given(path)? {
        Some(passphrase) => passphrase,
        None if io::stdin().is_terminal() => {
            let first = prompt("Passphrase for the new private key: ")?;
            let second = prompt("The same again: ")?;
            if first.expose_secret() != second.expose_secret() {
                return Err(unusable("the two entries differ"));
            }
            first
        }
        None => {
            return Err(unusable(
                "none was given and there is no terminal to ask at",
            ));
        }
    };
    if passphrase.expose_secret().is_empty() {
        return Err(unusable("it is empty"));
    }
    Ok(passphrase)
}

fn given(path: Option<&Path>) -> Result<Option<SecretString>, KeyError> {
    if let Some(path) = path {
        return read_passphrase_file(path).map(Some);
    }
    Ok(env::var(PASSPHRASE_VARIABLE)
        .ok()
        .filter(|text| !text.is_empty())
        .map(SecretString::from))
}

fn is_encrypted(key: &Path) -> Result<bool, KeyError> {
    Ok(file::read(key)?
        .expose_secret()
        .contains("BEGIN ENCRYPTED PRIVATE KEY"))
}

fn prompt(text: &str) -> Result<SecretString, KeyError> {
    rpassword::prompt_password(text)
        .map(SecretString::from)
        .map_err(|error| KeyError::PassphraseUnusable {
            reason: error.to_string(),
        })
}
