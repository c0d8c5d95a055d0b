//! The plan of an expiry sweep: entries whose time is over, first those of the index, then those of the log.

use datacache_proto::recent::Location;
use datacache_proto::time::Timestamp;

use super::command::{Command, Condition};
use super::error::StoreError;
use super::plan::{Cursor, Plan};
use super::store::Store;
use super::table_keys::{expiry_key, namespace_of};

/// Where a page of a sweep ended: how many segments were applied by then, and the key of the expiry index; no key in
/// the log's part, for what was planned there is gone from it once it is deleted.
struct Place<'c> {
    segments: u64,
    key: &'c [u8],
}

impl<'c> Place<'c> {
    fn of(cursor: &'c Cursor) -> Option<Self> {
        let (segments, key) = cursor.0.split_at_checked(8)?;
        Some(Self { segments: u64::from_le_bytes(segments.try_into().ok()?), key })
    }

    fn to_cursor(&self) -> Cursor {
        Cursor([&self.segments.to_le_bytes(), self.key].concat())
    }
}

impl Store {
    /// Plans to remove entries whose time is over, `limit` at most on a page. A sweep over all namespaces begins where the one
    /// before ended, and looks from the beginning again after the index changed or the clock stepped back.
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
        let plan = plan(self, namespace, now, cursor, limit)?;
        if plan.next.is_none() && namespace.is_none() {
            self.swept = now;
        }
        Ok(plan)
    }

    /// Returns the earliest moment after `after` at which an entry ends, as far as it is known without looking at each:
    /// an entry that was deleted or touched meanwhile may be what it is about. An entry of the log whose time is over and that no
    /// sweep has removed counts too.
    ///
    /// # Errors
    /// Where the index can't be read.
    pub fn next_expiry(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let reader = self.reader();
        let mut first = self.expiring.first();
        for (_, namespace) in self.memory.namespaces() {
            let due = reader.first_due(namespace, after).map_err(|source| StoreError::Read { source })?;
            first = [first, due].into_iter().flatten().min();
        }
        Ok(first)
    }
}

/// Plans a page.
fn plan(
    store: &Store,
    namespace: Option<u32>,
    now: Timestamp,
    cursor: Option<&Cursor>,
    limit: usize,
) -> Result<Plan, StoreError> {
    // Entries that went from the log to the index since the page before may have gone behind the cursor: look again.
    let segments = store.counters.segments;
    let place = cursor.and_then(Place::of).filter(|place| place.segments == segments);
    let mut plan = Plan::default();
    if place.as_ref().is_none_or(|place| !place.key.is_empty()) {
        from_index(store, namespace, now, place.as_ref(), limit, &mut plan)?;
        if plan.next.is_some() {
            return Ok(plan);
        }
    }
    from_log(store, namespace, now, limit, &mut plan);
    Ok(plan)
}

fn from_index(
    store: &Store,
    only: Option<u32>,
    now: Timestamp,
    place: Option<&Place<'_>>,
    limit: usize,
    plan: &mut Plan,
) -> Result<(), StoreError> {
    let reader = store.reader();
    let begun = place.and_then(|place| namespace_of(place.key));
    let mut numbers: Vec<u32> = store.memory.namespaces().map(|(_, number)| number).collect();
    numbers.sort_unstable();
    // A sweep over one namespace is somebody's call: it is not to rely on what the sweep over all has done.
    let swept = if only.is_some() { Timestamp::default() } else { store.swept };
    let wanted = |number: &u32| only.is_none_or(|only| only == *number) && begun.is_none_or(|begun| *number >= begun);
    for number in numbers.into_iter().filter(wanted) {
        let start = expiry_key(number, swept, u64::MAX).to_vec();
        let after = place.filter(|_| begun == Some(number)).map_or(start, |place| place.key.to_vec());
        let room = limit - plan.commands.len();
        let due = reader.due(number, &after, now, room).map_err(|source| StoreError::Read { source })?;
        let last = due.last().map(|(last, _)| last.clone());
        let is_full = due.len() == room;
        let delete = |key| Command::Delete { namespace: number, key, when: Condition::Expired };
        plan.commands.extend(due.into_iter().filter_map(|(_, key)| key).map(delete));
        if is_full {
            let segments = store.counters.segments;
            plan.next = last.map(|key| Place { segments, key: &key }.to_cursor());
            return Ok(());
        }
    }
    Ok(())
}

fn from_log(store: &Store, only: Option<u32>, now: Timestamp, limit: usize, plan: &mut Plan) {
    let room = limit - plan.commands.len();
    let due = store.expiring.until(now, only, room + 1);
    if due.len() > room {
        plan.next = Some(Place { segments: store.counters.segments, key: &[] }.to_cursor());
    }
    let delete = |at: Location| {
        let (namespace, key) = store.lookup.key_at(at)?;
        Some(Command::Delete { namespace, key, when: Condition::Expired })
    };
    plan.commands.extend(due.into_iter().take(room).filter_map(delete));
}
