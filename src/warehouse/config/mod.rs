//! The `[warehouse]` section: which account, as whom, where, and how long to wait.

mod rules;

use std::{collections::BTreeMap, env, fmt, path::PathBuf, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, de};

use super::Error;
use crate::keys::{self, KeyPair};
use rules::{check_account, check_identifier, check_user, wrong};

pub use rules::is_identifier;

/// The `[warehouse]` section of `sluicebox.toml`. `Debug` shows no secret.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Account identifier, e.g. `myorg-myaccount` or `xy12345.us-east-1.aws`. Names the host and signs the token.
    pub account: String,
    /// Login name of the service user whose public key is registered.
    pub user: String,
    /// Role that statements run as; its grants are all that a load may do.
    pub role: String,
    /// Database of the tables and the stage.
    pub database: String,
    /// Schema of the tables and the stage.
    pub schema: String,
    /// Virtual warehouse that runs the statements and is billed for them.
    pub warehouse: String,
    /// Where to send requests, e.g. `http://127.0.0.1:8085`. Empty: `https://<account>.snowflakecomputing.com`.
    pub url: String,
    /// PKCS#8 PEM file with the private key, readable by its owner alone.
    pub private_key_file: PathBuf,
    /// File with the private key's passphrase. Empty: the environment, or a key that is not encrypted.
    pub private_key_passphrase_file: PathBuf,
    /// The passphrase itself; meant for the environment rather than for a file.
    #[serde(deserialize_with = "scalar_secret")]
    pub private_key_passphrase: SecretString,
    /// Proxy for all requests to the warehouse and its internal stage, `http://host:port`. Empty: `HTTPS_PROXY` of the environment.
    pub proxy: String,
    /// PEM file with certificates to trust besides the usual ones, as those of a proxy that looks into connections.
    pub ca_file: PathBuf,
    /// Stage that the loads read from.
    pub stage: String,
    /// Where an external stage's files are written, e.g. `s3://bucket/prefix/`; `s3`, `gcs`, `azure` or `file`, ends with `/`.
    /// Empty: the stage is an internal one, and the warehouse lends a key to it.
    pub stage_url: String,
    /// Storage integration through which the warehouse reads the stage's bucket; used by the set-up scripts alone.
    pub storage_integration: String,
    /// Options of the object store behind `stage_url`, e.g. `aws_region`. Values may be secrets.
    pub stage_properties: BTreeMap<String, String>,
    /// Longest time that a statement may run, e.g. "10m"; at least 1s, at most 7 days. The warehouse stops it then.
    #[serde(with = "humantime_serde")]
    pub statement_timeout: Duration,
    /// Longest wait for one reply, e.g. "50s"; at least 1s. The service answers within 45s, if only to say that the
    /// statement goes on, so less than that resends requests in vain.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// How long a call that fails for a passing reason is tried again, e.g. "1m". Zero: never.
    #[serde(with = "humantime_serde")]
    pub retry_for: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            account: String::new(),
            user: String::new(),
            role: String::new(),
            database: String::new(),
            schema: String::new(),
            warehouse: String::new(),
            url: String::new(),
            private_key_file: PathBuf::new(),
            private_key_passphrase_file: PathBuf::new(),
            private_key_passphrase: SecretString::from(""),
            proxy: String::new(),
            ca_file: PathBuf::new(),
            stage: String::new(),
            stage_url: String::new(),
            storage_integration: String::new(),
            stage_properties: BTreeMap::new(),
            statement_timeout: Duration::from_secs(600),
            request_timeout: Duration::from_secs(50),
            retry_for: Duration::from_secs(60),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("account", &self.account)
            .field("user", &self.user)
            .field("role", &self.role)
            .field("database", &self.database)
            .field("schema", &self.schema)
            .field("warehouse", &self.warehouse)
            .field("url", &self.url)
            .field("private_key_file", &self.private_key_file)
            .field("stage", &self.stage)
            .field("stage_url", &self.stage_url)
            .field("stage_properties", &self.stage_properties.keys())
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Says which value is wrong, and what would be right.
    pub fn validate(&self) -> Result<(), Error> {
        check_account(&self.account)?;
        check_user(&self.user)?;
        for (key, value) in [
            ("role", &self.role),
            ("database", &self.database),
            ("schema", &self.schema),
            ("warehouse", &self.warehouse),
        ] {
            check_identifier(key, value)?;
        }
        for (key, value) in [
            ("stage", &self.stage),
            ("storage_integration", &self.storage_integration),
        ] {
            if !value.is_empty() {
                check_identifier(key, value)?;
            }
        }
        self.check_urls()?;
        if self.private_key_file.as_os_str().is_empty() {
            return Err(wrong("private_key_file", "name a PKCS#8 PEM file", ""));
        }
        let week = Duration::from_secs(7 * 24 * 3600);
        if self.statement_timeout < Duration::from_secs(1) || self.statement_timeout > week {
            let value = humantime::format_duration(self.statement_timeout).to_string();
            return Err(wrong("statement_timeout", "be from 1s to 7days", &value));
        }
        if self.request_timeout < Duration::from_secs(1) {
            let value = humantime::format_duration(self.request_timeout).to_string();
            return Err(wrong("request_timeout", "be at least 1s", &value));
        }
        Ok(())
    }

    fn check_urls(&self) -> Result<(), Error> {
        let is_web = |url: &str| url.starts_with("https://") || url.starts_with("http://");
        if !self.url.is_empty() && (!is_web(&self.url) || reqwest::Url::parse(&self.url).is_err()) {
            return Err(wrong(
                "url",
                "start with https:// or http:// and name a host",
                &self.url,
            ));
        }
        if !self.proxy.is_empty() {
            let rule = "be http://host:port without a password: put one that takes a password into HTTPS_PROXY of the environment";
            let plain = !self.proxy.contains('@');
            if !plain || !is_web(&self.proxy) || reqwest::Url::parse(&self.proxy).is_err() {
                let shown = if plain { &self.proxy } else { "***" };
                return Err(wrong("proxy", rule, shown));
            }
        }
        if self.stage_url.is_empty() {
            return Ok(());
        }
        let schemes = ["s3://", "gcs://", "azure://", "file:///"];
        let known = schemes
            .iter()
            .any(|scheme| self.stage_url.starts_with(scheme));
        let plain = !self
            .stage_url
            .contains(|c: char| c.is_whitespace() || c.is_control() || "'\"\\;".contains(c));
        if !known || !plain || !self.stage_url.ends_with('/') {
            let rule = "start with s3://, gcs://, azure:// or file:///, end with /, and hold no quote or blank";
            return Err(wrong("stage_url", rule, &self.stage_url));
        }
        Ok(())
    }

    /// Where requests go, without a `/` at the end.
    pub(super) fn base_url(&self) -> String {
        match self.url.is_empty() {
            false => self.url.trim_end_matches('/').to_owned(),
            true => {
                // Host names have no underscores; account names may.
                let host = self.account.to_ascii_lowercase().replace('_', "-");
                format!("https://{host}.snowflakecomputing.com")
            }
        }
    }

    /// The account as it stands in a token: upper case, without region, cloud and `.privatelink`.
    pub(super) fn account_name(&self) -> String {
        let name = self.account.split('.').next().unwrap_or_default();
        name.to_ascii_uppercase()
    }

    /// Reads the private key, with the passphrase from the environment, the passphrase file or this section.
    pub fn read_key(&self) -> Result<KeyPair, Error> {
        let passphrase = self.passphrase()?;
        Ok(KeyPair::read(&self.private_key_file, passphrase.as_ref())?)
    }

    fn passphrase(&self) -> Result<Option<SecretString>, Error> {
        // Read here, byte for byte, too: a configuration library takes a passphrase of digits for a number.
        if let Ok(text) = env::var(keys::PASSPHRASE_VARIABLE)
            && !text.is_empty()
        {
            return Ok(Some(SecretString::from(text)));
        }
        if !self.private_key_passphrase_file.as_os_str().is_empty() {
            return Ok(Some(keys::read_passphrase_file(
                &self.private_key_passphrase_file,
            )?));
        }
        let text = self.private_key_passphrase.expose_secret();
        Ok((!text.is_empty()).then(|| self.private_key_passphrase.clone()))
    }
}

