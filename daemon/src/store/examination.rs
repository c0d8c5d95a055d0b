//! A walk over all of an index: every page that is in use, every row of every table, the list of free pages. What LMDB finds on a
//! damaged page is an error at best; it may also end the process, so this is for one that nobody would miss, see `examiner`.

use std::fs::{self, File};
use std::hint::black_box;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use datacache_proto::layout::{meta, tables};
use heed::types::Bytes;
use heed::{CompactionOption, Database, Env, MdbError, RoTxn};

use super::examiner::Verdict;
use super::tables::open_env;
use super::trial::is_damage;

/// LMDB's file, in a generation's folder.
const DATA_FILE: &str = "data.mdb";

/// Where the format's version is on LMDB's first two pages.
const VERSION_AT: u64 = 20;
/// Where the size of a page is on the first one.
const PAGE_SIZE_AT: u64 = 40;

/// The tables that have a name; that of the entries had one too in older layouts.
const TABLES: [&str; 8] = [
    "entries",
    tables::BY_EXPIRY,
    tables::BY_TAG,
    tables::BLOBS,
    tables::LEASES,
    tables::REPLIES,
    tables::COUNTERS,
    tables::META,
];

/// Why a walk came to no good end.
enum Obstacle {
    Damage(String),
    System(io::Error),
}

impl From<heed::Error> for Obstacle {
    fn from(error: heed::Error) -> Self {
        match error {
            heed::Error::Io(error) => Self::System(error),
            error if is_damage(&error) => Self::Damage(error.to_string()),
            // No room for one more reader, for example.
            error => Self::System(io::Error::other(error)),
        }
    }
}

impl From<io::Error> for Obstacle {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// Looks the index in `generation` through, in this very process. Changes nothing; others may read and write it meanwhile.
///
/// # Errors
/// Where the system fails, which says nothing about the index.
pub(super) fn look_through(generation: &Path) -> io::Result<Verdict> {
    match walk(generation) {
        Ok(verdict) => Ok(verdict),
        Err(Obstacle::Damage(how)) => Ok(Verdict::Damaged(how)),
        Err(Obstacle::System(error)) => Err(error),
    }
}

fn walk(generation: &Path) -> Result<Verdict, Obstacle> {
    let data = generation.join(DATA_FILE);
    let length = match fs::metadata(&data) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damage("its file is not there")),
        Err(error) => return Err(error.into()),
    };
    if length == 0 {
        return Err(damage("its file is empty"));
    }
    let env = open_env(generation).map_err(|error| of_opening(error, &data))?;
    let walked = walk_env(&env);
    env.prepare_for_closing().wait();
    walked
}

fn walk_env(env: &Env) -> Result<Verdict, Obstacle> {
    let txn = env.read_txn()?;
    let main = env.open_database::<Bytes, Bytes>(&txn, None)?.ok_or_else(|| damage("it has no tables"))?;
    walk_table(&main, &txn)?;
    for name in TABLES {
        if let Some(table) = env.open_database::<Bytes, Bytes>(&txn, Some(name))? {
            walk_table(&table, &txn)?;
        }
    }
    check_identity(env, &txn)?;
    drop(txn);
    // What is left are the lists of free pages, and whether all pages are accounted for: LMDB looks at those when it copies.
    let mut nowhere = File::options().write(true).open("/dev/null")?;
    match env.copy_to_file(&mut nowhere, CompactionOption::Enabled) {
        Ok(()) => Ok(Verdict::Sound),
        Err(error) => of_copy(error),
    }
}

/// LMDB takes its own findings while it copies for errors of the caller; it also needs memory, a thread and a place for a reader.
fn of_copy(error: heed::Error) -> Result<Verdict, Obstacle> {
    Err(match error {
        // Pages that are neither in use nor free, above all: all rows were read before.
        heed::Error::Mdb(MdbError::Incompatible) => return Ok(Verdict::Leaky),
        heed::Error::Mdb(MdbError::ReadersFull) => error.into(),
        heed::Error::Io(error) if matches!(error.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock) => {
            error.into()
        }
        error => damage(&error.to_string()),
    })
}

/// Another build of LMDB writes one version on both of its first pages; damage hits one of them.
fn of_opening(error: heed::Error, data: &Path) -> Obstacle {
    match (&error, versions(data)) {
        (heed::Error::Mdb(MdbError::VersionMismatch), Ok([one, other])) if one == other => {
            Obstacle::System(io::Error::other(format!("the index has version {one} of LMDB's format")))
        }
        _ => error.into(),
    }
}

/// Returns the version that stands on each of the two pages that say where all others are.
fn versions(data: &Path) -> io::Result<[u32; 2]> {
    let file = File::open(data)?;
    let word = |at| {
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, at).map(|()| u32::from_ne_bytes(bytes))
    };
    let page = u64::from(word(PAGE_SIZE_AT)?);
    Ok([word(VERSION_AT)?, word(page + VERSION_AT)?])
}

