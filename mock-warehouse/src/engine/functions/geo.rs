//! GEOGRAPHY and GEOMETRY: well-known text in, GeoJSON out, which is how values are kept and shown.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use datafusion::common::Result;

use super::{cast::settle, text::to_text};
use crate::engine::SqlError;

/// On the globe or in the plane: they write numbers differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    Globe,
    Plane,
}

/// Kinds of shapes: the word, GeoJSON's name, and how many brackets are around each point.
const SHAPES: [(&str, &str, usize); 6] = [
    ("POINT", "Point", 0),
    ("LINESTRING", "LineString", 1),
    ("POLYGON", "Polygon", 2),
    ("MULTIPOINT", "MultiPoint", 1),
    ("MULTILINESTRING", "MultiLineString", 2),
    ("MULTIPOLYGON", "MultiPolygon", 3),
];

/// A cast of well-known text.
pub(super) fn to_geo(array: &ArrayRef, space: Space, lenient: bool) -> Result<ArrayRef> {
    let mut values = Vec::with_capacity(array.len());
    for text in &to_text(array, "UTC")? {
        values.push(match text {
            Some(text) => settle(geo_json(text, space), lenient)?,
            None => None,
        });
    }
    Ok(Arc::new(StringArray::from(values)))
}

fn geo_json(text: &str, space: Space) -> Result<String, SqlError> {
    shape(text.trim(), space)
        .ok_or_else(|| SqlError::unsupported(format!("GEOSPATIAL VALUE '{text}'")))
}

fn shape(text: &str, space: Space) -> Option<String> {
    let (word, rest) = text.split_at_checked(text.find('(')?)?;
    let (_, name, depth) = SHAPES
        .iter()
        .find(|(known, ..)| known.eq_ignore_ascii_case(word.trim()))?;
    // A point has brackets of its own, which GeoJSON does without.
    let depth = (*depth).max(1);
    let (coordinates, rest) = group(rest, depth, space)?;
    if !rest.trim().is_empty() {
        return None;
    }
    let coordinates = if *name == "Point" {
        let single = coordinates.strip_prefix('[')?.strip_suffix(']')?;
        (!single.contains("],[")).then(|| single.to_owned())?
    } else {
        coordinates
    };
    Some(format!(
        "{{\"coordinates\":{coordinates},\"type\":\"{name}\"}}"
    ))
}

/// What is in one pair of brackets, `depth` deep, as JSON, and what comes after it.
fn group(text: &str, depth: usize, space: Space) -> Option<(String, &str)> {
    let mut rest = text.trim_start().strip_prefix('(')?;
    let mut items = Vec::new();
    loop {
        let item = if depth > 1 {
            let (item, after) = group(rest, depth - 1, space)?;
            rest = after.trim_start();
            item
        } else {
            let end = rest.find([',', ')'])?;
            let (numbers, after) = rest.split_at_checked(end)?;
            rest = after;
            point(numbers, space)?
        };
        items.push(item);
        if let Some(after) = rest.strip_prefix(',') {
            rest = after;
        } else {
            return Some((format!("[{}]", items.join(",")), rest.strip_prefix(')')?));
        }
    }
}

/// `1 2` as `[1,2]`.
fn point(text: &str, space: Space) -> Option<String> {
    let numbers: Vec<String> = text
        .split_whitespace()
        .map(|number| {
            number
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite())
                .map(|number| written(number, space))
        })
        .collect::<Option<_>>()?;
    (numbers.len() == 2).then(|| format!("[{}]", numbers.join(",")))
}

fn written(number: f64, space: Space) -> String {
    match space {
        Space::Globe => number.to_string(),
        Space::Plane => {
            let text = format!("{number:.15e}");
            let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{exponent:0>2}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_text_becomes_geo_json() {
        for (text, space, expected) in [
            ("POINT(1 2)", Space::Globe, "[1,2] Point"),
            ("point ( 1.5  -2 )", Space::Globe, "[1.5,-2] Point"),
            (
                "POINT(30 0.04)",
                Space::Plane,
                "[3.000000000000000e+01,4.000000000000000e-02] Point",
            ),
            (
                "LINESTRING(0 0, 1 1)",
                Space::Globe,
                "[[0,0],[1,1]] LineString",
            ),
            (
                "POLYGON((0 0,1 0,1 1,0 0), (2 2,3 3,4 4,2 2))",
                Space::Globe,
                "[[[0,0],[1,0],[1,1],[0,0]],[[2,2],[3,3],[4,4],[2,2]]] Polygon",
            ),
        ] {
            let (coordinates, name) = expected.split_once(' ').unwrap();
            assert_eq!(
                geo_json(text, space).unwrap(),
                format!("{{\"coordinates\":{coordinates},\"type\":\"{name}\"}}"),
                "{text}"
            );
        }
        for text in [
            "POINT",
            "POINT(1)",
            "POINT(1 2, 3 4)",
            "POINT(1 2) x",
            "CIRCLE(1 2)",
            "POINT(a b)",
        ] {
            assert!(geo_json(text, Space::Globe).is_err(), "{text}");
        }
    }
}
