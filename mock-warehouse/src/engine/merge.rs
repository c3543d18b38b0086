//! MERGE: the source is joined to the target, each pair of rows goes to the first clause whose condition it meets.

use std::collections::{BTreeMap, BTreeSet};

use arrow::{
    array::{AsArray, UInt64Array},
    compute::take_record_batch,
    datatypes::Decimal128Type,
};
use datafusion::sql::sqlparser::ast::{
    Expr, Join, JoinConstraint, JoinOperator, Merge, MergeAction, MergeClause, MergeClauseKind,
    MergeInsertKind, Statement, TableFactor, TableWithJoins,
};

use super::{
    Bindings, Grid, SqlError, Stats,
    dml::{assigned, column_name, counted, default_of, is_default, locked, table_of},
    expressions::{case, cast, null, number, query, select_of},
    query::{Rows, Scene, parsed, placed},
    session::Work,
    target::{PART, ROW, Target, authorized, item, one_batch, places, value_for},
    text,
};

/// What a clause does with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Insert,
    Update,
    Delete,
}

/// A clause with the new values of each of the target's columns.
struct Clause {
    action: Action,
    condition: Option<Expr>,
    values: BTreeMap<usize, Expr>,
}

pub(crate) async fn merge(
    work: &mut Work,
    sql: &str,
    bindings: &Bindings,
) -> Result<Grid, SqlError> {
    let normalized = text::normalize(sql)?;
    let Statement::Merge(merge) = parsed(normalized.tokens.clone())? else {
        return Err(SqlError::unsupported("THIS KIND OF MERGE"));
    };
    let Merge {
        table,
        source,
        on,
        clauses,
        ..
    } = merge;
    let actions: Vec<Action> = clauses.iter().map(action_of).collect();
    let (name, alias) = table_of(table)?;
    let mut privileges = vec!["SELECT"];
    for (action, privilege) in [
        (Action::Insert, "INSERT"),
        (Action::Update, "UPDATE"),
        (Action::Delete, "DELETE"),
    ] {
        if actions.contains(&action) {
            privileges.push(privilege);
        }
    }
    let key = authorized(work, &name, &privileges)?;
    let _lock = locked(work, &key).await?;
    let scene = Scene::new(work, &normalized, bindings).await?;
    let target = Target::new(&scene.catalog, &key, alias)?;
    let clauses: Vec<Clause> = clauses
        .into_iter()
        .map(|clause| understood(&target, clause))
        .collect::<Result<_, _>>()?;
    let pairs = paired(&scene, &target, source, *on, &clauses)
        .await
        .map_err(|error| placed(error, sql))?;
    let rows = one_batch(&pairs)?;
    let outcome = outcome(&clauses, &rows)?;
    let all: Vec<usize> = (3..rows.num_columns()).collect();
    let images = take_record_batch(
        &rows.project(&all)?,
        &UInt64Array::from(outcome.images.clone()),
    )?;
    let come = (images.num_rows() > 0).then_some(images);
    let change = target.change(work, &outcome.gone, come)?;
    work.finish(&key, change)?;
    Ok(grid(&actions, &outcome))
}

fn action_of(clause: &MergeClause) -> Action {
    match clause.action {
        MergeAction::Insert(_) => Action::Insert,
        MergeAction::Update(_) => Action::Update,
        MergeAction::Delete { .. } => Action::Delete,
    }
}

fn understood(target: &Target, clause: MergeClause) -> Result<Clause, SqlError> {
    let action = action_of(&clause);
    let matched = match clause.clause_kind {
        MergeClauseKind::Matched => true,
        MergeClauseKind::NotMatched => false,
        other => {
            return Err(SqlError::syntax(format!(
                "syntax error unexpected 'WHEN {other}'"
            )));
        }
    };
    if matched == (action == Action::Insert) {
        return Err(SqlError::syntax(
            "syntax error: a clause of MERGE does what it cannot",
        ));
    }
    let values = match clause.action {
        MergeAction::Update(update) => assigned(target, update.assignments)?,
        MergeAction::Delete { .. } => BTreeMap::new(),
        MergeAction::Insert(insert) => {
            let MergeInsertKind::Values(mut given) = insert.kind else {
                return Err(SqlError::unsupported("INSERT ROW"));
            };
            let columns: Vec<usize> = if insert.columns.is_empty() {
                (0..target.table.columns.len()).collect()
            } else {
                insert
                    .columns
                    .iter()
                    .map(|name| target.index_of(&column_name(name)))
                    .collect::<Result<_, _>>()?
            };
            let given = given.rows.pop().map(|row| row.content).unwrap_or_default();
            if given.len() != columns.len() {
                return Err(SqlError::new(
                    "002020",
                    "21S01",
                    format!(
                        "SQL compilation error:\nInsert value list does not match column list expecting {} but got {}",
                        columns.len(),
                        given.len()
                    ),
                ));
            }
            columns
                .into_iter()
                .zip(given)
                .map(|(index, value)| match is_default(&value) {
                    true => Ok((index, default_of(&target.table.columns[index])?)),
                    false => Ok((index, value)),
                })
                .collect::<Result<_, SqlError>>()?
        }
    };
    Ok(Clause {
        action,
        condition: clause.predicate,
        values,
    })
}

