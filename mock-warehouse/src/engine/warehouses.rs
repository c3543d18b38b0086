//! What a virtual warehouse's state means for statements: one that is suspended and does not resume by itself, or whose
//! resource monitor has used up its quota, runs nothing.

use serde::{Deserialize, Serialize};

use super::{
    Engine, Grid, SqlError,
    catalog::{Body, Catalog, Key, Kind},
    cursor::{Cursor, Properties, Property},
    encode::status,
    session::Work,
};

/// The state of a warehouse; one that nobody has altered is [`Body::Plain`] and runs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct WarehouseBody {
    suspended: bool,
    /// AUTO_RESUME = FALSE
    stays_suspended: bool,
    /// The monitor that keeps it from running.
    exhausted_monitor: Option<String>,
}

/// `ALTER WAREHOUSE x SUSPEND` and `RESUME [IF SUSPENDED]`, from the word after the name; `None` when it is neither.
///
/// The service refuses to suspend what is suspended and to resume what runs. Here a warehouse that resumed by itself is
/// not told apart from one that sleeps, so neither is refused.
pub(crate) fn alter(
    work: &mut Work,
    cursor: &mut Cursor,
    key: &Key,
) -> Result<Option<Grid>, SqlError> {
    let suspended = if cursor.accept("SUSPEND") {
        true
    } else if cursor.accept("RESUME") {
        let _ = cursor.accept("IF SUSPENDED");
        false
    } else {
        return Ok(None);
    };
    cursor.end()?;
    let access = work.access();
    work.shared.change(|catalog| {
        access.require(catalog, key, &["OPERATE"])?;
        change(catalog, key, |warehouse| warehouse.suspended = suspended);
        Ok(())
    })?;
    Ok(Some(status("Statement executed successfully.")))
}

/// What the properties of a CREATE or an `ALTER ... SET` make of a warehouse's state.
pub(crate) fn set(body: &mut Body, properties: &Properties) {
    let flag = |name: &str| {
        let text = properties.get(name).and_then(Property::text);
        text.map(|text| text.eq_ignore_ascii_case("TRUE"))
    };
    if let Some(resumes) = flag("AUTO_RESUME") {
        edit(body, |warehouse| warehouse.stays_suspended = !resumes);
    }
    if let Some(suspended) = flag("INITIALLY_SUSPENDED") {
        edit(body, |warehouse| warehouse.suspended = suspended);
    }
    // Another monitor, or none, has a quota of its own.
    if properties.contains_key("RESOURCE_MONITOR") {
        edit(body, |warehouse| warehouse.exhausted_monitor = None);
    }
}

/// Passes when statements can run in the warehouse, perhaps after it has resumed by itself.
pub(crate) fn require_running(catalog: &Catalog, key: &Key) -> Result<(), SqlError> {
    let Some(Body::Warehouse(warehouse)) = catalog.objects.get(key).map(|object| &object.body)
    else {
        return Ok(());
    };
    if let Some(monitor) = &warehouse.exhausted_monitor {
        // Code, state and words as users of the service report them.
        return Err(SqlError::new(
            "090073",
            "22000",
            format!(
                "Warehouse '{}' cannot be resumed because resource monitor '{monitor}' has exceeded its quota.",
                key.name()
            ),
        ));
    }
    if warehouse.suspended && warehouse.stays_suspended {
        // Unproven: that it is this error, the one of a session without a warehouse.
        return Err(none_active());
    }
    Ok(())
}

/// The session has no warehouse that it may use.
pub(crate) fn none_active() -> SqlError {
    SqlError::new(
        "000606",
        "57P03",
        "No active warehouse selected in the current session.  Select an active warehouse with the 'use warehouse' \
         command.",
    )
}

impl Engine {
    /// Uses up the quota of a warehouse's resource monitor, until `ALTER WAREHOUSE ... SET` or `UNSET RESOURCE_MONITOR`.
    /// False when there is no such warehouse.
    pub fn use_up_quota(&self, warehouse: &str) -> bool {
        let key = Key::new(Kind::Warehouse, &[&warehouse.to_uppercase()]);
        let monitor = Some(format!("{}_MONITOR", key.name()));
        let changed = self.shared().change(|catalog| {
            Ok(change(catalog, &key, |warehouse| {
                warehouse.exhausted_monitor = monitor;
            }))
        });
        changed.unwrap_or(false)
    }
}

fn change(catalog: &mut Catalog, key: &Key, change: impl FnOnce(&mut WarehouseBody)) -> bool {
    let object = catalog.objects.get_mut(key);
    let found = object.is_some();
    if let Some(object) = object {
        edit(&mut object.body, change);
    }
    found
}

fn edit(body: &mut Body, change: impl FnOnce(&mut WarehouseBody)) {
    let mut warehouse = match body {
        Body::Warehouse(warehouse) => warehouse.clone(),
        _ => WarehouseBody::default(),
    };
    change(&mut warehouse);
    *body = Body::Warehouse(warehouse);
}
