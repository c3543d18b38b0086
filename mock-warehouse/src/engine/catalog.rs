//! What exists: objects by kind and name, their owners, and who may do what with them. Immutable snapshots: a change
//! makes a new catalog that shares what did not change.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, RecordBatch, new_null_array},
    datatypes::{Schema, SchemaRef},
};
use serde::{Deserialize, Serialize};

use super::{
    Note, SqlError, described::with_table, sequences::Sequence, sql_type::SqlType,
    warehouses::WarehouseBody,
};

/// The user who may do everything; it has no key, so nobody logs in as it.
pub(crate) const ADMINISTRATOR: &str = "ADMIN";

/// Kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Kind {
    Database,
    Schema,
    Warehouse,
    Role,
    User,
    Table,
    View,
    Stage,
    FileFormat,
    Integration,
    Sequence,
}

impl Kind {
    /// As messages write it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Database => "Database",
            Self::Schema => "Schema",
            Self::Warehouse => "Warehouse",
            Self::Role => "Role",
            Self::User => "User",
            Self::Table => "Table",
            Self::View => "View",
            Self::Stage => "Stage",
            Self::FileFormat => "File format",
            Self::Integration => "Integration",
            Self::Sequence => "Sequence",
        }
    }

    /// How many names, from the database down, name an object of this kind.
    pub(crate) fn depth(self) -> usize {
        match self {
            Self::Table | Self::View | Self::Stage | Self::FileFormat | Self::Sequence => 3,
            Self::Schema => 2,
            _ => 1,
        }
    }
}

/// The kind and full name of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    pub(crate) path: Vec<String>,
}

impl Key {
    pub(crate) fn new(kind: Kind, path: &[&str]) -> Self {
        Self {
            kind,
            path: path.iter().map(|part| (*part).to_owned()).collect(),
        }
    }

    pub(crate) fn full_name(&self) -> String {
        self.path.join(".")
    }

    pub(crate) fn name(&self) -> &str {
        self.path.last().expect("a key has a name")
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Object {
    /// The role that may do everything with it.
    pub(crate) owner: String,
    /// Milliseconds since 1970.
    pub(crate) created: i64,
    pub(crate) comment: String,
    pub(crate) body: Body,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Body {
    Plain,
    Role { roles: BTreeSet<String> },
    User(UserBody),
    Table(Arc<Table>),
    View(View),
    Stage(Stage),
    FileFormat { parquet: bool },
    Warehouse(WarehouseBody),
    Sequence(Sequence),
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct UserBody {
    /// RSA_PUBLIC_KEY and RSA_PUBLIC_KEY_2.
    pub(crate) keys: [Option<String>; 2],
    pub(crate) default_role: Option<String>,
    pub(crate) default_warehouse: Option<String>,
    pub(crate) roles: BTreeSet<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct View {
    /// The whole statement that made it.
    pub(crate) statement: String,
    /// Its query, run anew each time.
    pub(crate) query: String,
    /// Names of its columns, when the statement gives them.
    pub(crate) columns: Vec<String>,
    #[serde(default)]
    pub(crate) secure: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stage {
    /// Where an external stage's files are; absent for an internal one.
    pub(crate) url: Option<String>,
    pub(crate) server_side_encryption: bool,
    pub(crate) integration: Option<String>,
    pub(crate) format: Option<String>,
    /// Whether the stage itself says that its files are Parquet.
    #[serde(default)]
    pub(crate) parquet: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) sql_type: SqlType,
    pub(crate) nullable: bool,
    /// SQL text.
    pub(crate) default: Option<String>,
    pub(crate) primary_key: bool,
    pub(crate) comment: Option<String>,
    /// AUTOINCREMENT or IDENTITY.
    #[serde(default)]
    pub(crate) identity: Option<Sequence>,
}

/// A table: its columns and an immutable list of parts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Table {
    /// No two tables ever have the same, not even one that replaced another.
    pub(crate) id: u64,
    pub(crate) columns: Vec<Column>,
    pub(crate) parts: Vec<Part>,
    #[serde(default)]
    pub(crate) lasting: Lasting,
    /// Files that COPY has loaded, or tried to.
    #[serde(default)]
    pub(crate) loads: Vec<Load>,
}

/// How long a table lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) enum Lasting {
    #[default]
    Permanent,
    /// Without fail-safe, which is no difference here.
    Transient,
    /// As long as the session that made it, and for nobody else.
    Temporary,
}

impl Lasting {
    /// As SHOW TABLES writes it.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Permanent => "TABLE",
            Self::Transient => "TRANSIENT",
            Self::Temporary => "TEMPORARY",
        }
    }
}

/// A file that COPY has loaded into a table, or tried to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Load {
    /// The stage's full name and the path in it.
    pub(crate) file: String,
    /// Bytes.
    pub(crate) size: u64,
    pub(crate) e_tag: Option<String>,
    /// Milliseconds since 1970.
    pub(crate) at: i64,
    pub(crate) rows_parsed: usize,
    pub(crate) rows_loaded: usize,
    /// Why it was not loaded.
    pub(crate) first_error: Option<String>,
}

impl Load {
    /// As COPY and LOAD_HISTORY write it.
    pub(crate) fn status(&self) -> &'static str {
        match self.first_error {
            None => "LOADED",
            Some(_) => "LOAD_FAILED",
        }
    }
}

/// Rows that were written together. Never changed: a row that changes is written anew in another part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) id: u64,
    #[serde(skip)]
    pub(crate) rows: Option<Arc<RecordBatch>>,
}

impl Part {
    pub(crate) fn batch(&self) -> &RecordBatch {
        self.rows
            .as_deref()
            .expect("a part's rows are read before it is used")
    }
}

