//! Has the log applied all the time, so that readers are sent from one segment to the next.

use std::error::Error;
use std::path::Path;

use datacache_client::Options;
use datacache_client::blocking::DataCache;
use datacache_tests::churn::Ledger;
use datacache_tests::wait::{PATIENCE, comes_to_hold};
use serde_json::{Value, json};

/// Lists whenever something was written, which has the log applied, until the ledger says that it is over; tells how often.
///
/// # Errors
/// The first call that failed; then it is over for all.
pub(crate) fn rotate(ledger: &Path, worker: u64) -> Result<Value, Box<dyn Error>> {
    let ledger = Ledger::open(ledger);
    let done = DataCache::open(Options::new()).and_then(|cache| {
        while !ledger.is_over() {
            let written = ledger.written();
            cache.list().page_size(1).next().transpose()?;
            ledger.tick(worker);
            // Where nobody writes for so long, it is done once more all the same.
            let _wrote = comes_to_hold(PATIENCE, || ledger.is_over() || ledger.written() != written);
        }
        Ok(json!({ "lists": ledger.ticks(worker) }))
    });
    ledger.stop();
    Ok(done?)
}
