//! The warehouse that all sessions share.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use object_store::{ObjectStore, memory::InMemory};

use super::{
    OpenError, Session, SessionContext, SqlError,
    catalog::{ADMINISTRATOR, Body, Catalog, Key, Kind, Object, UserBody},
    staged_files::StagedFiles,
    store::Store,
    waits::Waits,
};

/// A person or service that may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name, in upper case.
    pub name: String,
    /// Public keys: base64 of the DER SubjectPublicKeyInfo. At most two.
    pub public_keys: Vec<String>,
    /// The role of a session that names none.
    pub default_role: Option<String>,
    /// Roles granted to the user.
    pub roles: Vec<String>,
}

/// A warehouse. Clones share it.
#[derive(Debug, Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What sessions share: the committed state, the locks and the staged files.
#[derive(Debug)]
pub(crate) struct Shared {
    catalog: Mutex<Arc<Catalog>>,
    locks: Mutex<HashMap<u64, Arc<tokio::sync::Mutex<()>>>>,
    pub(crate) waits: Waits,
    next_id: AtomicU64,
    pub(crate) files: Arc<dyn ObjectStore>,
    store: Option<Store>,
}

impl Shared {
    /// What is committed now.
    pub(crate) fn snapshot(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Commits a change: all of it or, when it fails, nothing.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&mut Catalog) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let mut current = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Catalog::clone(&current);
        let result = change(&mut next)?;
        if let Some(store) = &self.store {
            store.save(&next).map_err(|error| {
                SqlError::internal(&format!("cannot keep the warehouse: {error}"))
            })?;
        }
        *current = Arc::new(next);
        Ok(result)
    }

    /// A number that no table and no part has yet.
    pub(crate) fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// The lock of a table.
    pub(crate) fn lock_of(&self, table_id: u64) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(table_id).or_default())
    }
}

impl Engine {
    /// An empty warehouse that is gone when the last clone is.
    pub fn in_memory() -> Self {
        Self::new(Catalog::bootstrap(now()), Arc::new(InMemory::new()), None)
    }

