//! Staged files in, the statements of one transaction out, and what its answer means.
//!
//! The first statement takes the lock of the control table. Whoever wants to raise a fence then waits until this load
//! has ended; a load that begins after a fence was raised matches no row and changes nothing. A request that runs
//! twice finds `next_offset` moved and changes nothing the second time. The second statement fails unless every file holds
//! the rows that were written to it.

use std::sync::Arc;

use super::control::{ControlRow, ControlTable, InvalidControl};
use super::literal::{field, quoted, text};
use super::position::Fence;
use super::table::{
    DELETED_COLUMN, DELETED_FIELD, Kind, OFFSET_COLUMN, OFFSET_FIELD, PARTITION_COLUMN,
    TargetTable, VERSION_COLUMN, parquet_name, warehouse_name,
};
use crate::broker::{NextOffset, Partition};
use crate::sql::types::Column;
use crate::warehouse::Answer;

/// The names of the warehouse's objects that a load uses, as the warehouse stores them.
#[derive(Clone, Debug)]
pub struct Objects {
    /// The table that says, per partition, who may load and what is next.
    pub control: ControlTable,
    /// The stage that the files are in.
    pub stage: String,
    /// The file format that reads them.
    pub file_format: String,
}

impl Objects {
    /// The statement that counts the rows of a staged file.
    pub(super) fn count_rows(&self, path: &str) -> String {
        format!("SELECT COUNT(*) FROM {}", self.file(path))
    }

    /// A staged file, to select from.
    fn file(&self, path: &str) -> String {
        let path = text(&format!("@{}/{path}", quoted(&self.stage)));
        format!(
            "{path} (FILE_FORMAT => {})",
            text(&quoted(&self.file_format))
        )
    }
}

/// A file on the stage: the rows of one partition between two positions.
#[derive(Clone, Debug)]
pub struct StagedFile {
    /// The partition that the rows come from.
    pub partition: i32,
    /// The file's name under the stage.
    pub path: String,
    /// How many rows are in it.
    pub rows: usize,
    /// Where the control table stands before the load.
    pub expected: NextOffset,
    /// Where it stands afterwards.
    pub new: NextOffset,
    /// The fence under which the partition was assigned.
    pub fence: Fence,
}

/// How far a load moves one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The partition.
    pub at: Partition,
    /// Where the control table stands before the load.
    pub expected: NextOffset,
    /// Where it stands afterwards.
    pub new: NextOffset,
    /// The fence under which the partition was assigned.
    pub fence: Fence,
    /// Rows in the file; 0 for a partition that was read further without a row: over control records, or records of aborted
    /// transactions. It moves with the others, so that it does not wait for offsets that leave the topic one day.
    pub rows: usize,
}

/// The files for one table; at least one, and at most one of each partition.
#[derive(Clone, Debug)]
pub struct TableLoad {
    /// The table.
    pub table: Arc<TargetTable>,
    /// Its files.
    pub files: Vec<StagedFile>,
}

/// Everything that goes into the warehouse in one transaction.
#[derive(Clone, Debug)]
pub struct Load {
    /// The objects to use.
    pub objects: Objects,
    /// The tables to load.
    pub tables: Vec<TableLoad>,
    /// The partitions that move without rows.
    pub passed: Vec<Step>,
}

/// What a load did to a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The rows are in the table and the control table says so.
    Loaded,
    /// They were there already: an earlier run of the same request loaded them.
    AlreadyLoaded,
    /// Somebody else has the partition now; nothing was changed.
    Fenced,
}

/// What the control table says after a load cannot follow from the load.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnexpectedAnswer {
    /// The warehouse did not answer as it does.
    #[error("the answer to a load has {answers} results instead of {statements}")]
    Incomplete {
        /// How many results came.
        answers: usize,
        /// How many statements were sent.
        statements: usize,
    },
    /// The table itself is not as it must be.
    #[error(transparent)]
    Control(#[from] InvalidControl),
    /// The position is neither before nor after the load.
    #[error(
        "the control table says that {at} goes on at offset {found}, but this sink loaded from {expected} to {new}"
    )]
    Moved {
        /// The partition.
        at: Partition,
        /// What the table says.
        found: NextOffset,
        /// What it said before.
        expected: NextOffset,
        /// What it should say now.
        new: NextOffset,
    },
}

impl UnexpectedAnswer {
    /// What can be done about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Incomplete { .. } => "check that warehouse.url leads to a Snowflake SQL API",
            Self::Control(error) => error.hint(),
            Self::Moved { .. } => {
                "nobody may edit the control table while a sink runs; start the sink again to go on from what the table says"
            }
        }
    }
}

