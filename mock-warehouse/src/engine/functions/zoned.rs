//! TIMESTAMP_TZ: a moment with the offset that it was written with, kept as twelve bytes that sort by moment.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, FixedSizeBinaryArray, FixedSizeBinaryBuilder},
    datatypes::DataType,
};
use chrono::{NaiveDateTime, Offset, TimeZone};
use datafusion::common::Result;

use super::{
    text::{instant, nanoseconds, parse_zone},
    times::{nanoseconds_of, parsed_timestamps, timestamps, to_timestamp},
    typed,
};

/// How many bytes one value takes: eight for the moment, four for the offset.
pub(crate) const ZONED_WIDTH: i32 = 12;

/// Minutes that are added to an offset, so that none is negative.
const OFFSET_BASE: i32 = 1440;

/// One TIMESTAMP_TZ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Zoned {
    /// Nanoseconds since 1970 in UTC.
    pub(crate) nanoseconds: i64,
    /// Minutes that the wall clock was ahead of UTC.
    pub(crate) offset_minutes: i32,
}

impl Zoned {
    fn packed(self) -> [u8; ZONED_WIDTH as usize] {
        let mut bytes = [0; ZONED_WIDTH as usize];
        // The sign bit is turned round: bytes then compare as the numbers do.
        bytes[..8].copy_from_slice(&(self.nanoseconds ^ i64::MIN).to_be_bytes());
        bytes[8..].copy_from_slice(&(self.offset_minutes + OFFSET_BASE).to_be_bytes());
        bytes
    }

    fn unpacked(bytes: &[u8]) -> Option<Self> {
        let (moment, offset) = bytes.split_at_checked(8)?;
        Some(Self {
            nanoseconds: i64::from_be_bytes(moment.try_into().ok()?) ^ i64::MIN,
            offset_minutes: i32::from_be_bytes(offset.try_into().ok()?) - OFFSET_BASE,
        })
    }

    /// The time on the wall.
    pub(crate) fn wall_time(self) -> NaiveDateTime {
        let offset = i128::from(self.offset_minutes) * 60_000_000_000;
        instant(i128::from(self.nanoseconds) + offset).naive_utc()
    }

    /// The offset as the SQL API writes it.
    pub(crate) fn offset_code(self) -> i32 {
        self.offset_minutes + OFFSET_BASE
    }
}

/// The values of a TIMESTAMP_TZ array.
pub(crate) fn zoned_values(array: &ArrayRef) -> Result<Vec<Option<Zoned>>> {
    Ok(typed::<FixedSizeBinaryArray>(array)?
        .iter()
        .map(|value| value.and_then(Zoned::unpacked))
        .collect())
}

pub(super) fn zoned_array(values: Vec<Option<Zoned>>) -> Result<ArrayRef> {
    let mut builder = FixedSizeBinaryBuilder::with_capacity(values.len(), ZONED_WIDTH);
    for value in values {
        match value {
            Some(value) => builder.append_value(value.packed())?,
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// A cast to TIMESTAMP_TZ: what has no offset of its own is taken for a time in the session's zone.
pub(super) fn to_zoned(array: &ArrayRef, scale: u8, zone: &str, lenient: bool) -> Result<ArrayRef> {
    let tz = parse_zone(zone)?;
    let mut offsets = Vec::with_capacity(array.len());
    match array.data_type() {
        DataType::FixedSizeBinary(_) => return Ok(Arc::clone(array)),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => {
            let parsed = parsed_timestamps(array, zone, lenient)?.into_iter();
            offsets.extend(parsed.map(|parsed| parsed.and_then(|(_, offset)| offset)));
        }
        _ => offsets.resize(array.len(), None),
    }
    let moments = nanoseconds(&to_timestamp(array, scale.max(7), true, zone, lenient)?)?;
    let values = moments.into_iter().zip(offsets).map(|(moment, offset)| {
        let nanoseconds = i64::try_from(moment?).ok()?;
        let utc = instant(nanoseconds.into()).naive_utc();
        let seconds =
            offset.unwrap_or_else(|| tz.offset_from_utc_datetime(&utc).fix().local_minus_utc());
        let cut = 10i64.pow(9 - u32::from(scale.min(9)));
        Some(Zoned {
            nanoseconds: nanoseconds.div_euclid(cut) * cut,
            offset_minutes: seconds / 60,
        })
    });
    zoned_array(values.collect())
}

/// A TIMESTAMP_TZ as another type of timestamp: its moment, or its time on the wall.
pub(super) fn from_zoned(array: &ArrayRef, scale: u8, moments: bool) -> Result<ArrayRef> {
    let values = zoned_values(array)?
        .into_iter()
        .map(|value| {
            value.map(|value| {
                if moments {
                    value.nanoseconds.into()
                } else {
                    nanoseconds_of(value.wall_time())
                }
            })
        })
        .collect();
    timestamps(values, scale, moments)
}

/// Each TIMESTAMP_TZ as text, with its offset.
pub(super) fn zoned_text(array: &ArrayRef) -> Result<Vec<Option<String>>> {
    Ok(zoned_values(array)?
        .into_iter()
        .map(|value| {
            value.map(|value| {
                let offset = value.offset_minutes;
                let sign = if offset < 0 { '-' } else { '+' };
                format!(
                    "{} {sign}{:02}{:02}",
                    value.wall_time().format("%Y-%m-%d %H:%M:%S%.3f"),
                    offset.abs() / 60,
                    offset.abs() % 60
                )
            })
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_sort_as_moments_do() {
        let moments = [i64::MIN, -1, 0, 1, 1_791_549_296_123_456_789];
        let packed = moments.map(|nanoseconds| {
            let value = Zoned {
                nanoseconds,
                offset_minutes: -90,
            };
            assert_eq!(Zoned::unpacked(&value.packed()), Some(value));
            value.packed()
        });
        assert!(packed.is_sorted());
    }
}
