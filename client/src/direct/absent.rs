//! What stands in for the direct way to the store where it is not built in: every read asks the daemon.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use datacache_proto::checked::Checked;
use datacache_proto::key::Key;
use datacache_proto::record::Record;
use datacache_proto::types::Fallback;

use crate::namespace::Namespace;
use crate::options::Settings;

/// No direct way to a store.
#[derive(Debug)]
pub(crate) struct Direct {
    reason: Fallback,
}

/// What can't be.
#[derive(Debug)]
pub(crate) struct Look(Infallible);

impl Direct {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { reason: if settings.direct { Fallback::Unsupported } else { Fallback::Off } }
    }

    pub(crate) fn open(&self) -> Result<(), Fallback> {
        Err(self.reason)
    }

    pub(crate) fn look(&self, _: &Namespace, _: &Key, _: impl FnMut(Option<&Record<'_>>)) -> Result<Look, Fallback> {
        Err(self.reason)
    }

    pub(crate) fn look_many<T>(
        &self,
        _: &Namespace,
        _: &[Key],
        _: impl Fn(Option<&Record<'_>>) -> T,
        _: impl Fn(&T) -> Option<bool>,
    ) -> Result<Vec<T>, Fallback> {
        Err(self.reason)
    }

    pub(crate) fn callers(&self) -> Option<u64> {
        None
    }

    pub(crate) fn learn(&self, _: u128, _: Option<&Path>) {}
}

impl Look {
    pub(crate) fn count(&self, _: bool) {
        match self.0 {}
    }

    pub(crate) fn store(&self) -> Option<&Path> {
        match self.0 {}
    }

    pub(crate) fn checked(&self) -> Option<Arc<Checked>> {
        match self.0 {}
    }
}
