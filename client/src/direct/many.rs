//! A look at many keys: all of them in the log first, then one transaction of LMDB for those that it does not have.

use datacache_proto::key::Key;
use datacache_proto::record::Record;
use datacache_proto::types::Fallback;

use super::direct::{Direct, NO_NAMESPACE, count};
use super::lookup::{Obstacle, Place};
use super::map::Map;
use crate::namespace::Namespace;

impl Direct {
    /// Shows `judge` the live entries of keys, and counts each as `counts` says: as a hit, a miss, or not at all.
    ///
    /// # Errors
    /// Why the daemon has to be asked. None is counted then.
    pub(crate) fn look_many<T>(
        &self,
        namespace: &Namespace,
        keys: &[Key],
        judge: impl Fn(Option<&Record<'_>>) -> T,
        counts: impl Fn(&T) -> Option<bool>,
    ) -> Result<Vec<T>, Fallback> {
        let ((seen, places), loan) = self.through(|map| look_many(map, namespace, keys, &judge))?;
        if let Some(map) = &*loan {
            for (seen, place) in seen.iter().zip(&places) {
                counts(seen).into_iter().for_each(|hit| count(map, place.namespace, place.hash, hit));
            }
        }
        Ok(seen)
    }
}

/// Looks keys up; returns what was seen, and where.
fn look_many<'k, T>(
    map: &Map,
    namespace: &Namespace,
    keys: &'k [Key],
    judge: &impl Fn(Option<&Record<'_>>) -> T,
) -> Result<(Vec<T>, Vec<Place<'k>>), Obstacle> {
    let number = map.number(namespace)?;
    let places: Vec<_> = keys.iter().map(|key| Place::of(number.unwrap_or(NO_NAMESPACE), key)).collect();
    let seen = match number {
        Some(_) => map.look_many(&places, judge)?,
        None => places.iter().map(|_| judge(None)).collect(),
    };
    Ok((seen, places))
}
