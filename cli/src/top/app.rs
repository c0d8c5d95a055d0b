//! What the view is about at a moment, and what keys and news change of it. Knows neither terminal nor daemon.

use std::time::Duration;

use datacache_proto::time::Timestamp;
use datacache_proto::types::TagStats;

use super::history::History;
use super::input::Key;
use super::listing::Listing;
use super::measurement::Measurement;
use super::rows::{NamespaceColumn, TagColumn};
use super::source::{News, Order};

/// How often the daemon can be asked.
const INTERVALS: [Duration; 7] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(60),
];

/// All that is shown, and how.
#[derive(Debug)]
pub(super) struct App {
    /// The store, as its user knows it.
    pub(super) store: String,
    pub(super) now: Timestamp,
    /// The last one; stays when the daemon goes.
    pub(super) measurement: Option<Measurement>,
    /// When that came.
    pub(super) measured: Timestamp,
    pub(super) earlier: Option<Measurement>,
    pub(super) tag_stats: TagStats,
    pub(super) history: History,
    /// Why there is no answer, while there is none.
    pub(super) gone: Option<String>,
    pub(super) is_paused: bool,
    pub(super) interval: Duration,
    pub(super) pane: Pane,
    pub(super) namespaces: Listing<NamespaceColumn>,
    pub(super) tags: Listing<TagColumn>,
    /// The namespace that traffic and tags are shown of; `None` for all.
    pub(super) selected: Option<String>,
    pub(super) mode: Mode,
    /// What was done last, until the next key.
    pub(super) notice: Option<String>,
    /// How many rows of each list are seen; the view says.
    pub(super) page: usize,
}

/// The list that keys move in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    Namespaces,
    Tags,
}

/// What keys are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Watch,
    Help,
    Filter,
    /// Whether the tag's entries are to go.
    Confirm {
        namespace: String,
        tag: String,
        entries: u64,
    },
}

/// What a key has others do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Quit,
    Send(Order),
}

impl App {
    /// Knows nothing yet.
    pub(super) fn new(store: String, interval: Duration, now: Timestamp) -> Self {
        Self {
            store,
            now,
            measurement: None,
            measured: now,
            earlier: None,
            tag_stats: TagStats::default(),
            history: History::default(),
            gone: None,
            is_paused: false,
            interval,
            pane: Pane::Namespaces,
            namespaces: Listing::new(&NamespaceColumn::ALL, 5),
            tags: Listing::new(&TagColumn::ALL, 1),
            selected: None,
            mode: Mode::Watch,
            notice: None,
            page: 1,
        }
    }

    /// Takes in what the daemon said.
    pub(super) fn hear(&mut self, news: News) {
        match news {
            News::Measured(told) => self.measured(*told),
            News::Gone { why } => {
                if self.gone.replace(why).is_none() {
                    // The reason has its place.
                    self.notice = None;
                }
            }
            News::Evicted { tag, result } => {
                self.notice = Some(match result {
                    Ok(1) => format!("1 entry with the tag `{tag}` went"),
                    Ok(count) => format!("{count} entries with the tag `{tag}` went"),
                    Err(why) => format!("the tag `{tag}` was not evicted: {why}"),
                });
            }
        }
    }

    fn measured(&mut self, (measurement, tags): (Measurement, Option<TagStats>)) {
        self.gone = None;
        self.measured = self.now;
        if let Some(tags) = tags.filter(|tags| tags.taken.is_some()) {
            self.tag_stats = tags;
        }
        self.earlier = self.measurement.replace(measurement);
        if let (Some(earlier), Some(later)) = (&self.earlier, &self.measurement) {
            self.history.push(earlier, later, self.selected.as_deref());
        }
    }

    /// Does what a key is for.
    pub(super) fn press(&mut self, key: Key) -> Option<Effect> {
        self.notice = None;
        match std::mem::replace(&mut self.mode, Mode::Watch) {
            Mode::Watch => return self.watch(key),
            // Any key ends the help.
            Mode::Help => {}
            Mode::Filter => self.filter(key),
            Mode::Confirm { namespace, tag, entries } => match key {
                Key::Char('y' | 'Y') => {
                    self.notice = Some(format!("evicting the tag `{tag}` ..."));
                    return Some(Effect::Send(Order::Evict { namespace, tag }));
                }
                Key::Char('n' | 'N' | 'q') | Key::Escape => self.notice = Some("nothing was evicted".to_owned()),
                _ => self.mode = Mode::Confirm { namespace, tag, entries },
            },
        }
        None
    }

