//! What is on the screen, as text: state in, screen out, on ratatui's terminal for tests.

use std::time::Duration;

use datacache_proto::time::Timestamp;
use datacache_proto::types::{
    CallLatencies, DaemonStats, Latency, LatencyStats, NamespaceSpace, NamespaceStats, ReadStats, ReaderStats,
    SpaceStats, Stats, StoreStats, TagRow, TagStats,
};
use ratatui_core::backend::TestBackend;
use ratatui_core::terminal::Terminal;

use super::super::app::{App, Effect, Mode, Pane};
use super::super::input::keys;
use super::super::measurement::Measurement;
use super::super::source::{News, Order};
use super::super::theme::Theme;
use super::draw;

const NOW: Timestamp = Timestamp::from_millis(1_714_564_800_000);

/// Returns what is told after so many seconds: more happens in each than in the one before.
fn stats(second: u64) -> Stats {
    let done = second * second;
    let namespace = |name: &str, entries, bytes, part: u64| NamespaceStats {
        name: name.into(),
        entries,
        bytes,
        hits: done * 3 * part,
        misses: done * part,
        direct_hits: done * 90 * part,
        direct_misses: done * 10 * part,
        adds: done * part,
        evicted: done * part / 2,
        space: NamespaceSpace { bytes: bytes + 4_096, policy: "s3-fifo".into(), ..NamespaceSpace::default() },
        ..NamespaceStats::default()
    };
    let mut namespaces = vec![
        namespace("default", 1_204, 3 << 20, 1),
        namespace("images of the \u{6f22}\u{5b57}", 250_000, 40 << 30, 4),
        namespace("rates", 12, 980, 0),
    ];
    let limited = &mut namespaces[0].space;
    (limited.limit, limited.limit_entries, limited.held_bytes) = (Some(4 << 20), Some(5_000), 20_000);
    let space = SpaceStats {
        bytes: 40 << 30,
        index_bytes: 34 << 20,
        log_bytes: 5_000,
        blob_bytes: 39 << 30,
        entries: 251_216,
        held_bytes: 1 << 30,
        limit: Some(50 << 30),
        held_limit: Some(25 << 30),
        policy: "s3-fifo".into(),
        ..SpaceStats::default()
    };
    let calls =
        CallLatencies { writes: latency(done, 23_000), reads: latency(3 * done, 14_000), ..CallLatencies::default() };
    let latency = LatencyStats { calls, frames: latency(done, 9_000), ..LatencyStats::default() };
    Stats {
        namespaces,
        reads: ReadStats { direct_hits: done * 450, direct_misses: done * 50, ..ReadStats::default() },
        store: StoreStats { leases: 3, ..StoreStats::default() },
        space,
        readers: ReaderStats { places: 42, places_max: 1_024, ..ReaderStats::default() },
        daemon: DaemonStats { uptime_ms: 5_400_000 + second * 1_000, connections: 4, ..DaemonStats::default() },
        latency,
        ..Stats::default()
    }
}

fn latency(count: u64, typical_ns: u64) -> Latency {
    let mut latency = Latency {
        count,
        sum_ns: count * typical_ns,
        p50_ns: typical_ns,
        p99_ns: 5 * typical_ns,
        max_ns: 9 * typical_ns,
        ..Latency::default()
    };
    latency.steps[4] = count;
    latency
}

fn tags() -> TagStats {
    let row = |namespace: &str, tag: &str, entries, bytes, heat, sampled| TagRow {
        namespace: namespace.into(),
        tag: tag.into(),
        entries,
        bytes,
        heat,
        sampled,
    };
    let rows = vec![
        row("default", "daily", 30, 90_000, 212, 30),
        row("default", "seldom", 4, 1 << 20, 0, 0),
        row("images of the \u{6f22}\u{5b57}", "thumbnails", 240_000, 8 << 30, 4, 60),
    ];
    TagStats {
        taken: Some(Timestamp::from_millis(NOW.as_millis() - 3_000)),
        took_ms: 40,
        tags: 3,
        pairs: 240_034,
        rows,
    }
}

