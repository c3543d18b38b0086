//! A topic and the warehouse table that it is loaded into.

use std::collections::HashSet;

use crate::sql::types::Column;

/// The technical column of an upserted table: the offset of the row's record, so that a row never goes backwards.
pub const VERSION_COLUMN: &str = "SLUICEBOX_VERSION";
/// What the warehouse calls the offset of an appended row, while it loads it.
pub(crate) const OFFSET_COLUMN: &str = "SLUICEBOX_OFFSET";
/// What the warehouse calls the mark of a deleted row, while it loads it.
pub(crate) const DELETED_COLUMN: &str = "SLUICEBOX_DELETED";
/// What the warehouse calls the partition of a row, while it loads it.
pub(crate) const PARTITION_COLUMN: &str = "SLUICEBOX_PARTITION";

/// The Parquet column with the offset of the row's record.
pub const OFFSET_FIELD: &str = "_offset";
/// The Parquet column that says that the row's key is gone.
pub const DELETED_FIELD: &str = "_deleted";

/// How the rows of a topic become rows of the table.
#[derive(Clone, Debug)]
pub enum Kind {
    /// The newest row of each key wins; a tombstone deletes.
    Upsert {
        /// The columns that identify a row: the GROUP BY columns of the gold table.
        key: Vec<Column>,
    },
    /// Every row is added.
    Append,
}

/// One table of the warehouse and the topic that fills it.
#[derive(Clone, Debug)]
pub struct TargetTable {
    name: String,
    topic: String,
    kind: Kind,
    columns: Vec<Column>,
}

/// Why columns of a topic cannot be columns of a warehouse table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The service needs the name for itself.
    #[error("the column `{column}` of {topic} has a name that the load needs for itself")]
    Reserved {
        /// The topic.
        topic: String,
        /// The column.
        column: String,
    },
    /// Two names are one in the warehouse.
    #[error("{topic} has two columns that the warehouse would both call {column}")]
    Ambiguous {
        /// The topic.
        topic: String,
        /// The name in the warehouse.
        column: String,
    },
    /// A key column is none of the table's columns.
    #[error("{topic} has no column `{column}`, which its key needs")]
    NoSuchKey {
        /// The topic.
        topic: String,
        /// The key column.
        column: String,
    },
    /// An upsert without a key.
    #[error("{topic} has no key columns")]
    NoKey {
        /// The topic.
        topic: String,
    },
}

impl TableError {
    /// What the author can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Reserved { .. } | Self::Ambiguous { .. } => {
                "give the column another name with AS"
            }
            Self::NoSuchKey { .. } => "select every GROUP BY column",
            Self::NoKey { .. } => "a gold table needs a GROUP BY",
        }
    }
}

impl TargetTable {
    /// A table that keeps the newest row of each key. `name` is stored upper-cased, as the warehouse does.
    pub fn upsert(
        name: &str,
        topic: &str,
        columns: Vec<Column>,
        key: &[&str],
    ) -> Result<Self, TableError> {
        if key.is_empty() {
            return Err(TableError::NoKey {
                topic: topic.to_owned(),
            });
        }
        let key = key
            .iter()
            .map(|name| {
                let found = columns.iter().find(|column| column.name == *name);
                found.cloned().ok_or_else(|| TableError::NoSuchKey {
                    topic: topic.to_owned(),
                    column: (*name).to_owned(),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Self::new(name, topic, Kind::Upsert { key }, columns)
    }

    /// A table that gets every row of the topic.
    pub fn append(name: &str, topic: &str, columns: Vec<Column>) -> Result<Self, TableError> {
        Self::new(name, topic, Kind::Append, columns)
    }

    fn new(name: &str, topic: &str, kind: Kind, columns: Vec<Column>) -> Result<Self, TableError> {
        let mut seen = HashSet::new();
        for column in &columns {
            let warehouse_name = warehouse_name(column);
            if [OFFSET_FIELD, DELETED_FIELD].contains(&parquet_name(column).as_str())
                || [
                    VERSION_COLUMN,
                    OFFSET_COLUMN,
                    DELETED_COLUMN,
                    PARTITION_COLUMN,
                ]
                .contains(&warehouse_name.as_str())
            {
                return Err(TableError::Reserved {
                    topic: topic.to_owned(),
                    column: column.name.clone(),
                });
            }
            if !seen.insert(warehouse_name.clone()) {
                return Err(TableError::Ambiguous {
                    topic: topic.to_owned(),
                    column: warehouse_name,
                });
            }
        }
        Ok(Self {
            name: name.to_uppercase(),
            topic: topic.to_owned(),
            kind,
            columns,
        })
    }

    /// The table's name in the warehouse.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The topic that fills the table.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// How rows of the topic become rows of the table.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The columns of the topic's rows, in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }
}

/// What the warehouse calls a column.
pub(crate) fn warehouse_name(column: &Column) -> String {
    column.name.to_uppercase()
}

/// What a staged file calls a column.
pub(crate) fn parquet_name(column: &Column) -> String {
    column.name.to_lowercase()
}
