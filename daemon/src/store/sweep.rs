//! The plan of an expiry sweep: entries whose time is over, first those of the index, then those of the log.

use datacache_proto::recent::Location;
use datacache_proto::time::Timestamp;

use super::command::{Command, Condition};
use super::error::StoreError;
use super::plan::{Cursor, Plan};
use super::store::Store;
use super::tables::{expiry_key, namespace_of};

/// Plans a page. The cursor is a key of the expiry index; or, of the log's part, empty: what was planned there is gone
/// from it once it is deleted.
pub(super) fn plan(
    store: &Store,
    namespace: Option<u32>,
    now: Timestamp,
    cursor: Option<&Cursor>,
    limit: usize,
) -> Result<Plan, StoreError> {
    let in_log = cursor.is_some_and(|cursor| cursor.0.is_empty());
    let mut plan = Plan::default();
    if !in_log {
        from_index(store, namespace, now, cursor, limit, &mut plan)?;
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
    cursor: Option<&Cursor>,
    limit: usize,
    plan: &mut Plan,
) -> Result<(), StoreError> {
    let reader = store.reader();
    let begun = cursor.and_then(|cursor| namespace_of(&cursor.0));
    let mut numbers: Vec<u32> = store.memory.namespaces().map(|(_, number)| number).collect();
    numbers.sort_unstable();
    // A sweep over one namespace is somebody's call: it is not to rely on what the sweep over all has done.
    let swept = if only.is_some() { Timestamp::default() } else { store.swept };
    let wanted = |number: &u32| only.is_none_or(|only| only == *number) && begun.is_none_or(|begun| *number >= begun);
    for number in numbers.into_iter().filter(wanted) {
        let start = expiry_key(number, swept, u64::MAX).to_vec();
        let after = cursor.filter(|_| begun == Some(number)).map_or(start, |cursor| cursor.0.clone());
        let room = limit - plan.commands.len();
        let due = reader.due(number, &after, now, room).map_err(|source| StoreError::Read { source })?;
        let last = due.last().map(|(last, _)| last.clone());
        let is_full = due.len() == room;
        let delete = |key| Command::Delete { namespace: number, key, when: Condition::Expired };
        plan.commands.extend(due.into_iter().filter_map(|(_, key)| key).map(delete));
        if is_full {
            plan.next = last.map(Cursor);
            return Ok(());
        }
    }
    Ok(())
}

fn from_log(store: &Store, only: Option<u32>, now: Timestamp, limit: usize, plan: &mut Plan) {
    let room = limit - plan.commands.len();
    let due = store.expiring.until(now, only, room + 1);
    if due.len() > room {
        plan.next = Some(Cursor(Vec::new()));
    }
    let delete = |at: Location| {
        let (namespace, key) = store.lookup.key_at(at)?;
        Some(Command::Delete { namespace, key, when: Condition::Expired })
    };
    plan.commands.extend(due.into_iter().take(room).filter_map(delete));
}
