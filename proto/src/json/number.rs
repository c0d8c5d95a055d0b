//! Numbers as Python reads and writes them.

use std::fmt::Write;
use std::iter;

/// A number of JSON source. Python tells integers from floats by their spelling, so `1.0` is no integer.
#[derive(Debug, PartialEq)]
pub(super) enum Number<'j> {
    /// Digits in any number, with a `-` or without.
    Integer(&'j str),
    Float(f64),
}

impl<'j> Number<'j> {
    /// Reads a token that the parser has found to be a number.
    pub(super) fn of_token(token: &'j str) -> Self {
        match token {
            "NaN" => Self::Float(f64::NAN),
            "Infinity" => Self::Float(f64::INFINITY),
            "-Infinity" => Self::Float(f64::NEG_INFINITY),
            // Python, too, makes this integer 0.
            "-0" => Self::Integer("0"),
            _ if token.contains(['.', 'e', 'E']) => {
                Self::Float(token.parse().expect("every float of JSON is spelled as a float of Rust"))
            }
            _ => Self::Integer(token),
        }
    }
}

/// Appends Python's `repr`: the fewest digits that read back as the same double, an exponent of at least
/// two digits where the point would be far off.
pub(super) fn write_float(text: &mut String, value: f64) {
    if value.is_nan() {
        return text.push_str("NaN");
    }
    if value.is_sign_negative() {
        text.push('-');
    }
    if value.is_infinite() {
        text.push_str("Infinity");
    } else if value == 0.0 {
        text.push_str("0.0");
    } else {
        Decimal::of(value.abs()).write(text);
    }
}

/// A positive number as `0.digits` times ten to the power of `point`; the digits neither begin nor end with a zero.
struct Decimal {
    digits: String,
    point: i32,
}

impl Decimal {
    /// Finds the fewest digits that read back as `magnitude`.
    ///
    /// Not by Rust's own formatting: where two such numbers are equally near, it takes the larger, Python the even.
    fn of(magnitude: f64) -> Self {
        let mut buffer = zmij::Buffer::new();
        let printed = buffer.format_finite(magnitude);
        let (mantissa, exponent) = printed.split_once('e').unwrap_or((printed, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = [whole, fraction].concat();
        let significant = digits.trim_start_matches('0');
        let exponent: i32 = exponent.parse().expect("the exponent of a double is a small integer");
        let point = exponent + digits_in(whole) - (digits_in(&digits) - digits_in(significant));
        Self { digits: significant.trim_end_matches('0').to_owned(), point }
    }

    fn write(&self, text: &mut String) {
        let Self { digits, point } = self;
        match *point {
            -3..=0 => {
                text.push_str("0.");
                text.extend(iter::repeat_n('0', point.unsigned_abs() as usize));
                text.push_str(digits);
            }
            1..=16 => {
                let (whole, fraction) = digits.split_at(digits.len().min(point.unsigned_abs() as usize));
                text.push_str(whole);
                text.extend(iter::repeat_n('0', point.unsigned_abs() as usize - whole.len()));
                text.push('.');
                text.push_str(if fraction.is_empty() { "0" } else { fraction });
            }
            _ => self.write_with_exponent(text),
        }
    }

    fn write_with_exponent(&self, text: &mut String) {
        let (first, rest) = self.digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let exponent = self.point - 1;
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(text, "{first}{point}{rest}e{sign}{:02}", exponent.abs()).expect("writing to a String cannot fail");
    }
}

fn digits_in(digits: &str) -> i32 {
    i32::try_from(digits.len()).expect("a double is printed in a few digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(value: f64) -> String {
        let mut text = String::new();
        write_float(&mut text, value);
        text
    }

    /// Pairs of a double and what `repr` of Python 3.11 prints.
    #[test]
    fn floats_are_spelled_as_python_does() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (100.0, "100.0"),
            (1e15, "1000000000000000.0"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (9_007_199_254_740_993.0, "9007199254740992.0"),
            (1e21, "1e+21"),
            (1e22, "1e+22"),
            (1e23, "1e+23"),
            (2.0_f64.powi(63), "9.223372036854776e+18"),
            (1e100, "1e+100"),
            (f64::MAX, "1.7976931348623157e+308"),
            (0.0001, "0.0001"),
            (9.999_999_999_999_999e-5, "9.999999999999999e-05"),
            (5e-5, "5e-05"),
            (1.5e-7, "1.5e-07"),
            (-1e-9, "-1e-09"),
            (1e-100, "1e-100"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "5e-324"),
            (2.0 / 3.0, "0.6666666666666666"),
            (9.536_743_164_062_5e-7, "9.5367431640625e-07"),
            (123_456.789, "123456.789"),
            (0.00012, "0.00012"),
            (12.5, "12.5"),
            (1234.0, "1234.0"),
            // Halfway between two of the shortest: the even one. At a power of two only the larger reads back.
            (2_630_733_959_295_161.0 / 4.0, "657683489823790.2"),
            (2_647_220_370_470_709.0 / 4.0, "661805092617677.2"),
            (2_f64.powi(-44), "5.684341886080802e-14"),
            (2_f64.powi(-24), "5.960464477539063e-08"),
            (f64::NAN, "NaN"),
            (-f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, python) in cases {
            assert_eq!(float(value), python);
        }
    }

    #[test]
    fn every_spelling_reads_back_as_the_same_double() {
        for exponent in 0..=2046_u64 {
            for fraction in [0, 1, 0x000f_ffff_ffff_ffff, 0x0005_5555_5555_5555] {
                let value = f64::from_bits(exponent << 52 | fraction);
                let text = float(value);
                assert_eq!(Number::of_token(&text), Number::Float(value));
            }
        }
    }
}
