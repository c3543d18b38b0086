//! Snowflake's expressions into DataFusion's: what is the same stays, what differs becomes a call of ours, what is
//! unknown is refused.

use std::{collections::HashMap, ops::ControlFlow, time::Duration};

use chrono::{DateTime, Utc};
use datafusion::sql::sqlparser::{
    ast::{
        BinaryOperator, CastKind, CeilFloorKind, Expr, GroupByExpr, Ident, JsonPath, JsonPathElem,
        LimitClause, OrderByKind, Query, Select, SelectItem, SetExpr, TableFactor, UnaryOperator,
        Value, VisitMut, VisitorMut,
    },
    tokenizer::Location,
};

use super::{
    Bindings, SessionContext, SqlError,
    bindings::literal,
    conversions::{array_of, object_of},
    expressions::{arguments, bigint, call, cast, column, nested, null, text},
    functions_of_sql as sql_functions,
    names::{parts, quoted},
    stage::StagedRows,
    text::staged_index,
};

/// What is the same for the whole of a statement.
#[derive(Debug, Clone)]
pub(crate) struct Constants {
    pub(crate) now: DateTime<Utc>,
    pub(crate) context: SessionContext,
    pub(crate) bindings: Bindings,
    /// Where the `?` stand.
    pub(crate) placeholders: Vec<Location>,
}

/// Rewrites one statement's expressions.
pub(crate) struct Rewriter<'a> {
    pub(crate) constants: &'a Constants,
    staged: &'a [StagedRows],
    /// The staged source of each SELECT that the visitor is in.
    selects: Vec<Option<usize>>,
    /// Names inside the statement that people see differently.
    pub(crate) names: HashMap<String, String>,
    /// How long `SYSTEM$WAIT` is to wait.
    pub(crate) wait: Duration,
}

impl<'a> Rewriter<'a> {
    pub(crate) fn new(constants: &'a Constants, staged: &'a [StagedRows]) -> Self {
        Self {
            constants,
            staged,
            selects: Vec::new(),
            names: HashMap::new(),
            wait: Duration::ZERO,
        }
    }

    /// Rewrites a query; its unnamed columns get the titles as names.
    pub(crate) fn rewrite(&mut self, query: &mut Query, titles: &[String]) -> Result<(), SqlError> {
        self.name_columns(query, titles);
        self.rewrite_part(query)
    }

