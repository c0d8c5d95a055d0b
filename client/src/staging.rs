//! Making a value ready to be sent: it is read once, counted on the way, and put where it travels from.
//!
//! What is counted is what was stored, whatever happens to its source meanwhile: the very bytes that are written, or those that
//! are read back.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use datacache_proto::hash::HashType;
use datacache_proto::json::canonicalize;
use datacache_proto::types::Codec;

use crate::error::{Error, IoContext};
use crate::new_value::NewValue;
use crate::prepared::{Body, Place, Prepared, spool};
use crate::relay::{PIECE, count};
use crate::room::Room;
use crate::route::Route;
use crate::staged::Staged;
use crate::tally::{Progress, Tally, check_size};

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
    /// More bytes are refused, unless they travel in the request.
    pub(crate) value_max: u64,
    /// How the others travel.
    pub(crate) route: Route,
    /// Whether there is ever room for what does not travel in the request.
    pub(crate) room: Room,
    pub(crate) progress: Option<Progress>,
}

impl Source {
    /// Returns how many bytes it has, where that is known before it is read.
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Self::Value(value) => Some(value.length()),
            Self::File(_) | Self::Reader(_) => None,
        }
    }

    /// Tells whether preparing it takes so long that it must not be done on a thread of the runtime.
    pub(crate) fn is_slow(&self, inline_max: u64) -> bool {
        match self {
            Self::Value(value) => value.length() > inline_max,
            Self::File(_) | Self::Reader(_) => true,
        }
    }

    /// Reads, counts and puts the value in its place.
    ///
    /// # Errors
    /// Where the source can't be read, is not what `order` says, is too large, or there is no room for it.
    pub(crate) fn prepare(self, order: Order) -> Result<Prepared, Error> {
        match self {
            Self::Value(value) => order.of_value(value),
            Self::File(path) => order.of_file(&path),
            Self::Reader(reader) => order.of_reader(reader, |source| Error::Source { source }),
        }
    }
}

impl Order {
    fn of_value(mut self, value: NewValue) -> Result<Prepared, Error> {
        self.codec = value.codec();
        let bytes = value.into_bytes()?;
        let length = bytes.len() as u64;
        if length <= self.inline_max {
            return self.of_memory(bytes);
        }
        check_size(length, self.value_max)?;
        self.room.check(length)?;
        match self.route.stage()? {
            Some(staged) => {
                staged.reserve(length)?;
                self.of_large(length, bytes.as_slice(), Place::Staged(staged), |source| Error::Source { source })
            }
            None => self.of_memory(bytes),
        }
    }

    /// Takes a value that stays in memory, and of which it is known that it is not too large.
    fn of_memory(mut self, bytes: Vec<u8>) -> Result<Prepared, Error> {
        let mut tally = Tally::begin(self.codec, false, self.key_hash).told(self.progress.take());
        bytes.chunks(PIECE).try_for_each(|piece| tally.update(piece))?;
        let counted = tally.finish()?;
        let body = Body::Memory(bytes.into());
        Ok(Prepared { codec: self.codec, length: counted.length, key_hash: counted.key_hash, body })
    }

    fn of_file(mut self, path: &Path) -> Result<Prepared, Error> {
        let file = File::open(path).during("open", path)?;
        let metadata = file.metadata().during("look at", path)?;
        let fault = |source| Error::Io { action: "read", path: path.to_owned(), source };
        if !metadata.is_file() || metadata.len() <= self.inline_max || self.codec == Codec::Json {
            return self.of_reader(&file, fault);
        }
        check_size(metadata.len(), self.value_max)?;
        self.room.check(metadata.len())?;
        match self.route.stage()? {
            Some(staged) if staged.share(&file) => self.of_shared(metadata.len(), staged),
            Some(staged) => {
                staged.reserve(metadata.len())?;
                self.of_large(metadata.len(), &file, Place::Staged(staged), fault)
            }
            None => self.of_reader(&file, fault),
        }
    }

    /// Takes what `reader` yields. JSON is taken whole: its canonical text can't be made piece by piece.
    fn of_reader(self, mut reader: impl Read, fault: impl Fn(io::Error) -> Error) -> Result<Prepared, Error> {
        if self.codec == Codec::Json {
            let mut text = Vec::new();
            reader.read_to_end(&mut text).map_err(fault)?;
            return self.of_value(canonical(text)?);
        }
        let mut head = Vec::new();
        (&mut reader).take(self.inline_max + 1).read_to_end(&mut head).map_err(&fault)?;
        if head.len() as u64 <= self.inline_max {
            return self.of_memory(head);
        }
        let place = match self.route.stage()? {
            Some(staged) => Place::Staged(staged),
            None => Place::Spooled(spool()?),
        };
        self.of_large(0, head.chain(reader), place, fault)
    }

    /// Counts what was staged, not what it was shared with: that one may have changed since.
    fn of_shared(mut self, expected: u64, staged: Staged) -> Result<Prepared, Error> {
        let (mut tally, mut offset) = (self.tally(true), 0);
        count(expected, &mut tally, |buffer| {
            let length = staged.read(buffer, offset)?;
            offset += length as u64;
            Ok(length)
        })?;
        self.finish(tally, Place::Staged(staged))
    }

