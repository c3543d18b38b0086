//! The rows of a table, compared with what its topic promises. Pure; what is read is handed in.

use std::collections::{HashMap, HashSet};

use super::difference::{Differences, Kind};
use super::values::{Row, row_hash, shown};
use super::warehouse::Rows;
use crate::sql::Column;

const NOBODY_SAYS_SO: &str = "no record of the topic says so";

/// What a comparison adds to.
pub(super) struct Findings<'a> {
    /// The table's name.
    pub(super) table: &'a str,
    /// The columns of the topic's rows.
    pub(super) columns: &'a [Column],
    pub(super) sums: &'a mut Rows,
    pub(super) differences: &'a mut Differences,
}

impl Findings<'_> {
    fn add(&mut self, kind: Kind, key: impl Into<String>, detail: impl Into<String>) {
        self.differences.add(kind, self.table, key, detail);
    }
}

/// The rows that are to be in a table, each as often as it is in the topic.
#[derive(Debug, Default)]
pub(super) struct Appended {
    /// By hash: how many are still to be found, and where one of them is.
    rows: HashMap<u128, (u64, String)>,
}

impl Appended {
    /// A record of the topic, at `place`.
    pub(super) fn promise(&mut self, row: &Row, place: impl FnOnce() -> String) {
        let slot = self.rows.entry(row_hash(row));
        slot.or_insert_with(|| (0, place())).0 += 1;
    }

    /// Row by row; `id` is the column that names an event. A row of which a truncated topic says nothing may be older than it.
    pub(super) fn compare(
        mut self,
        rows: impl Iterator<Item = Row>,
        id: usize,
        truncated: bool,
        findings: &mut Findings<'_>,
    ) {
        for row in rows {
            let (kind, detail) = match self.rows.get_mut(&row_hash(&row)) {
                Some((left @ 1.., _)) => {
                    *left -= 1;
                    findings.sums.equal += 1;
                    continue;
                }
                Some((_, place)) => {
                    let detail = format!("{place} is there once more than in the topic");
                    (Kind::Doubled, detail)
                }
                None if truncated => {
                    findings.sums.older += 1;
                    continue;
                }
                None => (Kind::Unexpected, NOBODY_SAYS_SO.to_owned()),
            };
            let name = findings.columns[id].name.as_str();
            let key = shown([(name, &row[id])].into_iter());
            findings.add(kind, key, detail);
        }
        let left = self.rows.into_values().filter(|(left, _)| *left > 0);
        let mut lost: Vec<String> = left.map(|(_, place)| place).collect();
        lost.sort();
        for place in lost {
            let detail = "the control table counts it as loaded, but the table has no such row";
            findings.add(Kind::Lost, place, detail);
        }
    }
}

/// The newest row of each key, with the offset that the table must call its version.
#[derive(Debug, Default)]
pub(super) struct Upserted {
    rows: HashMap<String, (i64, Option<Row>)>,
    later: HashSet<String>,
}

impl Upserted {
    /// A record that is loaded; None deletes the row.
    pub(super) fn promise(&mut self, key: String, version: i64, row: Option<Row>) {
        self.rows.insert(key, (version, row));
    }

    /// A record that is not loaded yet: the one before it may have been compacted away.
    pub(super) fn promise_later(&mut self, key: String) {
        self.later.insert(key);
    }

    /// Row by row, each with its key and version. Below `low` a version may belong to a record that the topic no longer has.
    pub(super) fn compare(
        mut self,
        rows: impl Iterator<Item = (String, i64, Row)>,
        low: i64,
        findings: &mut Findings<'_>,
    ) {
        let mut seen = HashSet::new();
        for (key, version, row) in rows {
            if !seen.insert(key.clone()) {
                findings.add(Kind::Doubled, key, "the table has several rows of this key");
                continue;
            }
            let (kind, detail) = match self.rows.remove(&key) {
                Some((wanted, Some(wanted_row))) => {
                    if wanted == version && wanted_row == row {
                        findings.sums.equal += 1;
                        continue;
                    }
                    let mut detail = difference(findings.columns, &wanted_row, &row);
                    if wanted != version {
                        detail.push(format!("version is {version} instead of {wanted}"));
                    }
                    (Kind::Different, detail.join(", "))
                }
                Some((deleted, None)) => {
                    let detail = format!("the topic deletes it at offset {deleted}");
                    (Kind::Unexpected, detail)
                }
                None if self.later.contains(&key) => {
                    findings.sums.replaced += 1;
                    continue;
                }
                None if version < low => {
                    findings.sums.older += 1;
                    continue;
                }
                None => (Kind::Unexpected, NOBODY_SAYS_SO.to_owned()),
            };
            findings.add(kind, key, detail);
        }
        let left = self.rows.into_iter();
        let mut lost: Vec<(String, i64)> = left
            .filter_map(|(key, (version, row))| row.map(|_| (key, version)))
            .collect();
        lost.sort();
        for (key, version) in lost {
            let detail = format!("offset {version} is loaded, but the table has no such row");
            findings.add(Kind::Lost, key, detail);
        }
    }
}

