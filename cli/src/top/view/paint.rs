//! What the parts of the screen are drawn with.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::Style;
use unicode_width::UnicodeWidthStr as _;

use super::super::theme::Theme;
use crate::render::table::cut;

/// A screen, and how things look on it.
pub(super) struct Paint<'a> {
    pub(super) buffer: &'a mut Buffer,
    pub(super) theme: &'a Theme,
}

/// Taking areas apart.
pub(super) trait Area {
    fn take_top(&mut self, height: u16) -> Rect;
    fn take_bottom(&mut self, height: u16) -> Rect;
    fn take_left(&mut self, width: u16) -> Rect;
    fn halves(self) -> (Rect, Rect);
}

impl Area for Rect {
    fn take_top(&mut self, height: u16) -> Rect {
        let height = height.min(self.height);
        let taken = Rect { height, ..*self };
        (self.y, self.height) = (self.y + height, self.height - height);
        taken
    }

    fn take_bottom(&mut self, height: u16) -> Rect {
        let height = height.min(self.height);
        self.height -= height;
        Rect { y: self.y + self.height, height, ..*self }
    }

    fn take_left(&mut self, width: u16) -> Rect {
        let width = width.min(self.width);
        let taken = Rect { width, ..*self };
        (self.x, self.width) = (self.x + width, self.width - width);
        taken
    }

    /// Two columns lie between the halves.
    fn halves(mut self) -> (Rect, Rect) {
        let left = self.take_left(self.width / 2 - 1);
        self.take_left(2);
        (left, self)
    }
}

impl Paint<'_> {
    /// Writes a line at the beginning of an area; what does not fit is cut, with a sign.
    pub(super) fn text(&mut self, area: Rect, text: &str, style: Style) {
        let text = cut(text, area.width.into());
        if area.height > 0 {
            self.buffer.set_stringn(area.x, area.y, text, area.width.into(), style);
        }
    }

    /// Writes a line at the end of an area.
    pub(super) fn text_at_end(&mut self, area: Rect, text: &str, style: Style) {
        let width = u16::try_from(text.width()).unwrap_or(u16::MAX).min(area.width);
        self.text(Rect { x: area.right() - width, width, ..area }, text, style);
    }

    /// Takes the first line of an area for a rule with a title, and a remark at its end.
    pub(super) fn title(&mut self, area: &mut Rect, title: &str, remark: &str) {
        let mut line = area.take_top(1);
        let width = u16::try_from(title.width() + 1).unwrap_or(u16::MAX);
        self.text(line.take_left(width), title, self.theme.title());
        let rule = self.theme.glyphs.rule.repeat(line.width.into());
        self.text(line, &rule, self.theme.faint());
        if !remark.is_empty() {
            self.text_at_end(line, &format!(" {remark}"), self.theme.faint());
        }
    }

    /// Draws how full something is.
    pub(super) fn gauge(&mut self, area: Rect, share: f64) {
        let width = f64::from(area.width);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the width")]
        let full = (share.clamp(0.0, 1.0) * width).round() as u16;
        let mut rest = area;
        let filled = rest.take_left(full);
        let glyphs = &self.theme.glyphs;
        let (full, empty) = (glyphs.full.repeat(filled.width.into()), glyphs.empty.repeat(rest.width.into()));
        self.text(filled, &full, self.theme.gauge(share));
        self.text(rest, &empty, self.theme.faint());
    }
}
