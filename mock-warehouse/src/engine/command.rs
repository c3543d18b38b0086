//! USE, ALTER SESSION, SHOW, DESCRIBE, LIST and REMOVE.

use object_store::ObjectStoreExt;

use super::{
    Grid, GridColumn, SqlError,
    catalog::{Body, Catalog, Key, Kind, Object},
    cursor::{Cursor, Property},
    ddl,
    encode::{listed, listing, status},
    names,
    session::Work,
    sql_type::SqlType,
    stage,
};

pub(crate) async fn run(work: &mut Work, sql: &str) -> Result<Grid, SqlError> {
    let mut cursor = Cursor::new(sql)?;
    match cursor.word()?.as_str() {
        "USE" => use_object(work, &mut cursor),
        "ALTER" => alter_session(work, &mut cursor),
        "SHOW" => show(work, &mut cursor),
        "DESC" | "DESCRIBE" => describe(work, &mut cursor),
        "LIST" | "LS" => list(work, sql).await,
        "REMOVE" | "RM" => remove(work, sql).await,
        "COPY" => Err(SqlError::unsupported("COPY INTO")),
        _ => {
            cursor.back();
            Err(cursor.unexpected())
        }
    }
}

fn use_object(work: &mut Work, cursor: &mut Cursor) -> Result<Grid, SqlError> {
    let done = "Statement executed successfully.";
    let kind = if cursor.accept("ROLE") {
        Kind::Role
    } else if cursor.accept("WAREHOUSE") {
        Kind::Warehouse
    } else if cursor.accept("SCHEMA") {
        Kind::Schema
    } else {
        let _ = cursor.accept("DATABASE");
        Kind::Database
    };
    let name = cursor.name()?;
    cursor.end()?;
    let kind = if kind == Kind::Database && name.len() == 2 { Kind::Schema } else { kind };
    let key = names::key(&work.context, kind, &name)?;
    let (catalog, access) = (work.view(), work.access());
    if kind == Kind::Role {
        let held = catalog.user(&work.context.user).map(|user| user.roles.clone()).unwrap_or_default();
        let granted = held
            .iter()
            .any(|role| super::access::Access::new(role).roles(&catalog).contains(key.name()));
        if !granted && !access.is_admin(&catalog) && key.name() != "PUBLIC" {
            return Err(SqlError::new(
                "003013",
                "42501",
                format!("SQL access control error:\nRequested role '{}' is not assigned to the executing user. Specify another role to activate.", key.name()),
            ));
        }
        if !catalog.objects.contains_key(&key) {
            return Err(access.missing(&catalog, &key));
        }
        work.context.role = Some(key.name().to_owned());
        return Ok(status(done));
    }
    if !access.sees(&catalog, &key) {
        return Err(access.missing(&catalog, &key));
    }
    match kind {
        Kind::Warehouse => work.context.warehouse = Some(key.name().to_owned()),
        Kind::Schema => {
            work.context.database = Some(key.path[0].clone());
            work.context.schema = Some(key.path[1].clone());
        }
        _ => {
            work.context.database = Some(key.name().to_owned());
            work.context.schema = Some("PUBLIC".to_owned());
        }
    }
    Ok(status(done))
}

fn alter_session(work: &mut Work, cursor: &mut Cursor) -> Result<Grid, SqlError> {
    cursor.expect("SESSION")?;
    let unset = cursor.accept("UNSET");
    if !unset {
        cursor.expect("SET")?;
    }
    for (name, value) in cursor.properties()? {
        match (unset, value) {
            (true, _) => {
                work.context.parameters.remove(&name);
            }
            (false, Property::Text(value)) => {
                work.context.parameters.insert(name, value);
            }
            (false, Property::List(_)) => return Err(cursor.unexpected()),
        }
    }
    cursor.end()?;
    Ok(status("Statement executed successfully."))
}

/// `LIKE` of SHOW: without regard to case, `%` any text, `_` any character.
fn like(pattern: &str, text: &str) -> bool {
    fn matches(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('%', rest)) => (0..=text.len()).any(|skipped| matches(rest, &text[skipped..])),
            Some(('_', rest)) => !text.is_empty() && matches(rest, &text[1..]),
            Some((character, rest)) => text.first() == Some(character) && matches(rest, &text[1..]),
        }
    }
    let letters = |text: &str| text.to_lowercase().chars().collect::<Vec<_>>();
    matches(&letters(pattern), &letters(text))
}

