//! ALTER TABLE and ALTER VIEW besides adding columns: names, comments, columns that go or change, and properties that
//! change nothing here.

use std::sync::Arc;

use arrow::{array::RecordBatch, compute::cast, datatypes::Schema};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::{
    Grid, SqlError,
    catalog::{Body, Column, Key, Kind, Part, Table},
    cursor::{Cursor, Property},
    ddl::already_exists,
    dml::locked,
    encode::status,
    names,
    session::Work,
    sql_type::SqlType,
};

/// Properties of tables that a test warehouse has no use for.
const WITHOUT_EFFECT: [&str; 4] = [
    "DATA_RETENTION_TIME_IN_DAYS",
    "MAX_DATA_EXTENSION_TIME_IN_DAYS",
    "CHANGE_TRACKING",
    "ENABLE_SCHEMA_EVOLUTION",
];

/// Runs what follows `ALTER TABLE` or `ALTER VIEW`; nothing when it is to add columns, which is done elsewhere.
pub(crate) async fn alter(
    work: &mut Work,
    cursor: &mut Cursor,
    kind: Kind,
) -> Result<Option<Grid>, SqlError> {
    let skip = cursor.accept("IF EXISTS");
    let key = names::key(&work.context, kind, &cursor.name()?)?;
    if skip && !work.access().sees(&work.view(), &key) {
        return Ok(Some(done()));
    }
    work.access().require_ownership(&work.view(), &key)?;
    if cursor.accept("RENAME TO") {
        let to = names::key(&work.context, kind, &cursor.name()?)?;
        cursor.end()?;
        rename(work, &key, to)?;
    } else if cursor.accept("SET") {
        set(work, cursor, &key)?;
    } else if cursor.accept("UNSET") {
        unset(work, cursor, &key)?;
    } else if kind == Kind::View {
        return Err(cursor.unexpected());
    } else if cursor.accept("RENAME COLUMN") {
        rename_column(work, cursor, &key).await?;
    } else if cursor.accept("DROP") {
        drop(work, cursor, &key).await?;
    } else if cursor.accept("ALTER") || cursor.accept("MODIFY") {
        change_column(work, cursor, &key).await?;
    } else if cursor.accept("CLUSTER BY") {
        // Where rows lie is not what they are.
        return Ok(Some(done()));
    } else {
        return constraint(work, cursor, &key);
    }
    Ok(Some(done()))
}

fn done() -> Grid {
    status("Statement executed successfully.")
}

fn rename(work: &mut Work, key: &Key, to: Key) -> Result<(), SqlError> {
    let access = work.access();
    let view = work.view();
    let taken = [Kind::Table, Kind::View].iter().any(|kind| {
        let path = to.path.clone();
        view.objects.contains_key(&Key { kind: *kind, path })
    });
    if taken {
        return Err(already_exists(&to));
    }
    if !work.is_temporary(key) {
        access.require_create(&view, &to)?;
    }
    work.change_where_it_is(key, |catalog| {
        let object = catalog.objects.remove(key);
        let object = object.ok_or_else(|| SqlError::internal("the object is gone"))?;
        let grants = std::mem::take(&mut catalog.grants);
        catalog.grants = grants
            .into_iter()
            .map(|mut grant| {
                if grant.on.as_ref() == Some(key) {
                    grant.on = Some(to.clone());
                }
                grant
            })
            .collect();
        catalog.objects.insert(to, object);
        Ok(())
    })
}

fn set(work: &mut Work, cursor: &mut Cursor, key: &Key) -> Result<(), SqlError> {
    let secure = key.kind == Kind::View && cursor.accept("SECURE");
    let properties = cursor.properties()?;
    cursor.end()?;
    for (name, value) in &properties {
        match value {
            Property::Text(comment) if name == "COMMENT" => comment_on(work, key, comment)?,
            _ if WITHOUT_EFFECT.contains(&name.as_str()) && key.kind == Kind::Table => {}
            _ => return Err(SqlError::unsupported(format!("SET {name}"))),
        }
    }
    if secure {
        set_secure(work, key, true)?;
    }
    Ok(())
}

fn unset(work: &mut Work, cursor: &mut Cursor, key: &Key) -> Result<(), SqlError> {
    let word = cursor.word()?;
    cursor.end()?;
    match word.as_str() {
        "COMMENT" => comment_on(work, key, ""),
        "SECURE" if key.kind == Kind::View => set_secure(work, key, false),
        other if WITHOUT_EFFECT.contains(&other) && key.kind == Kind::Table => Ok(()),
        other => Err(SqlError::unsupported(format!("UNSET {other}"))),
    }
}

fn set_secure(work: &mut Work, key: &Key, secure: bool) -> Result<(), SqlError> {
    work.change_where_it_is(key, |catalog| {
        if let Some(Body::View(view)) = catalog.objects.get_mut(key).map(|object| &mut object.body)
        {
            view.secure = secure;
        }
        Ok(())
    })
}

