//! Random events, read by serde_json as well.

use std::fmt;

use arrow::array::{Array, AsArray};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::{Decoder, Reason};
use super::column;
use crate::sql::types::SqlType;

const NAMES: [&str; 6] = ["id", "name", "payload", "größe", "none", ""];
const DECLARED: [&str; 4] = ["id", "name", "payload", "größe"];

fn decoder() -> Decoder {
    Decoder::new(&DECLARED.map(|name| column(name, SqlType::Varchar)))
}

/// Writes JSON that is valid, with as many odd spellings as there are.
struct Writer {
    random: StdRng,
    out: String,
}

impl Writer {
    fn event(seed: u64) -> String {
        let mut writer = Self {
            random: StdRng::seed_from_u64(seed),
            out: String::new(),
        };
        writer.space();
        writer.object(0);
        writer.space();
        writer.out
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices.choose(&mut self.random).unwrap()
    }

    fn space(&mut self) {
        let space = self.one_of(&["", "", "", "", " ", "\n", "\r\n\t"]);
        self.out.push_str(space);
    }

    fn object(&mut self, level: u32) {
        self.out.push('{');
        self.space();
        for index in 0..self.random.random_range(0..6) {
            if index > 0 {
                self.out.push(',');
                self.space();
            }
            let name = self.one_of(&NAMES);
            self.string(name);
            self.space();
            self.out.push(':');
            self.space();
            self.value(level + 1);
            self.space();
        }
        self.out.push('}');
    }

    fn array(&mut self, level: u32) {
        self.out.push('[');
        self.space();
        for index in 0..self.random.random_range(0..5) {
            if index > 0 {
                self.out.push(',');
                self.space();
            }
            self.value(level + 1);
            self.space();
        }
        self.out.push(']');
    }

    fn value(&mut self, level: u32) {
        match self.random.random_range(0..if level < 6 { 10 } else { 7 }) {
            0..3 => {
                let text = self.text();
                self.string(&text);
            }
            3..6 => self.number(),
            6 => {
                let word = self.one_of(&["true", "false", "null"]);
                self.out.push_str(word);
            }
            7..9 => self.object(level),
            _ => self.array(level),
        }
    }

    fn text(&mut self) -> String {
        let length = self.random.random_range(0..30);
        (0..length)
            .map(|_| match self.random.random_range(0..8) {
                0 => char::from(self.random.random_range(0..0x20)),
                1 => *['"', '\\', '/', '\u{7F}', '\u{FFFF}']
                    .choose(&mut self.random)
                    .unwrap(),
                2 => self.random.random_range('\u{80}'..='\u{10FFFF}'),
                _ => self.random.random_range('a'..='z'),
            })
            .collect()
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for character in text.chars() {
            let must = matches!(character, '\0'..'\x20' | '"' | '\\');
            if !must && self.random.random_range(0..10) > 0 {
                self.out.push(character);
            } else if let ('"' | '\\' | '/', true) = (character, self.random.random()) {
                self.out.push('\\');
                self.out.push(character);
            } else {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let upper = self.random.random();
                    self.out.push_str(&if upper {
                        format!("\\u{unit:04X}")
                    } else {
                        format!("\\u{unit:04x}")
                    });
                }
            }
        }
        self.out.push('"');
    }

    fn number(&mut self) {
        let sign = self.one_of(&["", "-"]);
        let integer = self.random.random::<u64>() >> self.random.random_range(0..64);
        self.out.push_str(&format!("{sign}{integer}"));
        if self.random.random() {
            self.out
                .push_str(&format!(".{:03}", self.random.random_range(0..100_000)));
        }
        if self.random.random_range(0..4) == 0 {
            let sign = self.one_of(&["e", "E", "e+", "E-"]);
            self.out
                .push_str(&format!("{sign}{:02}", self.random.random_range(0..400)));
        }
    }
}

/// An object's fields in their order, values as written.
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// What a lenient column holds, by serde_json's reading.
fn as_varchar(value: &RawValue) -> Option<String> {
    match value.get() {
        "null" => None,
        text if text.starts_with('"') => Some(serde_json::from_str(text).unwrap()),
        other => Some(other.to_owned()),
    }
}

