//! GRANT and REVOKE: privileges on objects, and roles to roles and users.

use std::collections::BTreeSet;

use super::{
    Grid, SqlError,
    access::insufficient,
    catalog::{Body, Catalog, Grant, Key, Kind, UserBody},
    cursor::Cursor,
    ddl,
    encode::status,
    names,
    session::Work,
};
use datafusion::sql::sqlparser::tokenizer::Token;

/// All privileges that one can have on objects of a kind.
fn all_privileges(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Database => &["USAGE", "MONITOR", "MODIFY", "CREATE SCHEMA"],
        Kind::Schema => &[
            "USAGE",
            "MONITOR",
            "MODIFY",
            "CREATE TABLE",
            "CREATE VIEW",
            "CREATE STAGE",
            "CREATE FILE FORMAT",
            "CREATE SEQUENCE",
        ],
        Kind::Warehouse => &["USAGE", "OPERATE", "MONITOR", "MODIFY"],
        Kind::Table => &[
            "SELECT",
            "INSERT",
            "UPDATE",
            "DELETE",
            "TRUNCATE",
            "REFERENCES",
        ],
        Kind::View => &["SELECT", "REFERENCES"],
        Kind::Stage => &["USAGE", "READ", "WRITE"],
        Kind::FileFormat | Kind::Integration | Kind::Sequence => &["USAGE"],
        Kind::Role | Kind::User => &["MONITOR"],
    }
}

pub(crate) fn grant(work: &mut Work, cursor: &mut Cursor) -> Result<Grid, SqlError> {
    if cursor.accept("ROLE") {
        let role = cursor.name()?;
        cursor.expect("TO")?;
        change_role(work, cursor, &role, |roles, role| {
            roles.insert(role);
        })?;
        return Ok(status("Statement executed successfully."));
    }
    let wanted = privileges(cursor)?;
    cursor.expect("ON")?;
    let objects = objects(work, cursor)?;
    cursor.expect("TO")?;
    let _ = cursor.accept("ROLE");
    let role = role(work, cursor)?;
    let _ = cursor.accept("WITH GRANT OPTION");
    cursor.end()?;
    let access = work.access();
    work.shared.change(|catalog| {
        for object in &objects {
            authorize(catalog, work, object.as_ref())?;
            for privilege in expanded(&wanted, object.as_ref())? {
                if privilege == "OWNERSHIP" {
                    let key = object
                        .as_ref()
                        .ok_or_else(|| SqlError::unsupported("OWNERSHIP OF THE ACCOUNT"))?;
                    catalog
                        .objects
                        .get_mut(key)
                        .expect("the object was found")
                        .owner = role.clone();
                    continue;
                }
                catalog.grants.insert(Grant {
                    role: role.clone(),
                    privilege,
                    on: object.clone(),
                    granted_by: access.role.clone(),
                });
            }
        }
        Ok(())
    })?;
    Ok(status("Statement executed successfully."))
}

pub(crate) fn revoke(work: &mut Work, cursor: &mut Cursor) -> Result<Grid, SqlError> {
    let _ = cursor.accept("GRANT OPTION FOR");
    if cursor.accept("ROLE") {
        let role = cursor.name()?;
        cursor.expect("FROM")?;
        change_role(work, cursor, &role, |roles, role| {
            roles.remove(&role);
        })?;
        return Ok(status("Statement executed successfully."));
    }
    let wanted = privileges(cursor)?;
    cursor.expect("ON")?;
    let objects = objects(work, cursor)?;
    cursor.expect("FROM")?;
    let _ = cursor.accept("ROLE");
    let role = role(work, cursor)?;
    let _ = cursor.accept("CASCADE") || cursor.accept("RESTRICT");
    cursor.end()?;
    work.shared.change(|catalog| {
        for object in &objects {
            authorize(catalog, work, object.as_ref())?;
            let gone = expanded(&wanted, object.as_ref())?;
            catalog.grants.retain(|grant| {
                !(grant.role == role && grant.on == *object && gone.contains(&grant.privilege))
            });
        }
        Ok(())
    })?;
    Ok(status("Statement executed successfully."))
}

/// The privileges that the statement names, up to ON.
fn privileges(cursor: &mut Cursor) -> Result<Vec<String>, SqlError> {
    let mut privileges = Vec::new();
    loop {
        let mut words = vec![cursor.word()?];
        while cursor.at_word() && !cursor.accept("PRIVILEGES") {
            let mut ahead = cursor.word()?;
            if ahead == "ON" {
                cursor.back();
                break;
            }
            words.push(std::mem::take(&mut ahead));
        }
        privileges.push(words.join(" "));
        if !cursor.accept_token(&Token::Comma) {
            return Ok(privileges);
        }
    }
}

