//! What lies above the rest: the help, and the question before something is evicted.

use ratatui_core::layout::Rect;
use ratatui_core::widgets::Widget as _;
use ratatui_widgets::block::Block;
use ratatui_widgets::borders::Borders;
use ratatui_widgets::clear::Clear;
use unicode_width::UnicodeWidthStr as _;

use super::super::app::{App, Mode};
use super::numbers::interval;
use super::paint::{Area as _, Paint};
use crate::render::human::short_span;
use crate::render::line::one_line;
use crate::render::table::cut;

/// How much of a name is shown in a question.
const NAME: usize = 50;

pub(super) fn draw(paint: &mut Paint<'_>, app: &App) {
    match &app.mode {
        Mode::Help => boxed(paint, "Help", &help(app)),
        Mode::Confirm { namespace, tag, entries } => {
            boxed(paint, "Evict a tag", &question(app, namespace, tag, *entries));
        }
        Mode::Watch | Mode::Filter => {}
    }
}

fn help(app: &App) -> Vec<String> {
    let interval = format!("  + -          less or more often than every {}", interval(app.interval));
    [
        "  Tab          go to the other list",
        "  Up Down j k  select a row; PgUp, PgDn, Home, End",
        "  s  r         sort by the next column; the other way round",
        "  /            show what contains a text; Enter keeps it, Esc ends it",
        "  Enter        traffic and tags of this namespace alone, or of all",
        "  e            evict the selected tag, after a question",
        "  p            pause",
        &interval,
        "  q  ^C        quit",
        "",
        "A ~ stands before what is estimated from some entries of a tag.",
        "Heat is how often an entry was read lately, from 0 to 3.",
        "Hits are those of late; latencies are of the last interval, rounded up.",
        "",
        "Any key ends the help.",
    ]
    .map(str::to_owned)
    .into()
}

fn question(app: &App, namespace: &str, tag: &str, entries: u64) -> Vec<String> {
    let counted = app.tag_stats.taken.map_or_else(String::new, |taken| {
        format!("had it when they were counted, {} ago:", short_span(app.now.since(taken)))
    });
    let (those, all) =
        if entries == 1 { ("entry", "it goes, and so does any") } else { ("entries", "all of them go, and any") };
    vec![
        format!("Tag        {}", cut(&one_line(tag), NAME)),
        format!("Namespace  {}", cut(&one_line(namespace), NAME)),
        String::new(),
        format!("{entries} {those} {counted}"),
        format!("{all} that got it since."),
        String::new(),
        "y  evict it      n or Esc  leave it".to_owned(),
    ]
}

fn boxed(paint: &mut Paint<'_>, title: &str, lines: &[String]) {
    let whole = paint.buffer.area;
    let width = lines.iter().map(|line| line.width()).max().unwrap_or(0);
    let width = u16::try_from(width + 4).unwrap_or(u16::MAX).min(whole.width);
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(whole.height);
    let (x, y) = ((whole.width - width) / 2, (whole.height - height) / 2);
    let area = Rect { x, y, width, height };
    Clear.render(area, paint.buffer);
    let border = paint.theme.glyphs.border;
    let block = Block::new()
        .borders(Borders::ALL)
        .border_set(border)
        .title(format!(" {title} "))
        .title_style(paint.theme.title());
    let mut inner = block.inner(area);
    block.render(area, paint.buffer);
    inner.take_left(1);
    inner.width = inner.width.saturating_sub(1);
    for line in lines {
        paint.text(inner.take_top(1), line, paint.theme.heading());
    }
}
