//! The control table: who may load a partition, and what is next.
//!
//! A sink raises the fence of every partition that it is given, and goes on from the `next_offset` that it reads in the
//! same transaction. From then on no load under an older fence changes anything.

use super::SinkError;
use super::literal::{quoted, text};
use super::load::UnexpectedAnswer;
use super::position::Fence;
use crate::broker::{NextOffset, Partition};
use crate::warehouse::{Answer, Client, RequestId};

/// The control table, by its name.
#[derive(Clone, Debug)]
pub struct ControlTable {
    name: String,
}

/// What a partition's offsets and rows belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Where the partition begins now: a partition that was never claimed before is loaded from there on. It is written down, so
    /// that what is deleted later without having been loaded is missed.
    pub low: NextOffset,
    /// The cluster and the id of the topic: one that is made anew under its old name has other offsets.
    pub source: String,
    /// When the target table was created, as the warehouse writes it: one that was replaced has other rows.
    pub target: String,
}

/// What the control table says about a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlRow {
    /// The partition.
    pub at: Partition,
    /// The offset at which loading goes on.
    pub next_offset: NextOffset,
    /// The fence under which it may be loaded.
    pub fence: Fence,
}

/// A control table that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidControl {
    /// No row, or more than one, for a partition.
    #[error("the control table {table} has {rows} rows for {at} instead of one")]
    NotOneRow {
        /// The table's name.
        table: String,
        /// The partition.
        at: Partition,
        /// How many rows there are.
        rows: usize,
    },
    /// A row that does not read as topic, partition, offset and fence.
    #[error(
        "the control table {table} has a row that does not read as topic, partition_id, next_offset, fence"
    )]
    Unreadable {
        /// The table's name.
        table: String,
    },
    /// No result came for the statement that reads the table.
    #[error("the warehouse gave no result for the statement that reads the control table {table}")]
    NoAnswer {
        /// The table's name.
        table: String,
    },
}

/// Offsets or rows that are not those that were loaded before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BoundError {
    /// The topic was made anew, or is one of another cluster.
    #[error("{at} is not what was loaded before: that was {before}, this is {now}")]
    Source {
        /// The partition.
        at: Partition,
        /// What was loaded before.
        before: String,
        /// What has its name now.
        now: String,
    },
    /// The table was replaced.
    #[error(
        "the table that {at} was loaded into was created at {before}, the one that is there now at {now}: it was replaced, and the rows that were in it are not in it now"
    )]
    Target {
        /// The partition.
        at: Partition,
        /// When the table that was loaded was created.
        before: String,
        /// When the one was that has its name now.
        now: String,
    },
}

impl BoundError {
    /// The partition's table was created `now`, and not at the moment `before`; both as the warehouse writes them.
    pub(super) fn replaced(at: Partition, before: &str, now: &str) -> Self {
        Self::Target {
            at,
            before: moment(before),
            now: moment(now),
        }
    }

    /// What can be done about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Source { at, .. } => format!(
                "if the cluster is the wrong one, correct kafka.bootstrap_servers; if the topic was made anew on purpose, `sluicebox reset sink {topic} --to earliest` loads it from its beginning, `--to latest` goes on with what is new",
                topic = at.topic
            ),
            Self::Target { at, .. } => format!(
                "bring the old table back (UNDROP TABLE), or accept the new one: `sluicebox reset sink {topic} --to earliest` loads the whole topic into it, `--to latest` only what is new",
                topic = at.topic
            ),
        }
    }
}

/// A moment as the warehouse writes it, seconds since 1970, for people.
fn moment(text: &str) -> String {
    let seconds = text.split('.').next().and_then(|whole| whole.parse().ok());
    seconds
        .and_then(|seconds| chrono::DateTime::from_timestamp(seconds, 0))
        .map_or_else(
            || text.to_owned(),
            |at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        )
}

impl InvalidControl {
    /// What can be done about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotOneRow { .. } => {
                "stop all sinks, leave only the row with the highest next_offset, start again"
            }
            Self::Unreadable { .. } => "run `sluicebox setup`, which says how the table must look",
            Self::NoAnswer { .. } => "check that warehouse.url leads to a Snowflake SQL API",
        }
    }
}

