//! The faces of the cache behind one trait, so that a promise is written down once and kept by all of them.

use std::time::Duration;

use datacache_client::{Add, Expire, Json, Metadata, blocking};
use datacache_tests::reads::Way;
use datacache_tests::{Home, Outcome};
use serde_json::Value;
use tokio::runtime::Runtime;

/// A value to add.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'a> {
    Bytes(&'a [u8]),
    Text(&'a str),
    /// JSON in any spelling.
    Json(&'a str),
}

/// All that can be said when a value is added.
#[derive(Clone, Debug)]
pub(super) struct Entry<'a> {
    pub(super) content: Content<'a>,
    pub(super) key: Option<&'a str>,
    pub(super) expire: Option<Expire>,
    pub(super) tags: Vec<&'a str>,
}

impl<'a> Entry<'a> {
    pub(super) fn of(content: Content<'a>) -> Self {
        Self { content, key: None, expire: None, tags: Vec::new() }
    }

    pub(super) fn text(key: &'a str, text: &'a str) -> Self {
        Self { key: Some(key), ..Self::of(Content::Text(text)) }
    }

    pub(super) fn expire(mut self, expire: Expire) -> Self {
        self.expire = Some(expire);
        self
    }

    pub(super) fn tags(mut self, tags: &[&'a str]) -> Self {
        self.tags = tags.to_vec();
        self
    }

    /// Puts what was said into a builder of either client.
    fn into_add<C>(self, add: Add<C>) -> Add<C> {
        let add = self.key.into_iter().fold(add, Add::key);
        self.expire.into_iter().fold(add, Add::expire).tags(self.tags)
    }
}

/// What is kept about an entry, as far as every face tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub(super) size: u64,
    pub(super) codec: String,
    pub(super) tags: Vec<String>,
    pub(super) expires: bool,
}

impl From<Metadata> for About {
    fn from(entry: Metadata) -> Self {
        let tags = entry.tags.iter().map(ToString::to_string).collect();
        Self { size: entry.size, codec: entry.codec.to_string(), tags, expires: entry.expires.is_some() }
    }
}

/// One way to use the cache.
pub(super) trait Face {
    /// Adds an entry; the key, or what is wrong with the input.
    fn add(&self, entry: Entry<'_>) -> Result<String, String>;
    fn get(&self, key: &str) -> Option<Vec<u8>>;
    fn contains(&self, key: &str) -> bool;
    fn len(&self) -> u64;
    fn delete(&self, key: &str) -> bool;
    fn evict(&self, tag: &str) -> u64;
    fn expire(&self) -> u64;
    fn clear(&self) -> u64;
    fn touch(&self, key: &str, expire: Expire) -> bool;
    fn stat(&self, key: &str) -> Option<About>;
    fn list(&self, prefix: Option<&str>, tag: Option<&str>) -> Vec<String>;
}

/// Lets every face make a promise, each in a namespace of its own with one daemon for all.
pub(super) fn every_face(promise: impl Fn(&dyn Face)) {
    let home = Home::new();
    let blocking = home.open().namespace("blocking");
    println!("the blocking client");
    promise(&blocking);
    println!("the asynchronous client");
    promise(&Asynchronous::open(&home));
    println!("the command");
    promise(&Command(&home));
    Way::of_this_run().assert_only_way(&blocking);
}

impl Face for blocking::DataCache {
    fn add(&self, entry: Entry<'_>) -> Result<String, String> {
        let add = match entry.content {
            Content::Bytes(bytes) => self.add(bytes),
            Content::Text(text) => self.add(text),
            Content::Json(source) => self.add(Json(parsed(source))),
        };
        entry.into_add(add).run().map(|key| key.to_string()).map_err(|error| invalid(&error))
    }

    fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.get(key).unwrap().map(|value| value.into_vec())
    }

    fn contains(&self, key: &str) -> bool {
        self.contains(key).unwrap()
    }

    fn len(&self) -> u64 {
        self.len().unwrap()
    }

    fn delete(&self, key: &str) -> bool {
        self.delete(key).unwrap()
    }

    fn evict(&self, tag: &str) -> u64 {
        self.evict(tag).unwrap()
    }

    fn expire(&self) -> u64 {
        self.expire().unwrap()
    }

    fn clear(&self) -> u64 {
        self.clear().unwrap()
    }

    fn touch(&self, key: &str, expire: Expire) -> bool {
        self.touch(key, expire).unwrap()
    }

    fn stat(&self, key: &str) -> Option<About> {
        self.stat(key).unwrap().map(About::from)
    }

    fn list(&self, prefix: Option<&str>, tag: Option<&str>) -> Vec<String> {
        let list = prefix.into_iter().fold(self.list().page_size(2), |list, prefix| list.prefix(prefix));
        let list = tag.into_iter().fold(list, |list, tag| list.tag(tag));
        list.map(|entry| entry.unwrap().key.to_string()).collect()
    }
}

/// The asynchronous client, with something to wait for it.
struct Asynchronous {
    cache: datacache_client::DataCache,
    runtime: Runtime,
}

impl Asynchronous {
    fn open(home: &Home) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let cache = runtime.block_on(home.open_async()).namespace("asynchronous");
        Self { cache, runtime }
    }
}

impl Face for Asynchronous {
    fn add(&self, entry: Entry<'_>) -> Result<String, String> {
        let add = match entry.content {
            Content::Bytes(bytes) => self.cache.add(bytes),
            Content::Text(text) => self.cache.add(text),
            Content::Json(source) => self.cache.add(Json(parsed(source))),
        };
        let added = self.runtime.block_on(async { entry.into_add(add).await });
        added.map(|key| key.to_string()).map_err(|error| invalid(&error))
    }

    fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.runtime.block_on(self.cache.get(key)).unwrap().map(|value| value.into_vec())
    }

    fn contains(&self, key: &str) -> bool {
        self.runtime.block_on(self.cache.contains(key)).unwrap()
    }

    fn len(&self) -> u64 {
        self.runtime.block_on(self.cache.len()).unwrap()
    }

    fn delete(&self, key: &str) -> bool {
        self.runtime.block_on(self.cache.delete(key)).unwrap()
    }

    fn evict(&self, tag: &str) -> u64 {
        self.runtime.block_on(self.cache.evict(tag)).unwrap()
    }

    fn expire(&self) -> u64 {
        self.runtime.block_on(self.cache.expire()).unwrap()
    }

    fn clear(&self) -> u64 {
        self.runtime.block_on(self.cache.clear()).unwrap()
    }

    fn touch(&self, key: &str, expire: Expire) -> bool {
        self.runtime.block_on(self.cache.touch(key, expire)).unwrap()
    }

    fn stat(&self, key: &str) -> Option<About> {
        self.runtime.block_on(self.cache.stat(key)).unwrap().map(About::from)
    }

    fn list(&self, prefix: Option<&str>, tag: Option<&str>) -> Vec<String> {
        let list = prefix.into_iter().fold(self.cache.list().page_size(2), |list, prefix| list.prefix(prefix));
        let list = tag.into_iter().fold(list, |list, tag| list.tag(tag));
        self.runtime.block_on(list.collect()).unwrap().into_iter().map(|entry| entry.key.to_string()).collect()
    }
}

/// The command, a process for each call.
struct Command<'h>(&'h Home);

impl Command<'_> {
    fn run(&self, arguments: &[&str], input: &[u8]) -> Outcome {
        self.0.command(["--namespace", "command"].iter().chain(arguments)).input(input).outcome()
    }

    /// Runs what answers by its exit status: 0 is yes, 1 is no.
    fn asks(&self, arguments: &[&str]) -> bool {
        let outcome = self.run(arguments, b"");
        assert!([0, 1].contains(&outcome.code()), "{outcome:?}");
        outcome.code() == 0
    }

    /// Runs what prints how many entries went; none may be the answer no.
    fn counts(&self, arguments: &[&str]) -> u64 {
        let outcome = self.run(arguments, b"");
        let count = String::from_utf8_lossy(outcome.printed()).trim().parse().unwrap();
        assert!(outcome.code() == 0 || (outcome.code() == 1 && count == 0), "{outcome:?}");
        count
    }
}

impl Face for Command<'_> {
    fn add(&self, entry: Entry<'_>) -> Result<String, String> {
        let (input, codec) = match entry.content {
            Content::Bytes(bytes) => (bytes, None),
            Content::Text(text) => (text.as_bytes(), Some("--text")),
            Content::Json(source) => (source.as_bytes(), Some("--json")),
        };
        let mut arguments = vec!["add", "-"];
        arguments.extend(codec);
        arguments.extend(entry.key.into_iter().flat_map(|key| ["--key", key]));
        arguments.extend(entry.tags.iter().flat_map(|tag| ["--tag", tag]));
        let expire = entry.expire.map(typed);
        arguments.extend(expire.iter().flat_map(|expire| ["--expire", expire]));
        let outcome = self.run(&arguments, input);
        if outcome.code() == 0 { Ok(outcome.text()) } else { Err(outcome.error(2).to_owned()) }
    }

    fn get(&self, key: &str) -> Option<Vec<u8>> {
        let outcome = self.run(&["get", key], b"");
        (outcome.code() != 1).then(|| outcome.bytes())
    }

    fn contains(&self, key: &str) -> bool {
        self.asks(&["contains", key])
    }

    fn len(&self) -> u64 {
        self.run(&["len"], b"").number()
    }

    fn delete(&self, key: &str) -> bool {
        self.counts(&["delete", key]) == 1
    }

    fn evict(&self, tag: &str) -> u64 {
        self.counts(&["evict", tag])
    }

    fn expire(&self) -> u64 {
        self.counts(&["expire"])
    }

    fn clear(&self) -> u64 {
        self.counts(&["clear"])
    }

    fn touch(&self, key: &str, expire: Expire) -> bool {
        self.asks(&["touch", key, "--expire", &typed(expire)])
    }

    fn stat(&self, key: &str) -> Option<About> {
        let outcome = self.run(&["stat", key, "--json"], b"");
        let told = (outcome.code() != 1).then(|| outcome.json())?;
        Some(About {
            size: told["size"].as_u64().unwrap(),
            codec: told["codec"].as_str().unwrap().into(),
            tags: told["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().into()).collect(),
            expires: told["expires"].is_string(),
        })
    }

    fn list(&self, prefix: Option<&str>, tag: Option<&str>) -> Vec<String> {
        let mut arguments = vec!["ls"];
        arguments.extend(prefix.into_iter().flat_map(|prefix| ["--prefix", prefix]));
        arguments.extend(tag.into_iter().flat_map(|tag| ["--tag", tag]));
        self.run(&arguments, b"").text().lines().map(str::to_owned).collect()
    }
}

fn typed(expire: Expire) -> String {
    match expire {
        Expire::Never => "never".into(),
        Expire::After(span) => format!("{}s", span.as_secs_f64()),
        Expire::Default | Expire::At(_) => unreachable!("the command line has no word for it"),
    }
}

fn parsed(source: &str) -> Value {
    serde_json::from_str(source).unwrap()
}

#[track_caller]
fn invalid(error: &datacache_client::Error) -> String {
    assert!(error.is_invalid_input(), "{error:?}");
    error.to_string()
}

/// Long enough for no test to see the end of it.
pub(super) const LONG: Expire = Expire::After(Duration::from_secs(3_600));
