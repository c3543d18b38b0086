//! Sizes as people write them: `"64MiB"`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// A number of bytes, written with its unit: `"64MiB"`, `"500KB"`, `"100B"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// So many times 1,048,576 bytes.
    pub const fn mebibytes(count: u64) -> Self {
        Self(count << 20)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Reads a whole number followed by its unit; upper or lower case, a space between them is fine.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at(digits);
        let (_, factor) = UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))?;
        number.parse::<u64>().ok()?.checked_mul(*factor).map(Self)
    }
}

impl fmt::Display for ByteSize {
    /// The largest binary unit that divides the size.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(name, factor): &&(&str, u64)| {
            (name.ends_with("iB") || *name == "B")
                && self.0 >= *factor
                && self.0.is_multiple_of(*factor)
        };
        let (name, factor) = UNITS.iter().find(fits).copied().unwrap_or(("B", 1));
        write!(f, "{}{name}", self.0 / factor)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                ByteSize::parse(text)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_whole_number_and_its_unit() {
        for (text, bytes) in [
            ("64MiB", Some(67_108_864)),
            ("64 mib", Some(67_108_864)),
            ("500KB", Some(500_000)),
            ("1GiB", Some(1_073_741_824)),
            ("0B", Some(0)),
            ("64", None),
            ("MiB", None),
            ("1.5MiB", None),
            ("-1MiB", None),
            ("64MiBs", None),
            ("99999999999GiB", None),
            ("", None),
        ] {
            assert_eq!(ByteSize::parse(text).map(ByteSize::bytes), bytes, "{text}");
        }
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for bytes in [0, 1, 1023, 1024, 1_500_000, 67_108_864, 3 << 30] {
            let printed = ByteSize(bytes).to_string();
            assert_eq!(
                ByteSize::parse(&printed),
                Some(ByteSize(bytes)),
                "{printed}"
            );
        }
    }
}
