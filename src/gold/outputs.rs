//! What a committed position remembers of the gold topics that hold what was counted up to it.
//!
//! The states are read back from those topics. One that was deleted and made again, or that has lost records, gives states that
//! are too small, and counting would go on from them. So each position carries, for every table, the topic's id and where its
//! partition began and ended, and whoever takes the partition up compares.

use anyhow::{Context, anyhow, bail};

use super::snapshot::Standing;
use crate::broker::{Extent, NextOffset, Partition};

/// Most bytes that the broker keeps with a position, `offset.metadata.max.bytes` = 4096, without what else stands there.
const MOST_BYTES: usize = 3_800;

/// Longest offset, in digits.
const DIGITS: usize = 19;

const REMEDY: &str = "`sluicebox reset gold` counts everything anew from clean_events";

/// The log of a table's partition, as a position remembers it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    id: String,
    start: NextOffset,
    next: NextOffset,
}

/// One table's part of what is remembered. `identity` is that of its topic.
pub(crate) fn written(table: &str, identity: &str, standing: Standing) -> String {
    let Standing { start, next } = standing;
    format!("{table}:{}:{start}:{next}", id_of(identity))
}

/// Refuses tables whose names and ids are too long to be remembered together.
///
/// # Errors
/// When they are.
pub(crate) fn check_length<'a>(
    tables: impl Iterator<Item = (&'a str, &'a str)>,
) -> anyhow::Result<()> {
    let bytes: usize = tables
        .map(|(table, identity)| table.len() + id_of(identity).len() + 2 * DIGITS + 4)
        .sum();
    if bytes > MOST_BYTES {
        bail!(
            "the names of all gold tables come to {bytes} bytes with what is remembered of them, and a position takes {MOST_BYTES}\nhint: give the files in gold/ shorter names, or make two pipelines of them"
        );
    }
    Ok(())
}

/// What is remembered of a table; None when it was not counted at that position.
///
/// # Errors
/// A text that this service did not write.
pub(crate) fn remembered(outputs: &str, table: &str) -> anyhow::Result<Option<Remembered>> {
    let mut parts = outputs.split(',').map(|part| part.split(':'));
    let Some(mut part) = parts.find_map(|mut part| (part.next() == Some(table)).then_some(part))
    else {
        return Ok(None);
    };
    let mut read = || {
        let id = part.next()?.to_owned();
        let mut offset = || part.next()?.parse().ok().map(NextOffset::at);
        Some(Remembered {
            id,
            start: offset()?,
            next: offset()?,
        })
    };
    let found = read().with_context(|| {
        format!("the committed position has an unknown form: `{outputs}`\nhint: {REMEDY}")
    });
    found.map(Some)
}

impl Remembered {
    /// Where the log ended at least, when the position was committed.
    pub(crate) fn next(&self) -> NextOffset {
        self.next
    }

    /// Whether it was this topic.
    pub(crate) fn is_of(&self, identity: &str) -> bool {
        self.id == id_of(identity)
    }

    /// Compares with the log that is there.
    ///
    /// # Errors
    /// Another topic, or a log without some of the records that were counted.
    pub(crate) fn check(
        &self,
        at: &Partition,
        identity: &str,
        extent: Extent,
    ) -> anyhow::Result<()> {
        let Self { id, start, next } = self;
        let now = id_of(identity);
        let Extent {
            start: low,
            end: high,
        } = extent;
        let lost = if !self.is_of(identity) {
            format!(
                "topic {} was deleted and made again: its id was {id}, now it is {now}, and the rows that were counted are gone",
                at.topic
            )
        } else if low > *start {
            format!(
                "{at} begins at offset {low}, but began at {start}: records were deleted, and gold topics have to be compacted only"
            )
        } else if high < *next {
            format!("{at} ends at offset {high}, but went to {next}: the log was cut")
        } else {
            return Ok(());
        };
        Err(anyhow!("{lost}\nhint: {REMEDY}"))
    }
}

/// The topic's id in an identity's text.
fn id_of(identity: &str) -> &str {
    let mut parts = identity.split(' ');
    parts
        .find_map(|part| part.strip_prefix("topic="))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: &str = "cluster=c topic=aB-_3 partitions=3";

    fn standing(start: i64, next: i64) -> Standing {
        Standing {
            start: NextOffset::at(start),
            next: NextOffset::at(next),
        }
    }

    #[test]
    fn what_is_remembered_reads_back_and_tells_each_loss() {
        let outputs = [
            written("days", IDENTITY, standing(0, 12)),
            written("days.more", IDENTITY, standing(3, 40)),
        ];
        let outputs = outputs.join(",");
        assert_eq!(remembered(&outputs, "more").unwrap(), None);
        assert_eq!(remembered("", "days").unwrap(), None);
        assert!(remembered("days:x:1", "days").is_err());
        let found = remembered(&outputs, "days.more").unwrap().unwrap();
        assert_eq!(found.next(), NextOffset::at(40));
        let at = Partition {
            topic: "days.more".to_owned(),
            number: 1,
        };
        let made_again = "cluster=c topic=other partitions=3";
        for (identity, start, end, expected) in [
            (IDENTITY, 3, 40, None),
            (IDENTITY, 3, 70, None),
            (made_again, 3, 40, Some("was deleted and made again")),
            (IDENTITY, 4, 40, Some("begins at offset 4, but began at 3")),
            (IDENTITY, 3, 39, Some("ends at offset 39, but went to 40")),
        ] {
            let extent = Extent {
                start: NextOffset::at(start),
                end: NextOffset::at(end),
            };
            match (found.check(&at, identity, extent), expected) {
                (Ok(()), None) => {}
                (Err(error), Some(words)) => {
                    let error = error.to_string();
                    assert!(error.contains(words), "{error}");
                    assert!(error.contains("hint: `sluicebox reset gold`"), "{error}");
                }
                (checked, _) => panic!("{identity}, {start} to {end}: {checked:?}"),
            }
        }
    }

    #[test]
    fn more_tables_than_a_position_can_remember_are_refused() {
        let check = |count| check_length(std::iter::repeat_n(("a_name", IDENTITY), count));
        check(50).unwrap();
        let error = check(100).unwrap_err().to_string();
        assert!(error.contains("hint: "), "{error}");
    }
}