fn show(work: &Work, cursor: &mut Cursor) -> Result<Grid, SqlError> {
    let _ = cursor.accept("TERSE");
    let what = cursor.word()?;
    let kind = match what.as_str() {
        "GRANTS" => return show_grants(work, cursor),
        "TABLES" => Kind::Table,
        "VIEWS" => Kind::View,
        "SCHEMAS" => Kind::Schema,
        "DATABASES" => Kind::Database,
        "WAREHOUSES" => Kind::Warehouse,
        "STAGES" => Kind::Stage,
        "ROLES" => Kind::Role,
        "USERS" => Kind::User,
        "FILE" => {
            cursor.expect("FORMATS")?;
            Kind::FileFormat
        }
        "INTEGRATIONS" => Kind::Integration,
        other => return Err(SqlError::unsupported(format!("SHOW {other}"))),
    };
    let pattern = if cursor.accept("LIKE") { Some(cursor.literal()?) } else { None };
    let within = if cursor.accept("IN") {
        if cursor.accept("ACCOUNT") {
            vec![]
        } else {
            let parent = if cursor.accept("DATABASE") {
                Kind::Database
            } else {
                let _ = cursor.accept("SCHEMA");
                Kind::Schema
            };
            let key = names::key(&work.context, parent, &cursor.name()?)?;
            if !work.access().sees(&work.view(), &key) {
                return Err(work.access().missing(&work.view(), &key));
            }
            key.path
        }
    } else {
        let current = [&work.context.database, &work.context.schema];
        current.into_iter().take(kind.depth() - 1).map_while(Clone::clone).collect()
    };
    let (catalog, access) = (work.view(), work.access());
    let rows: Vec<Vec<Option<String>>> = catalog
        .objects
        .iter()
        .filter(|(key, _)| key.kind == kind && key.path.starts_with(&within))
        .filter(|(key, _)| pattern.as_ref().is_none_or(|pattern| like(pattern, key.name())))
        .filter(|(key, _)| matches!(kind, Kind::Role | Kind::User) || access.sees(&catalog, key))
        .map(|(key, object)| shown(key, object))
        .collect();
    Ok(listing(columns(kind), rows))
}

/// The columns of SHOW for a kind of objects.
fn columns(kind: Kind) -> Vec<GridColumn> {
    let created = SqlType::TimestampLtz { scale: 3 }.grid_column("created_on", true);
    let number = |name: &str| SqlType::Number { precision: 38, scale: 0 }.grid_column(name, true);
    let texts = |names: &[&str]| names.iter().map(|name| listed(name)).collect::<Vec<_>>();
    let mut columns = vec![created];
    match kind {
        Kind::Table => {
            columns.extend(texts(&["name", "database_name", "schema_name", "kind", "comment", "cluster_by"]));
            columns.extend([number("rows"), number("bytes")]);
            columns.extend(texts(&[
                "owner",
                "retention_time",
                "automatic_clustering",
                "change_tracking",
                "is_external",
                "enable_schema_evolution",
                "owner_role_type",
                "is_event",
                "is_hybrid",
                "is_iceberg",
                "is_dynamic",
                "is_immutable",
                "is_interactive",
                "row_timestamp",
                "error_logging",
            ]));
        }
        Kind::View => columns.extend(texts(&[
            "name",
            "reserved",
            "database_name",
            "schema_name",
            "owner",
            "comment",
            "text",
            "is_secure",
            "is_materialized",
            "owner_role_type",
            "change_tracking",
        ])),
        _ => columns.extend(texts(&["name", "database_name", "schema_name", "owner", "comment", "url", "type"])),
    }
    columns
}

