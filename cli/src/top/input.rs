//! Keys, as terminals tell them: bytes in, keys out. What is no key that means something here is passed over.

/// A key that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Enter,
    Escape,
    Tab,
    BackTab,
    Backspace,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
}

/// Takes keys out of what was read.
///
/// An escape that is the last byte is the key Escape: what a terminal sends for another key comes in one piece, over a slow line
/// too, for it is less than a packet.
pub(super) fn keys(bytes: &[u8]) -> Vec<Key> {
    let mut rest = String::from_utf8_lossy(bytes).into_owned();
    let mut keys = Vec::new();
    while let Some(first) = rest.chars().next() {
        let (key, length) = match first {
            '\u{1b}' => escaped(&rest),
            '\r' | '\n' => (Some(Key::Enter), 1),
            '\t' => (Some(Key::Tab), 1),
            '\u{7f}' | '\u{8}' => (Some(Key::Backspace), 1),
            other if other.is_control() || other == char::REPLACEMENT_CHARACTER => (None, other.len_utf8()),
            other => (Some(Key::Char(other)), other.len_utf8()),
        };
        keys.extend(key);
        rest.drain(..length);
    }
    keys
}

/// Reads what an escape begins: `ESC [ parameters letter`, or `ESC O letter`. Returns its length as well.
fn escaped(text: &str) -> (Option<Key>, usize) {
    let Some(kind) = text[1..].chars().next().filter(|kind| "[O".contains(*kind)) else {
        return (Some(Key::Escape), 1);
    };
    let body = &text[2..];
    let is_last = |character: char| if kind == '[' { ('@'..='~').contains(&character) } else { true };
    let Some(last) = body.find(is_last) else { return (None, text.len()) };
    let letter = body[last..].chars().next().unwrap_or_default();
    let key = match (letter, &body[..last]) {
        ('A', _) => Some(Key::Up),
        ('B', _) => Some(Key::Down),
        ('H', _) | ('~', "1" | "7") => Some(Key::Home),
        ('F', _) | ('~', "4" | "8") => Some(Key::End),
        ('~', "5") => Some(Key::PageUp),
        ('~', "6") => Some(Key::PageDown),
        ('Z', _) => Some(Key::BackTab),
        ('M', _) if kind == 'O' => Some(Key::Enter),
        _ => None,
    };
    (key, 2 + last + letter.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_keys_are_told_apart_in_one_piece() {
        let pressed = keys("aä\u{1b}[A\u{1b}OB\u{1b}[5~\r\t\u{1b}[Z\u{7f}".as_bytes());
        let expected = [
            Key::Char('a'),
            Key::Char('ä'),
            Key::Up,
            Key::Down,
            Key::PageUp,
            Key::Enter,
            Key::Tab,
            Key::BackTab,
            Key::Backspace,
        ];
        assert_eq!(pressed, expected);
    }

    #[test]
    fn an_escape_alone_or_before_a_letter_is_the_key() {
        assert_eq!(keys(b"\x1b"), [Key::Escape]);
        assert_eq!(keys(b"\x1bq"), [Key::Escape, Key::Char('q')]);
    }

    #[test]
    fn keys_that_mean_nothing_here_are_passed_over_whole() {
        assert_eq!(keys(b"\x1b[15~x\x1b[1;5Cy\x1bOPz"), [Key::Char('x'), Key::Char('y'), Key::Char('z')]);
        assert_eq!(keys(b"\x1b[12"), []);
        assert_eq!(keys(b"\x00\xff\x01"), []);
        assert_eq!(keys(b"\x1b[1;2A"), [Key::Up], "with a modifier");
    }
}
