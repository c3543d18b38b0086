//! INSERT, UPDATE, DELETE and TRUNCATE.

use std::collections::{BTreeMap, BTreeSet};

use arrow::{array::UInt64Array, compute::take_record_batch};
use datafusion::sql::sqlparser::{
    ast::{
        Assignment, AssignmentTarget, Expr, FromTable, ObjectName, Query, SetExpr, Statement,
        TableAlias, TableFactor, TableObject, TableWithJoins, UpdateTableFromKind,
    },
    dialect::SnowflakeDialect,
    parser::Parser,
};

use super::{
    Bindings, Grid, SqlError, StatementKind, Stats, batch,
    catalog::{Column, Key, Kind, Table},
    encode,
    expressions::{null, query, select_of},
    multi_insert::insert_all,
    names::{self, parts},
    query::{Rows, Scene, parsed, placed},
    resolve::{Source, named},
    session::Work,
    target::{
        PART, ROW, Target, at, authorized, counter, item, one_batch, places, positional, value_for,
    },
    text,
};

/// Rows that a query found for an INSERT.
const FOUND: &str = "@FOUND";

/// A grid that counts rows, with statistics when there are any.
pub(crate) fn counted(counts: &[(&str, usize)], stats: Stats) -> Grid {
    Grid {
        columns: counts.iter().map(|(name, _)| counter(name)).collect(),
        rows: vec![
            counts
                .iter()
                .map(|(_, count)| Some(count.to_string()))
                .collect(),
        ],
        stats: (stats != Stats::default()).then_some(stats),
        kind: StatementKind::Other,
    }
}

/// Runs an INSERT once for each set of bindings; all rows come together or none does.
pub(crate) async fn insert(
    work: &mut Work,
    sql: &str,
    bindings: &[Bindings],
) -> Result<Grid, SqlError> {
    let normalized = text::normalize(sql)?;
    let Statement::Insert(insert) = parsed(normalized.tokens.clone())? else {
        return Err(SqlError::unsupported("THIS KIND OF INSERT"));
    };
    if insert.multi_table_insert_type.is_some() {
        return match bindings {
            [single] => insert_all(work, sql, insert, &normalized, single).await,
            _ => Err(SqlError::unsupported("ARRAY BINDS IN A MULTI-TABLE INSERT")),
        };
    }
    let (TableObject::TableName(name), Some(mut source)) = (&insert.table, insert.source) else {
        return Err(SqlError::unsupported("THIS KIND OF INSERT"));
    };
    let privileges: &[&str] = if insert.overwrite {
        &["INSERT", "DELETE"]
    } else {
        &["INSERT"]
    };
    let key = authorized(work, name, privileges)?;
    let _lock = match insert.overwrite {
        true => Some(locked(work, &key).await?),
        false => None,
    };
    let mut scene = Scene::new(work, &normalized, &Bindings::new()).await?;
    let target = Target::new(&scene.catalog, &key, None)?;
    let names: Vec<String> = insert.columns.iter().map(column_name).collect();
    let listed = target.listed(&names)?;
    let mut count = 0;
    let mut whole = target.unchanged();
    if insert.overwrite {
        whole.removed = target.table.parts.iter().map(|part| part.id).collect();
    }
    let columns: Vec<&Column> = listed
        .iter()
        .map(|index| &target.table.columns[*index])
        .collect();
    fill_defaults(&mut source, &columns)?;
    for (query, bindings) in batch::sources(&mut scene, &source, bindings, &columns)? {
        scene.constants.bindings = bindings;
        let (found, _) = scene
            .run(query, Vec::new())
            .await
            .map_err(|error| placed(error, sql))?;
        let width = found.schema.fields().len();
        if width != listed.len() {
            return Err(wrong_width(listed.len(), width));
        }
        let values = listed.iter().copied().zip((0..width).map(at)).collect();
        let source = positional(found, FOUND)?;
        let rows = one_batch(&imaged(&scene, &target.table, values, source).await?)?;
        count += rows.num_rows();
        let change = target.change(work, &BTreeMap::new(), Some(rows))?;
        whole.added.extend(change.added);
    }
    work.finish(&key, whole)?;
    Ok(counted(
        &[("number of rows inserted", count)],
        Stats {
            rows_inserted: count as u64,
            ..Stats::default()
        },
    ))
}

/// More values than columns, or fewer.
pub(crate) fn wrong_width(columns: usize, values: usize) -> SqlError {
    SqlError::new(
        "002020",
        "21S01",
        format!(
            "SQL compilation error:\nInsert value list does not match column list expecting {columns} but got {values}"
        ),
    )
}

/// The found rows as rows of the table: each column's value cast to its type, defaults where there is none.
pub(crate) async fn imaged(
    scene: &Scene,
    table: &Table,
    values: BTreeMap<usize, Expr>,
    found: Source,
) -> Result<Rows, SqlError> {
    imaged_where(scene, table, values, found, None).await
}