fn comment_on(work: &mut Work, key: &Key, comment: &str) -> Result<(), SqlError> {
    work.change_where_it_is(key, |catalog| {
        if let Some(object) = catalog.objects.get_mut(key) {
            object.comment = comment.to_owned();
        }
        Ok(())
    })
}

/// `COMMENT [IF EXISTS] ON <kind> name IS 'text'`, from behind the word COMMENT.
pub(crate) fn comment(work: &mut Work, cursor: &mut Cursor) -> Result<Grid, SqlError> {
    let skip = cursor.accept("IF EXISTS");
    cursor.expect("ON")?;
    let column = cursor.accept("COLUMN");
    let kind = match column {
        true => Kind::Table,
        false => super::ddl::kind(cursor)?,
    };
    let mut name = cursor.name()?;
    let column = if column { name.pop() } else { None };
    cursor.expect("IS")?;
    let comment = cursor.literal()?;
    cursor.end()?;
    let key = names::key(&work.context, kind, &name)?;
    if skip && !work.access().sees(&work.view(), &key) {
        return Ok(done());
    }
    work.access().require_ownership(&work.view(), &key)?;
    match column {
        None => comment_on(work, &key, &comment)?,
        Some(column) => {
            let index = column_of(work, &key, &column)?;
            change_table(work, &key, |table| {
                table.columns[index].comment = Some(comment);
                Ok(())
            })?;
        }
    }
    Ok(done())
}

fn change_table(
    work: &mut Work,
    key: &Key,
    change: impl FnOnce(&mut Table) -> Result<(), SqlError>,
) -> Result<(), SqlError> {
    work.change_where_it_is(key, |catalog| {
        let mut outcome = Ok(());
        catalog.change_table(key, |table| outcome = change(table))?;
        outcome
    })
}

fn column_of(work: &Work, key: &Key, name: &str) -> Result<usize, SqlError> {
    work.view()
        .table(&key.path)
        .and_then(|table| table.column_index(name))
        .ok_or_else(|| SqlError::invalid_identifier(name, 1, 0))
}

fn column_name(cursor: &mut Cursor) -> Result<String, SqlError> {
    Ok(cursor.name()?.pop().unwrap_or_default())
}

async fn rename_column(work: &mut Work, cursor: &mut Cursor, key: &Key) -> Result<(), SqlError> {
    let from = column_name(cursor)?;
    cursor.expect("TO")?;
    let to = column_name(cursor)?;
    cursor.end()?;
    let index = column_of(work, key, &from)?;
    if column_of(work, key, &to).is_ok() {
        return Err(SqlError::new(
            "001430",
            "42601",
            format!("SQL compilation error:\ncolumn '{to}' already exists"),
        ));
    }
    let _lock = locked(work, key).await?;
    change_table(work, key, |table| {
        table.columns[index].name = to;
        Ok(())
    })
}

/// `DROP [COLUMN] [IF EXISTS] a, b`, `DROP PRIMARY KEY` and the like.
async fn drop(work: &mut Work, cursor: &mut Cursor, key: &Key) -> Result<(), SqlError> {
    if cursor.accept("CLUSTERING KEY") {
        return cursor.end();
    }
    if cursor.accept("PRIMARY KEY") {
        cursor.end()?;
        return change_table(work, key, |table| {
            let columns = &mut table.columns;
            columns
                .iter_mut()
                .for_each(|column| column.primary_key = false);
            Ok(())
        });
    }
    if cursor.accept("CONSTRAINT") || cursor.accept("UNIQUE") || cursor.accept("FOREIGN KEY") {
        return Err(SqlError::unsupported("DROP OF CONSTRAINTS"));
    }
    let _ = cursor.accept("COLUMN");
    let skip = cursor.accept("IF EXISTS");
    let mut gone = Vec::new();
    loop {
        let name = column_name(cursor)?;
        match column_of(work, key, &name) {
            Ok(index) => gone.push(index),
            Err(_) if skip => {}
            Err(error) => return Err(error),
        }
        if !cursor.accept_token(&Token::Comma) {
            break;
        }
    }
    cursor.end()?;
    rewritten(work, key, |columns| {
        let mut index = 0;
        columns.retain(|_| {
            index += 1;
            !gone.contains(&(index - 1))
        });
        if columns.is_empty() {
            return Err(SqlError::syntax("a table keeps at least one column"));
        }
        Ok(())
    })
    .await
}

