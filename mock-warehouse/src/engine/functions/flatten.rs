//! What FLATTEN makes of one VARIANT: a list of rows.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arrow::{
    array::{ArrayRef, Decimal128Builder, ListArray, StringBuilder, StructArray},
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{DataType, Field, FieldRef, Fields},
};
use datafusion::{
    common::{DataFusionError, Result},
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        Volatility,
    },
};
use serde_json::Value;

use super::{Call, constant_text, function, json, typed};
use crate::engine::{SqlError, sql_type::SqlType};

/// The columns of FLATTEN, in order.
pub(crate) const FLATTEN_COLUMNS: [&str; 6] = ["SEQ", "KEY", "PATH", "INDEX", "VALUE", "THIS"];

/// `sf_flat('COLUMN', input, 'path', 'options')` has the type of the column; it never runs.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![function(
        "sf_flat",
        |args| Ok(Arc::new(field_of(constant_text(args.scalar_arguments[0])?))),
        |_| Err(SqlError::unsupported("FLATTEN IN THIS PLACE").into()),
    )]
}

fn type_of(column: &str) -> SqlType {
    match column {
        "SEQ" | "INDEX" => SqlType::Number {
            precision: 19,
            scale: 0,
        },
        "VALUE" | "THIS" => SqlType::Variant,
        _ => SqlType::Varchar { length: 16_777_216 },
    }
}

fn field_of(column: &str) -> Field {
    type_of(column).field(column, column != "SEQ")
}

/// One column of the element that an unnested row holds.
pub(crate) fn flat_field(column: &'static str) -> Arc<ScalarUDF> {
    macro_rules! accessor {
        ($name:literal, $column:literal) => {
            function(
                $name,
                |_| Ok(Arc::new(field_of($column))),
                |call: &Call<'_>| {
                    let rows = typed::<StructArray>(&call.arrays[0])?;
                    rows.column_by_name($column)
                        .cloned()
                        .ok_or_else(|| DataFusionError::Internal("a row of FLATTEN".to_owned()))
                },
            )
        };
    }
    match column {
        "SEQ" => accessor!("sf_flat_seq", "SEQ"),
        "KEY" => accessor!("sf_flat_key", "KEY"),
        "PATH" => accessor!("sf_flat_path", "PATH"),
        "INDEX" => accessor!("sf_flat_index", "INDEX"),
        "VALUE" => accessor!("sf_flat_value", "VALUE"),
        _ => accessor!("sf_flat_this", "THIS"),
    }
}

/// `sf_flatten(input, 'path', 'outer,recursive,mode')`: a list of rows for each input. Each call of this has a counter
/// of its own, so that no two inputs of one FLATTEN share a SEQ.
pub(crate) fn flattened() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Flatten {
        signature: Signature::any(3, Volatility::Volatile),
        next: Arc::new(AtomicU64::new(1)),
    }))
}

#[derive(Debug)]
struct Flatten {
    signature: Signature,
    next: Arc<AtomicU64>,
}

impl PartialEq for Flatten {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.next, &other.next)
    }
}

impl Eq for Flatten {}

impl std::hash::Hash for Flatten {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.next).hash(state);
    }
}

fn row_fields() -> Fields {
    FLATTEN_COLUMNS
        .iter()
        .map(|column| Field::new(*column, type_of(column).arrow(), true))
        .collect()
}

fn item() -> FieldRef {
    Arc::new(Field::new("item", DataType::Struct(row_fields()), true))
}

