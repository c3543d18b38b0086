//! Operators over types that DataFusion does not combine as Snowflake does: dates and numbers, timestamps of different
//! kinds, a VARIANT and a plain value.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    common::{DFSchema, Result, ScalarValue},
    logical_expr::{
        Expr, ExprSchemable, ScalarUDF,
        planner::{ExprPlanner, PlannerResult, RawBinaryExpr},
    },
    sql::sqlparser::ast::BinaryOperator,
};

use super::{SqlError, functions, sql_type::SqlType};

/// Plans those operators.
#[derive(Debug)]
pub(crate) struct Operators {
    cast: Arc<ScalarUDF>,
    dateadd: Arc<ScalarUDF>,
    datediff: Arc<ScalarUDF>,
    moment: Arc<ScalarUDF>,
}

/// What a side of an operator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Number,
    Text,
    Date,
    Wall,
    Moment,
    Zoned,
    Json,
    Other,
}

impl Operators {
    pub(crate) fn new() -> Self {
        let named = |name: &str| {
            let mut all = functions::all().into_iter();
            all.find(|function| function.name() == name)
                .expect("the function is ours")
        };
        Self {
            cast: named("sf_cast"),
            dateadd: named("sf_dateadd"),
            datediff: named("sf_datediff"),
            moment: named("sf_moment"),
        }
    }

    fn cast(&self, value: Expr, sql_type: &str) -> Expr {
        self.cast.call(vec![value, text(sql_type)])
    }

    /// A timestamp of any kind as a moment; one without a zone is read in the session's.
    fn moment(&self, value: Expr, side: Side) -> Expr {
        match side {
            Side::Zoned => self.moment.call(vec![value]),
            Side::Moment => value,
            _ => self.cast(value, "TIMESTAMP_LTZ(9)"),
        }
    }

    fn compared(
        &self,
        op: &BinaryOperator,
        (left, right): (Expr, Expr),
        sides: (Side, Side),
    ) -> Result<Option<(Expr, Expr)>> {
        use Side::{Date, Json, Moment, Number, Other, Text, Wall, Zoned};
        let equality = matches!(op, BinaryOperator::Eq | BinaryOperator::NotEq);
        Ok(Some(match sides {
            (Zoned, Zoned | Moment | Wall | Date | Text)
            | (Moment | Wall | Date | Text, Zoned)
            | (Moment, Wall | Date)
            | (Wall | Date, Moment) => (self.moment(left, sides.0), self.moment(right, sides.1)),
            (Json, Json) if !equality => {
                return Err(SqlError::unsupported("COMPARISON OF TWO VARIANTS BY ORDER").into());
            }
            (Json, Number) => (self.cast(left, "FLOAT"), right),
            (Number, Json) => (left, self.cast(right, "FLOAT")),
            (Json, Text) => (self.cast(left, "VARCHAR"), right),
            (Text, Json) => (left, self.cast(right, "VARCHAR")),
            (Json, Other | Date | Wall | Moment) => (left, self.cast(right, "VARIANT")),
            (Other | Date | Wall | Moment, Json) => (self.cast(left, "VARIANT"), right),
            _ => return Ok(None),
        }))
    }

    /// `date + days`, `date - days`, `date - date`
    fn shifted(
        &self,
        op: &BinaryOperator,
        (left, right): (Expr, Expr),
        sides: (Side, Side),
    ) -> Option<Expr> {
        let day = || text("day");
        Some(match (op, sides) {
            (BinaryOperator::Plus, (Side::Date, Side::Number)) => {
                self.dateadd.call(vec![day(), right, left])
            }
            (BinaryOperator::Plus, (Side::Number, Side::Date)) => {
                self.dateadd.call(vec![day(), left, right])
            }
            (BinaryOperator::Minus, (Side::Date, Side::Number)) => {
                self.dateadd
                    .call(vec![day(), Expr::Negative(Box::new(right)), left])
            }
            (BinaryOperator::Minus, (Side::Date, Side::Date)) => {
                self.datediff.call(vec![day(), right, left])
            }
            _ => return None,
        })
    }
}

fn text(value: &str) -> Expr {
    Expr::Literal(ScalarValue::from(value), None)
}

fn side(value: &Expr, schema: &DFSchema) -> Side {
    let Ok((_, field)) = value.to_field(schema) else {
        return Side::Other;
    };
    if SqlType::of(&field).is_ok_and(SqlType::is_semi_structured) {
        return Side::Json;
    }
    match field.data_type() {
        DataType::Date32 => Side::Date,
        DataType::Timestamp(_, None) => Side::Wall,
        DataType::Timestamp(_, Some(_)) => Side::Moment,
        DataType::FixedSizeBinary(_) => Side::Zoned,
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => Side::Text,
        DataType::Float64 | DataType::Decimal128(..) => Side::Number,
        kind if kind.is_integer() => Side::Number,
        _ => Side::Other,
    }
}

impl ExprPlanner for Operators {
    fn plan_binary_op(
        &self,
        expression: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let RawBinaryExpr { op, left, right } = expression;
        let sides = (side(&left, schema), side(&right, schema));
        let pair = (left.clone(), right.clone());
        match op {
            BinaryOperator::Plus | BinaryOperator::Minus => {
                if let Some(shifted) = self.shifted(&op, pair, sides) {
                    return Ok(PlannerResult::Planned(shifted));
                }
            }
            BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq => {
                if let Some((left, right)) = self.compared(&op, pair, sides)? {
                    return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
                }
            }
            _ => {}
        }
        Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
    }
}
