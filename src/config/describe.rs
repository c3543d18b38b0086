//! What is in force, and where each value came from.

use figment::value::{Dict, Value};
use figment::{Figment, Profile, Provider};

use super::ConfigError;
use super::layers::File;
use super::schema::{Schema, dotted};
use super::secret;

/// One value in force.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// The key, e.g. `clean.batch_events`.
    pub(super) key: String,
    /// The value as it would stand in the file; a secret is `***`.
    pub(super) value: String,
    /// `default`, `file:line`, the name of a variable, or `flag`.
    pub(super) place: String,
    /// Whether it stands in the file or is a default, so that a relative path starts at the file.
    pub(super) beside_file: bool,
}

/// All values in force, in the order of the file.
pub(super) fn settings(
    figment: &Figment,
    file: &File,
    schema: &Schema,
) -> Result<Vec<Setting>, ConfigError> {
    let mut profiles = figment.data().map_err(|error| {
        ConfigError::refused(file.layer_name(), error.to_string(), "correct the file")
    })?;
    let dict = profiles.remove(&Profile::Default).unwrap_or_default();
    let mut found = Vec::new();
    for (section, keys) in schema.sections() {
        let Some(Value::Dict(_, values)) = dict.get(section) else {
            continue;
        };
        for key in keys {
            let path = vec![section.to_owned(), key.to_owned()];
            match values.get(key) {
                Some(Value::Dict(_, names)) => {
                    found.extend(open_settings(figment, file, &path, names))
                }
                Some(value) => found.push(setting(figment, file, &path, value)),
                None => {}
            }
        }
    }
    Ok(found)
}

fn open_settings(figment: &Figment, file: &File, path: &[String], names: &Dict) -> Vec<Setting> {
    let one = |(name, value): (&String, &Value)| {
        let path = [path, std::slice::from_ref(name)].concat();
        setting(figment, file, &path, value)
    };
    names.iter().map(one).collect()
}

fn setting(figment: &Figment, file: &File, path: &[String], value: &Value) -> Setting {
    let place = figment
        .get_metadata(value.tag())
        .map_or("default", |metadata| metadata.name.as_ref());
    let in_file = place == file.layer_name();
    let secret = path.last().is_some_and(|name| secret::is_secret_name(name));
    Setting {
        key: dotted(path),
        value: if secret {
            masked(value).to_owned()
        } else {
            shown(value)
        },
        place: if in_file {
            file.place(path)
        } else {
            place.to_owned()
        },
        beside_file: in_file || place == "default",
    }
}

fn masked(value: &Value) -> &'static str {
    if matches!(value, Value::Empty(..)) {
        "(not set)"
    } else {
        "***"
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{:?}", without_user(text)),
        Value::Bool(_, value) => value.to_string(),
        Value::Num(_, number) => match (number.to_i128(), number.to_u128(), number.to_f64()) {
            (Some(number), _, _) => number.to_string(),
            (_, Some(number), _) => number.to_string(),
            (_, _, number) => number.map(|number| number.to_string()).unwrap_or_default(),
        },
        Value::Char(_, value) => format!("{:?}", value.to_string()),
        Value::Empty(..) => "(not set)".to_owned(),
        Value::Dict(..) => "(a table)".to_owned(),
        Value::Array(..) => "(a list)".to_owned(),
    }
}

/// The settings as lines `key = value  # place`.
pub(super) fn describe(settings: &[Setting]) -> String {
    let left: Vec<_> = settings
        .iter()
        .map(|s| format!("{} = {}", s.key, s.value))
        .collect();
    let width = left
        .iter()
        .map(|line| line.chars().count())
        .filter(|width| *width <= 72)
        .max()
        .unwrap_or(0);
    let line =
        |(left, setting): (&String, &Setting)| format!("{left:<width$}  # {}\n", setting.place);
    left.iter().zip(settings).map(line).collect()
}

/// An address without the user and the password that may stand in it.
fn without_user(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let host = rest.split('/').next().unwrap_or_default();
    match host.rsplit_once('@') {
        None => text.to_owned(),
        Some((user, _)) => format!("{scheme}://***{}", &rest[user.len()..]),
    }
}
