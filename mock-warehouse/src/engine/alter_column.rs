//! ALTER TABLE ... ALTER COLUMN and RENAME COLUMN: what Snowflake changes in place, and no more.
//! <https://docs.snowflake.com/en/sql-reference/sql/alter-table-column>

use std::sync::Arc;

use arrow::{array::RecordBatch, compute::cast, datatypes::Schema};
use datafusion::sql::sqlparser::ast::AlterColumnOperation;

use super::{
    SqlError,
    catalog::{Column, Key, Part, Table},
    session::Work,
    sql_type::SqlType,
};

/// Widens a column's type, or lets it be NULL.
pub(crate) fn alter(
    work: &Work,
    key: &Key,
    name: &str,
    operation: &AlterColumnOperation,
) -> Result<(), SqlError> {
    let table = table(work, key);
    let index = index_of(&table, name)?;
    match operation {
        AlterColumnOperation::DropNotNull => work.shared.change(|catalog| {
            catalog.change_table(key, |table| table.columns[index].nullable = true)
        }),
        AlterColumnOperation::SetDataType { data_type, .. } => {
            let wanted = SqlType::parse(&data_type.to_string())?;
            let (columns, parts) = retyped(work, &table, index, wanted)?;
            work.shared.change(|catalog| {
                catalog.change_table(key, |table| {
                    table.columns = columns;
                    table.parts = parts;
                })
            })
        }
        other => Err(SqlError::unsupported(format!(
            "ALTER TABLE ALTER COLUMN {other}"
        ))),
    }
}

/// Gives a column another name.
pub(crate) fn rename(work: &Work, key: &Key, from: &str, to: &str) -> Result<(), SqlError> {
    let table = table(work, key);
    let index = index_of(&table, from)?;
    if table.column_index(to).is_some() {
        return Err(SqlError::new(
            "001430",
            "42601",
            format!("SQL compilation error:\ncolumn '{to}' already exists"),
        ));
    }
    work.shared.change(|catalog| {
        catalog.change_table(key, |table| table.columns[index].name = to.to_owned())
    })
}

fn table(work: &Work, key: &Key) -> Arc<Table> {
    let catalog = work.view();
    let table = catalog.table(&key.path);
    Arc::clone(table.expect("the lock is on the table"))
}

fn index_of(table: &Table, name: &str) -> Result<usize, SqlError> {
    table
        .column_index(name)
        .ok_or_else(|| SqlError::invalid_identifier(name, 1, 0))
}

/// The table's columns and parts with a wider type for one of them.
fn retyped(
    work: &Work,
    table: &Table,
    index: usize,
    wanted: SqlType,
) -> Result<(Vec<Column>, Vec<Part>), SqlError> {
    let mut columns = table.columns.clone();
    let before = columns[index].sql_type;
    if !widens(before, wanted) {
        // The words are those that others quote; the code is not proven.
        return Err(SqlError::new(
            "002108",
            "22000",
            format!(
                "SQL compilation error:\ncannot change column {} from type {before} to {wanted}",
                columns[index].name
            ),
        ));
    }
    columns[index].sql_type = wanted;
    let fields: Vec<_> = columns
        .iter()
        .map(|column| column.sql_type.field(&column.name, true))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let mut parts = Vec::with_capacity(table.parts.len());
    for part in &table.parts {
        let mut values = table.columns_of(part);
        values[index] = cast(&values[index], &wanted.arrow())?;
        parts.push(Part {
            id: work.shared.new_id(),
            rows: Some(Arc::new(RecordBatch::try_new(Arc::clone(&schema), values)?)),
        });
    }
    Ok((columns, parts))
}

/// A number may get more digits before the point, a text more characters.
fn widens(before: SqlType, wanted: SqlType) -> bool {
    match (before, wanted) {
        (
            SqlType::Number { precision, scale },
            SqlType::Number {
                precision: wider,
                scale: same,
            },
        ) => scale == same && wider >= precision,
        (SqlType::Varchar { length }, SqlType::Varchar { length: longer }) => longer >= length,
        (before, wanted) => before == wanted,
    }
}
