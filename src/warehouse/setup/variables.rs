//! What `${...}` stands for in the warehouse scripts.

use std::collections::BTreeMap;

use crate::warehouse::{Config, Error, is_identifier};

/// The values of the scripts' variables; each can stand in SQL as it is.
#[derive(Clone, Debug)]
pub struct Variables {
    values: BTreeMap<&'static str, String>,
}

impl Variables {
    /// The values of a configuration, which is validated first.
    pub fn new(config: &Config) -> Result<Self, Error> {
        config.validate()?;
        Ok(Self {
            values: BTreeMap::from([
                ("database", config.database.clone()),
                ("schema", config.schema.clone()),
                ("role", config.role.clone()),
                ("user", config.user.clone()),
                ("warehouse", config.warehouse.clone()),
                ("stage", config.stage.clone()),
                ("stage_location", location(config)),
                ("stage_privileges", privileges(config).to_owned()),
                ("stage_url", config.stage_url.clone()),
                ("storage_integration", config.storage_integration.clone()),
            ]),
        })
    }

    /// Each variable stands for its own name: enough to read a script without a configuration.
    pub(super) fn placeholders() -> Self {
        let names = [
            "database",
            "schema",
            "role",
            "user",
            "warehouse",
            "stage",
            "stage_url",
            "storage_integration",
        ];
        let internal = Config::default();
        let places = [
            ("stage_location", location(&internal)),
            ("stage_privileges", privileges(&internal).to_owned()),
        ];
        let named = names.into_iter().map(|name| (name, name.to_owned()));
        Self {
            values: named.chain(places).collect(),
        }
    }

    /// The value, or why there is none.
    pub(super) fn get(&self, name: &str) -> Result<String, String> {
        let Some(value) = self.values.get(name) else {
            let known: Vec<_> = self
                .values
                .keys()
                .map(|name| format!("${{{name}}}"))
                .collect();
            return Err(format!(
                "unknown variable `${{{name}}}`; there are {}",
                known.join(", ")
            ));
        };
        if value.is_empty() {
            return Err(format!(
                "`${{{name}}}` has no value: warehouse.{name} is empty"
            ));
        }
        // A login name may be an address; the name of a user in SQL would need quotes then.
        if name == "user" && !is_identifier(value) {
            return Err(format!(
                "`${{user}}` cannot stand in SQL without quotes: warehouse.user is `{value}`"
            ));
        }
        Ok(value.clone())
    }
}

/// Where CREATE STAGE is told to keep the files. A client cannot write to an internal stage that takes encrypted files only,
/// which is the kind that is made when nothing is said.
fn location(config: &Config) -> String {
    let Config {
        stage_url,
        storage_integration,
        ..
    } = config;
    match stage_url.as_str() {
        "" => "ENCRYPTION = (TYPE = 'SNOWFLAKE_SSE')".to_owned(),
        url => format!("URL = '{url}' STORAGE_INTEGRATION = {storage_integration}"),
    }
}

/// What a role needs to load from the stage, and to write to it where it is the warehouse's.
fn privileges(config: &Config) -> &'static str {
    if config.stage_url.is_empty() {
        "READ, WRITE"
    } else {
        "USAGE"
    }
}
