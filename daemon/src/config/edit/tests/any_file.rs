//! Files of any shape that TOML allows settings to have: a change means what it should, and leaves the comments.

use std::collections::BTreeSet;

use fastrand::Rng;
use toml::Table;

use super::*;

const ROUNDS: u64 = 150;
const OF_DAEMON: [(&str, &str); 3] = [("limit", "1048576"), ("log", "\"off\""), ("reserve", "0")];
const OF_ANY: [(&str, &str); 3] = [("limit", "1048576"), ("limit_entries", "5"), ("policy", "\"lru\"")];

/// A file that comes into being.
struct Draft {
    random: Rng,
    ending: &'static str,
    text: String,
    comments: usize,
    in_braces: bool,
}

impl Draft {
    fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let mark = if random.u8(..4) == 0 { "\u{feff}" } else { "" };
        Self {
            ending: if random.bool() { "\r\n" } else { "\n" },
            random,
            text: mark.to_owned(),
            comments: 0,
            in_braces: false,
        }
    }

    /// Returns a comment, whose text tells of one within braces that it is there.
    fn comment(&mut self) -> String {
        self.comments += 1;
        format!("# c{}{}.", self.comments, if self.in_braces { "}" } else { "" })
    }

    /// Returns blank lines and comments, as they may stand between any two lines.
    fn gap(&mut self) -> String {
        let lines = self.random.usize(..3);
        let lines =
            (0..lines).map(|_| if self.random.bool() { self.comment() } else { String::new() }).collect::<Vec<_>>();
        lines.into_iter().map(|line| line + self.ending).collect()
    }

    fn line(&mut self, line: &str) {
        let gap = self.gap();
        let indent = if self.random.u8(..4) == 0 { "  " } else { "" };
        let comment = if self.random.u8(..3) == 0 { format!(" {}", self.comment()) } else { String::new() };
        self.text += &format!("{gap}{indent}{line}{comment}{}", self.ending);
    }

    fn some<'s>(&mut self, settings: &[(&'s str, &'s str)]) -> Vec<(&'s str, &'s str)> {
        let mut some: Vec<_> = settings.iter().copied().filter(|_| self.random.bool()).collect();
        self.random.shuffle(&mut some);
        some
    }

    fn lines_of(&mut self, prefix: &str, settings: &[(&str, &str)]) {
        for (name, value) in self.some(settings) {
            self.line(&format!("{prefix}{name} = {value}"));
        }
    }

    /// Returns settings in braces, on one line or on several.
    fn braces(&mut self, entries: &[String]) -> String {
        if self.random.bool() || entries.is_empty() {
            return ["{", &entries.join(", "), "}"].join(if self.random.bool() { " " } else { "" });
        }
        self.in_braces = true;
        let mut text = format!("{{{}", self.ending);
        for (place, entry) in entries.iter().enumerate() {
            let comma = if place + 1 < entries.len() || self.random.bool() { "," } else { "" };
            let [before, after] = [self.gap(), self.gap()];
            let break_before_comma =
                if self.random.u8(..4) == 0 { format!(" {}{}", self.comment(), self.ending) } else { String::new() };
            text += &format!("{before}  {entry}{break_before_comma}{comma} {}{}{after}", self.comment(), self.ending);
        }
        self.in_braces = false;
        text + "}"
    }

    fn namespace_in_braces(&mut self) -> String {
        let entries: Vec<_> = self.some(&OF_ANY).into_iter().map(|(name, value)| format!("{name} = {value}")).collect();
        self.braces(&entries)
    }

    /// Writes settings of a namespace below a header or none, which `prefix` leads to.
    fn namespace(&mut self, prefix: &str, name: &str) {
        if self.random.bool() {
            return self.lines_of(&format!("{prefix}{name}."), &OF_ANY);
        }
        let braces = self.namespace_in_braces();
        self.line(&format!("{prefix}{name} = {braces}"));
    }

    fn finished(mut self) -> String {
        let (first, second) = if self.random.bool() { ("x", "y") } else { ("y", "x") };
        self.lines_of("", &OF_DAEMON[..2]);
        match self.random.u8(..5) {
            0 => {
                let entries = [first, second].map(|name| format!("{name} = {}", self.namespace_in_braces()));
                let dotted = self.some(&OF_ANY).into_iter().map(|(name, value)| format!("z.{name} = {value}"));
                let entries: Vec<_> = entries.into_iter().chain(dotted).collect();
                let braces = self.braces(&entries);
                self.line(&format!("namespaces = {braces}"));
            }
            1 => [first, second].into_iter().for_each(|name| self.namespace("namespaces.", name)),
            _ => {}
        }
        self.lines_of("", &OF_DAEMON[2..]);
        if !self.text.contains("namespaces") {
            self.tables(first, second);
        }
        let gap = self.gap();
        self.text += &gap;
        if self.random.u8(..4) == 0 {
            self.text.truncate(self.text.trim_end_matches(self.ending).len());
        }
        self.text
    }

    fn tables(&mut self, first: &str, second: &str) {
        let mut left = vec![first, second];
        if self.random.bool() {
            self.line("[namespaces]");
            if self.random.bool() {
                self.namespace("", left.remove(0));
            }
        }
        for name in left {
            self.line(&format!("[namespaces.{name}]"));
            self.lines_of("", &OF_ANY);
        }
    }
}

