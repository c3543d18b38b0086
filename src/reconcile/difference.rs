//! What does not agree, by key.

use serde::Serialize;

/// How a place differs from what it should hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// It should be there and is not.
    Lost,
    /// It is there more than once.
    Doubled,
    /// It is there and should not be.
    Unexpected,
    /// It is there with another content.
    Different,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Unexpected => "unexpected",
            Self::Different => "different",
        }
    }
}

/// One key that does not agree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Difference {
    pub(crate) kind: Kind,
    /// Where: a topic with its partition, or a table.
    pub(crate) place: String,
    /// Which event or row.
    pub(crate) key: String,
    /// A sentence without a full stop.
    pub(crate) detail: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            kind,
            place,
            key,
            detail,
        } = self;
        write!(f, "{} in {place}: {key}: {detail}", kind.name())
    }
}

/// The first differences of a part, and the number of all.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Differences {
    /// How many there are.
    pub(crate) total: u64,
    /// The first of them, as many as are wanted.
    pub(crate) listed: Vec<Difference>,
    #[serde(skip)]
    limit: usize,
}

impl Differences {
    /// Keeps at most `limit`.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    pub(crate) fn add(
        &mut self,
        kind: Kind,
        place: impl Into<String>,
        key: impl Into<String>,
        detail: impl Into<String>,
    ) {
        self.total += 1;
        if self.listed.len() < self.limit {
            self.listed.push(Difference {
                kind,
                place: place.into(),
                key: key.into(),
                detail: detail.into(),
            });
        }
    }
}