    /// Writes and counts what `reader` yields; `expected` says how much that is, 0 where it is not known.
    fn of_large(
        mut self,
        expected: u64,
        mut reader: impl Read,
        place: Place,
        fault: impl Fn(io::Error) -> Error,
    ) -> Result<Prepared, Error> {
        let (mut tally, mut offset) = (self.tally(matches!(place, Place::Staged(_))), 0);
        count(expected, &mut tally, |buffer| {
            let length = fill(&mut reader, buffer).map_err(&fault)?;
            place.write(&buffer[..length], offset)?;
            offset += length as u64;
            self.room.reached(offset)?;
            Ok(length)
        })?;
        self.finish(tally, place)
    }

    fn tally(&mut self, needs_digest: bool) -> Tally {
        Tally::begin(self.codec, needs_digest, self.key_hash).limited(self.value_max).told(self.progress.take())
    }

    fn finish(&self, tally: Tally, place: Place) -> Result<Prepared, Error> {
        let counted = tally.finish()?;
        let body = place.into_body(counted.digest);
        Ok(Prepared { codec: self.codec, length: counted.length, key_hash: counted.key_hash, body })
    }
}

fn canonical(text: Vec<u8>) -> Result<NewValue, Error> {
    let text = String::from_utf8(text)
        .map_err(|error| Error::NotText { valid_up_to: error.utf8_error().valid_up_to() as u64 })?;
    Ok(NewValue::canonical(canonicalize(&text)?))
}

/// Fills `buffer` as far as `reader` goes; returns how far that is.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::sha256;
    use crate::relay::ALONE;
    use datacache_proto::hash::hash_bytes;
    use datacache_proto::layout::STAGING;
    use std::os::unix::fs::FileExt;

    const INLINE_MAX: u64 = 100;
    const VALUE_MAX: u64 = 4_000_000;

    fn store() -> tempfile::TempDir {
        let store = tempfile::tempdir().unwrap();
        std::fs::create_dir(store.path().join(STAGING)).unwrap();
        store
    }

    fn order(codec: Codec, store: Option<&Path>) -> Order {
        let route = store.map_or(Route::Chunks, |store| Route::Staging(store.into()));
        let key_hash = Some(HashType::Sha256);
        Order {
            codec,
            key_hash,
            inline_max: INLINE_MAX,
            value_max: VALUE_MAX,
            route,
            room: Room::known(),
            progress: None,
        }
    }

    fn reader(bytes: &[u8]) -> Source {
        Source::Reader(Box::new(io::Cursor::new(bytes.to_vec())))
    }

    fn large() -> Vec<u8> {
        (0..PIECE * 4 + 7).map(|n| u8::try_from(n % 251).unwrap()).collect()
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
    fn a_source_that_changes_meanwhile_does_not_make_the_claim_wrong() {
        // Counted by one thread, and by two.
        for length in [PIECE * 4 + 7, usize::try_from(ALONE).unwrap() + 7] {
            let store = store();
            let path = store.path().join("source");
            std::fs::write(&path, vec![0; length]).unwrap();
            let source = File::options().read(true).write(true).open(&path).unwrap();
            // Then what was staged does not change with the source.
            let is_shared = Staged::create(store.path()).unwrap().share(&source);
            let mut times = 0_u8;
            let progress: Progress = Box::new(move |_| {
                times += 1;
                source.write_all_at(&vec![times; length], 0).unwrap();
            });
            let order = order(Codec::Bytes, Some(store.path()));
            let order = Order { value_max: length as u64, progress: Some(progress), ..order };
            let prepared = Source::File(path).prepare(order).unwrap();
            let Body::Staged(_, digest) = &prepared.body else { panic!("not staged") };
            let stored = content(&prepared);
            assert_eq!((stored.len(), stored.iter().any(|byte| *byte != 0)), (length, !is_shared));
            assert_eq!((*digest, &prepared.key_hash), (sha256(&stored), &Some(sha256(&stored).to_string())));
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
    fn a_value_above_the_limit_is_refused_and_leaves_nothing_behind() {
        let store = store();
        let bytes = vec![7; usize::try_from(VALUE_MAX).unwrap() + 1];
        let path = store.path().join("source");
        std::fs::write(&path, &bytes).unwrap();
        for source in [Source::Value(bytes.clone().into()), reader(&bytes), Source::File(path)] {
            let error = source.prepare(order(Codec::Bytes, Some(store.path()))).unwrap_err();
            assert!(error.is_too_large(), "{error}");
        }
        assert_eq!(std::fs::read_dir(store.path().join(STAGING)).unwrap().count(), 0);
    }

    #[test]
    fn what_travels_in_the_request_is_for_the_daemon_to_refuse() {
        let store = store();
        for source in [Source::Value(vec![7; 100].into()), reader(&[7; 100])] {
            let order = Order { value_max: 99, ..order(Codec::Bytes, Some(store.path())) };
            assert_eq!(content(&source.prepare(order).unwrap()), [7; 100]);
        }
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
