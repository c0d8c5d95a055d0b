//! What happens, over time: reads by who does them, writes, and how many reads find something.

use ratatui_core::layout::Rect;
use ratatui_core::widgets::Widget as _;
use ratatui_widgets::sparkline::{RenderDirection, Sparkline};

use super::super::app::App;
use super::super::measurement::Rates;
use super::numbers::{interval, percent, rate};
use super::paint::{Area as _, Paint};
use crate::render::line::one_line;

/// The columns of a name, and of the number behind it.
const NAME: u16 = 10;
const NUMBER: u16 = 9;

/// One line of it: what it is called, what is told of the last rates, and what is drawn of each, in thousandths.
struct Series {
    name: &'static str,
    told: fn(&Rates) -> String,
    drawn: fn(&Rates) -> Option<f64>,
    /// What fills the line; `None` for the largest there is.
    full: Option<f64>,
}

const SERIES: [Series; 4] = [
    Series { name: "direct", told: |it| rate(it.direct) + "/s", drawn: |it| Some(it.direct), full: None },
    Series { name: "by call", told: |it| rate(it.called) + "/s", drawn: |it| Some(it.called), full: None },
    Series { name: "writes", told: |it| rate(it.writes) + "/s", drawn: |it| Some(it.writes), full: None },
    Series { name: "hits", told: |it| percent(it.hit_ratio), drawn: |it| it.hit_ratio, full: Some(1.0) },
];

pub(super) fn draw(paint: &mut Paint<'_>, mut area: Rect, app: &App) {
    let selected = app.selected.as_deref();
    let whose = selected.map_or_else(|| "all namespaces".to_owned(), |name| format!("namespace {}", one_line(name)));
    let span = interval(app.interval);
    paint.title(&mut area, &format!("Traffic of {whose}"), &format!("reads and writes a second, {span} a column"));
    let height = area.height / u16::try_from(SERIES.len()).unwrap_or(1);
    for series in &SERIES {
        series.draw(paint, area.take_top(height), app);
    }
}

impl Series {
    fn draw(&self, paint: &mut Paint<'_>, area: Rect, app: &App) {
        let mut line = area;
        paint.text(line.take_left(NAME), self.name, paint.theme.heading());
        let told = (self.told)(&app.history.last(app.selected.as_deref()));
        paint.text_at_end(line.take_left(NUMBER), &told, paint.theme.heading());
        line.take_left(2);
        let Some(ring) = app.history.of(app.selected.as_deref()) else { return };
        // Newest first: they come in from the right.
        let bars = ring.iter().rev().map(|rates| rates.as_ref().and_then(self.drawn).map(thousandths));
        let sparkline = Sparkline::default()
            .data(bars.take(line.width.into()).collect::<Vec<_>>())
            .direction(RenderDirection::RightToLeft)
            .bar_set(paint.theme.glyphs.bars.clone())
            .style(paint.theme.bars());
        match self.full {
            Some(full) => sparkline.max(thousandths(full)).render(line, paint.buffer),
            None => sparkline.render(line, paint.buffer),
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are neither negative nor so many")]
fn thousandths(value: f64) -> u64 {
    (value * 1_000.0).round() as u64
}
