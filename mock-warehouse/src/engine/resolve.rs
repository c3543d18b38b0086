//! The sources of a query: each table's name is looked up and replaced by that of a snapshot, each view by its query.

use std::{ops::ControlFlow, sync::Arc};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::sql::sqlparser::{
    ast::{
        Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query, SetExpr,
        TableAlias, TableAliasColumnDef, TableFactor, VisitMut, VisitorMut,
    },
    dialect::SnowflakeDialect,
    parser::Parser,
};

use super::{
    SessionContext, SqlError,
    access::Access,
    catalog::{Body, Catalog, Key, Kind, Table},
    flatten, information,
    names::{key, parts, quoted},
    rewrite::{Constants, Rewriter},
    sequences, text,
};

/// Views within views, at most.
const MAX_VIEW_DEPTH: usize = 32;

/// Rows under the name by which a rewritten query calls them.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
}

/// Looks up the sources of queries in a snapshot.
pub(crate) struct Resolver<'a> {
    pub(crate) catalog: &'a Catalog,
    /// Absent inside a view: its owner's rights count, and those were looked at when it was made.
    pub(crate) access: Option<&'a Access>,
    pub(crate) context: SessionContext,
    pub(crate) constants: &'a Constants,
    pub(crate) sources: Vec<Source>,
    /// Names that a WITH defines, innermost last.
    scopes: Vec<Scope>,
    depth: usize,
    /// How many FLATTEN there were.
    flattened: usize,
}

/// The names that one query's WITH defines.
#[derive(Debug, Default)]
struct Scope {
    names: Vec<String>,
    /// How many of them are defined already, and may be used.
    visible: usize,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(
        catalog: &'a Catalog,
        access: Option<&'a Access>,
        context: &SessionContext,
        constants: &'a Constants,
    ) -> Self {
        Self {
            catalog,
            access,
            context: context.clone(),
            constants,
            sources: Vec::new(),
            scopes: Vec::new(),
            depth: 0,
            flattened: 0,
        }
    }