    /// The warehouse that is kept in `folder`; an empty one when there is none yet.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let (store, catalog) = Store::open(folder)?;
        let stage = store.stage();
        let files = StagedFiles::new(stage.clone()).map_err(|error| OpenError::Files {
            path: stage.display().to_string(),
            source: std::io::Error::other(error),
        })?;
        let catalog = catalog.unwrap_or_else(|| Catalog::bootstrap(now()));
        Ok(Self::new(catalog, Arc::new(files), Some(store)))
    }

    fn new(catalog: Catalog, files: Arc<dyn ObjectStore>, store: Option<Store>) -> Self {
        let used = catalog
            .objects
            .values()
            .filter_map(|object| match &object.body {
                Body::Table(table) => table
                    .parts
                    .iter()
                    .map(|part| part.id)
                    .chain([table.id])
                    .max(),
                _ => None,
            });
        let counters = catalog.objects.values().flat_map(counters_of);
        let next_id = used.chain(counters).max().unwrap_or(0) + 1;
        Self {
            shared: Arc::new(Shared {
                catalog: Mutex::new(Arc::new(catalog)),
                locks: Mutex::default(),
                waits: Waits::default(),
                next_id: AtomicU64::new(next_id),
                files,
                store,
            }),
        }
    }

    /// Creates the user or replaces its keys and default role; creates and grants the roles it names.
    pub fn register_user(&self, user: &User) -> Result<(), SqlError> {
        let name = user.name.to_uppercase();
        let roles: Vec<String> = user
            .roles
            .iter()
            .chain(&user.default_role)
            .map(|role| role.to_uppercase())
            .collect();
        self.shared.change(|catalog| {
            for role in &roles {
                catalog
                    .objects
                    .entry(Key::new(Kind::Role, &[role]))
                    .or_insert_with(|| {
                        Object::new(
                            "ACCOUNTADMIN",
                            Body::Role {
                                roles: Default::default(),
                            },
                        )
                    });
            }
            let object = catalog
                .objects
                .entry(Key::new(Kind::User, &[&name]))
                .or_insert_with(|| Object::new("ACCOUNTADMIN", Body::User(UserBody::default())));
            if let Body::User(body) = &mut object.body {
                let mut keys = user.public_keys.iter().cloned();
                body.keys = [keys.next(), keys.next()];
                body.default_role = user.default_role.as_ref().map(|role| role.to_uppercase());
                body.roles.extend(roles.iter().cloned());
            }
            Ok(())
        })
    }

    /// Takes the user's public keys away; who signs with one of them is refused from now on. False when there is no such
    /// user.
    pub fn revoke_keys(&self, login: &str) -> bool {
        let key = Key::new(Kind::User, &[&login.to_uppercase()]);
        let revoked = self.shared.change(|catalog| {
            match catalog.objects.get_mut(&key).map(|object| &mut object.body) {
                Some(Body::User(body)) => {
                    body.keys = [None, None];
                    Ok(true)
                }
                _ => Ok(false),
            }
        });
        revoked.unwrap_or(false)
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The user of this login name, whatever its case.
    pub fn user(&self, login: &str) -> Option<User> {
        let catalog = self.shared.snapshot();
        let body = catalog.user(login)?;
        Some(User {
            name: login.to_uppercase(),
            public_keys: body.keys.iter().flatten().cloned().collect(),
            default_role: body.default_role.clone(),
            roles: body.roles.iter().cloned().collect(),
        })
    }

    /// A session; code 390186 when the role is not granted to the user.
    pub fn session(&self, context: SessionContext) -> Result<Session, SqlError> {
        let catalog = self.shared.snapshot();
        let body = catalog.user(&context.user).cloned().unwrap_or_default();
        let role = context
            .role
            .clone()
            .filter(|role| !role.is_empty())
            .map(|role| folded(&role))
            .or_else(|| body.default_role.clone())
            .unwrap_or_else(|| "PUBLIC".to_owned());
        let granted = role == "PUBLIC"
            || body.roles.iter().any(|held| {
                super::access::Access::new(held)
                    .roles(&catalog)
                    .contains(&role)
            });
        if !granted {
            return Err(SqlError::new(
                "390186",
                "08001",
                format!(
                    "Role '{role}' specified in the connect string is not granted to this user, or is not permitted for \
                     the credentials being used. Contact your local system administrator, or attempt to login with \
                     another role, e.g. PUBLIC."
                ),
            ));
        }
        let name =
            |name: &Option<String>| name.as_deref().filter(|name| !name.is_empty()).map(folded);
        Ok(Session::new(
            Arc::clone(&self.shared),
            SessionContext {
                user: context.user.to_uppercase(),
                role: Some(role),
                database: name(&context.database),
                schema: name(&context.schema)
                    .or_else(|| context.database.as_ref().map(|_| "PUBLIC".to_owned())),
                warehouse: name(&context.warehouse).or(body.default_warehouse),
                parameters: context.parameters,
            },
        ))
    }

    /// A session that may do everything (role ACCOUNTADMIN), for set-up and fault injection.
    pub fn admin(&self) -> Session {
        Session::new(
            Arc::clone(&self.shared),
            SessionContext {
                user: ADMINISTRATOR.to_owned(),
                role: Some("ACCOUNTADMIN".to_owned()),
                warehouse: Some("COMPUTE_WH".to_owned()),
                ..SessionContext::default()
            },
        )
    }

    /// Whether it outlives the process.
    pub fn is_kept(&self) -> bool {
        self.shared.store.is_some()
    }

    /// The objects behind the stages: the key is `<bucket>/<path>`.
    pub fn stage_files(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.shared.files)
    }
}

/// The counters that an object has.
fn counters_of(object: &Object) -> Vec<u64> {
    match &object.body {
        Body::Sequence(sequence) => vec![sequence.counter],
        Body::Table(table) => {
            let identities = table.columns.iter().filter_map(|column| column.identity);
            identities.map(|identity| identity.counter).collect()
        }
        _ => vec![],
    }
}

impl Object {
    pub(crate) fn new(owner: &str, body: Body) -> Self {
        Self {
            owner: owner.to_owned(),
            created: now(),
            comment: String::new(),
            body,
        }
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// A name as it is written outside of SQL text: folded to upper case unless it is quoted.
pub(crate) fn folded(name: &str) -> String {
    match name
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        Some(inner) => inner.replace("\"\"", "\""),
        None => name.to_uppercase(),
    }
}
