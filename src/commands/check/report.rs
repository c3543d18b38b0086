//! What was looked at, and what was found: a line each, or one JSON document.

use serde::Serialize;

use crate::commands::failure;

/// What is said where no remedy is known.
const UNKNOWN: &str =
    "no remedy is known: the broker's log or the warehouse's query history may say more";

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// As it has to be.
    Ok,
    /// It works, and somebody may be surprised one day.
    Warning,
    /// The service cannot work with it.
    Wrong,
    /// Not looked at, because of something before.
    Skipped,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// What it is, e.g. `topic raw_events`; no two have the same.
    pub(super) name: String,
    /// How it stands with it.
    pub(super) status: Status,
    /// What was found, on one line.
    pub(super) found: String,
    /// What repairs it: an SQL script, a command, or a line of the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
    /// What repairs it where the cause is another one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) or: Vec<String>,
}

/// What is wrong with a thing, and what repairs it: the likeliest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) found: String,
    pub(super) fixes: Vec<String>,
}

impl Trouble {
    pub(super) fn new(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            found: found.into(),
            fixes: vec![fix.into()],
        }
    }

    pub(super) fn or(mut self, fix: impl Into<String>) -> Self {
        self.fixes.push(fix.into());
        self
    }

    /// The failure and its hints, as any command says them.
    pub(super) fn of(error: impl Into<anyhow::Error>) -> Self {
        let (found, mut fixes) = failure::told(&error.into());
        if fixes.is_empty() {
            fixes.push(UNKNOWN.to_owned());
        }
        Self { found, fixes }
    }
}

/// All that was looked at, in the order of dependence.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether nothing is wrong.
    ok: bool,
    checks: Vec<Check>,
    /// Lines are printed as they are found.
    #[serde(skip)]
    speaks: bool,
}

impl Report {
    /// An empty one; one that speaks prints each line at once.
    pub(super) fn new(speaks: bool) -> Self {
        Self {
            ok: true,
            checks: Vec::new(),
            speaks,
        }
    }

    /// Adds what was found; true when what depends on it can be looked at.
    pub(super) fn add(&mut self, name: impl Into<String>, found: Result<String, Trouble>) -> bool {
        let good = found.is_ok();
        let (status, found, fixes) = match found {
            Ok(found) => (Status::Ok, found, Vec::new()),
            Err(Trouble { found, fixes }) => (Status::Wrong, found, fixes),
        };
        self.push(name.into(), status, found, fixes);
        good
    }

    /// Adds what works and may surprise.
    pub(super) fn warn(&mut self, name: impl Into<String>, trouble: Trouble) {
        self.push(name.into(), Status::Warning, trouble.found, trouble.fixes);
    }

    /// Adds what was not looked at, and why not.
    pub(super) fn skip(&mut self, name: impl Into<String>, because: impl Into<String>) {
        self.push(name.into(), Status::Skipped, because.into(), Vec::new());
    }

    fn push(&mut self, name: String, status: Status, found: String, fixes: Vec<String>) {
        self.ok &= status != Status::Wrong;
        let mut fixes = fixes.into_iter();
        let check = Check {
            name,
            status,
            found,
            fix: fixes.next(),
            or: fixes.collect(),
        };
        if self.speaks {
            failure::print_data(&check.to_string());
        }
        self.checks.push(check);
    }

    pub(super) fn is_ok(&self) -> bool {
        self.ok
    }

    /// How many of each there are.
    pub(super) fn summary(&self) -> String {
        let count = |status| {
            let such = self.checks.iter().filter(|check| check.status == status);
            such.count()
        };
        format!(
            "{} checks: {} ok, {} wrong, {} skipped, {} warnings",
            self.checks.len(),
            count(Status::Ok),
            count(Status::Wrong),
            count(Status::Skipped),
            count(Status::Warning),
        )
    }

    pub(super) fn json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)?)
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let status = match self.status {
            Status::Ok => "ok",
            Status::Warning => "warning",
            Status::Wrong => "wrong",
            Status::Skipped => "skipped",
        };
        write!(f, "{status:<8}{}: {}", self.name, self.found)?;
        for (word, fix) in
            (self.fix.iter().map(|fix| ("fix", fix))).chain(self.or.iter().map(|fix| ("or", fix)))
        {
            write!(f, "\n        {word}: {fix}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn report() -> Report {
        let mut report = Report::new(false);
        assert!(report.add("kafka broker", Ok("localhost:9092".into())));
        assert!(
            !report.add(
                "topic raw",
                Err(Trouble::new("it does not exist", "sluicebox setup kafka")
                    .or("[topics] raw = \"...\"")),
            )
        );
        report.skip("role R", "needs sign-in");
        report
    }

    #[test]
    fn a_wrong_line_is_followed_by_what_repairs_it() {
        let lines: Vec<String> = report().checks.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "ok      kafka broker: localhost:9092",
                "wrong   topic raw: it does not exist\n        fix: sluicebox setup kafka\n        or: [topics] raw = \"...\"",
                "skipped role R: needs sign-in",
            ]
        );
        assert_eq!(
            report().summary(),
            "3 checks: 1 ok, 1 wrong, 1 skipped, 0 warnings"
        );
    }

    #[test]
    fn the_json_says_the_same() {
        let said: Value = serde_json::from_str(&report().json().unwrap()).unwrap();
        assert_eq!(
            said,
            json!({"ok": false, "checks": [
                {"name": "kafka broker", "status": "ok", "found": "localhost:9092"},
                {"name": "topic raw", "status": "wrong", "found": "it does not exist",
                 "fix": "sluicebox setup kafka", "or": ["[topics] raw = \"...\""]},
                {"name": "role R", "status": "skipped", "found": "needs sign-in"},
            ]})
        );
    }

    #[test]
    fn a_failure_without_a_hint_says_that_nothing_is_known() {
        let trouble = Trouble::of(anyhow::anyhow!("the moon is full"));
        assert_eq!(trouble, Trouble::new("the moon is full", UNKNOWN));
    }

    #[test]
    fn a_warning_is_no_failure() {
        let mut report = Report::new(false);
        report.warn(
            "warehouse W",
            Trouble::new("it never suspends", "ALTER WAREHOUSE"),
        );
        assert!(report.is_ok());
    }
}
