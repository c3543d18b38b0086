//! Every key that there is, in the order of the file, taken from the defaults.

use serde_json::{Map, Value};

use super::{Config, ConfigError};

/// Sections that hold names of a library or a pipeline, which are not ours to check.
const OPEN_SECTIONS: [(&str, &str); 3] = [
    ("kafka", "properties"),
    ("gold", "keep"),
    ("warehouse", "stage_properties"),
];

/// How different a word may be and still be taken for a slip of the pen (1.0 is the same word).
const SIMILAR: f64 = 0.8;

/// What a key holds, told by its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text, and what is written as one: a path, a duration, a size, a secret.
    Text,
    /// A number.
    Number,
}

/// Sections and keys with their defaults.
pub(super) struct Schema(Map<String, Value>);

impl Schema {
    /// The keys of [`Config`].
    pub(super) fn new() -> Self {
        match serde_json::to_value(Config::default()) {
            Ok(Value::Object(sections)) => Self(sections),
            _ => unreachable!("a configuration is an object of sections"),
        }
    }

    /// Sections in order, each with its keys in order.
    pub(super) fn sections(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        self.0
            .keys()
            .map(|section| (section.as_str(), self.keys(section)))
    }

    /// The keys of a section; none for a section that there is not.
    fn keys(&self, section: &str) -> Vec<&str> {
        let keys = self.0.get(section).and_then(Value::as_object);
        keys.map(|keys| keys.keys().map(String::as_str).collect())
            .unwrap_or_default()
    }

    /// What the key at `path` holds.
    pub(super) fn kind(&self, path: &[String]) -> Kind {
        let value = match path {
            [section, key] => self.0.get(section).and_then(|keys| keys.get(key)),
            _ => None,
        };
        if value.is_some_and(Value::is_number) {
            Kind::Number
        } else {
            Kind::Text
        }
    }

    /// Whether `section.key` takes names of a library or a pipeline.
    pub(super) fn is_open(section: &str, key: &str) -> bool {
        OPEN_SECTIONS.contains(&(section, key))
    }

    /// Whether there is such a key.
    pub(super) fn knows(&self, path: &[String]) -> bool {
        match path {
            [section, key] => {
                self.keys(section).contains(&key.as_str()) && !Self::is_open(section, key)
            }
            [section, key, _] => Self::is_open(section, key),
            _ => false,
        }
    }

    /// Refuses `path` if there is no such key, with the nearest one as a hint.
    pub(super) fn check(&self, path: &[String], place: &str) -> Result<(), ConfigError> {
        if self.knows(path) {
            return Ok(());
        }
        let (section, key) = match path {
            [section] => (section.as_str(), None),
            [section, key, ..] => (section.as_str(), Some(key.as_str())),
            [] => ("", None),
        };
        let keys = self.keys(section);
        let Some(key) = key.filter(|_| !keys.is_empty()) else {
            let sections: Vec<_> = self.0.keys().map(String::as_str).collect();
            let hint = did_you_mean(section, &sections, |name| format!("[{name}]"))
                .unwrap_or_else(|| format!("the sections are {}", sections.join(", ")));
            return Err(ConfigError::refused(
                place,
                format!("unknown section or key `{section}`"),
                hint,
            ));
        };
        let hint = did_you_mean(key, &keys, |name| format!("{section}.{name}"))
            .unwrap_or_else(|| format!("the keys of [{section}] are {}", keys.join(", ")));
        Err(ConfigError::refused(
            place,
            format!("unknown key `{}`", dotted(path)),
            hint,
        ))
    }
}

/// A path as it is written in messages; a part that has dots of its own is quoted.
pub(super) fn dotted(path: &[String]) -> String {
    let part = |part: &String| {
        if part.contains('.') {
            format!("{part:?}")
        } else {
            part.clone()
        }
    };
    path.iter().map(part).collect::<Vec<_>>().join(".")
}

fn did_you_mean(word: &str, known: &[&str], shown: impl Fn(&str) -> String) -> Option<String> {
    let similarity = |name: &&str| strsim::jaro_winkler(word, name);
    let nearest = known
        .iter()
        .max_by(|a, b| similarity(a).total_cmp(&similarity(b)))?;
    (similarity(nearest) >= SIMILAR).then(|| format!("did you mean {}?", shown(nearest)))
}