    /// Rewrites any part of a statement.
    pub(crate) fn rewrite_part(&mut self, part: &mut impl VisitMut) -> Result<(), SqlError> {
        match VisitMut::visit(part, self) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    /// Gives each column of the outermost SELECT a name of its own.
    pub(crate) fn name_columns(&mut self, query: &mut Query, titles: &[String]) {
        let alone = matches!(query.body.as_ref(), SetExpr::Select(_));
        let mut body = query.body.as_mut();
        let select = loop {
            match body {
                SetExpr::Select(select) => break select,
                SetExpr::SetOperation { left, .. } => body = left.as_mut(),
                SetExpr::Query(inner) => body = inner.body.as_mut(),
                _ => return,
            }
        };
        let mut taken: Vec<String> = Vec::new();
        let counted = titles.len() == select.projection.len();
        for (position, item) in select.projection.iter_mut().enumerate() {
            let (expression, title) = match item {
                SelectItem::UnnamedExpr(expression) => {
                    let title = match &*expression {
                        Expr::Identifier(ident) => ident.value.clone(),
                        Expr::CompoundIdentifier(parts) => parts
                            .last()
                            .map(|part| part.value.clone())
                            .unwrap_or_default(),
                        _ if counted => titles[position].clone(),
                        other => other.to_string().to_uppercase(),
                    };
                    (expression.clone(), title)
                }
                SelectItem::ExprWithAlias { expr, alias } => (expr.clone(), alias.value.clone()),
                _ => continue,
            };
            let mut name = title.clone();
            while taken.contains(&name) {
                name.push('\u{1}');
            }
            if name != title {
                self.names.insert(name.clone(), title);
            }
            taken.push(name.clone());
            let expression = if alone {
                measured(expression)
            } else {
                expression
            };
            *item = SelectItem::ExprWithAlias {
                expr: expression,
                alias: quoted(&name),
            };
        }
    }

    fn replace(&mut self, expression: &mut Expr) -> Result<(), SqlError> {
        let taken = std::mem::replace(expression, null());
        *expression = match taken {
            Expr::Value(value) => match &value.value {
                // A whole number is a decimal here: `42.` is one for DataFusion, `42` a BIGINT.
                Value::Number(digits, _) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                    super::expressions::number(format!("{digits}."))
                }
                Value::Placeholder(name) if !name.starts_with('$') => {
                    literal(self.constants, name)?
                }
                Value::Placeholder(name) if name == "$1" && self.staged_rows().is_some() => {
                    self.whole_row()
                }
                Value::Placeholder(name) => {
                    return Err(SqlError::unsupported(format!("COLUMN {name}")));
                }
                _ => Expr::Value(value),
            },
            Expr::BinaryOp {
                left,
                op: BinaryOperator::Divide,
                right,
            } => call("sf_div", vec![*left, *right]),
            Expr::BinaryOp {
                left,
                op: BinaryOperator::Multiply,
                right,
            } => call("sf_mul", vec![*left, *right]),
            Expr::Cast {
                kind,
                expr,
                data_type,
                ..
            } => {
                let inner = match *expr {
                    // `$1:key::TYPE` casts the value itself, not its JSON.
                    Expr::Function(function) if function.name.to_string() == STAGED_VALUE => {
                        staged_value(&function)
                    }
                    other => other,
                };
                let name = if kind == CastKind::TryCast {
                    "sf_try_cast"
                } else {
                    "sf_cast"
                };
                call(name, vec![inner, text(cast_type(&data_type.to_string()))])
            }
            Expr::TypedString(typed) => {
                cast(Expr::Value(typed.value), &typed.data_type.to_string())
            }
            Expr::JsonAccess { value, path } => self.json_access(*value, &path)?,
            Expr::Extract { field, expr, .. } => {
                call("sf_date_part", vec![text(field.to_string()), *expr])
            }
            Expr::Ceil { expr, field } => shortened("sf_ceil", *expr, field)?,
            Expr::Floor { expr, field } => shortened("sf_floor", *expr, field)?,
            Expr::Substring {
                expr,
                substring_from,
                substring_for,
                special,
                shorthand,
            } => Expr::Substring {
                expr,
                substring_from: substring_from.map(|from| Box::new(bigint(*from))),
                substring_for: substring_for.map(|length| Box::new(bigint(*length))),
                special,
                shorthand,
            },
            Expr::Function(function) => sql_functions::rewritten(self, function)?,
            Expr::Array(array) if !array.named => array_of(array.elem),
            Expr::Dictionary(fields) => {
                let mut members = Vec::new();
                for field in fields {
                    // Whether a literal keeps a member that is NULL is not documented.
                    if *field.value == null() {
                        return Err(SqlError::unsupported("NULL IN AN OBJECT LITERAL"));
                    }
                    members.extend([text(field.key.value), *field.value]);
                }
                object_of(members)?
            }
            Expr::RLike {
                negated,
                expr,
                pattern,
                ..
            } => {
                let matches = sql_functions::regexp_like(*expr, *pattern);
                if negated {
                    Expr::UnaryOp {
                        op: UnaryOperator::Not,
                        expr: Box::new(matches),
                    }
                } else {
                    matches
                }
            }
            Expr::Between {
                expr,
                negated,
                low,
                high,
            } => between(*expr, *low, *high, negated),
            Expr::Position { expr, r#in } => call("strpos", vec![*r#in, *expr]),
            Expr::Array(_) | Expr::Struct { .. } | Expr::Map(_) => {
                return Err(SqlError::unsupported("ARRAYS AND OBJECTS IN EXPRESSIONS"));
            }
            other => other,
        };
        Ok(())
    }

    /// The staged source of the SELECT that the visitor is in.
    fn staged_rows(&self) -> Option<&'a StagedRows> {
        let index = self.selects.last().copied().flatten()?;
        self.staged.get(index)
    }

    /// `$1` of a staged file: all that the row has.
    fn whole_row(&self) -> Expr {
        let fields = self.staged_rows().map(|staged| staged.schema.fields());
        let members = fields
            .into_iter()
            .flatten()
            .flat_map(|field| [text(field.name().clone()), column(field.name())]);
        call(WHOLE_ROW, members.collect())
    }

    /// `$1:key` of a staged file, `column:key` of a VARIANT.
    fn json_access(&self, value: Expr, path: &JsonPath) -> Result<Expr, SqlError> {
        let mut keys = Vec::new();
        for element in &path.path {
            keys.push(match element {
                JsonPathElem::Dot { key, .. } => key.clone(),
                JsonPathElem::Bracket { key } | JsonPathElem::ColonBracket { key } => match key {
                    Expr::Value(literal) => match &literal.value {
                        Value::SingleQuotedString(key) => key.clone(),
                        other => other.to_string().trim_end_matches('.').to_owned(),
                    },
                    other => return Err(SqlError::unsupported(format!("PATH {other}"))),
                },
            });
        }
        let is_row =
            matches!(&value, Expr::Function(function) if function.name.to_string() == WHOLE_ROW);
        let Some(staged) = self.staged_rows().filter(|_| is_row) else {
            return Ok(call("sf_get", vec![value, text(keys.join("\0"))]));
        };
        let [key] = keys.as_slice() else {
            return Err(SqlError::unsupported("PATHS INTO NESTED PARQUET VALUES"));
        };
        let value = if staged.schema.field_with_name(key).is_ok() {
            column(key)
        } else {
            null()
        };
        Ok(call(STAGED_VALUE, vec![value, text("VARIANT")]))
    }
}

