//! Python packages of others that tests run. The tests of both crates include this file.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// The programs of a virtual environment with the packages that a file pins, by their hashes: made once, then found again.
pub(crate) fn environment(requirements: &Path) -> PathBuf {
    let name = requirements.file_stem().unwrap().to_str().unwrap();
    let pinned = fs::read(requirements).unwrap();
    let digest = BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(&pinned)[..9]);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{digest}"));
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let (complete, venv) = (folder.join("complete"), folder.join("venv"));
    if !complete.exists() {
        let python = Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&venv)
            .output();
        let python = python.unwrap_or_else(|error| {
            panic!("python3 cannot be started: {error}\nhint: install Python 3.11 or newer with its venv module")
        });
        succeeded("python3 -m venv", &python);
        let pip = Command::new(venv.join("bin/pip"))
            .args([
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--require-hashes",
                "-r",
            ])
            .arg(requirements)
            .output()
            .unwrap();
        succeeded("pip install", &pip);
        File::create(complete).unwrap();
    }
    venv.join("bin")
}

/// What a program has printed, which has to end well.
pub(crate) fn succeeded(what: &str, output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let stdout = text(&output.stdout);
    assert!(
        output.status.success(),
        "{what} failed: {}\n{stdout}\n{}",
        output.status,
        text(&output.stderr)
    );
    stdout
}
