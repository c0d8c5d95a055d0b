//! The namespaces, and the tags.

use datacache_proto::types::TagRow;
use ratatui_core::layout::Rect;
use ratatui_core::style::Style;

use super::super::app::{App, Pane};
use super::super::listing::{Listing, first_shown};
use super::super::rows::{NamespaceColumn, NamespaceRow, TagColumn};
use super::numbers::{count, percent, rate};
use super::paint::{Area as _, Paint};
use crate::render::human::{short_size, short_span};
use crate::render::line::one_line;

/// The columns of numbers at the end of a line; the name has the rest.
const NUMBER: u16 = 11;
/// The column of a tag's namespace.
const NAMESPACE: u16 = 16;

pub(super) fn namespaces(paint: &mut Paint<'_>, mut area: Rect, app: &App) {
    let rows = app.namespace_rows();
    let all = app.measurement.as_ref().map_or(0, |it| it.namespaces.len());
    title(paint, &mut area, "Namespaces", &app.namespaces, app.pane == Pane::Namespaces, &shown_of(rows.len(), all));
    let cells = [
        ("NAMESPACE", NamespaceColumn::Name),
        ("ENTRIES", NamespaceColumn::Entries),
        ("BYTES", NamespaceColumn::Bytes),
        ("EVICTED", NamespaceColumn::Evicted),
        ("HITS", NamespaceColumn::Hits),
        ("OPS/S", NamespaceColumn::Operations),
    ];
    let head = cells.map(|(name, column)| heading(paint, name, column, &app.namespaces));
    line(paint, area.take_top(1), &head, 0, paint.theme.heading());
    let place = app.namespaces.place(&app.namespace_names());
    let first = first_shown(place, area.height.into());
    for (at, row) in rows.iter().enumerate().skip(first).take(area.height.into()) {
        let is_selected = at == place && app.pane == Pane::Namespaces;
        let style = if is_selected { paint.theme.selected() } else { Style::new() };
        line(paint, area.take_top(1), &namespace_cells(row, app), 0, style);
    }
}

fn namespace_cells(row: &NamespaceRow<'_>, app: &App) -> Vec<String> {
    let namespace = row.namespace;
    let mark = if app.selected.as_ref() == Some(&namespace.name) { "*" } else { "" };
    vec![
        format!("{mark}{}", one_line(&namespace.name)),
        count(namespace.entries),
        short_size(namespace.bytes),
        count(namespace.evicted),
        percent(row.hit_ratio),
        rate(row.operations),
    ]
}

pub(super) fn tags(paint: &mut Paint<'_>, mut area: Rect, app: &App) {
    let rows = app.tag_rows();
    let known = &app.tag_stats;
    let counted = known.taken.map_or_else(
        || "not counted yet".to_owned(),
        |taken| format!("of {}, counted {} ago", count(known.tags), short_span(app.now.since(taken))),
    );
    title(paint, &mut area, "Tags", &app.tags, app.pane == Pane::Tags, &counted);
    let cells = [
        ("TAG", TagColumn::Name),
        ("ENTRIES", TagColumn::Entries),
        ("BYTES", TagColumn::Bytes),
        ("HEAT", TagColumn::Heat),
    ];
    let mut head: Vec<_> = cells.map(|(name, column)| heading(paint, name, column, &app.tags)).into();
    head.insert(1, "NAMESPACE".to_owned());
    line(paint, area.take_top(1), &head, NAMESPACE, paint.theme.heading());
    let place = app.tags.place(&app.tag_names());
    let first = first_shown(place, area.height.into());
    for (at, row) in rows.iter().enumerate().skip(first).take(area.height.into()) {
        let is_selected = at == place && app.pane == Pane::Tags;
        let style = if is_selected { paint.theme.selected() } else { Style::new() };
        line(paint, area.take_top(1), &tag_cells(row), NAMESPACE, style);
    }
}

/// What is estimated is marked as that, and what is not known is a dash.
fn tag_cells(row: &TagRow) -> Vec<String> {
    let about = if row.sampled < row.entries { "~" } else { "" };
    let known = |text: String| if row.sampled == 0 { "-".to_owned() } else { text };
    vec![
        one_line(&row.tag).into_owned(),
        one_line(&row.namespace).into_owned(),
        count(row.entries),
        known(format!("{about}{}", short_size(row.bytes))),
        known(format!("{about}{}.{:02}", row.heat / 100, row.heat % 100)),
    ]
}

fn shown_of(shown: usize, all: usize) -> String {
    if shown == all { count(all as u64) } else { format!("{} of {}", count(shown as u64), count(all as u64)) }
}

fn title<C: Copy + PartialEq>(
    paint: &mut Paint<'_>,
    area: &mut Rect,
    name: &str,
    listing: &Listing<C>,
    has_keys: bool,
    remark: &str,
) {
    let mark = if has_keys { "> " } else { "" };
    let filter =
        if listing.filter().is_empty() { String::new() } else { format!(" with `{}`", one_line(listing.filter())) };
    paint.title(area, &format!("{mark}{name}{filter}"), remark);
}

/// Returns the name of a column, marked where it is sorted by.
fn heading<C: Copy + PartialEq>(paint: &Paint<'_>, name: &str, column: C, listing: &Listing<C>) -> String {
    if listing.column() != column {
        return name.to_owned();
    }
    // Numbers are sorted from the largest on, names from the first on.
    let is_descending = (column != listing.first_column()) != listing.is_reversed();
    let glyphs = &paint.theme.glyphs;
    format!("{name}{}", if is_descending { glyphs.descending } else { glyphs.ascending })
}

/// Writes a row: a name, one more where `second` is its width, and numbers.
fn line(paint: &mut Paint<'_>, area: Rect, cells: &[String], second: u16, style: Style) {
    let texts = if second > 0 { 2 } else { 1 };
    let numbers = &cells[texts..];
    let mut rest = area;
    paint.buffer.set_style(area, style);
    let wanted = NUMBER * u16::try_from(numbers.len()).unwrap_or(0) + second;
    paint.text(rest.take_left(area.width.saturating_sub(wanted + 1)), &cells[0], style);
    rest.take_left(1);
    if second > 0 {
        paint.text(rest.take_left(second), &cells[1], style);
    }
    for number in numbers {
        paint.text_at_end(rest.take_left(NUMBER), number, style);
    }
}
