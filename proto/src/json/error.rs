//! What can go wrong between a value and its JSON text.

use std::fmt;

use serde::ser;
use thiserror::Error;

use super::MAX_DEPTH;

/// Tells why a value has no JSON text, or why a text has no value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JsonError {
    /// The text is not JSON in Python's spelling, or is nested deeper than [`MAX_DEPTH`].
    #[error("invalid JSON, {reason} at {at}")]
    Syntax {
        /// What is wrong.
        reason: &'static str,
        /// Where it was noticed.
        at: Position,
    },
    /// The text is JSON, but not of the type that was asked for.
    #[error("JSON of another type, {message} at {at}")]
    Mismatch {
        /// What the type says of it.
        message: String,
        /// Where the value begins that does not fit.
        at: Position,
    },
    /// The value is nested deeper than [`MAX_DEPTH`].
    #[error("value nested deeper than {MAX_DEPTH} levels has no JSON text")]
    TooDeep,
    /// A map has keys that JSON has not.
    #[error("{found} cannot be a key in JSON, where text, numbers, booleans and null can")]
    Key {
        /// The kind of the key.
        found: &'static str,
    },
    /// The value's own serialization failed.
    #[error("value without JSON text, {message}")]
    Refused {
        /// What the value's type says.
        message: String,
    },
}

impl ser::Error for JsonError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        Self::Refused { message }
    }
}

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Counts from 1.
    pub line: usize,
    /// Counts characters, from 1.
    pub column: usize,
}

impl Position {
    /// Finds the place of the byte `index`; one past the end is the place after the last character.
    pub(super) fn find(text: &str, index: usize) -> Self {
        let before = &text.as_bytes()[..index.min(text.len())];
        let line = before.split(|byte| *byte == b'\n');
        let last = line.clone().next_back().unwrap_or_default();
        // Bytes within a character do not begin one: `index` may point into it.
        let characters = last.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        Self { line: line.count(), column: characters + 1 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_counts_lines_and_characters_from_one() {
        let text = "aé\n🍨x\n";
        let found = |index| {
            let Position { line, column } = Position::find(text, index);
            (line, column)
        };
        assert_eq!(found(0), (1, 1));
        assert_eq!(found(1), (1, 2));
        assert_eq!(found(3), (1, 3));
        assert_eq!(found(4), (2, 1));
        assert_eq!(found(8), (2, 2));
        assert_eq!(found(text.len()), (3, 1));
        assert_eq!(found(999), (3, 1));
    }
}
