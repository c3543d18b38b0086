//! A share of the events, between none and all of them.

use std::fmt;
use std::str::FromStr;

use rand::Rng;

/// A share from 0 (never) to 1 (always).
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Ratio(f64);

/// A number that is no share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a number from 0 to 1")]
pub struct InvalidRatio;

impl Ratio {
    /// None of them.
    pub const ZERO: Self = Self(0.0);
    /// One in four, as many as the reference producer spoils.
    pub const QUARTER: Self = Self(0.25);

    /// Checks that `share` is a number from 0 to 1.
    ///
    /// # Errors
    /// If it is not, or is no number at all.
    pub fn new(share: f64) -> Result<Self, InvalidRatio> {
        if (0.0..=1.0).contains(&share) {
            Ok(Self(share))
        } else {
            Err(InvalidRatio)
        }
    }

    /// The share as a number.
    #[must_use]
    pub fn share(self) -> f64 {
        self.0
    }

    /// Whether anything at all is meant by it.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0 == 0.0
    }

    /// Draws once: true in this share of the draws.
    pub(super) fn hits(self, random: &mut impl Rng) -> bool {
        // The draw is below 1, so a share of 1 always hits; it is at least 0, so a share of 0 never does.
        random.random::<f64>() < self.0
    }
}

impl FromStr for Ratio {
    type Err = InvalidRatio;

    fn from_str(text: &str) -> Result<Self, InvalidRatio> {
        text.parse().map_err(|_| InvalidRatio).and_then(Self::new)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_a_number_from_0_to_1() {
        for (text, share) in [("0", 0.0), ("1", 1.0), ("0.25", 0.25), ("1e-3", 0.001)] {
            assert_eq!(text.parse::<Ratio>().map(Ratio::share), Ok(share), "{text}");
        }
        for text in ["", "-0.1", "1.01", "NaN", "inf", "25%", "0,5"] {
            assert_eq!(text.parse::<Ratio>(), Err(InvalidRatio), "{text}");
        }
    }
}
