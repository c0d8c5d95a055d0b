//! The screen: all that the view is about, drawn anew each time. It is given what it draws on, and knows no terminal.

mod dialog;
mod foot;
mod gauges;
mod head;
mod latency;
mod lists;
mod numbers;
mod paint;
mod traffic;

#[cfg(test)]
mod tests;

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;

use self::paint::{Area as _, Paint};
use super::app::App;
use super::theme::Theme;

/// The least that all of it finds room in.
pub(super) const WIDTH: u16 = 80;
pub(super) const HEIGHT: u16 = 24;

/// The lines of the parts on a screen of the least height.
const TRAFFIC: u16 = 5;
const MIDDLE: u16 = 6;
/// What a larger screen gives the traffic and the middle; the lists have the rest.
const TRAFFIC_MORE: u16 = 4;
const MIDDLE_MORE: u16 = 2;
/// Lists have at least these lines.
const NAMESPACES: u16 = 5;

/// Draws all of it; tells how many rows the shorter list shows.
pub(super) fn draw(buffer: &mut Buffer, app: &App, theme: &Theme) -> usize {
    let mut rest = buffer.area;
    let mut paint = Paint { buffer, theme };
    if rest.width < WIDTH || rest.height < HEIGHT {
        too_small(&mut paint, rest);
        return 1;
    }
    let more = rest.height - HEIGHT;
    let (traffic, middle) =
        (TRAFFIC + more_of(more, TRAFFIC_MORE), MIDDLE + more_of(more.saturating_sub(TRAFFIC_MORE), MIDDLE_MORE));
    head::draw(&mut paint, rest.take_top(1), app);
    foot::draw(&mut paint, rest.take_bottom(1), app);
    traffic::draw(&mut paint, rest.take_top(traffic), app);
    let middle = rest.take_top(middle);
    let (left, right) = middle.halves();
    gauges::draw(&mut paint, left, app);
    latency::draw(&mut paint, right, app);
    let lists = rest.height - NAMESPACES - (NAMESPACES + 1);
    let namespaces = rest.take_top(NAMESPACES + lists / 2);
    lists::namespaces(&mut paint, namespaces, app);
    lists::tags(&mut paint, rest, app);
    dialog::draw(&mut paint, app);
    usize::from(namespaces.height.saturating_sub(2))
}

/// Returns how much of `most` there is: all or nothing, so that what is drawn there stays even.
fn more_of(there: u16, most: u16) -> u16 {
    if there >= most { most } else { 0 }
}

/// Says what is wrong, in words that fit.
fn too_small(paint: &mut Paint<'_>, area: Rect) {
    let lines = [
        format!("datacache top needs {WIDTH} columns and {HEIGHT} lines."),
        format!("Here are {} and {}.", area.width, area.height),
        "Make it larger, or press q.".to_owned(),
    ];
    let mut rest = area;
    for line in lines.iter().take(area.height.into()) {
        paint.text(rest.take_top(1), line, paint.theme.heading());
    }
}
