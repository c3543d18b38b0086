//! What a reset does, one step after the other. Each step can be done again.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::broker::{Admin, Group, Kafka, Partition};
use crate::sink::{quoted, table::VERSION_COLUMN, text};
use crate::warehouse::{Client, RequestId};

/// The metadata of positions between the first step and the last: no identity of a topic, so that a service that is started
/// after a reset was cut off refuses them.
pub(super) const UNFINISHED: &str = "sluicebox reset has not ended";

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A group's positions may not be used until the reset has ended.
    Mark {
        group: String,
        positions: Vec<(Partition, i64)>,
    },
    /// A group goes on from these positions.
    Positions {
        group: String,
        positions: Vec<(Partition, i64)>,
        identity: String,
    },
    /// A topic's records before these offsets are deleted.
    Delete { before: Vec<(Partition, i64)> },
    /// The copies of a gold table's state are deleted.
    Snapshots { folders: Vec<PathBuf> },
    /// The sink goes on from these offsets, and remembers topic and table anew.
    NextOffsets {
        control: String,
        next: Vec<(Partition, i64)>,
        /// Upserted tables whose rows give way to whatever their topics say next: in the same transaction, so that a load
        /// that is still under way is done before, or comes too late.
        giving_way: Vec<String>,
    },
    /// All rows of a table are deleted.
    Truncate { table: String, role: Option<String> },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mark { group, .. } => {
                write!(f, "mark the positions of group {group} as not to be used")
            }
            Self::Positions {
                group, positions, ..
            } => {
                write!(f, "group {group} goes on from {}", list(positions))
            }
            Self::Delete { before } => write!(f, "delete all records before {}", list(before)),
            Self::Snapshots { folders } => {
                let folders: Vec<String> = folders
                    .iter()
                    .map(|folder| folder.display().to_string())
                    .collect();
                write!(
                    f,
                    "delete the copies of gold state in {}",
                    folders.join(", ")
                )
            }
            Self::NextOffsets {
                control,
                next,
                giving_way,
            } => {
                write!(
                    f,
                    "{control}: the sink goes on from {}, and takes topic and table as they are now",
                    list(next)
                )?;
                if giving_way.is_empty() {
                    return Ok(());
                }
                write!(
                    f,
                    "; each row of {} gives way to whatever its topic says next",
                    giving_way.join(", ")
                )
            }
            Self::Truncate { table, .. } => write!(f, "table {table}: delete all rows"),
        }
    }
}

fn list(positions: &[(Partition, i64)]) -> String {
    let positions: Vec<String> = positions
        .iter()
        .map(|(at, offset)| format!("{at} {offset}"))
        .collect();
    positions.join(", ")
}

/// What steps are done with.
pub(super) struct Tools<'a> {
    pub(super) kafka: &'a Kafka,
    /// The warehouse and where its answers are waited for; None for a reset that does not touch it.
    pub(super) warehouse: Option<(&'a Client, &'a tokio::runtime::Runtime)>,
}

impl Step {
    /// Whether it needs the warehouse.
    pub(super) fn is_for_the_warehouse(&self) -> bool {
        matches!(self, Self::NextOffsets { .. } | Self::Truncate { .. })
    }

    /// The step that comes before a change of positions and lasts longer than one: nobody may go on from them meanwhile.
    pub(super) fn mark(&self) -> Option<Self> {
        match self {
            Self::Positions {
                group, positions, ..
            } => Some(Self::Mark {
                group: group.clone(),
                positions: positions.clone(),
            }),
            _ => None,
        }
    }

    /// Whether it is positions of which some lie behind offset 0: being the earliest, they tell that a topic lost its beginning.
    pub(super) fn is_late(&self) -> bool {
        match self {
            Self::Positions { positions, .. } => positions.iter().any(|(_, offset)| *offset > 0),
            _ => false,
        }
    }

    /// Does it.
    pub(super) fn apply(&self, tools: &Tools<'_>) -> anyhow::Result<()> {
        self.change(tools).with_context(|| self.to_string())
    }

    fn change(&self, tools: &Tools<'_>) -> anyhow::Result<()> {
        match self {
            Self::Mark { group, positions } => {
                Ok(Group::new(tools.kafka, group).write(positions, UNFINISHED)?)
            }
            Self::Positions {
                group,
                positions,
                identity,
            } => Ok(Group::new(tools.kafka, group).write(positions, identity)?),
            Self::Delete { before } => Ok(Admin::connect(tools.kafka)?.delete_records(before)?),
            Self::Snapshots { folders } => {
                for folder in folders {
                    match fs::remove_dir_all(folder) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => {
                            bail!(
                                "{}: {error}\nhint: delete the folder by hand",
                                folder.display()
                            );
                        }
                        _ => {}
                    }
                }
                Ok(())
            }
            Self::NextOffsets {
                control,
                next,
                giving_way,
            } => tools.statements(&standing(control, next, giving_way), None),
            Self::Truncate { table, role } => {
                let truncate = format!("TRUNCATE TABLE {}", quoted(table));
                tools.statements(&[truncate], role.as_deref())
            }
        }
    }
}

impl Tools<'_> {
    fn statements(&self, statements: &[String], role: Option<&str>) -> anyhow::Result<()> {
        let Some((client, runtime)) = self.warehouse else {
            bail!("there is no warehouse to ask\nhint: set warehouse.account");
        };
        let client = role.map_or_else(|| client.clone(), |role| client.with_role(role));
        runtime.block_on(client.execute_all(statements, RequestId::new()))?;
        Ok(())
    }
}

/// One transaction that changes where the sink stands. The control table comes first, as in a load.
fn standing(control: &str, next: &[(Partition, i64)], giving_way: &[String]) -> Vec<String> {
    let mut statements = vec!["BEGIN".to_owned(), next_offsets(control, next)];
    for table in giving_way {
        // The offsets of a topic that was made again begin below the versions of the rows.
        statements.push(format!(
            "UPDATE {} SET {VERSION_COLUMN} = -1",
            quoted(table)
        ));
    }
    statements.push("COMMIT".to_owned());
    statements
}

/// The fence rises too: a sink that still lives somewhere has lost its partitions. Without `source` and `target` the next sink takes
/// both as they are.
fn next_offsets(control: &str, next: &[(Partition, i64)]) -> String {
    let values: Vec<String> = next
        .iter()
        .map(|(at, next)| format!("({}, {}, {next})", text(&at.topic), at.number))
        .collect();
    format!(
        "MERGE INTO {control} c USING (SELECT column1 AS topic, column2 AS partition_id, column3 AS next_offset FROM VALUES {values}) s \
         ON c.topic = s.topic AND c.partition_id = s.partition_id \
         WHEN MATCHED THEN UPDATE SET next_offset = s.next_offset, fence = c.fence + 1, source = NULL, target = NULL \
         WHEN NOT MATCHED THEN INSERT (topic, partition_id, next_offset, fence, loads) VALUES (s.topic, s.partition_id, s.next_offset, 1, 0)",
        control = quoted(control),
        values = values.join(", "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sink_goes_on_elsewhere_by_this_text() {
        let at = |number| Partition {
            topic: "clean_events".to_owned(),
            number,
        };
        let next = [(at(0), 12), (at(1), 40)];
        let tables = ["CUSTOMER_DAILY_METRICS".to_owned()];
        let statements = standing("SLUICEBOX_CONTROL", &next, &tables).join(";\n") + ";\n";
        assert_eq!(statements, include_str!("next_offsets.golden.sql"));
    }
}