/// A view that was looked at for half a minute.
fn app() -> App {
    let mut app = App::new("/home/me/.cache/datacache".into(), Duration::from_secs(1), NOW);
    for second in 0..30 {
        app.hear(News::Measured(Box::new((Measurement::from(&stats(second)), Some(tags())))));
    }
    app
}

fn press(app: &mut App, typed: &str) -> Vec<Effect> {
    keys(typed.as_bytes()).into_iter().filter_map(|key| app.press(key)).collect()
}

fn screen_in(app: &App, theme: &Theme, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| _ = draw(frame.buffer_mut(), app, theme)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| {
        let mut line = String::new();
        let mut x = 0;
        while x < width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            // Behind a wide character there is a cell that is not shown.
            x += u16::try_from(unicode_width::UnicodeWidthStr::width(symbol)).unwrap().max(1);
        }
        line.trim_end().to_owned()
    };
    (0..height).map(line).collect::<Vec<_>>().join("\n")
}

fn screen(app: &App, width: u16, height: u16) -> String {
    screen_in(app, &Theme::new(true, true), width, height)
}

#[test]
fn a_terminal_of_80_by_24_shows_all_of_it() {
    assert_eq!(screen(&app(), 80, 24), include_str!("screens/80x24.txt").trim_end());
}

#[test]
fn a_larger_terminal_shows_more_of_each_part() {
    assert_eq!(screen(&app(), 120, 40), include_str!("screens/120x40.txt").trim_end());
}

#[test]
fn a_terminal_that_is_too_small_is_told_what_is_needed_however_small_it_is() {
    let expected = "datacache top needs 80 columns and 24 lines.\nHere are 79 and 24.\nMake it larger, or press q.";
    assert_eq!(screen(&app(), 79, 24).trim_end(), expected);
    for (width, height) in [(1, 1), (80, 1), (2, 50), (44, 23)] {
        let screen = screen(&app(), width, height);
        assert!(screen.starts_with('d') || screen.starts_with('…'), "{width}x{height}: {screen}");
    }
}

/// What is told by colours or blocks alone is not told to everybody.
#[test]
fn without_colours_and_blocks_the_same_is_told_in_ascii() {
    let ascii = screen_in(&app(), &Theme::new(false, false), 80, 24);
    let expected: String = include_str!("screens/80x24.txt")
        .chars()
        .map(|shown| match shown {
            '─' => '-',
            '↓' => 'v',
            '█' => '#',
            '░' => '.',
            '▆' | '▅' => '*',
            '▄' => '+',
            '▃' => '-',
            '▂' | '▁' => '.',
            '▇' => '#',
            other => other,
        })
        .collect();
    assert_eq!(ascii, expected.trim_end());
}

#[test]
fn a_view_that_knows_nothing_yet_has_its_parts_all_the_same() {
    let app = App::new("/s".into(), Duration::from_secs(2), NOW);
    let screen = screen(&app, 80, 24);
    assert!(
        screen.starts_with("datacache /s") && screen.contains("not counted yet") && screen.contains("every 2s"),
        "{screen}"
    );
}

#[test]
fn the_daemon_that_is_gone_is_told_of_with_the_reason_and_the_next_one_takes_its_place() {
    let mut app = app();
    app.now = Timestamp::from_millis(NOW.as_millis() + 90_000);
    app.hear(News::Gone { why: "no daemon runs".into() });
    let shown = screen(&app, 80, 24);
    assert!(shown.contains("the daemon is gone for 1m30s") && shown.ends_with("no daemon runs"), "{shown}");
    assert!(shown.contains("images of the"), "what was known stays");
    let before = app.history.of(None).unwrap().len();
    let other = Stats { daemon: DaemonStats { uptime_ms: 1, ..DaemonStats::default() }, ..stats(1) };
    app.hear(News::Measured(Box::new((Measurement::from(&other), None))));
    assert_eq!(app.history.of(None).unwrap().back(), Some(&None), "nothing is told of what two daemons counted");
    assert_eq!(app.history.of(None).unwrap().len(), before + 1);
    assert!(screen(&app, 80, 24).contains("every 1s"));
}