    /// Replaces the sources in the query.
    pub(crate) fn resolve(&mut self, query: &mut Query) -> Result<(), SqlError> {
        match VisitMut::visit(query, self) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    fn is_defined(&self, name: &str) -> bool {
        self.scopes.iter().any(|scope| {
            scope.names[..scope.visible]
                .iter()
                .any(|known| known == name)
        })
    }

    /// What stands in for a table or view of that name.
    fn replacement(
        &mut self,
        name: &ObjectName,
        alias: Option<TableAlias>,
    ) -> Result<TableFactor, SqlError> {
        let name = parts(name);
        let table = key(&self.context, Kind::Table, &name)?;
        if table.path[1] == information::SCHEMA {
            return self.information(&table, alias);
        }
        let view = Key {
            kind: Kind::View,
            path: table.path.clone(),
        };
        let found = if self.catalog.objects.contains_key(&view) {
            view
        } else {
            table
        };
        if let Some(access) = self.access {
            access.require(self.catalog, &found, &["SELECT"])?;
        }
        match self.catalog.objects.get(&found).map(|object| &object.body) {
            Some(Body::Table(table)) => {
                let source = self.add_table(&found, table);
                Ok(named(
                    &source,
                    alias.or_else(|| Some(alias_of(found.name(), &[]))),
                ))
            }
            Some(Body::View(_)) => self.view(&found, alias),
            _ => Err(
                Access::new(self.context.role.as_deref().unwrap_or("PUBLIC"))
                    .missing(self.catalog, &found),
            ),
        }
    }

    /// A table of INFORMATION_SCHEMA: whoever sees the database may ask, and is shown what the role sees.
    fn information(
        &mut self,
        table: &Key,
        alias: Option<TableAlias>,
    ) -> Result<TableFactor, SqlError> {
        let role = self.context.role.as_deref().unwrap_or("PUBLIC");
        let access = self.access.cloned().unwrap_or_else(|| Access::new(role));
        let database = Key::new(Kind::Database, &[&table.path[0]]);
        let found = if access.sees(self.catalog, &database) {
            information::source(self.catalog, &access, &table.path[0], table.name())?
        } else {
            None
        };
        let source = found.ok_or_else(|| access.missing(self.catalog, table))?;
        let name = source.name.clone();
        if !self.sources.iter().any(|known| known.name == name) {
            self.sources.push(source);
        }
        Ok(named(
            &name,
            alias.or_else(|| Some(alias_of(table.name(), &[]))),
        ))
    }

    fn add_table(&mut self, key: &Key, table: &Table) -> String {
        let name = key.full_name();
        if !self.sources.iter().any(|source| source.name == name) {
            let schema = table.schema(&key.path);
            let batches = table
                .parts
                .iter()
                .map(|part| {
                    RecordBatch::try_new(Arc::clone(&schema), table.columns_of(part))
                        .expect("a part has its table's columns")
                })
                .collect();
            self.sources.push(Source {
                name: name.clone(),
                schema,
                batches,
            });
        }
        name
    }

    fn view(&mut self, found: &Key, alias: Option<TableAlias>) -> Result<TableFactor, SqlError> {
        let Some(Body::View(view)) = self.catalog.objects.get(found).map(|object| &object.body)
        else {
            unreachable!("the caller found a view")
        };
        if self.depth >= MAX_VIEW_DEPTH {
            return Err(SqlError::unsupported("VIEWS NESTED THIS DEEPLY"));
        }
        let normalized = text::normalize(&view.query)?;
        if !normalized.stages.is_empty() {
            return Err(SqlError::unsupported("VIEWS OVER STAGED FILES"));
        }
        let mut query = Parser::new(&SnowflakeDialect {})
            .with_tokens_with_locations(normalized.tokens)
            .parse_query()
            .map_err(SqlError::syntax)?;
        let mut inner = Resolver::new(
            self.catalog,
            None,
            &SessionContext {
                database: Some(found.path[0].clone()),
                schema: Some(found.path[1].clone()),
                ..self.context.clone()
            },
            self.constants,
        );
        inner.depth = self.depth + 1;
        inner.sources = std::mem::take(&mut self.sources);
        let resolved = inner.resolve(&mut query);
        self.sources = inner.sources;
        resolved?;
        Rewriter::new(self.constants, &[]).name_columns(&mut query, &normalized.titles);
        let mut alias = alias.unwrap_or_else(|| alias_of(found.name(), &[]));
        if alias.columns.is_empty() {
            alias.columns = column_names(&view.columns);
        }
        Ok(TableFactor::Derived {
            lateral: false,
            subquery: query,
            alias: Some(alias),
            sample: None,
        })
    }

    /// `TABLE(GENERATOR(ROWCOUNT => n))`
    fn generator(
        &mut self,
        expression: &Expr,
        alias: Option<TableAlias>,
    ) -> Result<TableFactor, SqlError> {
        let Some(rows) = row_count(expression) else {
            return Err(SqlError::unsupported(expression));
        };
        let schema = Arc::new(Schema::new(vec![Field::new(
            SEQUENCE,
            DataType::Decimal128(19, 0),
            false,
        )]));
        let numbers = arrow::array::Decimal128Array::from_iter_values(0..i128::from(rows))
            .with_precision_and_scale(19, 0)?;
        let name = format!("GENERATOR {}", self.sources.len());
        self.sources.push(Source {
            name: name.clone(),
            batches: vec![RecordBatch::try_new(
                Arc::clone(&schema),
                vec![Arc::new(numbers)],
            )?],
            schema,
        });
        Ok(named(&name, alias))
    }

    /// What takes the next number of a sequence; nothing when there is no such sequence: it may be a column.
    fn next_value(&self, name: &[String]) -> Result<Option<Expr>, SqlError> {
        let Ok(key) = key(&self.context, Kind::Sequence, name) else {
            return Ok(None);
        };
        let Some(sequence) = sequences::named(self.catalog, &key) else {
            return Ok(None);
        };
        if let Some(access) = self.access {
            access.require(self.catalog, &key, &["USAGE"])?;
        }
        Ok(Some(sequence.next_value()))
    }

    fn flatten(
        &mut self,
        arguments: &[FunctionArg],
        alias: Option<TableAlias>,
    ) -> Result<TableFactor, SqlError> {
        self.flattened += 1;
        flatten::factor(arguments, alias, self.flattened)
    }

    fn replace(&mut self, factor: &mut TableFactor) -> Result<(), SqlError> {
        match factor {
            TableFactor::Table {
                sample: Some(_), ..
            }
            | TableFactor::Derived {
                sample: Some(_), ..
            } => return Err(SqlError::unsupported("SAMPLE")),
            TableFactor::Table {
                name, alias, args, ..
            } => {
                let single = name.0.len() == 1;
                let first = parts(name).remove(0);
                if single && (self.is_defined(&first) || text::staged_index(&first).is_some()) {
                    return Ok(());
                }
                if single && self.sources.iter().any(|source| source.name == first) {
                    return Ok(());
                }
                if args.is_some() {
                    return Err(SqlError::unknown_function(&first));
                }
                let alias = alias.take();
                *factor = self.replacement(&name.clone(), alias)?;
            }
            TableFactor::Derived {
                subquery, alias, ..
            } => {
                if let SetExpr::Values(values) = subquery.body.as_ref() {
                    let width = values.rows.first().map_or(0, |row| row.content.len());
                    let alias = alias.get_or_insert_with(|| alias_of("VALUES", &[]));
                    if alias.columns.is_empty() {
                        let names: Vec<String> = (1..=width)
                            .map(|number| format!("COLUMN{number}"))
                            .collect();
                        alias.columns = column_names(&names);
                    }
                }
            }
            TableFactor::TableFunction { expr, alias } => {
                let alias = alias.take();
                let expression = expr.clone();
                *factor = match flatten::arguments_of(&expression) {
                    Some(arguments) => self.flatten(arguments, alias)?,
                    None => self.generator(&expression, alias)?,
                };
            }
            TableFactor::Function {
                name, args, alias, ..
            } if flatten::is_flatten(name) => {
                let (arguments, alias) = (std::mem::take(args), alias.take());
                *factor = self.flatten(&arguments, alias)?;
            }
            TableFactor::NestedJoin { .. } => {}
            other => return Err(SqlError::unsupported(other)),
        }
        Ok(())
    }
}

/// The column of a generator's rows.
pub(crate) const SEQUENCE: &str = "@SEQUENCE";

fn row_count(expression: &Expr) -> Option<u32> {
    let Expr::Function(function) = expression else {
        return None;
    };
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    if parts(&function.name) != ["GENERATOR"] {
        return None;
    }
    list.args.iter().find_map(|argument| match argument {
        FunctionArg::Named {
            name,
            arg: FunctionArgExpr::Expr(value),
            ..
        } if name.value == "ROWCOUNT" => value.to_string().parse().ok(),
        FunctionArg::ExprNamed {
            name,
            arg: FunctionArgExpr::Expr(value),
            ..
        } if name.to_string() == "ROWCOUNT" => value.to_string().parse().ok(),
        _ => None,
    })
}

impl VisitorMut for Resolver<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        let mut scope = Scope::default();
        if let Some(with) = &query.with {
            scope.names = with
                .cte_tables
                .iter()
                .map(|cte| cte.alias.name.value.clone())
                .collect();
            if with.recursive {
                scope.visible = scope.names.len();
            }
        }
        self.scopes.push(scope);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<SqlError> {
        self.scopes.pop();
        // The bodies of a WITH are visited first and in order: each makes its name known to what comes after.
        if let Some(scope) = self.scopes.last_mut() {
            scope.visible = (scope.visible + 1).min(scope.names.len());
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<SqlError> {
        let Some(name) = sequences::reference(expression) else {
            return ControlFlow::Continue(());
        };
        match self.next_value(&name) {
            Ok(Some(value)) => {
                *expression = value;
                ControlFlow::Continue(())
            }
            Ok(None) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        match self.replace(factor) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// A source under an alias.
pub(crate) fn named(source: &str, alias: Option<TableAlias>) -> TableFactor {
    TableFactor::Table {
        name: ObjectName::from(vec![quoted(source)]),
        alias,
        args: None,
        with_hints: vec![],
        version: None,
        with_ordinality: false,
        partitions: vec![],
        json_path: None,
        sample: None,
        index_hints: vec![],
    }
}

pub(crate) fn alias_of(name: &str, columns: &[String]) -> TableAlias {
    TableAlias {
        explicit: true,
        name: quoted(name),
        columns: column_names(columns),
        at: None,
    }
}

fn column_names(names: &[String]) -> Vec<TableAliasColumnDef> {
    names
        .iter()
        .map(|name| TableAliasColumnDef {
            name: Ident::with_quote('"', name),
            data_type: None,
        })
        .collect()
}
