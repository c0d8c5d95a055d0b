//! A writer and a reader of keys whose content follows from their versions; see `datacache_tests::bytes`.

use std::error::Error;
use std::io::Read as _;
use std::ops::Range;

use datacache_client::blocking::DataCache;
use datacache_client::{Check, Options};
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

/// Reads all keys in three ways; returns a list of versions, `null` for a miss, `false` for wrong bytes, and text for a failure.
pub(crate) fn read() -> Result<Value, Box<dyn Error>> {
    let open = |options: Options| DataCache::open(options);
    let (mapping, copying) = (open(Options::new().check(Check::Always))?, open(Options::new().mapped(false))?);
    Ok((0..KEYS).map(|key| seen(&mapping, &copying, key)).collect())
}

fn seen(mapping: &DataCache, copying: &DataCache, key: u64) -> Value {
    let mut bytes = Vec::new();
    let streamed = match copying.get_reader(name(key)) {
        Ok(None) => json!(null),
        // A reader fails at its end, and nobody has taken anything for a value by then.
        Ok(Some(mut reader)) => match reader.read_to_end(&mut bytes) {
            Ok(_) => told(sight(key, &bytes)),
            Err(_) => json!(null),
        },
        Err(error) => json!(error.to_string()),
    };
    let got = [mapping, copying].map(|cache| match cache.get(name(key)) {
        Ok(None) => json!(null),
        Ok(Some(value)) => told(sight(key, &value)),
        Err(error) => json!(error.to_string()),
    });
    // The worst of them: wrong bytes, then a failure, then a miss, which one of them may have been the first to notice.
    let all = [streamed, got[0].clone(), got[1].clone()];
    let rank = |value: &&Value| match value {
        Value::Bool(_) => 3,
        Value::String(_) => 2,
        Value::Null => 1,
        _ => 0,
    };
    all.iter().max_by_key(rank).cloned().unwrap_or_default()
}

fn told(sight: Sight) -> Value {
    match sight {
        Sight::Miss => json!(null),
        Sight::Version(version) => json!(version),
        Sight::Wrong => json!(false),
    }
}