#[test]
fn an_answer_that_does_not_come_is_told_of() {
    let mut app = app();
    app.now = Timestamp::from_millis(NOW.as_millis() + 3_000);
    assert!(screen(&app, 80, 24).contains("every 1s"));
    app.now = Timestamp::from_millis(NOW.as_millis() + 4_000);
    assert!(screen(&app, 80, 24).contains("no answer for 4s"));
    press(&mut app, "p");
    assert!(screen(&app, 80, 24).contains("paused"));
}

/// Returns the names of the first list, in their order.
fn names(app: &App) -> Vec<String> {
    app.namespace_names()
}

#[test]
fn lists_are_sorted_reversed_and_filtered_by_keys() {
    let mut app = app();
    assert_eq!(names(&app)[0], "images of the \u{6f22}\u{5b57}");
    press(&mut app, "s");
    assert_eq!(names(&app)[0], "default", "by name");
    press(&mut app, "r");
    assert_eq!(names(&app)[0], "rates");
    press(&mut app, "/RAT");
    assert_eq!((names(&app), &app.mode), (vec!["rates".to_owned()], &Mode::Filter));
    assert!(screen(&app, 80, 24).contains("filter: RAT_"));
    press(&mut app, "\r");
    assert!(screen(&app, 80, 24).contains("Namespaces with `RAT`"));
    assert!(screen(&app, 80, 24).contains(" 1 of 3"));
    press(&mut app, "\u{1b}");
    assert_eq!(names(&app).len(), 3);
    press(&mut app, "\tss");
    assert_eq!(app.pane, Pane::Tags);
    assert_eq!(app.tag_rows()[0].tag, "daily", "by heat");
}

#[test]
fn one_namespace_alone_is_shown_where_it_is_selected() {
    let mut app = app();
    press(&mut app, "j\r");
    assert_eq!(app.selected.as_deref(), Some("default"));
    let shown = screen(&app, 80, 24);
    assert!(shown.contains("Traffic of namespace default") && shown.contains("*default"), "{shown}");
    assert!(shown.contains("5.7k/s") && !shown.contains("thumbnails"), "{shown}");
    press(&mut app, "\u{1b}");
    assert_eq!(app.selected, None);
    press(&mut app, "\r\r");
    assert_eq!(app.selected, None);
}

#[test]
fn limits_are_shown_of_the_store_or_of_the_namespace_that_is_selected() {
    let mut app = app();
    assert!(screen(&app, 80, 24).contains("disk    40.0 GiB ████████░░ of 50.0 GiB"), "{}", screen(&app, 80, 24));
    press(&mut app, "j\r");
    let shown = screen(&app, 80, 24);
    assert!(
        shown.contains("Space of default ─") && shown.contains("disk     3.0 MiB ████████░░  of 4.0 MiB"),
        "{shown}"
    );
    assert!(shown.contains("entries     1204 ██░░░░░░░░     of 5000") && shown.contains("held    19.5 KiB"), "{shown}");
    let mut limited = stats(31);
    limited.space.limit_entries = Some(1 << 20);
    app.hear(News::Measured(Box::new((Measurement::from(&limited), None))));
    press(&mut app, "\u{1b}");
    assert!(screen(&app, 80, 24).contains("entries     251k ██░░░░░░░░     of 1.0M"), "{}", screen(&app, 80, 24));
}

#[test]
fn a_tag_is_evicted_after_a_question_that_tells_how_many_entries_go() {
    let mut app = app();
    assert!(press(&mut app, "e").is_empty());
    assert!(screen(&app, 80, 24).ends_with("e evicts the one that is selected there"));
    press(&mut app, "\te");
    let asked = screen(&app, 80, 24);
    assert!(asked.contains("240000 entries had it when they were counted, 3s ago:"), "{asked}");
    for leave in ["n", "q", "\u{1b}"] {
        assert!(press(&mut app, leave).is_empty(), "{leave:?} evicts nothing, and does not quit");
        assert!(screen(&app, 80, 24).ends_with("nothing was evicted"));
        press(&mut app, "e");
    }
    assert!(press(&mut app, "xe\r").is_empty(), "what is no answer is none");
    let evict = Order::Evict { namespace: "images of the \u{6f22}\u{5b57}".into(), tag: "thumbnails".into() };
    assert_eq!(press(&mut app, "y"), [Effect::Send(evict)]);
    app.hear(News::Evicted { tag: "thumbnails".into(), result: Ok(240_001) });
    assert!(screen(&app, 80, 24).ends_with("240001 entries with the tag `thumbnails` went"));
    app.hear(News::Evicted { tag: "thumbnails".into(), result: Err("no daemon runs".into()) });
    assert!(screen(&app, 80, 24).ends_with("was not evicted: no daemon runs"));
}

