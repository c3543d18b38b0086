//! `{"1": {"type": "FIXED", "value": "123"}}` in, the engine's bindings out; where values are arrays, one set per element.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::engine::{Binding, Bindings, SqlError};

/// Reads the bindings of a request: one set, or as many as the arrays have elements.
pub(super) fn bindings(body: BTreeMap<String, Value>) -> Result<Vec<Bindings>, SqlError> {
    let mut in_order: Vec<(String, Value)> = body.into_iter().collect();
    in_order.sort_by_key(|(name, _)| name.parse::<u32>().unwrap_or(u32::MAX));
    let mut size = None;
    for (name, binding) in &in_order {
        let own = match binding.get("value") {
            Some(Value::Array(values)) => values.len(),
            _ => 1,
        };
        let previous = *size.get_or_insert(own);
        if own != previous {
            return Err(SqlError::new(
                "002099",
                "42601",
                format!(
                    "SQL compilation error: Batch size of {own} for bind variable {name} not the same as previous size \
                     of {previous}."
                ),
            ));
        }
    }
    let mut sets = vec![Bindings::new(); size.unwrap_or(1)];
    for (name, binding) in in_order {
        let kind = binding
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_ascii_uppercase();
        let values = match binding.get("value").cloned() {
            Some(Value::Array(values)) => values,
            value => vec![value.unwrap_or_default()],
        };
        for (set, value) in sets.iter_mut().zip(values) {
            let value = match value {
                Value::Null => None,
                Value::String(text) => Some(text),
                other => Some(other.to_string()),
            };
            let kind = kind.clone();
            set.insert(name.clone(), Binding { kind, value });
        }
    }
    Ok(sets)
}
