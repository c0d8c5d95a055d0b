//! The first line: which store, and whether what is shown is still so.

use std::time::Duration;

use ratatui_core::layout::Rect;
use unicode_width::UnicodeWidthStr as _;

use super::super::app::App;
use super::numbers::interval;
use super::paint::{Area as _, Paint};
use crate::render::human::short_span;
use crate::render::line::one_line;

/// An answer may take so many intervals until it is said that there is none.
const LATE: u32 = 3;

pub(super) fn draw(paint: &mut Paint<'_>, area: Rect, app: &App) {
    let (state, is_alarm) = state(app);
    let style = if is_alarm { paint.theme.alarm() } else { paint.theme.faint() };
    paint.text_at_end(area, &state, style);
    let mut left = area;
    left.width = left.width.saturating_sub(u16::try_from(state.width() + 2).unwrap_or(u16::MAX));
    let name = "datacache ";
    paint.text(left.take_left(10), name, paint.theme.title());
    paint.text(left, &told(app), paint.theme.heading());
}

/// What is known of the daemon; the store comes last, for it may be long.
fn told(app: &App) -> String {
    let store = one_line(&app.store);
    match &app.measurement {
        Some(it) if app.gone.is_none() => {
            let (up, connections) = (short_span(it.uptime), it.connections);
            format!("up {up}, {connections} connected, {} leases  {store}", it.leases)
        }
        _ => store.into_owned(),
    }
}

/// Tells how it goes on, and whether that needs attention.
fn state(app: &App) -> (String, bool) {
    let silent = app.now.since(app.measured);
    let is_late = silent > (app.interval * LATE).max(Duration::from_secs(2));
    if app.gone.is_some() {
        return (format!("the daemon is gone for {}", short_span(silent)), true);
    }
    if app.is_paused {
        return ("paused".to_owned(), true);
    }
    if let Some(shortage) = app.measurement.as_ref().and_then(|it| it.shortage) {
        return (shortage.to_owned(), true);
    }
    if is_late && app.measurement.is_some() {
        return (format!("no answer for {}", short_span(silent)), true);
    }
    (format!("every {}", interval(app.interval)), false)
}
