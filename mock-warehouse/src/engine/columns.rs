//! Columns as CREATE TABLE and ALTER TABLE define them: types, defaults, counters, constraints.

use datafusion::sql::sqlparser::ast::{
    ColumnDef, ColumnOption, CreateTable, Expr, IdentityPropertyFormatKind, IdentityPropertyKind,
    IdentityPropertyOrder, ObjectName, TableConstraint,
};

use super::{
    SqlError,
    catalog::{Column, Kind},
    names::{key, parts, quoted},
    sequences::{self, Sequence},
    session::Work,
    sql_type::SqlType,
};

/// The columns that a CREATE TABLE defines.
pub(crate) fn columns(work: &Work, table: &CreateTable) -> Result<Vec<Column>, SqlError> {
    let mut columns: Vec<Column> = table
        .columns
        .iter()
        .map(|definition| column(work, definition))
        .collect::<Result<_, _>>()?;
    for constraint in &table.constraints {
        let TableConstraint::PrimaryKey(primary) = constraint else {
            continue;
        };
        for indexed in &primary.columns {
            let Expr::Identifier(name) = &indexed.column.expr else {
                continue;
            };
            let column = columns
                .iter_mut()
                .find(|column| column.name == name.value)
                .ok_or_else(|| SqlError::invalid_identifier(&name.value, 1, 0))?;
            column.primary_key = true;
            column.nullable = false;
        }
    }
    Ok(columns)
}

/// A column as its definition says.
pub(crate) fn column(work: &Work, definition: &ColumnDef) -> Result<Column, SqlError> {
    let mut column = Column {
        name: definition.name.value.clone(),
        sql_type: SqlType::parse(&definition.data_type.to_string())?,
        nullable: true,
        default: None,
        primary_key: false,
        comment: None,
        identity: None,
    };
    for option in &definition.options {
        match &option.option {
            ColumnOption::Null | ColumnOption::Unique(_) | ColumnOption::ForeignKey(_) => {}
            ColumnOption::NotNull => column.nullable = false,
            ColumnOption::Default(value) => column.default = Some(default_text(work, value)?),
            ColumnOption::Identity(kind) => column.identity = Some(identity(work, kind)?),
            ColumnOption::PrimaryKey(_) => {
                column.primary_key = true;
                column.nullable = false;
            }
            ColumnOption::Comment(comment) => column.comment = Some(comment.clone()),
            other => return Err(SqlError::unsupported(format!("COLUMN OPTION {other}"))),
        }
    }
    Ok(column)
}

/// A default as it is kept: a sequence by its full name.
pub(crate) fn default_text(work: &Work, value: &Expr) -> Result<String, SqlError> {
    let Some(name) = sequences::reference(value) else {
        return Ok(value.to_string());
    };
    let key = key(&work.context, Kind::Sequence, &name)?;
    work.access().require(&work.view(), &key, &["USAGE"])?;
    let name: Vec<String> = key
        .path
        .iter()
        .map(|part| quoted(part).to_string())
        .collect();
    Ok(format!("{}.NEXTVAL", name.join(".")))
}

/// AUTOINCREMENT and IDENTITY are two words for one thing.
fn identity(work: &Work, kind: &IdentityPropertyKind) -> Result<Sequence, SqlError> {
    let (IdentityPropertyKind::Autoincrement(property) | IdentityPropertyKind::Identity(property)) =
        kind;
    let (start, increment) = match &property.parameters {
        None => (1, 1),
        Some(
            IdentityPropertyFormatKind::FunctionCall(given)
            | IdentityPropertyFormatKind::StartAndIncrement(given),
        ) => {
            let number = |value: &Expr| {
                let number = value.to_string().parse();
                number.map_err(|_| SqlError::syntax(format!("'{value}' is no whole number")))
            };
            (number(&given.seed)?, number(&given.increment)?)
        }
    };
    if increment == 0 {
        return Err(SqlError::syntax("the increment of a sequence is not 0"));
    }
    Ok(Sequence {
        counter: work.shared.new_id(),
        start,
        increment,
        ordered: matches!(property.order, Some(IdentityPropertyOrder::Order)),
    })
}

/// The columns of another table, with counters of their own.
pub(crate) fn columns_like(work: &Work, name: &ObjectName) -> Result<Vec<Column>, SqlError> {
    let key = key(&work.context, Kind::Table, &parts(name))?;
    let catalog = work.view();
    work.access().require(&catalog, &key, &["SELECT"])?;
    let mut columns = catalog
        .table(&key.path)
        .map(|table| table.columns.clone())
        .unwrap_or_default();
    for column in &mut columns {
        if let Some(identity) = &mut column.identity {
            identity.counter = work.shared.new_id();
        }
    }
    Ok(columns)
}
