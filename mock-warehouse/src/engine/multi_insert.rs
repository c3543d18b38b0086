//! INSERT ALL and INSERT FIRST: the rows of one query into several tables, all of them or none.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Insert, MultiTableInsertIntoClause, MultiTableInsertType,
    MultiTableInsertValue, Query,
};

use super::{
    Bindings, Grid, SqlError, Stats,
    catalog::Key,
    dml::{counted, default_of, imaged_where, locked, wrong_width},
    expressions::{column, nested},
    query::{Rows, Scene, placed},
    resolve::Source,
    session::Work,
    target::{Target, authorized, one_batch},
    text::Normalized,
    transaction::{Change, Transaction},
};

/// The name of the query's rows while they are inserted.
const FOUND: &str = "@FOUND";

/// An INTO clause, and the rows that it takes: all of them without a condition.
type Branch = (MultiTableInsertIntoClause, Option<Expr>);

/// Runs an INSERT ALL or INSERT FIRST.
pub(crate) async fn insert_all(
    work: &mut Work,
    sql: &str,
    mut insert: Insert,
    normalized: &Normalized,
    bindings: &Bindings,
) -> Result<Grid, SqlError> {
    let Some(query) = insert.source.take() else {
        return Err(SqlError::unsupported("THIS KIND OF MULTI-TABLE INSERT"));
    };
    let overwrite = insert.overwrite;
    let branches = branches(insert)?;
    let privileges: &[&str] = if overwrite {
        &["INSERT", "DELETE"]
    } else {
        &["INSERT"]
    };
    let keys: Vec<Key> = branches
        .iter()
        .map(|(clause, _)| authorized(work, &clause.table_name, privileges))
        .collect::<Result<_, _>>()?;
    let mut locks = Vec::new();
    let mut emptied: Vec<Key> = Vec::new();
    if overwrite {
        emptied = keys.clone();
        emptied.sort();
        emptied.dedup();
        for key in &emptied {
            locks.push(locked(work, key).await?);
        }
    }
    let scene = Scene::new(work, normalized, bindings).await?;
    let source = found(&scene, *query)
        .await
        .map_err(|error| placed(error, sql))?;
    let (mut counts, mut changes) = (Vec::new(), Vec::new());
    for key in emptied {
        let target = Target::new(&scene.catalog, &key, None)?;
        let mut change = target.unchanged();
        change.removed = target.table.parts.iter().map(|part| part.id).collect();
        changes.push((key, change));
    }
    for (branch, key) in branches.into_iter().zip(keys) {
        let (count, change) = into_one(work, &scene, &source, branch, &key)
            .await
            .map_err(|error| placed(error, sql))?;
        let name = format!("number of rows inserted into {}", key.name());
        counts.push((name, count));
        changes.push((key, change));
    }
    keep(work, changes)?;
    let counts: Vec<(&str, usize)> = counts
        .iter()
        .map(|(name, count)| (name.as_str(), *count))
        .collect();
    let total: usize = counts.iter().map(|(_, count)| count).sum();
    Ok(counted(
        &counts,
        Stats {
            rows_inserted: total as u64,
            ..Stats::default()
        },
    ))
}

/// Each INTO with its condition. FIRST takes a row at the first WHEN that it meets, ELSE what meets none.
fn branches(insert: Insert) -> Result<Vec<Branch>, SqlError> {
    let first = matches!(
        insert.multi_table_insert_type,
        Some(MultiTableInsertType::First)
    );
    let mut branches: Vec<Branch> = insert
        .multi_table_into_clauses
        .into_iter()
        .map(|clause| (clause, None))
        .collect();
    if first && !branches.is_empty() {
        return Err(SqlError::syntax(
            "syntax error: INSERT FIRST has conditions",
        ));
    }
    let mut missed: Option<Expr> = None;
    for when in insert.multi_table_when_clauses {
        // What is NULL is not met.
        let met = Expr::IsTrue(Box::new(nested(when.condition.clone())));
        let not_met = Expr::IsNotTrue(Box::new(nested(when.condition)));
        let condition = match (&missed, first) {
            (Some(missed), true) => both(missed.clone(), met),
            _ => met,
        };
        for clause in when.into_clauses {
            branches.push((clause, Some(condition.clone())));
        }
        missed = Some(match missed {
            Some(missed) => both(missed, not_met),
            None => not_met,
        });
    }
    for clause in insert.multi_table_else_clause.unwrap_or_default() {
        branches.push((clause, missed.clone()));
    }
    Ok(branches)
}

fn both(left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::And,
        right: Box::new(right),
    }
}

/// The query's rows, under the names that people see: clauses speak of those.
async fn found(scene: &Scene, query: Query) -> Result<Source, SqlError> {
    let (Rows { schema, batches }, names) = scene.run(query, Vec::new()).await?;
    if let Some(twice) = names.values().next() {
        return Err(SqlError::new(
            "002028",
            "42601",
            format!("SQL compilation error:\nambiguous column name '{twice}'"),
        ));
    }
    Ok(Source {
        name: FOUND.to_owned(),
        schema,
        batches,
    })
}

/// How many rows go into one table, and the change that they make there.
async fn into_one(
    work: &Work,
    scene: &Scene,
    source: &Source,
    (clause, condition): Branch,
    key: &Key,
) -> Result<(usize, Change), SqlError> {
    let target = Target::new(&scene.catalog, key, None)?;
    let names: Vec<String> = clause.columns.into_iter().map(|name| name.value).collect();
    let listed = target.listed(&names)?;
    let values: Vec<Option<Expr>> = match clause.values {
        None => source
            .schema
            .fields()
            .iter()
            .map(|field| Some(column(field.name())))
            .collect(),
        Some(values) => values
            .values
            .into_iter()
            .map(|value| match value {
                MultiTableInsertValue::Expr(value) => Some(value),
                MultiTableInsertValue::Default => None,
            })
            .collect(),
    };
    if values.len() != listed.len() {
        return Err(wrong_width(listed.len(), values.len()));
    }
    let values = listed
        .iter()
        .zip(values)
        .map(|(index, value)| match value {
            Some(value) => Ok((*index, value)),
            None => Ok((*index, default_of(&target.table.columns[*index])?)),
        })
        .collect::<Result<_, SqlError>>()?;
    let rows = imaged_where(scene, &target.table, values, source.clone(), condition).await?;
    let rows = one_batch(&rows)?;
    let count = rows.num_rows();
    let change = target.change(work, &Default::default(), Some(rows))?;
    Ok((count, change))
}

/// Commits the changes together, or leaves them to the transaction that is open.
fn keep(work: &mut Work, changes: Vec<(Key, Change)>) -> Result<(), SqlError> {
    let alone = work.transaction.is_none();
    work.transaction.get_or_insert_with(Transaction::default);
    for (key, change) in changes {
        work.finish(&key, change)?;
    }
    if alone {
        work.commit()?;
    }
    Ok(())
}
