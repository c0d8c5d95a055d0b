//! How long what the daemon does takes: of late, or, where nothing was done of late, since it runs.

use datacache_proto::types::Latency;
use ratatui_core::layout::Rect;

use super::super::app::App;
use super::numbers::{count, short_time};
use super::paint::{Area as _, Paint};

const NAME: u16 = 8;
const NUMBER: u16 = 7;
const TIME: u16 = 8;

pub(super) fn draw(paint: &mut Paint<'_>, mut area: Rect, app: &App) {
    paint.title(&mut area, "Latency", "of the daemon");
    row(paint, area.take_top(1), true, ["", "number", "p50", "p99", "max"].map(str::to_owned));
    for (name, latency) in shown(app, area.height.into()) {
        let times = [latency.p50_ns, latency.p99_ns, latency.max_ns];
        let [p50, p99, max] = times.map(|time| if latency.count == 0 { "-".to_owned() } else { short_time(time) });
        row(paint, area.take_top(1), false, [name.to_owned(), count(latency.count), p50, p99, max]);
    }
}

fn row(paint: &mut Paint<'_>, mut area: Rect, is_head: bool, cells: [String; 5]) {
    let style = if is_head { paint.theme.faint() } else { paint.theme.heading() };
    let [name, numbers @ ..] = cells;
    paint.text(area.take_left(NAME), &name, style);
    for (cell, width) in numbers.iter().zip([NUMBER, TIME, TIME, TIME]) {
        paint.text_at_end(area.take_left(width), cell, style);
    }
}

/// Returns what is shown: what happened since the measurement before, where it can be told, and of too many those that happened most.
fn shown(app: &App, most: usize) -> Vec<(&'static str, Latency)> {
    let Some(measurement) = &app.measurement else { return Vec::new() };
    let earlier = app.earlier.as_ref().filter(|earlier| measurement.span_since(earlier).is_some());
    let of_late = |(name, latency): &(&'static str, Latency)| {
        let then = earlier.and_then(|earlier| earlier.latencies.iter().find(|(known, _)| known == name));
        (*name, then.map_or_else(|| latency.clone(), |(_, then)| latency.since(then)))
    };
    let mut all: Vec<_> = measurement.latencies.iter().map(of_late).collect();
    if all.len() > most {
        // What never happened gives way first; else they stay in their order.
        let mut ever: Vec<_> =
            measurement.latencies.iter().map(|(name, latency)| (latency.count == 0, *name)).collect();
        ever.sort_by_key(|(is_unused, _)| *is_unused);
        let names: Vec<_> = ever.into_iter().take(most).map(|(_, name)| name).collect();
        all.retain(|(name, _)| names.contains(name));
    }
    all
}
