//! Who may do what: a role has what it owns, what is granted to it, and what the roles granted to it have.

use std::collections::BTreeSet;

use super::{
    SqlError,
    catalog::{Body, Catalog, Key, Kind},
};

/// A role at work, and whether it may.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) role: String,
}

impl Access {
    pub(crate) fn new(role: &str) -> Self {
        Self { role: role.to_owned() }
    }

    /// The role and all that it inherits.
    pub(crate) fn roles(&self, catalog: &Catalog) -> BTreeSet<String> {
        let mut found = BTreeSet::from(["PUBLIC".to_owned()]);
        let mut open = vec![self.role.clone()];
        while let Some(role) = open.pop() {
            if let Some(Body::Role { roles }) = catalog
                .objects
                .get(&Key::new(Kind::Role, &[&role]))
                .map(|object| &object.body)
            {
                open.extend(roles.iter().filter(|inner| !found.contains(*inner)).cloned());
            }
            found.insert(role);
        }
        found
    }

    /// Whether the role may do everything.
    pub(crate) fn is_admin(&self, catalog: &Catalog) -> bool {
        self.roles(catalog).contains("ACCOUNTADMIN")
    }

    pub(crate) fn owns(&self, catalog: &Catalog, key: &Key) -> bool {
        let roles = self.roles(catalog);
        roles.contains("ACCOUNTADMIN")
            || catalog.objects.get(key).is_some_and(|object| roles.contains(&object.owner))
    }

    /// Whether the role has one of the privileges on the object, or owns it.
    pub(crate) fn has(&self, catalog: &Catalog, key: &Key, privileges: &[&str]) -> bool {
        let roles = self.roles(catalog);
        self.owns(catalog, key)
            || catalog.grants.iter().any(|grant| {
                grant.on.as_ref() == Some(key)
                    && roles.contains(&grant.role)
                    && privileges.contains(&grant.privilege.as_str())
            })
    }

    /// Whether the role may know of the object: it is there, it has some privilege on it, and it may enter the
    /// database and the schema.
    pub(crate) fn sees(&self, catalog: &Catalog, key: &Key) -> bool {
        let roles = self.roles(catalog);
        catalog.objects.contains_key(key)
            && self.enters(catalog, key)
            && (self.owns(catalog, key)
                || catalog
                    .grants
                    .iter()
                    .any(|grant| grant.on.as_ref() == Some(key) && roles.contains(&grant.role)))
    }

    fn enters(&self, catalog: &Catalog, key: &Key) -> bool {
        let parents = [(Kind::Database, 1), (Kind::Schema, 2)];
        parents.iter().filter(|(_, depth)| *depth < key.kind.depth()).all(|(kind, depth)| {
            let parent = Key {
                kind: *kind,
                path: key.path[..*depth].to_vec(),
            };
            self.has(catalog, &parent, &["USAGE"])
        })
    }

    /// Passes when the role has one of the privileges; "does not exist or not authorized" when it does not even see
    /// the object, "insufficient privileges" when it does.
    pub(crate) fn require(&self, catalog: &Catalog, key: &Key, privileges: &[&str]) -> Result<(), SqlError> {
        if !self.sees(catalog, key) {
            return Err(self.missing(catalog, key));
        }
        if self.has(catalog, key, privileges) {
            return Ok(());
        }
        Err(insufficient(&key.kind.title().to_lowercase(), key.name()))
    }

    /// Passes when the role owns the object.
    pub(crate) fn require_ownership(&self, catalog: &Catalog, key: &Key) -> Result<(), SqlError> {
        self.require(catalog, key, &["OWNERSHIP"])
    }

    /// Passes when the role may create objects of the kind there.
    pub(crate) fn require_create(&self, catalog: &Catalog, key: &Key) -> Result<(), SqlError> {
        let noun = key.kind.title().to_uppercase();
        let privilege = format!("CREATE {noun}");
        if key.path.len() > 1 {
            let parent = Key {
                kind: if key.path.len() == 3 { Kind::Schema } else { Kind::Database },
                path: key.path[..key.path.len() - 1].to_vec(),
            };
            if !self.sees(catalog, &parent) {
                return Err(self.missing(catalog, &parent));
            }
            if self.has(catalog, &parent, &[&privilege, "ALL"]) {
                return Ok(());
            }
            return Err(insufficient(&parent.kind.title().to_lowercase(), parent.name()));
        }
        let roles = self.roles(catalog);
        let by_system_role = match key.kind {
            Kind::Database | Kind::Warehouse => roles.contains("SYSADMIN"),
            Kind::Role | Kind::User => roles.contains("USERADMIN"),
            _ => false,
        };
        let granted = catalog
            .grants
            .iter()
            .any(|grant| grant.on.is_none() && grant.privilege == privilege && roles.contains(&grant.role));
        if by_system_role || granted || roles.contains("ACCOUNTADMIN") {
            return Ok(());
        }
        Err(SqlError::new(
            "003001",
            "42501",
            format!(
                "SQL access control error:\nInsufficient privileges to operate on account 'MOCK'. Your primary role {} \
                 must have {privilege} granted on ACCOUNT MOCK.",
                self.role
            ),
        ))
    }

    /// What is said of an object that is not there or may not be seen: the first of database, schema and object
    /// that is so.
    pub(crate) fn missing(&self, catalog: &Catalog, key: &Key) -> SqlError {
        for (kind, depth) in [(Kind::Database, 1), (Kind::Schema, 2)] {
            if depth >= key.kind.depth() {
                break;
            }
            let parent = Key {
                kind,
                path: key.path[..depth].to_vec(),
            };
            if !catalog.objects.contains_key(&parent) || !self.has(catalog, &parent, &["USAGE"]) {
                return self.missing(catalog, &parent);
            }
        }
        let name = key.full_name();
        let short = key.name();
        let noun = key.kind.title();
        let (state, text) = match key.kind {
            Kind::Table | Kind::View => (
                "42S02",
                format!(
                    "Object '{short}' does not exist or not authorized. Your primary role {} or one of your secondary \
                     roles must have at least one privilege granted on TABLE {short}.",
                    self.role
                ),
            ),
            Kind::Schema | Kind::Database => (
                "02000",
                format!(
                    "{noun} '{name}' does not exist or not authorized. Your primary role {} or one of your secondary \
                     roles must have USAGE or any other privilege granted on {} {name}.",
                    self.role,
                    noun.to_uppercase()
                ),
            ),
            _ => ("02000", format!("{noun} '{name}' does not exist or not authorized.")),
        };
        SqlError::new("002003", state, format!("SQL compilation error:\n{text}"))
    }
}

/// "Insufficient privileges" on something that the role sees.
pub(crate) fn insufficient(noun: &str, name: &str) -> SqlError {
    SqlError::new(
        "003001",
        "42501",
        format!("SQL access control error:\nInsufficient privileges to operate on {noun} '{name}'."),
    )
}
