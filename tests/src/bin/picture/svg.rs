//! A screen of a terminal as SVG: each character in its place, blocks as rectangles, so that it looks alike with any font.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar as _;

/// What a character takes, and what lies around the screen, in pixels.
const WIDTH: f64 = 8.4;
const HEIGHT: f64 = 18.0;
const MARGIN: f64 = 12.0;

const BACKGROUND: &str = "#16181d";
const FOREGROUND: &str = "#d7dae0";

/// How characters look, as the last sequence had it.
#[derive(Clone, Copy, Default)]
struct Look {
    color: Option<&'static str>,
    is_bold: bool,
    is_faint: bool,
    is_reversed: bool,
}

impl Look {
    fn change(&mut self, code: &str) {
        match code {
            "" | "0" => *self = Self::default(),
            "1" => self.is_bold = true,
            "2" => self.is_faint = true,
            "7" => self.is_reversed = true,
            "31" => self.color = Some("#e06c75"),
            "32" => self.color = Some("#98c379"),
            "33" => self.color = Some("#e5c07b"),
            "36" => self.color = Some("#56b6c2"),
            "39" => self.color = None,
            _ => {}
        }
    }

    fn foreground(self) -> &'static str {
        if self.is_reversed { BACKGROUND } else { self.color.unwrap_or(FOREGROUND) }
    }
}

/// Draws what `tmux capture-pane -e -p` printed.
pub(super) fn of_screen(screen: &str, columns: usize, lines: usize) -> String {
    let (width, height) = (columns as f64 * WIDTH + 2.0 * MARGIN, lines as f64 * HEIGHT + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"ui-monospace, \
         SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" font-size=\"14\">\n<title>datacache top</title>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n"
    );
    let mut look = Look::default();
    for (row, line) in screen.lines().take(lines).enumerate() {
        draw(&mut svg, line, MARGIN + row as f64 * HEIGHT, &mut look);
    }
    svg + "</svg>\n"
}

fn draw(svg: &mut String, line: &str, top: f64, look: &mut Look) {
    let (mut left, mut rest) = (MARGIN, line);
    while let Some(first) = rest.chars().next() {
        if let Some((codes, behind)) = sequence(rest) {
            codes.split(';').for_each(|code| look.change(code));
            rest = behind;
            continue;
        }
        // Characters of one kind that look alike are one text.
        let is_drawn = |shown: char| block(shown).is_some();
        let end = if is_drawn(first) {
            first.len_utf8()
        } else {
            rest.find(|shown: char| shown == '\u{1b}' || is_drawn(shown)).unwrap_or(rest.len())
        };
        let (run, behind) = rest.split_at(end);
        let columns: usize = run.chars().filter_map(char::width).sum();
        let width = columns as f64 * WIDTH;
        match block(first) {
            Some(block) => rectangle(svg, (left, top), block, *look),
            None => text(svg, (left, top, width), run, *look),
        }
        (left, rest) = (left + width, behind);
    }
}

/// Splits a sequence that changes the look off.
fn sequence(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix("\u{1b}[")?.split_once('m')
}

/// Returns from where to where a block fills its place, in parts of its height, and how densely.
fn block(shown: char) -> Option<(f64, f64, f64)> {
    match shown {
        '▁'..='█' => Some((1.0 - f64::from(u32::from(shown) - u32::from('▁') + 1) / 8.0, 1.0, 1.0)),
        '░' => Some((0.0, 1.0, 0.25)),
        '─' => Some((0.47, 0.53, 1.0)),
        _ => None,
    }
}

fn rectangle(svg: &mut String, (left, top): (f64, f64), (from, to, density): (f64, f64, f64), look: Look) {
    let opacity = if look.is_faint { 0.5 } else { 1.0 } * density;
    let (y, height) = (top + from * HEIGHT, (to - from) * HEIGHT);
    // A little wider, so that no line shows between neighbours.
    let width = WIDTH + 0.2;
    let color = look.foreground();
    put(
        svg,
        format_args!(
            "<rect x=\"{left:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{color}\" opacity=\"{opacity}\" shape-rendering=\"crispEdges\"/>\n"
        ),
    );
}

fn text(svg: &mut String, (left, top, width): (f64, f64, f64), run: &str, look: Look) {
    if look.is_reversed {
        let color = look.color.unwrap_or(FOREGROUND);
        put(
            svg,
            format_args!(
                "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{HEIGHT}\" fill=\"{color}\"/>\n"
            ),
        );
    }
    // Each word in its place: not all that draw SVG know how wide a text is to be.
    let mut at = 0;
    for word in run.split(' ') {
        let columns: usize = word.chars().filter_map(char::width).sum();
        if columns > 0 {
            put_word(svg, (left + at as f64 * WIDTH, top, columns as f64 * WIDTH), word, look);
        }
        at += columns + 1;
    }
}

fn put_word(svg: &mut String, (left, top, width): (f64, f64, f64), word: &str, look: Look) {
    let (color, weight) = (look.foreground(), if look.is_bold { " font-weight=\"bold\"" } else { "" });
    let opacity = if look.is_faint { " opacity=\"0.6\"" } else { "" };
    let base = top + 0.75 * HEIGHT;
    let escaped = word.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    put(
        svg,
        format_args!(
            "<text x=\"{left:.1}\" y=\"{base:.1}\" textLength=\"{width:.1}\" fill=\"{color}\"{weight}{opacity}>{escaped}</text>\n"
        ),
    );
}

fn put(svg: &mut String, text: std::fmt::Arguments<'_>) {
    svg.write_fmt(text).expect("writing to a string can't fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_keep_their_places_and_looks_and_blocks_are_drawn() {
        let svg = of_screen("a<b\u{1b}[1;32mc\u{1b}[0m▄d\n\u{1b}[7m e", 10, 2);
        assert!(svg.contains(">a&lt;b</text>") && svg.contains("font-weight=\"bold\">c</text>"), "{svg}");
        assert!(svg.contains("<rect x=\"45.6\" y=\"21.0\" width=\"8.6\" height=\"9.0\""), "{svg}");
        assert!(svg.contains("<text x=\"54.0\"") && svg.contains("<text x=\"20.4\" y=\"43.5\""), "{svg}");
        assert!(svg.contains("fill=\"#16181d\">e</text>"), "{svg}");
    }
}
