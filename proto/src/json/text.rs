//! The text while it is written: scalars, brackets and how deep they are.

use std::fmt::{Display, Write};

use super::number::write_float;
use super::{JsonError, MAX_DEPTH};

/// Canonical JSON, complete up to the value that is written next.
#[derive(Default)]
pub(super) struct Text {
    written: String,
    depth: usize,
}

impl Text {
    pub(super) fn into_string(self) -> String {
        self.written
    }

    pub(super) fn len(&self) -> usize {
        self.written.len()
    }

    /// Cuts off what was written from byte `start` on, and returns it.
    pub(super) fn take_from(&mut self, start: usize) -> String {
        self.written.split_off(start)
    }

    /// Appends text that is canonical already.
    pub(super) fn raw(&mut self, canonical: &str) {
        self.written.push_str(canonical);
    }

    pub(super) fn null(&mut self) {
        self.raw("null");
    }

    pub(super) fn boolean(&mut self, value: bool) {
        self.raw(if value { "true" } else { "false" });
    }

    pub(super) fn integer(&mut self, value: impl Display) {
        write!(self.written, "{value}").expect("writing to a String cannot fail");
    }

    pub(super) fn float(&mut self, value: f64) {
        write_float(&mut self.written, value);
    }

    /// Appends `value` in quotes, with no more escapes than Python's `ensure_ascii=False` makes.
    pub(super) fn string(&mut self, value: &str) {
        self.written.push('"');
        let mut rest = value;
        while let Some(at) = rest.bytes().position(must_be_escaped) {
            self.raw(&rest[..at]);
            self.escape(rest.as_bytes()[at]);
            rest = &rest[at + 1..];
        }
        self.raw(rest);
        self.written.push('"');
    }

    fn escape(&mut self, byte: u8) {
        match byte {
            b'"' => self.raw("\\\""),
            b'\\' => self.raw("\\\\"),
            b'\n' => self.raw("\\n"),
            b'\r' => self.raw("\\r"),
            b'\t' => self.raw("\\t"),
            0x08 => self.raw("\\b"),
            0x0c => self.raw("\\f"),
            _ => write!(self.written, "\\u{byte:04x}").expect("writing to a String cannot fail"),
        }
    }

    /// Begins a list or an object.
    pub(super) fn open(&mut self, bracket: char) {
        self.depth += 1;
        self.written.push(bracket);
    }

    /// Refuses what is open if that is too much to be read again.
    pub(super) fn check_depth(&self) -> Result<(), JsonError> {
        if self.depth > MAX_DEPTH {
            return Err(JsonError::TooDeep);
        }
        Ok(())
    }

    pub(super) fn close(&mut self, bracket: char) {
        self.depth -= 1;
        self.written.push(bracket);
    }
}

const fn must_be_escaped(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}
