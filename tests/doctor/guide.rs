//! docs/troubleshooting.md quotes what the program prints.
//!
//! Under each heading of the second level, a heading of the third level is a message, with `…` for what differs.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use crate::support::deployment::Deployment;
use crate::support::pipeline::Pipeline;

/// Every message under the heading was printed, and what was printed is under some heading.
pub(super) fn assert_said(heading: &str, said: &[String]) {
    let messages = messages(heading);
    assert!(!messages.is_empty(), "no messages under {heading}");
    for message in &messages {
        assert!(
            said.iter().any(|line| matches(line, message)),
            "nobody says `{message}`; what was said:\n{}",
            said.join("\n")
        );
    }
    for line in said {
        assert!(
            messages.iter().any(|message| matches(line, message)),
            "the guide has no entry for `{line}`"
        );
    }
}

/// The messages under a heading of the second level.
fn messages(heading: &str) -> Vec<String> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/troubleshooting.md");
    let guide = fs::read_to_string(guide).unwrap();
    let section = guide
        .split("\n## ")
        .find(|section| section.starts_with(heading));
    let section = section.unwrap_or_else(|| panic!("the guide has no part {heading}"));
    let quoted = section
        .lines()
        .filter_map(|line| line.strip_prefix("### `"));
    quoted
        .map(|line| line.strip_suffix('`').unwrap().to_owned())
        .collect()
}

/// Whether the parts of the message between `…` stand in the line, in their order.
fn matches(line: &str, message: &str) -> bool {
    let mut rest = line;
    for part in message.split('…') {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    true
}

#[test]
fn a_message_is_found_by_what_stays_the_same_in_it() {
    for (line, message, expected) in [
        (
            "topic a: it does not exist",
            "topic …: it does not exist",
            true,
        ),
        ("topic a: it is there", "topic …: it does not exist", false),
        (
            "it does not exist: topic a",
            "topic …: it does not exist",
            false,
        ),
    ] {
        assert_eq!(matches(line, message), expected, "{line}");
    }
}

#[test]
fn what_other_commands_say_is_in_the_guide_too() {
    let deployment = Deployment::new("guide", &Pipeline::customer_metrics());
    let mut said = Vec::new();
    let mut fails = |arguments: &[&str]| {
        let output = deployment.command(arguments).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        let line = stderr.lines().find(|line| line.starts_with("error: "));
        said.push(
            line.unwrap_or_else(|| panic!("{arguments:?}: {stderr}"))
                .to_owned(),
        );
    };
    fails(&["run", "clean"]);
    deployment.done(&["setup", "kafka"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("web.listen={}", taken.local_addr().unwrap());
    fails(&["--set", &listen, "run", "clean"]);
    fails(&[
        "--set",
        "kafka.bootstrap_servers=127.0.0.1:1",
        "setup",
        "kafka",
    ]);
    fails(&["verify"]);
    fails(&["query", "SELECT 1 AS ONE"]);
    deployment.setup();
    fails(&["query", "SELECT * FROM NOWHERE"]);
    fails(&[
        "--set",
        "warehouse.account=OTHER",
        "query",
        "SELECT 1 AS ONE",
    ]);
    fails(&["--set", "sink.flush_intervall=1s", "config"]);
    let key = deployment.path().join("rsa_key.p8");
    fails(&[
        "keys",
        "generate",
        "--unencrypted",
        "--out",
        key.to_str().unwrap(),
    ]);
    assert_said("Other commands", &said);
}
