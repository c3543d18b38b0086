//! What a transaction has changed and not committed, and the tables that it has locked.
//!
//! A change is a set of parts that go and a list of parts that come. INSERT only adds, and so needs no lock: two that
//! run at once both keep their rows. UPDATE, DELETE and MERGE write the parts that they touch anew and hold their
//! table's lock until the transaction ends, so that nobody else takes the same parts away.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::OwnedMutexGuard;

use super::catalog::{Catalog, Key, Load, Part};

#[derive(Debug, Default)]
pub(crate) struct Transaction {
    changes: BTreeMap<Key, Change>,
    locks: BTreeMap<u64, OwnedMutexGuard<()>>,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Change {
    pub(crate) table_id: u64,
    pub(crate) removed: BTreeSet<u64>,
    pub(crate) added: Vec<Part>,
    /// Files that the table has loaded.
    pub(crate) loads: Vec<Load>,
    /// Whether the table forgets what it had loaded before: TRUNCATE.
    pub(crate) forgets: bool,
}

impl Change {
    /// Whether it changes nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty() && self.loads.is_empty() && !self.forgets
    }
}

impl Transaction {
    pub(crate) fn holds(&self, table_id: u64) -> bool {
        self.locks.contains_key(&table_id)
    }

    pub(crate) fn hold(&mut self, table_id: u64, guard: OwnedMutexGuard<()>) {
        self.locks.insert(table_id, guard);
    }

    /// Takes in what one statement changed.
    pub(crate) fn record(&mut self, table: &Key, change: Change) {
        let entry = self.changes.entry(table.clone()).or_default();
        if entry.table_id != change.table_id {
            *entry = Change {
                table_id: change.table_id,
                ..Change::default()
            };
        }
        entry
            .added
            .retain(|part| !change.removed.contains(&part.id));
        entry.removed.extend(change.removed);
        entry.added.extend(change.added);
        if change.forgets {
            entry.loads.clear();
            entry.forgets = true;
        }
        entry.loads.extend(change.loads);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Whether all the tables that it changes are such ones.
    pub(crate) fn touches_only(&self, such: impl Fn(&Key) -> bool) -> bool {
        self.changes.keys().all(such)
    }

    /// The catalog with the changes in it. What was changed in a table that is gone or replaced by now is lost.
    pub(crate) fn apply(&self, catalog: &mut Catalog) {
        for (key, change) in &self.changes {
            let same = catalog
                .table(&key.path)
                .is_some_and(|table| table.id == change.table_id);
            if !same {
                continue;
            }
            catalog
                .change_table(key, |table| {
                    table
                        .parts
                        .retain(|part| !change.removed.contains(&part.id));
                    table.parts.extend(change.added.iter().cloned());
                    if change.forgets {
                        table.loads.clear();
                    }
                    table.loads.extend(change.loads.iter().cloned());
                })
                .expect("the table was there just now");
        }
    }
}
