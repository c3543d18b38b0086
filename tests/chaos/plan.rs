//! What is to happen, drawn from a seed: the same seed gives the same acts in the same order.

use std::fmt;
use std::time::Duration;

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sluicebox::crash::POINTS;

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Act {
    /// SIGKILL of a member.
    Kill,
    /// SIGKILL of all members at once.
    KillAll,
    /// A member comes to a point for the so-many-th time and dies there.
    Crash(&'static str, u32),
    /// A member freezes, and goes on later; until then it may have been replaced by a new one.
    Freeze(Duration, Replaced),
    /// SIGKILL of the broker; it is started again after this.
    BrokerKill(Duration),
    /// The broker freezes, and goes on later.
    BrokerFreeze(Duration),
    /// The reply to a load is lost; the load is not.
    DropReply,
    /// The warehouse refuses connections.
    Refuse(Duration),
    /// The warehouse takes requests and does not answer.
    Silence(Duration),
    /// The warehouse answers late.
    Slow(Duration),
    /// A member more, which leaves again.
    Join,
    /// A member ends in good order, and comes back.
    Leave,
}

/// Whether somebody else takes over the work of a frozen member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replaced {
    Yes,
    No,
}

/// The names of all kinds, as they are counted.
pub(crate) const KINDS: [&str; 13] = [
    "kill",
    "kill all",
    "crash point",
    "freeze",
    "freeze and replace",
    "broker kill",
    "broker freeze",
    "reply dropped",
    "warehouse refused",
    "warehouse silent",
    "warehouse slow",
    "join",
    "leave",
];

impl Act {
    /// The kind that it counts as, see [`KINDS`].
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::KillAll => "kill all",
            Self::Crash(..) => "crash point",
            Self::Freeze(_, Replaced::No) => "freeze",
            Self::Freeze(_, Replaced::Yes) => "freeze and replace",
            Self::BrokerKill(_) => "broker kill",
            Self::BrokerFreeze(_) => "broker freeze",
            Self::DropReply => "reply dropped",
            Self::Refuse(_) => "warehouse refused",
            Self::Silence(_) => "warehouse silent",
            Self::Slow(_) => "warehouse slow",
            Self::Join => "join",
            Self::Leave => "leave",
        }
    }

    fn draw(kind: &str, random: &mut ChaCha8Rng) -> Self {
        let seconds = |random: &mut ChaCha8Rng, most: u64| {
            Duration::from_millis(random.random_range(500..=most * 1000))
        };
        match kind {
            "kill" => Self::Kill,
            "kill all" => Self::KillAll,
            "crash point" => {
                let point = POINTS.choose(random).expect("there are points");
                Self::Crash(point, random.random_range(1..=3))
            }
            "freeze" => Self::Freeze(seconds(random, 5), Replaced::No),
            // Longer than a session, so that the others have taken over by then.
            "freeze and replace" => Self::Freeze(
                Duration::from_secs(random.random_range(8..=25)),
                Replaced::Yes,
            ),
            "broker kill" => Self::BrokerKill(seconds(random, 2)),
            "broker freeze" => Self::BrokerFreeze(seconds(random, 8)),
            "reply dropped" => Self::DropReply,
            "warehouse refused" => Self::Refuse(seconds(random, 4)),
            "warehouse silent" => Self::Silence(seconds(random, 4)),
            "warehouse slow" => Self::Slow(seconds(random, 2)),
            "join" => Self::Join,
            "leave" => Self::Leave,
            other => unreachable!("{other} is no kind"),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind())?;
        match self {
            Self::Crash(point, visit) => write!(f, " {point}@{visit}"),
            Self::Freeze(time, _)
            | Self::BrokerKill(time)
            | Self::BrokerFreeze(time)
            | Self::Refuse(time)
            | Self::Silence(time)
            | Self::Slow(time) => write!(f, " {:.1} s", time.as_secs_f64()),
            _ => Ok(()),
        }
    }
}

/// One act, upon whom, and after what pause.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) act: Act,
    /// Counted round and round.
    pub(crate) member: usize,
    pub(crate) pause: Duration,
}

/// Acts without end: first one of each kind, in any order; then most of them kills.
pub(crate) struct Plan {
    random: ChaCha8Rng,
    kinds: &'static [&'static str],
    first: Vec<&'static str>,
}

impl Plan {
    /// Of these kinds only.
    pub(crate) fn new(seed: u64, kinds: &'static [&'static str]) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut first = kinds.to_vec();
        first.shuffle(&mut random);
        Self {
            random,
            kinds,
            first,
        }
    }

    fn kind(&mut self) -> &'static str {
        if let Some(kind) = self.first.pop() {
            return kind;
        }
        loop {
            let kind = match self.random.random_range(0..100) {
                0..48 => "kill",
                48..55 => "kill all",
                55..83 => "crash point",
                83..91 => "reply dropped",
                _ => KINDS.choose(&mut self.random).expect("there are kinds"),
            };
            if self.kinds.contains(&kind) {
                return kind;
            }
        }
    }
}

impl Iterator for Plan {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let kind = self.kind();
        Some(Step {
            act: Act::draw(kind, &mut self.random),
            member: self.random.random_range(0..1_000),
            pause: Duration::from_millis(self.random.random_range(0..1_500)),
        })
    }
}
