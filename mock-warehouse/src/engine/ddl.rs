//! CREATE, ALTER and DROP; GRANT and REVOKE are next door.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Bindings, Grid, SqlError, alter,
    catalog::{Body, Key, Kind, Object, Stage, UserBody},
    cursor::{Cursor, Properties, Property},
    encode::status,
    grants, names, sequences,
    session::Work,
    shared::folded,
    tables, warehouses,
};

/// Runs a statement that changes what exists.
pub(crate) async fn run(work: &mut Work, sql: &str, bindings: &Bindings) -> Result<Grid, SqlError> {
    let mut cursor = Cursor::new(sql)?;
    match cursor.word()?.as_str() {
        "CREATE" => create(work, &mut cursor, sql, bindings).await,
        "ALTER" => alter(work, &mut cursor, sql, bindings).await,
        "DROP" => drop_object(work, &mut cursor).await,
        "COMMENT" => alter::comment(work, &mut cursor),
        "UNDROP" => Err(SqlError::unsupported("UNDROP")),
        "GRANT" => grants::grant(work, &mut cursor),
        "REVOKE" => grants::revoke(work, &mut cursor),
        _ => Err(SqlError::unsupported("THIS STATEMENT")),
    }
}

/// The kind of object that the next words name.
pub(crate) fn kind(cursor: &mut Cursor) -> Result<Kind, SqlError> {
    for (words, kind) in [
        ("DATABASE", Kind::Database),
        ("SCHEMA", Kind::Schema),
        ("WAREHOUSE", Kind::Warehouse),
        ("ROLE", Kind::Role),
        ("USER", Kind::User),
        ("TABLE", Kind::Table),
        ("VIEW", Kind::View),
        ("STAGE", Kind::Stage),
        ("FILE FORMAT", Kind::FileFormat),
        ("SEQUENCE", Kind::Sequence),
        ("STORAGE INTEGRATION", Kind::Integration),
        ("INTEGRATION", Kind::Integration),
    ] {
        if cursor.accept(words) {
            return Ok(kind);
        }
    }
    Err(cursor.unexpected())
}

/// Kinds of objects that the service has and this one does not.
fn refuse_unknown_kind(cursor: &mut Cursor, verb: &str) -> Result<(), SqlError> {
    for words in [
        "STREAM",
        "TASK",
        "PIPE",
        "PROCEDURE",
        "FUNCTION",
        "MATERIALIZED VIEW",
        "DYNAMIC TABLE",
        "EXTERNAL TABLE",
        "ICEBERG TABLE",
        "HYBRID TABLE",
        "EVENT TABLE",
        "TAG",
        "MASKING POLICY",
        "ROW ACCESS POLICY",
        "NETWORK POLICY",
        "RESOURCE MONITOR",
        "SHARE",
        "ALERT",
        "SECRET",
    ] {
        if cursor.accept(words) {
            return Err(SqlError::unsupported(format!("{verb} {words}")));
        }
    }
    Ok(())
}

async fn create(
    work: &mut Work,
    cursor: &mut Cursor,
    sql: &str,
    bindings: &Bindings,
) -> Result<Grid, SqlError> {
    let replace = cursor.accept("OR REPLACE");
    let mut temporary = false;
    for word in [
        "LOCAL",
        "GLOBAL",
        "TRANSIENT",
        "SECURE",
        "TEMPORARY",
        "TEMP",
    ] {
        temporary |= cursor.accept(word) && word.starts_with("TEMP");
    }
    if cursor.accept("INDEX") {
        return Err(SqlError::unsupported("SECONDARY INDEX"));
    }
    refuse_unknown_kind(cursor, "CREATE")?;
    let kind = kind(cursor)?;
    if temporary && kind != Kind::Table {
        return Err(SqlError::unsupported("TEMPORARY OBJECTS BESIDE TABLES"));
    }
    if kind == Kind::Sequence {
        return sequences::create(work, cursor, replace);
    }
    if kind == Kind::Table {
        return tables::create_table(work, sql, bindings).await;
    }
    if kind == Kind::View {
        return tables::create_view(work, sql).await;
    }
    let keep = cursor.accept("IF NOT EXISTS");
    let key = names::key(&work.context, kind, &cursor.name()?)?;
    let properties = cursor.properties()?;
    cursor.end()?;
    let body = body(work, kind, &properties)?;
    let comment = property(&properties, "COMMENT").unwrap_or_default();
    let created = put(
        work,
        &key,
        Object {
            comment,
            ..work.object(body)
        },
        Existing::of(replace, keep, false),
    )?;
    if created {
        make_current(work, &key)?;
    }
    Ok(status(said(&key, created)))
}

