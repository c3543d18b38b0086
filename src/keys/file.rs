//! Key files: read when they are private enough, written once.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use secrecy::SecretString;

use super::KeyError;

/// What group and others may do with a file.
const GROUP_AND_OTHERS: u32 = 0o077;

/// Who may read a file that is written.
#[derive(Clone, Copy)]
pub(super) enum Readers {
    Owner,
    Everyone,
}

/// Reads a file that is no secret to anybody; the text is kept like one, in case it is.
pub(super) fn read(path: &Path) -> Result<SecretString, KeyError> {
    open(path)
        .and_then(text)
        .map_err(|source| unreadable(path, source))
}

/// Reads a file that nobody but its owner may read.
pub(super) fn read_private(path: &Path) -> Result<SecretString, KeyError> {
    let file = open(path).map_err(|source| unreadable(path, source))?;
    let metadata = file.metadata().map_err(|source| unreadable(path, source))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & GROUP_AND_OTHERS != 0 {
        return Err(KeyError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    text(file).map_err(|source| unreadable(path, source))
}

/// Writes a file that must not exist yet, to the disk.
pub(super) fn write_new(path: &Path, content: &str, readers: Readers) -> Result<(), KeyError> {
    let mode = match readers {
        Readers::Owner => 0o600,
        Readers::Everyone => 0o644,
    };
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyError::Exists {
            path: path.to_owned(),
        },
        _ => KeyError::Unwritable {
            path: path.to_owned(),
            source,
        },
    })
}

fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

fn text(mut file: File) -> io::Result<SecretString> {
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(SecretString::from(text))
}

fn unreadable(path: &Path, source: io::Error) -> KeyError {
    KeyError::Unreadable {
        path: path.to_owned(),
        source,
    }
}
