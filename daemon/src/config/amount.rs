//! Numbers of bytes as people type them.

use std::fmt;
use std::str::FromStr;

use super::quantity;

/// A number of bytes.
///
/// `32768`, `32 KiB`, `1MiB`, `2GiB`, `1TiB`; the units are powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Text that is no number of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a size; write for example `32768`, `32 KiB`, `1 MiB` or `2 GiB`")]
pub struct SizeError {
    /// What was typed.
    text: String,
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let error = || SizeError { text: text.to_owned() };
        let (number, unit) = quantity::parse(text).ok_or_else(error)?;
        let shift = shift_of(unit).ok_or_else(error)?;
        number.checked_mul(1 << shift).map(Self).ok_or_else(error)
    }
}

/// Returns the unit's power of two.
fn shift_of(unit: &str) -> Option<u32> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "kib" => 10,
        "mib" => 20,
        "gib" => 30,
        "tib" => 40,
        _ => return None,
    })
}

impl fmt::Display for Size {
    /// Writes it in the largest unit that needs no fraction, so that it can be typed again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.into_iter().find(|(shift, _)| self.0 != 0 && self.0.trailing_zeros() >= *shift) {
            Some((shift, unit)) => write!(f, "{} {unit}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_spelling_is_understood() {
        let cases = [
            ("0", 0),
            ("32768", 32_768),
            ("32 KiB", 32_768),
            ("1MiB", 1 << 20),
            ("2 gib", 2 << 30),
            ("1TiB", 1 << 40),
            ("7 B", 7),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "-1", "1.5 MiB", "1 kB", "much", "KiB", "99999999999 TiB", "0x10"] {
            assert!(text.parse::<Size>().is_err(), "{text:?} was taken for a size");
        }
    }

    #[test]
    fn a_size_is_printed_so_that_it_can_be_typed_again() {
        for text in ["0", "1000", "32 KiB", "3 MiB", "1 TiB"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
    }
}
