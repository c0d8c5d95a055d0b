//! LMDB's table of readers: who has a place in it, and who is in the middle of a read. It is read as a file, through the descriptor
//! that is open anyway: LMDB's own way to list it hands out text, and heed has none.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use datacache_proto::layout::READER_SLOTS;

/// What LMDB's lock files begin with.
const MAGIC: u32 = 0xBEEF_C0DE;
/// Where the number of places is that were ever taken.
const PLACES_AT: usize = 16;
/// Before the places: a head and a lock, each rounded up to cache lines. How long a lock is is the C library's affair.
const HEAD: Option<usize> = match () {
    () if cfg!(target_arch = "x86_64") => Some(128),
    () if cfg!(all(target_arch = "aarch64", target_endian = "little")) => Some(192),
    () => None,
};
/// A place: the number of the transaction (u64), the process (u32), 4 bytes of nothing, the thread (u64), and the rest of a cache line.
const PLACE: usize = 64;
const PROCESS_AT: usize = 8;
const THREAD_AT: usize = 16;
/// Stands where nothing is being read.
const NO_TRANSACTION: u64 = u64::MAX;

/// A thread that has a place among the readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its process.
    pub pid: u32,
    /// Its number in that process.
    pub thread: u64,
    /// The last transaction that it sees, where it is in the middle of a read.
    pub reading: Option<u64>,
}

/// The readers of the index at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readers {
    /// Who has a place.
    pub places: Vec<Place>,
    /// Bytes of the index's file. It grows where nothing that is free may be used again.
    pub length: u64,
}

/// Returns the places that are taken. Those that change meanwhile may be seen before or after.
pub(super) fn places(lock_file: &File) -> io::Result<Vec<Place>> {
    let Some(head) = HEAD else { return Ok(Vec::new()) };
    let mut start = [0; PLACES_AT + 4];
    lock_file.read_exact_at(&mut start, 0)?;
    let magic = u32::from_le_bytes(start[..4].try_into().unwrap_or_default());
    let count = u32::from_le_bytes(start[PLACES_AT..].try_into().unwrap_or_default());
    if magic != MAGIC || count > READER_SLOTS {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the table of readers is not one that is understood"));
    }
    let mut table = vec![0; PLACE * count as usize];
    lock_file.read_exact_at(&mut table, head as u64)?;
    Ok(table.chunks_exact(PLACE).filter_map(place).collect())
}

fn place(bytes: &[u8]) -> Option<Place> {
    let word = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    let pid = bytes.get(PROCESS_AT..PROCESS_AT + 4)?.try_into().ok().map(u32::from_le_bytes)?;
    let reading = word(0).filter(|transaction| *transaction != NO_TRANSACTION);
    (pid != 0).then_some(Place { pid, thread: word(THREAD_AT)?, reading })
}

#[cfg(test)]
mod tests {
    use super::super::tables::Tables;
    use super::*;

    #[test]
    fn whoever_reads_is_found_with_what_it_sees_and_keeps_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let tables = Tables::open(folder.path()).unwrap();
        let own = || tables.readers().unwrap().places;
        let txn = tables.env.read_txn().unwrap();
        let last = tables.env.info().last_txn_id as u64;
        let [reading] = own()[..] else { panic!("{:?}", own()) };
        assert_eq!((reading.pid, reading.reading), (std::process::id(), Some(last)));
        drop(txn);
        assert_eq!(own(), [Place { reading: None, ..reading }]);
    }

    #[test]
    fn the_file_grows_while_somebody_reads_and_no_more_when_that_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let tables = Tables::open(folder.path()).unwrap();
        let grow = |rounds: u8| {
            let before = tables.readers().unwrap().length;
            for round in 0..rounds {
                let mut txn = tables.env.write_txn().unwrap();
                (0..100_u32).for_each(|key| tables.entries.put(&mut txn, &key.to_le_bytes(), &[round; 1_000]).unwrap());
                txn.commit().unwrap();
            }
            tables.readers().unwrap().length - before
        };
        grow(5);
        let reader = tables.env.read_txn().unwrap();
        assert!(grow(20) > 1_000_000);
        drop(reader);
        assert_eq!(grow(20), 0);
    }

    #[test]
    fn a_table_that_is_not_understood_is_refused() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[7; 4_096], 0).unwrap();
        assert_eq!(places(&file).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
