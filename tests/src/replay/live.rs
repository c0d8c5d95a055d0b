//! A real daemon with a limit, in a folder of its own, and a client of it that reads for itself and adds what it misses.

use datacache_client::Error;
use datacache_client::blocking::DataCache;
use datacache_daemon::eviction::Policy;
use datacache_proto::key::Key;

use super::outcome::Outcome;
use super::trace::Trace;
use crate::home::Home;

/// What every entry holds.
const VALUE: [u8; 8] = [7; 8];

/// Asks a cache for what the trace asks for, adds what is missing, and has the daemon keep `entries` at most.
///
/// # Errors
/// Those of the client.
pub fn live(trace: &Trace, policy: Policy, entries: u64) -> Result<Outcome, Error> {
    let home = Home::new();
    home.configure(&format!("limit_entries = {entries}\npolicy = \"{policy}\"\n"));
    home.start();
    let cache = DataCache::open(home.options())?;
    let keys: Vec<_> = trace.ids.iter().map(|id| Key::from(&id[..])).collect();
    let mut outcome = Outcome::default();
    for id in &trace.requests {
        outcome.count(ask_for(&cache, &keys[*id as usize])?);
    }
    Ok(outcome)
}

/// Tells whether the entry is there. Adds it if not, unless the policy is to evict nothing for it.
fn ask_for(cache: &DataCache, key: &Key) -> Result<bool, Error> {
    if cache.get(key.clone())?.is_some() {
        return Ok(true);
    }
    match cache.set(key.clone(), &VALUE[..]) {
        Err(error) if !error.is_no_space() => Err(error),
        _ => Ok(false),
    }
}
