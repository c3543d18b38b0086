//! A deployment that is all right, what breaks it, and the remedies applied as they are printed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::support::deployment::Deployment;
use crate::support::kafka::jars_folder;

/// A line of the report.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) status: String,
    pub(super) found: String,
    #[serde(default)]
    pub(super) fix: Option<String>,
    #[serde(default)]
    pub(super) or: Vec<String>,
}

/// What the command prints with `--json`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Report {
    pub(super) ok: bool,
    pub(super) checks: Vec<Line>,
}

impl Report {
    pub(super) fn wrong(&self) -> Vec<&Line> {
        self.of("wrong")
    }

    pub(super) fn of(&self, status: &str) -> Vec<&Line> {
        self.checks
            .iter()
            .filter(|line| line.status == status)
            .collect()
    }
}

/// One thing that is wrong, and the remedy that is applied.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// The line's name.
    pub(super) line: String,
    /// A part of what was found.
    pub(super) says: &'static str,
    /// How the remedy begins; one of `fix` and `or`.
    pub(super) fix: &'static str,
    /// What stands in the remedy's `<...>`, in their order.
    pub(super) answers: Vec<String>,
    /// What is done instead of a remedy that this machine cannot follow.
    pub(super) by_hand: Option<Break>,
}

/// How a set-up is broken.
#[derive(Debug, Clone)]
pub(super) enum Break {
    /// By these statements of the administrator.
    Sql(Vec<String>),
    /// By these variables of the environment.
    Environment(Vec<(String, String)>),
    /// By this command of the shell, in the deployment's folder.
    Shell(String),
}

/// A broken set-up, and the way back.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) breaks: Break,
    /// One after the other; after the last nothing is wrong.
    pub(super) steps: Vec<Step>,
}

impl Case {
    pub(super) fn new(name: impl Into<String>, breaks: Break) -> Self {
        Self {
            name: name.into(),
            breaks,
            steps: Vec::new(),
        }
    }

    pub(super) fn then(
        mut self,
        line: impl Into<String>,
        says: &'static str,
        fix: &'static str,
        answers: &[&str],
    ) -> Self {
        self.steps.push(Step {
            line: line.into(),
            says,
            fix,
            answers: answers.iter().map(|&answer| answer.to_owned()).collect(),
            by_hand: None,
        });
        self
    }

    /// The last step's remedy is followed like this.
    pub(super) fn by_hand(mut self, change: Break) -> Self {
        self.steps.last_mut().unwrap().by_hand = Some(change);
        self
    }
}

pub(super) fn sql<S: AsRef<str>>(statements: &[S]) -> Break {
    Break::Sql(
        statements
            .iter()
            .map(|statement| statement.as_ref().to_owned())
            .collect(),
    )
}

pub(super) fn environment(settings: &[(&str, &str)]) -> Break {
    let variable = |(key, value): &(&str, &str)| (variable(key), (*value).to_owned());
    Break::Environment(settings.iter().map(variable).collect())
}

/// The variable of a configuration's key, e.g. of `kafka.properties.sasl.username`.
fn variable(key: &str) -> String {
    let mut parts = key.splitn(3, '.');
    let mut parts: Vec<String> = parts.by_ref().map(|part| part.replace('.', "_")).collect();
    parts
        .iter_mut()
        .for_each(|part| part.make_ascii_uppercase());
    format!("SLUICEBOX_{}", parts.join("__"))
}

/// A deployment, with what differs from its configuration at the moment.
pub(super) struct Scene {
    pub(super) deployment: Deployment,
    /// The gold topic.
    pub(super) gold: String,
    /// `kafka` or `warehouse`.
    part: &'static str,
    environment: BTreeMap<String, String>,
    /// What stays set in all cases.
    always: BTreeMap<String, String>,
    tools: PathBuf,
    /// All that was said to be wrong, for the guide.
    pub(super) said: Vec<String>,
}

impl Scene {
    pub(super) fn new(deployment: Deployment, gold: String, part: &'static str) -> Self {
        let tools = deployment.path().join("tools");
        fs::create_dir(&tools).unwrap();
        let jars = jars_folder();
        let kafka = format!(
            "exec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp '{}/*' kafka.admin.ConfigCommand \"$@\"",
            jars.display()
        );
        let binary = format!("exec '{}' \"$@\"", env!("CARGO_BIN_EXE_sluicebox"));
        let scene = Self {
            deployment,
            gold,
            part,
            environment: BTreeMap::new(),
            always: BTreeMap::new(),
            tools,
            said: Vec::new(),
        };
        scene.tool("kafka-configs.sh", &kafka);
        scene.tool("sluicebox", &binary);
        scene
    }

