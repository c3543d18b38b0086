//! Small pieces of syntax tree.

use datafusion::sql::sqlparser::{
    ast::{
        CaseWhen, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
        FunctionArguments, Ident, ObjectName, Query, Select, SetExpr, Statement, Value, WindowType,
        helpers::attached_token::AttachedToken,
    },
    dialect::SnowflakeDialect,
    parser::Parser,
};

use super::SqlError;

/// A text literal.
pub(crate) fn text(value: impl Into<String>) -> Expr {
    Expr::Value(Value::SingleQuotedString(value.into()).into())
}

/// A number as it is written.
pub(crate) fn number(value: impl Into<String>) -> Expr {
    Expr::Value(Value::Number(value.into(), false).into())
}

pub(crate) fn null() -> Expr {
    Expr::Value(Value::Null.into())
}

pub(crate) fn column(name: &str) -> Expr {
    Expr::Identifier(Ident::with_quote('"', name))
}

/// A call of a function.
pub(crate) fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    Expr::Function(function(name, arguments))
}

pub(crate) fn function(name: &str, arguments: Vec<Expr>) -> Function {
    let args = arguments
        .into_iter()
        .map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)))
        .collect();
    Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    }
}

/// The plain arguments of a call.
pub(crate) fn arguments(function: &Function) -> Result<Vec<Expr>, SqlError> {
    match &function.args {
        FunctionArguments::None => Ok(Vec::new()),
        FunctionArguments::List(list) => list
            .args
            .iter()
            .map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Ok(value.clone()),
                other => Err(SqlError::syntax(format!("unexpected argument '{other}'"))),
            })
            .collect(),
        FunctionArguments::Subquery(_) => Err(SqlError::syntax("unexpected subquery")),
    }
}

/// A call over a window, if there is one.
pub(crate) fn call_over(name: &str, arguments: Vec<Expr>, over: Option<WindowType>) -> Expr {
    Expr::Function(Function {
        over,
        ..function(name, arguments)
    })
}

/// `CASE WHEN .. THEN .. ELSE .. END`
pub(crate) fn case(conditions: Vec<(Expr, Expr)>, otherwise: Expr) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: conditions
            .into_iter()
            .map(|(condition, result)| CaseWhen { condition, result })
            .collect(),
        else_result: Some(Box::new(otherwise)),
    }
}

/// Our cast to the type that the text names.
pub(crate) fn cast(value: Expr, sql_type: &str) -> Expr {
    call("sf_cast", vec![value, text(sql_type)])
}

/// A value as DataFusion's BIGINT, for functions that count.
pub(crate) fn bigint(value: Expr) -> Expr {
    if let Expr::Value(inner) = &value
        && let Value::Number(digits, _) = &inner.value
    {
        return number(digits.trim_end_matches('.'));
    }
    Expr::Cast {
        kind: datafusion::sql::sqlparser::ast::CastKind::Cast,
        expr: Box::new(value),
        data_type: DataType::BigInt(None),
        array: false,
        format: None,
    }
}

pub(crate) fn nested(value: Expr) -> Expr {
    Expr::Nested(Box::new(value))
}

/// The statement that the text is.
pub(crate) fn statement(sql: &str) -> Result<Statement, SqlError> {
    let mut parsed = Parser::parse_sql(&SnowflakeDialect {}, sql).map_err(SqlError::syntax)?;
    parsed
        .pop()
        .ok_or_else(|| SqlError::syntax("nothing to run"))
}

/// The query that a text of ours is.
pub(crate) fn query(sql: &str) -> Query {
    match statement(sql) {
        Ok(Statement::Query(query)) => *query,
        other => unreachable!("{sql} is a query: {other:?}"),
    }
}

/// The outermost SELECT of a query that has one.
pub(crate) fn select_of(query: &mut Query) -> &mut Select {
    match query.body.as_mut() {
        SetExpr::Select(select) => select,
        other => unreachable!("{other} is a SELECT"),
    }
}
