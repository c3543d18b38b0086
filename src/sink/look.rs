//! What only the broker knows of partitions. It is asked beside the loop: a broker that is frozen answers late or never, and the
//! group is to be answered and a stop to be seen meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::SinkError;
use super::control::ControlRow;
use crate::broker::{Admin, BrokerError, Held, Identity, NextOffset, Partition, PartitionReader};

/// Longest wait for the broker to say what a partition holds.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// What a claim says of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What its topic is.
    pub source: String,
    /// Its first offset.
    pub low: NextOffset,
}

/// What is to be claimed.
pub(super) async fn look(
    admin: Arc<Admin>,
    reader: Arc<PartitionReader>,
    partitions: BTreeSet<Partition>,
) -> Result<BTreeMap<Partition, Found>, SinkError> {
    beside(move || {
        let mut sources = BTreeMap::new();
        let mut found = BTreeMap::new();
        for at in partitions {
            if !sources.contains_key(&at.topic) {
                let Identity { cluster, topic, .. } = admin.identity(&at.topic)?;
                let source = format!("cluster={cluster} topic={topic}");
                sources.insert(at.topic.clone(), source);
            }
            let source = sources[&at.topic].clone();
            let low = reader.held(&at, LONGEST_LOOK)?.low;
            found.insert(at, Found { source, low });
        }
        Ok(found)
    })
    .await
}

/// What the partitions of these rows hold. Asked after the fence was raised: until then another sink may have loaded records that
/// came meanwhile.
pub(super) async fn held(
    reader: Arc<PartitionReader>,
    rows: Vec<ControlRow>,
) -> Result<Vec<(ControlRow, Held)>, SinkError> {
    beside(move || {
        let held = |row: ControlRow| Ok((row.clone(), reader.held(&row.at, LONGEST_LOOK)?));
        rows.into_iter().map(held).collect()
    })
    .await
}

async fn beside<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, BrokerError> + Send + 'static,
) -> Result<T, SinkError> {
    let asked = tokio::task::spawn_blocking(ask).await;
    let answer = asked.expect("a question to the broker does not panic");
    answer.map_err(SinkError::from)
}
