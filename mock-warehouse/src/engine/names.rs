//! Names in statements: completed by the current database and schema.

use datafusion::sql::sqlparser::ast::{Ident, ObjectName, ObjectNamePart};

use super::{
    SessionContext, SqlError,
    catalog::{Key, Kind},
    shared::folded,
};

/// The parts of a name; unquoted ones are in upper case already.
pub(crate) fn parts(name: &ObjectName) -> Vec<String> {
    name.0
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(ident) => ident.value.clone(),
            ObjectNamePart::Function(function) => function.to_string(),
        })
        .collect()
}

/// The parts of a name in plain text, e.g. `db."Schema".stage`.
pub(crate) fn text_parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for character in name.chars() {
        match character {
            '.' if !quoted => parts.push(String::new()),
            _ => {
                quoted ^= character == '"';
                parts.last_mut().expect("there is a first part").push(character);
            }
        }
    }
    parts.iter().map(|part| folded(part)).collect()
}

/// The key of an object, with what the name leaves out taken from what is current.
pub(crate) fn key(context: &SessionContext, kind: Kind, name: &[String]) -> Result<Key, SqlError> {
    let depth = kind.depth();
    if name.is_empty() || name.len() > depth {
        return Err(SqlError::syntax(format!("invalid name '{}'", name.join("."))));
    }
    let mut path = Vec::with_capacity(depth);
    let missing = depth - name.len();
    let current = [&context.database, &context.schema];
    for (position, part) in current.iter().enumerate().take(missing) {
        let part = part.as_ref().ok_or_else(|| {
            SqlError::no_database(if position == 0 { "this operation" } else { "this operation without a schema" })
        })?;
        path.push(part.clone());
    }
    path.extend(name.iter().cloned());
    Ok(Key { kind, path })
}

/// A quoted identifier.
pub(crate) fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_in_quotes_separates_nothing() {
        assert_eq!(text_parts("db.\"a.b\".St"), ["DB", "a.b", "ST"]);
    }

    #[test]
    fn what_a_name_leaves_out_is_current() {
        let context = SessionContext {
            database: Some("D".to_owned()),
            schema: Some("S".to_owned()),
            ..SessionContext::default()
        };
        let path = |name: &[&str]| {
            let name: Vec<String> = name.iter().map(|part| (*part).to_owned()).collect();
            key(&context, Kind::Table, &name).unwrap().full_name()
        };
        assert_eq!(path(&["T"]), "D.S.T");
        assert_eq!(path(&["X", "T"]), "D.X.T");
        assert_eq!(path(&["Y", "X", "T"]), "Y.X.T");
        assert!(key(&SessionContext::default(), Kind::Table, &["T".to_owned()]).is_err());
    }
}
