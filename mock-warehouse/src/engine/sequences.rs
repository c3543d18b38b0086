//! Sequences and AUTOINCREMENT: numbers that no two rows get, whatever their transactions come to. A number once taken
//! is never given back, so there are gaps.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::Decimal128Array,
    datatypes::{DataType, FieldRef},
};
use datafusion::{
    common::Result,
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        Volatility,
    },
    sql::sqlparser::{ast::Expr, tokenizer::Token},
};
use serde::{Deserialize, Serialize};

use super::{
    Grid, GridColumn, SqlError,
    catalog::{Body, Catalog, Key, Kind, Object},
    cursor::Cursor,
    ddl::{Existing, put, said},
    encode::{listed, status},
    expressions::{call, text},
    names,
    session::Work,
    shared::Shared,
    sql_type::SqlType,
};

/// A counter of its own, and how it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sequence {
    /// The counter in [`Catalog::counters`].
    pub(crate) counter: u64,
    pub(crate) start: i64,
    pub(crate) increment: i64,
    /// Whether it was made with ORDER. Numbers come in order here either way.
    pub(crate) ordered: bool,
}

impl Sequence {
    /// The expression that takes a number for each row.
    pub(crate) fn next_value(self) -> Expr {
        let given = [
            self.counter.to_string(),
            self.start.to_string(),
            self.increment.to_string(),
        ];
        call(NEXT_VALUE, given.map(text).to_vec())
    }

    /// A row of SHOW SEQUENCES.
    pub(crate) fn shown(
        self,
        catalog: &Catalog,
        key: &Key,
        object: &Object,
    ) -> Vec<Option<String>> {
        let next = catalog.counters.get(&self.counter).unwrap_or(&self.start);
        let created = format!("{}.{:03}", object.created / 1000, object.created % 1000);
        [
            key.name(),
            &key.path[0],
            &key.path[1],
            &next.to_string(),
            &self.increment.to_string(),
            &created,
            &object.owner,
            &object.comment,
            "ROLE",
            if self.ordered { "Y" } else { "N" },
        ]
        .iter()
        .map(|value| Some((*value).to_owned()))
        .collect()
    }

    /// As DESCRIBE writes an AUTOINCREMENT column's default.
    pub(crate) fn described(self) -> String {
        let order = if self.ordered { "ORDER" } else { "NOORDER" };
        format!(
            "IDENTITY START {} INCREMENT {} {order}",
            self.start, self.increment
        )
    }
}

/// The columns of SHOW SEQUENCES.
pub(crate) fn columns() -> Vec<GridColumn> {
    let number = SqlType::Number {
        precision: 38,
        scale: 0,
    };
    let created = SqlType::TimestampLtz { scale: 3 };
    let mut columns: Vec<GridColumn> = ["name", "database_name", "schema_name"].map(listed).into();
    columns.push(number.grid_column("next_value", true));
    columns.push(number.grid_column("interval", true));
    columns.push(created.grid_column("created_on", true));
    columns.extend(["owner", "comment", "owner_role_type", "ordered"].map(listed));
    columns
}

/// The name of the function in rewritten statements.
const NEXT_VALUE: &str = "sf_nextval";

/// `CREATE SEQUENCE`, from behind the word SEQUENCE.
pub(crate) fn create(work: &Work, cursor: &mut Cursor, replace: bool) -> Result<Grid, SqlError> {
    let keep = cursor.accept("IF NOT EXISTS");
    let key = names::key(&work.context, Kind::Sequence, &cursor.name()?)?;
    let mut sequence = Sequence {
        counter: work.shared.new_id(),
        start: 1,
        increment: 1,
        ordered: false,
    };
    let mut comment = String::new();
    let _ = cursor.accept("WITH");
    while cursor.at_word() {
        match cursor.word()?.as_str() {
            "START" => {
                let _ = cursor.accept("WITH") || cursor.accept_token(&Token::Eq);
                sequence.start = cursor.whole_number()?;
            }
            "INCREMENT" => {
                let _ = cursor.accept("BY") || cursor.accept_token(&Token::Eq);
                sequence.increment = cursor.whole_number()?;
            }
            "ORDER" => sequence.ordered = true,
            "NOORDER" => sequence.ordered = false,
            "COMMENT" if cursor.accept_token(&Token::Eq) => comment = cursor.literal()?,
            _ => {
                cursor.back();
                return Err(cursor.unexpected());
            }
        }
    }
    cursor.end()?;
    if sequence.increment == 0 {
        return Err(SqlError::syntax("the increment of a sequence is not 0"));
    }
    let object = Object {
        comment,
        ..work.object(Body::Sequence(sequence))
    };
    let created = put(work, &key, object, Existing::of(replace, keep, false))?;
    Ok(status(said(&key, created)))
}

/// The sequence that `[db.schema.]name.NEXTVAL` names, if there is one.
pub(crate) fn named(catalog: &Catalog, key: &Key) -> Option<Sequence> {
    match catalog.objects.get(key)?.body {
        Body::Sequence(sequence) => Some(sequence),
        _ => None,
    }
}

/// The name in front of NEXTVAL.
pub(crate) fn reference(expression: &Expr) -> Option<Vec<String>> {
    let Expr::CompoundIdentifier(parts) = expression else {
        return None;
    };
    let (last, name) = parts.split_last()?;
    (last.value == "NEXTVAL" && last.quote_style.is_none())
        .then(|| name.iter().map(|part| part.value.clone()).collect())
}

/// The function that takes numbers from the counters of this warehouse.
pub(crate) fn next_values(shared: &Arc<Shared>) -> ScalarUDF {
    ScalarUDF::new_from_impl(NextValues {
        signature: Signature::any(3, Volatility::Volatile),
        shared: Arc::clone(shared),
    })
}

#[derive(Debug)]
struct NextValues {
    signature: Signature,
    shared: Arc<Shared>,
}

impl PartialEq for NextValues {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for NextValues {}

impl Hash for NextValues {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.shared).hash(state);
    }
}

impl ScalarUDFImpl for NextValues {
    fn name(&self) -> &'static str {
        NEXT_VALUE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Decimal128(19, 0))
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let number = SqlType::Number {
            precision: 19,
            scale: 0,
        };
        Ok(Arc::new(number.field("NEXTVAL", false)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut given = [0; 3];
        for (number, argument) in given.iter_mut().zip(&args.args) {
            let ColumnarValue::Scalar(scalar) = argument else {
                return Err(SqlError::internal("a sequence is a constant").into());
            };
            *number = super::functions::constant_text(Some(scalar))?
                .parse::<i64>()
                .map_err(|error| SqlError::internal(&error.to_string()))?;
        }
        let [counter, start, increment] = given;
        let counter = u64::try_from(counter).unwrap_or_default();
        let rows = i64::try_from(args.number_rows).unwrap_or(i64::MAX);
        let first = self.shared.change(|catalog| {
            let next = catalog.counters.entry(counter).or_insert(start);
            let first = *next;
            *next = increment
                .checked_mul(rows)
                .and_then(|step| first.checked_add(step))
                .ok_or_else(|| SqlError::out_of_range(first))?;
            Ok(first)
        })?;
        let numbers =
            (0..rows).map(|row| i128::from(first) + i128::from(increment) * i128::from(row));
        let numbers = Decimal128Array::from_iter_values(numbers).with_precision_and_scale(19, 0)?;
        Ok(ColumnarValue::Array(Arc::new(numbers)))
    }
}
