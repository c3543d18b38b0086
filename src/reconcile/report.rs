//! What was found, for people and for machines.

use comfy_table::{Table, presets};
use serde::Serialize;

use super::difference::Differences;
use super::gold::Counts;
use super::ledger::Sums;
use super::warehouse::Rows;

/// One of the three parts.
#[derive(Debug, Serialize)]
pub(crate) struct Part<Numbers> {
    /// What was compared, in numbers.
    pub(crate) numbers: Vec<Numbers>,
    /// What does not agree.
    pub(crate) differences: Differences,
}

/// All that was compared.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Raw records, and what became of each.
    pub(crate) ledger: Part<Sums>,
    /// Gold topics, and what clean events add up to.
    pub(crate) gold: Part<Counts>,
    /// Warehouse tables, and what the topics say; None when it was not asked for.
    pub(crate) warehouse: Option<Part<Rows>>,
}

impl Report {
    /// Whether everything that was compared agrees.
    pub(crate) fn is_clean(&self) -> bool {
        self.differences()
            .all(|(_, differences)| differences.total == 0)
    }

    /// Number of all differences.
    pub(crate) fn total(&self) -> u64 {
        self.differences()
            .map(|(_, differences)| differences.total)
            .sum()
    }

    fn differences(&self) -> impl Iterator<Item = (&'static str, &Differences)> {
        let warehouse = self
            .warehouse
            .iter()
            .map(|part| ("warehouse", &part.differences));
        [
            ("ledger", &self.ledger.differences),
            ("gold", &self.gold.differences),
        ]
        .into_iter()
        .chain(warehouse)
    }

    /// A JSON object.
    pub(crate) fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    /// Tables, then the differences.
    pub(crate) fn text(&self) -> String {
        let mut parts = vec![
            "ledger: each raw record up to `to` is in one place".to_owned(),
            self.ledger_table(),
            "gold topics: the rows are what the clean events up to `to` add up to".to_owned(),
            self.gold_table(),
        ];
        if let Some(warehouse) = &self.warehouse {
            parts.push("warehouse: the tables are what the topics say up to `to`".to_owned());
            parts.push(warehouse_table(&warehouse.numbers));
        }
        for (part, differences) in self.differences().filter(|(_, some)| some.total > 0) {
            parts.push(format!("differences in the {part}: {}", differences.total));
            parts.extend(differences.listed.iter().map(|one| format!("  {one}")));
            let listed = u64::try_from(differences.listed.len()).unwrap_or(u64::MAX);
            let more = differences.total.saturating_sub(listed);
            if more > 0 {
                parts.push(format!("  and {more} more"));
            }
        }
        if self.is_clean() {
            parts.push("no differences".to_owned());
        }
        parts.join("\n")
    }

    fn ledger_table(&self) -> String {
        let rows = self.ledger.numbers.iter().map(|sums| {
            let numbers = [
                sums.consumed,
                sums.clean,
                sums.rejected,
                sums.duplicate,
                sums.judged_leniently,
                sums.expired,
            ];
            let mut row = vec![
                sums.partition.to_string(),
                sums.from.to_string(),
                sums.to.to_string(),
            ];
            row.extend(numbers.iter().map(u64::to_string));
            row
        });
        let head = [
            "partition",
            "from",
            "to",
            "consumed",
            "clean",
            "rejected",
            "duplicate",
            "judged leniently",
            "expired",
        ];
        table(&head, rows)
    }

    fn gold_table(&self) -> String {
        let rows = self.gold.numbers.iter().map(|counts| {
            let numbers = [
                counts.clean,
                counts.counted,
                counts.refused,
                counts.rows,
                counts.replaced,
                counts.not_recomputed,
            ];
            let mut row = vec![
                counts.table.clone(),
                counts.partition.to_string(),
                counts.to.to_string(),
            ];
            row.extend(numbers.iter().map(u64::to_string));
            row.push(counts.not_checked.clone());
            row
        });
        let head = [
            "table",
            "partition",
            "to",
            "clean",
            "counted",
            "refused",
            "equal rows",
            "replaced since",
            "not recomputed",
            "not checked",
        ];
        table(&head, rows)
    }
}

fn warehouse_table(numbers: &[Rows]) -> String {
    let rows = numbers.iter().map(|rows| {
        let to: Vec<String> = rows
            .next_offsets
            .iter()
            .map(|(partition, next)| format!("{partition}: {next}"))
            .collect();
        let mut row = vec![rows.table.clone(), rows.topic.clone(), to.join(", ")];
        row.extend(
            [rows.rows, rows.equal, rows.replaced, rows.older]
                .iter()
                .map(u64::to_string),
        );
        row.push(rows.not_checked.clone());
        row
    });
    let head = [
        "table",
        "topic",
        "to",
        "rows",
        "equal rows",
        "replaced since",
        "older than the topic",
        "not checked",
    ];
    table(&head, rows)
}

fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::UTF8_BORDERS_ONLY)
        .set_header(head);
    for row in rows {
        table.add_row(row);
    }
    table.to_string()
}
