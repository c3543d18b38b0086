//! Values as the server writes them, to text as people read it: days become dates, seconds become ISO 8601.

use chrono::{DateTime, FixedOffset, NaiveDate, Utc};

use crate::warehouse::ColumnKind;

/// Days from the first day of the calendar to 1970-01-01.
const EPOCH_DAY: i32 = 719_163;

/// What is added to a zone's offset, so that it is never negative.
const OFFSET_BIAS: i32 = 1440;

/// ISO 8601 without a zone; the fraction only when there is one.
const ISO: &str = "%Y-%m-%dT%H:%M:%S%.f";

/// The value as people read it. What does not look as promised is left as it came.
pub(super) fn readable(kind: ColumnKind, text: &str) -> String {
    let read = match kind {
        ColumnKind::Date => date(text),
        ColumnKind::Time => instant(text).map(|at| at.format("%H:%M:%S%.f").to_string()),
        ColumnKind::TimestampNtz => instant(text).map(|at| at.format(ISO).to_string()),
        ColumnKind::TimestampLtz => instant(text).map(|at| format!("{}Z", at.format(ISO))),
        ColumnKind::TimestampTz => zoned(text),
        _ => None,
    };
    read.unwrap_or_else(|| text.to_owned())
}

fn date(days: &str) -> Option<String> {
    let day = days.parse::<i32>().ok()?.checked_add(EPOCH_DAY)?;
    Some(
        NaiveDate::from_num_days_from_ce_opt(day)?
            .format("%Y-%m-%d")
            .to_string(),
    )
}

/// `-1.5` is a second and a half before 1970.
fn instant(seconds: &str) -> Option<DateTime<Utc>> {
    let (negative, digits) = match seconds.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, seconds),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if fraction.len() > 9 || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let nanoseconds: u32 = format!("{fraction:0<9}").parse().ok()?;
    match (negative, nanoseconds) {
        (false, _) => DateTime::from_timestamp(seconds, nanoseconds),
        (true, 0) => DateTime::from_timestamp(-seconds, 0),
        (true, _) => DateTime::from_timestamp(-seconds - 1, 1_000_000_000 - nanoseconds),
    }
}

fn zoned(text: &str) -> Option<String> {
    let (seconds, offset) = text.split_once(' ')?;
    let minutes = offset.parse::<i32>().ok()?.checked_sub(OFFSET_BIAS)?;
    let zone = FixedOffset::east_opt(minutes.checked_mul(60)?)?;
    let at = instant(seconds)?.with_timezone(&zone);
    Some(at.format("%Y-%m-%dT%H:%M:%S%.f%:z").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_recorded_from_the_service() {
        for (kind, text, expected) in [
            (ColumnKind::Date, "20735", "2026-10-09"),
            (ColumnKind::Date, "-25567", "1900-01-01"),
            (ColumnKind::Time, "45296.123456789", "12:34:56.123456789"),
            (
                ColumnKind::TimestampNtz,
                "1791549296.123456789",
                "2026-10-09T12:34:56.123456789",
            ),
            (
                ColumnKind::TimestampNtz,
                "1791549296.000000000",
                "2026-10-09T12:34:56",
            ),
            (
                ColumnKind::TimestampNtz,
                "1791549296.120000",
                "2026-10-09T12:34:56.120",
            ),
            (
                ColumnKind::TimestampNtz,
                "-0.500000000",
                "1969-12-31T23:59:59.500",
            ),
            (
                ColumnKind::TimestampNtz,
                "-1.000000000",
                "1969-12-31T23:59:59",
            ),
            (
                ColumnKind::TimestampLtz,
                "1791524096.123456789",
                "2026-10-09T05:34:56.123456789Z",
            ),
            (
                ColumnKind::TimestampTz,
                "1791524096.123456789 1860",
                "2026-10-09T12:34:56.123456789+07:00",
            ),
            (
                ColumnKind::TimestampTz,
                "0 1140",
                "1969-12-31T19:00:00-05:00",
            ),
            (ColumnKind::Fixed, "12345678.91", "12345678.91"),
            (ColumnKind::Date, "2026-10-09", "2026-10-09"),
            (ColumnKind::TimestampTz, "odd", "odd"),
        ] {
            assert_eq!(readable(kind, text), expected, "{kind:?} {text}");
        }
    }
}
