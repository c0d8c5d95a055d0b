//! What is as it should be, and what is not.

use std::error::Error;

use datacache_client::blocking::DataCache;

/// What came of something that yields nothing else.
pub(crate) type Done = Result<(), Box<dyn Error>>;

/// Reads the small value that every process of the fork tests finds.
///
/// # Errors
/// Where it is not there, or another one.
pub(crate) fn read_small(cache: &DataCache) -> Done {
    ensure(cache.get_as::<String>("small")?.as_deref() == Some("value"), "a small value")
}

/// Fails where something is not as it should be.
///
/// # Errors
/// They name `what`.
pub(crate) fn ensure(is_right: bool, what: &str) -> Done {
    if is_right { Ok(()) } else { Err(format!("{what} is not as it should be").into()) }
}
