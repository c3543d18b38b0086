//! How far a partition has been read.

use std::fmt;

/// One partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub number: i32,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.number)
    }
}

/// The offset of the record that comes next: what Kafka calls a committed offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NextOffset(i64);

impl NextOffset {
    /// Nothing has been read.
    pub const START: Self = Self(0);

    /// What comes after the record with this offset.
    pub fn after(last_read: i64) -> Self {
        Self(last_read + 1)
    }

    /// A position that was stored as a number.
    pub fn at(offset: i64) -> Self {
        Self(offset)
    }

    /// The number that Kafka and the warehouse store.
    pub fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for NextOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
