//! Tables and views: made and altered.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use datafusion::sql::sqlparser::{
    ast::{AlterTableOperation, CreateTable, CreateTableLikeKind, ObjectName, Statement},
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan},
};

use super::{
    Bindings, Grid, SqlError,
    catalog::{Body, Column, Key, Kind, Lasting, Part, Table, View},
    columns::{column, columns, columns_like},
    ddl::{Existing, put, said},
    dml::{default_of, imaged},
    encode::status,
    expressions::{query as query_of, select_of},
    names::{key, parts},
    query::{Scene, parsed},
    session::Work,
    sql_type::SqlType,
    target::{at, item, one_batch, positional, require_values, value_for},
    temporary,
    text::{self, Offsets},
};

/// The rows of the query of a CREATE TABLE AS SELECT; columns that the statement does not define come from there.
async fn selected(
    work: &Work,
    create: &CreateTable,
    normalized: &text::Normalized,
    bindings: &Bindings,
    columns: &mut Vec<Column>,
) -> Result<RecordBatch, SqlError> {
    let query = create.query.as_deref().cloned().expect("there is a query");
    let scene = Scene::new(work, normalized, bindings).await?;
    let (rows, names) = scene.run(query, Vec::new()).await?;
    let fields = rows.schema.fields();
    let listed = !columns.is_empty();
    if listed && columns.len() != fields.len() {
        return Err(SqlError::new(
            "002026",
            "42601",
            "SQL compilation error:\nInvalid column definition list",
        ));
    }
    if !listed {
        for field in fields {
            columns.push(Column {
                name: names.get(field.name()).unwrap_or(field.name()).clone(),
                sql_type: stored_type(SqlType::of(field)?),
                nullable: true,
                default: None,
                primary_key: false,
                comment: None,
                identity: None,
            });
        }
    }
    let table = Table::of(0, columns.clone());
    let values = (0..columns.len()).map(|index| (index, at(index))).collect();
    let source = positional(rows, "@SELECTED")?;
    let image = one_batch(&imaged(&scene, &table, values, source).await?)?;
    require_values(&table, &image)?;
    let fields: Vec<_> = columns
        .iter()
        .map(|column| column.sql_type.field(&column.name, true))
        .collect();
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        image.columns().to_vec(),
    )?)
}

pub(crate) async fn create_table(
    work: &mut Work,
    sql: &str,
    bindings: &Bindings,
) -> Result<Grid, SqlError> {
    let normalized = text::normalize(sql)?;
    let Statement::CreateTable(create) = parsed(normalized.tokens.clone())? else {
        return Err(SqlError::unsupported("THIS KIND OF TABLE"));
    };
    if create.clone.is_some() {
        return Err(SqlError::unsupported("CLONE"));
    }
    if create.external || create.dynamic || create.iceberg || create.volatile {
        return Err(SqlError::unsupported("THIS KIND OF TABLE"));
    }
    let key = key(&work.context, Kind::Table, &parts(&create.name))?;
    let defined = match &create.like {
        Some(CreateTableLikeKind::Plain(like) | CreateTableLikeKind::Parenthesized(like)) => {
            columns_like(work, &like.name)?
        }
        None => columns(work, &create)?,
    };
    let mut table = Table::of(work.shared.new_id(), defined);
    table.lasting = match (create.temporary, create.transient) {
        (true, _) => Lasting::Temporary,
        (_, true) => Lasting::Transient,
        _ => Lasting::Permanent,
    };
    if create.query.is_some() {
        let rows = selected(work, &create, &normalized, bindings, &mut table.columns).await?;
        table.parts.extend(stored(work, rows));
    }
    if table.columns.is_empty() {
        return Err(SqlError::syntax("a table has columns"));
    }
    let existing = Existing::of(create.or_replace, create.if_not_exists, create.copy_grants);
    if create.temporary {
        let object = work.object(Body::Table(Arc::new(table)));
        let created = temporary::put(work, &key, object, existing)?;
        return Ok(created_table(&key, created));
    }
    let replaced = work
        .shared
        .snapshot()
        .table(&key.path)
        .map(|table| table.id);
    let _lock = match replaced.filter(|_| create.or_replace) {
        Some(id) => Some(work.lock(id, key.name()).await?),
        None => None,
    };
    let mut object = work.object(Body::Table(Arc::new(table)));
    object.comment = comment(sql).unwrap_or_default();
    let created = put(work, &key, object, existing)?;
    Ok(created_table(&key, created))
}

