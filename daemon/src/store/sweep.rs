//! The plan of an expiry sweep: entries whose time is over, first those of the index, then those of the log.

use datacache_proto::recent::Location;
use datacache_proto::time::Timestamp;

use super::command::{Command, Condition};
use super::due_walk::DueWalk;
use super::error::StoreError;
use super::expiring::SegmentExpiring;
use super::plan::{Cursor, Plan};
use super::store::Store;

/// Where a page of a sweep ended.
struct Place {
    /// How many segments were applied when the walk over the index began.
    segments: u64,
    /// The moment it is about.
    now: Timestamp,
    /// The earliest end that it met with after that.
    upcoming: Timestamp,
    /// The key of the expiry index; none in the log's part, for what was planned there is gone from it once it is deleted.
    key: Vec<u8>,
}

/// No entry of the index ends between two moments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Upcoming {
    since: Timestamp,
    /// When the next may end; [`Timestamp::MAX`] where none does.
    at: Timestamp,
}

impl Place {
    fn of(cursor: &Cursor) -> Option<Self> {
        let (numbers, key) = cursor.0.split_first_chunk::<24>()?;
        let [segments, now, upcoming] = *numbers.as_chunks::<8>().0 else { return None };
        let moment = |bytes| Timestamp::from_millis(u64::from_le_bytes(bytes));
        let segments = u64::from_le_bytes(segments);
        Some(Self { segments, now: moment(now), upcoming: moment(upcoming), key: key.to_vec() })
    }

    /// Tells whether the walk over the index is not at its end.
    fn is_in_index(&self) -> bool {
        !self.key.is_empty()
    }

    fn to_cursor(&self) -> Cursor {
        let numbers = [self.segments, self.now.as_millis(), self.upcoming.as_millis()].map(u64::to_le_bytes);
        Cursor([numbers.as_flattened(), &self.key].concat())
    }
}

impl Store {
    /// Plans to remove entries whose time is over, `limit` at most on a page, and after a bounded number of looks: a page may be empty
    /// that has another one behind it. A sweep over all namespaces begins where the one before ended, and looks from the beginning again
    /// after the index changed or the clock stepped back. All its pages are about the moment that the first was asked for.
    ///
    /// # Errors
    /// Where the index can't be read.
    pub fn plan_expired(
        &mut self,
        namespace: Option<u32>,
        now: Timestamp,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Plan, StoreError> {
        if now < self.swept {
            self.swept = Timestamp::default();
        }
        self.upcoming.take_if(|known| now < known.since);
        let place = cursor.and_then(Place::of).filter(|place| place.now <= now);
        let now = place.as_ref().map_or(now, |place| place.now);
        let plan = self.plan_page(namespace, now, place, limit)?;
        if plan.next.is_none() && namespace.is_none() {
            self.swept = self.swept.max(now);
        }
        Ok(plan)
    }

    /// Returns the earliest moment after `after` at which an entry may end, at the cost of no look: an entry that was deleted or touched
    /// meanwhile may be what it is about. An entry of the log whose time is over and that no sweep has removed counts too. Where no sweep
    /// has seen yet what ends after `after`, it is the very next moment.
    #[must_use]
    pub fn next_expiry(&self, after: Timestamp) -> Option<Timestamp> {
        let Some(known) = self.upcoming.filter(|known| known.since <= after) else {
            return Some(Timestamp::from_millis(after.as_millis().saturating_add(1)));
        };
        let in_index = (known.at < Timestamp::MAX).then_some(known.at);
        [self.expiring.first(), in_index].into_iter().flatten().min()
    }

    /// Has the next sweep look at all of the index, of which nothing is known any more.
    pub(super) fn sweep_anew(&mut self) {
        self.swept = Timestamp::default();
        self.upcoming = None;
    }

    /// Notes that the index has what this segment brought: some of that may have ended before the last sweep.
    pub(super) fn note_expiring(&mut self, retired: &SegmentExpiring) {
        self.swept = Timestamp::default();
        if let (Some(known), Some(first)) = (&mut self.upcoming, retired.first()) {
            known.at = known.at.min(first);
        }
    }

    fn plan_page(
        &mut self,
        only: Option<u32>,
        now: Timestamp,
        place: Option<Place>,
        limit: usize,
    ) -> Result<Plan, StoreError> {
        // A sweep over one namespace is somebody's call: it is not to rely on what the sweep over all has done.
        let after = if only.is_some() { Timestamp::default() } else { self.swept };
        let walk = DueWalk { only, after, until: now };
        let segments = self.counters.segments;
        let first = || Place { segments, now, upcoming: Timestamp::MAX, key: walk.start() };
        // What went from the log to the index since the walk there ended was not seen: it begins once more.
        let goes_on = |place: &Place| place.is_in_index() || place.segments == segments;
        let mut place = place.filter(goes_on).unwrap_or_else(first);
        let mut plan = Plan::default();
        if place.is_in_index() {
            self.plan_index(&walk, &mut place, limit, &mut plan)?;
            match place.is_in_index() {
                true => {}
                // As above.
                false if place.segments != segments => place = first(),
                false if only.is_none() => self.note_upcoming(&place),
                false => {}
            }
        }
        match place.is_in_index() {
            true => plan.next = Some(place.to_cursor()),
            false => self.plan_log(only, &place, limit, &mut plan),
        }
        Ok(plan)
    }

    fn plan_index(&self, walk: &DueWalk, place: &mut Place, limit: usize, plan: &mut Plan) -> Result<(), StoreError> {
        let page = walk.page(&self.lookup.tables, std::mem::take(&mut place.key), limit);
        let page = page.map_err(|source| StoreError::Read { source })?;
        let delete = |(namespace, key)| Command::Delete { namespace, key, when: Condition::Expired };
        plan.commands.extend(page.due.into_iter().map(delete));
        place.upcoming = page.upcoming.map_or(place.upcoming, |upcoming| upcoming.min(place.upcoming));
        place.key = page.next.unwrap_or_default();
        Ok(())
    }

    /// Notes what a walk over all that the index has met with.
    fn note_upcoming(&mut self, walked: &Place) {
        if self.upcoming.is_none_or(|known| known.since <= walked.now) {
            self.upcoming = Some(Upcoming { since: walked.now, at: walked.upcoming });
        }
    }

    fn plan_log(&self, only: Option<u32>, place: &Place, limit: usize, plan: &mut Plan) {
        let room = limit - plan.commands.len();
        let due = self.expiring.until(place.now, only, room + 1);
        if due.len() > room {
            plan.next = Some(place.to_cursor());
        }
        let delete = |at: Location| {
            let (namespace, key) = self.lookup.key_at(at)?;
            Some(Command::Delete { namespace, key, when: Condition::Expired })
        };
        plan.commands.extend(due.into_iter().take(room).filter_map(delete));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::command::{Batch, NewValue, Put};
    use super::super::due_walk::LOOKS;
    use super::super::making_way::Owner;
    use super::super::testing::{NOW, put_of, store, wait};
    use super::*;

    const NAMES: usize = 2 * LOOKS + 100;
    const SOON: Timestamp = Timestamp::from_millis(NOW.as_millis() + 1_000);

    /// Puts an entry into each of these namespaces that ends as it is told, and has all of it in the index.
    fn put(store: &mut Store, names: std::ops::Range<usize>, expires: impl Fn(usize) -> Option<Timestamp>) {
        let put = |number: usize| {
            let (namespace, value) = (format!("n{number}").into(), NewValue::Inline(vec![1].into()));
            Command::Put(Put { namespace, expires: expires(number), ..put_of(value) })
        };
        let mut results = Vec::new();
        store.write(&mut [Batch::all(names.map(put).collect(), None)].into(), NOW, &mut results);
        results.pop().expect("there is room").unwrap();
        apply(store);
    }

    fn apply(store: &mut Store) {
        let target = store.request_checkpoint();
        wait(store, |store| store.applied() >= target);
    }

    /// Plans all pages of a sweep, and returns how many commands each has.
    fn pages(store: &mut Store, now: Timestamp) -> Vec<usize> {
        let (mut pages, mut cursor) = (Vec::new(), None);
        loop {
            let page = store.plan_expired(None, now, cursor.as_ref(), 10).unwrap();
            pages.push(page.commands.len());
            cursor = match page.next {
                Some(next) => Some(next),
                None => return pages,
            };
        }
    }

    /// One that had expiring entries in many namespaces looked at all of them in one go, and all calls waited.
    #[test]
    fn a_page_looks_no_longer_than_it_may_and_all_that_has_ended_comes_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let later = NOW.after(Duration::from_secs(3_600));
        put(&mut store, 0..NAMES, |number| Some(if number == NAMES - 1 { SOON } else { later }));
        assert_eq!(pages(&mut store, SOON), [0, 0, 1]);
        assert_eq!(store.next_expiry(SOON), Some(later));
        assert_eq!(pages(&mut store, later).into_iter().sum::<usize>(), NAMES - 1);
        assert_eq!(store.next_expiry(later), None);
    }

    /// Each name that was ever given was looked at, in a transaction of its own.
    #[test]
    fn namespaces_without_an_entry_that_ends_take_no_look() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        put(&mut store, 0..NAMES, |number| (number == NAMES - 1).then_some(SOON));
        assert_eq!(pages(&mut store, NOW), [0]);
        assert_eq!(store.next_expiry(NOW), Some(SOON));
        assert_eq!(pages(&mut store, SOON), [1]);
    }

