//! A date or timestamp as written in, days or microseconds since 1970 out.

use chrono::{Datelike, NaiveDate};

const NO_DATE: &str = "not a date YYYY-MM-DD of the years 1 to 9999";
const NO_TIMESTAMP: &str = "not a timestamp such as 2026-01-31T12:00:00Z";
const NO_SUCH_YEAR: &str = "outside the years 1 to 9999 in UTC";

const MICROS_PER_SECOND: i64 = 1_000_000;
/// 0001-01-01T00:00:00Z in seconds since 1970.
const FIRST_SECOND: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z in seconds since 1970.
const LAST_SECOND: i64 = 253_402_300_799;

/// Days since 1970 of a `YYYY-MM-DD`.
pub(super) fn date(text: &str) -> Result<i32, &'static str> {
    match text.as_bytes().split_first_chunk() {
        Some((date, [])) => calendar_day(date)
            .filter(|day| day.year() >= 1)
            .map(|day| day.to_epoch_days())
            .ok_or(NO_DATE),
        _ => Err(NO_DATE),
    }
}

/// Microseconds since 1970 of an RFC 3339 timestamp, or of one without a zone, which is UTC.
///
/// The year may be 0 as written, as long as it is 1 to 9999 in UTC.
pub(super) fn timestamp(text: &str) -> Result<i64, &'static str> {
    let (seconds, micros) = moment(text.as_bytes()).ok_or(NO_TIMESTAMP)?;
    if !(FIRST_SECOND..=LAST_SECOND).contains(&seconds) {
        return Err(NO_SUCH_YEAR);
    }
    Ok(seconds * MICROS_PER_SECOND + micros)
}

/// Seconds since 1970 and microseconds after that.
fn moment(bytes: &[u8]) -> Option<(i64, i64)> {
    let (date, rest) = bytes.split_first_chunk()?;
    let day = calendar_day(date)?;
    let ([b'T' | b't' | b' '], rest) = rest.split_first_chunk()? else {
        return None;
    };
    let ([h1, h2, b':', m1, m2, b':', s1, s2], rest) = rest.split_first_chunk()? else {
        return None;
    };
    let time = two([h1, h2], 23)? * 3600 + two([m1, m2], 59)? * 60 + two([s1, s2], 59)?;
    let (micros, rest) = match rest {
        [b'.', rest @ ..] => fraction(rest)?,
        _ => (0, rest),
    };
    Some((
        i64::from(day.to_epoch_days()) * 86_400 + time - offset(rest)?,
        micros,
    ))
}

fn calendar_day([y1, y2, y3, y4, dash1, m1, m2, dash2, d1, d2]: &[u8; 10]) -> Option<NaiveDate> {
    if (dash1, dash2) != (&b'-', &b'-') {
        return None;
    }
    let year = two([y1, y2], 99)? * 100 + two([y3, y4], 99)?;
    let month = two([m1, m2], 12)?;
    let day = two([d1, d2], 31)?;
    NaiveDate::from_ymd_opt(
        year.try_into().ok()?,
        month.try_into().ok()?,
        day.try_into().ok()?,
    )
}

/// One to nine digits, cut to microseconds.
fn fraction(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let count = bytes
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if !(1..=9).contains(&count) {
        return None;
    }
    let (digits, rest) = bytes.split_at(count);
    let padded = digits.iter().chain(&[b'0'; 6]).take(6);
    Some((
        padded.fold(0, |micros, digit| micros * 10 + i64::from(digit - b'0')),
        rest,
    ))
}

/// Seconds that the written time is ahead of UTC.
fn offset(bytes: &[u8]) -> Option<i64> {
    match bytes {
        [] | [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let size = two([h1, h2], 23)? * 3600 + two([m1, m2], 59)? * 60;
            Some(if *sign == b'+' { size } else { -size })
        }
        _ => None,
    }
}

/// Two digits that make a number of at most `most`.
fn two([tens, ones]: [&u8; 2], most: i64) -> Option<i64> {
    if !(tens.is_ascii_digit() && ones.is_ascii_digit()) {
        return None;
    }
    let number = i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
    (number <= most).then_some(number)
}
