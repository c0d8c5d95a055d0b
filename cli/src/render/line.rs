//! Text that has to stay on one line of a terminal: keys in lists, messages about errors.

use std::borrow::Cow;

/// Returns `text` as one harmless line.
///
/// Text without control characters stays as it is. In text with some, they and the backslashes are
/// escaped as in Rust: `\n`, `\t`, `\u{1b}`, `\\`.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if character.is_control() || character == '\\' {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    Cow::Owned(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_control_characters_stays_as_it_is() {
        for text in ["", "plain", r"C:\temp", "größer 🍨", "a b"] {
            assert_eq!(one_line(text), text);
        }
    }

    #[test]
    fn control_characters_are_escaped_and_then_backslashes_too() {
        assert_eq!(one_line("two\nlines\r\tand\0"), r"two\nlines\r\tand\u{0}");
        assert_eq!(one_line("\u{1b}[31mred\u{85}"), r"\u{1b}[31mred\u{85}");
        assert_eq!(one_line("back\\slash\n"), r"back\\slash\n");
    }
}