/// The objects that the statement names; none for the account.
fn objects(work: &Work, cursor: &mut Cursor) -> Result<Vec<Option<Key>>, SqlError> {
    if cursor.accept("ACCOUNT") {
        return Ok(vec![None]);
    }
    if cursor.accept("FUTURE") {
        return Err(SqlError::unsupported("FUTURE GRANTS"));
    }
    if cursor.accept("ALL") {
        let plural = cursor.word()?;
        let kind = match plural.as_str() {
            "TABLES" => Kind::Table,
            "VIEWS" => Kind::View,
            "STAGES" => Kind::Stage,
            "SCHEMAS" => Kind::Schema,
            _ => return Err(SqlError::unsupported(format!("GRANT ON ALL {plural}"))),
        };
        cursor.expect("IN")?;
        let parent = ddl::kind(cursor)?;
        let parent = names::key(&work.context, parent, &cursor.name()?)?;
        let catalog = work.view();
        work.access().require(&catalog, &parent, &["USAGE"])?;
        return Ok(catalog
            .objects
            .keys()
            .filter(|key| key.kind == kind && key.path.starts_with(&parent.path))
            .cloned()
            .map(Some)
            .collect());
    }
    let kind = ddl::kind(cursor)?;
    let key = names::key(&work.context, kind, &cursor.name()?)?;
    let view = Key {
        kind: Kind::View,
        path: key.path.clone(),
    };
    // GRANT ON TABLE names views as well.
    let is_view = kind == Kind::Table && work.view().objects.contains_key(&view);
    Ok(vec![Some(if is_view { view } else { key })])
}

fn expanded(wanted: &[String], object: Option<&Key>) -> Result<Vec<String>, SqlError> {
    let mut privileges = Vec::new();
    for privilege in wanted {
        let Some(key) = object else {
            privileges.push(privilege.clone());
            continue;
        };
        let all = all_privileges(key.kind);
        match privilege.as_str() {
            "ALL" => privileges.extend(all.iter().map(|privilege| (*privilege).to_owned())),
            "OWNERSHIP" => privileges.push(privilege.clone()),
            known if all.contains(&known) => privileges.push(privilege.clone()),
            unknown if unknown.starts_with("CREATE ") && key.kind == Kind::Schema => {
                privileges.push(privilege.clone())
            }
            unknown => {
                return Err(SqlError::syntax(format!(
                    "Invalid privilege '{unknown}' for object type {}",
                    key.kind.title().to_uppercase()
                )));
            }
        }
    }
    Ok(privileges)
}

/// Who grants owns the object or manages grants.
fn authorize(catalog: &Catalog, work: &Work, object: Option<&Key>) -> Result<(), SqlError> {
    let access = work.access();
    let manages = access.roles(catalog).contains("SECURITYADMIN");
    let Some(key) = object else {
        return if manages {
            Ok(())
        } else {
            Err(insufficient("account", "MOCK"))
        };
    };
    if !catalog.objects.contains_key(key) {
        return Err(access.missing(catalog, key));
    }
    if manages {
        Ok(())
    } else {
        access.require_ownership(catalog, key)
    }
}

fn role(work: &Work, cursor: &mut Cursor) -> Result<String, SqlError> {
    let key = names::key(&work.context, Kind::Role, &cursor.name()?)?;
    let catalog = work.view();
    if !catalog.objects.contains_key(&key) {
        return Err(work.access().missing(&catalog, &key));
    }
    Ok(key.name().to_owned())
}

/// Gives a role to, or takes it from, the role or user that the statement names next.
fn change_role(
    work: &Work,
    cursor: &mut Cursor,
    role: &[String],
    change: impl FnOnce(&mut BTreeSet<String>, String),
) -> Result<(), SqlError> {
    let grantee = if cursor.accept("USER") {
        Kind::User
    } else {
        cursor.expect("ROLE")?;
        Kind::Role
    };
    let grantee = names::key(&work.context, grantee, &cursor.name()?)?;
    cursor.end()?;
    let role = names::key(&work.context, Kind::Role, role)?;
    work.shared.change(|catalog| {
        authorize(catalog, work, Some(&role))?;
        let missing = work.access().missing(catalog, &grantee);
        match catalog
            .objects
            .get_mut(&grantee)
            .map(|object| &mut object.body)
        {
            Some(Body::Role { roles } | Body::User(UserBody { roles, .. })) => {
                change(roles, role.name().to_owned());
                Ok(())
            }
            _ => Err(missing),
        }
    })
}
