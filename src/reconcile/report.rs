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
    /// Whether each part was compared, as far as its topics still go.
    pub(crate) complete: bool,
    /// The parts that were not compared, and why: the next time they may be.
    pub(crate) not_compared: Vec<String>,
    /// Raw records, and what became of each.
    pub(crate) ledger: Part<Sums>,
    /// Gold topics, and what clean events add up to.
    pub(crate) gold: Part<Counts>,
    /// Events that gold refuses without a copy in rejected_events, or copies without such an event, when a topic that could say why
    /// has lost its beginning.
    pub(crate) refused_not_compared: u64,
    /// Warehouse tables, and what the topics say; None when it was not asked for.
    pub(crate) warehouse: Option<Part<Rows>>,
}

impl Report {
    /// Of what each part has found.
    pub(crate) fn new(
        ledger: Part<Sums>,
        gold: Part<Counts>,
        refused_not_compared: u64,
        warehouse: Option<Part<Rows>>,
    ) -> Self {
        let of_gold = gold.numbers.iter().map(|counts| {
            let place = format!("{}[{}]", counts.table, counts.partition);
            (place, &counts.not_checked)
        });
        let tables = warehouse.iter().flat_map(|part| &part.numbers);
        let of_warehouse = tables.map(|rows| (rows.table.clone(), &rows.not_checked));
        let not_compared: Vec<String> = of_gold
            .chain(of_warehouse)
            .filter(|(_, why)| !why.is_empty())
            .map(|(place, why)| format!("{place} ({why})"))
            .collect();
        Self {
            complete: not_compared.is_empty(),
            not_compared,
            ledger,
            gold,
            refused_not_compared,
            warehouse,
        }
    }

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
        parts.push(self.last_line());
        parts.join("\n")
    }

    /// What it comes to, and what it says nothing of.
    fn last_line(&self) -> String {
        let mut line = match (self.is_clean(), self.complete) {
            (true, true) => "no differences".to_owned(),
            (true, false) => "agrees as far as it was compared".to_owned(),
            (false, _) => format!("{} differences", self.total()),
        };
        for (what, those) in [
            ("not compared", &self.not_compared),
            ("cannot be compared any more", &self.gone()),
        ] {
            if !those.is_empty() {
                line.push_str(&format!("; {what}: {}", those.join(", ")));
            }
        }
        line
    }

    /// Single records and rows that the topics do not hold any more, or of which they do not hold what they depend on.
    fn gone(&self) -> Vec<String> {
        let ledger = |of: fn(&Sums) -> u64| self.ledger.numbers.iter().map(of).sum::<u64>();
        let gold = |of: fn(&Counts) -> u64| self.gold.numbers.iter().map(of).sum::<u64>();
        let tables = || self.warehouse.iter().flat_map(|part| &part.numbers);
        let warehouse = |of: fn(&Rows) -> u64| tables().map(of).sum::<u64>();
        let counts = [
            ("judged leniently", ledger(|sums| sums.judged_leniently)),
            ("expired", ledger(|sums| sums.expired)),
            ("not recomputed", gold(|counts| counts.not_recomputed)),
            ("copies of refused events", self.refused_not_compared),
            (
                "replaced since",
                gold(|counts| counts.replaced) + warehouse(|rows| rows.replaced),
            ),
            ("older than the topic", warehouse(|rows| rows.older)),
        ];
        let some = counts.iter().filter(|(_, count)| *count > 0);
        some.map(|(what, count)| format!("{count} {what}"))
            .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn part<Numbers>(numbers: Numbers) -> Part<Numbers> {
        Part {
            numbers: vec![numbers],
            differences: Differences::new(10),
        }
    }

    fn counts(not_checked: &str) -> Part<Counts> {
        part(Counts {
            table: "daily".to_owned(),
            partition: 2,
            not_checked: not_checked.to_owned(),
            ..Counts::default()
        })
    }

    fn last_line(report: &Report) -> String {
        let text = report.text();
        text.lines().last().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_part_that_was_not_compared_is_no_agreement() {
        let warehouse = |not_checked: &str| {
            Some(part(Rows {
                table: "DAILY".to_owned(),
                not_checked: not_checked.to_owned(),
                ..Rows::default()
            }))
        };
        let ledger = || part(Sums::default());
        let all = Report::new(ledger(), counts(""), 0, warehouse(""));
        assert_eq!(
            (all.complete, last_line(&all)),
            (true, "no differences".to_owned())
        );

        let table = [
            (counts("busy"), warehouse(""), "daily[2] (busy)"),
            (counts(""), warehouse("busy"), "DAILY (busy)"),
            (
                counts("busy"),
                warehouse("busy"),
                "daily[2] (busy), DAILY (busy)",
            ),
        ];
        for (gold, warehouse, expected) in table {
            let report = Report::new(ledger(), gold, 0, warehouse);
            assert!(report.is_clean() && !report.complete);
            let said = format!("agrees as far as it was compared; not compared: {expected}");
            assert_eq!(last_line(&report), said);
            assert!(
                report
                    .json()
                    .is_ok_and(|json| json.contains("\"complete\": false"))
            );
        }
    }

    #[test]
    fn the_last_line_says_what_is_gone_and_how_many_differ() {
        let expired = part(Sums {
            expired: 3,
            ..Sums::default()
        });
        let mut report = Report::new(expired, counts(""), 2, None);
        let gone = "cannot be compared any more: 3 expired, 2 copies of refused events";
        assert_eq!(last_line(&report), format!("no differences; {gone}"));
        assert!(report.complete);
        report.gold.differences.total = 4;
        assert_eq!(last_line(&report), format!("4 differences; {gone}"));
    }
}
