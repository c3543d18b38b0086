//! The table: a line for each cell of "Reading an event".

use super::{Event, written};

/// What is to become of a value.
#[derive(Debug)]
pub(super) enum Fate {
    /// Clean, with these columns written as here; the others are as in the event.
    Clean(Vec<(&'static str, String)>),
    /// Refused for this reason, with a detail that says this.
    Refused(&'static str, &'static str),
}

/// A raw value, and its fate.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) event: Event,
    /// None is a tombstone.
    pub(super) value: Option<Vec<u8>>,
    pub(super) fate: Fate,
}

/// A field's JSON, and the JSON of its column.
const CLEAN: &[(&str, &str, &str)] = &[
    ("amount", "12.50", "12.50"),
    ("amount", "12.5", "12.50"),
    ("amount", "4.20", "4.20"),
    ("amount", "420e-2", "4.20"),
    ("amount", "1e2", "100.00"),
    ("amount", "1E+2", "100.00"),
    ("amount", "0.01", "0.01"),
    ("amount", "1.00000000000000000000", "1.00"),
    ("amount", "9999999999999999.99", "9999999999999999.99"),
    ("customer_id", "\"NULL\"", "\"NULL\""),
    ("customer_id", r#""\\N""#, r#""\\N""#),
    ("customer_id", "\"\"", "\"\""),
    ("customer_id", "\"   \"", "\"   \""),
    ("customer_id", "4.20", "\"4.20\""),
    ("customer_id", "true", "\"true\""),
    ("customer_id", "[1, 2]", "\"[1, 2]\""),
    (
        "customer_id",
        r#"{"a": "\ud800"}"#,
        r#""{\"a\": \"\\ud800\"}""#,
    ),
    ("currency", "\"null\"", "\"null\""),
    ("currency", "\"\u{20ac}\"", "\"\u{20ac}\""),
    ("currency", r#""\u20ac""#, "\"\u{20ac}\""),
    ("currency", r#""\ud83c\udf88""#, "\"\u{1f388}\""),
    ("currency", r#""a\"b\\c\/d""#, r#""a\"b\\c/d""#),
    ("currency", r#""\u0000""#, r#""\u0000""#),
    ("quantity", "1000", "1000"),
    ("quantity", "1e3", "1000"),
    ("quantity", "-9223372036854775808", "-9223372036854775808"),
    ("quantity", "null", "null"),
    ("ratio", "0.1", "0.1"),
    ("ratio", "1e308", "1e+308"),
    ("ratio", "7", "7.0"),
    ("trial", "true", "true"),
    ("trial", "false", "false"),
    ("birthday", "\"2024-02-29\"", "\"2024-02-29\""),
    ("birthday", "\"0001-01-01\"", "\"0001-01-01\""),
    ("note", "{\"a\": [1, {}]}", "\"{\\\"a\\\": [1, {}]}\""),
    ("note", "-0", "\"-0\""),
    (
        "moment",
        "\"0001-01-01T00:00:00Z\"",
        "\"0001-01-01T00:00:00.000000Z\"",
    ),
    (
        "moment",
        "\"9999-12-31T23:59:59.999999999Z\"",
        "\"9999-12-31T23:59:59.999999Z\"",
    ),
    (
        "moment",
        "\"2026-03-01t10:00:00z\"",
        "\"2026-03-01T10:00:00.000000Z\"",
    ),
    (
        "moment",
        "\"2026-03-01 10:00:00.5\"",
        "\"2026-03-01T10:00:00.500000Z\"",
    ),
    (
        "moment",
        "\"2026-03-01T10:00:00+05:30\"",
        "\"2026-03-01T04:30:00.000000Z\"",
    ),
    (
        "moment",
        "\"2026-03-01T10:00:00-00:00\"",
        "\"2026-03-01T10:00:00.000000Z\"",
    ),
    ("unknown", "\"\\ud800\"", ""),
    ("is_valid", "false", ""),
];

/// A field's JSON, the reason, and what its detail says.
const REFUSED: &[(&str, &str, &str, &str)] = &[
    ("event_id", "", "event_id_missing", "event_id"),
    ("event_id", "null", "event_id_missing", "event_id"),
    ("event_id", r#""\ud800""#, "type", "`event_id`"),
    ("customer_id", "null", "customer_id_missing", "customer_id"),
    ("customer_id", r#""\udc00\ud800""#, "type", "`customer_id`"),
    ("customer_id", r#""\ud800x""#, "type", "`customer_id`"),
    ("event_type", "", "event_type_missing", "event_type"),
    (
        "event_type",
        "\"purchase\"",
        "event_type_unknown",
        "event_type",
    ),
    (
        "event_type",
        "\" PURCHASE\"",
        "event_type_unknown",
        "event_type",
    ),
    ("event_type", "\"\"", "event_type_unknown", "event_type"),
    ("amount", "null", "amount_missing", "amount"),
    ("amount", "0", "amount_not_positive", "amount"),
    ("amount", "-0", "amount_not_positive", "amount"),
    ("amount", "-0.0", "amount_not_positive", "amount"),
    ("amount", "0e5", "amount_not_positive", "amount"),
    ("amount", "-12.50", "amount_not_positive", "amount"),
    ("amount", "0.001", "amount_not_in_cents", "amount"),
    ("amount", "1.005", "amount_not_in_cents", "amount"),
    ("amount", "10000000000000000", "amount_too_large", "amount"),
    ("amount", "1e999", "type", "`amount`"),
    (
        "amount",
        "1000000000000000000000000000000000000000",
        "type",
        "`amount`",
    ),
    ("amount", "0.000000000000000000001", "type", "`amount`"),
    ("amount", "\"12.50\"", "type", "`amount`"),
    ("amount", "true", "type", "`amount`"),
    ("amount", "{}", "type", "`amount`"),
    ("currency", "null", "currency_missing", "currency"),
    (
        "event_timestamp",
        "null",
        "event_timestamp_missing",
        "event_timestamp",
    ),
    ("event_timestamp", "1770000000", "type", "`event_timestamp`"),
    (
        "event_timestamp",
        "1770000000000",
        "type",
        "`event_timestamp`",
    ),
    (
        "event_timestamp",
        "\"1770000000\"",
        "type",
        "`event_timestamp`",
    ),
    (
        "event_timestamp",
        "\"2026-03-01\"",
        "type",
        "`event_timestamp`",
    ),
    (
        "event_timestamp",
        "\"2026-03-01T24:00:00Z\"",
        "type",
        "`event_timestamp`",
    ),
    (
        "event_timestamp",
        "\"2026-03-01T23:59:60Z\"",
        "type",
        "`event_timestamp`",
    ),
    (
        "event_timestamp",
        "\"2026-03-01T23:60:00Z\"",
        "type",
        "`event_timestamp`",
    ),
    (
        "event_timestamp",
        "\"2026-02-29T10:00:00Z\"",
        "type",
        "`event_timestamp`",
    ),
    (
        "event_timestamp",
        "\"10000-01-01T00:00:00Z\"",
        "type",
        "`event_timestamp`",
    ),
    (
        "event_timestamp",
        "\"0000-12-31T23:59:59Z\"",
        "type",
        "`event_timestamp`",
    ),
    (
        "event_timestamp",
        "\"2026-03-01T10:00:00+0100\"",
        "type",
        "`event_timestamp`",
    ),
    (
        "event_timestamp",
        "\"2026-03-01T10:00:00 Europe/Berlin\"",
        "type",
        "`event_timestamp`",
    ),
    (
        "event_timestamp",
        "\"2026-03-01T10:00:00.Z\"",
        "type",
        "`event_timestamp`",
    ),
    (
        "event_timestamp",
        "\"2026-03-01T10:00:00.1234567890Z\"",
        "type",
        "`event_timestamp`",
    ),
    (
        "event_timestamp",
        "\" 2026-03-01T10:00:00Z\"",
        "type",
        "`event_timestamp`",
    ),
    ("event_timestamp", "\"\"", "type", "`event_timestamp`"),
    ("event_timestamp", "\"NULL\"", "type", "`event_timestamp`"),
    (
        "event_timestamp",
        "\"9999-12-31T23:59:59Z\"",
        "event_timestamp_in_future",
        "event_timestamp",
    ),
    (
        "event_timestamp",
        "\"0001-01-01T00:00:00Z\"",
        "too_late",
        "too_late",
    ),
    ("quantity", "1.0", "type", "`quantity`"),
    ("quantity", "15e-1", "type", "`quantity`"),
    ("quantity", "9223372036854775808", "type", "`quantity`"),
    ("quantity", "\"1\"", "type", "`quantity`"),
    ("quantity", "true", "type", "`quantity`"),
    ("quantity", "0", "evaluation", "ivide by zero"),
    ("ratio", "1e999", "type", "`ratio`"),
    ("ratio", "\"NaN\"", "type", "`ratio`"),
    ("trial", "1", "type", "`trial`"),
    ("trial", "\"true\"", "type", "`trial`"),
    ("birthday", "\"2023-02-29\"", "type", "`birthday`"),
    ("birthday", "\"2024-2-9\"", "type", "`birthday`"),
    ("birthday", "\"2024-02-29T00:00:00Z\"", "type", "`birthday`"),
    ("birthday", "20240229", "type", "`birthday`"),
    // What is not declared is checked for its syntax.
    ("unknown", "01", "json", "byte"),
    ("unknown", "NaN", "json", "byte"),
    ("unknown", "1.", "json", "byte"),
    ("unknown", "'a'", "json", "byte"),
    ("unknown", r#""\x41""#, "json", "byte"),
    ("unknown", "\"a\nb\"", "json", "byte"),
    ("unknown", "[1,]", "json", "byte"),
    ("unknown", "1 // why", "json", "byte"),
];

/// Values that are no event.
const NO_EVENT: &[(&[u8], &str)] = &[
    (b"", "JSON"),
    (b" ", "JSON"),
    (b"null", "JSON"),
    (b"[]", "JSON"),
    (b"\"text\"", "JSON"),
    (b"42", "JSON"),
    (b"{", "JSON"),
    (b"{} {}", "JSON"),
    (b"{}x", "JSON"),
    (b"{\"event_id\"}", "JSON"),
    (b"{event_id: 1}", "JSON"),
    (b"{\"a\": 1,}", "JSON"),
    (b"\xef\xbb\xbf{}", "JSON"),
    (b"\xff\xfe{\0}\0", "UTF-8"),
    (b"{\"a\": \"\xff\"}", "UTF-8"),
    (b"{\"a\": \"\xed\xa0\x80\"}", "UTF-8"),
    (b"{\"a\": \"\xc0\x80\"}", "UTF-8"),
    (b"\0\0\0\0\x01\x02avro", "JSON"),
];

/// All cases, for records of this time. Customers are those of `customers`, in turn.
pub(super) fn all(now: i64, customers: &[&str]) -> Vec<Case> {
    let mut cases = Vec::new();
    let good = |at: usize| {
        let customer = customers[at % customers.len()];
        Event::good(&format!("EVENT_{at}"), customer, now)
    };
    let mut push =
        |event: Event, value: Option<Vec<u8>>, fate| cases.push(Case { event, value, fate });
    for (at, (field, json, column)) in CLEAN.iter().enumerate() {
        let event = good(at).with(field, json);
        let value = event.json().into_bytes();
        let written = Some((*field, (*column).to_owned())).filter(|(_, column)| !column.is_empty());
        push(
            event,
            Some(value),
            Fate::Clean(written.into_iter().collect()),
        );
    }
    for (at, (field, json, reason, says)) in REFUSED.iter().enumerate() {
        let event = good(1000 + at).with(field, json);
        let value = event.json().into_bytes();
        push(event, Some(value), Fate::Refused(reason, says));
    }
    for (at, (value, says)) in NO_EVENT.iter().enumerate() {
        push(
            good(2000 + at),
            Some(value.to_vec()),
            Fate::Refused("json", says),
        );
    }
    push(good(3000), None, Fate::Refused("json", "tombstone"));
    for (event, value, fate) in whole_events(now, &good) {
        push(event, Some(value.into_bytes()), fate);
    }
    cases
}

fn whole_events(now: i64, good: &impl Fn(usize) -> Event) -> Vec<(Event, String, Fate)> {
    let mut found = Vec::new();
    // The outer object is level 1.
    for (levels, fate) in [
        (128, Fate::Clean(Vec::new())),
        (129, Fate::Refused("json", "128")),
    ] {
        let event = good(4000 + levels);
        let deep = format!("{}{}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        found.push((
            event.clone(),
            event.clone().with("unknown", &deep).json(),
            fate,
        ));
    }
    let twice = |at: usize, members: &str, fate| {
        let event = good(at);
        let json = event.json().replacen('{', &format!("{{{members}, "), 1);
        (event, json, fate)
    };
    found.push(twice(
        4300,
        r#""unknown": 1, "unknown": 2"#,
        Fate::Clean(Vec::new()),
    ));
    found.push(twice(
        4301,
        r#""Event_Id": 1, "AMOUNT": "x""#,
        Fate::Clean(Vec::new()),
    ));
    for (at, member, says) in [
        (4302, r#""amount": 12.5"#, "`amount`"),
        (4303, r#""event\u005fid": "x""#, "`event_id`"),
        (4304, r#""currency": null"#, "`currency`"),
    ] {
        found.push(twice(at, member, Fate::Refused("duplicate_field", says)));
    }
    const MINUTE: i64 = 60_000;
    const DAY: i64 = 24 * 60 * MINUTE;
    for (at, ms, reason) in [
        (4400, now + 5 * MINUTE - 1_000, None),
        (4401, now + 5 * MINUTE, None),
        (
            4402,
            now + 5 * MINUTE + 1_000,
            Some("event_timestamp_in_future"),
        ),
        (4403, now - 35 * DAY, None),
        (4404, now - 35 * DAY - 1_000, Some("too_late")),
    ] {
        let event = good(at).with("event_timestamp", &format!("\"{}\"", written(ms)));
        let fate = match reason {
            None => Fate::Clean(Vec::new()),
            Some(reason) => Fate::Refused(reason, reason),
        };
        found.push((event.clone(), event.json(), fate));
    }
    let long = good(4500).with("amount", &format!("\"{}\"", "x".repeat(5_000)));
    found.push((long.clone(), long.json(), Fate::Refused("type", "`amount`")));
    found
}
