//! USE, ALTER SESSION, DESCRIBE, LIST and REMOVE; SHOW is next door.

use object_store::ObjectStoreExt;

use super::{
    Grid, GridColumn, SqlError,
    catalog::{Body, Kind},
    copy,
    cursor::{Cursor, Property},
    ddl,
    encode::{listed, listing, status},
    names,
    sequences::Sequence,
    session::Work,
    show,
    sql_type::SqlType,
    stage,
};

pub(crate) async fn run(work: &mut Work, sql: &str) -> Result<Grid, SqlError> {
    let mut cursor = Cursor::new(sql)?;
    match cursor.word()?.as_str() {
        "USE" => use_object(work, &mut cursor),
        "ALTER" => alter_session(work, &mut cursor),
        "SHOW" => show::show(work, &mut cursor),
        "DESC" | "DESCRIBE" => describe(work, &mut cursor),
        "LIST" | "LS" => list(work, sql).await,
        "REMOVE" | "RM" => remove(work, sql).await,
        "COPY" => copy::copy(work, sql).await,
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
    let kind = if kind == Kind::Database && name.len() == 2 {
        Kind::Schema
    } else {
        kind
    };
    let key = names::key(&work.context, kind, &name)?;
    let (catalog, access) = (work.view(), work.access());
    if kind == Kind::Role {
        let held = catalog
            .user(&work.context.user)
            .map(|user| user.roles.clone())
            .unwrap_or_default();
        let granted = held.iter().any(|role| {
            super::access::Access::new(role)
                .roles(&catalog)
                .contains(key.name())
        });
        if !granted && !access.is_admin(&catalog) && key.name() != "PUBLIC" {
            return Err(SqlError::new(
                "003013",
                "42501",
                format!(
                    "SQL access control error:\nRequested role '{}' is not assigned to the executing user. Specify another role to activate.",
                    key.name()
                ),
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
                "name",
                "type",
                "kind",
                "null?",
                "default",
                "primary key",
                "unique key",
                "check",
                "expression",
                "comment",
                "policy name",
                "privacy domain",
                "write default",
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
                        column
                            .identity
                            .map(Sequence::described)
                            .or_else(|| column.default.clone()),
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
            let columns = ["property", "value", "default", "description"]
                .iter()
                .map(|name| listed(name))
                .collect();
            let row =
                |name: &str, value: Option<String>| vec![Some(name.to_owned()), value, None, None];
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
        _ => Err(SqlError::unsupported(format!(
            "DESCRIBE {}",
            kind.title().to_uppercase()
        ))),
    }
}

/// The place that a LIST or REMOVE names.
fn named_place(work: &Work, sql: &str) -> Result<stage::Place, SqlError> {
    let rest = sql
        .trim()
        .split_once(char::is_whitespace)
        .map_or("", |(_, rest)| rest)
        .trim();
    let quoted = rest
        .strip_prefix('\'')
        .and_then(|rest| rest.split_once('\''));
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
    work.access()
        .require(&work.view(), &place.key, &[place.stage.privileges().0])?;
    let number = SqlType::Number {
        precision: 38,
        scale: 0,
    };
    let columns = vec![
        listed("name"),
        number.grid_column("size", true),
        listed("md5"),
        listed("last_modified"),
    ];
    let prefix = stage::shown_prefix(&place);
    let rows = stage::files(&work.shared, &place)
        .await?
        .into_iter()
        .map(|(path, file)| {
            vec![
                Some(format!("{prefix}{path}")),
                Some(file.size.to_string()),
                Some(file.e_tag.unwrap_or_default().trim_matches('"').to_owned()),
                Some(
                    file.last_modified
                        .format("%a, %-d %b %Y %H:%M:%S GMT")
                        .to_string(),
                ),
            ]
        })
        .collect();
    Ok(listing(columns, rows))
}

async fn remove(work: &Work, sql: &str) -> Result<Grid, SqlError> {
    let place = named_place(work, sql)?;
    work.access()
        .require(&work.view(), &place.key, &[place.stage.privileges().1])?;
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
