//! What clean_events.sql and the gold files have in common: one plain SELECT, without what would make a row depend on others.

use std::path::Path;

use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::{DFParser, Statement as DFStatement};
use datafusion::sql::sqlparser::ast::{Expr, Query, Select, SelectItem, SetExpr, Statement};

use super::error::SqlError;
use super::words::Words;

/// A file at hand, and what would be accepted in its place.
pub(super) struct File<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
    pub(super) words: Words,
    pub(super) accepted: &'static str,
}

impl<'a> File<'a> {
    pub(super) fn new(path: &'a Path, text: &'a str, accepted: &'static str) -> Self {
        Self {
            path,
            text,
            words: Words::of(text),
            accepted,
        }
    }

    /// Refuses the file for what stands at a line.
    pub(super) fn refuse(&self, line: Option<u64>, message: impl Into<String>) -> SqlError {
        SqlError::new(self.path, line, message, self.accepted)
    }

    /// Refuses the file for a clause.
    pub(super) fn refuse_clause(&self, clause: &str) -> SqlError {
        self.refuse(self.words.line_of(clause), format!("it has a {clause}"))
    }

    /// What the parser or the planner says.
    pub(super) fn planning(&self, error: &datafusion::common::DataFusionError) -> SqlError {
        SqlError::planning(self.path, &self.words, error, self.accepted)
    }

    /// The one statement of the file, a query.
    pub(super) fn query(&self) -> Result<Box<Query>, SqlError> {
        let mut statements =
            DFParser::parse_sql(self.text).map_err(|error| self.planning(&error))?;
        let (Some(statement), true) = (statements.pop_front(), statements.is_empty()) else {
            return Err(self.refuse(None, "it is not one SELECT"));
        };
        let query = match statement {
            DFStatement::Statement(statement) => match *statement {
                Statement::Query(query) => Some(query),
                _ => None,
            },
            _ => None,
        };
        let query = query.ok_or_else(|| self.refuse(None, "it is not a SELECT"))?;
        if query.order_by.is_some() {
            return Err(self.refuse_clause("ORDER BY"));
        }
        if query.limit_clause.is_some() || query.fetch.is_some() {
            let written = ["LIMIT", "OFFSET", "FETCH"];
            let line = written.iter().find_map(|word| self.words.line_of(word));
            return Err(self.refuse(line, "it has a LIMIT"));
        }
        if let SetExpr::SetOperation { op, .. } = query.body.as_ref() {
            return Err(self.refuse_clause(&op.to_string()));
        }
        Ok(query)
    }

    /// The SELECT of the query.
    pub(super) fn select<'q>(&self, query: &'q mut Query) -> Result<&'q mut Select, SqlError> {
        let SetExpr::Select(select) = query.body.as_mut() else {
            return Err(self.refuse(None, "it is not one plain SELECT"));
        };
        for (there, clause) in [
            (select.distinct.is_some(), "DISTINCT"),
            (select.having.is_some(), "HAVING"),
            (select.qualify.is_some(), "QUALIFY"),
            (select.top.is_some(), "TOP"),
            (select.into.is_some(), "INTO"),
        ] {
            if there {
                return Err(self.refuse_clause(clause));
            }
        }
        if select.from.len() > 1 || select.from.iter().any(|from| !from.joins.is_empty()) {
            let line = self.words.line_of("JOIN");
            return Err(self.refuse(line.or_else(|| self.words.line_of("FROM")), "it has a JOIN"));
        }
        self.refuse_double_names(select)?;
        Ok(select)
    }

    fn refuse_double_names(&self, select: &Select) -> Result<(), SqlError> {
        let names: Vec<Option<String>> = select.projection.iter().map(result_name).collect();
        for (at, name) in names.iter().enumerate() {
            if let Some(name) = name
                && names[..at].contains(&Some(name.clone()))
            {
                return Err(SqlError::new(
                    self.path,
                    self.words.line_of_item(at),
                    format!("column `{name}` is selected twice"),
                    "give it a name of its own: expression AS name",
                ));
            }
        }
        Ok(())
    }

    /// Refuses the file for a step of its plan.
    pub(super) fn refuse_step(&self, step: &LogicalPlan) -> SqlError {
        let at = |phrase: &str| self.words.line_of(phrase);
        let (line, what) = match step {
            LogicalPlan::Filter(_) => (at("WHERE"), "a WHERE"),
            LogicalPlan::Aggregate(_) => (at("GROUP BY"), "a GROUP BY or an aggregate"),
            LogicalPlan::Window(_) => (at("OVER"), "a window function"),
            LogicalPlan::Sort(_) => (at("ORDER BY"), "an ORDER BY"),
            LogicalPlan::Limit(_) => (at("LIMIT"), "a LIMIT"),
            LogicalPlan::Join(_) => (at("JOIN"), "a JOIN"),
            LogicalPlan::Union(_) => (at("UNION"), "a UNION"),
            LogicalPlan::Distinct(_) => (at("DISTINCT"), "a DISTINCT"),
            LogicalPlan::Unnest(_) => (at("UNNEST"), "an UNNEST"),
            LogicalPlan::Subquery(_) => (self.words.line_of_subquery(), "a subquery"),
            LogicalPlan::EmptyRelation(_) => return self.refuse(None, "it reads from no table"),
            other => {
                let display = other.display().to_string();
                let name = display.split(':').next().unwrap_or_default().trim();
                return self.refuse(None, format!("it needs a step `{name}`"));
            }
        };
        self.refuse(line, format!("it has {what}"))
    }
}

/// What a column of the result is called, where that can be told without planning.
fn result_name(item: &SelectItem) -> Option<String> {
    let name = match item {
        SelectItem::ExprWithAlias { alias, .. } => alias,
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => name,
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names)) => names.last()?,
        _ => return None,
    };
    Some(match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_lowercase(),
    })
}