    /// An eviction has to wait only where something has gone without it.
    #[test]
    fn before_an_eviction_there_is_a_page_of_a_sweep_and_not_all_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        put(&mut store, 0..NAMES, |number| (number != NAMES - 1).then(|| SOON.after(Duration::from_secs(1))));
        put(&mut store, NAMES..NAMES + 1, |_| Some(SOON));
        let goes_first: Vec<_> = (0..4).map(|_| store.sweep_first(Owner::Store, SOON).unwrap()).collect();
        assert_eq!(goes_first, [false, false, true, false]);
    }

    #[test]
    fn what_comes_into_the_index_behind_a_sweep_is_met_once_more_around() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        put(&mut store, 0..NAMES, |_| Some(SOON.after(Duration::from_secs(1))));
        let first = store.plan_expired(None, SOON, None, 10).unwrap();
        put(&mut store, 0..1, |_| Some(SOON));
        let (mut found, mut cursor) = (0, first.next);
        while let Some(at) = cursor {
            // The clock goes on meanwhile.
            let page = store.plan_expired(None, Timestamp::MAX, Some(&at), 10).unwrap();
            found += page.commands.len();
            cursor = page.next;
        }
        assert_eq!(found, 1, "it is all about the moment that it began with");
        assert_eq!(pages(&mut store, Timestamp::MAX).into_iter().sum::<usize>(), NAMES - 1);
    }

    #[test]
    fn when_the_next_entry_ends_is_known_also_once_the_log_has_brought_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        assert_eq!(store.next_expiry(NOW), Some(Timestamp::from_millis(NOW.as_millis() + 1)), "a sweep is to tell");
        assert_eq!((pages(&mut store, NOW), store.next_expiry(NOW)), (vec![0], None));
        put(&mut store, 0..1, |_| Some(SOON));
        assert_eq!(store.next_expiry(NOW), Some(SOON));
        store.sweep_anew();
        assert_ne!(store.next_expiry(NOW), Some(SOON), "as of an index that is another one");
    }
}
