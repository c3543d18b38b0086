//! Apache Kafka's jars, fetched once and kept beside the build.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder name that changes with what is in the pom.
const NAME: &str = "kafka-4.1.0";

/// The folder of the jars. Whoever comes first fetches them; others wait for the lock meanwhile.
pub(crate) fn folder() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("the folder is inside target/");
    let jars = target.join(NAME);
    let lock =
        File::create(target.join(format!("{NAME}.lock"))).expect("target/ can be written to");
    lock.lock().expect("target/ is on a file system with locks");
    if !jars.is_dir() {
        fetch(&jars);
    }
    jars
}

/// Into a folder of another name first, so that a fetch that was cut off is not taken for a whole one.
fn fetch(jars: &Path) {
    let partial = jars.with_extension("partial");
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/kafka/pom.xml");
    let mut maven = Command::new("mvn");
    maven
        .args([
            "--batch-mode",
            "--quiet",
            "dependency:copy-dependencies",
            "--file",
        ])
        .arg(pom);
    maven.arg(format!("-DoutputDirectory={}", partial.display()));
    let output = maven.output().unwrap_or_else(|error| {
        panic!("Maven cannot be started: {error}\nhint: tests run a real Kafka; apt-get install maven default-jre-headless")
    });
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "Maven could not fetch Kafka's jars:\n{said}"
    );
    fs::rename(&partial, jars).expect("a folder can be renamed inside target/");
}
