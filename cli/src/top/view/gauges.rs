//! What the store takes, or the namespace that is selected, beside what it may take.

use ratatui_core::layout::Rect;

use super::super::app::App;
use super::super::measurement::Gauge;
use super::numbers::count;
use super::paint::{Area as _, Paint};
use crate::render::human::short_size;
use crate::render::line::one_line;

const NAME: u16 = 8;
const NUMBER: u16 = 8;
/// `of`, and the limit.
const LIMIT: u16 = NUMBER + 4;

pub(super) fn draw(paint: &mut Paint<'_>, mut area: Rect, app: &App) {
    let title = app.selected.as_ref().map_or_else(|| "Space".to_owned(), |name| format!("Space of {}", one_line(name)));
    paint.title(&mut area, &title, "used, of its limit");
    let Some(measurement) = &app.measurement else { return };
    let gauges = match &app.selected {
        Some(name) => measurement.namespace(name).map_or(&[][..], |namespace| &namespace.gauges),
        None => &measurement.gauges,
    };
    for gauge in gauges.iter().take(area.height.into()) {
        line(paint, area.take_top(1), gauge);
    }
}

fn line(paint: &mut Paint<'_>, mut area: Rect, gauge: &Gauge) {
    let told = |amount| if gauge.is_bytes { short_size(amount) } else { count(amount) };
    paint.text(area.take_left(NAME), gauge.name, paint.theme.heading());
    paint.text_at_end(area.take_left(NUMBER), &told(gauge.used), paint.theme.heading());
    let Some(limit) = gauge.limit else { return };
    #[expect(clippy::cast_precision_loss, reason = "a share of a line")]
    let share = gauge.used as f64 / limit.max(1) as f64;
    area.take_left(1);
    let bar = area.take_left(area.width.saturating_sub(LIMIT));
    paint.gauge(bar, share);
    paint.text_at_end(area, &format!("of {}", told(limit)), paint.theme.faint());
}
