//! A query over snapshots: its sources are looked up, its expressions rewritten, DataFusion runs it.

use std::{collections::HashMap, sync::Arc, sync::LazyLock};

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use datafusion::{
    catalog::MemTable,
    common::TableReference,
    execution::{SessionState, SessionStateBuilder},
    prelude::{SessionConfig, SessionContext as DataFusionContext},
    sql::{
        parser::Statement as DataFusionStatement,
        sqlparser::{
            ast::{
                GroupByExpr, Query, SelectItem, SetExpr, Statement, TableFactor, TableWithJoins,
            },
            dialect::SnowflakeDialect,
            parser::Parser,
            tokenizer::{Token, TokenWithSpan},
        },
    },
};

use super::{
    Bindings, Grid, SqlError,
    access::Access,
    catalog::{Catalog, Key, Kind},
    comparisons::refuse_incomparable,
    encode, flatten,
    functions::{self, Formats},
    names::parts,
    operators::Operators,
    resolve::{Resolver, Source},
    rewrite::{Constants, Rewriter},
    sequences::next_values,
    session::Work,
    shared::Shared,
    stage::{self, StagedRows},
    text::{self, Normalized, staged_index, staged_name},
    warehouses,
    yielding::YieldingJoins,
};

/// DataFusion with our functions, as each query starts with it.
static BASE: LazyLock<SessionState> = LazyLock::new(|| {
    let config = SessionConfig::new()
        .with_target_partitions(1)
        .set_bool("datafusion.sql_parser.enable_ident_normalization", false)
        .set_bool("datafusion.sql_parser.parse_float_as_decimal", true)
        .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false);
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_physical_optimizer_rule(Arc::new(YieldingJoins))
        .build();
    for function in functions::all() {
        datafusion::execution::FunctionRegistry::register_udf(&mut state, function)
            .expect("a function of a new name can be registered");
    }
    datafusion::execution::FunctionRegistry::register_expr_planner(
        &mut state,
        Arc::new(Operators::new()),
    )
    .expect("a session state takes planners");
    state
});

/// Rows with their schema.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
}

/// A statement prepared to run against one snapshot.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) access: Access,
    pub(crate) constants: Constants,
    pub(crate) staged: Vec<StagedRows>,
    pub(crate) titles: Vec<String>,
    shared: Arc<Shared>,
}

impl Scene {
    /// Reads the staged files that the statement names.
    pub(crate) async fn new(
        work: &Work,
        normalized: &Normalized,
        bindings: &Bindings,
    ) -> Result<Self, SqlError> {
        let catalog = work.view();
        let access = work.access();
        let context = work.context.clone();
        let mut staged = Vec::new();
        for source in &normalized.stages {
            staged.push(stage::read(&work.shared, &catalog, &access, &context, source).await?);
        }
        Ok(Self {
            catalog,
            access,
            constants: Constants {
                now: chrono::Utc::now(),
                context,
                bindings: bindings.clone(),
                placeholders: normalized.placeholders.clone(),
            },
            staged,
            titles: normalized.titles.clone(),
            shared: Arc::clone(&work.shared),
        })
    }

    /// Runs a query as it was written. `extra` are sources that it names besides tables.
    pub(crate) async fn run(
        &self,
        mut query: Query,
        extra: Vec<Source>,
    ) -> Result<(Rows, HashMap<String, String>), SqlError> {
        let mut resolver = Resolver::new(
            &self.catalog,
            Some(&self.access),
            &self.constants.context,
            &self.constants,
        );
        resolver.sources = extra;
        resolver.resolve(&mut query)?;
        let mut sources = resolver.sources;
        let reads = !sources.is_empty() || !self.staged.is_empty();
        self.require_warehouse(reads && !is_answered_by_metadata(&query))?;
        let mut rewriter = Rewriter::new(&self.constants, &self.staged);
        rewriter.rewrite(&mut query, &self.titles)?;
        let (names, wait) = (rewriter.names, rewriter.wait);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        for (index, staged) in self.staged.iter().enumerate() {
            sources.push(Source {
                name: staged_name(index),
                schema: Arc::clone(&staged.schema),
                batches: staged.batches.clone(),
            });
        }
        let rows = planned(query, sources, &self.constants, &self.shared).await?;
        Ok((rows, names))
    }

    /// Whoever reads tables needs a warehouse.
    pub(crate) fn require_warehouse(&self, reads: bool) -> Result<(), SqlError> {
        let current = self.constants.context.warehouse.as_deref();
        let usable = current.is_some_and(|name| {
            self.access.has(
                &self.catalog,
                &Key::new(Kind::Warehouse, &[name]),
                &["USAGE", "OPERATE"],
            )
        });
        match current {
            _ if !reads => Ok(()),
            Some(name) if usable => {
                warehouses::require_running(&self.catalog, &Key::new(Kind::Warehouse, &[name]))
            }
            _ => Err(warehouses::none_active()),
        }
    }
}

/// The session's TIMEZONE.
pub(crate) fn time_zone(constants: &Constants) -> &str {
    constants
        .context
        .parameters
        .get("TIMEZONE")
        .map_or("America/Los_Angeles", String::as_str)
}

/// `SELECT COUNT(*) FROM table`: a table knows how many rows it has, and nobody needs to read them.
fn is_answered_by_metadata(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return false;
    };
    let [SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }] =
        select.projection.as_slice()
    else {
        return false;
    };
    let [TableWithJoins { relation, joins }] = select.from.as_slice() else {
        return false;
    };
    let table = match relation {
        TableFactor::Table { name, .. } => staged_index(&parts(name).remove(0)).is_none(),
        _ => false,
    };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    table
        && joins.is_empty()
        && query.with.is_none()
        && value.to_string() == "COUNT(*)"
        && !grouped
        && select.selection.is_none()
        && select.having.is_none()
        && select.qualify.is_none()
}

