//! Who has what in a consumer group, as its coordinator tells.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};

use super::position::Partition;

/// Longest wait for an answer: this is a question on the side.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// Partitions of these topics, each with its number of them, that no member of the group has while it is at rest; None when
/// that cannot be told right now.
///
/// Kafka 4.1 lets this happen to static members under cooperative rebalances: between the round in which a member is told to
/// give partitions up and the one in which others get them, the member dies and comes back under its name. The coordinator
/// hands it what it was left with, without a rebalance; nothing is left that it could give up, and nobody asks for a second
/// round.
pub(super) fn orphans<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    topics: &[(String, usize)],
) -> Option<Vec<Partition>> {
    let answer = client.fetch_group_list(Some(group), ASK_TIMEOUT).ok()?;
    let found = answer.groups().iter().find(|found| found.name() == group)?;
    if found.state() != "Stable" {
        return None;
    }
    let mut orphans = Vec::new();
    for (topic, partitions) in topics {
        let mut owned = BTreeSet::new();
        for member in found.members() {
            owned.extend(assigned(member.assignment().unwrap_or_default(), topic)?);
        }
        let numbers =
            (0..i32::try_from(*partitions).ok()?).filter(|number| !owned.contains(number));
        orphans.extend(numbers.map(|number| Partition {
            topic: topic.clone(),
            number,
        }));
    }
    Some(orphans)
}

/// Looks in a row that found partitions that nobody has: between the two rounds of a rebalance there are some for a moment.
#[derive(Debug, Default)]
pub(crate) struct OrphanLooks(u32);

impl OrphanLooks {
    /// Whether this look and those before it say that nobody is going to get them.
    pub(crate) fn confirm(&mut self, found: bool) -> bool {
        self.0 = if found { self.0 + 1 } else { 0 };
        let confirmed = self.0 >= 3;
        if confirmed {
            self.0 = 0;
        }
        confirmed
    }
}

/// The partitions of a topic in a member's assignment (the consumer protocol's `ConsumerProtocolAssignment`):
/// version, then topics, each with its partitions, all numbers big-endian.
fn assigned(bytes: &[u8], topic: &str) -> Option<Vec<i32>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let mut rest = bytes;
    let _version = take(&mut rest, 2)?;
    let mut found = Vec::new();
    for _ in 0..number(&mut rest)? {
        let length = take(&mut rest, 2)?;
        let length = u16::from_be_bytes(length.try_into().ok()?);
        let name = take(&mut rest, usize::from(length))?;
        for _ in 0..number(&mut rest)? {
            let partition = number(&mut rest)?;
            if name == topic.as_bytes() {
                found.push(partition);
            }
        }
    }
    Some(found)
}

fn number(rest: &mut &[u8]) -> Option<i32> {
    Some(i32::from_be_bytes(take(rest, 4)?.try_into().ok()?))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_found_three_times_in_a_row_is_nobodys() {
        let mut looks = OrphanLooks::default();
        let found = [true, true, false, true, true, true, true];
        let confirmed = found.map(|found| looks.confirm(found));
        assert_eq!(confirmed, [false, false, false, false, false, true, false]);
    }

    #[test]
    fn an_assignment_is_read_by_topic_and_a_torn_one_is_none() {
        let mut bytes = vec![0, 1, 0, 0, 0, 2];
        for (topic, partitions) in [("raw", &[2_u8, 0][..]), ("other", &[1])] {
            bytes.extend([0, u8::try_from(topic.len()).unwrap()]);
            bytes.extend(topic.as_bytes());
            bytes.extend([0, 0, 0, u8::try_from(partitions.len()).unwrap()]);
            for partition in partitions {
                bytes.extend([0, 0, 0, *partition]);
            }
        }
        assert_eq!(assigned(&bytes, "raw"), Some(vec![2, 0]));
        assert_eq!(assigned(&bytes, "other"), Some(vec![1]));
        assert_eq!(assigned(&bytes, "none"), Some(Vec::new()));
        assert_eq!(assigned(&[], "raw"), Some(Vec::new()));
        for length in 1..bytes.len() {
            assert_eq!(assigned(&bytes[..length], "raw"), None, "{length} bytes");
        }
    }
}
