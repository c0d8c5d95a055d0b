//! A writer and a reader of keys whose content follows from their versions; see `datacache_tests::bytes`.

use std::error::Error;
use std::fs;
use std::io::Read as _;
use std::ops::Range;

use datacache_client::blocking::DataCache;
use datacache_client::{Check, Options, Transfer};
use datacache_tests::bytes::content::{content, name, sight};
use datacache_tests::bytes::{KEYS, Sight};
use serde_json::{Value, json};

/// Puts keys at a version.
pub(crate) fn put(keys: Range<u64>, version: u64) -> Result<Value, Box<dyn Error>> {
    let cache = DataCache::open(Options::new())?;
    for key in keys {
        cache.add(content(key, version)).key(name(key)).tag("t").run()?;
    }
    Ok(Value::Null)
}

/// A way to read a value whole; `None` for a miss.
type Way = fn(&DataCache, String) -> Result<Option<Vec<u8>>, Box<dyn Error>>;

/// All of them.
const WAYS: [Way; 5] = [streamed, got, got_with_another, borrowed, written];

/// Reads all keys in every way, directly and by call; returns a list of versions, `null` for a miss, `false` for wrong bytes, and
/// text for a failure.
pub(crate) fn read() -> Result<Value, Box<dyn Error>> {
    let mapping = || Options::new().check(Check::Always);
    let all = [
        mapping(),
        mapping().direct(false),
        Options::new().mapped(false),
        Options::new().direct(false).transfer(Transfer::Chunks),
    ];
    let caches = all.map(DataCache::open).into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok((0..KEYS).map(|key| seen(&caches, key)).collect())
}

/// Returns the worst that is seen: wrong bytes, then a failure, then a miss, which one of them may have been the first to notice,
/// then the oldest version.
fn seen(caches: &[DataCache], key: u64) -> Value {
    let told = caches.iter().flat_map(|cache| {
        WAYS.map(|way| match way(cache, name(key)) {
            Ok(None) => json!(null),
            Ok(Some(bytes)) => told(sight(key, &bytes)),
            Err(error) => json!(error.to_string()),
        })
    });
    let rank = |value: &Value| match value {
        Value::Bool(_) => (0, 0),
        Value::String(_) => (1, 0),
        Value::Null => (2, 0),
        version => (3, version.as_u64().unwrap_or_default()),
    };
    told.min_by_key(rank).unwrap_or_default()
}

fn streamed(cache: &DataCache, key: String) -> Result<Option<Vec<u8>>, Box<dyn Error>> {
    let Some(mut reader) = cache.get_reader(key)? else { return Ok(None) };
    let mut bytes = Vec::new();
    // A reader fails at its end, and nobody has taken anything for a value by then.
    Ok(reader.read_to_end(&mut bytes).is_ok().then_some(bytes))
}

fn got(cache: &DataCache, key: String) -> Result<Option<Vec<u8>>, Box<dyn Error>> {
    Ok(cache.get(key)?.map(datacache_client::Value::into_vec))
}

/// The other is none of those that are damaged.
fn got_with_another(cache: &DataCache, key: String) -> Result<Option<Vec<u8>>, Box<dyn Error>> {
    let values = cache.get_many([key, "no such key".to_owned()])?;
    Ok(values.into_iter().next().flatten().map(datacache_client::Value::into_vec))
}

fn borrowed(cache: &DataCache, key: String) -> Result<Option<Vec<u8>>, Box<dyn Error>> {
    Ok(cache.borrow_file(key)?.map(|mapped| mapped.to_vec()))
}

fn written(cache: &DataCache, key: String) -> Result<Option<Vec<u8>>, Box<dyn Error>> {
    Ok(cache.get_file(key).run()?.map(fs::read).transpose()?)
}

fn told(sight: Sight) -> Value {
    match sight {
        Sight::Miss => json!(null),
        Sight::Version(version) => json!(version),
        Sight::Wrong => json!(false),
    }
}