/// Writes the table anew with other columns: each of them is found by its name among the old ones. What transactions
/// that are open have added to the old table is lost, as when a table is replaced.
async fn rewritten(
    work: &mut Work,
    key: &Key,
    change: impl FnOnce(&mut Vec<Column>) -> Result<(), SqlError>,
) -> Result<(), SqlError> {
    let _lock = locked(work, key).await?;
    let view = work.view();
    let Some(old) = view.table(&key.path) else {
        return Err(SqlError::internal("the table is gone"));
    };
    let mut new = Table::clone(old);
    change(&mut new.columns)?;
    let fields: Vec<_> = new
        .columns
        .iter()
        .map(|column| column.sql_type.field(&column.name, true))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    new.parts.clear();
    for part in &old.parts {
        let values = old.columns_of(part);
        let columns = new
            .columns
            .iter()
            .map(|column| {
                let index = old.column_index(&column.name);
                let index = index.ok_or_else(|| SqlError::internal("a column is gone"))?;
                Ok(cast(&values[index], &column.sql_type.arrow())?)
            })
            .collect::<Result<Vec<_>, SqlError>>()?;
        new.parts.push(Part {
            id: work.shared.new_id(),
            rows: Some(Arc::new(RecordBatch::try_new(
                Arc::clone(&schema),
                columns,
            )?)),
        });
    }
    new.id = work.shared.new_id();
    change_table(work, key, |table| {
        *table = new;
        Ok(())
    })
}

/// `[COLUMN] c SET NOT NULL`, `DROP DEFAULT`, `SET DATA TYPE t`, `COMMENT 'text'`, ...
async fn change_column(work: &mut Work, cursor: &mut Cursor, key: &Key) -> Result<(), SqlError> {
    let _ = cursor.accept("COLUMN");
    let name = column_name(cursor)?;
    let index = column_of(work, key, &name)?;
    if cursor.accept("DROP NOT NULL") {
        cursor.end()?;
        return change_table(work, key, |table| {
            table.columns[index].nullable = true;
            Ok(())
        });
    }
    if cursor.accept("DROP DEFAULT") {
        cursor.end()?;
        return change_table(work, key, |table| {
            table.columns[index].default = None;
            Ok(())
        });
    }
    if cursor.accept("COMMENT") {
        let comment = cursor.literal()?;
        cursor.end()?;
        return change_table(work, key, |table| {
            table.columns[index].comment = Some(comment);
            Ok(())
        });
    }
    if cursor.accept("SET NOT NULL") || cursor.accept("NOT NULL") {
        cursor.end()?;
        let _lock = locked(work, key).await?;
        return change_table(work, key, |table| {
            let holds_null = table
                .parts
                .iter()
                .any(|part| table.columns_of(part)[index].null_count() > 0);
            if holds_null {
                return Err(SqlError::new(
                    "100072",
                    "22000",
                    format!("NULL result in a non-nullable column '{name}'"),
                ));
            }
            table.columns[index].nullable = false;
            Ok(())
        });
    }
    let _ = cursor.accept("SET DATA TYPE") || cursor.accept("TYPE");
    let wanted = SqlType::parse(&cursor.text_of_rest())?;
    rewritten(work, key, |columns| {
        let column = &mut columns[index];
        if !widens(column.sql_type, wanted) {
            return Err(SqlError::new(
                "002108",
                "22000",
                format!(
                    "SQL compilation error: cannot change column {name} from type {} to {wanted}",
                    column.sql_type
                ),
            ));
        }
        column.sql_type = wanted;
        Ok(())
    })
    .await
}

/// Whether each value of one type is one of the other: longer text, more digits before the point.
fn widens(from: SqlType, to: SqlType) -> bool {
    match (from, to) {
        (SqlType::Varchar { length: from }, SqlType::Varchar { length: to }) => from <= to,
        (
            SqlType::Number {
                precision: from,
                scale,
            },
            SqlType::Number {
                precision: to,
                scale: same,
            },
        ) => from <= to && scale == same,
        _ => from == to,
    }
}

/// `ADD [CONSTRAINT name] PRIMARY KEY (a)` and other constraints, none of which is enforced; nothing for ADD COLUMN.
fn constraint(work: &mut Work, cursor: &mut Cursor, key: &Key) -> Result<Option<Grid>, SqlError> {
    if !cursor.accept("ADD") {
        return Err(SqlError::unsupported("THIS KIND OF ALTER TABLE"));
    }
    if cursor.accept("CONSTRAINT") {
        cursor.name()?;
    }
    if cursor.accept("UNIQUE") || cursor.accept("FOREIGN KEY") {
        return Ok(Some(done()));
    }
    if !cursor.accept("PRIMARY KEY") {
        return Ok(None);
    }
    if !cursor.accept_token(&Token::LParen) {
        return Err(cursor.unexpected());
    }
    let mut columns = Vec::new();
    loop {
        let name = column_name(cursor)?;
        columns.push(column_of(work, key, &name)?);
        if cursor.accept_token(&Token::RParen) {
            break;
        }
        if !cursor.accept_token(&Token::Comma) {
            return Err(cursor.unexpected());
        }
    }
    change_table(work, key, |table| {
        for index in columns {
            table.columns[index].primary_key = true;
            table.columns[index].nullable = false;
        }
        Ok(())
    })?;
    Ok(Some(done()))
}
