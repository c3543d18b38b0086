//! `sluicebox reconcile`: from Kafka and the warehouse alone, whether every event was counted exactly once. Nothing that the
//! service remembers is asked, and nothing is changed; the service may run meanwhile.
//!
//! | part | what is compared |
//! |---|---|
//! | ledger | each raw record before the clean job's position, with the records of clean_events and rejected_events |
//! | gold | each gold topic, with what its query makes of clean_events before the gold job's position |
//! | warehouse | each table, with its topic before the control table's `next_offset` |

mod difference;
mod events;
mod gold;
mod ledger;
mod progress;
mod refused;
mod report;
mod rows;
mod values;
pub(crate) mod warehouse;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::broker::{Kafka, Logs};
use crate::clean::Bounds;
use crate::gold::{Keep, Table};
use crate::sql::Pipeline;
pub(crate) use report::{Part, Report};
pub(crate) use warehouse::Warehouse;

/// Where the books are kept.
pub(crate) struct Books {
    /// The way to the brokers.
    pub(crate) kafka: Kafka,
    /// The SQL in force.
    pub(crate) pipeline: Arc<Pipeline>,
    /// The topic of raw events.
    pub(crate) raw: String,
    /// The topic of clean events.
    pub(crate) clean: String,
    /// The topic of rejected events.
    pub(crate) rejected: String,
    /// The clean job's group.
    pub(crate) clean_group: String,
    /// The gold job's group.
    pub(crate) gold_group: String,
    /// How far back duplicates are looked for.
    pub(crate) duplicates: Bounds,
    /// How long each gold table keeps its keys.
    pub(crate) keep: BTreeMap<String, Keep>,
    /// Most differences that are listed of each part.
    pub(crate) limit: usize,
}

impl Books {
    /// Compares everything, the warehouse only when it is given.
    ///
    /// # Errors
    /// What cannot be read: no broker, a missing topic, a warehouse that does not answer.
    pub(crate) fn check(&self, warehouse: Option<&Warehouse>) -> anyhow::Result<Report> {
        let logs = Logs::connect(&self.kafka)?;
        let (numbers, differences) = events::check(self, &logs)?;
        let ledger = Part {
            numbers,
            differences,
        };
        let found = gold::check(self, &logs)?;
        let gold = Part {
            numbers: found.counts,
            differences: found.differences,
        };
        let warehouse = match warehouse {
            Some(warehouse) => {
                let (numbers, differences) = warehouse.check(self, &logs)?;
                Some(Part {
                    numbers,
                    differences,
                })
            }
            None => None,
        };
        Ok(Report::new(
            ledger,
            gold,
            found.refused_not_compared,
            warehouse,
        ))
    }

    fn table(&self, at: usize) -> anyhow::Result<Table> {
        let keep = self.keep.get(&self.pipeline.gold[at].name);
        Table::new(&self.pipeline, at, keep)
    }
}