impl ControlTable {
    /// The control table of that name, as the warehouse stores it.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// Raises the fence of every partition, and says where each goes on; in the order asked for.
    ///
    /// One request: when a reply is lost and it is sent again under its id, the fence rises once.
    pub async fn raise(
        &self,
        client: &Client,
        claimed: &[(Partition, Bound)],
        request: RequestId,
    ) -> Result<Vec<ControlRow>, SinkError> {
        if claimed.is_empty() {
            return Ok(Vec::new());
        }
        let answers = client
            .execute_all(&self.raising(claimed), request)
            .await
            .map_err(|source| SinkError::Warehouse {
                call: "raising the fences",
                source,
            })?;
        let [.., rows, bounds, _commit] = answers.as_slice() else {
            return Err(UnexpectedAnswer::from(InvalidControl::NoAnswer {
                table: self.name.clone(),
            })
            .into());
        };
        let partitions = partitions_of(claimed);
        let rows = self
            .rows(rows, &partitions)
            .map_err(UnexpectedAnswer::from)?;
        match misbound(bounds, claimed) {
            None => Ok(rows),
            Some(found) => Err(found.into()),
        }
    }

    /// The statements that raise the fences; before the last, two read the result. A row that belongs to another topic or
    /// table stays as it is: whoever asks for it is wrong, and must not disturb who is right.
    pub(super) fn raising(&self, claimed: &[(Partition, Bound)]) -> Vec<String> {
        let values: Vec<String> = claimed
            .iter()
            .map(|(at, bound)| {
                format!(
                    "({}, {}, {}, {}, {})",
                    text(&at.topic),
                    at.number,
                    bound.low,
                    text(&bound.source),
                    text(&bound.target)
                )
            })
            .collect();
        let partitions = partitions_of(claimed);
        vec![
            "BEGIN".to_owned(),
            format!(
                "MERGE INTO {control} c USING (SELECT column1 AS topic, column2 AS partition_id, column3 AS low, column4 AS source, column5 AS target \
                 FROM VALUES {values}) s ON c.topic = s.topic AND c.partition_id = s.partition_id \
                 WHEN MATCHED AND COALESCE(c.source, s.source) = s.source AND COALESCE(c.target, s.target) = s.target \
                 THEN UPDATE SET fence = c.fence + 1, source = s.source, target = s.target \
                 WHEN NOT MATCHED THEN INSERT (topic, partition_id, next_offset, fence, loads, source, target) \
                 VALUES (s.topic, s.partition_id, s.low, 1, 0, s.source, s.target)",
                control = self.identifier(),
                values = values.join(", "),
            ),
            self.select(&partitions),
            format!(
                "SELECT topic, partition_id, source, target FROM {} WHERE {}",
                self.identifier(),
                these(&partitions)
            ),
            "COMMIT".to_owned(),
        ]
    }

    /// The statement that reads the rows of these partitions.
    pub(crate) fn select(&self, partitions: &[Partition]) -> String {
        format!(
            "SELECT topic, partition_id, next_offset, fence FROM {} WHERE {}",
            self.identifier(),
            these(partitions)
        )
    }

    /// The answer to [`Self::select`], in the order of the partitions.
    pub(crate) fn rows(
        &self,
        answer: &Answer,
        partitions: &[Partition],
    ) -> Result<Vec<ControlRow>, InvalidControl> {
        let unreadable = || InvalidControl::Unreadable {
            table: self.name.clone(),
        };
        let rows: Vec<ControlRow> = answer
            .rows
            .iter()
            .map(|row| control_row(row).ok_or_else(unreadable))
            .collect::<Result<_, _>>()?;
        partitions
            .iter()
            .map(|at| {
                let mut found = rows.iter().filter(|row| row.at == *at);
                match (found.next(), found.count()) {
                    (Some(row), 0) => Ok(row.clone()),
                    (first, more) => {
                        let rows = usize::from(first.is_some()) + more;
                        Err(InvalidControl::NotOneRow {
                            table: self.name.clone(),
                            at: at.clone(),
                            rows,
                        })
                    }
                }
            })
            .collect()
    }

    pub(crate) fn identifier(&self) -> String {
        quoted(&self.name)
    }
}

fn partitions_of(claimed: &[(Partition, Bound)]) -> Vec<Partition> {
    claimed.iter().map(|(at, _)| at.clone()).collect()
}

/// The condition that is true for these partitions' rows.
fn these(partitions: &[Partition]) -> String {
    let these: Vec<String> = partitions
        .iter()
        .map(|at| {
            format!(
                "(topic = {} AND partition_id = {})",
                text(&at.topic),
                at.number
            )
        })
        .collect();
    these.join(" OR ")
}

