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
        partitions: &[Partition],
        request: RequestId,
    ) -> Result<Vec<ControlRow>, SinkError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let answers = client
            .execute_all(&self.raising(partitions), request)
            .await
            .map_err(|source| SinkError::Warehouse {
                call: "raising the fences",
                source,
            })?;
        let [.., rows, _commit] = answers.as_slice() else {
            return Err(UnexpectedAnswer::from(InvalidControl::NoAnswer {
                table: self.name.clone(),
            })
            .into());
        };
        Ok(self
            .rows(rows, partitions)
            .map_err(UnexpectedAnswer::from)?)
    }

    /// The statements that raise the fences; the last but one reads the result.
    fn raising(&self, partitions: &[Partition]) -> Vec<String> {
        let values: Vec<String> = partitions
            .iter()
            .map(|at| format!("({}, {})", text(&at.topic), at.number))
            .collect();
        vec![
            "BEGIN".to_owned(),
            format!(
                "MERGE INTO {control} c USING (SELECT column1 AS topic, column2 AS partition_id FROM VALUES {values}) s \
                 ON c.topic = s.topic AND c.partition_id = s.partition_id \
                 WHEN MATCHED THEN UPDATE SET fence = c.fence + 1 \
                 WHEN NOT MATCHED THEN INSERT (topic, partition_id, next_offset, fence, loads) VALUES (s.topic, s.partition_id, 0, 1, 0)",
                control = self.identifier(),
                values = values.join(", "),
            ),
            self.select(partitions),
            "COMMIT".to_owned(),
        ]
    }

    /// The statement that reads the rows of these partitions.
    pub(crate) fn select(&self, partitions: &[Partition]) -> String {
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
        format!(
            "SELECT topic, partition_id, next_offset, fence FROM {} WHERE {}",
            self.identifier(),
            these.join(" OR ")
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
    use datafusion::sql::sqlparser::{dialect::SnowflakeDialect, parser::Parser};

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

    #[test]
    fn raising_is_one_transaction_that_reads_what_it_raised() {
        let statements = ControlTable::new("SLUICEBOX_CONTROL").raising(&partitions());
        assert_eq!(
            statements,
            [
                "BEGIN",
                "MERGE INTO SLUICEBOX_CONTROL c USING (SELECT column1 AS topic, column2 AS partition_id FROM VALUES \
                 ('clean_events', 0), ('clean_events', 1)) s ON c.topic = s.topic AND c.partition_id = s.partition_id \
                 WHEN MATCHED THEN UPDATE SET fence = c.fence + 1 WHEN NOT MATCHED THEN INSERT \
                 (topic, partition_id, next_offset, fence, loads) VALUES (s.topic, s.partition_id, 0, 1, 0)",
                "SELECT topic, partition_id, next_offset, fence FROM SLUICEBOX_CONTROL WHERE \
                 (topic = 'clean_events' AND partition_id = 0) OR (topic = 'clean_events' AND partition_id = 1)",
                "COMMIT",
            ]
        );
        for statement in statements {
            Parser::parse_sql(&SnowflakeDialect, &statement)
                .unwrap_or_else(|error| panic!("{statement}: {error}"));
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
