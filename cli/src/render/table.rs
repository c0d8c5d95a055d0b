//! Columns that line up.

use std::fmt::Write as _;

/// Returns the rows with every column but the last padded to its widest cell; two spaces lie between columns.
///
/// Width counts characters, which is right for the Latin text that names things here.
pub(crate) fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            write!(line, "{cell:width$}  ").expect("writing to a string can't fail");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Returns the rows with all columns aligned, the first to the left and all others, which are numbers, to the right; `gap` blanks lie
/// between columns.
pub(crate) fn numbers<const N: usize>(rows: &[[String; N]], gap: usize) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        write!(text, "{:width$}", row[0], width = widths[0]).expect("writing to a string can't fail");
        for (cell, width) in row.iter().zip(widths).skip(1) {
            write!(text, "{:gap$}{cell:>width$}", "").expect("writing to a string can't fail");
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
