//! Changes of many entries at once: evict, clear, expire, and the end of a scope. Each is a list of small conditional
//! deletes that goes to the writer in slices, so that a neighbour's write never waits for more than one of them.

use datacache_proto::key::Tag;
use datacache_proto::time::Timestamp;

use crate::daemon::{Daemon, blocking};
use crate::stats::Events;
use crate::store::{Batch, Command, Cursor, Holder, Outcome, Plan, Reader, StoreError};
use crate::writer::WriteError;

/// How many leases are given back in one batch: each may write the longest key there is twice, and a frame bears 63 of that.
const RELEASES: usize = 32;
/// How many entries are planned at a time.
const PAGE: usize = 1_024;

/// Deletes the entries of a namespace that have one of `tags`; returns how many.
///
/// # Errors
/// Where the store fails or the daemon ends; some may be deleted by then.
pub(crate) async fn evict(daemon: &Daemon, namespace: u32, tags: Vec<Tag>) -> Result<u64, WriteError> {
    daemon.writer.checkpoint().await?;
    let mut count = 0;
    for tag in tags {
        let plan = move |reader: &Reader, cursor: Option<&Cursor>| reader.plan_tagged(namespace, &tag, cursor, PAGE);
        count += delete_planned(daemon, plan).await?;
    }
    Ok(count)
}

/// Deletes the entries of a namespace that were written before now; returns how many.
///
/// # Errors
/// As [`evict`].
pub(crate) async fn clear(daemon: &Daemon, namespace: u32) -> Result<u64, WriteError> {
    let not_after = daemon.writer.checkpoint().await?;
    let plan = move |reader: &Reader, cursor: Option<&Cursor>| reader.plan_all(namespace, not_after, cursor, PAGE);
    delete_planned(daemon, plan).await
}

/// Removes the entries, of one namespace or of all, whose time is over at `now`; returns how many.
///
/// # Errors
/// As [`evict`].
pub(crate) async fn expire(daemon: &Daemon, namespace: Option<u32>, now: Timestamp) -> Result<u64, WriteError> {
    expire_by(daemon, namespace, now, |plan| daemon.writer.settle(plan)).await
}

/// Does that in all namespaces without being asked, as when the daemon has just started. Damage that a look meets with is an error and no
/// more: it ends no daemon that somebody is waiting for. Whoever writes there meets with it, too.
///
/// # Errors
/// As [`evict`].
pub(crate) async fn sweep(daemon: &Daemon, now: Timestamp) -> Result<u64, WriteError> {
    expire_by(daemon, None, now, |plan| Ok(plan?)).await
}

async fn expire_by(
    daemon: &Daemon,
    namespace: Option<u32>,
    now: Timestamp,
    settle: impl Fn(Result<Plan, StoreError>) -> Result<Plan, WriteError>,
) -> Result<u64, WriteError> {
    let mut cursor = None;
    let mut count = 0;
    loop {
        daemon.writer.room_for_bulk().await;
        let plan = daemon.writer.with(|store| store.plan_expired(namespace, now, cursor.as_ref(), Batch::SLICE))?;
        let plan = settle(plan)?;
        let removed = delete(daemon, plan.commands, |events, count| events.expired += count).await?;
        count += removed;
        // What the log brought is planned anew each time: where nothing goes (the clock was set back), nothing more will.
        if plan.next.is_none() || removed == 0 && plan.next == cursor {
            return Ok(count);
        }
        cursor = plan.next;
    }
}

/// Ends all leases of a scope; returns how many entries went with them.
///
/// # Errors
/// As [`evict`].
pub(crate) async fn release(daemon: &Daemon, holder: Holder) -> Result<u64, WriteError> {
    // What was handed to the writer before the scope ended may still bring leases.
    daemon.writer.barrier().await?;
    let mut count = 0;
    loop {
        daemon.writer.room_for_bulk().await;
        let versions = daemon.writer.read(|store| store.leases_of(&holder, RELEASES))?;
        if versions.is_empty() {
            return Ok(count);
        }
        let commands = versions.into_iter().map(|version| Command::Release { holder, version }).collect();
        let outcomes = daemon.writer.write(Batch::all(commands, None), false).await?;
        count += outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Released(true))).count() as u64;
    }
}

/// Deletes, page by page, what `plan` finds in the index from a cursor on.
async fn delete_planned<P>(daemon: &Daemon, plan: P) -> Result<u64, WriteError>
where
    P: Fn(&Reader, Option<&Cursor>) -> Result<Plan, StoreError> + Clone + Send + 'static,
{
    let mut cursor = None;
    let mut count = 0;
    loop {
        let (reader, plan) = (daemon.reader()?, plan.clone());
        let page = daemon.writer.settle(blocking(move || plan(&reader, cursor.as_ref())).await?)?;
        count += delete(daemon, page.commands, |events, count| events.deletes += count).await?;
        cursor = match page.next {
            Some(next) => Some(next),
            None => return Ok(count),
        };
    }
}

/// Has deletes done, slice by slice, and each that deleted something noted; returns how many did.
///
/// # Errors
/// As [`evict`].
pub(crate) async fn delete(
    daemon: &Daemon,
    mut commands: Vec<Command>,
    note: fn(&mut Events, u64),
) -> Result<u64, WriteError> {
    let mut count = 0;
    while !commands.is_empty() {
        daemon.writer.room_for_bulk().await;
        daemon.check_serving()?;
        let rest = commands.split_off(Batch::slice_of(&commands));
        let slice = std::mem::replace(&mut commands, rest);
        let namespaces: Vec<_> = slice.iter().map(namespace_of).collect();
        let outcomes = daemon.writer.write(Batch::all(slice, None), false).await?;
        for (namespace, outcome) in namespaces.into_iter().zip(outcomes) {
            if let (Some(namespace), Outcome::Deleted(true)) = (namespace, outcome) {
                daemon.events.count(namespace, |events| note(events, 1));
                count += 1;
            }
        }
    }
    Ok(count)
}

fn namespace_of(command: &Command) -> Option<u32> {
    match command {
        Command::Delete { namespace, .. } => Some(*namespace),
        _ => None,
    }
}
