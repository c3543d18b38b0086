//! What names may look like, and how a wrong one is said.

use crate::warehouse::Error;

/// Whether a name can stand in SQL without quotes.
pub fn is_identifier(name: &str) -> bool {
    let mut characters = name.chars();
    characters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$')
}

pub(super) fn check_identifier(key: &str, value: &str) -> Result<(), Error> {
    match is_identifier(value) {
        true => Ok(()),
        false => Err(wrong(
            key,
            "be a name of letters, digits, _ and $ that begins with no digit",
            value,
        )),
    }
}

pub(super) fn check_account(account: &str) -> Result<(), Error> {
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    let host = account.to_ascii_lowercase().contains("snowflakecomputing");
    if host || !account.split('.').all(is_part) {
        let rule =
            "be an account identifier such as myorg-myaccount or xy12345.us-east-1.aws, not a URL";
        return Err(wrong("account", rule, account));
    }
    Ok(())
}

pub(super) fn check_user(user: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_$.@-".contains(c);
    match !user.is_empty() && user.chars().all(allowed) {
        true => Ok(()),
        false => Err(wrong("user", "be the login name of the service user", user)),
    }
}

pub(super) fn wrong(key: &str, rule: &str, value: &str) -> Error {
    Error::Misconfigured {
        problem: format!("warehouse.{key} must {rule}, got `{value}`"),
        hint: format!(
            "set it in the [warehouse] section, or by SLUICEBOX_WAREHOUSE__{}",
            key.to_ascii_uppercase()
        ),
    }
}
