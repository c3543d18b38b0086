//! The sections as the modules that work by them take them.

use secrecy::SecretString;

use super::{Config, KafkaSection, WarehouseSection};
use crate::{broker, sql, warehouse};

impl Config {
    /// What the pipeline's SQL has to know of the deployment; the folder is `pipeline.folder`.
    pub fn pipeline_settings(&self) -> sql::Settings<'_> {
        sql::Settings {
            key: &self.clean.key,
            event_id: &self.clean.event_id,
        }
    }
}

impl From<&KafkaSection> for broker::Config {
    fn from(section: &KafkaSection) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self {
            bootstrap_servers: section.bootstrap_servers.clone(),
            properties: section.properties.iter().map(owned).collect(),
            membership: section.membership,
            session_timeout: section.session_timeout,
        }
    }
}

impl From<&WarehouseSection> for warehouse::Config {
    fn from(section: &WarehouseSection) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self {
            account: section.account.clone(),
            user: section.user.clone(),
            role: section.role.clone(),
            database: section.database.clone(),
            schema: section.schema.clone(),
            warehouse: section.warehouse.clone(),
            url: section.url.clone(),
            private_key_file: section.private_key_file.clone(),
            private_key_passphrase_file: section.private_key_passphrase_file.clone(),
            private_key_passphrase: section
                .private_key_passphrase
                .clone()
                .unwrap_or_else(|| SecretString::from("")),
            proxy: section.proxy.clone(),
            ca_file: section.ca_file.clone(),
            stage: section.stage.clone(),
            stage_url: section.stage_url.clone(),
            storage_integration: section.storage_integration.clone(),
            stage_properties: section.stage_properties.iter().map(owned).collect(),
            statement_timeout: section.statement_timeout,
            request_timeout: section.request_timeout,
            retry_for: section.retry_for,
        }
    }
}
