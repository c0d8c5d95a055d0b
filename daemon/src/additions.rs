//! Adding entries together: each is checked as if it came alone, then all are one batch for the writer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datacache_proto::additions::{Additions, BodyRef};
use datacache_proto::error::WireError;
use datacache_proto::key::check_namespace;
use datacache_proto::types::{Added, BATCH_FILES_MAX, BATCH_MAX, Body, CallId, Digest};
use tokio::time::timeout;

use crate::addition::{Bounds, LOOKS, done_before, incoming};
use crate::connection::Connection;
use crate::daemon::{Daemon, aside, blocking};
use crate::refusal::used_before;
use crate::store::{Batch, BlobStore, Command, Foreseer, Foresight, NewValue, Outcome, Put, StoreError, Upload};
use crate::writer::WriteError;

/// So many additions are worth another thread's waking up.
const MANY: usize = 128;
/// How many batches are looked up ahead at once; those that were not waited for count until they are done.
const AT_ONCE: usize = 2;
/// How long that is waited for.
const PATIENCE: Duration = Duration::from_millis(20);

/// Adds entries for a client, all or none. Given up before they are in the log, they are not added; later, they are.
///
/// # Errors
/// [`WireError::InBatch`] says which of them breaks which bound; nothing is added then, and an upload that was taken in has to be sent again. Else why they can't be stored.
pub(crate) async fn add_many(
    connection: &Connection,
    call: CallId,
    additions: Additions,
) -> Result<Vec<Added>, WireError> {
    let daemon = &connection.daemon;
    let (Checked { mut puts, files, scopes, durable }, mut foresight) = check(daemon, additions).await?;
    if puts.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(outcomes) = done_before(connection, call, files.iter().map(|(_, body)| body), durable).await? {
        return added(call, &outcomes);
    }
    let has_files = !files.is_empty();
    if has_files {
        for (index, value) in receive(connection, files).await? {
            puts[index].value = value;
        }
    }
    let numbers = numbers_of(&puts);
    for _ in 0..LOOKS {
        // IMPORTANT: nothing is waited for between this and the writer's queue, see `addition::add`.
        for (index, scope) in &scopes {
            puts[*index].holder = connection.holder(Some(*scope)).map_err(in_batch(*index))?;
        }
        let kept = has_files.then(|| puts.clone());
        let commands = puts.into_iter().map(Command::Put).collect();
        let batch = Batch { commands, call: Some(call), foresight: foresight.take() };
        match (daemon.writer.write(batch, durable).await, kept) {
            (Err(WriteError::Store(StoreError::BlobChanged)), Some(kept)) => puts = look_again(daemon, kept).await?,
            (outcomes, _) => {
                let added = added(call, &outcomes?)?;
                numbers.iter().for_each(|(namespace, number)| daemon.count(namespace, |events| events.adds += number));
                return Ok(added);
            }
        }
    }
    Err(StoreError::BlobChanged.into())
}

/// Checks additions. While other calls are under way, much of what is to be done for a large batch is done on the blocking pool,
/// beside the writer, which takes a tenth more values a second then. Calls that are under way at once have no order.
async fn check(daemon: &Daemon, additions: Additions) -> Result<(Checked, Option<Foresight>), WireError> {
    let bounds = Bounds::of(daemon);
    if let Some(foreseer) = foreseer(daemon, &additions)? {
        let (additions, at_work) = (additions.clone(), Arc::clone(&daemon.foreseeing));
        let check = move || {
            let checked = Checked::of(bounds, &additions)?;
            let foresight = checked.has_one_place().then(|| foreseer.look(&checked.puts));
            drop(at_work);
            Ok((checked, foresight))
        };
        // A stopped process may be in the way of LMDB's table of readers, and other work in that of the pool's threads.
        if let Ok(checked) = timeout(PATIENCE, aside(check)).await {
            return checked?;
        }
    }
    Ok((Checked::of(bounds, &additions)?, None))
}

/// Returns what looks the keys of a batch up ahead, where that pays: not for a large one that is alone, like the one before it.
fn foreseer(daemon: &Daemon, additions: &Additions) -> Result<Option<Foreseer>, WireError> {
    if additions.len() < MANY {
        return Ok(None);
    }
    // Of several that were answered together the first successor is alone for a moment.
    let is_alone = daemon.calls.count() <= 1;
    let was_alone = daemon.batch_was_alone.replace(is_alone);
    let are_many = Arc::strong_count(&daemon.foreseeing) > AT_ONCE;
    if is_alone && was_alone || are_many {
        return Ok(None);
    }
    let Some(Ok(first)) = additions.iter().next() else { return Ok(None) };
    Ok(daemon.writer.read(|store| store.foreseer(first.namespace))?)
}

/// Additions that keep to the bounds, as what the writer takes: bound to nothing yet, and without the values that don't come
/// with the call.
#[derive(Default)]
struct Checked {
    puts: Vec<Put>,
    /// The bodies that don't come with the call, each with the number of its put.
    files: Vec<(usize, Body)>,
    /// The scopes that puts are to be bound to, each with the number of its put.
    scopes: Vec<(usize, u64)>,
    durable: bool,
}