/// The first partition whose row belongs to something else than is claimed.
fn misbound(answer: &Answer, claimed: &[(Partition, Bound)]) -> Option<BoundError> {
    claimed.iter().find_map(|(at, ours)| {
        let row = answer.rows.iter().find(|row| {
            let [Some(topic), Some(number), ..] = row.as_slice() else {
                return false;
            };
            *topic == at.topic && number.parse() == Ok(at.number)
        })?;
        let [_, _, source, target] = row.as_slice() else {
            return None;
        };
        if let Some(before) = source.as_ref().filter(|source| **source != ours.source) {
            return Some(BoundError::Source {
                at: at.clone(),
                before: before.clone(),
                now: ours.source.clone(),
            });
        }
        let before = target.as_ref().filter(|target| **target != ours.target)?;
        Some(BoundError::replaced(at.clone(), before, &ours.target))
    })
}

fn control_row(row: &[Option<String>]) -> Option<ControlRow> {
    let [Some(topic), Some(partition), Some(next_offset), Some(fence)] = row else {
        return None;
    };
    Some(ControlRow {
        at: Partition {
            topic: topic.clone(),
            number: partition.parse().ok()?,
        },
        next_offset: NextOffset::at(next_offset.parse().ok()?),
        fence: Fence::new(fence.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {

    use super::*;

    fn answer(rows: &[[&str; 4]]) -> Answer {
        let rows = rows
            .iter()
            .map(|row| row.iter().map(|cell| Some((*cell).to_owned())).collect())
            .collect();
        Answer {
            columns: Vec::new(),
            rows,
            handle: String::new(),
        }
    }

    fn partitions() -> Vec<Partition> {
        [0, 1]
            .map(|number| Partition {
                topic: "clean_events".to_owned(),
                number,
            })
            .to_vec()
    }

    fn claimed() -> Vec<(Partition, Bound)> {
        let bound = Bound {
            low: NextOffset::at(40),
            source: "cluster=c topic=t".to_owned(),
            target: "1791499252.624".to_owned(),
        };
        let claimed = partitions().into_iter().map(|at| (at, bound.clone()));
        claimed.collect()
    }

    #[test]
    fn raising_is_one_transaction_that_reads_what_it_raised() {
        let statements = ControlTable::new("SLUICEBOX_CONTROL").raising(&claimed());
        let expected = include_str!("raising.golden.sql");
        assert_eq!(statements.join(";\n") + ";\n", expected);
    }

    #[test]
    fn a_topic_or_table_that_is_another_is_named_with_the_choices() {
        let mine = ["clean_events", "0", "cluster=c topic=t", "1791499252.624"];
        assert_eq!(misbound(&answer(&[mine]), &claimed()), None);
        for (row, says) in [
            (
                ["clean_events", "1", "cluster=c topic=old", "1791499252.624"],
                "clean_events[1] is not what was loaded before: that was cluster=c topic=old, this is cluster=c topic=t",
            ),
            (
                ["clean_events", "1", "cluster=c topic=t", "1791499000.000"],
                "created at 2026-10-08T22:36:40Z, the one that is there now at 2026-10-08T22:40:52Z",
            ),
        ] {
            let error = misbound(&answer(&[mine, row]), &claimed()).unwrap();
            assert!(error.to_string().contains(says), "{error}");
            assert!(error.hint().contains("sluicebox reset sink clean_events"));
        }
    }

    #[test]
    fn rows_come_back_in_the_order_asked_for() {
        let table = ControlTable::new("SLUICEBOX_CONTROL");
        let rows = table.rows(
            &answer(&[
                ["clean_events", "1", "7", "3"],
                ["clean_events", "0", "5", "2"],
            ]),
            &partitions(),
        );
        let rows: Vec<_> = rows
            .unwrap()
            .iter()
            .map(|row| (row.at.number, row.next_offset.get(), row.fence.value()))
            .collect();
        assert_eq!(rows, [(0, 5, 2), (1, 7, 3)]);
    }

    #[test]
    fn a_partition_needs_exactly_one_row() {
        let table = ControlTable::new("SLUICEBOX_CONTROL");
        for (rows, expected) in [
            (
                answer(&[["clean_events", "0", "5", "2"]]),
                "0 rows for clean_events[1]",
            ),
            (
                answer(&[
                    ["clean_events", "0", "5", "2"],
                    ["clean_events", "0", "5", "2"],
                    ["clean_events", "1", "5", "2"],
                ]),
                "2 rows for clean_events[0]",
            ),
            (
                answer(&[["clean_events", "x", "5", "2"]]),
                "does not read as topic",
            ),
        ] {
            let error = table.rows(&rows, &partitions()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
