//! Fetching a large value through the daemon, where its file is out of reach.

use std::fs::File;
use std::io::{Seek, Write};
use std::sync::Arc;

use datacache_proto::key::Key;
use datacache_proto::types::{Codec, Digest, Opened};
use sha2::{Digest as _, Sha256};
use tarpc::context::Context;

use crate::blob::{Blob, Proof, damaged};
use crate::cache::DataCache;
use crate::connection::Connection;
use crate::error::Error;
use crate::fault::{Fault, settle};
use crate::found::Found;
use crate::prepared::spool;
use crate::repeat::Call;
use crate::transfer_place::TransferPlace;
use crate::value::{Bytes, Value};

/// Where a fetched value is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sink {
    /// Into memory.
    Memory,
    /// Into a file without a name, in constant memory.
    File,
}

/// The value that was looked up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) codec: Codec,
    pub(crate) version: u64,
    pub(crate) length: u64,
    pub(crate) digest: Digest,
}

impl Wanted {
    /// Takes the file that was opened for it.
    pub(crate) fn found_in(self, file: File, proof: Option<Proof>) -> Blob {
        let Self { codec, version, length, digest } = self;
        Blob { codec, version, length, digest, file, proof }
    }
}

/// What has been fetched so far.
enum Fetched {
    Memory(Vec<u8>),
    File(File),
}

impl DataCache {
    /// Fetches the value under `key`; `None` where it is not the wanted one any more.
    pub(crate) async fn download(&self, key: &Key, wanted: Wanted, sink: Sink) -> Result<Option<Found>, Error> {
        let namespace = self.namespace_name()?;
        let attempt = |connection: Arc<Connection>, context| {
            let (namespace, key) = (namespace.clone(), key.clone());
            async move {
                let _turn = connection.transfers.acquire().await;
                match settle(connection.client.open(context, namespace, key).await)? {
                    Some(opened) if opened.digest == wanted.digest => {
                        fetch(&connection, context, opened, sink).await.map(|done| done.map(Some))
                    }
                    Some(opened) => settle(connection.client.close(context, opened.handle).await).map(|()| Ok(None)),
                    None => Ok(Ok(None)),
                }
            }
        };
        let fetched = self.ask(Call::read("read").with_bytes(wanted.length), attempt).await??;
        Ok(fetched.map(|(opened, fetched)| found(&opened, wanted.version, fetched)))
    }
}

fn found(opened: &Opened, version: u64, fetched: Fetched) -> Found {
    let Opened { codec, length, digest, .. } = *opened;
    match fetched {
        Fetched::Memory(bytes) => Found::Here(Value::new(codec, version, Bytes::Owned(bytes))),
        Fetched::File(file) => Found::Blob(Blob { codec, version, length, digest, file, proof: None }),
    }
}

/// Fetches and checks all bytes. The inner error is one of ours, which no other attempt would mend.
async fn fetch(
    connection: &Connection,
    context: Context,
    opened: Opened,
    sink: Sink,
) -> Result<Result<(Opened, Fetched), Error>, Fault> {
    let place = TransferPlace::of(&connection.client, opened.handle);
    let fetched = fetch_all(connection, context, opened, sink).await;
    if !matches!(fetched, Err(Fault::Lost)) {
        // Not worth an error: the daemon closes it with the connection at the latest.
        drop(settle(connection.client.close(context, opened.handle).await));
    }
    place.closed();
    Ok(fetched?.map(|fetched| (opened, fetched)))
}

async fn fetch_all(
    connection: &Connection,
    context: Context,
    opened: Opened,
    sink: Sink,
) -> Result<Result<Fetched, Error>, Fault> {
    let mut fetched = match Fetched::begin(sink) {
        Ok(fetched) => fetched,
        Err(error) => return Ok(Err(error)),
    };
    let mut hasher = Sha256::new();
    let mut offset = 0;
    while offset < opened.length {
        let wanted = connection.introduced.chunk_max.clamp(1, opened.length - offset);
        let chunk = settle(connection.client.read(context, opened.handle, offset, wanted).await)?.0;
        if chunk.is_empty() || chunk.len() as u64 > wanted {
            return Ok(Err(damaged(&opened.digest)));
        }
        hasher.update(&chunk);
        offset += chunk.len() as u64;
        if let Err(error) = fetched.put(&chunk) {
            return Ok(Err(error));
        }
    }
    let is_right = Digest(hasher.finalize().into()) == opened.digest;
    Ok(if is_right { fetched.finish() } else { Err(damaged(&opened.digest)) })
}

impl Fetched {
    fn begin(sink: Sink) -> Result<Self, Error> {
        match sink {
            Sink::Memory => Ok(Self::Memory(Vec::new())),
            Sink::File => spool().map(Self::File),
        }
    }

    fn put(&mut self, chunk: &[u8]) -> Result<(), Error> {
        match self {
            Self::Memory(bytes) => {
                bytes.extend_from_slice(chunk);
                Ok(())
            }
            Self::File(file) => file.write_all(chunk).map_err(temporary),
        }
    }

    fn finish(mut self) -> Result<Self, Error> {
        if let Self::File(file) = &mut self {
            file.rewind().map_err(temporary)?;
        }
        Ok(self)
    }
}

fn temporary(source: std::io::Error) -> Error {
    Error::Io { action: "write a temporary file in", path: std::env::temp_dir(), source }
}
