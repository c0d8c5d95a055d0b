//! The last line: what was done, what is typed, or which keys there are.

use ratatui_core::layout::Rect;

use super::super::app::{App, Mode, Pane};
use super::paint::Paint;
use crate::render::line::one_line;

const KEYS: &str = "q quit  ? help  Tab list  s sort  r reverse  / filter  Enter one  e evict";

pub(super) fn draw(paint: &mut Paint<'_>, area: Rect, app: &App) {
    if app.mode == Mode::Filter {
        let typed = if app.pane == Pane::Tags { app.tags.filter() } else { app.namespaces.filter() };
        return paint.text(area, &format!("filter: {}_", one_line(typed)), paint.theme.heading());
    }
    match (&app.notice, &app.gone) {
        (Some(notice), _) => paint.text(area, &one_line(notice), paint.theme.heading()),
        (None, Some(why)) => paint.text(area, &one_line(why), paint.theme.alarm()),
        (None, None) => paint.text(area, KEYS, paint.theme.faint()),
    }
}
