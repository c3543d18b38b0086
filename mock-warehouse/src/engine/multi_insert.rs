//! INSERT ALL: the rows of one query into several tables, all of them or none.

use datafusion::sql::sqlparser::ast::{
    Expr, Insert, MultiTableInsertIntoClause, MultiTableInsertType, MultiTableInsertValue, Query,
};

use super::{
    Bindings, Grid, SqlError, Stats,
    catalog::Key,
    dml::{counted, default_of, imaged, wrong_width},
    expressions::column,
    query::{Rows, Scene, placed},
    resolve::Source,
    session::Work,
    target::{Target, authorized, one_batch},
    text::Normalized,
    transaction::{Change, Transaction},
};

/// The name of the query's rows while they are inserted.
const FOUND: &str = "@FOUND";

/// Runs an INSERT ALL without conditions.
pub(crate) async fn insert_all(
    work: &mut Work,
    sql: &str,
    insert: Insert,
    normalized: &Normalized,
    bindings: &Bindings,
) -> Result<Grid, SqlError> {
    let (Some(MultiTableInsertType::All), Some(query), false) = (
        insert.multi_table_insert_type,
        insert.source,
        insert.overwrite || insert.multi_table_into_clauses.is_empty(),
    ) else {
        return Err(SqlError::unsupported("THIS KIND OF MULTI-TABLE INSERT"));
    };
    let clauses = insert.multi_table_into_clauses;
    let keys: Vec<Key> = clauses
        .iter()
        .map(|clause| authorized(work, &clause.table_name, &["INSERT"]))
        .collect::<Result<_, _>>()?;
    let scene = Scene::new(work, normalized, bindings).await?;
    let source = found(&scene, *query)
        .await
        .map_err(|error| placed(error, sql))?;
    let (mut counts, mut changes) = (Vec::new(), Vec::new());
    for (clause, key) in clauses.into_iter().zip(keys) {
        let (count, change) = into_one(work, &scene, &source, clause, &key)
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
    clause: MultiTableInsertIntoClause,
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
    let rows = one_batch(&imaged(scene, &target.table, values, source.clone()).await?)?;
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