/// As [`imaged`], of those rows that meet the condition.
pub(crate) async fn imaged_where(
    scene: &Scene,
    table: &Table,
    mut values: BTreeMap<usize, Expr>,
    found: Source,
    condition: Option<Expr>,
) -> Result<Rows, SqlError> {
    let mut wanted = query("SELECT 1");
    let select = select_of(&mut wanted);
    select.projection = table
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let value = match values.remove(&index) {
                Some(value) => value,
                None => default_of(column)?,
            };
            Ok(item(index, value_for(column, value)))
        })
        .collect::<Result<_, SqlError>>()?;
    select.from = vec![TableWithJoins {
        relation: named(&found.name, None),
        joins: vec![],
    }];
    select.selection = condition;
    let (rows, _) = scene.run(wanted, vec![found]).await?;
    Ok(rows)
}

/// Whether the expression is the word DEFAULT.
pub(crate) fn is_default(value: &Expr) -> bool {
    matches!(value, Expr::Identifier(word) if word.quote_style.is_none() && word.value == "DEFAULT")
}

/// Puts the columns' defaults where rows of VALUES say DEFAULT.
fn fill_defaults(source: &mut Query, columns: &[&Column]) -> Result<(), SqlError> {
    let SetExpr::Values(values) = source.body.as_mut() else {
        return Ok(());
    };
    let cells = values.rows.iter().flat_map(|row| &row.content);
    if !cells.into_iter().any(is_default) {
        return Ok(());
    }
    // Beside a default all rows have to agree on the columns' types.
    for row in &mut values.rows {
        for (value, column) in row.content.iter_mut().zip(columns) {
            let given = match is_default(value) {
                true => default_of(column)?,
                false => std::mem::replace(value, null()),
            };
            *value = value_for(column, given);
        }
    }
    Ok(())
}

/// The default of a column: NULL when it has none.
pub(crate) fn default_of(column: &Column) -> Result<Expr, SqlError> {
    if let Some(identity) = column.identity {
        return Ok(identity.next_value());
    }
    let Some(default) = &column.default else {
        return Ok(null());
    };
    let normalized = text::normalize(default)?;
    Parser::new(&SnowflakeDialect {})
        .with_tokens_with_locations(normalized.tokens)
        .parse_expr()
        .map_err(SqlError::syntax)
}

pub(crate) fn column_name(name: &ObjectName) -> String {
    parts(name).pop().unwrap_or_default()
}

/// The columns that assignments set, and to what.
pub(crate) fn assigned(
    target: &Target,
    assignments: Vec<Assignment>,
) -> Result<BTreeMap<usize, Expr>, SqlError> {
    let mut values = BTreeMap::new();
    for assignment in assignments {
        let AssignmentTarget::ColumnName(name) = &assignment.target else {
            return Err(SqlError::unsupported("ASSIGNMENT TO SEVERAL COLUMNS"));
        };
        let index = target.index_of(&column_name(name))?;
        let value = match is_default(&assignment.value) {
            true => default_of(&target.table.columns[index])?,
            false => assignment.value,
        };
        values.insert(index, value);
    }
    Ok(values)
}

/// The name and alias of a statement's one table.
pub(crate) fn table_of(factor: TableFactor) -> Result<(ObjectName, Option<TableAlias>), SqlError> {
    match factor {
        TableFactor::Table { name, alias, .. } => Ok((name, alias)),
        other => Err(SqlError::unsupported(format!("CHANGING {other}"))),
    }
}

/// Locks the table before the statement looks at anything: what it sees is what the last holder has left.
pub(crate) async fn locked(
    work: &mut Work,
    key: &Key,
) -> Result<super::session::StatementLock, SqlError> {
    let table = work.view().table(&key.path).map(|table| table.id);
    let id = table.ok_or_else(|| work.access().missing(&work.view(), key))?;
    work.lock(id, key.name()).await
}

