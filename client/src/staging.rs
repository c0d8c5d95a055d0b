//! A value made ready to be sent: read once, hashed on the way, and put where it travels from: memory, the store's staging
//! folder, or a file without a name.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datacache_proto::hash::{HashType, Hasher};
use datacache_proto::json::canonicalize;
use datacache_proto::types::{Codec, Digest};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, IoContext};
use crate::new_value::NewValue;
use crate::staged::Staged;
use crate::utf8::Utf8Check;

/// How much is read, hashed and written in one go, in bytes.
const PIECE: usize = 256 * 1024;

/// Is told how many bytes have been taken so far.
pub(crate) type Progress = Box<dyn FnMut(u64) + Send>;

/// What is to be made ready.
pub(crate) enum Source {
    /// A value in memory.
    Value(NewValue),
    /// The content of a file.
    File(PathBuf),
    /// Whatever a reader yields.
    Reader(Box<dyn Read + Send>),
}

/// How to make it ready.
pub(crate) struct Order {
    /// What the content of a file or reader stands for.
    pub(crate) codec: Codec,
    /// The hash to count for the key, if one is needed.
    pub(crate) key_hash: Option<HashType>,
    /// Up to so many bytes travel in the request.
    pub(crate) inline_max: u64,
    /// The store's folder; `None` where larger ones travel in chunks.
    pub(crate) store: Option<PathBuf>,
    pub(crate) progress: Option<Progress>,
}

/// A value that can be sent, more than once if need be.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) codec: Codec,
    pub(crate) length: u64,
    /// The hash that was ordered.
    pub(crate) key_hash: Option<String>,
    pub(crate) body: Body,
}

/// Where a prepared value lies.
#[derive(Debug)]
pub(crate) enum Body {
    Memory(Arc<Vec<u8>>),
    Staged(Staged, Digest),
    Spooled(File),
}

impl Source {
    /// Tells whether preparing it takes so long that it must not be done on a thread of the runtime.
    pub(crate) fn is_slow(&self, inline_max: u64) -> bool {
        match self {
            Self::Value(value) => value.length() > inline_max,
            Self::File(_) | Self::Reader(_) => true,
        }
    }

    /// Reads, hashes and puts the value in its place.
    ///
    /// # Errors
    /// Where the source can't be read, is not what `order` says, or there is no room for it.
    pub(crate) fn prepare(self, order: Order) -> Result<Prepared, Error> {
        match self {
            Self::Value(value) => order.of_value(value),
            Self::Reader(reader) => order.of_reader(reader, None),
            Self::File(path) => {
                let file = File::open(&path).during("open", &path)?;
                order.of_reader(&file, Some((&file, &path)))
            }
        }
    }
}

impl Order {
    fn of_value(mut self, value: NewValue) -> Result<Prepared, Error> {
        let codec = value.codec();
        let bytes = value.into_bytes()?;
        let length = bytes.len() as u64;
        self.codec = codec;
        let store = self.store.take().filter(|_| length > self.inline_max);
        let mut tally = Tally::begin(&mut self, store.is_some());
        let staged = store.map(|store| Staged::create(&store, Some(length))).transpose()?;
        for piece in bytes.chunks(PIECE) {
            if let Some(staged) = &staged {
                staged.write(piece, tally.length)?;
            }
            tally.update(piece)?;
        }
        let place = staged.map_or_else(|| Place::Memory(bytes), Place::Staged);
        tally.finish(codec, place)
    }

    /// Takes what `reader` yields; `file` is what it reads from, if that is a file.
    fn of_reader(self, mut reader: impl Read, file: Option<(&File, &Path)>) -> Result<Prepared, Error> {
        let fault = |source| match file {
            Some((_, path)) => Error::Io { action: "read", path: path.to_owned(), source },
            None => Error::Source { source },
        };
        if self.codec == Codec::Json {
            let mut text = Vec::new();
            reader.read_to_end(&mut text).map_err(fault)?;
            return self.of_value(canonical(text)?);
        }
        let head = read_up_to(&mut reader, self.inline_max + 1).map_err(fault)?;
        if head.len() as u64 <= self.inline_max {
            return self.of_small(head);
        }
        match file.and_then(|(file, _)| self.sharing(file).transpose()) {
            Some(staged) => self.of_shared(staged?),
            None => self.of_large(head, &mut reader, fault),
        }
    }

    fn of_small(mut self, bytes: Vec<u8>) -> Result<Prepared, Error> {
        let mut tally = Tally::begin(&mut self, false);
        tally.update(&bytes)?;
        tally.finish(self.codec, Place::Memory(bytes))
    }

    /// Stages `file` without copying it, where the filesystem can.
    fn sharing(&self, file: &File) -> Result<Option<Staged>, Error> {
        let Some(store) = &self.store else { return Ok(None) };
        let staged = Staged::create(store, None)?;
        Ok(Some(staged).filter(|staged| staged.share(file)))
    }