/// "Table X successfully created." and its like.
pub(crate) fn said(key: &Key, created: bool) -> String {
    let name = key.name();
    if !created {
        return format!("{name} already exists, statement succeeded.");
    }
    match key.kind {
        Kind::Stage => format!("Stage area {name} successfully created."),
        kind => format!("{} {name} successfully created.", kind.title()),
    }
}

impl Work {
    /// A new object of the session's role.
    pub(crate) fn object(&self, body: Body) -> Object {
        Object::new(self.context.role.as_deref().unwrap_or("PUBLIC"), body)
    }
}

/// What is done with an object of that name that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    Refuse,
    Keep,
    Replace,
    ReplaceWithGrants,
}

impl Existing {
    /// `OR REPLACE`, `IF NOT EXISTS`, `COPY GRANTS`, as a statement says them.
    pub(crate) fn of(replace: bool, keep: bool, copy_grants: bool) -> Self {
        match (replace, keep, copy_grants) {
            (true, _, true) => Self::ReplaceWithGrants,
            (true, _, false) => Self::Replace,
            (false, true, _) => Self::Keep,
            (false, false, _) => Self::Refuse,
        }
    }
}

/// Creates the object if the role may. False when it is there already and that is fine.
pub(crate) fn put(
    work: &Work,
    key: &Key,
    object: Object,
    existing: Existing,
) -> Result<bool, SqlError> {
    let access = work.access();
    work.shared.change(|catalog| {
        let twin = Key {
            kind: if key.kind == Kind::Table {
                Kind::View
            } else {
                Kind::Table
            },
            path: key.path.clone(),
        };
        let taken =
            matches!(key.kind, Kind::Table | Kind::View) && catalog.objects.contains_key(&twin);
        let exists = catalog.objects.contains_key(key);
        if exists && existing == Existing::Keep && access.sees(catalog, key) {
            return Ok(false);
        }
        access.require_create(catalog, key)?;
        let replaces = matches!(existing, Existing::Replace | Existing::ReplaceWithGrants);
        if taken || (exists && !replaces) {
            return Err(already_exists(key));
        }
        if exists {
            access.require_ownership(catalog, key)?;
            let grants = catalog.grants.clone();
            catalog.remove(key);
            if existing == Existing::ReplaceWithGrants {
                catalog.grants = grants;
            }
        }
        catalog.objects.insert(key.clone(), object);
        if key.kind == Kind::Database {
            let public = Key::new(Kind::Schema, &[key.name(), "PUBLIC"]);
            let schema = Object::new(&access.role, Body::Plain);
            catalog.objects.insert(public, schema);
        }
        Ok(true)
    })
}

pub(crate) fn already_exists(key: &Key) -> SqlError {
    SqlError::new(
        "002002",
        "42710",
        format!(
            "SQL compilation error:\nObject '{}' already exists.",
            key.name()
        ),
    )
}

/// What is created becomes current.
fn make_current(work: &mut Work, key: &Key) -> Result<(), SqlError> {
    match key.kind {
        Kind::Database => {
            work.context.database = Some(key.name().to_owned());
            work.context.schema = Some("PUBLIC".to_owned());
        }
        Kind::Schema => {
            work.context.database = Some(key.path[0].clone());
            work.context.schema = Some(key.path[1].clone());
        }
        Kind::Warehouse => work.context.warehouse = Some(key.name().to_owned()),
        _ => {}
    }
    Ok(())
}

fn property(properties: &Properties, name: &str) -> Option<String> {
    properties
        .get(name)
        .and_then(Property::text)
        .map(str::to_owned)
}

fn listed(properties: &Properties, name: &str, key: &str) -> Option<String> {
    match properties.get(name)? {
        Property::List(list) => list.get(key).and_then(Property::text).map(str::to_owned),
        Property::Text(_) => None,
    }
}

fn body(work: &Work, kind: Kind, properties: &Properties) -> Result<Body, SqlError> {
    Ok(match kind {
        Kind::Role => Body::Role {
            roles: BTreeSet::new(),
        },
        Kind::User => {
            let mut user = UserBody::default();
            set_user(&mut user, properties);
            Body::User(user)
        }
        Kind::Stage => Body::Stage(stage(work, properties)?),
        Kind::FileFormat => Body::FileFormat {
            parquet: property(properties, "TYPE")
                .is_some_and(|name| name.eq_ignore_ascii_case("PARQUET")),
        },
        Kind::Warehouse => {
            let mut body = Body::Plain;
            warehouses::set(&mut body, properties);
            body
        }
        _ => Body::Plain,
    })
}

