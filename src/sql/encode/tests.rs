use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::Field;

use super::*;
use crate::sql::decode::Decoder;
use crate::sql::types::Column;

const MONEY: SqlType = SqlType::Decimal {
    precision: 18,
    scale: 2,
};
const NO_SCALE: SqlType = SqlType::Decimal {
    precision: 38,
    scale: 0,
};
const ALL_SCALE: SqlType = SqlType::Decimal {
    precision: 38,
    scale: 38,
};
const HALF_SCALE: SqlType = SqlType::Decimal {
    precision: 38,
    scale: 20,
};

/// The most that 38 digits hold.
const NINES: i128 = 10_i128.pow(38) - 1;

fn batch(columns: &[(&str, SqlType, ArrayRef)]) -> RecordBatch {
    let fields: Vec<_> = columns
        .iter()
        .map(|(name, sql_type, _)| Field::new(*name, sql_type.arrow(), true))
        .collect();
    let arrays = columns
        .iter()
        .map(|(_, _, array)| Arc::clone(array))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn decimals(values: &[i128], sql_type: SqlType) -> ArrayRef {
    Arc::new(
        Decimal128Array::from_iter_values(values.iter().copied()).with_data_type(sql_type.arrow()),
    )
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn rows(batch: &RecordBatch) -> Vec<String> {
    let mut encoder = Encoder::new(&batch.schema()).unwrap();
    let encoded = encoder.encode(batch).unwrap();
    assert_eq!(
        (encoded.len(), encoded.is_empty()),
        (batch.num_rows(), batch.num_rows() == 0)
    );
    (0..encoded.len())
        .map(|row| String::from_utf8(encoded.row(row).to_vec()).unwrap())
        .collect()
}

/// What one column's values look like in JSON.
fn check(sql_type: SqlType, array: ArrayRef, expected: &[&str]) {
    let written = rows(&batch(&[("c", sql_type, array)]));
    let expected: Vec<_> = expected
        .iter()
        .map(|value| format!(r#"{{"c":{value}}}"#))
        .collect();
    assert_eq!(written, expected, "{sql_type}");
}

#[test]
fn each_type_has_its_written_form() {
    check(
        MONEY,
        decimals(&[1250, -5, 0, 5, 100, -100, 99], MONEY),
        &["12.50", "-0.05", "0.00", "0.05", "1.00", "-1.00", "0.99"],
    );
    check(
        NO_SCALE,
        decimals(&[0, -7, NINES], NO_SCALE),
        &["0", "-7", &"9".repeat(38)],
    );
    check(
        ALL_SCALE,
        decimals(&[-1, NINES], ALL_SCALE),
        &[
            &format!("-0.{}1", "0".repeat(37)),
            &format!("0.{}", "9".repeat(38)),
        ],
    );
    check(
        SqlType::BigInt,
        Arc::new(Int64Array::from(vec![0, i64::MIN, i64::MAX])),
        &["0", "-9223372036854775808", "9223372036854775807"],
    );
    check(
        SqlType::Double,
        Arc::new(Float64Array::from(vec![
            0.1,
            -0.0,
            1.0,
            1e300,
            5e-324,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ])),
        &[
            "0.1", "-0.0", "1.0", "1e+300", "5e-324", "null", "null", "null",
        ],
    );
    check(
        SqlType::Boolean,
        Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        &["true", "false", "null"],
    );
    check(
        SqlType::Date,
        Arc::new(Date32Array::from(vec![0, -1, -719_162, 2_932_896])),
        &[
            "\"1970-01-01\"",
            "\"1969-12-31\"",
            "\"0001-01-01\"",
            "\"9999-12-31\"",
        ],
    );
    check(
        SqlType::Timestamp,
        Arc::new(TimestampMicrosecondArray::from(vec![
            0,
            -1,
            1,
            1_769_862_896_123_456,
            -62_135_596_800_000_000,
            253_402_300_799_999_999,
        ])),
        &[
            "\"1970-01-01T00:00:00.000000Z\"",
            "\"1969-12-31T23:59:59.999999Z\"",
            "\"1970-01-01T00:00:00.000001Z\"",
            "\"2026-01-31T12:34:56.123456Z\"",
            "\"0001-01-01T00:00:00.000000Z\"",
            "\"9999-12-31T23:59:59.999999Z\"",
        ],
    );
    check(
        SqlType::Varchar,
        texts(&[
            "",
            "a/b",
            "\"\\",
            "\u{8}\u{C}\n\r\t",
            "\0\u{1F}\u{7F}",
            "é🎈\u{2028}",
            "NULL",
            "\\N",
            "{\"a\":1}",
        ]),
        &[
            r#""""#,
            r#""a/b""#,
            r#""\"\\""#,
            r#""\b\f\n\r\t""#,
            "\"\\u0000\\u001f\u{7F}\"",
            "\"é🎈\u{2028}\"",
            r#""NULL""#,
            r#""\\N""#,
            r#""{\"a\":1}""#,
        ],
    );
}

#[test]
fn fields_stand_in_the_order_of_the_columns_with_escaped_names() {
    let two = batch(&[
        (
            "z \"quoted\"\n",
            SqlType::BigInt,
            Arc::new(Int64Array::from(vec![Some(1), None])),
        ),
        (
            "a",
            SqlType::Varchar,
            Arc::new(StringArray::from(vec![None, Some("x")])),
        ),
    ]);
    assert_eq!(
        rows(&two),
        [
            r#"{"z \"quoted\"\n":1,"a":null}"#,
            r#"{"z \"quoted\"\n":null,"a":"x"}"#
        ]
    );
    assert_eq!(
        rows(&two.project(&[1]).unwrap()),
        [r#"{"a":null}"#, r#"{"a":"x"}"#]
    );
    assert_eq!(rows(&two.project(&[]).unwrap()), ["{}", "{}"]);
    assert_eq!(
        rows(&two.slice(1, 1)),
        [r#"{"z \"quoted\"\n":null,"a":"x"}"#]
    );
    assert!(rows(&two.slice(0, 0)).is_empty());
}

#[test]
fn an_encoder_is_used_again() {
    let long = batch(&[("c", SqlType::Varchar, texts(&["a long text", "another"]))]);
    let short = batch(&[("c", SqlType::Varchar, texts(&["b"]))]);
    let mut encoder = Encoder::new(&long.schema()).unwrap();
    assert_eq!(encoder.encode(&long).unwrap().row(1), br#"{"c":"another"}"#);
    let encoded = encoder.encode(&short).unwrap();
    assert_eq!((encoded.len(), encoded.row(0)), (1, &br#"{"c":"b"}"#[..]));
}

#[test]
fn what_has_no_written_form_is_an_error_that_names_the_column() {
    let year_10000 = 253_402_300_800_000_000;
    let year_0 = -62_135_596_800_000_001;
    for (sql_type, array) in [
        (
            SqlType::Timestamp,
            Arc::new(TimestampMicrosecondArray::from(vec![0, year_10000])) as ArrayRef,
        ),
        (
            SqlType::Timestamp,
            Arc::new(TimestampMicrosecondArray::from(vec![0, year_0])),
        ),
        (
            SqlType::Timestamp,
            Arc::new(TimestampMicrosecondArray::from(vec![0, i64::MAX])),
        ),
        (
            SqlType::Date,
            Arc::new(Date32Array::from(vec![0, 2_932_897])),
        ),
        (
            SqlType::Date,
            Arc::new(Date32Array::from(vec![0, -719_163])),
        ),
        (
            SqlType::Date,
            Arc::new(Date32Array::from(vec![0, i32::MIN])),
        ),
    ] {
        let batch = batch(&[("happened", sql_type, array)]);
        let mut encoder = Encoder::new(&batch.schema()).unwrap();
        let error = encoder.encode(&batch).unwrap_err().to_string();
        assert!(error.contains("column `happened`, row 1"), "{error}");
    }
    let schema = Schema::new(vec![Field::new("view", DataType::Utf8View, true)]);
    let error = Encoder::new(&schema).err().unwrap().to_string();
    assert!(
        error.contains("`view`") && error.contains("hint: "),
        "{error}"
    );
}

#[test]
fn what_was_written_reads_back_the_same() {
    let controls: String = (0..0x20).map(char::from).collect();
    let edges = [
        "",
        &controls,
        "\u{7F}\u{80}\u{7FF}\u{800}\u{FFFF}\u{10000}\u{10FFFF}",
        "\"\\/é🎈",
        "null",
    ];
    let columns = [
        ("text", SqlType::Varchar, texts(&edges)),
        (
            "money",
            MONEY,
            decimals(&[0, 1, -1, 10_i128.pow(18) - 1, 1 - 10_i128.pow(18)], MONEY),
        ),
        (
            "no scale",
            NO_SCALE,
            decimals(&[0, 1, -1, NINES, -NINES], NO_SCALE),
        ),
        (
            "half \"scale\"",
            HALF_SCALE,
            decimals(&[0, 1, -1, NINES, -NINES], HALF_SCALE),
        ),
        (
            "all scale",
            ALL_SCALE,
            decimals(&[0, 1, -1, NINES, -NINES], ALL_SCALE),
        ),
        (
            "count",
            SqlType::BigInt,
            Arc::new(Int64Array::from(vec![0, 1, -1, i64::MAX, i64::MIN])) as ArrayRef,
        ),
        (
            "ratio",
            SqlType::Double,
            Arc::new(Float64Array::from(vec![
                -0.0,
                0.1 + 0.2,
                f64::MIN,
                f64::MAX,
                5e-324,
            ])),
        ),
        (
            "valid",
            SqlType::Boolean,
            Arc::new(BooleanArray::from(vec![true, false, true, true, false])),
        ),
        (
            "day",
            SqlType::Date,
            Arc::new(Date32Array::from(vec![0, -1, -719_162, 2_932_896, 20_484])),
        ),
        (
            "at",
            SqlType::Timestamp,
            Arc::new(TimestampMicrosecondArray::from(vec![
                0,
                -1,
                -62_135_596_800_000_000,
                253_402_300_799_999_999,
                1_769_862_896_123_456,
            ])),
        ),
    ];
    let declared: Vec<_> = columns
        .iter()
        .map(|(name, sql_type, _)| Column {
            name: (*name).to_owned(),
            sql_type: *sql_type,
        })
        .collect();
    let written = batch(&columns);
    let nulls = RecordBatch::try_new(
        written.schema(),
        declared
            .iter()
            .map(|column| arrow::array::new_null_array(&column.sql_type.arrow(), 3))
            .collect(),
    )
    .unwrap();

    let mut encoder = Encoder::new(&written.schema()).unwrap();
    let mut decoder = Decoder::new(&declared);
    for batch in [written, nulls] {
        let encoded = encoder.encode(&batch).unwrap();
        for row in 0..encoded.len() {
            decoder.push(Some(encoded.row(row))).unwrap();
        }
        assert_eq!(decoder.finish().unwrap(), batch);
    }
}
