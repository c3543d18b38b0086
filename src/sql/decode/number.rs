//! A JSON number as written in, an exact decimal or a refusal out.

use arrow::datatypes::DECIMAL128_MAX_PRECISION;

pub(super) const TOO_FINE: &str = "more digits after the point than the type has";
pub(super) const TOO_LARGE: &str = "more digits than the type has";
const A_FRACTION: &str = "written with a fraction";
const NOT_FINITE: &str = "larger than any finite number";

/// An exponent this far out decides like any farther one, and still adds up with the length of any text.
const FARTHEST_EXPONENT: i64 = 1_000_000_000_000_000;

const POWERS_OF_TEN: [i128; 39] = {
    let mut powers = [1; 39];
    let mut index = 1;
    while index < powers.len() {
        powers[index] = powers[index - 1] * 10;
        index += 1;
    }
    powers
};

/// The number times ten to the power of `scale`, if that is an integer of at most `precision` digits.
///
/// Takes time in proportion to the text, whatever the exponent says.
pub(super) fn decimal(text: &str, precision: u8, scale: u8) -> Result<i128, &'static str> {
    let most_digits = i64::from(precision.min(DECIMAL128_MAX_PRECISION));
    let (negative, text) = text
        .strip_prefix('-')
        .map_or((false, text), |text| (true, text));

    // The digits from the first to the last that is not zero; those in between and what scales them are counted.
    let mut coefficient: i128 = 0;
    let mut significant: i64 = 0;
    let mut zeros: i64 = 0;
    let mut fraction: i64 = 0;
    let mut point = false;
    let mut exponent = 0;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'.' => point = true,
            b'e' | b'E' => {
                exponent = parse_exponent(&text[index + 1..]);
                break;
            }
            b'0' => {
                fraction += i64::from(point);
                zeros += i64::from(significant > 0);
            }
            digit => {
                fraction += i64::from(point);
                significant += zeros + 1;
                if significant > most_digits {
                    return Err(if point { TOO_FINE } else { TOO_LARGE });
                }
                coefficient = coefficient * power_of_ten(zeros + 1) + i128::from(digit - b'0');
                zeros = 0;
            }
        }
    }
    if coefficient == 0 {
        return Ok(0);
    }
    let shift = exponent - fraction + zeros + i64::from(scale);
    if shift < 0 {
        return Err(TOO_FINE);
    }
    if significant + shift > most_digits {
        return Err(TOO_LARGE);
    }
    let unscaled = coefficient * power_of_ten(shift);
    Ok(if negative { -unscaled } else { unscaled })
}

fn power_of_ten(exponent: i64) -> i128 {
    let index = usize::try_from(exponent).expect("the exponent is not negative");
    POWERS_OF_TEN[index]
}

fn parse_exponent(text: &str) -> i64 {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let size = digits.iter().fold(0, |size: i64, digit| {
        (size * 10 + i64::from(digit - b'0')).min(FARTHEST_EXPONENT)
    });
    if negative { -size } else { size }
}

/// An integer of 64 bits, written without a point: `1e3` is one, `1.0` is not.
pub(super) fn bigint(text: &str) -> Result<i64, &'static str> {
    if let Ok(integer) = text.parse() {
        return Ok(integer);
    }
    if text.contains('.') {
        return Err(A_FRACTION);
    }
    let integer =
        decimal(text, 19, 0).map_err(|why| if why == TOO_FINE { A_FRACTION } else { why })?;
    i64::try_from(integer).map_err(|_| TOO_LARGE)
}