/// Each source row with its target row, if any: the target row's place, the number of the clause that it meets (0 for
/// none), and the row that it makes.
async fn paired(
    scene: &Scene,
    target: &Target,
    source: TableFactor,
    on: Expr,
    clauses: &[Clause],
) -> Result<Rows, SqlError> {
    let matched = || Expr::IsNotNull(Box::new(target.column(ROW)));
    let first_of = |insert: bool| {
        let conditions: Vec<(Expr, Expr)> = clauses
            .iter()
            .enumerate()
            .filter(|(_, clause)| (clause.action == Action::Insert) == insert)
            .map(|(index, clause)| {
                let condition = clause.condition.clone().unwrap_or_else(always);
                (condition, number((index + 1).to_string()))
            })
            .collect();
        if conditions.is_empty() {
            number("0")
        } else {
            case(conditions, number("0"))
        }
    };
    let chosen = cast(
        case(vec![(matched(), first_of(false))], first_of(true)),
        "NUMBER(9,0)",
    );
    let mut wanted = query("SELECT 1");
    let select = select_of(&mut wanted);
    select.projection = vec![
        item(0, target.column(PART)),
        item(1, target.column(ROW)),
        item(2, chosen.clone()),
    ];
    for (index, column) in target.table.columns.iter().enumerate() {
        let mut choices = Vec::new();
        for (position, clause) in clauses.iter().enumerate() {
            let value = match (clause.action, clause.values.get(&index)) {
                (Action::Delete, _) => continue,
                (_, Some(value)) => value_for(column, value.clone()),
                (Action::Update, None) => target.column(&column.name),
                (Action::Insert, None) => value_for(column, default_of(column)?),
            };
            let is_chosen = Expr::BinaryOp {
                left: Box::new(chosen.clone()),
                op: datafusion::sql::sqlparser::ast::BinaryOperator::Eq,
                right: Box::new(number((position + 1).to_string())),
            };
            choices.push((is_chosen, value));
        }
        let otherwise = value_for(column, null());
        let image = if choices.is_empty() {
            otherwise
        } else {
            case(choices, otherwise)
        };
        select.projection.push(item(index + 3, image));
    }
    select.from = vec![TableWithJoins {
        relation: source,
        joins: vec![Join {
            relation: target.factor(),
            global: false,
            join_operator: JoinOperator::LeftOuter(JoinConstraint::On(on)),
        }],
    }];
    let (rows, _) = scene.run(wanted, vec![target.source()?]).await?;
    Ok(rows)
}

fn always() -> Expr {
    Expr::Value(datafusion::sql::sqlparser::ast::Value::Boolean(true).into())
}

/// What the clauses do to the rows.
#[derive(Default)]
struct Outcome {
    /// Target rows that go, by part.
    gone: BTreeMap<u64, BTreeSet<u64>>,
    /// Pairs whose rows come.
    images: Vec<u64>,
    inserted: usize,
    updated: usize,
    deleted: usize,
}

fn outcome(clauses: &[Clause], rows: &arrow::array::RecordBatch) -> Result<Outcome, SqlError> {
    let chosen = rows.column(2).as_primitive::<Decimal128Type>();
    let mut outcome = Outcome::default();
    let mut touched: BTreeMap<(u64, u64), Action> = BTreeMap::new();
    for (index, (place, clause)) in places(rows).into_iter().zip(chosen).enumerate() {
        let Some(clause) = usize::try_from(clause.unwrap_or(0))
            .ok()
            .and_then(|number| clauses.get(number.wrapping_sub(1)))
        else {
            continue;
        };
        let Some((part, row)) = place else {
            outcome.inserted += 1;
            outcome.images.push(index as u64);
            continue;
        };
        match touched.insert((part, row), clause.action) {
            // Several source rows may delete one target row; anything else depends on their order.
            Some(Action::Delete) if clause.action == Action::Delete => continue,
            Some(_) => {
                return Err(SqlError::new(
                    "100090",
                    "42P18",
                    "Duplicate row detected during DML action",
                ));
            }
            None => {}
        }
        outcome.gone.entry(part).or_default().insert(row);
        if clause.action == Action::Update {
            outcome.updated += 1;
            outcome.images.push(index as u64);
        } else {
            outcome.deleted += 1;
        }
    }
    Ok(outcome)
}

/// A column for each kind of clause that the statement has.
fn grid(actions: &[Action], outcome: &Outcome) -> Grid {
    let counts: Vec<(&str, usize)> = [
        (Action::Insert, "number of rows inserted", outcome.inserted),
        (Action::Update, "number of rows updated", outcome.updated),
        (Action::Delete, "number of rows deleted", outcome.deleted),
    ]
    .into_iter()
    .filter(|(action, _, _)| actions.contains(action))
    .map(|(_, name, count)| (name, count))
    .collect();
    counted(
        &counts,
        Stats {
            rows_inserted: outcome.inserted as u64,
            rows_updated: outcome.updated as u64,
            rows_deleted: outcome.deleted as u64,
            duplicates: 0,
        },
    )
}
