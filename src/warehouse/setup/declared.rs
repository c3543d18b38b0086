//! The tables that a pipeline's scripts declare, read without a warehouse: so that a gold query and its table can be
//! compared before anything runs.

use std::path::{Path, PathBuf};

use datafusion::sql::sqlparser::{
    ast::{self, ColumnOption, ObjectNamePart, TableConstraint},
    dialect::SnowflakeDialect,
    parser::Parser,
};

use super::{
    SetupError, Statement, Variables,
    run::{creates_table, load},
};
use crate::warehouse::WarehouseType;

/// A table as a script declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredTable {
    /// Name without database and schema; in upper case unless the script quotes it.
    pub name: String,
    /// Name (in upper case unless quoted), type as [`WarehouseType`] writes it, and whether NULL is refused; in order.
    pub columns: Vec<(String, String, bool)>,
    /// The script.
    pub file: PathBuf,
    /// The line on which the statement begins, counted from 1.
    pub line: usize,
}

/// The tables that the scripts of a folder create, in order.
pub fn declared_tables(folder: &Path) -> Result<Vec<DeclaredTable>, SetupError> {
    let statements = load(folder, &Variables::placeholders())?;
    let tables = statements
        .iter()
        .filter(|statement| creates_table(&statement.text))
        .map(declared);
    tables.collect()
}

fn declared(statement: &Statement) -> Result<DeclaredTable, SetupError> {
    let unreadable = |problem: String| SetupError::Script {
        place: statement.place.clone(),
        problem: format!("cannot read this CREATE TABLE: {problem}"),
        hint: "write one CREATE TABLE IF NOT EXISTS name (column type [NOT NULL], ...)".into(),
    };
    let parsed = Parser::parse_sql(&SnowflakeDialect {}, &statement.text)
        .map_err(|error| unreadable(error.to_string()))?;
    let [ast::Statement::CreateTable(table)] = parsed.as_slice() else {
        return Err(unreadable("it is something else".into()));
    };
    let Some(ObjectNamePart::Identifier(name)) = table.name.0.last() else {
        return Err(unreadable("its name is computed".into()));
    };
    let key: Vec<String> = table.constraints.iter().flat_map(key_columns).collect();
    let columns = table.columns.iter().map(|column| {
        let name = stored(&column.name);
        let not_null = key.contains(&name)
            || column.options.iter().any(|option| {
                matches!(
                    option.option,
                    ColumnOption::NotNull | ColumnOption::PrimaryKey(_)
                )
            });
        let kind = WarehouseType::parse(&column.data_type.to_string());
        (name, kind.to_string(), not_null)
    });
    Ok(DeclaredTable {
        name: stored(name),
        columns: columns.collect(),
        file: statement.place.file.clone(),
        line: statement.place.line,
    })
}

/// A primary key's columns refuse NULL.
fn key_columns(constraint: &TableConstraint) -> Vec<String> {
    let TableConstraint::PrimaryKey(key) = constraint else {
        return Vec::new();
    };
    let columns = key
        .columns
        .iter()
        .filter_map(|column| match &column.column.expr {
            ast::Expr::Identifier(name) => Some(stored(name)),
            _ => None,
        });
    columns.collect()
}

/// A name as the warehouse stores it.
fn stored(name: &ast::Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_ascii_uppercase(),
    }
}
