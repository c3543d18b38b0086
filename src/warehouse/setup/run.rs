//! Scripts to statements, statements to the warehouse, one request each.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Place, SetupError, TableContract, Variables, check, split};
use crate::warehouse::{Client, Config};

/// Longest part of a statement that stands for it in a message.
const LONGEST_SUMMARY: usize = 100;

/// Words that may stand between CREATE and what is created.
const MODIFIERS: [&str; 9] = [
    "TRANSIENT",
    "TEMPORARY",
    "TEMP",
    "VOLATILE",
    "LOCAL",
    "GLOBAL",
    "HYBRID",
    "ICEBERG",
    "DYNAMIC",
];

/// Make the warehouse's objects by the pipeline's scripts.
#[derive(Debug, clap::Args)]
pub struct SetupArgs {
    /// Print the statements instead of running them
    #[arg(long)]
    pub dry_run: bool,
    /// Role to run the warehouse's scripts as, e.g. ACCOUNTADMIN; the configured role otherwise
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
}

/// A statement of a script, ready to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Where it begins.
    pub place: Place,
    /// Its text, without comments, with the variables' values.
    pub text: String,
}

/// What a statement did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The object is new.
    Created,
    /// The object was there, and is as it was.
    AlreadyThere,
    /// Something else, in the warehouse's words; empty when it said nothing.
    Done(String),
}

/// A statement that has run.
#[derive(Debug)]
pub struct Step<'a> {
    /// The statement.
    pub statement: &'a Statement,
    /// What it did.
    pub outcome: Outcome,
}

impl Statement {
    /// The first words, up to the columns or the body.
    pub fn summary(&self) -> String {
        let line = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let head = line.split(" (").next().unwrap_or(&line);
        match head.char_indices().nth(LONGEST_SUMMARY) {
            Some((end, _)) => format!("{}...", &head[..end]),
            None => head.to_owned(),
        }
    }
}

/// Runs the scripts of a folder and looks at the tables afterwards; or prints, on stdout, what would run.
///
/// The scripts run as the role of `args`; the tables are looked at as the configured role, which is the one to use them.
#[expect(clippy::print_stdout, reason = "stdout is the data")]
pub async fn run(
    config: &Config,
    folder: &Path,
    args: &SetupArgs,
    tables: &[TableContract],
    report: &mut (dyn FnMut(&Step<'_>) + Send),
) -> Result<(), SetupError> {
    let statements = load(folder, &Variables::new(config)?)?;
    if args.dry_run {
        print!("{}", text_of(&statements));
        return Ok(());
    }
    let client = Client::new(config, &config.read_key()?)?;
    match &args.role {
        Some(role) => apply(&client.with_role(role), &statements, report).await?,
        None => apply(&client, &statements, report).await?,
    }
    check(&client, tables).await
}

/// The statements as one script; each after a comment that says where it comes from.
pub fn text_of(statements: &[Statement]) -> String {
    let texts = statements
        .iter()
        .map(|statement| format!("-- {}\n{};\n", statement.place, statement.text));
    texts.collect::<Vec<_>>().join("\n")
}

/// Reads the scripts of a folder, in the order of their names. Nothing is sent.
pub fn load(folder: &Path, variables: &Variables) -> Result<Vec<Statement>, SetupError> {
    let mut statements = Vec::new();
    for file in scripts(folder)? {
        let script = fs::read_to_string(&file).map_err(|source| unreadable(&file, source))?;
        let pieces = split::split(&script, &|name| variables.get(name)).map_err(|problem| SetupError::Script {
            place: Place { file: file.clone(), line: problem.line },
            problem: problem.text,
            hint: "variables take the values of the [warehouse] section; text in $$ and in comments is left alone".into(),
        })?;
        for piece in pieces {
            let place = Place {
                file: file.clone(),
                line: piece.line,
            };
            if let Some((problem, hint)) = refusal(&piece.text) {
                return Err(SetupError::Script {
                    place,
                    problem,
                    hint,
                });
            }
            statements.push(Statement {
                place,
                text: piece.text,
            });
        }
    }
    Ok(statements)
}

/// Runs the statements in order, each in a request of its own, and reports each when it is done. Stops at the first
/// that fails.
pub async fn apply(
    client: &Client,
    statements: &[Statement],
    report: &mut (dyn FnMut(&Step<'_>) + Send),
) -> Result<(), SetupError> {
    for statement in statements {
        let answer =
            client
                .execute(&statement.text)
                .await
                .map_err(|source| SetupError::Failed {
                    place: statement.place.clone(),
                    statement: statement.summary(),
                    source: Box::new(source),
                })?;
        let status = answer
            .rows
            .first()
            .and_then(|row| row.first())
            .and_then(Option::as_deref)
            .unwrap_or("");
        report(&Step {
            statement,
            outcome: outcome(status),
        });
    }
    Ok(())
}

fn outcome(status: &str) -> Outcome {
    if status.contains("already exists") {
        Outcome::AlreadyThere
    } else if status.contains("successfully created") {
        Outcome::Created
    } else {
        Outcome::Done(status.to_owned())
    }
}

fn scripts(folder: &Path) -> Result<Vec<PathBuf>, SetupError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "sql") {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    };
    list().map_err(|source| unreadable(folder, source))
}

fn unreadable(path: &Path, source: io::Error) -> SetupError {
    SetupError::Unreadable {
        path: path.to_owned(),
        source,
    }
}

/// Why a statement is not sent: it would lose data, or the SQL API would not run it.
fn refusal(text: &str) -> Option<(String, String)> {
    let words = leading_words(text);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["CREATE", "OR", "REPLACE", rest @ ..] => {
            let object = rest.iter().find(|word| !MODIFIERS.contains(word))?;
            let loses_data = matches!(*object, "TABLE" | "STAGE" | "DATABASE" | "SCHEMA");
            loses_data.then(|| {
                (
                    format!("CREATE OR REPLACE {object} would throw away what is there"),
                    format!("write CREATE {object} IF NOT EXISTS, and ALTER {object} for a change"),
                )
            })
        }
        ["USE", ..] => Some((
            "each statement runs in a session of its own, so USE has no effect".into(),
            "database, schema, warehouse and role come from [warehouse]; or write ${database}.${schema}.NAME".into(),
        )),
        [word @ ("BEGIN" | "START" | "COMMIT" | "ROLLBACK"), ..] => Some((
            format!("each statement runs in a session of its own, so {word} has no effect"),
            "leave it out: each statement of a set-up may run again".into(),
        )),
        [word @ ("PUT" | "GET"), ..] => Some((
            format!("the SQL API does not run {word}"),
            "write to an external stage instead".into(),
        )),
        _ => None,
    }
}

/// The first words in upper case.
fn leading_words(text: &str) -> Vec<String> {
    let words = text
        .split(|c: char| c.is_whitespace() || c == '(')
        .filter(|word| !word.is_empty());
    words.take(8).map(str::to_ascii_uppercase).collect()
}

/// Whether a statement creates a table.
pub(super) fn creates_table(text: &str) -> bool {
    let words = leading_words(text);
    let mut words = words.iter().map(String::as_str);
    words.next() == Some("CREATE")
        && words.find(|word| !MODIFIERS.contains(word) && !matches!(*word, "OR" | "REPLACE"))
            == Some("TABLE")
}
