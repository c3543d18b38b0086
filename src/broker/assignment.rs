//! Where the work on a partition begins, and whether that position can be trusted.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tracing::warn;

use super::client::CALL_TIMEOUT;
use super::consumer::GroupConsumer;
use super::error::BrokerError;
use super::identity::Identity;
use super::position::{NextOffset, Partition};

/// What stands, in the metadata of a position, before what its job remembers of its outputs.
const OUTPUTS: &str = " outputs=";

/// A new leader of a partition may know its end a moment late.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two looks at such an end.
const END_INTERVAL: Duration = Duration::from_millis(200);

/// A partition that was given to this member, and where its work begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The partition's number.
    pub partition: i32,
    /// The group's committed position, if it has one.
    pub committed: Option<NextOffset>,
    /// The position that counts as committed: where there is none, where the log begins.
    pub position: NextOffset,
    /// Whether [`Self::position`] is not what is committed. Until it is, records that retention deletes unread would not be missed.
    pub is_unwritten: bool,
    /// What the job remembered of its outputs with that position; empty when it did not, or after a reset.
    pub outputs: String,
}

/// The metadata of a position: which topic it is of, and what its job remembers of its outputs.
pub(super) fn metadata(identity: &Identity, outputs: &str) -> String {
    if outputs.is_empty() {
        identity.to_string()
    } else {
        format!("{identity}{OUTPUTS}{outputs}")
    }
}

/// The topic that a position is of, as its metadata has it; None when it does not.
pub(super) fn identity_of(metadata: &str) -> Option<Identity> {
    let (identity, _) = metadata.split_once(OUTPUTS).unwrap_or((metadata, ""));
    identity.parse().ok()
}

/// The part of the metadata that is the job's.
pub(super) fn outputs_of(metadata: &str) -> &str {
    metadata
        .split_once(OUTPUTS)
        .map_or("", |(_, outputs)| outputs)
}

/// A partition's offsets: the first that is there, and the one that comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Log {
    pub(super) low: i64,
    pub(super) end: i64,
}

impl Log {
    /// Where reading begins, and the position that counts as committed. `look_back` offsets are read again. The position has
    /// passed [`Self::check`].
    pub(super) fn start(self, look_back: i64, committed: i64) -> (i64, i64) {
        if committed < self.low && self.lost_a_marker(committed) {
            return (self.low, self.low);
        }
        // What is older than the log is not there to be looked at.
        let start = committed
            .saturating_sub(look_back)
            .max(self.low)
            .min(committed);
        (start, committed)
    }

    /// The log ran empty by retention, and the position lay before its last offset: that was the marker of a transaction, if
    /// all records are of transactions. Positions are committed behind markers, but not by a service that was killed before it
    /// came to that, nor by older versions.
    fn lost_a_marker(self, committed: i64) -> bool {
        self.low == self.end && self.low - committed == 1
    }

    /// How many of the offsets that are looked back at are not there any more.
    fn lost_of_window(self, look_back: i64, committed: i64) -> i64 {
        let wanted = committed.saturating_sub(look_back).max(0);
        (self.low.min(committed) - wanted).max(0)
    }

    /// A worker that never restarted still remembers what is gone, and so may judge differently.
    pub(super) fn warn_of_window(self, at: &Partition, look_back: i64, committed: i64) {
        let lost = self.lost_of_window(look_back, committed);
        if lost > 0 {
            let hint = format!(
                "keep more than clean.duplicate_window_events in {}: raise its retention",
                at.topic
            );
            warn!(
                partition = %at, committed, window = look_back, begins = self.low, lost, hint,
                "the log has lost a part of the window of duplicates: repetitions of those events are not recognised"
            );
        }
    }

    /// A committed position that the log no longer has is a loss, not a reason to skip. `transactional` says that every record
    /// of the topic is of a transaction.
    pub(super) fn check(
        self,
        at: &Partition,
        committed: i64,
        transactional: bool,
    ) -> Result<(), BrokerError> {
        let Self { low, end } = self;
        if committed < low && !(transactional && self.lost_a_marker(committed)) {
            return Err(BrokerError::PositionLost {
                what: format!(
                    "{at} begins at offset {low}, but the committed position is {committed}: records were deleted before they were read"
                ),
            });
        }
        if committed > end {
            return Err(BrokerError::PositionLost {
                what: format!(
                    "{at} ends at offset {end}, but the committed position is {committed}: the log was cut or made anew"
                ),
            });
        }
        Ok(())
    }
}

