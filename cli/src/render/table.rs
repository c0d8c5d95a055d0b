//! Columns that line up, by the columns of a terminal that characters take: wide ones two, combining marks none.

use std::borrow::Cow;

use unicode_width::UnicodeWidthStr as _;

/// What stands for what was cut.
const CUT: char = '…';

/// Returns `text` with blanks behind it, so that it is `width` columns wide if it is not wider.
pub(crate) fn padded(text: &str, width: usize) -> String {
    let blanks = width.saturating_sub(text.width());
    format!("{text}{:blanks$}", "")
}

/// Returns `text` if it is `width` columns wide at most, else as much of its beginning as fits with a `…` behind it.
pub(crate) fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if text.width() <= width {
        return Cow::Borrowed(text);
    }
    let ends = text.char_indices().map(|(end, _)| end);
    let end = ends.take_while(|end| text[..*end].width() < width).last().unwrap_or(0);
    Cow::Owned(format!("{}{CUT}", &text[..end]))
}

/// Returns the rows with every column but the last padded to its widest cell; two spaces lie between columns.
pub(crate) fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&padded(cell, width));
            line.push_str("  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Returns the rows with all columns aligned, the first to the left and all others, which are numbers, to the right; `gap` blanks lie
/// between columns.
pub(crate) fn numbers<const N: usize>(rows: &[[String; N]], gap: usize) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].width()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        text.push_str(&padded(&row[0], widths[0]));
        for (cell, width) in row.iter().zip(widths).skip(1) {
            let blanks = gap + width - cell.width();
            text.push_str(&format!("{:blanks$}{cell}", ""));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_without_blanks() {
        let rows = [["key", "größe", ""], ["a longer one", "1", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows), "key           größe\na longer one  1      x\n");
    }

    /// They were counted as characters: what stood beside Chinese was moved to the right.
    #[test]
    fn wide_characters_and_combining_marks_line_up() {
        let rows = [["\u{6f22}\u{5b57}", "1"], ["e\u{301}", "2"], ["four", "3"]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows), "\u{6f22}\u{5b57}  1\ne\u{301}     2\nfour  3\n");
    }

    #[test]
    fn what_is_cut_has_a_sign_and_is_never_wider_than_allowed() {
        assert_eq!(cut("just fits", 9), "just fits");
        assert_eq!(cut("too long by far", 8), "too lon…");
        assert_eq!(cut("\u{6f22}\u{5b57}\u{6f22}", 5), "\u{6f22}\u{5b57}…");
        assert_eq!(cut("\u{6f22}\u{5b57}\u{6f22}", 4), "\u{6f22}…", "half a character is none");
        assert_eq!(cut("ae\u{301}\u{302}bcd", 3), "ae\u{301}\u{302}…", "a mark stays with its letter");
        assert_eq!(cut("ab", 1), "…");
    }

    #[test]
    fn numbers_end_where_their_column_ends() {
        let rows = [["name", "count", "%"], ["größe", "1", "100"]].map(|row| row.map(str::to_owned));
        assert_eq!(numbers(&rows, 2), "name   count    %\ngröße      1  100\n");
    }

    #[test]
    fn no_rows_are_no_text() {
        assert_eq!(aligned::<2>(&[]), "");
    }
}
