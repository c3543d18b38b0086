//! Dates and times in the formats that the session asks for, e.g. `DD/MM/YYYY`.

use std::collections::BTreeMap;

use arrow::{
    array::{Array, ArrayRef, Date32Array, StringArray, Time64NanosecondArray},
    datatypes::{DataType, TimeUnit},
};
use chrono::{NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone};
use datafusion::common::{Result, config::FormatOptions};

use super::{
    text::{date, instant, nanoseconds, parse_zone, time_of_day},
    typed,
    zoned::{ZONED_WIDTH, zoned_values},
};
use crate::engine::SqlError;

/// The session's output formats; absent where Snowflake's own counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Formats {
    date: Option<String>,
    time: Option<String>,
    ntz: Option<String>,
    ltz: Option<String>,
    tz: Option<String>,
}

/// What a format's elements stand for: chrono's way to write it.
const ELEMENTS: [(&str, &str); 16] = [
    ("YYYY", "%Y"),
    ("YY", "%y"),
    ("MMMM", "%B"),
    ("MON", "%b"),
    ("MM", "%m"),
    ("DD", "%d"),
    ("DY", "%a"),
    ("HH24", "%H"),
    ("HH12", "%I"),
    ("MI", "%M"),
    ("SS", "%S"),
    ("AM", "%p"),
    ("PM", "%p"),
    ("TZH:TZM", "%:z"),
    ("TZHTZM", "%z"),
    ("%", "%%"),
];

impl Formats {
    /// The formats that session parameters ask for.
    pub(crate) fn of(parameters: &BTreeMap<String, String>) -> Self {
        let format = |name: &str| {
            parameters
                .get(name)
                .filter(|format| !format.is_empty() && !format.eq_ignore_ascii_case("AUTO"))
                .cloned()
        };
        // TIMESTAMP_NTZ has a default of its own, so the general format never gets as far as there.
        let general = || format("TIMESTAMP_OUTPUT_FORMAT");
        Self {
            date: format("DATE_OUTPUT_FORMAT"),
            time: format("TIME_OUTPUT_FORMAT"),
            ntz: format("TIMESTAMP_NTZ_OUTPUT_FORMAT"),
            ltz: format("TIMESTAMP_LTZ_OUTPUT_FORMAT").or_else(general),
            tz: format("TIMESTAMP_TZ_OUTPUT_FORMAT").or_else(general),
        }
    }

    /// Hands the formats to functions, by way of DataFusion's options.
    pub(crate) fn store(self, options: &mut FormatOptions) {
        options.date_format = self.date;
        options.time_format = self.time;
        options.timestamp_format = self.ntz;
        options.datetime_format = self.ltz;
        options.timestamp_tz_format = self.tz;
    }

    /// What [`Formats::store`] handed over.
    pub(super) fn stored(options: &FormatOptions) -> Self {
        Self {
            date: options.date_format.clone(),
            time: options.time_format.clone(),
            ntz: options.timestamp_format.clone(),
            ltz: options.datetime_format.clone(),
            tz: options.timestamp_tz_format.clone(),
        }
    }

    /// The values as text, if they are dates or times for which a format is set.
    pub(crate) fn written(&self, array: &ArrayRef, zone: &str) -> Result<Option<StringArray>> {
        let (format, times) = match array.data_type() {
            DataType::Date32 => (&self.date, dates as fn(&ArrayRef, &str) -> Result<Times>),
            DataType::Time64(TimeUnit::Nanosecond) => (&self.time, times_of_day as _),
            DataType::Timestamp(_, None) => (&self.ntz, wall_times as _),
            DataType::Timestamp(_, Some(_)) => (&self.ltz, moments as _),
            DataType::FixedSizeBinary(ZONED_WIDTH) => (&self.tz, zoned as _),
            _ => return Ok(None),
        };
        let Some(format) = format else {
            return Ok(None);
        };
        let format = translated(format)?;
        let texts = times(array, zone)?.into_iter().map(|value| {
            value.map(|(time, offset)| {
                let offset = chrono::FixedOffset::east_opt(offset).unwrap_or(chrono::Utc.fix());
                let zoned = chrono::DateTime::<chrono::FixedOffset>::from_naive_utc_and_offset(
                    time - offset,
                    offset,
                );
                zoned.format(&format).to_string()
            })
        });
        Ok(Some(texts.collect()))
    }
}

/// Times on the wall, each with its offset from UTC in seconds.
type Times = Vec<Option<(NaiveDateTime, i32)>>;

fn dates(array: &ArrayRef, _: &str) -> Result<Times> {
    Ok(typed::<Date32Array>(array)?
        .iter()
        .map(|days| days.map(|days| (date(days).and_time(NaiveTime::MIN), 0)))
        .collect())
}

fn times_of_day(array: &ArrayRef, _: &str) -> Result<Times> {
    Ok(typed::<Time64NanosecondArray>(array)?
        .iter()
        .map(|value| value.map(|value| (NaiveDate::default().and_time(time_of_day(value)), 0)))
        .collect())
}

fn wall_times(array: &ArrayRef, _: &str) -> Result<Times> {
    moments(array, "UTC")
}

fn moments(array: &ArrayRef, zone: &str) -> Result<Times> {
    let zone = parse_zone(zone)?;
    Ok(nanoseconds(array)?
        .into_iter()
        .map(|value| {
            value.map(|value| {
                let local = zone.from_utc_datetime(&instant(value).naive_utc());
                (local.naive_local(), local.offset().fix().local_minus_utc())
            })
        })
        .collect())
}

fn zoned(array: &ArrayRef, _: &str) -> Result<Times> {
    Ok(zoned_values(array)?
        .into_iter()
        .map(|value| value.map(|value| (value.wall_time(), value.offset_minutes * 60)))
        .collect())
}

/// Snowflake's format as chrono's. What is no element stands for itself, as does what is in double quotes.
fn translated(format: &str) -> Result<String, SqlError> {
    let mut translated = String::new();
    let mut rest = format;
    while let Some(character) = rest.chars().next() {
        if let Some((literal, after)) = rest.strip_prefix('"').and_then(|r| r.split_once('"')) {
            translated.push_str(&literal.replace('%', "%%"));
            rest = after;
            continue;
        }
        let begins = |element: &str| {
            rest.get(..element.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(element))
        };
        if begins("FF") {
            let digits = rest[2..]
                .chars()
                .next()
                .and_then(|digit| digit.to_digit(10));
            match digits.unwrap_or(9) {
                digits @ (3 | 6 | 9) => translated.push_str(&format!("%{digits}f")),
                digits => return Err(SqlError::unsupported(format!("FF{digits} IN A FORMAT"))),
            }
            rest = &rest[2 + usize::from(digits.is_some())..];
        } else if let Some((element, meaning)) =
            ELEMENTS.iter().find(|(element, _)| begins(element))
        {
            translated.push_str(meaning);
            rest = &rest[element.len()..];
        } else {
            translated.push(character);
            rest = &rest[character.len_utf8()..];
        }
    }
    Ok(translated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_translated_and_the_rest_stays() {
        for (format, expected) in [
            ("DD/MM/YYYY", "%d/%m/%Y"),
            (
                "yyyy-mm-dd\"T\"hh24:mi:ss.ff3 tzh:tzm",
                "%Y-%m-%dT%H:%M:%S.%3f %:z",
            ),
            ("DY MON DD 100%", "%a %b %d 100%%"),
        ] {
            assert_eq!(translated(format).unwrap(), expected);
        }
        assert!(translated("SS.FF2").is_err());
    }
}
