//! Text out of text, where DataFusion has no function for it.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray},
    compute::kernels::regexp::regexp_match,
};
use datafusion::{common::Result, logical_expr::ScalarUDF};

use super::{Call, function, text::to_text};
use crate::engine::{SqlError, sql_type::SqlType};

/// `sf_regexp_substr(text, pattern)`: the first match.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![function(
        "sf_regexp_substr",
        |_| {
            Ok(Arc::new(
                SqlType::Varchar {
                    length: 134_217_728,
                }
                .field("match", true),
            ))
        },
        first_match,
    )]
}

fn first_match(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = to_text(&call.arrays[0], call.zone)?;
    // A group around all of the pattern is the first one, whatever groups are in it.
    let patterns: StringArray = to_text(&call.arrays[1], call.zone)?
        .iter()
        .map(|pattern| pattern.map(|pattern| format!("({pattern})")))
        .collect();
    let found = regexp_match(&texts, &patterns, None).map_err(|error| {
        SqlError::new(
            "100048",
            "2201B",
            format!("Invalid regular expression: {error}"),
        )
    })?;
    let groups = found.as_list::<i32>();
    let matches = (0..groups.len()).map(|row| {
        if groups.is_null(row) {
            return None;
        }
        let groups = groups.value(row);
        let groups = groups.as_string::<i32>();
        (!groups.is_empty() && !groups.is_null(0)).then(|| groups.value(0).to_owned())
    });
    Ok(Arc::new(matches.collect::<StringArray>()))
}
