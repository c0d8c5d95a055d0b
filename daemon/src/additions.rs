//! Adding entries together: each is checked as if it came alone, then all are one batch for the writer.

use std::collections::BTreeMap;

use datacache_proto::error::WireError;
use datacache_proto::types::{Added, Addition, BATCH_FILES_MAX, BATCH_MAX, Body, CallId, Digest};

use crate::addition::{LOOKS, check, done_before};
use crate::connection::Connection;
use crate::daemon::{Daemon, blocking};
use crate::refusal::used_before;
use crate::store::{Batch, BlobStore, Command, Incoming, NewValue, Outcome, Put, StoreError, Upload};
use crate::writer::WriteError;

/// Adds entries for a client, all or none. Given up before they are in the log, they are not added; later, they are.
///
/// # Errors
/// [`WireError::InBatch`] says which of them breaks which bound; nothing is added then, and an upload that was taken in has to be sent again. Else why they can't be stored.
pub(crate) async fn add_many(
    connection: &Connection,
    call: CallId,
    additions: Vec<Addition>,
) -> Result<Vec<Added>, WireError> {
    let daemon = &connection.daemon;
    let mut additions = check_all(daemon, additions)?;
    if additions.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(outcomes) = done_before(connection, call, &additions).await? {
        return added(call, &outcomes);
    }
    let values = receive(connection, &mut additions).await?;
    let (scopes, numbers) = (scopes_of(&additions), numbers_of(&additions));
    let durable = additions.iter().any(|addition| addition.durable);
    let mut puts: Vec<Put> = additions.into_iter().zip(values).map(|(addition, value)| put(addition, value)).collect();
    for _ in 0..LOOKS {
        // IMPORTANT: nothing is waited for between this and the writer's queue, see `addition::add`.
        for (index, scope) in &scopes {
            puts[*index].holder = connection.holder(Some(*scope)).map_err(in_batch(*index))?;
        }
        let kept = puts.iter().any(|put| matches!(put.value, NewValue::Blob(_))).then(|| puts.clone());
        let commands = puts.into_iter().map(|put| Command::Put(Box::new(put))).collect();
        match (daemon.writer.write(Batch { commands, call: Some(call) }, durable).await, kept) {
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

fn check_all(daemon: &Daemon, additions: Vec<Addition>) -> Result<Vec<Addition>, WireError> {
    let is_file = |addition: &&Addition| !matches!(addition.body, Body::Inline(_));
    let files = additions.iter().filter(is_file).count();
    check_number("additions", additions.len(), BATCH_MAX)?;
    check_number("additions.files", files, BATCH_FILES_MAX)?;
    let checked = |(index, addition)| check(daemon, addition).map_err(in_batch(index));
    additions.into_iter().enumerate().map(checked).collect()
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

/// A value that came with the call, lies in a file, or was sent before.
enum Arrival {
    Inline(Vec<u8>),
    Sent(Upload),
    Staged { name: String, length: u64, digest: Digest },
}

/// Takes in all values; what has to be done with files is done in one go on the blocking pool.
async fn receive(connection: &Connection, additions: &mut [Addition]) -> Result<Vec<NewValue>, WireError> {
    let mut arrivals = Vec::with_capacity(additions.len());
    for (index, addition) in additions.iter_mut().enumerate() {
        arrivals.push(match std::mem::replace(&mut addition.body, Body::Inline(Vec::new())) {
            Body::Inline(bytes) => Arrival::Inline(bytes),
            Body::Uploaded { upload, length } => {
                Arrival::Sent(connection.transfers.take(upload, length).await.map_err(in_batch(index))?)
            }
            Body::Staged { name, length, digest } => Arrival::Staged { name, length, digest },
        });
    }
    let (blobs, adopter) = (connection.daemon.blobs.clone(), connection.daemon.adopter.clone());
    let are_here = arrivals.iter().all(|arrival| matches!(arrival, Arrival::Inline(_)));
    let take = move || {
        let take = |(index, arrival): (_, Arrival)| arrival.take(&blobs).map_err(in_batch(index));
        let mut values = arrivals.into_iter().enumerate().map(take).collect::<Result<Vec<_>, _>>()?;
        adopter.adopt(&mut values.iter_mut().filter_map(incoming).collect::<Vec<_>>())?;
        Ok(values)
    };
    if are_here { take() } else { blocking(take).await? }
}

fn incoming(value: &mut NewValue) -> Option<&mut Incoming> {
    match value {
        NewValue::Inline(_) => None,
        NewValue::Blob(incoming) => Some(incoming),
    }
}

impl Arrival {
    fn take(self, blobs: &BlobStore) -> Result<NewValue, StoreError> {
        match self {
            Self::Inline(bytes) => Ok(NewValue::Inline(bytes)),
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

/// Returns the additions that are to be bound, each with its scope.
fn scopes_of(additions: &[Addition]) -> Vec<(usize, u64)> {
    let scope = |(index, addition): (_, &Addition)| addition.scope.map(|scope| (index, scope));
    additions.iter().enumerate().filter_map(scope).collect()
}

/// Returns how many additions there are for each namespace.
fn numbers_of(additions: &[Addition]) -> BTreeMap<String, u64> {
    let mut numbers = BTreeMap::new();
    for addition in additions {
        match numbers.get_mut(&addition.namespace) {
            Some(number) => *number += 1,
            None => drop(numbers.insert(addition.namespace.clone(), 1)),
        }
    }
    numbers
}

/// Makes the command of an addition, bound to nothing yet.
fn put(addition: Addition, value: NewValue) -> Put {
    let Addition { namespace, key, codec, expires, tags, .. } = addition;
    Put { namespace, key, codec, value, expires, tags, holder: None }
}