    /// Hashes what was staged, not what it was shared with: that one may have changed since.
    fn of_shared(mut self, staged: Staged) -> Result<Prepared, Error> {
        let mut tally = Tally::begin(&mut self, true);
        let mut buffer = vec![0; PIECE];
        loop {
            let read = staged.file.read_at(&mut buffer, tally.length).during("read back", Path::new(&staged.name))?;
            if read == 0 {
                return tally.finish(self.codec, Place::Staged(staged));
            }
            tally.update(&buffer[..read])?;
        }
    }

    /// Writes what is hashed, piece by piece.
    fn of_large(
        mut self,
        head: Vec<u8>,
        reader: &mut impl Read,
        fault: impl Fn(io::Error) -> Error,
    ) -> Result<Prepared, Error> {
        let place = match self.store.take() {
            Some(store) => Place::Staged(Staged::create(&store, None)?),
            None => Place::Spooled(spool()?),
        };
        let mut tally = Tally::begin(&mut self, matches!(place, Place::Staged(_)));
        let mut piece = head;
        while !piece.is_empty() {
            place.write(&piece, tally.length)?;
            tally.update(&piece)?;
            piece = read_up_to(reader, PIECE as u64).map_err(&fault)?;
        }
        tally.finish(self.codec, place)
    }
}

/// A place while a value is being put there.
enum Place {
    Memory(Vec<u8>),
    Staged(Staged),
    Spooled(File),
}

impl Place {
    fn write(&self, piece: &[u8], offset: u64) -> Result<(), Error> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Staged(staged) => staged.write(piece, offset),
            Self::Spooled(file) => {
                file.write_all_at(piece, offset).during("write a temporary file in", &std::env::temp_dir())
            }
        }
    }
}

/// Makes a file without a name, for values that are read once and may have to be sent twice.
pub(crate) fn spool() -> Result<File, Error> {
    tempfile::tempfile().during("create a temporary file in", &std::env::temp_dir())
}

/// What is counted along with the bytes.
struct Tally {
    length: u64,
    /// For the name of the blob.
    digest: Option<Sha256>,
    /// For the key. Where that is the same hash, it is counted once.
    key: KeyHash,
    text: Option<Utf8Check>,
    progress: Option<Progress>,
}

enum KeyHash {
    None,
    Digest,
    Own(Hasher),
}

impl Tally {
    fn begin(order: &mut Order, is_staged: bool) -> Self {
        let key = match order.key_hash {
            None => KeyHash::None,
            Some(HashType::Sha256) if is_staged => KeyHash::Digest,
            Some(hash_type) => KeyHash::Own(Hasher::new(hash_type)),
        };
        Self {
            length: 0,
            digest: is_staged.then(Sha256::new),
            key,
            text: (order.codec == Codec::Text).then(Utf8Check::default),
            progress: order.progress.take(),
        }
    }

    fn update(&mut self, piece: &[u8]) -> Result<(), Error> {
        if let Some(text) = &mut self.text {
            text.update(piece)?;
        }
        if let Some(digest) = &mut self.digest {
            digest.update(piece);
        }
        if let KeyHash::Own(hasher) = &mut self.key {
            hasher.update(piece);
        }
        self.length += piece.len() as u64;
        if let Some(progress) = &mut self.progress {
            progress(self.length);
        }
        Ok(())
    }

    fn finish(self, codec: Codec, place: Place) -> Result<Prepared, Error> {
        if let Some(text) = &self.text {
            text.finish()?;
        }
        let digest = Digest(self.digest.unwrap_or_default().finalize().into());
        let key_hash = match self.key {
            KeyHash::None => None,
            KeyHash::Digest => Some(digest.to_string()),
            KeyHash::Own(hasher) => Some(hasher.finish()),
        };
        let body = match place {
            Place::Memory(bytes) => Body::Memory(Arc::new(bytes)),
            Place::Staged(staged) => Body::Staged(staged, digest),
            Place::Spooled(file) => Body::Spooled(file),
        };
        Ok(Prepared { codec, length: self.length, key_hash, body })
    }
}

impl Body {
    /// Returns the bytes from `offset` on, `length` of them.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub(crate) fn piece(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let file = match self {
            Self::Memory(bytes) => {
                let from = usize::try_from(offset).map_err(io::Error::other)?;
                return Ok(bytes[from..from + length].to_vec());
            }
            Self::Staged(staged, _) => &staged.file,
            Self::Spooled(file) => file,
        };
        let mut piece = vec![0; length];
        file.read_exact_at(&mut piece, offset)?;
        Ok(piece)
    }
}

fn canonical(text: Vec<u8>) -> Result<NewValue, Error> {
    let text = String::from_utf8(text)
        .map_err(|error| Error::NotText { valid_up_to: error.utf8_error().valid_up_to() as u64 })?;
    Ok(NewValue::canonical(canonicalize(&text)?))
}