fn created_table(key: &Key, created: bool) -> Grid {
    status(match created {
        true => format!("Table {} successfully created.", key.name()),
        false => said(key, false),
    })
}

/// The type of a column made from an expression.
fn stored_type(sql_type: SqlType) -> SqlType {
    match sql_type {
        SqlType::Varchar { .. } => SqlType::Varchar { length: 16_777_216 },
        other => other,
    }
}

fn stored(work: &Work, batch: RecordBatch) -> Option<Part> {
    (batch.num_rows() > 0).then(|| Part {
        id: work.shared.new_id(),
        rows: Some(Arc::new(batch)),
    })
}

/// `COMMENT = '...'` outside of the columns.
fn comment(sql: &str) -> Option<String> {
    let tokens: Vec<Token> = text::tokens(sql)
        .ok()?
        .into_iter()
        .map(|token| token.token)
        .filter(|token| !matches!(token, Token::Whitespace(_)))
        .collect();
    tokens.windows(3).find_map(|window| match window {
        [
            Token::Word(word),
            Token::Eq,
            Token::SingleQuotedString(comment),
        ] if word.keyword == Keyword::COMMENT => Some(comment.clone()),
        _ => None,
    })
}

pub(crate) async fn create_view(work: &mut Work, sql: &str) -> Result<Grid, SqlError> {
    let normalized = text::normalize(sql)?;
    let Statement::CreateView(create) = parsed(normalized.tokens.clone())? else {
        return Err(SqlError::unsupported("THIS KIND OF VIEW"));
    };
    if create.materialized || create.temporary {
        return Err(SqlError::unsupported("THIS KIND OF VIEW"));
    }
    let key = key(&work.context, Kind::View, &parts(&create.name))?;
    let query = after_as(sql).ok_or_else(|| SqlError::syntax("a view has a query"))?;
    // Run once over what is there, so that a view that cannot work is refused now.
    let mut inner = text::normalize(query)?;
    inner.placeholders.clear();
    let scene = Scene::new(work, &inner, &Bindings::new()).await?;
    let found = scene.run(*create.query, Vec::new()).await?;
    if !create.columns.is_empty() && create.columns.len() != found.0.schema.fields().len() {
        return Err(SqlError::syntax(format!(
            "Invalid column definition list: the query has {} columns",
            found.0.schema.fields().len()
        )));
    }
    let body = Body::View(View {
        statement: sql.trim().to_owned(),
        query: query.to_owned(),
        columns: create
            .columns
            .iter()
            .map(|column| column.name.value.clone())
            .collect(),
        secure: create.secure,
    });
    let mut object = work.object(body);
    object.comment = create.comment.unwrap_or_default();
    let created = put(
        work,
        &key,
        object,
        Existing::of(create.or_replace, create.if_not_exists, create.copy_grants),
    )?;
    Ok(status(said(&key, created)))
}

/// The text of a view's query: what follows the first AS outside of parentheses.
fn after_as(sql: &str) -> Option<&str> {
    let offsets = Offsets::new(sql);
    let mut depth = 0;
    for token in text::tokens(sql).ok()? {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            Token::Word(word) if depth == 0 && word.keyword == Keyword::AS => {
                return Some(
                    sql[offsets.of(token.span.end)..]
                        .trim()
                        .trim_end_matches(';'),
                );
            }
            _ => {}
        }
    }
    None
}