/// A staged row as JSON; a path into it takes the column.
pub(crate) const WHOLE_ROW: &str = "sf_row";

/// A staged value as JSON; a cast around it takes the value itself.
const STAGED_VALUE: &str = "sf_cast_staged";

fn staged_value(function: &datafusion::sql::sqlparser::ast::Function) -> Expr {
    arguments(function).map_or_else(|_| null(), |mut arguments| arguments.swap_remove(0))
}

/// A text literal with its length, as a grid shows it.
fn measured(expression: Expr) -> Expr {
    match &expression {
        Expr::Value(literal) => match &literal.value {
            Value::SingleQuotedString(value) => {
                let length = value.chars().count();
                cast(expression, &format!("VARCHAR({length})"))
            }
            _ => expression,
        },
        _ => expression,
    }
}

/// The type of a cast: a VARCHAR without length is as long as an expression may be.
pub(crate) fn cast_type(name: &str) -> String {
    match name.to_uppercase().as_str() {
        "VARCHAR" | "STRING" | "TEXT" => "VARCHAR(134217728)".to_owned(),
        other => other.to_owned(),
    }
}

fn shortened(name: &str, value: Expr, field: CeilFloorKind) -> Result<Expr, SqlError> {
    match field {
        CeilFloorKind::Scale(scale) => Ok(call(name, vec![value, Expr::Value(scale)])),
        CeilFloorKind::DateTimeField(field)
            if field.to_string().is_empty() || field.to_string() == "NODATETIME" =>
        {
            Ok(call(name, vec![value]))
        }
        CeilFloorKind::DateTimeField(field) => {
            Err(SqlError::unsupported(format!("{name} TO {field}")))
        }
    }
}

/// `low <= value AND value <= high`: each comparison by the types of its two sides.
fn between(value: Expr, low: Expr, high: Expr, negated: bool) -> Expr {
    let compared = |left: Expr, op, right: Expr| {
        Box::new(Expr::BinaryOp {
            left: Box::new(grouped(left)),
            op,
            right: Box::new(grouped(right)),
        })
    };
    let inside = nested(Expr::BinaryOp {
        left: compared(value.clone(), BinaryOperator::GtEq, low),
        op: BinaryOperator::And,
        right: compared(value, BinaryOperator::LtEq, high),
    });
    match negated {
        false => inside,
        true => nested(Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr: Box::new(inside),
        }),
    }
}

/// A position or a count, which DataFusion wants as a plain integer.
fn plain_number(expression: &mut Expr) {
    if let Expr::Value(value) = expression
        && let Value::Number(digits, _) = &mut value.value
        && let Some(whole) = digits.strip_suffix('.')
    {
        *digits = whole.to_owned();
    }
}

impl VisitorMut for Rewriter<'_> {
    type Break = SqlError;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        let staged = select.from.iter().find_map(|from| match &from.relation {
            TableFactor::Table { name, .. } => staged_index(&parts(name).remove(0)),
            _ => None,
        });
        self.selects.push(staged);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        self.selects.pop();
        if let GroupByExpr::Expressions(expressions, _) = &mut select.group_by {
            expressions.iter_mut().for_each(plain_number);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        if let Some(order_by) = &mut query.order_by
            && let OrderByKind::Expressions(expressions) = &mut order_by.kind
        {
            expressions
                .iter_mut()
                .for_each(|item| plain_number(&mut item.expr));
        }
        match &mut query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                limit.iter_mut().for_each(plain_number);
                offset
                    .iter_mut()
                    .for_each(|offset| plain_number(&mut offset.value));
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
                plain_number(offset);
                plain_number(limit);
            }
            None => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<SqlError> {
        match self.replace(expression) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// A value in parentheses, so that what stands around it binds as before.
pub(crate) fn grouped(expression: Expr) -> Expr {
    match expression {
        simple @ (Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::Value(_)
        | Expr::Function(_)) => simple,
        other => nested(other),
    }
}

/// An unquoted identifier's or a text literal's text: units of time are written either way.
pub(crate) fn word(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Identifier(Ident { value, .. }) => Some(value.clone()),
        Expr::Value(literal) => match &literal.value {
            Value::SingleQuotedString(value) => Some(value.clone()),
            _ => None,
        },
        _ => None,
    }
}