async fn planned(
    query: Query,
    sources: Vec<Source>,
    constants: &Constants,
    shared: &Arc<Shared>,
) -> Result<Rows, SqlError> {
    let mut config = BASE.config().clone();
    let options = config.options_mut();
    options.execution.time_zone = Some(time_zone(constants).to_owned());
    Formats::of(&constants.context.parameters).store(&mut options.format);
    let state = SessionStateBuilder::new_from_existing(BASE.clone())
        .with_config(config)
        .with_catalog_list(Arc::new(
            datafusion::catalog::MemoryCatalogProviderList::new(),
        ))
        .build();
    let context = DataFusionContext::new_with_state(state);
    context.register_udf(next_values(shared));
    for source in sources {
        let table = MemTable::try_new(source.schema, vec![source.batches])?;
        context.register_table(TableReference::bare(source.name), Arc::new(table))?;
    }
    let statement = DataFusionStatement::Statement(Box::new(Statement::Query(Box::new(query))));
    let plan = context.state().statement_to_plan(statement).await?;
    let plan = flatten::unnested(plan)?;
    refuse_incomparable(&plan)?;
    let frame = context.execute_logical_plan(plan).await?;
    let schema: Schema = frame.schema().as_arrow().clone();
    let batches = frame.collect().await?;
    Ok(Rows {
        schema: Arc::new(schema),
        batches,
    })
}

/// The statement that the tokens are; nothing may follow it.
pub(crate) fn parsed(tokens: Vec<TokenWithSpan>) -> Result<Statement, SqlError> {
    let first = tokens
        .iter()
        .find(|token| !matches!(token.token, Token::Whitespace(_)))
        .cloned();
    let dialect = SnowflakeDialect {};
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
    let unexpected = |token: &TokenWithSpan| {
        SqlError::syntax(format!(
            "syntax error line {} at position {} unexpected '{}'",
            token.span.start.line,
            token.span.start.column.saturating_sub(1),
            token.token
        ))
    };
    match parser.parse_statement() {
        Ok(statement) => match parser.peek_token() {
            token if matches!(token.token, Token::EOF | Token::SemiColon) => Ok(statement),
            token => Err(unexpected(&token)),
        },
        Err(_) => {
            let failed = parser.peek_token();
            let token = if failed.token == Token::EOF {
                first
            } else {
                Some(failed)
            };
            // What cannot begin a statement is itself unexpected.
            parser.prev_token();
            match token {
                Some(token) => Err(unexpected(&token)),
                None => Err(SqlError::new(
                    "000900",
                    "42601",
                    "SQL compilation error:\nEmpty SQL statement.",
                )),
            }
        }
    }
}

/// Runs a SELECT.
pub(crate) async fn select(
    work: &mut Work,
    sql: &str,
    bindings: &Bindings,
) -> Result<Grid, SqlError> {
    let normalized = text::normalize(sql)?;
    let scene = Scene::new(work, &normalized, bindings).await?;
    let Statement::Query(query) = parsed(normalized.tokens)? else {
        return Err(SqlError::unsupported("THIS STATEMENT"));
    };
    let (rows, names) = scene
        .run(*query, Vec::new())
        .await
        .map_err(|error| placed(error, sql))?;
    let parameters = &scene.constants.context.parameters;
    if parameters
        .get("BINARY_OUTPUT_FORMAT")
        .is_some_and(|format| !format.eq_ignore_ascii_case("HEX"))
    {
        return Err(SqlError::unsupported("BINARY_OUTPUT_FORMAT"));
    }
    let formats = Formats::of(parameters);
    let zone = time_zone(&scene.constants);
    let mut grid = encode::grid(&rows.schema, &rows.batches, &names, &formats, zone)?;
    // 0 means all.
    if let Some(limit) = parameters.get("ROWS_PER_RESULTSET")
        && let Ok(limit @ 1..) = limit.parse()
    {
        grid.rows.truncate(limit);
    }
    Ok(grid)
}

/// The error with the place where the name that it complains of stands.
pub(crate) fn placed(error: SqlError, sql: &str) -> SqlError {
    if error.code != "000904" {
        return error;
    }
    let Some(name) = error.message.rsplit('\'').nth(1) else {
        return error;
    };
    let tokens = text::tokens(sql).unwrap_or_default();
    let is_word = |token: &TokenWithSpan, text: &str| match &token.token {
        Token::Word(word) => word.value.eq_ignore_ascii_case(text.trim_matches('"')),
        _ => false,
    };
    // The name as it is qualified, or else its last part.
    let parts: Vec<&str> = name.split('.').collect();
    let qualified = tokens.windows(2 * parts.len() - 1).find(|window| {
        let words = window.iter().step_by(2);
        let dots = window.iter().skip(1).step_by(2);
        words.zip(&parts).all(|(token, part)| is_word(token, part))
            && dots.into_iter().all(|token| token.token == Token::Period)
    });
    let last = parts.last().copied().unwrap_or(name);
    let found = match qualified {
        Some(window) => window.first(),
        None => tokens.iter().find(|token| is_word(token, last)),
    };
    match found {
        Some(token) => SqlError::invalid_identifier(
            name,
            token.span.start.line,
            token.span.start.column.saturating_sub(1),
        ),
        None => error,
    }
}