    fn watch(&mut self, key: Key) -> Option<Effect> {
        match key {
            Key::Char('q') => return Some(Effect::Quit),
            Key::Char('?' | 'h') => self.mode = Mode::Help,
            Key::Char('p' | ' ') => self.is_paused = !self.is_paused,
            Key::Char('+') => self.change_interval(INTERVALS.into_iter().find(|known| *known > self.interval)),
            Key::Char('-') => self.change_interval(INTERVALS.into_iter().rfind(|known| *known < self.interval)),
            Key::Tab | Key::BackTab => {
                self.pane = if self.pane == Pane::Tags { Pane::Namespaces } else { Pane::Tags };
            }
            Key::Char('/') => self.mode = Mode::Filter,
            Key::Char('e') => self.ask_about_tag(),
            Key::Enter => self.select(),
            Key::Escape => self.show_all(),
            _ => self.walk(key),
        }
        None
    }

    /// Sorts, or moves in the list that keys are for.
    fn walk(&mut self, key: Key) {
        let moved = match key {
            Key::Char('j') => Key::Down,
            Key::Char('k') => Key::Up,
            other => other,
        };
        let names = match self.pane {
            Pane::Namespaces => self.namespace_names(),
            Pane::Tags => self.tag_names(),
        };
        match (key, self.pane) {
            (Key::Char('s'), Pane::Namespaces) => self.namespaces.sort_by_next(),
            (Key::Char('s'), Pane::Tags) => self.tags.sort_by_next(),
            (Key::Char('r'), Pane::Namespaces) => self.namespaces.reverse(),
            (Key::Char('r'), Pane::Tags) => self.tags.reverse(),
            (_, Pane::Namespaces) => self.namespaces.go(moved, &names, self.page),
            (_, Pane::Tags) => self.tags.go(moved, &names, self.page),
        }
    }

    fn filter(&mut self, key: Key) {
        self.mode = Mode::Filter;
        match (key, self.pane) {
            (Key::Char(more), Pane::Namespaces) => self.namespaces.filter_more(more),
            (Key::Char(more), Pane::Tags) => self.tags.filter_more(more),
            (Key::Backspace, Pane::Namespaces) => self.namespaces.filter_less(),
            (Key::Backspace, Pane::Tags) => self.tags.filter_less(),
            (Key::Enter, _) => self.mode = Mode::Watch,
            (Key::Escape, _) => {
                self.mode = Mode::Watch;
                self.filter_nothing();
            }
            _ => {}
        }
    }

    fn filter_nothing(&mut self) {
        match self.pane {
            Pane::Namespaces => self.namespaces.filter_nothing(),
            Pane::Tags => self.tags.filter_nothing(),
        }
    }

    /// Leaves what narrows the view: the filter first, then the namespace.
    fn show_all(&mut self) {
        let filter = if self.pane == Pane::Tags { self.tags.filter() } else { self.namespaces.filter() };
        if filter.is_empty() { self.selected = None } else { self.filter_nothing() }
    }

    /// Shows the traffic and the tags of one namespace alone, or of all again.
    fn select(&mut self) {
        let names = self.namespace_names();
        let name = names.get(self.namespaces.place(&names)).filter(|_| self.pane == Pane::Namespaces);
        self.selected = name.filter(|name| self.selected.as_ref() != Some(name)).cloned().or_else(|| match self.pane {
            Pane::Namespaces => None,
            Pane::Tags => self.selected.take(),
        });
    }

    fn ask_about_tag(&mut self) {
        let rows = self.tag_rows();
        let row = rows.get(self.tags.place(&self.tag_names())).filter(|_| self.pane == Pane::Tags);
        let asked = row.map(|row| Mode::Confirm {
            namespace: row.namespace.clone(),
            tag: row.tag.clone(),
            entries: row.entries,
        });
        match asked {
            Some(asked) => self.mode = asked,
            None => self.notice = Some(self.why_no_tag().to_owned()),
        }
    }

    /// Says why none is selected.
    fn why_no_tag(&self) -> &'static str {
        match self.pane {
            Pane::Namespaces => "Tab goes to the tags; e evicts the one that is selected there",
            Pane::Tags if self.tag_stats.taken.is_none() => "the tags are not counted yet",
            Pane::Tags if self.tag_stats.rows.is_empty() => "there is no tag yet",
            Pane::Tags => "no tag is shown; Esc ends the filter, or leaves the namespace",
        }
    }

    fn change_interval(&mut self, next: Option<Duration>) {
        self.interval = next.unwrap_or(self.interval);
    }
}
