//! SHOW: what exists, as far as the role sees it, and who has been granted what.

use super::{
    Grid, GridColumn, SqlError,
    catalog::{Body, Catalog, Key, Kind, Object},
    cursor::Cursor,
    ddl,
    encode::{listed, listing},
    names, sequences,
    session::Work,
    sql_type::SqlType,
};

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

pub(crate) fn show(work: &Work, cursor: &mut Cursor) -> Result<Grid, SqlError> {
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
        "SEQUENCES" => Kind::Sequence,
        other => return Err(SqlError::unsupported(format!("SHOW {other}"))),
    };
    let pattern = if cursor.accept("LIKE") {
        Some(cursor.literal()?)
    } else {
        None
    };
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
        current
            .into_iter()
            .take(kind.depth() - 1)
            .map_while(Clone::clone)
            .collect()
    };
    let start = if cursor.accept("STARTS WITH") {
        Some(cursor.literal()?)
    } else {
        None
    };
    let limit = if cursor.accept("LIMIT") {
        usize::try_from(cursor.whole_number()?).unwrap_or(0)
    } else {
        usize::MAX
    };
    cursor.end()?;
    let (catalog, access) = (work.view(), work.access());
    let rows: Vec<Vec<Option<String>>> = catalog
        .objects
        .iter()
        .filter(|(key, _)| key.kind == kind && key.path.starts_with(&within))
        .filter(|(key, _)| {
            pattern
                .as_ref()
                .is_none_or(|pattern| like(pattern, key.name()))
        })
        .filter(|(key, _)| matches!(kind, Kind::Role | Kind::User) || access.sees(&catalog, key))
        .filter(|(key, _)| {
            start
                .as_ref()
                .is_none_or(|start| key.name().starts_with(start))
        })
        .take(limit)
        .map(|(key, object)| match &object.body {
            Body::Sequence(sequence) => sequence.shown(&catalog, key, object),
            _ => shown(key, object),
        })
        .collect();
    Ok(listing(columns(kind), rows))
}

/// The columns of SHOW for a kind of objects.
fn columns(kind: Kind) -> Vec<GridColumn> {
    let created = SqlType::TimestampLtz { scale: 3 }.grid_column("created_on", true);
    let number = |name: &str| {
        SqlType::Number {
            precision: 38,
            scale: 0,
        }
        .grid_column(name, true)
    };
    let texts = |names: &[&str]| names.iter().map(|name| listed(name)).collect::<Vec<_>>();
    let mut columns = vec![created];
    match kind {
        Kind::Sequence => return sequences::columns(),
        Kind::Table => {
            columns.extend(texts(&[
                "name",
                "database_name",
                "schema_name",
                "kind",
                "comment",
                "cluster_by",
            ]));
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
        _ => columns.extend(texts(&[
            "name",
            "database_name",
            "schema_name",
            "owner",
            "comment",
            "url",
            "type",
        ])),
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
            let bytes: usize = table
                .parts
                .iter()
                .map(|part| part.batch().get_array_memory_size())
                .sum();
            let (rows, bytes) = (table.row_count().to_string(), bytes.to_string());
            let start = [
                &created,
                key.name(),
                database,
                schema,
                table.lasting.kind(),
                &object.comment,
                "",
                &rows,
                &bytes,
                &object.owner,
            ];
            let end = [
                "1", "OFF", "OFF", "N", "N", "ROLE", "N", "N", "N", "N", "N", "N", "OFF", "OFF",
            ];
            start.into_iter().chain(end).map(str::to_owned).collect()
        }
        Body::View(view) => {
            let row = [
                &created,
                key.name(),
                "",
                database,
                schema,
                &object.owner,
                &object.comment,
                &view.statement,
            ];
            row.into_iter()
                .chain([if view.secure { "true" } else { "false" }])
                .chain(["false", "ROLE", "OFF"])
                .map(str::to_owned)
                .collect()
        }
        body => {
            let (url, kind) = match body {
                Body::Stage(stage) => (
                    stage.url.clone(),
                    if stage.url.is_some() {
                        "EXTERNAL"
                    } else {
                        "INTERNAL"
                    },
                ),
                Body::FileFormat { parquet: true } => (None, "PARQUET"),
                _ => (None, ""),
            };
            let url = url.unwrap_or_default();
            let row = [
                &created,
                key.name(),
                database,
                schema,
                &object.owner,
                &object.comment,
                &url,
                kind,
            ];
            row.into_iter().map(str::to_owned).collect()
        }
    };
    row.into_iter().map(Some).collect()
}

fn show_grants(work: &Work, cursor: &mut Cursor) -> Result<Grid, SqlError> {
    let catalog = work.view();
    let columns: Vec<GridColumn> =
        [SqlType::TimestampLtz { scale: 3 }.grid_column("created_on", true)]
            .into_iter()
            .chain(
                [
                    "privilege",
                    "granted_on",
                    "name",
                    "granted_to",
                    "grantee_name",
                    "grant_option",
                    "granted_by",
                ]
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
        let roles = catalog
            .user(&name)
            .map(|user| user.roles.clone())
            .unwrap_or_default();
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

fn grants_where(
    catalog: &Catalog,
    wanted: impl Fn(&str, Option<&Key>) -> bool,
) -> Vec<Vec<Option<String>>> {
    let owned = catalog
        .objects
        .iter()
        .filter(|(key, object)| wanted(&object.owner, Some(key)))
        .map(|(key, object)| {
            granted(
                "OWNERSHIP",
                &granted_on(Some(key)),
                &key.full_name(),
                "ROLE",
                &object.owner,
                &object.owner,
            )
        });
    let held = catalog
        .objects
        .iter()
        .flat_map(|(key, object)| match &object.body {
            Body::Role { roles } if wanted(key.name(), None) => roles
                .iter()
                .map(|role| granted("USAGE", "ROLE", role, "ROLE", key.name(), "ACCOUNTADMIN"))
                .collect::<Vec<_>>(),
            _ => vec![],
        });
    let privileges = catalog
        .grants
        .iter()
        .filter(|grant| wanted(&grant.role, grant.on.as_ref()))
        .map(|grant| {
            let name = grant.on.as_ref().map(Key::full_name).unwrap_or_default();
            granted(
                &grant.privilege,
                &granted_on(grant.on.as_ref()),
                &name,
                "ROLE",
                &grant.role,
                &grant.granted_by,
            )
        });
    owned.chain(held).chain(privileges).collect()
}

fn granted_on(key: Option<&Key>) -> String {
    key.map_or_else(
        || "ACCOUNT".to_owned(),
        |key| key.kind.title().to_uppercase().replace(' ', "_"),
    )
}

fn granted(
    privilege: &str,
    on: &str,
    name: &str,
    to: &str,
    grantee: &str,
    by: &str,
) -> Vec<Option<String>> {
    ["0.000", privilege, on, name, to, grantee, "false", by]
        .iter()
        .map(|value| Some((*value).to_owned()))
        .collect()
}
