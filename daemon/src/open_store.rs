//! A store that was opened and is nobody's yet.

use std::path::Path;
use std::sync::Arc;

use datacache_proto::time::Timestamp;
use tokio::sync::Notify;

use crate::Config;
use crate::store::{Examiner, Learned, OpenError, Store, StoreOptions};

/// The command of the program around the daemon that calls [`examine`](crate::store::examine) with the folder behind it.
pub const EXAMINE: &str = "examine-index";

/// An open store, and how its threads wake the writer. Holds the store's lock.
pub struct OpenStore {
    pub(crate) store: Store,
    pub(crate) wake: Arc<Notify>,
}

impl OpenStore {
    /// Opens the store: takes its lock and recovers what the last daemon left. Blocks, for seconds after a kill.
    ///
    /// # Errors
    /// [`OpenError`] where another daemon has it, or it can't be read.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        Self::open_with(config, examiner())
    }

    /// The same, for a program that has no command [`EXAMINE`]: `examiner` looks an index through that daemons keep dying on.
    ///
    /// # Errors
    /// Those of [`OpenStore::open`].
    pub fn open_with(config: &Config, examiner: Examiner) -> Result<Self, OpenError> {
        let wake = Arc::new(Notify::new());
        let options = StoreOptions {
            path: config.paths.store.clone(),
            sync_interval: config.sync_interval,
            segment_bytes: StoreOptions::SEGMENT_BYTES,
            examiner,
            wake: {
                let wake = Arc::clone(&wake);
                Arc::new(move || wake.notify_one())
            },
        };
        let mut store = Store::open(options, Timestamp::now())?;
        store.set_rules(config.rules()).into_iter().for_each(Learned::keep);
        Ok(Self { store, wake })
    }
}

/// The program that runs: also where an upgrade has put another in its place meanwhile, or removed it.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// Runs this very program once more, as [`EXAMINE`].
fn examiner() -> Examiner {
    match Path::new(OWN_PROGRAM).exists() {
        true => Examiner::child(OWN_PROGRAM.into(), vec![EXAMINE.into()]),
        // Without /proc there is no other way.
        false => Examiner::here(),
    }
}
