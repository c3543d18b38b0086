//! A pipeline's folder that is not as it should be: refused at start, with file, line, what is wrong and what would be accepted.

use std::fs;
use std::path::Path;

use sluicebox::sql::{Pipeline, Settings};
use tempfile::TempDir;

mod accepted;
mod clean;
mod gold;
mod raw;

const RAW: &str = "CREATE TABLE raw_events (
    id VARCHAR,
    who VARCHAR,
    amount DECIMAL(18, 2),
    number BIGINT,
    happened TIMESTAMP
)";
const CLEAN: &str =
    "SELECT id, who, amount, number, happened, CAST(NULL AS VARCHAR) AS reject_reason
FROM raw_events";
const GOLD: &str = "SELECT who, COUNT(*) AS events
FROM clean_events
GROUP BY who";

/// A file's text, and what is said about it.
struct Refusal {
    text: String,
    /// The line that the error names; none where the file as a whole is meant.
    line: Option<u32>,
    /// What the error says, whatever the case of its letters.
    says: &'static str,
}

fn refusal(text: impl Into<String>, line: impl Into<Option<u32>>, says: &'static str) -> Refusal {
    Refusal {
        text: text.into(),
        line: line.into(),
        says,
    }
}

/// A folder with the good files, one of them replaced.
fn folder(file: &str, text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("gold")).unwrap();
    for (name, text) in [
        ("raw_events.sql", RAW),
        ("clean_events.sql", CLEAN),
        ("gold/totals.sql", GOLD),
        (file, text),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn load(folder: &Path) -> Result<Pipeline, String> {
    let settings = Settings {
        key: "who",
        event_id: "id",
    };
    Pipeline::load(folder, settings).map_err(|error| error.to_string())
}

/// Every text is refused, and the error is `path/file:line: message`, then `hint: ...`.
fn assert_refused(file: &str, refusals: &[Refusal]) {
    let mut wrong = Vec::new();
    for Refusal { text, line, says } in refusals {
        let folder = folder(file, text);
        let Err(error) = load(folder.path()) else {
            wrong.push(format!("accepted: {text}"));
            continue;
        };
        let place = match line {
            Some(line) => format!("{}:{line}: ", folder.path().join(file).display()),
            None => format!("{}: ", folder.path().join(file).display()),
        };
        let (first, hint) = error.split_once('\n').unwrap_or((&error, ""));
        let right = first.starts_with(&place)
            && first.to_lowercase().contains(&says.to_lowercase())
            && hint.starts_with("hint: ")
            && hint.lines().count() == 1;
        if !right {
            wrong.push(format!(
                "{text}\n  should say `{place}...{says}`\n  but is {error}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_good_folder_is_accepted() {
    let folder = folder("gold/totals.sql", GOLD);
    let pipeline = load(folder.path()).unwrap();
    assert_eq!(pipeline.gold.len(), 1);
}

#[test]
fn a_missing_file_or_folder_is_named() {
    for file in ["raw_events.sql", "clean_events.sql"] {
        let folder = folder("gold/totals.sql", GOLD);
        fs::remove_file(folder.path().join(file)).unwrap();
        let error = load(folder.path()).unwrap_err();
        assert!(
            error.contains(&format!("{file}: cannot be read")),
            "{error}"
        );
        assert!(error.contains("\nhint: "), "{error}");
    }
    let nowhere = tempfile::tempdir().unwrap().path().join("nowhere");
    let error = load(&nowhere).unwrap_err();
    assert!(error.contains(&nowhere.display().to_string()), "{error}");
    assert!(error.contains("\nhint: "), "{error}");
}

#[test]
fn a_gold_file_is_named_as_its_topic_and_table_will_be() {
    for name in ["My-Table", "1st", "Totals", "_totals", "grün", "two words"] {
        let file = format!("gold/{name}.sql");
        let folder = folder(&file, GOLD);
        let error = load(folder.path()).expect_err(name);
        assert!(
            error.contains(&file) && error.contains("\nhint: "),
            "{error}"
        );
    }
}