#[test]
fn where_no_tag_is_selected_it_is_told_why() {
    let mut app = App::new("/s".into(), Duration::from_secs(1), NOW);
    let told = |app: &mut App, typed| {
        press(app, typed);
        screen(app, 80, 24)
    };
    assert!(told(&mut app, "\te").ends_with("the tags are not counted yet"));
    let none = TagStats { taken: Some(NOW), ..TagStats::default() };
    app.hear(News::Measured(Box::new((Measurement::from(&stats(1)), Some(none)))));
    assert!(told(&mut app, "e").ends_with("there is no tag yet"));
    app.hear(News::Measured(Box::new((Measurement::from(&stats(2)), Some(tags())))));
    assert!(told(&mut app, "/zzz\re").ends_with("no tag is shown; Esc ends the filter, or leaves the namespace"));
    assert!(told(&mut app, "\u{1b}e").contains("240000 entries had it"));
}

/// The largest was below those that are seen, which the alphabet had put first.
#[test]
fn idle_namespaces_are_in_the_order_of_their_bytes_and_then_of_their_names() {
    let mut app = App::new("/s".into(), Duration::from_secs(1), NOW);
    let mut told = stats(0);
    let like = |name: &str, bytes| NamespaceStats { name: name.into(), bytes, ..NamespaceStats::default() };
    told.namespaces = vec![like("a", 5), like("b", 1), like("c", 1), like("d", 9)];
    app.hear(News::Measured(Box::new((Measurement::from(&told), None))));
    assert_eq!(names(&app), ["d", "a", "b", "c"]);
    press(&mut app, "sss");
    assert_eq!(names(&app), ["d", "a", "b", "c"], "by bytes");
}

#[test]
fn the_help_tells_all_keys_and_any_key_ends_it() {
    let mut app = app();
    press(&mut app, "?");
    let help = screen(&app, 80, 24);
    for key in ["Tab", "PgUp", "s  r", "/", "Enter", "  e  ", "  p  ", "+ -", "q  ^C"] {
        assert!(help.contains(key), "{key}: {help}");
    }
    assert!(press(&mut app, "q").is_empty());
    assert_eq!(app.mode, Mode::Watch);
    assert_eq!(press(&mut app, "q"), [Effect::Quit]);
}

#[test]
fn the_interval_is_changed_step_by_step() {
    let mut app = app();
    press(&mut app, "+");
    assert_eq!(app.interval, Duration::from_secs(2));
    press(&mut app, "---");
    assert_eq!(app.interval, Duration::from_millis(250));
    press(&mut app, "-");
    assert_eq!(app.interval, Duration::from_millis(250));
    press(&mut app, "++++++++");
    assert_eq!(app.interval, Duration::from_secs(60));
}

/// A name that moves the cursor, or rings the bell, did so in the list.
#[test]
fn names_reach_the_screen_as_text_whatever_they_are_made_of() {
    let mut app = App::new("/s\u{1b}[2J".into(), Duration::from_secs(1), NOW);
    let mut told = stats(1);
    told.namespaces[0].name = "a\u{7}\n\u{1b}[31m".into();
    let mut tags = tags();
    tags.rows[0].tag = "t\tab".into();
    app.hear(News::Measured(Box::new((Measurement::from(&told), Some(tags)))));
    let shown = screen(&app, 80, 24);
    assert!(!shown.chars().any(|shown| shown.is_control() && shown != '\n'), "{shown:?}");
    assert!(shown.contains(r"a\u{7}\n\u{1b}[31m") && shown.contains(r"t\tab"), "{shown}");
}
