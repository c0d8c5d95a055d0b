//! The scopes of a process: which are open, and which have ended without the daemon knowing it yet.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use datacache_proto::codec::until;

use crate::connection::Connection;
use crate::error::Error;
use crate::exchange::by;
use crate::fault::{Fault, settle};
use crate::random::random;
use crate::repeat::Call;
use crate::session::Session;

/// The numbers of a process's scopes.
#[derive(Debug, Default)]
pub(crate) struct Scopes(Mutex<Lists>);

#[derive(Debug, Default)]
struct Lists {
    open: BTreeSet<u64>,
    /// Those that the daemon is to be told of at the next opportunity.
    ended: BTreeSet<u64>,
}

impl Scopes {
    /// Draws a number for a new scope.
    pub(crate) fn open(&self) -> u64 {
        let scope = random();
        self.lists().open.insert(scope);
        scope
    }

    /// Returns the open ones: their leases are renewed at each new connection.
    pub(crate) fn to_renew(&self) -> Vec<u64> {
        self.lists().open.iter().copied().collect()
    }

    /// Notes that a scope has ended.
    pub(crate) fn end(&self, scope: u64) {
        let mut lists = self.lists();
        lists.open.remove(&scope);
        lists.ended.insert(scope);
    }

    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A scope whose release is under way; if that fails or is given up, the scope goes back among the ended ones.
struct Release<'s> {
    scopes: &'s Scopes,
    scope: u64,
    is_confirmed: bool,
}

impl<'s> Release<'s> {
    fn begin(scopes: &'s Scopes, scope: u64) -> Self {
        let mut lists = scopes.lists();
        lists.open.remove(&scope);
        lists.ended.remove(&scope);
        Self { scopes, scope, is_confirmed: false }
    }
}

impl Drop for Release<'_> {
    fn drop(&mut self) {
        if !self.is_confirmed {
            self.scopes.end(self.scope);
        }
    }
}

impl Session {
    /// Ends a scope and its leases; returns how many entries went.
    ///
    /// # Errors
    /// Where the daemon can't be told now. It is told at the next connection, and knows by itself when this process ends.
    pub(crate) async fn release(&self, scope: u64) -> Result<u64, Error> {
        let mut release = Release::begin(&self.scopes, scope);
        let call = self.next_call();
        let attempt = |connection: Arc<Connection>, context| async move {
            settle(connection.client.release(context, call, scope).await)
        };
        let released = self.call(Call::change("release").without_start(), attempt).await;
        release.is_confirmed = matches!(released, Ok(_) | Err(Error::Refused(_)));
        released
    }

    /// Tells the daemon of a new connection which scopes ended while there was none.
    pub(crate) async fn release_ended(&self, connection: &Connection) {
        let ended: Vec<u64> = self.scopes.lists().ended.iter().copied().collect();
        for scope in ended {
            let mut release = Release::begin(&self.scopes, scope);
            let deadline = Instant::now() + self.settings.call_timeout;
            let answer = by(deadline, connection.client.release(until(deadline), self.next_call(), scope)).await;
            match settle(answer) {
                Ok(_) | Err(Fault::Refused(_)) => release.is_confirmed = true,
                Err(fault) => {
                    tracing::debug!(?fault, "an ended scope could not be released; it is tried again");
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_scope_is_renewed_until_it_ends() {
        let scopes = Scopes::default();
        let (one, other) = (scopes.open(), scopes.open());
        scopes.end(one);
        assert_eq!(scopes.to_renew(), [other]);
    }

    #[test]
    fn a_release_that_is_given_up_is_not_forgotten() {
        let scopes = Scopes::default();
        let scope = scopes.open();
        let release = Release::begin(&scopes, scope);
        assert!(scopes.lists().ended.is_empty(), "it would be released twice");
        drop(release);
        assert!(scopes.lists().ended.contains(&scope));
    }

    #[test]
    fn a_confirmed_release_is_over() {
        let scopes = Scopes::default();
        let scope = scopes.open();
        scopes.end(scope);
        Release::begin(&scopes, scope).is_confirmed = true;
        let lists = scopes.lists();
        assert!(lists.open.is_empty() && lists.ended.is_empty());
    }
}
