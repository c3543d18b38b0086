//! Snowflake's functions where DataFusion has none, or has others of the same name.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef},
    datatypes::FieldRef,
};
use datafusion::{
    common::{DataFusionError, Result, ScalarValue},
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        Volatility,
    },
};

mod calendar;
mod cast;
mod dates;
mod flatten;
mod formats;
mod geo;
mod json;
mod math;
mod number;
mod rounding;
mod semi;
mod strings;
mod text;
mod times;
mod vector;
mod zoned;

pub(crate) use flatten::{FLATTEN_COLUMNS, flat_field, flattened};
pub(crate) use formats::Formats;
pub(crate) use json::pretty;
pub(crate) use text::{decimal, instant, nanoseconds, to_text};
pub(crate) use zoned::{ZONED_WIDTH, zoned_values};

/// A function: what it yields for which arguments, and how.
#[derive(Debug, Clone)]
struct Function {
    name: &'static str,
    signature: Signature,
    field: fn(&ReturnFieldArgs<'_>) -> Result<FieldRef>,
    run: fn(&Call<'_>) -> Result<ArrayRef>,
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// One call: the arguments as arrays, and what is known of them.
struct Call<'a> {
    arrays: Vec<ArrayRef>,
    arguments: &'a ScalarFunctionArgs,
    /// The session's TIMEZONE.
    zone: &'a str,
}

impl Call<'_> {
    /// The constant text at the position.
    fn text(&self, position: usize) -> Result<&str> {
        match &self.arguments.args[position] {
            ColumnarValue::Scalar(scalar) => constant_text(Some(scalar)),
            ColumnarValue::Array(_) => constant_text(None),
        }
    }

    /// The session's output formats.
    fn formats(&self) -> Formats {
        Formats::stored(&self.arguments.config_options.format)
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[arrow::datatypes::DataType]) -> Result<arrow::datatypes::DataType> {
        Err(DataFusionError::Internal(format!(
            "{} yields a field",
            self.name
        )))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        (self.field)(&args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args
            .args
            .iter()
            .map(|arg| arg.to_array(rows))
            .collect::<Result<Vec<_>>>()?;
        let zone = args.config_options.execution.time_zone.clone();
        let call = Call {
            arrays,
            arguments: &args,
            zone: zone.as_deref().unwrap_or("UTC"),
        };
        let array = (self.run)(&call)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &array, 0,
            )?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

fn function(
    name: &'static str,
    field: fn(&ReturnFieldArgs<'_>) -> Result<FieldRef>,
    run: fn(&Call<'_>) -> Result<ArrayRef>,
) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Function {
        name,
        signature: Signature::variadic_any(Volatility::Immutable),
        field,
        run,
    }))
}

/// All functions of ours; their names begin with `sf_` and only rewritten statements name them.
pub(crate) fn all() -> Vec<Arc<ScalarUDF>> {
    let mut functions = Vec::new();
    functions.extend(cast::functions());
    functions.extend(number::functions());
    functions.extend(rounding::functions());
    functions.extend(dates::functions());
    functions.extend(json::functions());
    functions.extend(calendar::functions());
    functions.extend(flatten::functions());
    functions.extend(semi::functions());
    functions.extend(math::functions());
    functions.extend(strings::functions());
    functions
}

/// The text of a constant argument.
pub(crate) fn constant_text(scalar: Option<&ScalarValue>) -> Result<&str> {
    match scalar {
        Some(
            ScalarValue::Utf8(Some(text))
            | ScalarValue::LargeUtf8(Some(text))
            | ScalarValue::Utf8View(Some(text)),
        ) => Ok(text),
        _ => Err(DataFusionError::Plan(
            "a constant text is expected".to_owned(),
        )),
    }
}

/// Whether any argument may be NULL.
fn any_nullable(args: &ReturnFieldArgs<'_>) -> bool {
    args.arg_fields.iter().any(|field| field.is_nullable())
}

/// The array as this type of array.
fn typed<T: Array + 'static>(array: &ArrayRef) -> Result<&T> {
    array.as_any().downcast_ref::<T>().ok_or_else(|| {
        DataFusionError::Internal(format!("unexpected array of {}", array.data_type()))
    })
}
