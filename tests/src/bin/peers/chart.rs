//! A chart of the times of a get and a set, each peer a bar; the scale is logarithmic.

use std::path::Path;

use plotters::prelude::*;

use crate::Fault;
use crate::outcome::{DISKCACHE, HEED, MEMCACHED, Outcome, REDIS, US};

const SIZE: (u32, u32) = (1_000, 520);
/// Who is shown, and how.
const SERIES: [(&str, RGBColor); 5] = [
    (US, RGBColor(0x1b, 0x6c, 0xa8)),
    (DISKCACHE, RGBColor(0xd9, 0x6c, 0x06)),
    (REDIS, RGBColor(0xb0, 0x30, 0x30)),
    (MEMCACHED, RGBColor(0x2e, 0x8b, 0x57)),
    (HEED, RGBColor(0x80, 0x80, 0x80)),
];
const FONT: (&str, u32) = ("sans-serif", 16);
/// The part of a group's room that its bars take.
const FILLED: f64 = 0.8;

/// Draws what was measured into an SVG file; nothing where no times were.
///
/// # Errors
/// Where it can't be written.
pub(crate) fn draw(path: &Path, outcomes: &[Outcome]) -> Result<(), Fault> {
    let groups: Vec<_> = outcomes.iter().filter(|outcome| bars(outcome).next().is_some()).collect();
    let (least, most) = bounds(&groups);
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    let failed = |error: DrawingAreaErrorKind<_>| format!("the chart can't be drawn: {error}");
    root.fill(&WHITE).map_err(failed)?;
    let mut builder = ChartBuilder::on(&root);
    builder.caption("time of an operation, p50, in µs", ("sans-serif", 20)).margin(12);
    builder.x_label_area_size(40).y_label_area_size(60);
    #[expect(clippy::cast_precision_loss, reason = "there are few groups")]
    let right = groups.len() as f64;
    let mut chart = builder.build_cartesian_2d(0.0..right, (least..most).log_scale()).map_err(failed)?;
    let name = |at: &f64| label(&groups, *at);
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh()
        .x_labels(groups.len() * 2 + 1)
        .x_label_formatter(&name)
        .y_label_formatter(&|micros| format!("{micros}"));
    mesh.label_style(FONT).draw().map_err(failed)?;
    for (place, (who, color)) in SERIES.into_iter().enumerate() {
        let bars =
            groups.iter().enumerate().filter_map(|(group, outcome)| bar(group, place, height(outcome, who)?, least));
        let series = chart.draw_series(bars.map(|bar| Rectangle::new(bar, color.filled()))).map_err(failed)?;
        series.label(who).legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], color.filled()));
    }
    let mut legend = chart.configure_series_labels();
    legend.position(SeriesLabelPosition::UpperLeft).background_style(WHITE.mix(0.9)).border_style(BLACK);
    legend.label_font(FONT).draw().map_err(failed)?;
    Ok(root.present().map_err(failed)?)
}

/// Returns the heights of an outcome's bars: only those of single operations are shown.
fn bars(outcome: &Outcome) -> impl Iterator<Item = f64> {
    SERIES.iter().filter_map(|(who, _)| height(outcome, who))
}

fn height(outcome: &Outcome, who: &str) -> Option<f64> {
    let shown = outcome.name.starts_with("get") || outcome.name.starts_with("set") || outcome.name == "open";
    outcome.amount(who, "p50").filter(|_| shown).map(|nanoseconds| nanoseconds / 1e3)
}

/// Powers of ten around all that is shown.
fn bounds(groups: &[&Outcome]) -> (f64, f64) {
    let all: Vec<f64> = groups.iter().flat_map(|outcome| bars(outcome)).collect();
    let (least, most) = all.iter().fold((1.0_f64, 10.0_f64), |(least, most), bar| (least.min(*bar), most.max(*bar)));
    (10_f64.powf(least.log10().floor()), 10_f64.powf(most.log10().ceil()))
}

fn bar(group: usize, place: usize, height: f64, least: f64) -> Option<[(f64, f64); 2]> {
    let width = FILLED / f64::from(u32::try_from(SERIES.len()).ok()?);
    let left =
        f64::from(u32::try_from(group).ok()?) + (1.0 - FILLED) / 2.0 + width * f64::from(u32::try_from(place).ok()?);
    Some([(left, least), (left + width, height)])
}

/// The name of a group stands below its middle.
fn label(groups: &[&Outcome], at: f64) -> String {
    let is_middle = (at.fract() - 0.5).abs() < 0.01;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it lies on the axis, between 0 and few"
    )]
    let group = groups.get(at as usize).filter(|_| is_middle);
    group.map_or_else(String::new, |outcome| outcome.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Amount;

    #[test]
    fn every_peer_that_was_measured_has_a_bar_and_every_group_its_name() {
        let mut get = Outcome::new("get 10,000", "get");
        get.add(US, vec![("p50", Amount::Nanoseconds(600.0))]);
        get.add(HEED, vec![("p50", Amount::Nanoseconds(400.0))]);
        let mut set = Outcome::new("set 10,000", "set");
        set.add(US, vec![("p50", Amount::Nanoseconds(16_000.0))]);
        let mut burst = Outcome::new("burst", "burst");
        burst.add(US, vec![("per second", Amount::PerSecond(1.0))]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chart.svg");
        draw(&path, &[get, burst, set]).unwrap();
        let svg = std::fs::read_to_string(path).unwrap();
        for text in ["get 10,000", "set 10,000", US, HEED] {
            assert!(svg.lines().any(|line| line.trim() == text), "{text} is missing");
        }
        assert_eq!(svg.matches("#1B6CA8").count(), 3, "two bars and the legend");
        assert!(!svg.contains("burst"));
    }

    #[test]
    fn nothing_measured_is_an_empty_chart() {
        let folder = tempfile::tempdir().unwrap();
        draw(&folder.path().join("chart.svg"), &[]).unwrap();
    }
}
