//! The tables of docs/types.md.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use sluicebox::sql::SqlType;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/types.md");
    fs::read_to_string(path).expect("the page is there")
});

/// A row of the table of types.
#[derive(Debug)]
pub(super) struct Type {
    pub(super) sql: &'static str,
    pub(super) physical: &'static str,
    /// `NONE` when there is none.
    pub(super) logical: String,
    pub(super) warehouse: &'static str,
}

impl Type {
    /// The type that the page names, as the service knows it.
    pub(super) fn sql_type(&self) -> SqlType {
        let (name, arguments) = self.sql.split_once('(').unwrap_or((self.sql, ""));
        let digits: Vec<u8> = (arguments.trim_end_matches(')').split(','))
            .filter_map(|digits| digits.parse().ok())
            .collect();
        match (name, digits.as_slice()) {
            ("VARCHAR", []) => SqlType::Varchar,
            ("DECIMAL", &[precision, scale]) => SqlType::Decimal { precision, scale },
            ("BIGINT", []) => SqlType::BigInt,
            ("DOUBLE", []) => SqlType::Double,
            ("BOOLEAN", []) => SqlType::Boolean,
            ("DATE", []) => SqlType::Date,
            ("TIMESTAMP", []) => SqlType::Timestamp,
            _ => panic!("`{}` is no type", self.sql),
        }
    }

    /// The column of this type, in every file of the pipeline.
    pub(super) fn column(&self) -> String {
        let name = self.sql.to_lowercase().replace(['(', ','], "_");
        format!("c_{}", name.trim_end_matches(')'))
    }
}

/// A row of the table of values.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) sql: &'static str,
    /// The field's JSON; None when the event does not have the field.
    pub(super) raw: Option<&'static str>,
    /// What becomes of it; None when the event is refused.
    pub(super) kept: Option<Kept>,
}

/// A value on its way.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) clean: &'static str,
    pub(super) parquet: &'static str,
    pub(super) warehouse: &'static str,
}

/// A row of the table of a gold table: MIN, then MAX, each on the topic and in the warehouse.
#[derive(Debug)]
pub(super) struct Extremes {
    pub(super) sql: &'static str,
    pub(super) topic: [&'static str; 2],
    pub(super) warehouse: [&'static str; 2],
}

/// All that the page promises.
#[derive(Debug)]
pub(super) struct Contract {
    pub(super) types: Vec<Type>,
    pub(super) values: Vec<Value>,
    pub(super) gold: Vec<Extremes>,
}

impl Contract {
    /// What docs/types.md says.
    pub(super) fn read() -> Self {
        let mut tables = tables();
        let mut take = |heading: &str| {
            let table = tables.remove(heading);
            table.unwrap_or_else(|| panic!("docs/types.md has no table under `{heading}`"))
        };
        let types = take("The seven types").into_iter().map(|row| {
            let [sql, physical, logical, warehouse] = cells(row);
            Type {
                sql,
                physical,
                logical: logical.replace("none", "NONE"),
                warehouse,
            }
        });
        let values = take("Values").into_iter().map(|row| {
            let [sql, raw, clean, parquet, warehouse] = cells(row);
            let kept = Kept {
                clean,
                parquet,
                warehouse,
            };
            Value {
                sql,
                raw: Some(raw).filter(|raw| *raw != "missing"),
                kept: Some(kept).filter(|_| clean != "rejected"),
            }
        });
        let gold = take("In a gold table").into_iter().map(|row| {
            let [sql, min, min_loaded, max, max_loaded] = cells(row);
            Extremes {
                sql,
                topic: [min, max],
                warehouse: [min_loaded, max_loaded],
            }
        });
        Self {
            types: types.collect(),
            values: values.collect(),
            gold: gold.collect(),
        }
    }
}

/// The rows of every table by the heading that it stands under, without the head of the table.
fn tables() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut tables: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut heading = "";
    for line in DOCUMENT.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            heading = title;
        } else if line.starts_with("| `") {
            tables.entry(heading).or_default().push(line);
        }
    }
    tables
}

/// The cells of a row, without the backquotes; no cell holds a bar.
fn cells<const COUNT: usize>(row: &'static str) -> [&'static str; COUNT] {
    let inner = row.trim_start_matches('|').trim_end_matches('|');
    let cells: Vec<_> = (inner.split('|'))
        .map(|cell| cell.trim_matches(' ').trim_matches('`'))
        .collect();
    cells
        .try_into()
        .unwrap_or_else(|_| panic!("not {COUNT} cells: {row}"))
}
