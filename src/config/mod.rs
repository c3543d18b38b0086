//! One `sluicebox.toml`, the environment and the flags in; one checked configuration out, or one line that says
//! what is wrong with it, where, and what would be accepted.
//!
//! Flags win over the environment, the environment over the file, the file over the defaults. A variable is named
//! `SLUICEBOX_<SECTION>__<KEY>`, e.g. `SLUICEBOX_WAREHOUSE__ACCOUNT`. Secrets come from the environment, or from
//! files that the configuration names, never from the configuration itself.

mod check;
mod describe;
mod error;
mod join;
mod layers;
mod properties;
mod schema;
mod secret;
mod sections;
mod size;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use figment::Figment;
use serde::{Deserialize, Serialize};

use describe::Setting;
use layers::{File, Layer};
use schema::Schema;

pub use error::ConfigError;
pub use properties::Properties;
pub use sections::{
    CleanSection, GoldSection, KafkaSection, LogFormat, LogSection, PipelineSection, SinkSection,
    StateSection, TopicsSection, WarehouseSection, WebSection,
};
pub use size::ByteSize;

/// The whole configuration of one deployment.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What is clean and what is gold.
    pub pipeline: PipelineSection,
    /// Where the brokers are.
    pub kafka: KafkaSection,
    /// The topics.
    pub topics: TopicsSection,
    /// Raw events to clean events.
    pub clean: CleanSection,
    /// Clean events to gold rows.
    pub gold: GoldSection,
    /// Rows to loads.
    pub sink: SinkSection,
    /// The warehouse and its stage.
    pub warehouse: WarehouseSection,
    /// What the process keeps between its runs.
    pub state: StateSection,
    /// Metrics and health.
    pub web: WebSection,
    /// What is written to stderr.
    pub log: LogSection,
    #[serde(skip)]
    settings: Vec<Setting>,
}

impl Config {
    /// Reads `path` (`./sluicebox.toml` if none is named), lets the environment and then `overrides` win over it,
    /// and checks the result. An override is a pair `("section.key", "value")`, as flags have it.
    ///
    /// # Errors
    /// The file cannot be read, a key is unknown, a value has the wrong type, unit or range, or a secret stands
    /// where it must not.
    pub fn load(path: Option<&Path>, overrides: &[(String, String)]) -> Result<Self, ConfigError> {
        let variables = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Self::compose(&File::read(path)?, variables, overrides)
    }

    fn compose(
        file: &File,
        variables: impl Iterator<Item = (String, String)>,
        overrides: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        let schema = Schema::new();
        let mut figment =
            Figment::from(Layer::defaults(&Self::default())).merge(file.layer(&schema)?);
        for layer in layers::environment(variables, &schema)? {
            figment = figment.merge(layer);
        }
        for layer in layers::flags(overrides, &schema)? {
            figment = figment.merge(layer);
        }
        let settings = describe::settings(&figment, file, &schema)?;
        let mut config: Self = figment
            .extract()
            .map_err(|error| check::wrong_type(&error, &settings))?;
        config.settings = settings;
        check::ranges(&config)?;
        config.start_paths_at(file.folder());
        Ok(config)
    }

    /// Every key in force, one a line: `key = value  # where it came from`. Secrets are `***`.
    pub fn describe(&self) -> String {
        describe::describe(&self.settings)
    }

    /// Refuses a configuration that names no warehouse account, for the commands that need one.
    ///
    /// # Errors
    /// `warehouse.account` is empty.
    pub fn require_warehouse(&self) -> Result<(), ConfigError> {
        check::warehouse(self)
    }

    /// Relative paths of the file and of the defaults start at the folder of the file.
    fn start_paths_at(&mut self, folder: &Path) {
        let beside_file = |settings: &[Setting], key: &str| {
            settings.iter().any(|s| s.key == key && s.beside_file)
        };
        let paths: [(&str, &mut PathBuf); 5] = [
            ("pipeline.folder", &mut self.pipeline.folder),
            ("state.folder", &mut self.state.folder),
            (
                "warehouse.private_key_file",
                &mut self.warehouse.private_key_file,
            ),
            ("warehouse.ca_file", &mut self.warehouse.ca_file),
            (
                "warehouse.private_key_passphrase_file",
                &mut self.warehouse.private_key_passphrase_file,
            ),
        ];
        for (key, path) in paths {
            if beside_file(&self.settings, key) && !path.as_os_str().is_empty() {
                *path = folder.join(&*path);
            }
        }
    }
}
