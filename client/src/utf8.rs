//! Tells of bytes that come in pieces whether they are UTF-8.

use std::str::from_utf8;

use crate::error::Error;

/// A check that goes along with the data; it holds at most three bytes of it.
#[derive(Debug, Default)]
pub(crate) struct Utf8Check {
    /// How many bytes are known to be valid.
    valid: u64,
    /// The beginning of a character whose end is in the next piece.
    begun: Vec<u8>,
}

impl Utf8Check {
    /// Goes on with a piece.
    ///
    /// # Errors
    /// [`Error::NotText`] at the first byte that can't be right.
    pub(crate) fn update(&mut self, mut piece: &[u8]) -> Result<(), Error> {
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

    fn whole_characters(&mut self, piece: &[u8]) -> Result<(), Error> {
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
    /// [`Error::NotText`] where it ends within a character.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        if self.begun.is_empty() { Ok(()) } else { Err(self.fault()) }
    }

    fn fault(&self) -> Error {
        Error::NotText { valid_up_to: self.valid }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns up to where pieces of each size find the data valid; all of them have to agree.
    fn valid_up_to(data: &[u8]) -> Option<u64> {
        let found: Vec<Option<u64>> = (1..=data.len().max(1))
            .map(|size| {
                let mut check = Utf8Check::default();
                let checked = data.chunks(size).try_for_each(|piece| check.update(piece)).and_then(|()| check.finish());
                match checked {
                    Ok(()) => None,
                    Err(Error::NotText { valid_up_to }) => Some(valid_up_to),
                    Err(error) => panic!("{error}"),
                }
            })
            .collect();
        assert!(found.iter().all(|one| *one == found[0]), "{found:?}");
        found[0]
    }

    #[test]
    fn characters_may_be_cut_anywhere() {
        assert_eq!(valid_up_to("aé漢🍨z".as_bytes()), None);
        assert_eq!(valid_up_to(b""), None);
    }

    #[test]
    fn the_first_bad_byte_is_told_however_the_data_is_cut() {
        assert_eq!(valid_up_to(b"abc\xffdef"), Some(3));
        assert_eq!(valid_up_to(b"\xe6\xbcx"), Some(0));
        assert_eq!(valid_up_to("é🍨".as_bytes().split_last().unwrap().1), Some(2));
    }
}