pub(crate) async fn alter_table(
    work: &mut Work,
    sql: &str,
    bindings: &Bindings,
) -> Result<Grid, SqlError> {
    let mut normalized = text::normalize(sql)?;
    // The parser does not know these words here; they can only stand behind COLUMN.
    let is_word = |position: usize, keyword: Keyword| matches!(normalized.tokens.get(position).map(|token| &token.token), Some(Token::Word(word)) if word.keyword == keyword);
    let words = [Keyword::COLUMN, Keyword::IF, Keyword::NOT, Keyword::EXISTS];
    let found = (0..normalized.tokens.len()).find(|start| {
        words
            .iter()
            .enumerate()
            .all(|(offset, keyword)| is_word(start + offset, *keyword))
    });
    if let Some(start) = found {
        normalized.tokens.drain(start + 1..start + words.len());
    }
    repeat_add(&mut normalized.tokens);
    let Statement::AlterTable(alter) = parsed(normalized.tokens.clone())? else {
        return Err(SqlError::unsupported("THIS KIND OF ALTER TABLE"));
    };
    let key = owned(work, &alter.name)?;
    for operation in alter.operations {
        let AlterTableOperation::AddColumn { column_def, .. } = operation else {
            return Err(SqlError::unsupported(format!("ALTER TABLE {operation}")));
        };
        let added = column(work, &column_def)?;
        let _lock = super::dml::locked(work, &key).await?;
        let table = Arc::clone(
            work.view()
                .table(&key.path)
                .expect("the lock is on the table"),
        );
        if table.column_index(&added.name).is_some() {
            if found.is_some() {
                continue;
            }
            return Err(SqlError::new(
                "001430",
                "42601",
                format!(
                    "SQL compilation error:\ncolumn '{}' already exists",
                    added.name
                ),
            ));
        }
        if !added.nullable && added.default.is_none() && table.row_count() > 0 {
            return Err(SqlError::new(
                "002238",
                "42601",
                format!(
                    "SQL compilation error:\nNon-nullable column '{}' cannot be added to non-empty table '{}' unless it has a non-null default value.",
                    added.name,
                    key.name()
                ),
            ));
        }
        let parts = widened(work, &table, &added, &normalized, bindings).await?;
        work.change_where_it_is(&key, |catalog| {
            catalog.change_table(&key, |table| {
                table.columns.push(added);
                table.parts = parts;
            })
        })?;
    }
    Ok(status("Statement executed successfully."))
}

/// `ADD a T, b T` as `ADD a T, ADD b T`, which is what the parser knows.
fn repeat_add(tokens: &mut Vec<TokenWithSpan>) {
    let is_add = |token: &TokenWithSpan| matches!(&token.token, Token::Word(word) if word.keyword == Keyword::ADD);
    let Some(add) = tokens.iter().find(|token| is_add(token)).cloned() else {
        return;
    };
    let mut depth = 0;
    let mut position = 0;
    while position < tokens.len() {
        match tokens[position].token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            Token::Comma if depth == 0 && !tokens.get(position + 1).is_some_and(is_add) => {
                tokens.insert(position + 1, add.clone());
            }
            _ => {}
        }
        position += 1;
    }
}

fn owned(work: &Work, name: &ObjectName) -> Result<Key, SqlError> {
    let key = key(&work.context, Kind::Table, &parts(name))?;
    work.access().require_ownership(&work.view(), &key)?;
    Ok(key)
}

/// The table's parts with the new column's default in each row.
async fn widened(
    work: &Work,
    table: &Table,
    added: &Column,
    normalized: &text::Normalized,
    bindings: &Bindings,
) -> Result<Vec<Part>, SqlError> {
    if added.default.is_none() {
        return Ok(table.parts.clone());
    }
    let scene = Scene::new(work, normalized, bindings).await?;
    let mut wanted = query_of("SELECT 1");
    select_of(&mut wanted).projection = vec![item(0, value_for(added, default_of(added)?))];
    let (rows, _) = scene.run(wanted, Vec::new()).await?;
    let value = one_batch(&rows)?;
    let scalar = datafusion::common::ScalarValue::try_from_array(value.column(0), 0)?;
    let mut parts = Vec::new();
    for part in &table.parts {
        let mut columns = table.columns_of(part);
        columns.push(scalar.to_array_of_size(part.batch().num_rows())?);
        let fields: Vec<_> = table
            .columns
            .iter()
            .chain([added])
            .map(|column| column.sql_type.field(&column.name, true))
            .collect();
        parts.extend(stored(
            work,
            RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?,
        ));
    }
    Ok(parts)
}