impl Table {
    /// An empty table.
    pub(crate) fn of(id: u64, columns: Vec<Column>) -> Self {
        Self {
            id,
            columns,
            parts: Vec::new(),
            lasting: Lasting::default(),
            loads: Vec::new(),
        }
    }

    /// The columns as Arrow fields; `path` is the table's full name.
    pub(crate) fn schema(&self, path: &[String]) -> SchemaRef {
        let [database, schema, table] = path else {
            unreachable!("a table's name has three parts")
        };
        let fields: Vec<_> = self
            .columns
            .iter()
            .map(|column| {
                with_table(
                    column.sql_type.field(&column.name, column.nullable),
                    database,
                    schema,
                    table,
                )
            })
            .collect();
        Arc::new(Schema::new(fields))
    }

    /// The rows of each part, with NULL in columns that were added later.
    pub(crate) fn columns_of(&self, part: &Part) -> Vec<ArrayRef> {
        let batch = part.batch();
        self.columns
            .iter()
            .enumerate()
            .map(|(index, column)| match batch.columns().get(index) {
                Some(values) => Arc::clone(values),
                None => new_null_array(&column.sql_type.arrow(), batch.num_rows()),
            })
            .collect()
    }

    pub(crate) fn row_count(&self) -> usize {
        self.parts.iter().map(|part| part.batch().num_rows()).sum()
    }

    pub(crate) fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

/// A privilege on an object, held by a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) role: String,
    /// `SELECT`, `CREATE TABLE`, ...
    pub(crate) privilege: String,
    /// The object; absent for the account.
    pub(crate) on: Option<Key>,
    pub(crate) granted_by: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Catalog {
    #[serde(with = "pairs")]
    pub(crate) objects: BTreeMap<Key, Object>,
    pub(crate) grants: BTreeSet<Grant>,
    /// Oldest first.
    #[serde(default)]
    pub(crate) notes: VecDeque<Arc<Note>>,
    /// The next number of each sequence that has been asked for one.
    #[serde(default)]
    pub(crate) counters: BTreeMap<u64, i64>,
}

impl Catalog {
    /// What a new account holds.
    pub(crate) fn bootstrap(now: i64) -> Self {
        let mut catalog = Self::default();
        let inherits: [(&str, &[&str]); 5] = [
            ("PUBLIC", &[]),
            ("USERADMIN", &[]),
            ("SECURITYADMIN", &["USERADMIN"]),
            ("SYSADMIN", &[]),
            ("ACCOUNTADMIN", &["SYSADMIN", "SECURITYADMIN"]),
        ];
        let mut add = |kind, name: &str, body| {
            catalog.objects.insert(
                Key::new(kind, &[name]),
                Object {
                    owner: "ACCOUNTADMIN".to_owned(),
                    created: now,
                    comment: String::new(),
                    body,
                },
            );
        };
        for (name, roles) in inherits {
            let roles = roles.iter().map(|role| (*role).to_owned()).collect();
            add(Kind::Role, name, Body::Role { roles });
        }
        add(Kind::Warehouse, "COMPUTE_WH", Body::Plain);
        let administrator = UserBody {
            roles: BTreeSet::from(["ACCOUNTADMIN".to_owned()]),
            ..UserBody::default()
        };
        add(Kind::User, ADMINISTRATOR, Body::User(administrator));
        // Everybody sees that there is such a database; what is in it, nobody here.
        add(Kind::Database, "SNOWFLAKE", Body::Plain);
        catalog.grants.insert(Grant {
            role: "PUBLIC".to_owned(),
            privilege: "USAGE".to_owned(),
            on: Some(Key::new(Kind::Database, &["SNOWFLAKE"])),
            granted_by: "ACCOUNTADMIN".to_owned(),
        });
        catalog
    }

    pub(crate) fn table(&self, path: &[String]) -> Option<&Arc<Table>> {
        let key = Key {
            kind: Kind::Table,
            path: path.to_vec(),
        };
        match &self.objects.get(&key)?.body {
            Body::Table(table) => Some(table),
            _ => None,
        }
    }

    pub(crate) fn user(&self, login: &str) -> Option<&UserBody> {
        match &self
            .objects
            .get(&Key::new(Kind::User, &[&login.to_uppercase()]))?
            .body
        {
            Body::User(user) => Some(user),
            _ => None,
        }
    }

    /// Takes away the object, all that is in it and all grants on them.
    pub(crate) fn remove(&mut self, key: &Key) {
        let gone = |other: &Key| {
            other == key
                || (matches!(key.kind, Kind::Database | Kind::Schema)
                    && other.kind.depth() > key.path.len()
                    && other.path.starts_with(&key.path))
        };
        self.objects.retain(|other, _| !gone(other));
        self.grants
            .retain(|grant| !grant.on.as_ref().is_some_and(gone));
        if key.kind == Kind::Role {
            self.grants.retain(|grant| grant.role != key.name());
            for object in self.objects.values_mut() {
                if let Body::Role { roles } | Body::User(UserBody { roles, .. }) = &mut object.body
                {
                    roles.remove(key.name());
                }
            }
        }
    }

    /// Changes a table; its parts are shared with the snapshots that others still read.
    pub(crate) fn change_table(
        &mut self,
        key: &Key,
        change: impl FnOnce(&mut Table),
    ) -> Result<(), SqlError> {
        match self.objects.get_mut(key).map(|object| &mut object.body) {
            Some(Body::Table(table)) => {
                change(Arc::make_mut(table));
                Ok(())
            }
            _ => Err(SqlError::internal("the table is gone")),
        }
    }
}

/// Maps with keys that are no text, as lists of pairs.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<
        'de,
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    >(
        deserializer: D,
    ) -> Result<BTreeMap<K, V>, D::Error> {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?
            .into_iter()
            .collect())
    }
}
