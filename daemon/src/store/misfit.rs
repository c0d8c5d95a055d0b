//! What can never have room, however much is evicted.

use datacache_proto::error::FullCause;
use datacache_proto::time::Timestamp;

use super::admission::{Admission, Level, Limits};
use super::charge::blocks;
use super::command::{Batch, Command};
use super::error::StoreError;
use super::making_way::Owner;
use super::share::NEW_NAMESPACE;
use super::store::Store;

impl Store {
    /// Checks whether a value of so many bytes could ever stay, and could with what others leave on the disk at the moment.
    ///
    /// # Errors
    /// [`StoreError::NeverFits`] where it could never, [`StoreError::Full`] where it could not at the moment.
    pub fn fits_anywhere(&self, namespace: &str, bytes: u64) -> Result<(), StoreError> {
        /// What its rows take, if its key is not uncommonly long.
        const ROWS: u64 = 1_024;
        let (bytes, number) = (blocks(bytes).saturating_add(ROWS), self.memory.namespace(namespace));
        let check = |of: Option<&str>, limits: Limits| match limits.never_fits(bytes) {
            Some(least) => Err(limits.never(least, of.map(str::to_owned))),
            None => Ok(()),
        };
        let own = match number {
            Some(number) => self.pools.own(number).map(|(_, pool)| pool.limits),
            None => self.pools.limits_of_new(namespace),
        };
        own.map_or(Ok(()), |limits| check(Some(namespace), limits))?;
        check(None, self.pools.limits_of_all(None))?;
        // Others may have left more since it was looked.
        let is_out = |ceiling| self.pools.limits_of_all(ceiling).never_fits(bytes).is_some();
        if is_out(self.headroom.ceiling) && is_out(self.headroom_now().ceiling) {
            return Err(StoreError::Full { of: None, cause: FullCause::Reserve });
        }
        Ok(())
    }

    /// Returns why a batch can't begin a namespace, which has its limits from the first entry on; what fits an empty one can.
    pub(super) fn unfit(&self, batch: &Batch, now: Timestamp) -> Option<StoreError> {
        if self.pools.rules().namespaces.is_empty() || self.lookup.tables.places.is_none() {
            return None;
        }
        let name = batch.commands.iter().find_map(|command| match command {
            Command::Put(put) if self.memory.namespace(&put.namespace).is_none() => Some(&put.namespace),
            _ => None,
        })?;
        let (limits, shares) = (self.pools.limits_of_new(name)?, self.shares(batch, now).ok()?);
        let share = shares.iter().find(|share| share.namespace == NEW_NAMESPACE)?;
        match limits.admit(Level::default(), share.own) {
            Admission::Never(bytes) => Some(limits.never(bytes, Some(name.to_string()))),
            Admission::Refuse(cause) => Some(StoreError::Full { of: Some(name.to_string()), cause }),
            Admission::Fits | Admission::Evict(_) | Admission::Wait => None,
        }
    }

    /// Returns the error that says how much less a batch would have to be.
    pub(super) fn never_fits(&self, owner: Owner, bytes: u64) -> StoreError {
        let limits = match owner {
            Owner::Store => Some(self.pools.limits_of_all(None)),
            Owner::Namespace(namespace) => self.pools.own(namespace).map(|(_, pool)| pool.limits),
        };
        limits.unwrap_or_default().never(bytes, self.name(owner))
    }
}