fn shown(key: &Key, object: &Object) -> Vec<Option<String>> {
    let created = format!("{}.{:03}", object.created / 1000, object.created % 1000);
    let (database, schema) = match key.path.as_slice() {
        [database, schema, _] => (database.as_str(), schema.as_str()),
        [database, _] => (database.as_str(), ""),
        _ => ("", ""),
    };
    let row: Vec<String> = match &object.body {
        Body::Table(table) => {
            let bytes: usize = table.parts.iter().map(|part| part.batch().get_array_memory_size()).sum();
            let (rows, bytes) = (table.row_count().to_string(), bytes.to_string());
            let start = [&created, key.name(), database, schema, "TABLE", &object.comment, "", &rows, &bytes, &object.owner];
            let end = ["1", "OFF", "OFF", "N", "N", "ROLE", "N", "N", "N", "N", "N", "N", "OFF", "OFF"];
            start.into_iter().chain(end).map(str::to_owned).collect()
        }
        Body::View(view) => {
            let row = [&created, key.name(), "", database, schema, &object.owner, &object.comment, &view.statement];
            row.into_iter().chain(["false", "false", "ROLE", "OFF"]).map(str::to_owned).collect()
        }
        body => {
            let (url, kind) = match body {
                Body::Stage(stage) => (stage.url.clone(), if stage.url.is_some() { "EXTERNAL" } else { "INTERNAL" }),
                Body::FileFormat { parquet: true } => (None, "PARQUET"),
                _ => (None, ""),
            };
            let url = url.unwrap_or_default();
            let row = [&created, key.name(), database, schema, &object.owner, &object.comment, &url, kind];
            row.into_iter().map(str::to_owned).collect()
        }
    };
    row.into_iter().map(Some).collect()
}

fn show_grants(work: &Work, cursor: &mut Cursor) -> Result<Grid, SqlError> {
    let catalog = work.view();
    let columns: Vec<GridColumn> = [SqlType::TimestampLtz { scale: 3 }.grid_column("created_on", true)]
        .into_iter()
        .chain(
            ["privilege", "granted_on", "name", "granted_to", "grantee_name", "grant_option", "granted_by"]
                .iter()
                .map(|name| listed(name)),
        )
        .collect();
    let rows = if cursor.accept("ON") {
        let account = cursor.accept("ACCOUNT");
        let key = if account {
            None
        } else {
            let kind = ddl::kind(cursor)?;
            Some(names::key(&work.context, kind, &cursor.name()?)?)
        };
        grants_where(&catalog, |_, on| on == key.as_ref())
    } else if cursor.accept("TO USER") {
        let name = cursor.name()?.join(".");
        let roles = catalog.user(&name).map(|user| user.roles.clone()).unwrap_or_default();
        roles
            .iter()
            .map(|role| granted("USAGE", "ROLE", role, "USER", &name, "ACCOUNTADMIN"))
            .collect()
    } else {
        let role = if cursor.accept("TO ROLE") {
            cursor.name()?.join(".")
        } else {
            work.context.role.clone().unwrap_or_default()
        };
        grants_where(&catalog, |grantee, _| grantee == role)
    };
    cursor.end()?;
    Ok(listing(columns, rows))
}

fn grants_where(catalog: &Catalog, wanted: impl Fn(&str, Option<&Key>) -> bool) -> Vec<Vec<Option<String>>> {
    let owned = catalog
        .objects
        .iter()
        .filter(|(key, object)| wanted(&object.owner, Some(key)))
        .map(|(key, object)| {
            granted("OWNERSHIP", &granted_on(Some(key)), &key.full_name(), "ROLE", &object.owner, &object.owner)
        });
    let held = catalog.objects.iter().flat_map(|(key, object)| match &object.body {
        Body::Role { roles } if wanted(key.name(), None) => roles.iter().map(|role| {
            granted("USAGE", "ROLE", role, "ROLE", key.name(), "ACCOUNTADMIN")
        }).collect::<Vec<_>>(),
        _ => vec![],
    });
    let privileges = catalog.grants.iter().filter(|grant| wanted(&grant.role, grant.on.as_ref())).map(|grant| {
        let name = grant.on.as_ref().map(Key::full_name).unwrap_or_default();
        granted(&grant.privilege, &granted_on(grant.on.as_ref()), &name, "ROLE", &grant.role, &grant.granted_by)
    });
    owned.chain(held).chain(privileges).collect()
}

fn granted_on(key: Option<&Key>) -> String {
    key.map_or_else(|| "ACCOUNT".to_owned(), |key| key.kind.title().to_uppercase().replace(' ', "_"))
}

fn granted(privilege: &str, on: &str, name: &str, to: &str, grantee: &str, by: &str) -> Vec<Option<String>> {
    ["0.000", privilege, on, name, to, grantee, "false", by]
        .iter()
        .map(|value| Some((*value).to_owned()))
        .collect()
}

