//! A check for UTF-8 that takes its text in pieces.

/// Tells at which byte text that comes in pieces stops being UTF-8.
#[derive(Debug, Default)]
pub(crate) struct Utf8Check {
    /// Bytes known to be valid, all before `open`.
    valid: u64,
    /// The beginning of a character whose rest is in the next piece; at most 3 bytes between two pieces.
    open: Vec<u8>,
}

impl Utf8Check {
    /// Takes the next piece.
    ///
    /// # Errors
    /// How many bytes at the beginning of the whole text are valid.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), u64> {
        self.open.extend_from_slice(piece);
        let (valid, broken) = match std::str::from_utf8(&self.open) {
            Ok(text) => (text.len(), false),
            Err(error) => (error.valid_up_to(), error.error_len().is_some()),
        };
        self.valid += valid as u64;
        self.open.drain(..valid);
        if broken { Err(self.valid) } else { Ok(()) }
    }

    /// Ends the text.
    ///
    /// # Errors
    /// As [`Utf8Check::push`], where it ends within a character.
    pub(crate) fn finish(self) -> Result<(), u64> {
        if self.open.is_empty() { Ok(()) } else { Err(self.valid) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &[u8], size: usize) -> Result<(), u64> {
        let mut check = Utf8Check::default();
        text.chunks(size).try_for_each(|piece| check.push(piece))?;
        check.finish()
    }

    #[test]
    fn the_answer_does_not_depend_on_the_pieces() {
        let texts: [&[u8]; 5] = [b"", "aé€🍨z".as_bytes(), b"ab\xff\xfe", b"a\xf0\x9f\x8d", b"\xc3\xa9\xed\xa0\x80"];
        for text in texts {
            let whole = std::str::from_utf8(text).map(|_| ()).map_err(|error| error.valid_up_to() as u64);
            for size in 1..=6 {
                assert_eq!(checked(text, size), whole, "{text:?} by {size}");
            }
        }
    }
}