/// The nearest double, unless that is infinite.
pub(super) fn double(text: &str) -> Result<f64, &'static str> {
    let number: f64 = text.parse().expect("a JSON number is a Rust number");
    if number.is_finite() {
        Ok(number)
    } else {
        Err(NOT_FINITE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_exact_or_refused() {
        let nines = "9".repeat(38);
        let many_zeros = format!("1.{}", "0".repeat(100_000));
        let far_down = format!("0.{}1e100001", "0".repeat(100_000));
        let far_up = format!("1{}e-100000", "0".repeat(100_000));
        let table = [
            ("0", 18, 2, Ok(0)),
            ("-0", 18, 2, Ok(0)),
            ("-0.000e5", 18, 2, Ok(0)),
            ("0e999999999999999999999999", 18, 2, Ok(0)),
            ("1.5", 18, 2, Ok(150)),
            ("1.50", 18, 2, Ok(150)),
            ("-1.50000", 18, 2, Ok(-150)),
            ("15e-1", 18, 2, Ok(150)),
            ("1e2", 18, 2, Ok(10_000)),
            ("1E+2", 18, 2, Ok(10_000)),
            ("1.000e0", 18, 2, Ok(100)),
            ("0.00015E2", 18, 3, Ok(15)),
            ("100200", 18, 2, Ok(10_020_000)),
            ("10020.0300e-1", 18, 3, Ok(1_002_003)),
            ("0.01", 18, 2, Ok(1)),
            ("0.001", 18, 2, Err(TOO_FINE)),
            ("1.005", 18, 2, Err(TOO_FINE)),
            ("1e-3", 18, 2, Err(TOO_FINE)),
            ("1e-400", 18, 2, Err(TOO_FINE)),
            ("1e400", 18, 2, Err(TOO_LARGE)),
            ("1e99999999999999999999999999", 18, 2, Err(TOO_LARGE)),
            ("1e-99999999999999999999999999", 18, 2, Err(TOO_FINE)),
            ("9999999999999999.99", 18, 2, Ok(999_999_999_999_999_999)),
            ("10000000000000000", 18, 2, Err(TOO_LARGE)),
            ("99", 2, 0, Ok(99)),
            ("100", 2, 0, Err(TOO_LARGE)),
            ("0.5", 1, 1, Ok(5)),
            ("1.5", 1, 1, Err(TOO_FINE)),
            ("1", 1, 1, Err(TOO_LARGE)),
            (&nines, 38, 0, Ok(10_i128.pow(38) - 1)),
            (&nines, 38, 1, Err(TOO_LARGE)),
            (&many_zeros, 18, 2, Ok(100)),
            (&far_down, 18, 2, Ok(100)),
            (&far_up, 18, 2, Ok(100)),
        ];
        for (text, precision, scale, expected) in table {
            assert_eq!(
                decimal(text, precision, scale),
                expected,
                "{text:.60} as DECIMAL({precision},{scale})"
            );
        }
    }

    #[test]
    fn a_bigint_has_no_fraction() {
        let table = [
            ("0", Ok(0)),
            ("-0", Ok(0)),
            ("42", Ok(42)),
            ("1e3", Ok(1000)),
            ("100e-2", Ok(1)),
            ("-1E+18", Ok(-1_000_000_000_000_000_000)),
            ("9223372036854775807", Ok(i64::MAX)),
            ("-9223372036854775808", Ok(i64::MIN)),
            ("9223372036854775808", Err(TOO_LARGE)),
            ("-9223372036854775809", Err(TOO_LARGE)),
            ("1e19", Err(TOO_LARGE)),
            ("1e999999999999999999999", Err(TOO_LARGE)),
            ("1.0", Err(A_FRACTION)),
            ("1.5e1", Err(A_FRACTION)),
            ("15e-1", Err(A_FRACTION)),
        ];
        for (text, expected) in table {
            assert_eq!(bigint(text), expected, "{text}");
        }
    }

    #[test]
    fn a_double_is_the_nearest_finite_one() {
        let table = [
            ("0.1", Ok(0.1)),
            ("1e3", Ok(1000.0)),
            ("1e-400", Ok(0.0)),
            ("1.7976931348623157e308", Ok(f64::MAX)),
            ("1e999", Err(NOT_FINITE)),
            ("-1e309", Err(NOT_FINITE)),
        ];
        for (text, expected) in table {
            assert_eq!(double(text), expected, "{text}");
        }
        assert!(double("-0").is_ok_and(f64::is_sign_negative));
    }
}
