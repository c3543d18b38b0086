//! INFORMATION_SCHEMA: what exists, as tables to query.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Decimal128Array, RecordBatch, StringArray, TimestampMillisecondArray},
    datatypes::Schema,
};

use super::{
    SqlError,
    access::Access,
    catalog::{Body, Catalog, Column, Key, Kind, Object},
    resolve::Source,
    sql_type::SqlType,
};

/// The schema's name, in every database.
pub(crate) const SCHEMA: &str = "INFORMATION_SCHEMA";

/// A row's values: text, a number, or a moment in milliseconds since 1970.
enum Value {
    Text(Option<String>),
    Number(Option<i128>),
    Moment(i64),
}

/// The rows of `DATABASE.INFORMATION_SCHEMA.<table>`, if there is such a table.
pub(crate) fn source(
    catalog: &Catalog,
    access: &Access,
    database: &str,
    table: &str,
) -> Result<Option<Source>, SqlError> {
    let seen = catalog.objects.iter().filter(|(key, _)| {
        matches!(key.kind, Kind::Table | Kind::View)
            && key.path[0] == database
            && access.sees(catalog, key)
    });
    let (names, rows): (&[&str], Vec<Vec<Value>>) = match table {
        "TABLES" => (
            &[
                "TABLE_CATALOG",
                "TABLE_SCHEMA",
                "TABLE_NAME",
                "TABLE_OWNER",
                "TABLE_TYPE",
                "ROW_COUNT",
                "CREATED",
                "COMMENT",
            ],
            seen.map(|(key, object)| {
                let (kind, rows) = match &object.body {
                    Body::Table(table) => ("BASE TABLE", i128::try_from(table.row_count()).ok()),
                    _ => ("VIEW", None),
                };
                let mut row = named(key);
                row.extend([
                    text(&object.owner),
                    text(kind),
                    Value::Number(rows),
                    Value::Moment(object.created),
                    text(&object.comment),
                ]);
                row
            })
            .collect(),
        ),
        "COLUMNS" => (
            &[
                "TABLE_CATALOG",
                "TABLE_SCHEMA",
                "TABLE_NAME",
                "COLUMN_NAME",
                "ORDINAL_POSITION",
                "COLUMN_DEFAULT",
                "IS_NULLABLE",
                "DATA_TYPE",
                "CHARACTER_MAXIMUM_LENGTH",
                "NUMERIC_PRECISION",
                "NUMERIC_SCALE",
                "DATETIME_PRECISION",
            ],
            seen.flat_map(|(key, object)| match &object.body {
                Body::Table(table) => table
                    .columns
                    .iter()
                    .enumerate()
                    .map(|(position, column)| described(key, position, column))
                    .collect(),
                _ => vec![],
            })
            .collect(),
        ),
        _ => match more(catalog, access, database, table) {
            Some(found) => found,
            None => return Ok(None),
        },
    };
    Ok(Some(Source {
        name: format!("{database}.{SCHEMA}.{table}"),
        ..built(names, rows)?
    }))
}

/// Names of columns, and rows.
type Listed = (&'static [&'static str], Vec<Vec<Value>>);

/// Tables about what is in the database besides tables and columns.
fn more(catalog: &Catalog, access: &Access, database: &str, table: &str) -> Option<Listed> {
    let seen = |kind: Kind| {
        catalog.objects.iter().filter(move |(key, _)| {
            key.kind == kind && key.path[0] == database && access.sees(catalog, key)
        })
    };
    let optional = |value: &Option<String>| Value::Text(value.clone());
    Some(match table {
        "VIEWS" => (
            &[
                "TABLE_CATALOG",
                "TABLE_SCHEMA",
                "TABLE_NAME",
                "TABLE_OWNER",
                "VIEW_DEFINITION",
                "IS_SECURE",
                "CREATED",
                "COMMENT",
            ],
            seen(Kind::View)
                .map(|(key, object)| {
                    let Body::View(view) = &object.body else {
                        return named(key);
                    };
                    let mut row = named(key);
                    row.extend([
                        text(&object.owner),
                        text(&view.statement),
                        text(if view.secure { "YES" } else { "NO" }),
                        Value::Moment(object.created),
                        text(&object.comment),
                    ]);
                    row
                })
                .collect(),
        ),
        "SCHEMATA" => (
            &[
                "CATALOG_NAME",
                "SCHEMA_NAME",
                "SCHEMA_OWNER",
                "CREATED",
                "COMMENT",
            ],
            described_objects(seen(Kind::Schema)),
        ),
        "DATABASES" => (
            &["DATABASE_NAME", "DATABASE_OWNER", "CREATED", "COMMENT"],
            described_objects(
                catalog
                    .objects
                    .iter()
                    .filter(|(key, _)| key.kind == Kind::Database && access.sees(catalog, key)),
            ),
        ),
        "FILE_FORMATS" => (
            &[
                "FILE_FORMAT_CATALOG",
                "FILE_FORMAT_SCHEMA",
                "FILE_FORMAT_NAME",
                "FILE_FORMAT_OWNER",
                "CREATED",
                "COMMENT",
            ],
            described_objects(seen(Kind::FileFormat)),
        ),
        "STAGES" => (
            &[
                "STAGE_CATALOG",
                "STAGE_SCHEMA",
                "STAGE_NAME",
                "STAGE_OWNER",
                "CREATED",
                "COMMENT",
                "STAGE_URL",
                "STAGE_TYPE",
            ],
            seen(Kind::Stage)
                .zip(described_objects(seen(Kind::Stage)))
                .map(|((_, object), mut row)| {
                    let url = match &object.body {
                        Body::Stage(stage) => stage.url.clone(),
                        _ => None,
                    };
                    row.push(optional(&url));
                    row.push(text(match url {
                        Some(_) => "External Named",
                        None => "Internal Named",
                    }));
                    row
                })
                .collect(),
        ),
        "LOAD_HISTORY" => (
            &[
                "SCHEMA_NAME",
                "FILE_NAME",
                "TABLE_NAME",
                "LAST_LOAD_TIME",
                "STATUS",
                "ROW_COUNT",
                "ROW_PARSED",
                "FIRST_ERROR_MESSAGE",
                "ERROR_COUNT",
            ],
            seen(Kind::Table)
                .flat_map(|(key, object)| loads(key, &object.body))
                .collect(),
        ),
        _ => return None,
    })
}

