//! A pipeline's folder, loaded, checked and planned.

use std::fs;
use std::path::{Path, PathBuf};

use super::clean::CleanQuery;
use super::error::SqlError;
use super::gold::GoldQuery;
use super::raw::raw_columns;
use super::session::with_planning_stack;
use super::types::{Column, SqlType};

/// What the deployment says about a pipeline.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// The clean column that clean_events is keyed by.
    pub key: &'a str,
    /// The clean column that identifies an event.
    pub event_id: &'a str,
}

/// The steps of a pipeline, ready to run.
#[derive(Debug)]
pub struct Pipeline {
    /// The folder it was read from.
    pub folder: PathBuf,
    /// The declared columns of a raw event.
    pub raw: Vec<Column>,
    /// raw -> clean.
    pub clean: CleanQuery,
    /// Where the key of clean_events stands among the clean columns.
    pub key: usize,
    /// Where the event's id stands among the clean columns.
    pub event_id: usize,
    /// clean -> gold, in the order of the names.
    pub gold: Vec<GoldTable>,
}

/// One file of gold/: a topic of its name, a warehouse table of its name in upper case.
#[derive(Debug)]
pub struct GoldTable {
    /// The file's name without `.sql`.
    pub name: String,
    /// What it says.
    pub query: GoldQuery,
}

impl Pipeline {
    /// Loads and plans a folder; planning gets the deep stack that it needs.
    ///
    /// # Errors
    /// The first file that is missing or not of the accepted form.
    pub fn load(folder: &Path, settings: Settings<'_>) -> Result<Self, SqlError> {
        with_planning_stack(|| Self::plan(folder, settings))
    }

    fn plan(folder: &Path, settings: Settings<'_>) -> Result<Self, SqlError> {
        let raw_file = folder.join("raw_events.sql");
        let raw = raw_columns(&raw_file, &read(&raw_file)?)?;
        let clean_file = folder.join("clean_events.sql");
        let clean = CleanQuery::plan(&clean_file, &read(&clean_file)?, &raw)?;
        let key = position(&clean_file, &clean, settings.key, "clean.key")?;
        let event_id = position(&clean_file, &clean, settings.event_id, "clean.event_id")?;
        let mut gold = Vec::new();
        for file in gold_files(&folder.join("gold"))? {
            let name = file
                .file_stem()
                .and_then(|name| name.to_str())
                .unwrap_or_default()
                .to_owned();
            if !is_name(&name) {
                return Err(SqlError::new(
                    &file,
                    None,
                    format!("`{name}` cannot be the name of a topic and a table"),
                    "name the file with lower-case letters, digits and `_`, a letter first",
                ));
            }
            let query = GoldQuery::plan(&file, &read(&file)?, clean.columns(), settings.key)?;
            gold.push(GoldTable { name, query });
        }
        Ok(Self {
            folder: folder.to_owned(),
            raw,
            clean,
            key,
            event_id,
            gold,
        })
    }
}

fn read(file: &Path) -> Result<String, SqlError> {
    fs::read_to_string(file).map_err(|error| {
        SqlError::new(
            file,
            None,
            format!("cannot be read: {error}"),
            "a pipeline's folder holds raw_events.sql, clean_events.sql, gold/*.sql and warehouse/*.sql; pipeline.folder names it",
        )
    })
}

fn gold_files(folder: &Path) -> Result<Vec<PathBuf>, SqlError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(SqlError::new(
                folder,
                None,
                format!("cannot be read: {error}"),
                "make the folder readable",
            ));
        }
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    files.sort();
    Ok(files)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn position(file: &Path, clean: &CleanQuery, name: &str, setting: &str) -> Result<usize, SqlError> {
    let columns = clean.columns();
    let found = columns.iter().position(|column| column.name == name);
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let hint = format!(
        "the clean columns are {}; {setting} in sluicebox.toml names one of type VARCHAR",
        names.join(", ")
    );
    match found {
        Some(at) if clean.is_of_the_moment(at) => {
            let message = format!("{setting} is `{name}`, which depends on the time of processing");
            Err(SqlError::new(file, None, message, hint))
        }
        Some(at) if columns[at].sql_type == SqlType::Varchar => Ok(at),
        Some(at) => {
            let message = format!(
                "{setting} is `{name}`, which is {}, not VARCHAR",
                columns[at].sql_type
            );
            Err(SqlError::new(file, None, message, hint))
        }
        None => Err(SqlError::new(
            file,
            None,
            format!("{setting} is `{name}`, which it does not select"),
            hint,
        )),
    }
}