impl Checked {
    fn of(bounds: Bounds, additions: &Additions) -> Result<Self, WireError> {
        check_number("additions", additions.len(), BATCH_MAX)?;
        let mut checked = Self { puts: Vec::with_capacity(additions.len()), ..Self::default() };
        for (index, addition) in additions.iter().enumerate() {
            let addition = addition.map_err(in_batch(index))?;
            let namespace = checked.namespace(addition.namespace).map_err(in_batch(index))?;
            let tags = bounds.check(&addition).map_err(in_batch(index))?;
            checked.durable |= addition.durable;
            checked.scopes.extend(addition.scope.map(|scope| (index, scope)));
            let value = match addition.body {
                BodyRef::Inline(bytes) => additions.part(bytes),
                file => {
                    checked.files.push((index, file.into()));
                    Default::default()
                }
            };
            checked.puts.push(Put {
                namespace,
                key: additions.part(addition.key),
                codec: addition.codec,
                value: NewValue::Inline(value),
                expires: addition.expires,
                tags,
                pinned: addition.pinned,
                holder: None,
            });
        }
        check_number("additions.files", checked.files.len(), BATCH_FILES_MAX)?;
        Ok(checked)
    }

    /// Tells whether all puts are about one namespace, and none about a file, whose content is not known yet.
    fn has_one_place(&self) -> bool {
        let first = self.puts.first().map(|put| &put.namespace);
        self.files.is_empty()
            && self.puts.iter().all(|put| first.is_some_and(|first| Arc::ptr_eq(first, &put.namespace)))
    }

    /// Takes the name of the next put's namespace, which mostly is that of the one before.
    fn namespace(&self, name: &str) -> Result<Arc<str>, WireError> {
        match self.puts.last() {
            Some(before) if *before.namespace == *name => Ok(Arc::clone(&before.namespace)),
            _ => {
                check_namespace(name)?;
                Ok(name.into())
            }
        }
    }
}

fn check_number(field: &str, value: usize, max: usize) -> Result<(), WireError> {
    if value > max {
        return Err(WireError::OutOfRange { field: field.into(), value: value as u64, min: 0, max: max as u64 });
    }
    Ok(())
}

/// Says of an error which addition it is about.
fn in_batch<E: Into<WireError>>(index: usize) -> impl FnOnce(E) -> WireError {
    move |error| WireError::InBatch { index: index as u64, error: Box::new(error.into()) }
}

/// A value that lies in a file, or was sent before.
enum Arrival {
    Sent(Upload),
    Staged { name: String, length: u64, digest: Digest },
}

/// Takes in the values that did not come with the call; what has to be done with files is done in one go on the blocking pool.
async fn receive(connection: &Connection, files: Vec<(usize, Body)>) -> Result<Vec<(usize, NewValue)>, WireError> {
    let mut arrivals = Vec::with_capacity(files.len());
    for (index, body) in files {
        arrivals.push(match body {
            Body::Inline(_) => continue,
            Body::Uploaded { upload, length } => {
                let upload = connection.transfers.take(upload, length).await.map_err(in_batch(index))?;
                (index, Arrival::Sent(upload))
            }
            Body::Staged { name, length, digest } => (index, Arrival::Staged { name, length, digest }),
        });
    }
    let (blobs, adopter) = (connection.daemon.blobs.clone(), connection.daemon.adopter.clone());
    let take = move || {
        let take = |(index, arrival): (usize, Arrival)| Ok((index, arrival.take(&blobs).map_err(in_batch(index))?));
        let mut values = arrivals.into_iter().map(take).collect::<Result<Vec<_>, WireError>>()?;
        adopter.adopt(&mut values.iter_mut().filter_map(|(_, value)| incoming(value)).collect::<Vec<_>>())?;
        Ok(values)
    };
    blocking(take).await?
}

impl Arrival {
    fn take(self, blobs: &BlobStore) -> Result<NewValue, StoreError> {
        match self {
            Self::Sent(upload) => upload.finish(false).map(NewValue::Blob),
            Self::Staged { name, length, digest } => blobs.receive(&name, length, digest, false).map(NewValue::Blob),
        }
    }
}

async fn look_again(daemon: &Daemon, mut puts: Vec<Put>) -> Result<Vec<Put>, WireError> {
    let (blobs, adopter) = (daemon.blobs.clone(), daemon.adopter.clone());
    let look = move || {
        for (index, put) in puts.iter_mut().enumerate() {
            if let NewValue::Blob(incoming) = &put.value {
                put.value = NewValue::Blob(blobs.receive_again(incoming, false).map_err(in_batch(index))?);
            }
        }
        adopter.adopt(&mut puts.iter_mut().filter_map(|put| incoming(&mut put.value)).collect::<Vec<_>>())?;
        Ok(puts)
    };
    blocking(look).await?
}

/// Reads what came of the commands of a batch of additions.
fn added(call: CallId, outcomes: &[Outcome]) -> Result<Vec<Added>, WireError> {
    let added = |outcome: &Outcome| match outcome {
        Outcome::Added(added) => Some(*added),
        _ => None,
    };
    let all: Option<Vec<Added>> = outcomes.iter().map(added).collect();
    all.filter(|all| !all.is_empty()).ok_or_else(|| used_before(call))
}

/// Returns how many puts there are for each namespace.
fn numbers_of(puts: &[Put]) -> BTreeMap<Arc<str>, u64> {
    let mut numbers = BTreeMap::new();
    for run in puts.chunk_by(|one, next| Arc::ptr_eq(&one.namespace, &next.namespace)) {
        *numbers.entry(Arc::clone(&run[0].namespace)).or_default() += run.len() as u64;
    }
    numbers
}
