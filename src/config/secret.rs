//! Which settings are secret, and how they stay so.

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serializer};

/// Parts of a name that make a setting secret.
const SECRET_PARTS: [&str; 6] = [
    "password",
    "passphrase",
    "secret",
    "token",
    "sas_key",
    "oauthbearer.config",
];

/// Endings of a name that make a setting secret: keys of Azure and Google storage, keys in PEM text.
const SECRET_ENDINGS: [&str; 5] = [
    "account_key",
    "access_key",
    "master_key",
    "key.pem",
    "jaas.config",
];

/// Endings of a name that says where something is and not what it is.
const HARMLESS_ENDINGS: [&str; 6] = ["_file", ".location", ".url", "_url", "_endpoint", "_uri"];

/// Whether the setting of this name holds a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    if HARMLESS_ENDINGS.iter().any(|ending| name.ends_with(ending)) {
        return false;
    }
    SECRET_PARTS.iter().any(|part| name.contains(part))
        || SECRET_ENDINGS.iter().any(|end| name.ends_with(end))
}

/// For serde's `with`: nothing is written in place of a secret, so that a configuration written out holds none.
#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
pub(super) fn serialize<S: Serializer>(
    _: &Option<SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_none()
}

/// For serde's `with`: a text, or nothing.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(SecretString::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_recognised() {
        for name in [
            "sasl.password",
            "ssl.key.password",
            "ssl.keystore.password",
            "ssl.key.pem",
            "sasl.oauthbearer.client.secret",
            "sasl.oauthbearer.config",
            "aws_secret_access_key",
            "AWS_SESSION_TOKEN",
            "azure_storage_account_key",
            "azure_storage_access_key",
            "azure_storage_sas_key",
            "google_service_account_key",
            "private_key_passphrase",
        ] {
            assert!(is_secret_name(name), "{name} is a secret");
        }
        for name in [
            "aws_access_key_id",
            "aws_region",
            "aws_endpoint",
            "private_key_file",
            "private_key_passphrase_file",
            "ssl.key.location",
            "sasl.username",
            "sasl.oauthbearer.token.endpoint.url",
            "azure_federated_token_file",
        ] {
            assert!(!is_secret_name(name), "{name} is no secret");
        }
    }
}
