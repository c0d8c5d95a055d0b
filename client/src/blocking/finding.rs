//! How a blocking cache finds a value: directly, without a runtime, as long as nothing speaks against it.

use datacache_proto::key::Key;
use datacache_proto::types::Fallback;

use super::DataCache;
use crate::download::Sink;
use crate::error::Error;
use crate::found::Found;
use crate::suspicion::Verdict;
use crate::value::Value;

impl DataCache {
    #[inline]
    pub(super) fn get_value(&self, key: &Key) -> Result<Option<Value>, Error> {
        match self.cache.find_directly(key)? {
            Ok(Some(Found::Here(value))) => Ok(Some(value)),
            Ok(None) => Ok(None),
            other => self.get_slowly(key, other),
        }
    }

    /// Apart, as whoever finds a small value has no need of it.
    #[cold]
    fn get_slowly(&self, key: &Key, found: Result<Option<Found>, Fallback>) -> Result<Option<Value>, Error> {
        let mut first = Some(found);
        self.unless_damaged(key, || {
            let found = match first.take() {
                Some(found) => found,
                None => self.cache.find_directly(key)?,
            };
            let found = found.or_else(|fallback| self.find_by_call(key.clone(), Sink::Memory, fallback))?;
            found.map(|found| found.into_value(self.cache.settings().reading)).transpose()
        })
    }

    /// Makes attempts to get a value until one meets with no damage, or the value is a miss because of it.
    pub(super) fn unless_damaged<T>(
        &self,
        key: &Key,
        mut attempt: impl FnMut() -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        let mut doubts = 0;
        loop {
            let error = match attempt() {
                Err(error) => error,
                found => return found,
            };
            if self.run(self.cache.judge(key, error, &mut doubts))? == Verdict::Miss {
                return Ok(None);
            }
        }
    }

    /// Finds a value: directly, which needs no runtime, else by call.
    #[inline(always)]
    pub(super) fn find(&self, key: &Key, sink: Sink) -> Result<Option<Found>, Error> {
        match self.cache.find_directly(key)? {
            Ok(found) => Ok(found),
            Err(fallback) => self.find_by_call(key.clone(), sink, fallback),
        }
    }

    /// Apart, because it takes much of the stack.
    #[cold]
    fn find_by_call(&self, key: Key, sink: Sink, fallback: Fallback) -> Result<Option<Found>, Error> {
        self.run(self.cache.find_by_call(key, sink, fallback))
    }
}