fn stage(work: &Work, properties: &Properties) -> Result<Stage, SqlError> {
    let catalog = work.view();
    let integration = property(properties, "STORAGE_INTEGRATION").map(|name| folded(&name));
    if let Some(name) = &integration {
        work.access()
            .require(&catalog, &Key::new(Kind::Integration, &[name]), &["USAGE"])?;
    }
    let url = property(properties, "URL");
    if url.as_ref().is_some_and(|url| !url.contains("://")) {
        return Err(SqlError::new(
            "001092",
            "22023",
            "SQL compilation error:\ninvalid URL prefix found in the stage",
        ));
    }
    let encryption = listed(properties, "ENCRYPTION", "TYPE").unwrap_or_default();
    Ok(Stage {
        url,
        server_side_encryption: encryption.eq_ignore_ascii_case("SNOWFLAKE_SSE"),
        integration,
        format: listed(properties, "FILE_FORMAT", "FORMAT_NAME"),
        parquet: listed(properties, "FILE_FORMAT", "TYPE")
            .is_some_and(|name| name.eq_ignore_ascii_case("PARQUET")),
    })
}

fn set_user(user: &mut UserBody, properties: &Properties) {
    for (slot, name) in ["RSA_PUBLIC_KEY", "RSA_PUBLIC_KEY_2"].iter().enumerate() {
        if let Some(key) = property(properties, name) {
            let body: String = key.split_whitespace().collect();
            user.keys[slot] = (!body.is_empty()).then_some(body);
        }
    }
    if let Some(role) = property(properties, "DEFAULT_ROLE") {
        user.default_role = Some(folded(&role));
    }
    if let Some(warehouse) = property(properties, "DEFAULT_WAREHOUSE") {
        user.default_warehouse = Some(folded(&warehouse));
    }
}

async fn alter(
    work: &mut Work,
    cursor: &mut Cursor,
    sql: &str,
    bindings: &Bindings,
) -> Result<Grid, SqlError> {
    refuse_unknown_kind(cursor, "ALTER")?;
    let kind = kind(cursor)?;
    if matches!(kind, Kind::Table | Kind::View) {
        return match Box::pin(alter::alter(work, cursor, kind)).await? {
            Some(grid) => Ok(grid),
            None => tables::alter_table(work, sql, bindings).await,
        };
    }
    let skip = cursor.accept("IF EXISTS");
    let key = names::key(&work.context, kind, &cursor.name()?)?;
    if kind == Kind::Warehouse
        && let Some(done) = warehouses::alter(work, cursor, &key)?
    {
        return Ok(done);
    }
    let unset = cursor.accept("UNSET");
    if !unset {
        cursor.expect("SET")?;
    }
    let mut properties = cursor.properties()?;
    cursor.end()?;
    let access = work.access();
    work.shared.change(|catalog| {
        if skip && !access.sees(catalog, &key) {
            return Ok(());
        }
        let own_keys = key.kind == Kind::User && key.name() == work.context.user;
        if !own_keys && !access.roles(catalog).contains("USERADMIN") {
            access.require_ownership(catalog, &key)?;
        }
        let missing = access.missing(catalog, &key);
        let object = catalog.objects.get_mut(&key).ok_or(missing)?;
        if unset {
            properties
                .values_mut()
                .for_each(|value| *value = Property::Text(String::new()));
        }
        match &mut object.body {
            Body::User(user) => set_user(user, &properties),
            Body::Stage(stage) => {
                if let Some(url) = property(&properties, "URL") {
                    stage.url = Some(url);
                }
            }
            body if key.kind == Kind::Warehouse => warehouses::set(body, &properties),
            _ => {}
        }
        if let Some(comment) = property(&properties, "COMMENT") {
            object.comment = comment;
        }
        Ok(())
    })?;
    Ok(status("Statement executed successfully."))
}

async fn drop_object(work: &mut Work, cursor: &mut Cursor) -> Result<Grid, SqlError> {
    refuse_unknown_kind(cursor, "DROP")?;
    let kind = kind(cursor)?;
    let skip = cursor.accept("IF EXISTS");
    let key = names::key(&work.context, kind, &cursor.name()?)?;
    let _ = cursor.accept("CASCADE") || cursor.accept("RESTRICT");
    cursor.end()?;
    let access = work.access();
    let catalog = work.view();
    if skip && !access.sees(&catalog, &key) {
        return Ok(status(format!(
            "Drop statement executed successfully ({} already dropped).",
            key.name()
        )));
    }
    access.require_ownership(&catalog, &key)?;
    let _lock = match catalog.table(&key.path).filter(|_| kind == Kind::Table) {
        Some(table) => Some(work.lock(Arc::clone(table).id, key.name()).await?),
        None => None,
    };
    work.change_where_it_is(&key, |catalog| {
        catalog.remove(&key);
        Ok(())
    })?;
    if kind == Kind::Database && work.context.database.as_deref() == Some(key.name()) {
        work.context.database = None;
        work.context.schema = None;
    }
    Ok(status(format!("{} successfully dropped.", key.name())))
}