/// Compares the topic that a position was committed for, as its metadata has it, with the one that is there. Positions of an
/// older version have no metadata and are trusted once.
pub(super) fn compare(
    at: &Partition,
    committed_for: &str,
    now: &Identity,
) -> Result<(), BrokerError> {
    if committed_for.is_empty() {
        return Ok(());
    }
    let lost = |why: String| {
        Err(BrokerError::PositionLost {
            what: format!("the committed position of {at} is of {why}"),
        })
    };
    let Some(then) = identity_of(committed_for) else {
        return lost(format!("an unknown form: `{committed_for}`"));
    };
    if then.cluster != now.cluster {
        return lost(format!(
            "another cluster, {} instead of {}",
            then.cluster, now.cluster
        ));
    }
    if then.topic != now.topic {
        return lost(format!(
            "a topic of this name that was deleted: its id was {}, now it is {}",
            then.topic, now.topic
        ));
    }
    if then.partitions != now.partitions {
        return lost(format!(
            "a time when the topic had {} partitions; now it has {}, and keys may have moved between them",
            then.partitions, now.partitions
        ));
    }
    Ok(())
}

impl GroupConsumer {
    /// Finds out where the work on new partitions begins, and has them read from there once [`Self::resume`] says so.
    ///
    /// # Errors
    /// No broker, or a position that cannot be trusted.
    pub fn take_up(&self, partitions: &[i32]) -> Result<Vec<Assignment>, BrokerError> {
        let mut starts = TopicPartitionList::new();
        let mut assignments = Vec::new();
        if !partitions.is_empty() {
            let committed = self.committed(partitions)?;
            for element in committed.elements() {
                let number = element.partition();
                let at = self.partition(number);
                let (start, position, committed) = match element.offset() {
                    Offset::Offset(offset) => {
                        compare(&at, element.metadata(), &self.identity)?;
                        let log = self.log(&at, offset)?;
                        log.check(&at, offset, self.transactional)?;
                        log.warn_of_window(&at, self.look_back, offset);
                        let (start, position) = log.start(self.look_back, offset);
                        (start, position, Some(offset))
                    }
                    _ => {
                        let low = self.log(&at, 0)?.low;
                        (low, low, None)
                    }
                };
                starts
                    .add_partition_offset(&self.topic, number, Offset::Offset(start))
                    .map_err(|error| self.unavailable("an assignment", error))?;
                let counts = NextOffset::at(position);
                assignments.push(Assignment {
                    partition: number,
                    committed: committed.map(|_| counts),
                    position: counts,
                    is_unwritten: committed != Some(position),
                    outputs: outputs_of(element.metadata()).to_owned(),
                });
            }
        }
        let new: Vec<i32> = assignments
            .iter()
            .filter(|given| given.committed.is_none())
            .map(|given| given.partition)
            .collect();
        if !new.is_empty() {
            self.check_first_start(&new)?;
        }
        self.consumer
            .context()
            .answer(&self.consumer, &starts)
            .and_then(|()| self.consumer.pause(&starts))
            .map_err(|source| BrokerError::Lost {
                call: "an assignment",
                source,
            })?;
        Ok(assignments)
    }