fn read_up_to(reader: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::sha256;
    use datacache_proto::hash::hash_bytes;
    use datacache_proto::layout::STAGING;

    const INLINE_MAX: u64 = 100;

    fn store() -> tempfile::TempDir {
        let store = tempfile::tempdir().unwrap();
        std::fs::create_dir(store.path().join(STAGING)).unwrap();
        store
    }

    fn order(codec: Codec, store: Option<&Path>) -> Order {
        let store = store.map(Path::to_owned);
        Order { codec, key_hash: Some(HashType::Sha256), inline_max: INLINE_MAX, store, progress: None }
    }

    fn reader(bytes: &[u8]) -> Source {
        Source::Reader(Box::new(io::Cursor::new(bytes.to_vec())))
    }

    fn large() -> Vec<u8> {
        (0..PIECE * 2 + 7).map(|n| u8::try_from(n % 251).unwrap()).collect()
    }

    fn content(prepared: &Prepared) -> Vec<u8> {
        prepared.body.piece(0, usize::try_from(prepared.length).unwrap()).unwrap()
    }

    #[test]
    fn up_to_the_bound_a_value_stays_in_memory_and_one_byte_more_is_staged() {
        let store = store();
        for (length, is_staged) in [(0, false), (100, false), (101, true)] {
            for source in [Source::Value(vec![7; length].into()), reader(&vec![7; length])] {
                let prepared = source.prepare(order(Codec::Bytes, Some(store.path()))).unwrap();
                assert_eq!(matches!(prepared.body, Body::Staged(..)), is_staged, "{length} bytes");
                assert_eq!(content(&prepared), vec![7; length]);
            }
        }
    }

    #[test]
    fn what_is_staged_has_the_hash_that_is_claimed() {
        let store = store();
        let path = store.path().join("source");
        std::fs::write(&path, large()).unwrap();
        for source in [Source::Value(large().into()), reader(&large()), Source::File(path.clone())] {
            let prepared = source.prepare(order(Codec::Bytes, Some(store.path()))).unwrap();
            let Body::Staged(_, digest) = &prepared.body else { panic!("not staged") };
            assert_eq!(*digest, sha256(&large()));
            assert_eq!(prepared.key_hash, Some(digest.to_string()));
            assert_eq!(content(&prepared), large());
        }
    }

    #[test]
    fn another_hash_for_the_key_is_counted_in_the_same_pass() {
        let store = store();
        let order = Order { key_hash: Some(HashType::Md5), ..order(Codec::Bytes, Some(store.path())) };
        let prepared = reader(&large()).prepare(order).unwrap();
        assert_eq!(prepared.key_hash, Some(hash_bytes(&large(), HashType::Md5)));
        let Body::Staged(_, digest) = &prepared.body else { panic!("not staged") };
        assert_eq!(*digest, sha256(&large()));
    }

    #[test]
    fn without_a_store_in_reach_a_reader_is_kept_to_be_sent_twice() {
        let prepared = reader(&large()).prepare(order(Codec::Bytes, None)).unwrap();
        assert!(matches!(prepared.body, Body::Spooled(_)));
        assert_eq!(content(&prepared), large());
        assert_eq!(content(&prepared), large());
        assert_eq!(prepared.key_hash, Some(sha256(&large()).to_string()));
    }

    #[test]
    fn text_that_is_not_utf8_leaves_nothing_behind() {
        let store = store();
        let mut bytes = large();
        bytes.fill(b'a');
        bytes[PIECE + 3] = 0xff;
        let error = reader(&bytes).prepare(order(Codec::Text, Some(store.path()))).unwrap_err();
        assert!(matches!(error, Error::NotText { valid_up_to } if valid_up_to == PIECE as u64 + 3), "{error}");
        assert_eq!(std::fs::read_dir(store.path().join(STAGING)).unwrap().count(), 0);
    }

    #[test]
    fn json_from_a_reader_becomes_canonical() {
        let prepared = reader(br#"{"b":1,"a":2}"#).prepare(order(Codec::Json, None)).unwrap();
        assert_eq!(content(&prepared), br#"{"a": 2, "b": 1}"#);
        assert_eq!(prepared.key_hash, Some(sha256(br#"{"a": 2, "b": 1}"#).to_string()));
        assert!(reader(b"{").prepare(order(Codec::Json, None)).unwrap_err().is_invalid_input());
    }

    #[test]
    fn progress_is_told_up_to_the_whole_length() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let progress: Progress = Box::new(move |bytes| sender.send(bytes).unwrap());
        let order = Order { progress: Some(progress), ..order(Codec::Bytes, None) };
        reader(&large()).prepare(order).unwrap();
        let told: Vec<u64> = receiver.iter().collect();
        assert!(told.is_sorted() && told.len() > 1);
        assert_eq!(told.last(), Some(&(large().len() as u64)));
    }

    #[test]
    fn a_source_that_can_not_be_read_says_which() {
        let error = Source::File("/no/such/file".into()).prepare(order(Codec::Bytes, None)).unwrap_err();
        assert_eq!(error.to_string(), "can't open `/no/such/file`");
        let error = Source::File("/".into()).prepare(order(Codec::Bytes, None)).unwrap_err();
        assert_eq!(error.to_string(), "can't read `/`");
    }
}
