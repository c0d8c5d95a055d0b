//! An error while reading, before its place in the text is known in lines and columns.

use std::fmt;

use jiter::{JiterError, JiterErrorType, JsonErrorType};
use serde::de;

use super::{JsonError, Position};

/// Reading stopped: serde makes it without a place, and the reader that it passes first adds one.
#[derive(Debug)]
pub(super) struct Fault {
    cause: Cause,
    index: Option<usize>,
}

#[derive(Debug)]
enum Cause {
    Syntax(&'static str),
    Mismatch(String),
}

impl Fault {
    pub(super) const fn syntax(reason: &'static str, index: usize) -> Self {
        Self { cause: Cause::Syntax(reason), index: Some(index) }
    }

    /// Sets the place, unless one nearer to the cause is known.
    pub(super) fn at(mut self, index: usize) -> Self {
        self.index.get_or_insert(index);
        self
    }

    pub(super) fn explain(self, text: &str) -> JsonError {
        let at = Position::find(text, self.index.unwrap_or_default());
        match self.cause {
            Cause::Syntax(reason) => JsonError::Syntax { reason, at },
            Cause::Mismatch(message) => JsonError::Mismatch { message, at },
        }
    }
}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { cause: Cause::Mismatch(message.to_string()), index: None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Syntax(reason) => f.write_str(reason),
            Cause::Mismatch(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Fault {}

impl From<JiterError> for Fault {
    fn from(error: JiterError) -> Self {
        let reason = match error.error_type {
            JiterErrorType::JsonError(kind) => reason(&kind),
            JiterErrorType::WrongType { .. } => "unexpected value",
        };
        Self::syntax(reason, error.index)
    }
}

pub(super) const EXPECTED_VALUE: &str = "expected a value";
pub(super) const TOO_DEEP: &str = "nested deeper than 200 levels";

const fn reason(kind: &JsonErrorType) -> &'static str {
    match kind {
        JsonErrorType::EofWhileParsingList => "unexpected end of a list",
        JsonErrorType::EofWhileParsingObject => "unexpected end of an object",
        JsonErrorType::EofWhileParsingString => "unexpected end of a text",
        JsonErrorType::EofWhileParsingValue => "unexpected end of a value",
        JsonErrorType::ExpectedColon => "expected ':'",
        JsonErrorType::ExpectedListCommaOrEnd => "expected ',' or ']'",
        JsonErrorType::ExpectedObjectCommaOrEnd => "expected ',' or '}'",
        JsonErrorType::ExpectedSomeIdent => "misspelled word",
        JsonErrorType::InvalidEscape => "unknown escape",
        JsonErrorType::InvalidNumber => "malformed number",
        JsonErrorType::NumberOutOfRange => "number of more than 4300 digits",
        JsonErrorType::ControlCharacterWhileParsingString => "unescaped control character",
        JsonErrorType::KeyMustBeAString => "expected a key in double quotes",
        // The second is jiter's word for a high surrogate that no `\u` follows.
        JsonErrorType::LoneLeadingSurrogateInHexEscape | JsonErrorType::UnexpectedEndOfHexEscape => {
            "half of a surrogate pair"
        }
        JsonErrorType::TrailingComma => "comma before the end",
        JsonErrorType::TrailingCharacters => "more text after the value",
        JsonErrorType::RecursionLimitExceeded => TOO_DEEP,
        JsonErrorType::InvalidUnicodeCodePoint => "malformed UTF-8",
        JsonErrorType::ExpectedSomeValue
        | JsonErrorType::FloatExpectingInt
        | JsonErrorType::DuplicateKey(_)
        | JsonErrorType::InternalError(_) => EXPECTED_VALUE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::MAX_DEPTH;

    #[test]
    fn the_message_about_depth_names_the_limit() {
        assert!(TOO_DEEP.contains(&MAX_DEPTH.to_string()));
    }
}
