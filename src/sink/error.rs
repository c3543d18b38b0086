//! What ends a flush, by remedy.

use super::buffer::BufferError;
use super::control::BoundError;
use super::load::UnexpectedAnswer;
use super::position::StartError;
use crate::broker::{BrokerError, Partition};
use crate::warehouse::{self, stage::StageError};

/// Why rows are not in the warehouse.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// A topic that no table was given for.
    #[error("{at} is not assigned to this sink")]
    NotAssigned {
        /// The partition.
        at: Partition,
    },
    /// The topic or the table is not the one that was loaded before.
    #[error(transparent)]
    Bound(Box<BoundError>),
    /// The table is not there.
    #[error("the table {table} does not exist, or warehouse.role may not see it")]
    NoTarget {
        /// Its name.
        table: String,
    },
    /// Reading cannot go on where the warehouse stands.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A record is no row.
    #[error(transparent)]
    Buffer(#[from] BufferError),
    /// Rows could not be written as Parquet.
    #[error("the rows of {at} could not be written as Parquet")]
    File {
        /// The partition.
        at: Partition,
        /// What the writer says.
        source: parquet::errors::ParquetError,
    },
    /// The broker did not say what a partition or a topic is.
    #[error(transparent)]
    Broker(Box<BrokerError>),
    /// The stage could not be written.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The warehouse looks for staged files somewhere else.
    #[error("the stage {stage} shows {seen} rows in {path}, where {written} were written")]
    NotOnStage {
        /// The stage's name.
        stage: String,
        /// The file's name.
        path: String,
        /// How many rows the warehouse sees.
        seen: String,
        /// How many rows there are.
        written: usize,
    },
    /// The warehouse refused, or could not be reached.
    #[error("{call} failed")]
    Warehouse {
        /// What was asked for.
        call: &'static str,
        /// What the warehouse said.
        source: warehouse::Error,
    },
    /// The warehouse says something that does not follow from what was asked.
    #[error(transparent)]
    Answer(#[from] UnexpectedAnswer),
}

impl From<BrokerError> for SinkError {
    fn from(error: BrokerError) -> Self {
        Self::Broker(Box::new(error))
    }
}

impl From<BoundError> for SinkError {
    fn from(error: BoundError) -> Self {
        Self::Bound(Box::new(error))
    }
}

impl SinkError {
    /// Whether the same flush may work later. After any other error the sink is of no use; a new one goes on from the
    /// control table.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Broker(error) => matches!(**error, BrokerError::Unavailable { .. }),
            Self::Stage(error) => error.is_transient(),
            Self::Warehouse { source, .. } => source.is_transient() || source.was_interrupted(),
            Self::NotAssigned { .. }
            | Self::Bound(_)
            | Self::NoTarget { .. }
            | Self::Start(_)
            | Self::Buffer(_)
            | Self::File { .. }
            | Self::NotOnStage { .. }
            | Self::Answer(_) => false,
        }
    }

    /// Whether the warehouse refused who asked, whatever was asked for.
    pub(super) fn is_about_the_token(&self) -> bool {
        let (Self::Warehouse { source, .. } | Self::Stage(StageError::Refused { source, .. })) =
            self
        else {
            return false;
        };
        matches!(source, warehouse::Error::Unauthorized { .. })
    }

    /// How long the warehouse asks to wait before the next try.
    pub(super) fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Warehouse { source, .. } | Self::Stage(StageError::Refused { source, .. }) => {
                source.retry_after()
            }
            _ => None,
        }
    }

    /// What can be done about it, where anything can.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotAssigned { .. } | Self::File { .. } => None,
            Self::Bound(error) => Some(error.hint()),
            Self::NoTarget { .. } => {
                Some("run `sluicebox setup`, which makes the table and the grants".to_owned())
            }
            Self::Start(error) => Some(error.hint()),
            Self::Buffer(error) => Some(error.hint().to_owned()),
            Self::Broker(error) => Some(error.hint()),
            Self::Stage(error) => error.hint(),
            Self::NotOnStage { stage, .. } => Some(format!(
                "find out who removes files from the stage; where warehouse.stage_url is set, it must be the stage's URL: compare it with DESC STAGE {stage}"
            )),
            Self::Warehouse { source, .. } => source.hint(),
            Self::Answer(error) => Some(error.hint().to_owned()),
        }
    }
}
