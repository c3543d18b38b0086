//! Where a reset lets reading begin.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::bail;

use crate::broker::{Logs, Partition};

/// `earliest`, `latest`, one offset for every partition, or `0=12,1=40`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum To {
    /// Where the log begins.
    Earliest,
    /// Where it ends now.
    Latest,
    /// The same offset in each partition.
    Offset(i64),
    /// An offset for each partition.
    Each(BTreeMap<i32, i64>),
}

impl FromStr for To {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            format!(
                "`{text}` is not earliest, latest, an offset, or partition=offset for each partition, e.g. 0=12,1=40"
            )
        };
        match text {
            "earliest" => return Ok(Self::Earliest),
            "latest" => return Ok(Self::Latest),
            _ => {}
        }
        if let Ok(offset) = text.parse::<i64>() {
            return if offset >= 0 {
                Ok(Self::Offset(offset))
            } else {
                Err(wrong())
            };
        }
        let mut each = BTreeMap::new();
        for one in text.split(',') {
            let (partition, offset) = one.split_once('=').ok_or_else(wrong)?;
            let partition: i32 = partition.trim().parse().map_err(|_| wrong())?;
            let offset: i64 = offset.trim().parse().map_err(|_| wrong())?;
            if partition < 0 || offset < 0 || each.insert(partition, offset).is_some() {
                return Err(wrong());
            }
        }
        Ok(Self::Each(each))
    }
}

impl To {
    /// The offset for each partition of a topic, as its log is now.
    pub(super) fn of(&self, logs: &Logs, topic: &str) -> anyhow::Result<Vec<(Partition, i64)>> {
        let mut positions = Vec::new();
        for at in logs.partitions(topic)? {
            let log = logs.log(&at)?;
            let wanted = match self {
                Self::Earliest => Some(log.low),
                // Behind it are records of transactions that are still open: they may yet be committed.
                Self::Latest => Some(log.stable),
                Self::Offset(offset) => Some(*offset),
                Self::Each(each) => each.get(&at.number).copied(),
            };
            let Some(offset) = wanted else {
                bail!(
                    "--to says nothing about {at}\nhint: name an offset for each partition of {topic}"
                );
            };
            if offset < log.low || offset > log.end {
                bail!(
                    "{at} holds the offsets {} to {}, and {offset} is none of them\nhint: `--to earliest` and `--to latest` are always right",
                    log.low,
                    log.end
                );
            }
            positions.push((at, offset));
        }
        if let Self::Each(each) = self
            && let Some(number) = each
                .keys()
                .find(|number| positions.iter().all(|(at, _)| at.number != **number))
        {
            bail!(
                "{topic} has no partition {number}\nhint: it has {} partitions",
                positions.len()
            );
        }
        Ok(positions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let table = [
            ("earliest", Some(To::Earliest)),
            ("latest", Some(To::Latest)),
            ("12", Some(To::Offset(12))),
            (
                "0=12,1=40",
                Some(To::Each(BTreeMap::from([(0, 12), (1, 40)]))),
            ),
            (
                "0=12, 1=40",
                Some(To::Each(BTreeMap::from([(0, 12), (1, 40)]))),
            ),
            ("-1", None),
            ("0=12,0=13", None),
            ("0=-1", None),
            ("0:12", None),
            ("", None),
            ("first", None),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }
}
