//! Temporary tables: they are the session's own, gone with it, and stand in front of permanent ones of the same name.

use super::{
    SqlError,
    catalog::{Catalog, Key, Kind, Object},
    ddl::{Existing, already_exists},
    session::Work,
};

impl Work {
    /// Changes the object where it is: among the session's own, or in the warehouse.
    pub(crate) fn change_where_it_is<T>(
        &mut self,
        key: &Key,
        change: impl FnOnce(&mut Catalog) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        if self.is_temporary(key) {
            return change(&mut self.temporaries);
        }
        self.shared.change(change)
    }

    /// Whether the name is that of a temporary table of this session.
    pub(crate) fn is_temporary(&self, key: &Key) -> bool {
        self.temporaries.objects.contains_key(key)
    }
}

/// Creates the table for this session. It takes no privilege but to be in the schema. False when it is there already
/// and that is fine.
pub(crate) fn put(
    work: &mut Work,
    key: &Key,
    object: Object,
    existing: Existing,
) -> Result<bool, SqlError> {
    let catalog = work.view();
    let schema = Key {
        kind: Kind::Schema,
        path: key.path[..2].to_vec(),
    };
    work.access().require(&catalog, &schema, &["USAGE"])?;
    if work.is_temporary(key) {
        match existing {
            Existing::Keep => return Ok(false),
            Existing::Refuse => return Err(already_exists(key)),
            Existing::Replace | Existing::ReplaceWithGrants => {}
        }
    }
    work.temporaries.objects.insert(key.clone(), object);
    Ok(true)
}
