//! Durations too short for [`Lifetime`](datacache_proto::time::Lifetime), as people type them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::quantity;

/// A duration of microseconds or milliseconds.
///
/// `50us`, `50 µs`, `1ms`; `0` needs no unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShortSpan(pub Duration);

/// Text that is no short duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a short duration; write for example `50us`, `1ms` or `0`")]
pub struct ShortSpanError {
    /// What was typed.
    text: String,
}

impl FromStr for ShortSpan {
    type Err = ShortSpanError;

    fn from_str(text: &str) -> Result<Self, ShortSpanError> {
        let error = || ShortSpanError { text: text.to_owned() };
        let (number, unit) = quantity::parse(text).ok_or_else(error)?;
        match unit {
            "us" | "\u{b5}s" | "\u{3bc}s" => Ok(Self(Duration::from_micros(number))),
            "ms" => Ok(Self(Duration::from_millis(number))),
            "" if number == 0 => Ok(Self(Duration::ZERO)),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for ShortSpan {
    /// Writes it so that it can be typed again; what is below a microsecond is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_micros() {
            0 => f.write_str("0"),
            micros if micros % 1_000 == 0 => write!(f, "{}ms", micros / 1_000),
            micros => write!(f, "{micros}us"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_spelling_is_understood() {
        let micro_sign_and_greek_letter = [("50 \u{b5}s", 50), ("50\u{3bc}s", 50)];
        let cases = [("0", 0), ("50us", 50), ("1ms", 1_000), (" 7 ms ", 7_000), ("0us", 0)];
        for (text, micros) in cases.into_iter().chain(micro_sign_and_greek_letter) {
            assert_eq!(text.parse(), Ok(ShortSpan(Duration::from_micros(micros))), "{text}");
        }
    }

    #[test]
    fn what_is_no_short_duration_is_refused() {
        for text in ["", "50", "1s", "-1us", "0.5ms", "us", "never", "50us ago", "99999999999999999999us"] {
            assert!(text.parse::<ShortSpan>().is_err(), "{text:?} was taken for a short duration");
        }
    }

    #[test]
    fn a_short_duration_is_printed_so_that_it_can_be_typed_again() {
        for text in ["0", "50us", "1500us", "1ms"] {
            assert_eq!(text.parse::<ShortSpan>().unwrap().to_string(), text);
        }
    }
}