impl ScalarUDFImpl for Flatten {
    fn name(&self) -> &'static str {
        "sf_flatten"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(item()))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let input = SqlType::of(&args.arg_fields[0])?;
        if !input.is_semi_structured() && !matches!(args.arg_fields[0].data_type(), DataType::Null)
        {
            return Err(SqlError::new(
                "001044",
                "42P13",
                format!(
                    "SQL compilation error:\nInvalid argument types for function 'FLATTEN': (INPUT: {input})"
                ),
            )
            .into());
        }
        Ok(Arc::new(Field::new("rows", DataType::List(item()), false)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let input = args.args[0].to_array(args.number_rows)?;
        let input = arrow::compute::cast(&input, &DataType::Utf8)?;
        let constant = |position: usize| match &args.args[position] {
            ColumnarValue::Scalar(scalar) => constant_text(Some(scalar)),
            ColumnarValue::Array(_) => constant_text(None),
        };
        let path = json::steps(constant(1)?)?;
        let options: Vec<&str> = constant(2)?.split(',').collect();
        let [outer, recursive, mode] = options.as_slice() else {
            return Err(DataFusionError::Internal("options of FLATTEN".to_owned()));
        };
        let mut rows = Rows::default();
        for text in typed::<arrow::array::StringArray>(&input)? {
            let seq = self.next.fetch_add(1, Ordering::Relaxed);
            rows.flatten(
                seq,
                text,
                &path,
                *outer == "true",
                *recursive == "true",
                mode,
            );
        }
        Ok(ColumnarValue::Array(rows.finish()?))
    }
}

/// The rows of a FLATTEN while they are collected.
#[derive(Default)]
struct Rows {
    seq: Vec<i128>,
    key: StringBuilder,
    path: StringBuilder,
    index: Vec<Option<i128>>,
    value: StringBuilder,
    this: StringBuilder,
    lengths: Vec<usize>,
}

impl Rows {
    fn flatten(
        &mut self,
        seq: u64,
        text: Option<&str>,
        path: &[json::Step],
        outer: bool,
        recursive: bool,
        mode: &str,
    ) {
        let before = self.seq.len();
        let root = text.and_then(json::read);
        let start = root.as_ref().and_then(|root| json::at(root, path));
        if let Some(start) = start {
            self.elements(seq, start, &json::written(path), recursive, mode);
        }
        if outer && self.seq.len() == before {
            self.seq.push(seq.into());
            self.key.append_null();
            self.path.append_value(json::written(path));
            self.index.push(None);
            self.value.append_null();
            self.this.append_option(start.map(json::write));
        }
        self.lengths.push(self.seq.len() - before);
    }

    /// A row for each element of the value, and with `recursive` for theirs.
    fn elements(&mut self, seq: u64, this: &Value, path: &str, recursive: bool, mode: &str) {
        let (arrays, objects) = (mode != "OBJECT", mode != "ARRAY");
        let whole = json::write(this);
        let children: Vec<(json::Step, &Value)> = match this {
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(index, value)| (json::Step::Index(index), value))
                .collect(),
            Value::Object(members) => members
                .iter()
                .map(|(key, value)| (json::Step::Key(key.clone()), value))
                .collect(),
            _ => return,
        };
        let shown = if this.is_array() { arrays } else { objects };
        for (step, value) in children {
            let place = json::joined(path, &step);
            if shown {
                self.seq.push(seq.into());
                match &step {
                    json::Step::Key(key) => {
                        self.key.append_value(key);
                        self.index.push(None);
                    }
                    json::Step::Index(index) => {
                        self.key.append_null();
                        self.index.push(i128::try_from(*index).ok());
                    }
                }
                self.path.append_value(&place);
                self.value.append_option(json::element(value));
                self.this.append_value(&whole);
            }
            if recursive {
                self.elements(seq, value, &place, recursive, mode);
            }
        }
    }

    fn finish(mut self) -> Result<ArrayRef> {
        let numbers = |values: Vec<Option<i128>>| -> Result<ArrayRef> {
            let mut builder =
                Decimal128Builder::with_capacity(values.len()).with_precision_and_scale(19, 0)?;
            values
                .into_iter()
                .for_each(|value| builder.append_option(value));
            Ok(Arc::new(builder.finish()))
        };
        let seq = numbers(self.seq.iter().copied().map(Some).collect())?;
        let index = numbers(self.index)?;
        let columns: Vec<ArrayRef> = vec![
            seq,
            Arc::new(self.key.finish()),
            Arc::new(self.path.finish()),
            index,
            Arc::new(self.value.finish()),
            Arc::new(self.this.finish()),
        ];
        let rows = StructArray::try_new(row_fields(), columns, None::<NullBuffer>)?;
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        Ok(Arc::new(ListArray::try_new(
            item(),
            offsets,
            Arc::new(rows),
            None,
        )?))
    }
}
