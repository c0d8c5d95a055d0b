//! Writes a screen to a terminal, with the few sequences that all terminals since the VT100 have in common.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use ratatui_core::backend::{Backend, ClearType, WindowSize};
use ratatui_core::buffer::Cell;
use ratatui_core::layout::{Position, Size};
use ratatui_core::style::{Color, Modifier};

/// The terminal at standard output. What is drawn goes there in one piece.
#[derive(Debug, Default)]
pub(super) struct Screen {
    pending: String,
    cursor: Position,
}

impl Screen {
    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        self.pending.write_fmt(text).expect("writing to a string can't fail");
    }

    fn go_to(&mut self, position: Position) {
        self.put(format_args!("\x1b[{};{}H", position.y + 1, position.x + 1));
    }
}

/// What a cell looks like, as far as it is told from others here.
type Look = (Color, Modifier);

/// Returns the sequence that has what follows look so, whatever it looked like before.
fn sequence((color, modifier): Look) -> String {
    let mut codes = vec!["0"];
    let modifiers =
        [(Modifier::BOLD, "1"), (Modifier::DIM, "2"), (Modifier::UNDERLINED, "4"), (Modifier::REVERSED, "7")];
    codes.extend(modifiers.iter().filter(|(flag, _)| modifier.contains(*flag)).map(|(_, code)| code));
    codes.extend(match color {
        Color::Red => Some("31"),
        Color::Green => Some("32"),
        Color::Yellow => Some("33"),
        Color::Blue => Some("34"),
        Color::Magenta => Some("35"),
        Color::Cyan => Some("36"),
        // The view has no others, see `theme`.
        _ => None,
    });
    format!("\x1b[{}m", codes.join(";"))
}

impl Backend for Screen {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let (mut next, mut look) = (None, None);
        for (x, y, cell) in content {
            let position = Position { x, y };
            if next != Some(position) {
                self.go_to(position);
            }
            let wanted = (cell.fg, cell.modifier);
            if look != Some(wanted) {
                self.put(format_args!("{}", sequence(wanted)));
                look = Some(wanted);
            }
            self.pending.push_str(cell.symbol());
            // Behind a wide character the cursor may be elsewhere than is thought: then it is sent there.
            next = cell.symbol().is_ascii().then_some(Position { x: x + 1, y });
        }
        self.put(format_args!("\x1b[0m"));
        Ok(())
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.put(format_args!("\x1b[?25l"));
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.put(format_args!("\x1b[?25h"));
        Ok(())
    }

    /// The terminal is not asked: nothing here depends on it.
    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(self.cursor)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        self.cursor = position.into();
        self.go_to(self.cursor);
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.put(format_args!("\x1b[0m\x1b[2J"));
        Ok(())
    }

    fn clear_region(&mut self, region: ClearType) -> io::Result<()> {
        let code = match region {
            ClearType::All => "2J",
            ClearType::AfterCursor => "0J",
            ClearType::BeforeCursor => "1J",
            ClearType::CurrentLine => "2K",
            ClearType::UntilNewLine => "0K",
        };
        self.put(format_args!("\x1b[0m\x1b[{code}"));
        Ok(())
    }

    fn size(&self) -> io::Result<Size> {
        let size = rustix::termios::tcgetwinsize(io::stdout())?;
        // A terminal that does not tell is taken for the one that all others imitate.
        let [width, height] =
            [(size.ws_col, 80), (size.ws_row, 24)].map(|(told, else_)| if told == 0 { else_ } else { told });
        Ok(Size { width, height })
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize { columns_rows: self.size()?, pixels: Size::default() })
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut output = io::stdout().lock();
        output.write_all(self.pending.as_bytes())?;
        self.pending.clear();
        output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui_core::style::Style;

    #[test]
    fn neighbours_are_written_in_one_go_and_what_looks_alike_with_one_sequence() {
        let (mut plain, mut bold) = (Cell::new("a"), Cell::new("b"));
        plain.set_style(Style::new());
        bold.set_style(Style::new().fg(Color::Red).add_modifier(Modifier::BOLD));
        let mut screen = Screen::default();
        screen.draw([(0, 0, &plain), (1, 0, &plain), (2, 0, &bold), (0, 2, &bold)].into_iter()).unwrap();
        assert_eq!(screen.pending, "\x1b[1;1H\x1b[0maa\x1b[0;1;31mb\x1b[3;1Hb\x1b[0m");
    }

    /// Terminals do not agree how wide they are.
    #[test]
    fn what_follows_a_character_that_is_not_ascii_is_sent_to_its_place() {
        let (wide, plain) = (Cell::new("\u{6f22}"), Cell::new("b"));
        let mut screen = Screen::default();
        screen.draw([(4, 0, &wide), (6, 0, &plain)].into_iter()).unwrap();
        assert_eq!(screen.pending, "\x1b[1;5H\x1b[0m\u{6f22}\x1b[1;7Hb\x1b[0m");
    }
}