fn describe(work: &Work, cursor: &mut Cursor) -> Result<Grid, SqlError> {
    let kind = ddl::kind(cursor)?;
    let key = names::key(&work.context, kind, &cursor.name()?)?;
    cursor.end()?;
    let (catalog, access) = (work.view(), work.access());
    if !access.sees(&catalog, &key) {
        return Err(access.missing(&catalog, &key));
    }
    match catalog.objects.get(&key).map(|object| &object.body) {
        Some(Body::Table(table)) => {
            let mut columns: Vec<GridColumn> = [
                "name", "type", "kind", "null?", "default", "primary key", "unique key", "check", "expression",
                "comment", "policy name", "privacy domain", "write default",
            ]
            .iter()
            .map(|name| listed(name))
            .collect();
            columns[11] = SqlType::Object.grid_column("privacy domain", true);
            let flag = |yes: bool| Some(if yes { "Y" } else { "N" }.to_owned());
            let rows = table
                .columns
                .iter()
                .map(|column| {
                    let mut row = vec![
                        Some(column.name.clone()),
                        Some(column.sql_type.to_string()),
                        Some("COLUMN".to_owned()),
                        flag(column.nullable),
                        column.default.clone(),
                        flag(column.primary_key),
                        flag(false),
                    ];
                    row.resize(9, None);
                    row.push(column.comment.clone());
                    row.resize(13, None);
                    row
                })
                .collect();
            Ok(listing(columns, rows))
        }
        Some(Body::User(user)) => {
            let columns = ["property", "value", "default", "description"].iter().map(|name| listed(name)).collect();
            let row = |name: &str, value: Option<String>| vec![Some(name.to_owned()), value, None, None];
            Ok(listing(
                columns,
                vec![
                    row("NAME", Some(key.name().to_owned())),
                    row("DEFAULT_ROLE", user.default_role.clone()),
                    row("RSA_PUBLIC_KEY", user.keys[0].clone()),
                    row("RSA_PUBLIC_KEY_2", user.keys[1].clone()),
                ],
            ))
        }
        _ => Err(SqlError::unsupported(format!("DESCRIBE {}", kind.title().to_uppercase()))),
    }
}

/// The place that a LIST or REMOVE names.
fn named_place(work: &Work, sql: &str) -> Result<stage::Place, SqlError> {
    let rest = sql.trim().split_once(char::is_whitespace).map_or("", |(_, rest)| rest).trim();
    let quoted = rest.strip_prefix('\'').and_then(|rest| rest.split_once('\''));
    let path = match quoted {
        Some((path, _)) => path,
        None => rest.split_whitespace().next().unwrap_or_default(),
    };
    if !path.starts_with('@') {
        return Err(SqlError::syntax("a stage begins with '@'"));
    }
    stage::place(&work.view(), &work.access(), &work.context, path)
}

async fn list(work: &Work, sql: &str) -> Result<Grid, SqlError> {
    let place = named_place(work, sql)?;
    work.access().require(&work.view(), &place.key, &[place.stage.privileges().0])?;
    let number = SqlType::Number { precision: 38, scale: 0 };
    let columns = vec![listed("name"), number.grid_column("size", true), listed("md5"), listed("last_modified")];
    let prefix = match &place.stage.url {
        Some(url) => format!("{}/", url.trim_end_matches('/')),
        None => format!("{}/", place.key.name().to_lowercase()),
    };
    let rows = stage::files(&work.shared, &place)
        .await?
        .into_iter()
        .map(|(path, file)| {
            vec![
                Some(format!("{prefix}{path}")),
                Some(file.size.to_string()),
                Some(file.e_tag.unwrap_or_default().trim_matches('"').to_owned()),
                Some(file.last_modified.format("%a, %-d %b %Y %H:%M:%S GMT").to_string()),
            ]
        })
        .collect();
    Ok(listing(columns, rows))
}

async fn remove(work: &Work, sql: &str) -> Result<Grid, SqlError> {
    let place = named_place(work, sql)?;
    work.access().require(&work.view(), &place.key, &[place.stage.privileges().1])?;
    let (store, _) = stage::opened(&work.shared, &place)?;
    let mut rows = Vec::new();
    for (path, file) in stage::files(&work.shared, &place).await? {
        store
            .delete(&file.location)
            .await
            .map_err(|error| SqlError::internal(&format!("cannot remove {path}: {error}")))?;
        rows.push(vec![
            Some(format!("{}/{path}", place.key.name().to_lowercase())),
            Some("removed".to_owned()),
        ]);
    }
    Ok(listing(vec![listed("name"), listed("result")], rows))
}
