//! A store that was opened and is nobody's yet.

use std::sync::Arc;

use datacache_proto::time::Timestamp;
use tokio::sync::Notify;

use crate::Config;
use crate::store::{OpenError, Store, StoreOptions};

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
        let wake = Arc::new(Notify::new());
        let options = StoreOptions {
            path: config.paths.store.clone(),
            sync_interval: config.sync_interval,
            segment_bytes: StoreOptions::SEGMENT_BYTES,
            wake: {
                let wake = Arc::clone(&wake);
                Arc::new(move || wake.notify_one())
            },
        };
        Ok(Self { store: Store::open(options, Timestamp::now())?, wake })
    }
}
