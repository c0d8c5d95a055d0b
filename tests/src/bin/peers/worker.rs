//! What this program does in processes of its own, as told line by line on standard input; see [`crate::talk`].

use std::io::{self, BufRead as _};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use datacache_client::Options;
use datacache_client::blocking::DataCache;
use serde_json::{Value, json};

use crate::Fault;
use crate::ours::{Ours, memory};
use crate::sizes::{key, value};
use crate::talk::Talk;

/// Starts such a process, with the cache open.
///
/// # Errors
/// Where it can't open it.
pub(crate) fn start(ours: &Ours) -> Result<Talk, Fault> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("worker");
    let mut worker = Talk::start(command)?;
    worker.ask(&json!({ "do": "open", "dir": ours.store(), "socket": ours.socket() }))?;
    Ok(worker)
}

/// Is such a process, until standard input is closed.
///
/// # Errors
/// Where it is told what it can't understand.
pub(crate) fn serve() -> Result<(), Fault> {
    let mut cache = None;
    for line in io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let answer = answer(&mut cache, &request);
        println!("{}", answer.unwrap_or_else(|fault| json!({ "failed": fault.to_string() })));
    }
    Ok(())
}

fn answer(cache: &mut Option<DataCache>, request: &Value) -> Result<Value, Fault> {
    let text = |name: &str| request[name].as_str().unwrap_or_default();
    match (text("do"), cache.as_ref()) {
        ("open", _) => {
            let options = Options::new().dir(text("dir")).socket(text("socket")).start(false);
            *cache = Some(DataCache::open(options)?);
            Ok(json!({}))
        }
        ("storm", Some(cache)) => storm(cache, request),
        ("add", Some(cache)) => add(cache, text("way"), Path::new(text("path"))),
        (other, _) => Err(format!("it can't do {other:?} now").into()),
    }
}

/// 90% get, 9% set, 1% delete, as in DiskCache's own benchmark. What was done is counted, to be found again in `stats`.
fn storm(cache: &DataCache, request: &Value) -> Result<Value, Fault> {
    let number = |name: &str| request[name].as_u64().unwrap_or_default();
    let mut dice = fastrand::Rng::with_seed(number("seed"));
    let (mut gets, mut sets, mut deletes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut lost, mut deleted) = (0, 0);
    for turn in 0..number("ops") {
        let (key, die, content) = (key(dice.u64(0..number("keys"))), dice.u32(0..100), value(turn));
        let begun = Instant::now();
        let (outcome, times) = match die {
            0..90 => (cache.get(key.as_str()).map(|_| 0), &mut gets),
            90..99 => (cache.set(key.as_str(), content).map(|()| 0), &mut sets),
            _ => (cache.delete(key.as_str()).map(u64::from), &mut deletes),
        };
        times.push(u64::try_from(begun.elapsed().as_nanos())?);
        match outcome {
            Ok(gone) => deleted += gone,
            Err(_) => lost += 1,
        }
    }
    Ok(json!({ "ns": { "get": gets, "set": sets, "delete": deletes, "lost": [lost] }, "deleted": deleted }))
}

/// Adds a large value, and tells how much memory that took at the most.
fn add(cache: &DataCache, way: &str, path: &Path) -> Result<Value, Fault> {
    let took = if way == "memory" {
        let content = std::fs::read(path)?;
        let begun = Instant::now();
        cache.set("large", content)?;
        begun.elapsed()
    } else {
        let begun = Instant::now();
        cache.add_file(path).key("large").run()?;
        begun.elapsed()
    };
    cache.delete("large")?;
    let [peak] = memory(std::process::id(), ["VmHWM:"])?;
    Ok(json!({ "ns": { "add": [u64::try_from(took.as_nanos())?] }, "peak": peak }))
}
