//! Looks at large values that clients found to be damaged: one at a time of each, however many clients met with it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use datacache_proto::types::Digest;
use tokio::sync::Mutex;

use crate::daemon::{Daemon, blocking};
use crate::store::{Found, StoreError};
use crate::writer::WriteError;

/// What the first of several who ask finds out, for the others.
type Turn = Mutex<Option<bool>>;

/// The looks that are under way.
#[derive(Debug, Default)]
pub(crate) struct Suspicions(RefCell<HashMap<Digest, Weak<Turn>>>);

impl Suspicions {
    /// Returns what `look` finds, or what another who asked about the same at the same time has found.
    async fn once<E>(&self, digest: Digest, look: impl AsyncFnOnce() -> Result<bool, E>) -> Result<bool, E> {
        let turn = self.turn(digest);
        let mut found = turn.lock().await;
        if let Some(found) = *found {
            return Ok(found);
        }
        let is_damaged = look().await?;
        *found = Some(is_damaged);
        Ok(is_damaged)
    }

    /// Returns the turn of a value, which is gone when the last who waits for it is.
    fn turn(&self, digest: Digest) -> Rc<Turn> {
        let mut turns = self.0.borrow_mut();
        turns.retain(|_, turn| turn.strong_count() > 0);
        let known = turns.get(&digest).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let turn = Rc::default();
            turns.insert(digest, Rc::downgrade(&turn));
            turn
        })
    }
}

/// Hashes a value, unless that is being done; one that is damaged is a miss from then on. Tells whether it is.
///
/// # Errors
/// Where it can't be read, which says nothing about it.
pub(crate) async fn is_damaged(daemon: &Daemon, digest: Digest, length: u64) -> Result<bool, WriteError> {
    let look = async || {
        let blobs = daemon.blobs.clone();
        let examined = blocking(move || blobs.examine_blob(&digest, length)).await?;
        let file = match examined.map_err(|source| StoreError::Blob { action: "read", source })? {
            Found::Sound(_) => return Ok(false),
            Found::Missing => None,
            Found::Damaged(file) => Some(file),
        };
        daemon.writer.with(|store| store.condemn(digest, file))?;
        Ok(true)
    };
    daemon.suspicions.once(digest, look).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A hundred clients had the same file hashed a hundred times, and all other calls wait.
    #[tokio::test(flavor = "local")]
    async fn all_who_ask_about_a_value_at_once_have_it_looked_at_once() {
        let (suspicions, looks) = (Suspicions::default(), Cell::new(0));
        let ask = async |byte, is_damaged| suspicions.once(Digest([byte; 32]), async || Ok::<_, ()>(is_damaged)).await;
        let counted = || {
            suspicions.once(Digest([1; 32]), async || {
                looks.set(looks.get() + 1);
                tokio::task::yield_now().await;
                Ok::<_, ()>(true)
            })
        };
        let found = futures::future::join_all((0..5).map(|_| counted())).await;
        assert_eq!((found, looks.get()), (vec![Ok(true); 5], 1));
        assert_eq!(ask(1, false).await, Ok(false), "the next who asks has it looked at anew");
        assert_eq!(ask(2, false).await, Ok(false));
    }

    #[tokio::test(flavor = "local")]
    async fn a_look_that_failed_is_the_next_ones_turn() {
        let suspicions = Suspicions::default();
        let (failed, found) = futures::future::join(
            suspicions.once(Digest([1; 32]), async || Err::<bool, _>("no file may be opened")),
            suspicions.once(Digest([1; 32]), async || Ok::<_, &str>(true)),
        )
        .await;
        assert_eq!((failed, found), (Err("no file may be opened"), Ok(true)));
    }
}
