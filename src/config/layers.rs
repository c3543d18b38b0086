//! The file, the environment and the flags, each as one layer of settings that know where they come from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Num, Tag, Value};
use figment::{Metadata, Profile, Provider};
use toml_edit::{ImDocument, TableLike};

use super::ConfigError;
use super::schema::{Kind, Schema, dotted};
use super::secret;

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "sluicebox.toml";

/// What the names of our variables begin with.
const PREFIX: &str = "SLUICEBOX_";

/// Settings of one origin.
pub(super) struct Layer {
    /// Where the settings stand, as messages name it.
    place: String,
    dict: Dict,
}

impl Layer {
    pub(super) fn defaults(config: &super::Config) -> Self {
        let dict = Value::serialize(config).ok().and_then(Value::into_dict);
        Self {
            place: "default".to_owned(),
            dict: dict.expect("a configuration is a dictionary of sections"),
        }
    }

    fn one(place: String, path: &[String], value: Value) -> Self {
        let mut parts = path.iter().rev();
        let last = parts.next().expect("a key has a name").clone();
        let leaf = Dict::from([(last, value)]);
        let nest = |dict, part: &String| Dict::from([(part.clone(), Value::from(dict))]);
        Self {
            place,
            dict: parts.fold(leaf, nest),
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.place.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.dict.clone()))
    }
}

/// A configuration file: its settings, and the line of each.
pub(super) struct File {
    path: PathBuf,
    text: String,
    lines: BTreeMap<Vec<String>, usize>,
}

impl File {
    /// Reads `path`, or `sluicebox.toml` in the working folder.
    pub(super) fn read(path: Option<&Path>) -> Result<Self, ConfigError> {
        let path = path.unwrap_or(Path::new(DEFAULT_FILE));
        let text = std::fs::read_to_string(path).map_err(|source| {
            let hint = match source.kind() {
                std::io::ErrorKind::NotFound => {
                    "name one with --config FILE, or run in a folder that has a sluicebox.toml"
                }
                _ => "it must be a UTF-8 text file that this user may read",
            };
            ConfigError::Unreadable {
                path: path.to_owned(),
                source,
                hint: hint.to_owned(),
            }
        })?;
        Self::parse(path, text)
    }

    fn parse(path: &Path, text: String) -> Result<Self, ConfigError> {
        let document = ImDocument::parse(text.as_str()).map_err(|error| {
            let line = line_of(&text, error.span().map_or(0, |span| span.start));
            let problem = format!("not valid TOML: {}", error.message().replace('\n', ", "));
            let hint = "a setting is written `key = value` under its [section]; texts stand in double quotes";
            ConfigError::refused(format!("{}:{line}", path.display()), problem, hint)
        })?;
        let mut lines = BTreeMap::new();
        note_lines(document.as_table(), &mut Vec::new(), &text, &mut lines);
        Ok(Self {
            path: path.to_owned(),
            text,
            lines,
        })
    }

    /// The folder that relative paths in the file start from.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// `file:line` of a key.
    pub(super) fn place(&self, path: &[String]) -> String {
        match self.lines.get(path) {
            Some(line) => format!("{}:{line}", self.path.display()),
            None => self.path.display().to_string(),
        }
    }

    /// The name of this layer in figment's metadata.
    pub(super) fn layer_name(&self) -> String {
        self.path.display().to_string()
    }

    /// The settings, once every key is known and none is a secret.
    pub(super) fn layer(&self, schema: &Schema) -> Result<Layer, ConfigError> {
        let mut profiles = Toml::string(&self.text).data().map_err(|error| {
            ConfigError::refused(self.layer_name(), error.to_string(), "correct the file")
        })?;
        let dict = profiles.remove(&Profile::Default).unwrap_or_default();
        for path in leaves(&dict) {
            schema.check(&path, &self.place(&path))?;
            refuse_secret(&path, &self.place(&path))?;
        }
        Ok(Layer {
            place: self.layer_name(),
            dict,
        })
    }
}

/// One layer for each of our variables: `SLUICEBOX_<SECTION>__<KEY>`.
pub(super) fn environment(
    variables: impl Iterator<Item = (String, String)>,
    schema: &Schema,
) -> Result<Vec<Layer>, ConfigError> {
    let mut layers = Vec::new();
    for (name, value) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let place = format!("environment variable {name}");
        let Some(path) = variable_path(rest) else {
            refuse_single_underscore(rest, &place, schema)?;
            continue;
        };
        schema.check(&path, &place)?;
        layers.push(Layer::one(place, &path, typed(&value, schema.kind(&path))));
    }
    Ok(layers)
}