impl Load {
    /// The statements, in order, of the one request that this load is.
    pub fn statements(&self) -> Vec<String> {
        let mut statements = vec!["BEGIN".to_owned(), self.lock()];
        if !self.tables.is_empty() {
            statements.push(self.guard());
        }
        for load in &self.tables {
            statements.push(match load.table.kind() {
                Kind::Upsert { key } => self.merge(load, key),
                Kind::Append => self.insert(load),
            });
        }
        statements.push(self.advance());
        statements.push(self.objects.control.select(&self.partitions()));
        statements.push("COMMIT".to_owned());
        statements
    }

    /// What the answers to [`Self::statements`] say about each partition, in the order of the steps.
    pub fn outcomes(
        &self,
        answers: &[Answer],
    ) -> Result<Vec<(Partition, Outcome)>, UnexpectedAnswer> {
        let guard = usize::from(!self.tables.is_empty());
        let statements = self.tables.len() + guard + 5;
        if answers.len() != statements {
            return Err(UnexpectedAnswer::Incomplete {
                answers: answers.len(),
                statements,
            });
        }
        let advanced = updated_rows(&answers[statements - 3]);
        let rows = self
            .objects
            .control
            .rows(&answers[statements - 2], &self.partitions())?;
        self.steps()
            .zip(&rows)
            .map(|(step, row)| Ok((row.at.clone(), outcome(&step, row, advanced)?)))
            .collect()
    }

    /// The partitions of this load, in the order of the steps.
    pub fn partitions(&self) -> Vec<Partition> {
        self.steps().map(|step| step.at).collect()
    }

    /// What becomes of each partition, in the order of the tables and files; those without rows come last.
    pub(super) fn steps(&self) -> impl Iterator<Item = Step> {
        let loaded = self.files().map(|(topic, file)| Step {
            at: Partition {
                topic: topic.to_owned(),
                number: file.partition,
            },
            expected: file.expected,
            new: file.new,
            fence: file.fence,
            rows: file.rows,
        });
        loaded.chain(self.passed.iter().cloned())
    }

    fn files(&self) -> impl Iterator<Item = (&str, &StagedFile)> {
        self.tables
            .iter()
            .flat_map(|load| load.files.iter().map(|file| (load.table.topic(), file)))
    }

    fn lock(&self) -> String {
        let mine = self.steps().map(|step| {
            format!(
                "(topic = {} AND partition_id = {} AND fence = {})",
                text(&step.at.topic),
                step.at.number,
                step.fence
            )
        });
        format!(
            "UPDATE {} SET loads = loads + 1 WHERE {}",
            self.control(),
            joined(mine, " OR ")
        )
    }

    /// Fails, and the whole load with it, when a file does not hold the rows that were written: a file that has vanished would
    /// else load as no rows, and `next_offset` would move over them. The divisor comes from the data, so that no planner can
    /// find the division by zero before the files were read.
    fn guard(&self) -> String {
        let counts = self.files().map(|(_, file)| {
            format!(
                "SELECT COUNT(*) AS SEEN, {rows} AS WRITTEN FROM {file}",
                rows = file.rows,
                file = self.objects.file(&file.path),
            )
        });
        format!(
            "SELECT SUM(1 / IFF(SEEN = WRITTEN, 1, 0)) FROM ({}) f",
            joined(counts, " UNION ALL ")
        )
    }

    fn advance(&self) -> String {
        let next = self.steps().map(|step| {
            format!(
                "WHEN topic = {} AND partition_id = {} THEN {}",
                text(&step.at.topic),
                step.at.number,
                step.new
            )
        });
        let mine = self.steps().map(|step| {
            format!(
                "(topic = {} AND partition_id = {} AND fence = {} AND next_offset = {})",
                text(&step.at.topic),
                step.at.number,
                step.fence,
                step.expected
            )
        });
        format!(
            "UPDATE {} SET next_offset = CASE {} END WHERE {}",
            self.control(),
            joined(next, " "),
            joined(mine, " OR ")
        )
    }

