//! Adding an entry: checking what was sent, taking in its value, and handing both to the writer.

use std::{slice, str};

use datacache_proto::error::WireError;
use datacache_proto::key::{check_namespace, check_tags};
use datacache_proto::types::{Added, Addition, Body, CallId, Codec};

use crate::connection::Connection;
use crate::daemon::{Daemon, blocking};
use crate::refusal::used_before;
use crate::store::{Batch, Command, Incoming, NewValue, Outcome, Put, StoreError};
use crate::writer::WriteError;

/// How often a value is looked at whose blob changed between the look and its adoption.
pub(crate) const LOOKS: usize = 8;

/// Adds an entry for a client. Given up before it is in the log, it is not added; later, it is.
///
/// # Errors
/// [`WireError`] says which bound the addition breaks, or why it can't be stored.
pub(crate) async fn add(connection: &Connection, call: CallId, addition: Addition) -> Result<Added, WireError> {
    let daemon = &connection.daemon;
    let mut addition = check(daemon, addition)?;
    if let Some(outcomes) = done_before(connection, call, slice::from_ref(&addition)).await? {
        return added(call, &outcomes);
    }
    let mut value = receive(connection, &mut addition).await?;
    for _ in 0..LOOKS {
        let looked_at = incoming(&value).cloned();
        // IMPORTANT: nothing is waited for between this and the writer's queue, or a scope that ends in between would
        // get a lease that nobody gives back.
        let holder = connection.holder(addition.scope)?;
        let put = Put { holder, ..put(&addition, value) };
        let outcomes = daemon.writer.write(Batch::of(Command::Put(Box::new(put)), Some(call)), addition.durable).await;
        match (outcomes, looked_at) {
            (Err(WriteError::Store(StoreError::BlobChanged)), Some(incoming)) => {
                value = NewValue::Blob(look_again(daemon, incoming, addition.durable).await?);
            }
            (outcomes, _) => {
                let added = added(call, &outcomes?)?;
                daemon.count(&addition.namespace, |events| events.adds += 1);
                return Ok(added);
            }
        }
    }
    Err(StoreError::BlobChanged.into())
}

/// Returns what came of a repeated call: its files are adopted by now, or its uploads gone, but the reply is kept.
///
/// # Errors
/// Where it is not known to be durable, which it was to be.
pub(crate) async fn done_before(
    connection: &Connection,
    call: CallId,
    additions: &[Addition],
) -> Result<Option<Vec<Outcome>>, WireError> {
    let writer = &connection.daemon.writer;
    let are_here = additions.iter().all(|addition| matches!(addition.body, Body::Inline(_)));
    if are_here || writer.read(|store| store.reply(call).is_none())? {
        return Ok(None);
    }
    for addition in additions {
        if let Body::Uploaded { upload, .. } = addition.body {
            // It was sent once more for nothing; the first attempt's is gone.
            connection.transfers.close(upload).ok();
        }
    }
    // Through the writer all the same: what was done may not be durable yet.
    let again = Batch { commands: Vec::new(), call: Some(call) };
    let durable = additions.iter().any(|addition| addition.durable);
    Ok(Some(writer.write(again, durable).await?))
}

/// Checks everything that can be checked before the value is touched.
///
/// # Errors
/// [`WireError`] says which bound the addition breaks.
pub(crate) fn check(daemon: &Daemon, mut addition: Addition) -> Result<Addition, WireError> {
    check_namespace(&addition.namespace)?;
    addition.key.check()?;
    addition.tags = check_tags(addition.tags)?;
    let config = daemon.config.borrow();
    let size = match &addition.body {
        Body::Inline(bytes) => bytes.len() as u64,
        Body::Staged { length, .. } | Body::Uploaded { length, .. } => *length,
    };
    if let Some(limit) = config.value_max.filter(|limit| size > *limit) {
        return Err(WireError::TooLarge { size, limit });
    }
    if let Body::Inline(bytes) = &addition.body {
        if size > config.inline_max {
            let field = "body.inline".into();
            return Err(WireError::OutOfRange { field, value: size, min: 0, max: config.inline_max });
        }
        check_text(addition.codec, bytes)?;
    }
    Ok(addition)
}

/// Checks that text is text. Of a value that does not come with the call the client says so, and readers look again.
fn check_text(codec: Codec, bytes: &[u8]) -> Result<(), WireError> {
    match (codec, str::from_utf8(bytes)) {
        (Codec::Text | Codec::Json, Err(error)) => Err(WireError::NotText { valid_up_to: error.valid_up_to() as u64 }),
        _ => Ok(()),
    }
}

/// Takes in the value, which comes with the call, lies in a file, or was sent before.
async fn receive(connection: &Connection, addition: &mut Addition) -> Result<NewValue, WireError> {
    let (blobs, durable) = (connection.daemon.blobs.clone(), addition.durable);
    let incoming = match &mut addition.body {
        Body::Inline(bytes) => return Ok(NewValue::Inline(std::mem::take(bytes))),
        Body::Uploaded { upload, length } => {
            let upload = connection.transfers.take(*upload, *length).await?;
            blocking(move || upload.finish(durable)).await?
        }
        Body::Staged { name, length, digest } => {
            let (name, length, digest) = (name.clone(), *length, *digest);
            blocking(move || blobs.receive(&name, length, digest, durable)).await?
        }
    };
    Ok(NewValue::Blob(incoming?))
}

async fn look_again(daemon: &Daemon, incoming: Incoming, durable: bool) -> Result<Incoming, WireError> {
    let blobs = daemon.blobs.clone();
    Ok(blocking(move || blobs.receive_again(&incoming, durable)).await??)
}

fn incoming(value: &NewValue) -> Option<&Incoming> {
    match value {
        NewValue::Inline(_) => None,
        NewValue::Blob(incoming) => Some(incoming),
    }
}

/// Makes the command of an addition, bound to nothing yet.
fn put(addition: &Addition, value: NewValue) -> Put {
    Put {
        namespace: addition.namespace.clone(),
        key: addition.key.clone(),
        codec: addition.codec,
        value,
        expires: addition.expires,
        tags: addition.tags.clone(),
        holder: None,
    }
}

/// Reads what came of the one command of an addition.
fn added(call: CallId, outcomes: &[Outcome]) -> Result<Added, WireError> {
    match outcomes {
        [Outcome::Added(added)] => Ok(*added),
        _ => Err(used_before(call)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: CallId = CallId { client: 1, number: 1 };

    #[test]
    fn text_is_checked_and_bytes_are_not() {
        assert_eq!(check_text(Codec::Text, "é".as_bytes()), Ok(()));
        assert_eq!(check_text(Codec::Bytes, b"ab\xff"), Ok(()));
        for codec in [Codec::Text, Codec::Json] {
            assert_eq!(check_text(codec, b"ab\xff"), Err(WireError::NotText { valid_up_to: 2 }));
        }
    }

    #[test]
    fn a_reply_of_another_kind_is_not_taken_for_an_addition() {
        assert!(added(CALL, &[Outcome::Deleted(true)]).is_err());
        assert!(added(CALL, &[]).is_err());
        let one = Added { version: 3, replaced: false };
        assert_eq!(added(CALL, &[Outcome::Added(one)]), Ok(one));
    }
}
