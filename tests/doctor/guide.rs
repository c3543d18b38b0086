//! docs/troubleshooting.md quotes what the program prints.
//!
//! Under each heading of the second level, a heading of the third level is a message, with `…` for what differs.

use std::fs;
use std::path::Path;

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
