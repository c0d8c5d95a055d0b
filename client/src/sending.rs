//! How a prepared value travels with a call: in it, as a file that it names, or in chunks that were sent before.

use std::sync::Arc;

use datacache_proto::error::{StagedFault, WireError};
use datacache_proto::service::Chunk;
use datacache_proto::types::Body as WireBody;
use tarpc::context::Context;

use crate::cache::off_thread;
use crate::connection::Connection;
use crate::error::Error;
use crate::fault::{Fault, settle};
use crate::options::Transfer;
use crate::prepared::{Body, Prepared};
use crate::transfer_place::TransferPlace;

/// What one attempt at a call sends values with.
#[derive(Clone)]
pub(crate) struct Sending {
    pub(crate) context: Context,
    pub(crate) connection: Arc<Connection>,
    pub(crate) transfer: Transfer,
}

impl Sending {
    /// Returns what the call says of a value; `None` where that has to be sent first.
    pub(crate) fn at_once(&self, prepared: &Prepared) -> Option<WireBody> {
        match &prepared.body {
            Body::Memory(bytes) if bytes.len() as u64 <= self.connection.introduced.inline_max => {
                Some(WireBody::Inline(bytes.to_vec()))
            }
            Body::Staged(staged, digest) if self.connection.store().is_some_and(|store| staged.is_in(store)) => {
                Some(WireBody::Staged { name: staged.name.clone(), length: prepared.length, digest: *digest })
            }
            _ => None,
        }
    }

    /// Sends a value in chunks; the caller has a turn among the connection's transfers. The place is closed when the call was
    /// answered. The inner error is one of ours, which no other attempt would mend.
    pub(crate) async fn in_chunks(
        &self,
        prepared: &Arc<Prepared>,
    ) -> Result<Result<(WireBody, TransferPlace), Error>, Fault> {
        let client = &self.connection.client;
        let length = prepared.length;
        let upload = settle(client.upload_begin(self.context).await)?;
        let place = TransferPlace::of(client, upload);
        let mut offset = 0;
        while offset < length {
            let chunk = match self.chunk(prepared, offset).await {
                Ok(chunk) => chunk,
                Err(error) => return Ok(Err(error)),
            };
            let sent = chunk.len() as u64;
            settle(client.upload(self.context, upload, offset, Chunk(chunk)).await)?;
            offset += sent;
        }
        Ok(Ok((WireBody::Uploaded { upload, length }, place)))
    }

    /// A file that the daemon does not find means that its store is not the folder we see: other ways are tried then.
    pub(crate) fn judge<T>(&self, answer: Result<T, Fault>) -> Result<T, Fault> {
        let Err(Fault::Refused(error)) = &answer else { return answer };
        let is_missing = matches!(error.innermost(), WireError::Staged { fault: StagedFault::Missing, .. });
        if is_missing && self.transfer == Transfer::Auto {
            self.connection.store_is_elsewhere();
            return Err(Fault::Elsewhere);
        }
        answer
    }

    async fn chunk(&self, prepared: &Arc<Prepared>, offset: u64) -> Result<Vec<u8>, Error> {
        let most = self.connection.introduced.chunk_max.max(1);
        let length = usize::try_from((prepared.length - offset).min(most)).unwrap_or(usize::MAX);
        let prepared = Arc::clone(prepared);
        let read = move || {
            let fault = |source| Error::System { action: "read a value back to send it", source };
            prepared.body.piece(offset, length).map_err(fault)
        };
        off_thread(read).await
    }
}