fn meaning(text: &str) -> Table {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn table<'t>(tables: &'t mut Table, name: &str) -> &'t mut Table {
    tables.entry(name).or_insert_with(|| Table::new().into()).as_table_mut().unwrap()
}

/// Returns what is left of a file's meaning, if there is something to remove, and whether a namespace goes as a whole.
fn without(mut all: Table, place: Place<'_>) -> Option<(Table, bool)> {
    let Some(namespace) = place.namespace else { return all.remove(place.name).map(|_| (all, false)) };
    let namespaces = all.get_mut(NAMESPACES)?.as_table_mut()?;
    let settings = namespaces.get_mut(namespace)?.as_table_mut()?;
    settings.remove(place.name)?;
    let goes = settings.is_empty();
    if goes {
        namespaces.remove(namespace);
    }
    if namespaces.is_empty() {
        all.remove(NAMESPACES);
    }
    Some((all, goes))
}

fn with(mut all: Table, place: Place<'_>, value: i64) -> Table {
    let settings = match place.namespace {
        Some(namespace) => table(table(&mut all, NAMESPACES), namespace),
        None => &mut all,
    };
    settings.insert(place.name.to_owned(), value.into());
    all
}

fn comments(text: &str) -> BTreeSet<&str> {
    text.split('#').skip(1).map(|comment| comment.split('.').next().unwrap()).collect()
}

/// Returns the comments that stay where a setting goes: those on lines of their own, but for the ones in braces if these go as well.
fn comments_on_lines(text: &str, braces_go: bool) -> BTreeSet<&str> {
    let lines = text.lines().map(str::trim_start);
    comments(text)
        .into_iter()
        .filter(|comment| lines.clone().any(|line| line.starts_with(&format!("#{comment}."))))
        .filter(|comment| !braces_go || !comment.ends_with('}'))
        .collect()
}

/// Compares the kind of all line ends, and the mark at the beginning.
fn assert_kept(before: &str, after: &str) {
    assert_eq!(after.starts_with('\u{feff}'), before.starts_with('\u{feff}'));
    if before.contains('\n') {
        let bare = |text: &str| text.replace("\r\n", "").contains(['\n', '\r']);
        let kinds = (bare(after), after.contains('\r'));
        assert!(!after.contains('\n') || kinds == (bare(before), before.contains('\r')), "{after:?}");
    }
}

fn assert_removed(before: &str, place: Place<'_>) {
    let mut text: Text = before.parse().unwrap();
    let was_there = remove(&mut text.document, place);
    let expected = without(meaning(before), place);
    assert_eq!(was_there, expected.is_some(), "{place:?} of\n{before}");
    let Some((expected, goes)) = expected else { return };
    let after = text.to_string();
    assert_eq!(meaning(&after), expected, "{place:?} of\n{before}\n---\n{after}");
    let (stay, left) = (comments_on_lines(before, goes), comments(&after));
    assert!(stay.is_subset(&left), "{place:?} of\n{before}\n---\n{after}");
    assert_kept(before, &after);
}

fn assert_put(before: &str, place: Place<'_>) {
    let mut text: Text = before.parse().unwrap();
    put(&mut text.document, place, "77");
    let after = text.to_string();
    assert_eq!(meaning(&after), with(meaning(before), place, 77), "{place:?} of\n{before}\n---\n{after}");
    assert_eq!(comments(&after), comments(before), "{place:?} of\n{before}\n---\n{after}");
    assert_kept(before, &after);
}

#[test]
fn whatever_a_file_looks_like_a_change_is_only_that_of_the_setting() {
    for seed in 0..ROUNDS {
        let before = Draft::new(seed).finished();
        let of_namespaces =
            ["x", "y", "z"].into_iter().flat_map(|name| OF_ANY.map(|(setting, _)| of(Some(name), setting)));
        for place in OF_DAEMON.into_iter().map(|(name, _)| of(None, name)).chain(of_namespaces) {
            assert_removed(&before, place);
            assert_put(&before, place);
        }
    }
}
