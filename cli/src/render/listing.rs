//! A list of entries for people, a page at a time: columns that line up as far as that goes without knowing the pages to come.

use datacache_proto::key::Tag;
use datacache_proto::time::Timestamp;
use datacache_proto::types::Metadata;
use unicode_width::UnicodeWidthStr as _;

use super::entry::key_line;
use super::human;
use super::line::one_line;
use super::table::{cut, padded};

/// The column of tags is not wider than this.
const TAGS_MAX: usize = 24;

/// How wide the columns are: those of numbers always, that of tags as wide as its widest cell so far.
pub(crate) struct Listing {
    tags: usize,
    /// Whether tags are cut that are wider than their column may be. Keys never are: who looks for one wants to copy it.
    cuts: bool,
}

impl Listing {
    /// Begins a list; on a terminal, long tags are cut, and marked as that.
    pub(crate) fn begin(on_terminal: bool) -> Self {
        Self { tags: "TAGS".len(), cuts: on_terminal }
    }

    /// Returns the names of the columns as a line above this page.
    pub(crate) fn head(&mut self, page: &[Metadata]) -> String {
        self.widen(page);
        row("SIZE", "AGE", "EXPIRES", "PIN", &padded("TAGS", self.tags), "KEY")
    }

    /// Returns the lines of a page.
    pub(crate) fn lines(&mut self, page: &[Metadata], now: Timestamp) -> impl Iterator<Item = String> {
        self.widen(page);
        page.iter().map(move |entry| self.line(entry, now))
    }

    fn widen(&mut self, page: &[Metadata]) {
        let widest = page.iter().map(|entry| tags(&entry.tags).width()).max().unwrap_or(0);
        self.tags = self.tags.max(widest.min(TAGS_MAX));
    }

    fn line(&self, entry: &Metadata, now: Timestamp) -> String {
        let age = human::short_span(now.since(entry.created));
        let expires = entry.expires.map_or_else(|| "never".into(), |expires| human::short_span(expires.since(now)));
        let tags = tags(&entry.tags);
        let tags = if self.cuts { cut(&tags, self.tags) } else { tags.as_str().into() };
        let pin = if entry.pinned { "pin" } else { "-" };
        row(&human::short_size(entry.size), &age, &expires, pin, &padded(&tags, self.tags), &key_line(&entry.key))
    }
}

/// Numbers are the width of the widest there is, all but for some years.
fn row(size: &str, age: &str, expires: &str, pin: &str, tags: &str, key: &str) -> String {
    format!("{size:>8}  {age:>6}  {expires:>7}  {pin:<3}  {tags}  {key}")
}

fn tags(tags: &[Tag]) -> String {
    if tags.is_empty() {
        return "-".to_owned();
    }
    tags.iter().map(|tag| one_line(tag.as_str())).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::key::Key;
    use datacache_proto::types::Codec;

    const NOW: Timestamp = Timestamp::from_millis(1_714_564_800_000);

    fn entry(key: &str, size: u64, age: u64, expires: Option<u64>, tags: &[&str]) -> Metadata {
        let at = |millis: i64| Timestamp::from_millis(NOW.as_millis().checked_add_signed(millis).unwrap());
        Metadata {
            key: Key::text(key),
            codec: Codec::Bytes,
            size,
            tags: tags.iter().map(|tag| Tag::new(tag).unwrap()).collect(),
            created: at(-(age.cast_signed() * 1_000)),
            expires: expires.map(|after| at(after.cast_signed() * 1_000)),
            version: 1,
            bound: false,
            pinned: false,
            digest: None,
        }
    }

    fn page() -> Vec<Metadata> {
        vec![
            Metadata { pinned: true, ..entry("plain", 100_000, 90, Some(14 * 86_400 - 90), &["images", "raw"]) },
            entry("two\nlines", 0, 400 * 86_400, None, &[]),
            entry("\u{6f22}\u{5b57}", 5 << 30, 0, Some(1), &["\u{6f22}\u{5b57}", "e\u{301}"]),
        ]
    }

    #[test]
    fn a_page_lines_up_whatever_its_keys_and_tags_are_made_of() {
        let mut listing = Listing::begin(true);
        let page = page();
        let mut text = vec![listing.head(&page)];
        text.extend(listing.lines(&page, NOW));
        let expected = "    SIZE     AGE  EXPIRES  PIN  TAGS        KEY
97.7 KiB   1m30s       2w  pin  images,raw  plain
     0 B   1y35d    never  -    -           two\\nlines
 5.0 GiB      0s       1s  -    \u{6f22}\u{5b57},e\u{301}      \u{6f22}\u{5b57}";
        assert_eq!(text.join("\n"), expected);
    }

    #[test]
    fn long_tags_are_cut_with_a_sign_on_a_terminal_and_nowhere_else_and_keys_never() {
        let tag = "a-tag-of-thirty-six-characters-in-it";
        let page = [entry(&"k".repeat(300), 1, 1, None, &[tag]), entry("short", 1, 1, None, &["t"])];
        let lines = |on_terminal| Listing::begin(on_terminal).lines(&page, NOW).collect::<Vec<_>>();
        let terminal = lines(true);
        assert!(terminal[0].contains("  a-tag-of-thirty-six-cha…  kkk"), "{}", terminal[0]);
        assert!(terminal[0].ends_with(&page[0].key.to_string()));
        let pipe = lines(false);
        assert!(pipe[0].ends_with(&format!("  {tag}  {}", page[0].key)), "{}", pipe[0]);
        // A row that is too wide moves nothing but its own key.
        assert_eq!(pipe[1], terminal[1]);
    }

    #[test]
    fn a_column_gets_wider_with_a_page_and_never_narrower_again() {
        let mut listing = Listing::begin(false);
        let [narrow, wide] = [entry("k", 1, 1, None, &["t"]), entry("k", 1, 1, None, &["ten-letter"])];
        let mut place = |entry: &Metadata| listing.lines(std::slice::from_ref(entry), NOW).next().unwrap().find(" k");
        let places = [&narrow, &wide, &narrow].map(&mut place);
        assert!(places[0] < places[1] && places[1] == places[2], "{places:?}");
    }
}
