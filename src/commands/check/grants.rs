//! What a role may do, from SHOW GRANTS: its own privileges, and those of the roles that were granted to it.
//!
//! Privileges that reach the session through the user's secondary roles are not counted: another default would take them away.
//! SHOW lists 10,000 rows at most: of a role with more privileges than that, some seem to be lacking.

use std::collections::{BTreeMap, BTreeSet};

use crate::warehouse::{Answer, Client, Error};

/// Roles that are looked at, at most; nobody inherits from so many.
const MOST_ROLES: usize = 50;

/// Privileges by the kind and the full name of what they are on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Grants {
    held: BTreeMap<(String, String), BTreeSet<String>>,
}

impl Grants {
    /// Asks the warehouse; no virtual warehouse is needed.
    ///
    /// # Errors
    /// When the role's own grants cannot be shown. Those of a role that it inherits from count as none then.
    pub(super) async fn of_role(client: &Client, role: &str) -> Result<Self, Error> {
        let mut grants = Self::default();
        let own = format!("ROLE {}", role.to_ascii_uppercase());
        let mut known = BTreeSet::from([own.clone(), "ROLE PUBLIC".to_owned()]);
        let mut open = vec!["ROLE PUBLIC".to_owned(), own.clone()];
        while let Some(grantee) = open.pop() {
            let answer = match client.execute(&format!("SHOW GRANTS TO {grantee}")).await {
                Ok(answer) => answer,
                Err(error) if grantee == own || error.is_transient() => return Err(error),
                Err(_) => continue,
            };
            for inherited in grants.add(&answer)? {
                if known.len() < MOST_ROLES && known.insert(inherited.clone()) {
                    open.push(inherited);
                }
            }
        }
        Ok(grants)
    }

    /// Adds what an answer shows, and returns the roles among it.
    fn add(&mut self, answer: &Answer) -> Result<Vec<String>, Error> {
        let mut roles = Vec::new();
        for row in 0..answer.rows.len() {
            let text =
                |column| Ok::<_, Error>(answer.text(row, column)?.unwrap_or_default().to_owned());
            let (privilege, kind, name) = (text("privilege")?, text("granted_on")?, text("name")?);
            match kind.as_str() {
                "ROLE" if privilege == "USAGE" => roles.push(format!("ROLE {name}")),
                // Those of the database SNOWFLAKE show how the account is used; PUBLIC has dozens of them.
                "DATABASE_ROLE" if privilege == "USAGE" && !name.starts_with("SNOWFLAKE.") => {
                    roles.push(format!("DATABASE ROLE {name}"));
                }
                _ => {
                    let held = self.held.entry(place(&kind, &name)).or_default();
                    held.insert(privilege);
                }
            }
        }
        Ok(roles)
    }

    /// Those of the privileges that are not held; who owns a thing has all of them.
    pub(super) fn lacking(
        &self,
        kind: &str,
        name: &str,
        wanted: &[&'static str],
    ) -> Vec<&'static str> {
        let none = BTreeSet::new();
        let held = self.held.get(&place(kind, name)).unwrap_or(&none);
        if held.contains("OWNERSHIP") {
            return Vec::new();
        }
        wanted
            .iter()
            .copied()
            .filter(|privilege| !held.contains(*privilege))
            .collect()
    }

    /// Whether anything is granted on it or on something in it: then it is there.
    pub(super) fn know(&self, kind: &str, name: &str) -> bool {
        let (kind, name) = place(kind, name);
        let within = format!("{name}.");
        self.held.keys().any(|(other_kind, other)| {
            (*other_kind == kind && *other == name)
                || (matches!(kind.as_str(), "DATABASE" | "SCHEMA") && other.starts_with(&within))
        })
    }
}

/// `FILE FORMAT` is FILE_FORMAT in the answers; names there have quotes where they need them, and ours never need them.
fn place(kind: &str, name: &str) -> (String, String) {
    (
        kind.replace(' ', "_"),
        name.replace('"', "").to_ascii_uppercase(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warehouse::{ColumnKind, ColumnMeta};

    fn shown(rows: &[[&str; 3]]) -> Answer {
        let columns = ["privilege", "granted_on", "name"].map(|name| ColumnMeta {
            name: name.to_owned(),
            kind: ColumnKind::Text,
            precision: None,
            scale: None,
            nullable: None,
        });
        Answer {
            columns: columns.to_vec(),
            rows: rows
                .iter()
                .map(|row| row.iter().map(|cell| Some((*cell).to_owned())).collect())
                .collect(),
            handle: String::new(),
        }
    }

    #[test]
    fn what_is_lacking_is_what_is_neither_granted_nor_owned() {
        let mut grants = Grants::default();
        let answer = shown(&[
            ["SELECT", "TABLE", "D.S.T"],
            ["OWNERSHIP", "VIEW", "D.S.V"],
            ["USAGE", "FILE_FORMAT", "D.S.\"F\""],
            ["USAGE", "ROLE", "READER"],
            ["USAGE", "DATABASE_ROLE", "D.WRITER"],
            ["USAGE", "DATABASE_ROLE", "SNOWFLAKE.CORTEX_USER"],
        ]);
        let roles = grants.add(&answer).unwrap();
        assert_eq!(roles, ["ROLE READER", "DATABASE ROLE D.WRITER"]);
        for (kind, name, wanted, lacking) in [
            ("TABLE", "D.S.T", &["SELECT", "INSERT"][..], &["INSERT"][..]),
            ("VIEW", "D.S.V", &["SELECT"], &[]),
            ("FILE FORMAT", "D.S.F", &["USAGE"], &[]),
            ("TABLE", "D.S.OTHER", &["SELECT"], &["SELECT"]),
        ] {
            assert_eq!(grants.lacking(kind, name, wanted), lacking, "{kind} {name}");
        }
    }

    #[test]
    fn a_database_is_known_by_what_is_granted_in_it() {
        let mut grants = Grants::default();
        grants.add(&shown(&[["SELECT", "TABLE", "D.S.T"]])).unwrap();
        for (kind, name, known) in [
            ("DATABASE", "D", true),
            ("SCHEMA", "D.S", true),
            ("TABLE", "D.S.T", true),
            ("SCHEMA", "D.OTHER", false),
            ("DATABASE", "DD", false),
            ("WAREHOUSE", "D", false),
        ] {
            assert_eq!(grants.know(kind, name), known, "{kind} {name}");
        }
    }
}