    fn merge(&self, load: &TableLoad, key: &[Column]) -> String {
        let names: Vec<String> = load.table.columns().iter().map(column_name).collect();
        let keys: Vec<String> = key.iter().map(column_name).collect();
        let technical = [
            format!("{}::BOOLEAN AS {DELETED_COLUMN}", field(DELETED_FIELD)),
            format!("{}::NUMBER(19,0) AS {VERSION_COLUMN}", field(OFFSET_FIELD)),
        ];
        let changes = names
            .iter()
            .filter(|name| !keys.contains(name))
            .map(|name| format!("{name} = s.{name}, "));
        format!(
            "MERGE INTO {table} t USING (SELECT s.* FROM ({files}) s {fenced} \
             QUALIFY ROW_NUMBER() OVER (PARTITION BY {one_key} ORDER BY s.{VERSION_COLUMN} DESC) = 1) s ON {same_key} \
             WHEN MATCHED AND s.{VERSION_COLUMN} > t.{VERSION_COLUMN} AND s.{DELETED_COLUMN} THEN DELETE \
             WHEN MATCHED AND s.{VERSION_COLUMN} > t.{VERSION_COLUMN} THEN UPDATE SET {changes}{VERSION_COLUMN} = s.{VERSION_COLUMN} \
             WHEN NOT MATCHED AND NOT s.{DELETED_COLUMN} THEN INSERT ({columns}, {VERSION_COLUMN}) VALUES ({values}, s.{VERSION_COLUMN})",
            table = quoted(load.table.name()),
            files = self.files_of(load, &technical),
            fenced = self.fenced(load, VERSION_COLUMN),
            one_key = joined(keys.iter().map(|name| format!("s.{name}")), ", "),
            same_key = joined(
                keys.iter()
                    .map(|name| format!("EQUAL_NULL(t.{name}, s.{name})")),
                " AND "
            ),
            changes = joined(changes, ""),
            columns = names.join(", "),
            values = joined(names.iter().map(|name| format!("s.{name}")), ", "),
        )
    }

    fn insert(&self, load: &TableLoad) -> String {
        let names: Vec<String> = load.table.columns().iter().map(column_name).collect();
        let technical = [format!(
            "{}::NUMBER(19,0) AS {OFFSET_COLUMN}",
            field(OFFSET_FIELD)
        )];
        format!(
            "INSERT INTO {table} ({columns}) SELECT {values} FROM ({files}) s {fenced}",
            table = quoted(load.table.name()),
            columns = names.join(", "),
            values = joined(names.iter().map(|name| format!("s.{name}")), ", "),
            files = self.files_of(load, &technical),
            fenced = self.fenced(load, OFFSET_COLUMN),
        )
    }

    /// All rows of the table's files, typed.
    fn files_of(&self, load: &TableLoad, technical: &[String]) -> String {
        let typed = load.table.columns().iter().map(|column| {
            format!(
                "{}::{} AS {}",
                field(&parquet_name(column)),
                column.sql_type.warehouse(),
                column_name(column)
            )
        });
        let columns = joined(typed.chain(technical.iter().cloned()), ", ");
        let files = load.files.iter().map(|file| {
            format!(
                "SELECT {columns}, {partition} AS {PARTITION_COLUMN} FROM {file}",
                partition = file.partition,
                file = self.objects.file(&file.path),
            )
        });
        joined(files, " UNION ALL ")
    }

    /// Keeps of the rows `s` those that are this sink's to load and not loaded yet.
    fn fenced(&self, load: &TableLoad, offset_column: &str) -> String {
        let mine = load.files.iter().map(|file| {
            format!(
                "(c.partition_id = {} AND c.fence = {})",
                file.partition, file.fence
            )
        });
        format!(
            "JOIN {control} c ON c.topic = {topic} AND c.partition_id = s.{PARTITION_COLUMN} \
             WHERE s.{offset_column} >= c.next_offset AND ({mine})",
            control = self.control(),
            topic = text(load.table.topic()),
            mine = joined(mine, " OR "),
        )
    }

    fn control(&self) -> String {
        self.objects.control.identifier()
    }
}

fn outcome(
    step: &Step,
    row: &ControlRow,
    advanced: Option<u64>,
) -> Result<Outcome, UnexpectedAnswer> {
    if row.fence != step.fence {
        return Ok(Outcome::Fenced);
    }
    if row.next_offset != step.new {
        let (at, found) = (row.at.clone(), row.next_offset);
        return Err(UnexpectedAnswer::Moved {
            at,
            found,
            expected: step.expected,
            new: step.new,
        });
    }
    // All partitions of a load that are still ours advance together, or none does.
    Ok(if advanced == Some(0) {
        Outcome::AlreadyLoaded
    } else {
        Outcome::Loaded
    })
}

/// The count that an UPDATE answers with.
fn updated_rows(answer: &Answer) -> Option<u64> {
    answer.rows.first()?.first()?.as_deref()?.parse().ok()
}

fn column_name(column: &Column) -> String {
    quoted(&warehouse_name(column))
}

fn joined(parts: impl Iterator<Item = String>, separator: &str) -> String {
    parts.collect::<Vec<_>>().join(separator)
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