/// Touches every byte, and makes sure that the rows are in the order that looks rely on; so it also ends.
fn walk_table(table: &Database<Bytes, Bytes>, txn: &RoTxn<'_>) -> Result<(), Obstacle> {
    let mut before: Vec<u8> = Vec::new();
    let mut rows = 0_u64;
    for row in table.iter(txn)? {
        let (key, row) = row?;
        if rows > 0 && key <= &before[..] {
            return Err(damage("its rows are out of order"));
        }
        black_box(row.iter().fold(0_u8, |sum, byte| sum ^ byte));
        before.clear();
        before.extend_from_slice(key);
        rows += 1;
    }
    if rows == table.len(txn)? { Ok(()) } else { Err(damage("it has lost rows")) }
}

fn check_identity(env: &Env, txn: &RoTxn<'_>) -> Result<(), Obstacle> {
    let numbers = env.open_database::<Bytes, Bytes>(txn, Some(tables::META))?;
    for name in [meta::LAYOUT, meta::STORE_ID_LOW, meta::STORE_ID_HIGH] {
        let number = numbers.map(|numbers| numbers.get(txn, name)).transpose()?.flatten();
        if number.is_none_or(|number| number.len() != 8) {
            return Err(damage("it does not say which store it belongs to"));
        }
    }
    Ok(())
}

fn damage(how: &str) -> Obstacle {
    Obstacle::Damage(how.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tables::{Meta, Tables};
    use super::*;

    /// Who looks an index through that this very process has open is refused, and took that for damage: a repair moved the index aside.
    #[test]
    fn what_says_nothing_about_an_index_is_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        let tables = Tables::open(folder.path()).unwrap();
        assert!(look_through(folder.path()).is_err());
        tables.close();
        fs::write(folder.path().join(DATA_FILE), [7; 100_000]).unwrap();
        assert!(matches!(look_through(folder.path()).unwrap(), Verdict::Damaged(_)));
    }

    #[test]
    fn a_system_that_is_short_of_something_is_no_damage_either() {
        for way in [|error| Err(Obstacle::from(error)), of_copy] {
            assert!(matches!(way(heed::Error::Mdb(MdbError::ReadersFull)), Err(Obstacle::System(_))));
            assert!(matches!(way(heed::Error::Mdb(MdbError::Corrupted)), Err(Obstacle::Damage(_))));
        }
        for kind in [io::ErrorKind::OutOfMemory, io::ErrorKind::WouldBlock] {
            assert!(matches!(of_copy(heed::Error::Io(kind.into())), Err(Obstacle::System(_))));
        }
    }

    /// An index with a row, closed, whose two first pages are changed at `place` so; returns what is thought of it.
    fn changed(pages: &[u64], place: u64, change: impl Fn(u8) -> u8) -> io::Result<Verdict> {
        let folder = tempfile::tempdir().unwrap();
        let tables = Tables::open(folder.path()).unwrap();
        let mut txn = tables.env.write_txn().unwrap();
        for meta in [Meta::Layout, Meta::StoreIdLow, Meta::StoreIdHigh] {
            tables.set_meta(&mut txn, meta, 1).unwrap();
        }
        txn.commit().unwrap();
        tables.close();
        assert_eq!(look_through(folder.path()).unwrap(), Verdict::Sound);
        let file = File::options().read(true).write(true).open(folder.path().join(DATA_FILE)).unwrap();
        let mut page_size = [0; 4];
        file.read_exact_at(&mut page_size, PAGE_SIZE_AT).unwrap();
        let page_size = u64::from(u32::from_ne_bytes(page_size));
        file.set_len(file.metadata().unwrap().len() + page_size).unwrap();
        for page in pages {
            let (at, mut byte) = (page * page_size + place, [0]);
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[change(byte[0])], at).unwrap();
        }
        look_through(folder.path())
    }

    /// All of the index was moved aside for a page that nobody uses.
    #[test]
    fn a_page_that_is_neither_in_use_nor_free_is_no_damage() {
        const LAST_PAGE_AT: u64 = 136;
        assert_eq!(changed(&[0, 1], LAST_PAGE_AT, |last| last + 1).unwrap(), Verdict::Leaky);
    }

    #[test]
    fn an_index_of_another_version_of_lmdb_is_not_damaged_but_a_page_that_says_so_alone_is() {
        let other = |version| version ^ 4;
        let error = changed(&[0, 1], VERSION_AT, other).unwrap_err();
        assert!(error.to_string().contains("LMDB's format"), "{error}");
        assert!(matches!(changed(&[1], VERSION_AT, other).unwrap(), Verdict::Damaged(_)));
    }
}