#[test]
fn valid_events_read_as_serde_json_reads_them() {
    let mut decoder = decoder();
    let mut expected_rows = Vec::new();
    let mut refused = 0;
    for seed in 0..5_000 {
        let event = Writer::event(seed);
        let Fields(fields) = serde_json::from_str(&event).unwrap();
        let value_of = |name: &str| {
            fields
                .iter()
                .find(|(field, _)| field == name)
                .map(|(_, value)| value)
        };
        let twice = fields.iter().enumerate().find(|(index, (name, _))| {
            DECLARED.contains(&name.as_str())
                && fields[..*index].iter().any(|(earlier, _)| earlier == name)
        });
        match decoder.push(Some(event.as_bytes())) {
            Ok(()) => {
                assert!(twice.is_none(), "{event}");
                let cells = DECLARED.map(|name| value_of(name).and_then(|value| as_varchar(value)));
                expected_rows.push((event, cells));
            }
            Err(refusal) => {
                refused += 1;
                assert_eq!(refusal.reason, Reason::DuplicateField, "{event}: {refusal}");
                assert_eq!(
                    refusal.column,
                    twice.map(|(_, (name, _))| name.clone()),
                    "{event}"
                );
            }
        }
    }
    assert!(
        expected_rows.len() > 1_000 && refused > 1_000,
        "{} rows, {refused} refused",
        expected_rows.len()
    );
    let batch = decoder.finish().unwrap();
    assert_eq!(batch.num_rows(), expected_rows.len());
    for (index, (event, cells)) in expected_rows.iter().enumerate() {
        for (array, cell) in batch.columns().iter().zip(cells) {
            let array = array.as_string::<i32>();
            let read = array.is_valid(index).then(|| array.value(index));
            assert_eq!(read, cell.as_deref(), "{event}");
        }
    }
}

/// Changes a few bytes; most results are no JSON any more, and some are by a hair.
fn mutate(event: &mut Vec<u8>, random: &mut StdRng) {
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..=event.len());
        let byte = match random.random_range(0..3) {
            0 => random.random(),
            _ => *br#"{}[]:,"\/u0123456789abdeftnrsl+-.E"#.choose(random).unwrap(),
        };
        match random.random_range(0..5) {
            0 => event.insert(at, byte),
            1 if at < event.len() => event[at] = byte,
            2 if at < event.len() => drop(event.remove(at)),
            3 => event.truncate(at),
            _ => {
                let end = event.len().min(at + random.random_range(0..10));
                event.extend_from_within(at..end);
            }
        }
    }
}

#[test]
fn changed_events_are_json_when_serde_json_says_so() {
    let mut random = StdRng::seed_from_u64(4711);
    let mut decoder = decoder();
    let mut still_json = 0;
    for seed in 0..50_000 {
        let mut event = Writer::event(seed % 2_000).into_bytes();
        mutate(&mut event, &mut random);
        let is_object = event.trim_ascii_start().starts_with(b"{");
        // serde_json does not look at the encoding of what it skips.
        let expected = is_object
            && str::from_utf8(&event).is_ok()
            && serde_json::from_slice::<IgnoredAny>(&event).is_ok();
        let refusal = decoder.push(Some(&event)).err();
        let is_json = refusal
            .as_ref()
            .is_none_or(|refusal| refusal.reason != Reason::Json);
        assert_eq!(
            is_json,
            expected,
            "{:?}: {refusal:?}",
            String::from_utf8_lossy(&event)
        );
        still_json += u32::from(is_json);
    }
    assert!(still_json > 2_000, "only {still_json} were JSON");
}

#[test]
fn any_bytes_are_read_without_a_panic() {
    let mut random = StdRng::seed_from_u64(815);
    let mut decoder = Decoder::new(&super::columns());
    for seed in 0..20_000 {
        let event = Writer::event(seed);
        // Names of strict columns, so that every kind of value meets every type.
        let renamed = event
            .replace("id", "at")
            .replace("name", "amount")
            .replace("payload", "ratio");
        let mut event = renamed.into_bytes();
        if random.random() {
            mutate(&mut event, &mut random);
        }
        let rows = decoder.len();
        let accepted = decoder.push(Some(&event)).is_ok();
        assert_eq!(decoder.len(), rows + usize::from(accepted));
    }
    let rows = decoder.len();
    assert_eq!(decoder.finish().unwrap().num_rows(), rows);
}
