//! The asynchronous client, on a thread of its own that waits when there is nothing to do.

use std::future::pending;
use std::sync::mpsc;
use std::{io, thread};

use datacache_client::{DataCache, Error, Options};
use tokio::runtime::{Builder, Handle};

/// An open cache and the runtime that it lives in.
pub(crate) struct Asynchronous {
    cache: DataCache,
    runtime: Handle,
}

impl Asynchronous {
    /// Opens a cache in a runtime that runs as long as this process.
    ///
    /// # Errors
    /// Those of [`DataCache::open`].
    pub(crate) fn open() -> Result<Self, Box<dyn std::error::Error>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (cache, handle) = (runtime.block_on(DataCache::open(Options::new()))?, runtime.handle().clone());
        thread::Builder::new().spawn(move || runtime.block_on(pending::<()>()))?;
        Ok(Self { cache, runtime: handle })
    }

    /// Sets a value, and returns what is found then.
    ///
    /// # Errors
    /// Those of the calls.
    pub(crate) fn set_and_get(&self, key: &str, text: &str) -> Result<Option<String>, Box<dyn std::error::Error>> {
        let (sender, answer) = mpsc::channel();
        let done = set_and_get(self.cache.clone(), key.to_owned(), text.to_owned());
        self.runtime.spawn(async move { sender.send(done.await) });
        Ok(answer.recv().map_err(io::Error::other)??)
    }

    /// Does the same in a forked child, which has none of its parent's threads and leaves the runtime that it inherited alone.
    ///
    /// # Errors
    /// Those of the calls.
    pub(crate) fn set_and_get_in_child(
        &self,
        key: &str,
        text: &str,
    ) -> Result<Option<String>, Box<dyn std::error::Error>> {
        let own = Builder::new_current_thread().enable_all().build()?;
        Ok(own.block_on(set_and_get(self.cache.clone(), key.to_owned(), text.to_owned()))?)
    }
}

async fn set_and_get(cache: DataCache, key: String, text: String) -> Result<Option<String>, Error> {
    cache.set(&*key, text).await?;
    cache.get_as::<String>(&*key).await
}