/// One layer for each flag, `section.key` and its value.
pub(super) fn flags(
    overrides: &[(String, String)],
    schema: &Schema,
) -> Result<Vec<Layer>, ConfigError> {
    let mut layers = Vec::new();
    for (key, value) in overrides {
        let path: Vec<String> = key
            .splitn(3, '.')
            .map(|part| part.trim_matches('"').to_owned())
            .collect();
        schema.check(&path, "flag")?;
        refuse_secret(&path, "flag")?;
        layers.push(Layer::one(
            "flag".to_owned(),
            &path,
            typed(value, schema.kind(&path)),
        ));
    }
    Ok(layers)
}

/// `KAFKA__PROPERTIES__SASL_PASSWORD` -> kafka, properties, sasl.password. None without two underscores.
fn variable_path(rest: &str) -> Option<Vec<String>> {
    let mut path: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
    if path.len() < 2 {
        return None;
    }
    if let [section, key, name] = path.as_mut_slice()
        && section == "kafka"
        && key == "properties"
    {
        *name = name.replace('_', ".");
    }
    Some(path)
}

/// The variable that sets the key at `path`.
pub(super) fn variable_name(path: &[String]) -> String {
    let part = |part: &String| part.to_ascii_uppercase().replace(['.', '-'], "_");
    format!(
        "{PREFIX}{}",
        path.iter().map(part).collect::<Vec<_>>().join("__")
    )
}

/// A variable that would be one of ours with one underscore more is a slip; any other is somebody else's
/// (an orchestrator sets `SLUICEBOX_SERVICE_HOST`, for instance) and left alone.
fn refuse_single_underscore(rest: &str, place: &str, schema: &Schema) -> Result<(), ConfigError> {
    for (section, keys) in schema.sections() {
        for key in keys {
            let path = [section.to_owned(), key.to_owned()];
            if schema.knows(&path) && format!("{section}_{key}").eq_ignore_ascii_case(rest) {
                let hint = format!("did you mean {} (two underscores)?", variable_name(&path));
                return Err(ConfigError::refused(place, "not a setting", hint));
            }
        }
    }
    Ok(())
}

fn refuse_secret(path: &[String], place: &str) -> Result<(), ConfigError> {
    let name = path.last().map_or("", String::as_str);
    if !secret::is_secret_name(name) {
        return Ok(());
    }
    let mut hint = format!("set it in the environment: {}", variable_name(path));
    if name == "private_key_passphrase" {
        hint.push_str(", or name a file that holds it: warehouse.private_key_passphrase_file");
    }
    let problem = format!("{} is a secret and is not accepted here", dotted(path));
    Err(ConfigError::refused(place, problem, hint))
}

/// Text of the environment or a flag as the type that its key wants; what does not fit stays text and is refused later.
fn typed(text: &str, kind: Kind) -> Value {
    match (kind, text.parse::<i64>()) {
        (Kind::Number, Ok(number)) => Value::Num(Tag::Default, Num::I64(number)),
        _ => Value::from(text),
    }
}

/// The paths of all values, and of sections that hold none of their own.
fn leaves(dict: &Dict) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (section, value) in dict {
        let Value::Dict(_, keys) = value else {
            found.push(vec![section.clone()]);
            continue;
        };
        for (key, value) in keys {
            match value {
                Value::Dict(_, names) if Schema::is_open(section, key) => {
                    found.extend(
                        names
                            .keys()
                            .map(|name| vec![section.clone(), key.clone(), name.clone()]),
                    );
                }
                _ => found.push(vec![section.clone(), key.clone()]),
            }
        }
        if keys.is_empty() {
            found.push(vec![section.clone()]);
        }
    }
    found
}

fn note_lines(
    table: &dyn TableLike,
    path: &mut Vec<String>,
    text: &str,
    lines: &mut BTreeMap<Vec<String>, usize>,
) {
    for (name, item) in table.iter() {
        path.push(name.to_owned());
        if let Some(span) = table.get_key_value(name).and_then(|(key, _)| key.span()) {
            lines.insert(path.clone(), line_of(text, span.start));
        }
        if let Some(inner) = item.as_table_like() {
            note_lines(inner, path, text, lines);
        }
        path.pop();
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text[..offset.min(text.len())].matches('\n').count() + 1
}

/// Where a key can be set.
pub(super) fn variable_hint(key: &str) -> String {
    let path: Vec<String> = key
        .splitn(3, '.')
        .map(|part| part.trim_matches('"').to_owned())
        .collect();
    format!("set it in the file or by {}", variable_name(&path))
}