pub(crate) async fn update(
    work: &mut Work,
    sql: &str,
    bindings: &Bindings,
) -> Result<Grid, SqlError> {
    let normalized = text::normalize(sql)?;
    let Statement::Update(update) = parsed(normalized.tokens.clone())? else {
        return Err(SqlError::unsupported("THIS KIND OF UPDATE"));
    };
    let (name, alias) = table_of(update.table.relation)?;
    let key = authorized(work, &name, &["UPDATE", "SELECT"])?;
    let _lock = locked(work, &key).await?;
    let scene = Scene::new(work, &normalized, bindings).await?;
    let target = Target::new(&scene.catalog, &key, alias)?;
    let mut values = assigned(&target, update.assignments)?;
    let images = target
        .table
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| match values.remove(&index) {
            Some(value) => value_for(column, value),
            None => target.column(&column.name),
        })
        .collect();
    let from = match update.from {
        Some(UpdateTableFromKind::AfterSet(from) | UpdateTableFromKind::BeforeSet(from)) => from,
        None => vec![],
    };
    let found = affected(&scene, &target, images, from, update.selection)
        .await
        .map_err(|error| placed(error, sql))?;
    let rows = one_batch(&found)?;
    let mut gone: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    let mut kept = Vec::new();
    let mut repeated = BTreeSet::new();
    for (index, place) in places(&rows).into_iter().enumerate() {
        let (part, row) = place.expect("each row is one of the target's");
        if gone.entry(part).or_default().insert(row) {
            kept.push(index as u64);
        } else {
            repeated.insert((part, row));
        }
    }
    let count = kept.len();
    let all: Vec<usize> = (2..rows.num_columns()).collect();
    let images = take_record_batch(&rows.project(&all)?, &UInt64Array::from(kept))?;
    let change = target.change(work, &gone, Some(images))?;
    work.finish(&key, change)?;
    Ok(counted(
        &[
            ("number of rows updated", count),
            ("number of multi-joined rows updated", repeated.len()),
        ],
        Stats {
            rows_updated: count as u64,
            ..Stats::default()
        },
    ))
}

/// The target's rows that a condition selects: their places, and what they become.
async fn affected(
    scene: &Scene,
    target: &Target,
    images: Vec<Expr>,
    from: Vec<TableWithJoins>,
    selection: Option<Expr>,
) -> Result<Rows, SqlError> {
    let mut wanted = query("SELECT 1");
    let select = select_of(&mut wanted);
    select.projection = [target.column(PART), target.column(ROW)]
        .into_iter()
        .chain(images)
        .enumerate()
        .map(|(position, value)| item(position, value))
        .collect();
    select.from = vec![TableWithJoins {
        relation: target.factor(),
        joins: vec![],
    }];
    select.from.extend(from);
    select.selection = selection;
    let (rows, _) = scene.run(wanted, vec![target.source()?]).await?;
    Ok(rows)
}

pub(crate) async fn delete(
    work: &mut Work,
    sql: &str,
    bindings: &Bindings,
) -> Result<Grid, SqlError> {
    let normalized = text::normalize(sql)?;
    let Statement::Delete(delete) = parsed(normalized.tokens.clone())? else {
        return Err(SqlError::unsupported("THIS KIND OF DELETE"));
    };
    let (FromTable::WithFromKeyword(mut from) | FromTable::WithoutKeyword(mut from)) = delete.from;
    if from.len() != 1 {
        return Err(SqlError::unsupported("DELETE FROM SEVERAL TABLES"));
    }
    let (name, alias) = table_of(from.remove(0).relation)?;
    let key = authorized(work, &name, &["DELETE", "SELECT"])?;
    let _lock = locked(work, &key).await?;
    let scene = Scene::new(work, &normalized, bindings).await?;
    let target = Target::new(&scene.catalog, &key, alias)?;
    let using = delete.using.unwrap_or_default();
    let found = affected(&scene, &target, vec![], using, delete.selection)
        .await
        .map_err(|error| placed(error, sql))?;
    let mut gone: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for (part, row) in places(&one_batch(&found)?).into_iter().flatten() {
        gone.entry(part).or_default().insert(row);
    }
    let count = gone.values().map(BTreeSet::len).sum();
    let change = target.change(work, &gone, None)?;
    work.finish(&key, change)?;
    Ok(deleted(&[("number of rows deleted", count)], count))
}

fn deleted(counts: &[(&str, usize)], count: usize) -> Grid {
    counted(
        counts,
        Stats {
            rows_deleted: count as u64,
            ..Stats::default()
        },
    )
}

pub(crate) async fn truncate(work: &mut Work, sql: &str) -> Result<Grid, SqlError> {
    let normalized = text::normalize(sql)?;
    let Statement::Truncate(truncate) = parsed(normalized.tokens)? else {
        return Err(SqlError::unsupported("THIS KIND OF TRUNCATE"));
    };
    let [table] = truncate.table_names.as_slice() else {
        return Err(SqlError::unsupported("TRUNCATE OF SEVERAL TABLES"));
    };
    let named = names::key(&work.context, Kind::Table, &parts(&table.name))?;
    if truncate.if_exists && !work.access().sees(&work.view(), &named) {
        return Ok(encode::status("Statement executed successfully."));
    }
    let key = authorized(work, &table.name, &["DELETE", "TRUNCATE"])?;
    let _lock = locked(work, &key).await?;
    let target = Target::new(&work.view(), &key, None)?;
    let gone = target
        .table
        .parts
        .iter()
        .map(|part| (part.id, (0..part.batch().num_rows() as u64).collect()))
        .collect();
    let mut change = target.change(work, &gone, None)?;
    change.forgets = true;
    work.finish(&key, change)?;
    let stats = deleted(&[], target.table.row_count()).stats;
    Ok(Grid {
        stats,
        ..encode::status("Statement executed successfully.")
    })
}
