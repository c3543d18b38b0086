//! The table that a DML statement changes: its rows with their places, and the change that new rows make.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, RecordBatch, UInt64Array},
    compute::{concat_batches, filter_record_batch},
    datatypes::{DataType, Field, Schema, UInt64Type},
};
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, SelectItem, TableAlias, TableFactor,
};

use super::{
    GridColumn, SqlError,
    catalog::{Catalog, Column, Key, Kind, Part, Table},
    expressions::{cast, column},
    names::{key, parts, quoted},
    query::Rows,
    resolve::{Source, alias_of, named},
    session::Work,
    sql_type::SqlType,
    transaction::Change,
};

/// The name of the target's rows inside a statement, and of the columns that say where a row is.
pub(crate) const TARGET: &str = "@TARGET";
pub(crate) const PART: &str = "@PART";
pub(crate) const ROW: &str = "@ROW";

pub(crate) struct Target {
    pub(crate) key: Key,
    pub(crate) table: Arc<Table>,
    alias: TableAlias,
}

/// The full name of the table, if the role may do that with it.
pub(crate) fn authorized(
    work: &Work,
    name: &ObjectName,
    privileges: &[&str],
) -> Result<Key, SqlError> {
    let catalog = work.view();
    let access = work.access();
    let table = key(&work.context, Kind::Table, &parts(name))?;
    for privilege in privileges {
        access.require(&catalog, &table, &[privilege])?;
    }
    Ok(table)
}

impl Target {
    pub(crate) fn new(
        catalog: &Catalog,
        key: &Key,
        alias: Option<TableAlias>,
    ) -> Result<Self, SqlError> {
        let table = catalog
            .table(&key.path)
            .ok_or_else(|| super::access::Access::new("PUBLIC").missing(catalog, key))?;
        Ok(Self {
            table: Arc::clone(table),
            alias: alias.unwrap_or_else(|| alias_of(key.name(), &[])),
            key: key.clone(),
        })
    }

    /// The target as a source of a query.
    pub(crate) fn factor(&self) -> TableFactor {
        named(TARGET, Some(self.alias.clone()))
    }

    /// A column of the target.
    pub(crate) fn column(&self, name: &str) -> Expr {
        Expr::CompoundIdentifier(vec![self.alias.name.clone(), Ident::with_quote('"', name)])
    }

    /// The target's rows, each with its place.
    pub(crate) fn source(&self) -> Result<Source, SqlError> {
        let mut fields: Vec<_> = self
            .table
            .schema(&self.key.path)
            .fields()
            .iter()
            .cloned()
            .collect();
        fields.push(Arc::new(Field::new(PART, DataType::UInt64, false)));
        fields.push(Arc::new(Field::new(ROW, DataType::UInt64, false)));
        let schema = Arc::new(Schema::new(fields));
        let mut batches = Vec::new();
        for part in &self.table.parts {
            let rows = part.batch().num_rows();
            let mut columns = self.table.columns_of(part);
            columns.push(Arc::new(UInt64Array::from_value(part.id, rows)));
            columns.push(Arc::new(UInt64Array::from_iter_values(0..rows as u64)));
            batches.push(RecordBatch::try_new(Arc::clone(&schema), columns)?);
        }
        Ok(Source {
            name: TARGET.to_owned(),
            schema,
            batches,
        })
    }

    pub(crate) fn index_of(&self, name: &str) -> Result<usize, SqlError> {
        self.table
            .column_index(name)
            .ok_or_else(|| SqlError::invalid_identifier(name, 1, 0))
    }

    /// The places of the columns that an INSERT lists: all of them when it lists none.
    pub(crate) fn listed(&self, names: &[String]) -> Result<Vec<usize>, SqlError> {
        if names.is_empty() {
            return Ok((0..self.table.columns.len()).collect());
        }
        names.iter().map(|name| self.index_of(name)).collect()
    }

