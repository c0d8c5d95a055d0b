//! Tells of bytes that come in pieces whether they are UTF-8: the same answer for a value wherever it is checked.

use std::str::from_utf8;

/// A check that goes along with the data; it holds at most three bytes of it.
///
/// # Examples
/// ```
/// use datacache_proto::utf8::Utf8Check;
///
/// let mut check = Utf8Check::default();
/// check.update(b"caf\xc3")?;
/// check.update(b"\xa9")?;
/// check.finish()?;
/// # Ok::<(), datacache_proto::utf8::NotUtf8>(())
/// ```
#[derive(Debug, Default)]
pub struct Utf8Check {
    /// How many bytes are known to be valid.
    valid: u64,
    /// The beginning of a character whose end is in the next piece.
    begun: Vec<u8>,
}

/// The data is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the data is not valid UTF-8 from byte {valid_up_to} on")]
pub struct NotUtf8 {
    /// How many bytes at the beginning are valid.
    pub valid_up_to: u64,
}

impl Utf8Check {
    /// Goes on with a piece.
    ///
    /// # Errors
    /// [`NotUtf8`] at the first byte that can't be right.
    pub fn update(&mut self, mut piece: &[u8]) -> Result<(), NotUtf8> {
        while let (false, Some((&byte, rest))) = (self.begun.is_empty(), piece.split_first()) {
            piece = rest;
            self.begun.push(byte);
            match from_utf8(&self.begun) {
                Ok(_) => {
                    self.valid += self.begun.len() as u64;
                    self.begun.clear();
                }
                Err(error) if error.error_len().is_some() => return Err(self.fault()),
                Err(_) => {}
            }
        }
        self.whole_characters(piece)
    }

    fn whole_characters(&mut self, piece: &[u8]) -> Result<(), NotUtf8> {
        let Err(error) = from_utf8(piece) else {
            self.valid += piece.len() as u64;
            return Ok(());
        };
        self.valid += error.valid_up_to() as u64;
        if error.error_len().is_some() {
            return Err(self.fault());
        }
        self.begun.extend_from_slice(&piece[error.valid_up_to()..]);
        Ok(())
    }

    /// Ends the data.
    ///
    /// # Errors
    /// [`NotUtf8`] where it ends within a character.
    pub fn finish(&self) -> Result<(), NotUtf8> {
        if self.begun.is_empty() { Ok(()) } else { Err(self.fault()) }
    }

    fn fault(&self) -> NotUtf8 {
        NotUtf8 { valid_up_to: self.valid }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(data: &[u8], size: usize) -> Result<(), NotUtf8> {
        let mut check = Utf8Check::default();
        data.chunks(size).try_for_each(|piece| check.update(piece))?;
        check.finish()
    }

    #[test]
    fn the_answer_does_not_depend_on_the_pieces() {
        let texts: [&[u8]; 7] = [
            b"",
            "aé漢🍨z".as_bytes(),
            b"abc\xffdef",
            b"\xe6\xbcx",
            b"a\xf0\x9f\x8d",
            b"\xc3\xa9\xed\xa0\x80",
            "é🍨".as_bytes().split_last().unwrap().1,
        ];
        for text in texts {
            let valid_up_to = |error: std::str::Utf8Error| NotUtf8 { valid_up_to: error.valid_up_to() as u64 };
            let whole = from_utf8(text).map(drop).map_err(valid_up_to);
            for size in 1..=6 {
                assert_eq!(checked(text, size), whole, "{text:?} by {size}");
            }
        }
    }
}