/// The columns that are not as they should be.
fn difference(columns: &[Column], wanted: &Row, found: &Row) -> Vec<String> {
    let pairs = columns.iter().zip(wanted.iter().zip(found));
    pairs
        .filter(|(_, (wanted, found))| wanted != found)
        .map(|(column, (wanted, found))| {
            let wanted = wanted.as_deref().unwrap_or("NULL");
            let found = found.as_deref().unwrap_or("NULL");
            format!("{} is {found} instead of {wanted}", column.name)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::SqlType;

    fn row(id: &str, value: &str) -> Row {
        vec![Some(id.to_owned()), Some(value.to_owned())]
    }

    /// What the comparison finds: kinds and details, and the sums.
    fn findings(compare: impl FnOnce(&mut Findings<'_>)) -> (Vec<(Kind, String)>, Rows) {
        let columns = ["id", "value"].map(|name| Column {
            name: name.to_owned(),
            sql_type: SqlType::Varchar,
        });
        let (mut sums, mut differences) = (Rows::default(), Differences::new(100));
        compare(&mut Findings {
            table: "T",
            columns: &columns,
            sums: &mut sums,
            differences: &mut differences,
        });
        let found = differences.listed.into_iter();
        (
            found
                .map(|one| (one.kind, format!("{}: {}", one.key, one.detail)))
                .collect(),
            sums,
        )
    }

    #[test]
    fn an_appended_table_has_each_row_as_often_as_its_topic() {
        let compare = |rows: &[Row], truncated| {
            let mut appended = Appended::default();
            for (offset, promised) in [row("a", "1"), row("b", "2"), row("b", "2")]
                .iter()
                .enumerate()
            {
                appended.promise(promised, || format!("clean[0] {offset}"));
            }
            let rows = rows.iter().cloned();
            findings(|findings| appended.compare(rows, 0, truncated, findings))
        };
        let right = [row("b", "2"), row("a", "1"), row("b", "2")];
        let (found, sums) = compare(&right, false);
        assert_eq!((found, sums.equal), (vec![], 3));

        let (found, _) = compare(&right[..2], false);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].0 == Kind::Lost && found[0].1.starts_with("clean[0] 1"),
            "{found:?}"
        );

        let doubled = [&right[..], &[row("a", "1")]].concat();
        for truncated in [false, true] {
            let (found, _) = compare(&doubled, truncated);
            assert_eq!(
                found,
                [(
                    Kind::Doubled,
                    "id=a: clean[0] 0 is there once more than in the topic".to_owned()
                )]
            );
        }

        let invented = [&right[..], &[row("c", "1")]].concat();
        let (found, _) = compare(&invented, false);
        assert_eq!(
            found,
            [(Kind::Unexpected, format!("id=c: {NOBODY_SAYS_SO}"))]
        );
        let (found, sums) = compare(&invented, true);
        assert_eq!((found, sums.older), (vec![], 1));
    }

    #[test]
    fn an_upserted_table_has_the_newest_row_of_each_key() {
        let compare = |rows: &[(&str, i64, &str)]| {
            let mut upserted = Upserted::default();
            upserted.promise("a".to_owned(), 10, Some(row("a", "old")));
            upserted.promise("a".to_owned(), 12, Some(row("a", "1")));
            upserted.promise("gone".to_owned(), 13, None);
            upserted.promise_later("a".to_owned());
            upserted.promise_later("b".to_owned());
            let rows = rows.iter();
            let rows =
                rows.map(|(key, version, value)| ((*key).to_owned(), *version, row(key, value)));
            findings(|findings| upserted.compare(rows, 5, findings))
        };
        let (found, sums) = compare(&[("a", 12, "1"), ("b", 8, "7"), ("older", 4, "7")]);
        assert_eq!(found, []);
        assert_eq!((sums.equal, sums.replaced, sums.older), (1, 1, 1));

        let a = ("a", 12, "1");
        let table = [
            (vec![], Kind::Lost, "a: offset 12 is loaded"),
            (
                vec![("a", 12, "2")],
                Kind::Different,
                "a: value is 2 instead of 1",
            ),
            (
                vec![("a", 10, "1")],
                Kind::Different,
                "a: version is 10 instead of 12",
            ),
            (
                vec![a, ("gone", 9, "1")],
                Kind::Unexpected,
                "gone: the topic deletes it at offset 13",
            ),
            (vec![a, ("c", 9, "1")], Kind::Unexpected, "c: no record"),
            (vec![a, a], Kind::Doubled, "a: the table has several rows"),
        ];
        for (rows, kind, text) in table {
            let (found, _) = compare(&rows);
            assert_eq!(found.len(), 1, "{rows:?}: {found:?}");
            assert!(
                found[0].0 == kind && found[0].1.starts_with(text),
                "{rows:?}: {found:?}"
            );
        }
    }
}