/// Name, owner, age and comment of each object.
fn described_objects<'a>(objects: impl Iterator<Item = (&'a Key, &'a Object)>) -> Vec<Vec<Value>> {
    objects
        .map(|(key, object)| {
            let mut row = named(key);
            row.extend([
                text(&object.owner),
                Value::Moment(object.created),
                text(&object.comment),
            ]);
            row
        })
        .collect()
}

/// What COPY has loaded into the table, or tried to.
fn loads(key: &Key, body: &Body) -> Vec<Vec<Value>> {
    let Body::Table(table) = body else {
        return Vec::new();
    };
    let number = |count: usize| Value::Number(i128::try_from(count).ok());
    table
        .loads
        .iter()
        .map(|load| {
            vec![
                text(&key.path[1]),
                text(&load.file),
                text(key.name()),
                Value::Moment(load.at),
                text(load.status()),
                number(load.rows_loaded),
                number(load.rows_parsed),
                Value::Text(load.first_error.clone()),
                number(usize::from(load.first_error.is_some())),
            ]
        })
        .collect()
}

fn text(value: &str) -> Value {
    Value::Text(Some(value.to_owned()))
}

fn named(key: &Key) -> Vec<Value> {
    key.path.iter().map(|part| text(part)).collect()
}

fn described(key: &Key, position: usize, column: &Column) -> Vec<Value> {
    let grid = column.sql_type.grid_column(&column.name, column.nullable);
    let number = |value: Option<i64>| Value::Number(value.map(i128::from));
    let full = column.sql_type.to_string();
    let is_number = matches!(column.sql_type, SqlType::Number { .. });
    let is_time = matches!(
        column.sql_type,
        SqlType::TimestampNtz { .. } | SqlType::TimestampLtz { .. } | SqlType::TimestampTz { .. }
    );
    let data_type = match column.sql_type {
        SqlType::Varchar { .. } => "TEXT",
        _ => full.split('(').next().unwrap_or(&full),
    };
    let mut row = named(key);
    row.extend([
        text(&column.name),
        Value::Number(i128::try_from(position + 1).ok()),
        Value::Text(column.default.clone()),
        text(if column.nullable { "YES" } else { "NO" }),
        text(data_type),
        number(grid.length),
        number(grid.precision.filter(|_| is_number)),
        number(grid.scale.filter(|_| is_number)),
        number(grid.scale.filter(|_| is_time)),
    ]);
    row
}

/// Columns are of the kind of their first values; without rows all are text.
fn built(names: &[&str], rows: Vec<Vec<Value>>) -> Result<Source, SqlError> {
    let count = rows.len();
    let mut columns: Vec<Vec<Value>> = names.iter().map(|_| Vec::with_capacity(count)).collect();
    for row in rows {
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    let (mut fields, mut arrays): (Vec<_>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
    for (name, values) in names.iter().zip(columns) {
        let (sql_type, array) = column(values)?;
        fields.push(sql_type.field(name, true));
        arrays.push(array);
    }
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
    Ok(Source {
        name: String::new(),
        schema,
        batches: vec![batch],
    })
}

fn column(values: Vec<Value>) -> Result<(SqlType, ArrayRef), SqlError> {
    if values.iter().any(|value| matches!(value, Value::Number(_))) {
        let numbers = values.into_iter().map(|value| match value {
            Value::Number(number) => number,
            _ => None,
        });
        let numbers: Decimal128Array = numbers.collect();
        let sql_type = SqlType::Number {
            precision: 38,
            scale: 0,
        };
        return Ok((sql_type, Arc::new(numbers.with_precision_and_scale(38, 0)?)));
    }
    if values.iter().any(|value| matches!(value, Value::Moment(_))) {
        let moments = values.into_iter().map(|value| match value {
            Value::Moment(milliseconds) => Some(milliseconds),
            _ => None,
        });
        let moments: TimestampMillisecondArray = moments.collect();
        let sql_type = SqlType::TimestampLtz { scale: 3 };
        let moments: ArrayRef = Arc::new(moments.with_timezone("UTC"));
        let moments = arrow::compute::cast(&moments, sql_type.field("", true).data_type())?;
        return Ok((sql_type, moments));
    }
    let texts = values.into_iter().map(|value| match value {
        Value::Text(text) => text,
        _ => None,
    });
    let texts: StringArray = texts.collect();
    Ok((SqlType::Varchar { length: 16_777_216 }, Arc::new(texts)))
}
