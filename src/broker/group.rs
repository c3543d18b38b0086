//! Who has what in a consumer group, as its coordinator tells.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::consumer::Consumer;

use super::consumer::GroupConsumer;

/// Longest wait for an answer: this is a question on the side.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

impl GroupConsumer {
    /// Partitions of the topic that no member has while the group is at rest; None when that cannot be told right now.
    ///
    /// Kafka 4.1 lets this happen to static members under cooperative rebalances: between the round in which a member is told to
    /// give partitions up and the one in which others get them, the member dies and comes back under its name. The coordinator
    /// hands it what it was left with, without a rebalance; nothing is left that it could give up, and nobody asks for a second
    /// round.
    pub fn orphans(&self) -> Option<Vec<i32>> {
        let answer = self
            .consumer
            .client()
            .fetch_group_list(Some(&self.group), ASK_TIMEOUT)
            .ok()?;
        let group = answer
            .groups()
            .iter()
            .find(|group| group.name() == self.group)?;
        if group.state() != "Stable" {
            return None;
        }
        let mut owned = BTreeSet::new();
        for member in group.members() {
            owned.extend(assigned(member.assignment()?, &self.topic)?);
        }
        let partitions = i32::try_from(self.identity.partitions).ok()?;
        let orphans = (0..partitions).filter(|partition| !owned.contains(partition));
        Some(orphans.collect())
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