    /// Puts a program where the remedies find it.
    pub(super) fn tool(&self, name: &str, script: &str) {
        let file = self.tools.join(name);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(super) fn path(&self) -> &Path {
        self.deployment.path()
    }

    pub(super) fn always(&mut self, key: &str, value: &str) {
        self.always.insert(variable(key), value.to_owned());
    }

    /// Runs the command; its exit code has to say what its report says.
    pub(super) fn check(&mut self) -> Report {
        let mut command = self.deployment.command(&["check", self.part, "--json"]);
        command.current_dir(self.path());
        command.envs(&self.always).envs(&self.environment);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let report: Report = serde_json::from_str(&said).unwrap_or_else(|error| {
            panic!(
                "{error}: {said}\n{}",
                String::from_utf8_lossy(&output.stderr)
            )
        });
        assert_eq!(output.status.code(), Some(i32::from(!report.ok)), "{said}");
        assert_eq!(report.ok, report.wrong().is_empty(), "{said}");
        self.said.extend(
            (report
                .checks
                .iter()
                .filter(|line| matches!(line.status.as_str(), "wrong" | "warning")))
            .map(|line| format!("{}: {}", line.name, line.found)),
        );
        report
    }

    /// Breaks it, follows the remedies, and finds everything right afterwards. True when each remedy was the right one.
    pub(super) fn play(&mut self, case: &Case) {
        let name = &case.name;
        self.change(&case.breaks);
        for step in &case.steps {
            let report = self.check();
            let wrong = report.wrong();
            let first = wrong
                .first()
                .unwrap_or_else(|| panic!("{name}: nothing is wrong: {report:#?}"));
            assert_eq!(first.name, step.line, "{name}: {wrong:#?}");
            assert!(first.found.contains(step.says), "{name}: {first:#?}");
            // What follows from it is skipped, not wrong as well.
            assert!(
                wrong.len() == 1 || name.starts_with("several"),
                "{name}: {wrong:#?}"
            );
            let fixes = first.fix.iter().chain(&first.or);
            let fix = fixes.clone().find(|fix| fix.starts_with(step.fix));
            let fix = fix.unwrap_or_else(|| {
                panic!("{name}: no remedy begins with {}: {first:#?}", step.fix)
            });
            match &step.by_hand {
                Some(change) => self.change(change),
                None => self.apply(&filled(fix, &step.answers)),
            }
        }
        let report = self.check();
        assert!(report.ok, "{name}: still wrong: {:#?}", report.wrong());
        self.environment.clear();
    }

    fn change(&mut self, change: &Break) {
        match change {
            Break::Sql(statements) => {
                let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
                self.deployment.administer(&statements);
            }
            Break::Environment(settings) => self.environment.extend(settings.iter().cloned()),
            Break::Shell(script) => self.shell(script),
        }
    }

    /// Does what a remedy says.
    pub(super) fn apply(&mut self, fix: &str) {
        if fix.starts_with("USE ROLE ") {
            let statements = fix
                .split(';')
                .map(str::trim)
                .filter(|part| !part.is_empty());
            self.deployment.administer(&statements.collect::<Vec<_>>());
        } else if let Some(settings) = fix.strip_prefix("export ") {
            for setting in settings.trim_end_matches('\'').split("' ") {
                let (name, value) = setting.split_once("='").unwrap();
                self.environment.insert(name.to_owned(), value.to_owned());
            }
        } else if let Some((section, settings)) =
            fix.strip_prefix('[').and_then(|rest| rest.split_once("] "))
        {
            // `"name" = "value", "name" = "value"; a variable of the environment  # a comment`
            let settings = settings.split("  # ").next().unwrap();
            for setting in settings.split("; ").next().unwrap().split("\", ") {
                let (key, value) = setting.split_once(" = ").unwrap();
                let key = format!("{section}.{}", key.trim_matches('"'));
                self.environment
                    .insert(variable(&key), value.trim_matches('"').to_owned());
            }
        } else {
            self.shell(fix);
        }
    }

    fn shell(&self, script: &str) {
        let path = std::env::var("PATH").unwrap();
        let command = self.deployment.command(&[]);
        let variables = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        let output = Command::new("sh")
            .args(["-ec", script])
            .current_dir(self.path())
            .envs(variables)
            .envs(&self.always)
            .envs(&self.environment)
            .env("PATH", format!("{}:{path}", self.tools.display()))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{script}: {}{said}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}

/// A remedy with its `<...>` filled in.
fn filled(fix: &str, answers: &[String]) -> String {
    let mut text = fix.to_owned();
    for answer in answers {
        let (start, end) = (text.find('<').unwrap(), text.find('>').unwrap());
        text.replace_range(start..=end, answer);
    }
    text
}