/// A secret from any scalar, because an environment variable of digits arrives as a number.
fn scalar_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    struct Scalar;

    impl de::Visitor<'_> for Scalar {
        type Value = SecretString;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a passphrase")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(SecretString::from(text))
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
            Ok(SecretString::from(number.to_string()))
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
            Ok(SecretString::from(number.to_string()))
        }

        fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
            Ok(SecretString::from(number.to_string()))
        }

        fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
            Ok(SecretString::from(value.to_string()))
        }
    }
    deserializer.deserialize_any(Scalar)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> Config {
        Config {
            account: "myorg-my_acct".into(),
            user: "KAFKA_SERVICE".into(),
            role: "KAFKA_LOADER".into(),
            database: "KAFKA_DB".into(),
            schema: "STREAMING".into(),
            warehouse: "COMPUTE_WH".into(),
            private_key_file: "secrets/rsa_key.p8".into(),
            stage_url: "s3://bucket/prefix/".into(),
            ..Config::default()
        }
    }

    #[test]
    fn the_account_names_the_host_and_the_token() {
        for (account, name, host) in [
            ("xy12345", "XY12345", "xy12345"),
            ("xy12345.us-east-1.aws", "XY12345", "xy12345.us-east-1.aws"),
            (
                "xy12345.us-east-1.privatelink",
                "XY12345",
                "xy12345.us-east-1.privatelink",
            ),
            ("MyOrg-My_Acct", "MYORG-MY_ACCT", "myorg-my-acct"),
            (
                "myorg-myacct.privatelink",
                "MYORG-MYACCT",
                "myorg-myacct.privatelink",
            ),
        ] {
            let config = Config {
                account: account.into(),
                ..valid()
            };
            config.validate().unwrap();
            assert_eq!(config.account_name(), name, "{account}");
            assert_eq!(
                config.base_url(),
                format!("https://{host}.snowflakecomputing.com")
            );
        }
        let config = Config {
            url: "http://127.0.0.1:8085/".into(),
            ..valid()
        };
        assert_eq!(config.base_url(), "http://127.0.0.1:8085");
    }

    #[test]
    fn each_wrong_value_is_named() {
        type Change = fn(&mut Config);
        let cases: Vec<(&str, Change)> = vec![
            ("warehouse.account must", |c| {
                c.account = "https://a.snowflakecomputing.com".into()
            }),
            ("got `a.snowflakecomputing.com`", |c| {
                c.account = "a.snowflakecomputing.com".into()
            }),
            ("warehouse.account must", |c| c.account.clear()),
            ("warehouse.user must", |c| c.user = "o'brien".into()),
            ("warehouse.role must", |c| c.role.clear()),
            ("got `my db`", |c| c.database = "my db".into()),
            ("got `1st`", |c| c.schema = "1st".into()),
            ("warehouse.warehouse must", |c| c.warehouse = "W;".into()),
            ("warehouse.url must", |c| c.url = "127.0.0.1:80".into()),
            ("warehouse.proxy must", |c| c.proxy = "proxy:3128".into()),
            ("got `***`", |c| {
                c.proxy = "http://me:secret@proxy:3128".into()
            }),
            ("warehouse.stage must", |c| c.stage = "@S".into()),
            ("warehouse.stage_url must", |c| {
                c.stage_url = "s3://bucket/'/".into()
            }),
            ("warehouse.stage_url must", |c| {
                c.stage_url = "s3://bucket/no-slash".into()
            }),
            ("warehouse.stage_url must", |c| {
                c.stage_url = "ftp://bucket/".into()
            }),
            ("warehouse.private_key_file must", |c| {
                c.private_key_file = PathBuf::new()
            }),
            ("got `0s`", |c| c.statement_timeout = Duration::ZERO),
            ("warehouse.request_timeout must", |c| {
                c.request_timeout = Duration::ZERO
            }),
        ];
        valid().validate().unwrap();
        for (expected, change) in cases {
            let mut config = valid();
            change(&mut config);
            let error = config.validate().unwrap_err();
            assert!(error.to_string().contains(expected), "{expected}: {error}");
            assert!(!error.is_transient());
        }
    }

    #[test]
    fn a_configuration_prints_no_secret() {
        let text = r#"{"private_key_passphrase": 90210, "stage_properties": {"aws_secret_access_key": "s3cret"}}"#;
        let config: Config = serde_json::from_str(text).unwrap();
        assert_eq!(config.private_key_passphrase.expose_secret(), "90210");
        let shown = format!("{config:?}");
        assert!(
            !shown.contains("90210") && !shown.contains("s3cret"),
            "{shown}"
        );
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error = serde_json::from_str::<Config>(r#"{"accuont": "x"}"#).unwrap_err();
        assert!(error.to_string().contains("accuont"), "{error}");
    }
}
