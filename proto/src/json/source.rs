//! JSON source read piece by piece: jiter with a bound on the depth, and numbers kept exact.

use jiter::{Jiter, Peek};

use super::MAX_DEPTH;
use super::fault::{EXPECTED_VALUE, Fault, TOO_DEEP};
use super::number::Number;

/// A text in Python's spelling of JSON, and how far it is read.
pub(super) struct Source<'j> {
    text: &'j str,
    jiter: Jiter<'j>,
    depth: usize,
}

/// What the next value is, told by its first character.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Number,
    Text,
    List,
    Object,
}

impl<'j> Source<'j> {
    pub(super) fn new(text: &'j str) -> Self {
        Self { text, jiter: Jiter::new(text.as_bytes()).with_allow_inf_nan(), depth: 0 }
    }

    /// Returns the place that reading has come to: after [`kind`](Self::kind), where the next value begins.
    pub(super) fn index(&self) -> usize {
        self.jiter.current_index()
    }

    pub(super) fn kind(&mut self) -> Result<Kind, Fault> {
        match self.jiter.peek()? {
            Peek::Null => Ok(Kind::Null),
            Peek::True | Peek::False => Ok(Kind::Boolean),
            Peek::String => Ok(Kind::Text),
            Peek::Array => Ok(Kind::List),
            Peek::Object => Ok(Kind::Object),
            peek if peek.is_num() => Ok(Kind::Number),
            _ => Err(Fault::syntax(EXPECTED_VALUE, self.index())),
        }
    }

    pub(super) fn null(&mut self) -> Result<(), Fault> {
        Ok(self.jiter.next_null()?)
    }

    pub(super) fn boolean(&mut self) -> Result<bool, Fault> {
        Ok(self.jiter.next_bool()?)
    }

    pub(super) fn number(&mut self) -> Result<Number<'j>, Fault> {
        let peek = self.jiter.peek()?;
        let start = self.index();
        self.jiter.known_number_bytes(peek)?;
        // A number is of ASCII, so both ends lie between characters.
        Ok(Number::of_token(&self.text[start..self.index()]))
    }

    pub(super) fn text(&mut self) -> Result<&str, Fault> {
        Ok(self.jiter.next_str()?)
    }

    /// Tells whether a list has another value; `first` enters it, and its end leaves it.
    pub(super) fn item(&mut self, first: bool) -> Result<bool, Fault> {
        self.enter(first)?;
        let peek = if first { self.jiter.next_array()? } else { self.jiter.array_step()? };
        if peek.is_none() {
            self.depth -= 1;
        }
        Ok(peek.is_some())
    }

    /// Returns an object's next key, after which its value is to be read; `first` enters it, and its end leaves it.
    pub(super) fn member(&mut self, first: bool) -> Result<Option<&str>, Fault> {
        self.enter(first)?;
        let key = if first { self.jiter.next_object()? } else { self.jiter.next_key()? };
        if key.is_none() {
            self.depth -= 1;
        }
        Ok(key)
    }

    /// Returns where the key began that was read last, from a place before it that only a comma may follow.
    pub(super) fn key_after(&self, index: usize) -> usize {
        index + self.text[index..].find('"').unwrap_or_default()
    }

    fn enter(&mut self, first: bool) -> Result<(), Fault> {
        self.depth += usize::from(first);
        if self.depth > MAX_DEPTH {
            return Err(Fault::syntax(TOO_DEEP, self.index()));
        }
        Ok(())
    }

    /// Passes over a value without reading it.
    pub(super) fn skip(&mut self) -> Result<(), Fault> {
        Ok(self.jiter.next_skip()?)
    }

    pub(super) fn finish(&mut self) -> Result<(), Fault> {
        Ok(self.jiter.finish()?)
    }
}
