//! Adding an entry: checking what was sent, taking in its value, and handing both to the writer.

use std::str;
use std::sync::Arc;

use datacache_proto::additions::{AdditionRef, BodyRef};
use datacache_proto::error::WireError;
use datacache_proto::key::{Key, Tag, check_namespace, check_tags};
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
    check_namespace(&addition.namespace)?;
    let tags = Bounds::of(daemon).check(&AdditionRef::from(&addition))?;
    let Addition { namespace, key, codec, body, expires, scope, pinned, durable, .. } = addition;
    let file = Some(&body).filter(|body| !matches!(body, Body::Inline(_)));
    if let Some(outcomes) = done_before(connection, call, file, durable).await? {
        return added(call, &outcomes);
    }
    let namespace = Arc::<str>::from(namespace);
    let value = receive(connection, body, durable).await?;
    let (key, holder) = (key.into(), None);
    let mut put = Put { namespace: Arc::clone(&namespace), key, codec, value, expires, tags, pinned, holder };
    for _ in 0..LOOKS {
        // IMPORTANT: nothing is waited for between this and the writer's queue, or a scope that ends in between would
        // get a lease that nobody gives back.
        put.holder = connection.holder(scope)?;
        let kept = incoming(&mut put.value).is_some().then(|| put.clone());
        match (daemon.writer.write(Batch::of(Command::Put(put), Some(call)), durable).await, kept) {
            (Err(WriteError::Store(StoreError::BlobChanged)), Some(mut kept)) => {
                if let NewValue::Blob(incoming) = &mut kept.value {
                    *incoming = look_again(daemon, incoming.clone(), durable).await?;
                }
                put = kept;
            }
            (outcomes, _) => {
                let added = added(call, &outcomes?)?;
                daemon.count(&namespace, |events| events.adds += 1);
                return Ok(added);
            }
        }
    }
    Err(StoreError::BlobChanged.into())
}

/// Returns what came of a repeated call: its files are adopted by now, or its uploads gone, but the reply is kept. `files` are the
/// bodies that don't come with the call.
///
/// # Errors
/// Where it is not known to be durable, which it was to be.
pub(crate) async fn done_before(
    connection: &Connection,
    call: CallId,
    files: impl IntoIterator<Item = &Body>,
    durable: bool,
) -> Result<Option<Vec<Outcome>>, WireError> {
    let writer = &connection.daemon.writer;
    let mut files = files.into_iter().peekable();
    if files.peek().is_none() || writer.read(|store| store.reply(call).is_none())? {
        return Ok(None);
    }
    for body in files {
        if let Body::Uploaded { upload, .. } = body {
            // It was sent once more for nothing; the first attempt's is gone.
            connection.transfers.close(*upload).ok();
        }
    }
    // Through the writer all the same: what was done may not be durable yet.
    let again = Batch::all(Vec::new(), Some(call));
    Ok(Some(writer.write(again, durable).await?))
}

/// The bounds of what is added, as they are configured.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    inline_max: u64,
    value_max: Option<u64>,
}

impl Bounds {
    /// Returns those that hold now.
    pub(crate) fn of(daemon: &Daemon) -> Self {
        let config = daemon.config.borrow();
        Self { inline_max: config.inline_max, value_max: config.value_max }
    }

    /// Checks everything but the namespace that can be checked before the value is touched; returns the tags, sorted.
    ///
    /// # Errors
    /// [`WireError`] says which bound the addition breaks.
    pub(crate) fn check(&self, addition: &AdditionRef<'_>) -> Result<Vec<Tag>, WireError> {
        Key::check_encoded(addition.key)?;
        let tags = addition.tags.iter().map(|tag| Tag::new(tag)).collect::<Result<_, _>>()?;
        let tags = check_tags(tags)?;
        let size = match addition.body {
            BodyRef::Inline(bytes) => bytes.len() as u64,
            BodyRef::Staged { length, .. } | BodyRef::Uploaded { length, .. } => length,
        };
        if let Some(limit) = self.value_max.filter(|limit| size > *limit) {
            return Err(WireError::TooLarge { size, limit });
        }
        if let BodyRef::Inline(bytes) = addition.body {
            if size > self.inline_max {
                let field = "body.inline".into();
                return Err(WireError::OutOfRange { field, value: size, min: 0, max: self.inline_max });
            }
            check_text(addition.codec, bytes)?;
        }
        Ok(tags)
    }
}

/// Checks that text is text. Of a value that does not come with the call the client says so, and readers look again.
fn check_text(codec: Codec, bytes: &[u8]) -> Result<(), WireError> {
    if codec == Codec::Bytes {
        return Ok(());
    }
    str::from_utf8(bytes)
        .map_or_else(|error| Err(WireError::NotText { valid_up_to: error.valid_up_to() as u64 }), |_| Ok(()))
}

/// Takes in the value, which comes with the call, lies in a file, or was sent before.
async fn receive(connection: &Connection, body: Body, durable: bool) -> Result<NewValue, WireError> {
    let incoming = match body {
        Body::Inline(bytes) => return Ok(NewValue::Inline(bytes.into())),
        Body::Uploaded { upload, length } => {
            let upload = connection.transfers.take(upload, length).await?;
            blocking(move || upload.finish(durable)).await?
        }
        Body::Staged { name, length, digest } => {
            let blobs = connection.daemon.blobs.clone();
            blocking(move || blobs.receive(&name, length, digest, durable)).await?
        }
    };
    Ok(NewValue::Blob(incoming?))
}

async fn look_again(daemon: &Daemon, incoming: Incoming, durable: bool) -> Result<Incoming, WireError> {
    let blobs = daemon.blobs.clone();
    Ok(blocking(move || blobs.receive_again(&incoming, durable)).await??)
}

/// Returns the file that a value lies in, where it does.
pub(crate) fn incoming(value: &mut NewValue) -> Option<&mut Incoming> {
    match value {
        NewValue::Inline(_) => None,
        NewValue::Blob(incoming) => Some(incoming),
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
