//! The events that gold refuses, and their copies in rejected_events.

use std::collections::{BTreeMap, HashMap};

use super::Books;
use super::difference::{Differences, Kind};
use super::events::{read, source_of_rejected, text};
use crate::broker::Logs;
use crate::rejected;
use crate::status::Job;

/// How often an event is refused more than it has copies, by partition, offset and reason.
pub(super) type Refused = BTreeMap<(i32, i64, String), i64>;

/// Every event that a table refuses has its copy in rejected_events, and no other has one. `checked` are the positions of the tables
/// in each clean partition. Returns how many cannot be compared, see [`compare`].
pub(super) fn check(
    books: &Books,
    logs: &Logs,
    checked: &HashMap<i32, Vec<i64>>,
    mut refused: Refused,
    differences: &mut Differences,
) -> anyhow::Result<u64> {
    // Tables were cut at different positions: what lies before all of them is compared.
    let before = |partition: i32| {
        let cuts = checked.get(&partition).map_or(&[][..], Vec::as_slice);
        cuts.iter().copied().min().unwrap_or_default()
    };
    let ranges = logs.ranges(&books.rejected)?;
    let low: HashMap<i32, i64> = logs
        .ranges(&books.clean)?
        .into_iter()
        .map(|range| (range.at.number, range.from))
        .collect();
    // Where a topic has lost its beginning, copies may be gone; where a gold topic has, it was counted anew and they are there
    // once more.
    let mut truncated = false;
    let gold = books.pipeline.gold.iter().map(|table| &table.name);
    for topic in [&books.rejected, &books.clean].into_iter().chain(gold) {
        truncated |= logs.ranges(topic)?.iter().any(|range| range.from > 0);
    }
    read(books, &ranges, |record, _| {
        if text(record, rejected::STAGE) != Some(Job::Gold.name()) {
            return;
        }
        let place = format!(
            "{}[{}] {}",
            books.rejected,
            record.partition(),
            record.offset()
        );
        let (Some((partition, offset)), Some(reason)) =
            (source_of_rejected(record), text(record, rejected::REASON))
        else {
            let detail = "its headers do not say why and whence";
            differences.add(Kind::Unexpected, place, "no source", detail);
            return;
        };
        let gone = low.get(&partition).is_some_and(|low| offset < *low);
        if gone || offset >= before(partition) {
            return;
        }
        *refused
            .entry((partition, offset, reason.to_owned()))
            .or_default() -= 1;
    })?;
    refused.retain(|(partition, offset, _), _| *offset < before(*partition));
    Ok(compare(
        &books.clean,
        &books.rejected,
        truncated,
        &refused,
        differences,
    ))
}

/// What does not belong together is a difference, unless a topic that has lost its beginning may be the reason: such are counted.
fn compare(
    clean: &str,
    rejected: &str,
    truncated: bool,
    refused: &Refused,
    differences: &mut Differences,
) -> u64 {
    let mut not_compared = 0;
    for ((partition, offset, reason), difference) in refused {
        let (kind, detail) = match difference {
            0 => continue,
            _ if truncated => {
                not_compared += 1;
                continue;
            }
            1.. => (
                Kind::Lost,
                format!("gold refuses it as {reason}, but it is not there"),
            ),
            _ => (
                Kind::Unexpected,
                format!("gold does not refuse it as {reason}, or not so often"),
            ),
        };
        let key = format!("{clean}[{partition}] {offset}");
        differences.add(kind, rejected, key, detail);
    }
    not_compared
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_belong_together_is_a_difference_or_is_counted() {
        let refused = Refused::from([
            ((0, 1, "too_late".to_owned()), 0),
            ((0, 2, "too_late".to_owned()), 1),
            ((1, 3, "too_late".to_owned()), -1),
        ]);
        for (truncated, not_compared, kinds) in [
            (false, 0, &[Kind::Lost, Kind::Unexpected][..]),
            (true, 2, &[]),
        ] {
            let mut differences = Differences::new(10);
            let counted = compare("clean", "rejected", truncated, &refused, &mut differences);
            let found: Vec<Kind> = differences.listed.iter().map(|one| one.kind).collect();
            assert_eq!((counted, &found[..]), (not_compared, kinds), "{truncated}");
        }
    }
}