    /// The parts that go and come when these rows go and those come.
    pub(crate) fn change(
        &self,
        work: &Work,
        gone: &BTreeMap<u64, BTreeSet<u64>>,
        come: Option<RecordBatch>,
    ) -> Result<Change, SqlError> {
        let mut change = self.unchanged();
        for (part_id, rows) in gone {
            let part = self
                .table
                .parts
                .iter()
                .find(|part| part.id == *part_id)
                .expect("rows come from parts of this snapshot");
            change.removed.insert(*part_id);
            let kept: BooleanArray = (0..part.batch().num_rows() as u64)
                .map(|row| Some(!rows.contains(&row)))
                .collect();
            let rest = filter_record_batch(&self.stored(self.table.columns_of(part))?, &kept)?;
            change.added.extend(self.part(work, rest));
        }
        if let Some(rows) = come {
            require_values(&self.table, &rows)?;
            let rows = self.stored(rows.columns().to_vec())?;
            change.added.extend(self.part(work, rows));
        }
        Ok(change)
    }

    /// A change of this table that does nothing yet.
    pub(crate) fn unchanged(&self) -> Change {
        Change {
            table_id: self.table.id,
            ..Change::default()
        }
    }

    fn stored(&self, columns: Vec<ArrayRef>) -> Result<RecordBatch, SqlError> {
        let fields: Vec<Field> = self
            .table
            .columns
            .iter()
            .map(|column| column.sql_type.field(&column.name, true))
            .collect();
        Ok(RecordBatch::try_new(
            Arc::new(Schema::new(fields)),
            columns,
        )?)
    }

    fn part(&self, work: &Work, rows: RecordBatch) -> Option<Part> {
        (rows.num_rows() > 0).then(|| Part {
            id: work.shared.new_id(),
            rows: Some(Arc::new(rows)),
        })
    }
}

/// Passes when no row has NULL where its column does not take it.
pub(crate) fn require_values(table: &Table, rows: &RecordBatch) -> Result<(), SqlError> {
    for (column, values) in table.columns.iter().zip(rows.columns()) {
        if !column.nullable && values.null_count() > 0 {
            return Err(SqlError::new(
                "100072",
                "22000",
                format!("NULL result in a non-nullable column '{}'", column.name),
            ));
        }
    }
    Ok(())
}

/// An expression as a value of the column.
pub(crate) fn value_for(column: &Column, value: Expr) -> Expr {
    cast(value, &column.sql_type.to_string())
}

/// The n-th column of a statement's own query, under a name of ours.
pub(crate) fn item(position: usize, expr: Expr) -> SelectItem {
    SelectItem::ExprWithAlias {
        expr,
        alias: quoted(&image_name(position)),
    }
}

fn image_name(position: usize) -> String {
    format!("@{position}@")
}

/// The rows of a query as one batch, with the n-th column called as [`positional`] says.
pub(crate) fn one_batch(rows: &Rows) -> Result<RecordBatch, SqlError> {
    Ok(concat_batches(&rows.schema, &rows.batches)?)
}

/// Rows under names by position, as a source.
pub(crate) fn positional(rows: Rows, name: &str) -> Result<Source, SqlError> {
    let fields: Vec<Field> = rows
        .schema
        .fields()
        .iter()
        .enumerate()
        .map(|(position, field)| field.as_ref().clone().with_name(image_name(position)))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let batches = rows
        .batches
        .into_iter()
        .map(|batch| RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec()))
        .collect::<Result<_, _>>()?;
    Ok(Source {
        name: name.to_owned(),
        schema,
        batches,
    })
}

/// The column at a position of a [`positional`] source.
pub(crate) fn at(position: usize) -> Expr {
    column(&image_name(position))
}

/// Where the rows of a result are in the target, if they are there.
pub(crate) fn places(batch: &RecordBatch) -> Vec<Option<(u64, u64)>> {
    let parts = batch.column(0).as_primitive::<UInt64Type>();
    let rows = batch.column(1).as_primitive::<UInt64Type>();
    parts
        .iter()
        .zip(rows)
        .map(|(part, row)| part.zip(row))
        .collect()
}

/// A column that counts rows.
pub(crate) fn counter(name: &str) -> GridColumn {
    SqlType::Number {
        precision: 19,
        scale: 0,
    }
    .grid_column(name, false)
}