    /// What the log of a partition holds; asked again for a moment while it ends before `position`.
    fn log(&self, at: &Partition, position: i64) -> Result<Log, BrokerError> {
        let deadline = Instant::now() + END_TIMEOUT;
        loop {
            let (low, end) = self
                .consumer
                .fetch_watermarks(&at.topic, at.number, CALL_TIMEOUT)
                .map_err(|error| self.unavailable("watermarks", error))?;
            if position <= end || Instant::now() > deadline {
                return Ok(Log { low, end });
            }
            std::thread::sleep(END_INTERVAL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Partition {
        Partition {
            topic: "raw".to_owned(),
            number: 1,
        }
    }

    #[test]
    fn reading_begins_at_the_look_back_and_never_skips() {
        // (look-back, committed, low, end, start and what counts as committed)
        let table = [
            (0, 7, 0, 10, (7, 7)),
            (5, 7, 0, 10, (2, 7)),
            (50, 7, 0, 10, (0, 7)),
            (50, 7, 4, 10, (4, 7)),
            (50, 7, 9, 10, (7, 7)),
            (0, 7, 9, 10, (7, 7)),
            // The log ran empty by retention, with a marker at its end.
            (0, 100, 101, 101, (101, 101)),
            (0, 10, 10, 10, (10, 10)),
        ];
        for (look_back, committed, low, end, expected) in table {
            let start = Log { low, end }.start(look_back, committed);
            assert_eq!(
                start, expected,
                "look-back {look_back}, committed {committed}, log {low} to {end}"
            );
        }
    }

    #[test]
    fn a_position_that_the_log_does_not_have_is_said() {
        for (committed, low, end, expected) in [
            (7, 0, 10, None),
            (10, 0, 10, None),
            (0, 0, 0, None),
            // One record that nobody read: not all records are of transactions here.
            (9, 10, 10, Some("begins at offset 10")),
            // Retention has emptied the log while nobody read it.
            (8, 10, 10, Some("begins at offset 10")),
            (0, 5_000, 5_000, Some("begins at offset 5000")),
            // A new record came behind what was deleted.
            (9, 10, 11, Some("begins at offset 10")),
            (7, 9, 10, Some("begins at offset 9")),
            (11, 0, 10, Some("ends at offset 10")),
        ] {
            let checked = Log { low, end }.check(&at(), committed, false);
            match (checked, expected) {
                (Ok(()), None) => {}
                (Err(error), Some(words)) => {
                    assert!(error.to_string().contains(words), "{error}");
                    assert!(error.hint().contains("sluicebox reset"), "{}", error.hint());
                }
                (checked, _) => panic!("{committed} in {low} to {end}: {checked:?}"),
            }
        }
    }

    #[test]
    fn only_where_all_records_are_of_transactions_a_last_offset_was_a_marker() {
        for (committed, low, end, right) in [
            (9, 10, 10, true),
            (10, 11, 11, true),
            (8, 10, 10, false),
            (9, 10, 11, false),
        ] {
            let checked = Log { low, end }.check(&at(), committed, true);
            assert_eq!(checked.is_ok(), right, "{committed} in {low} to {end}");
        }
    }

    #[test]
    fn what_the_log_has_lost_of_the_window_is_told() {
        // (look-back, committed, low, lost)
        for (look_back, committed, low, lost) in [
            (50, 100, 0, 0),
            (500, 100, 0, 0),
            (50, 100, 50, 0),
            (50, 100, 60, 10),
            (500, 100, 60, 60),
            (50, 100, 101, 50),
            (0, 100, 60, 0),
        ] {
            let log = Log { low, end: 200 };
            assert_eq!(
                log.lost_of_window(look_back, committed),
                lost,
                "look-back {look_back}, committed {committed}, low {low}"
            );
        }
    }

    #[test]
    fn a_position_of_another_topic_is_not_trusted() {
        let now: Identity = "cluster=c topic=t partitions=3".parse().unwrap();
        for (then, expected) in [
            ("", None),
            ("cluster=c topic=t partitions=3", None),
            ("cluster=c topic=t partitions=3 outputs=gold:x:0:1", None),
            (
                "cluster=c topic=u partitions=3 outputs=gold:x:0:1",
                Some("was deleted"),
            ),
            ("cluster=d topic=t partitions=3", Some("another cluster")),
            ("cluster=c topic=u partitions=3", Some("was deleted")),
            ("cluster=c topic=t partitions=2", Some("had 2 partitions")),
            ("by hand", Some("an unknown form")),
        ] {
            let compared = compare(&at(), then, &now);
            match (compared, expected) {
                (Ok(()), None) => {}
                (Err(error), Some(words)) => assert!(error.to_string().contains(words), "{error}"),
                (compared, _) => panic!("`{then}`: {compared:?}"),
            }
        }
    }

    #[test]
    fn what_the_job_remembers_reads_back_beside_the_topic() {
        let topic: Identity = "cluster=c topic=t partitions=3".parse().unwrap();
        for outputs in ["", "gold:x:0:1,other:y:2:3"] {
            let written = metadata(&topic, outputs);
            assert_eq!(outputs_of(&written), outputs);
            compare(&at(), &written, &topic).unwrap();
        }
        assert_eq!(metadata(&topic, ""), topic.to_string());
        assert_eq!(outputs_of(""), "");
    }
}
