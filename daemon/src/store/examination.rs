//! A walk over all of an index: every page that is in use, every row of every table, the list of free pages. What LMDB finds on a
//! damaged page is an error at best; it may also end the process, so this is for one that nobody would miss, see `examiner`.

use std::fs::{self, File};
use std::hint::black_box;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use datacache_proto::layout::{DATA_FILE, meta, tables};
use heed::types::Bytes;
use heed::{CompactionOption, Database, Env, MdbError, RoTxn};

use super::environment::{open_env, open_env_alone};
use super::examiner::{Occasion, Verdict};
use super::lmdb_damage::is_damage;

/// How many rows of an index in use are looked at in one transaction.
const SLICE: usize = 4_096;
/// Where the format's version is on LMDB's first two pages.
const VERSION_AT: u64 = 20;
/// Where the size of a page is on the first one.
const PAGE_SIZE_AT: u64 = 40;

/// The tables that have a name; that of the entries had one too in older layouts.
const TABLES: [&str; 11] = [
    "entries",
    tables::BY_EXPIRY,
    tables::BY_TAG,
    tables::BLOBS,
    tables::LEASES,
    tables::REPLIES,
    tables::COUNTERS,
    tables::META,
    tables::SMALL,
    tables::MAIN,
    tables::MOVED,
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
pub(super) fn look_through(generation: &Path, occasion: Occasion) -> io::Result<Verdict> {
    match walk(generation, occasion) {
        Ok(verdict) => Ok(verdict),
        Err(Obstacle::Damage(how)) => Ok(Verdict::Damaged(how)),
        Err(Obstacle::System(error)) => Err(error),
    }
}

fn walk(generation: &Path, occasion: Occasion) -> Result<Verdict, Obstacle> {
    let data = generation.join(DATA_FILE);
    let length = match fs::metadata(&data) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damage("its file is not there")),
        Err(error) => return Err(error.into()),
    };
    if length == 0 {
        return Err(damage("its file is empty"));
    }
    let open = if occasion == Occasion::Alone { open_env_alone } else { open_env };
    let env = open(generation).map_err(|error| of_opening(error, generation, occasion))?;
    let walked = walk_env(&env, occasion);
    env.prepare_for_closing().wait();
    walked
}

fn walk_env(env: &Env, occasion: Occasion) -> Result<Verdict, Obstacle> {
    let txn = env.read_txn()?;
    let main = env.open_database::<Bytes, Bytes>(&txn, None)?.ok_or_else(|| damage("it has no tables"))?;
    let mut tables = vec![main];
    for name in TABLES {
        tables.extend(env.open_database::<Bytes, Bytes>(&txn, Some(name))?);
    }
    check_identity(env, &txn)?;
    if occasion == Occasion::Alone {
        tables.iter().try_for_each(|table| walk_table(table, &txn))?;
    }
    // So that the tables stay open.
    txn.commit()?;
    if occasion != Occasion::Alone {
        tables.iter().try_for_each(|table| walk_in_slices(env, table, |_| ()))?;
    }
    if occasion == Occasion::InUse {
        return Ok(Verdict::Sound);
    }
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

/// Another build of LMDB writes one version on both of its first pages; damage hits one of them. What can be opened without its table of
/// readers has that damaged, which LMDB looks at as well where others have the index open.
fn of_opening(error: heed::Error, generation: &Path, occasion: Occasion) -> Obstacle {
    let system = |what: String| Obstacle::System(io::Error::other(what));
    match (&error, versions(&generation.join(DATA_FILE))) {
        (heed::Error::Mdb(MdbError::VersionMismatch), Ok([one, other])) if one == other => {
            system(format!("the index has version {one} of LMDB's format"))
        }
        // Opened only: nobody is to read it without that table while others write.
        (heed::Error::Mdb(_), _) if occasion != Occasion::Alone && open_env_alone(generation).is_ok() => {
            system(format!("its table of readers is damaged ({error}), which the next daemon mends"))
        }
        _ => error.into(),
    }
}

/// Returns the version that stands on each of the two pages that say where all others are.
fn versions(data: &Path) -> io::Result<[u32; 2]> {
    let file = File::open(data)?;
    let word = |at| {
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, at).map(|()| u32::from_le_bytes(bytes))
    };
    let page = u64::from(word(PAGE_SIZE_AT)?);
    Ok([word(VERSION_AT)?, word(page + VERSION_AT)?])
}

/// Touches every byte, and makes sure that the rows are in the order that looks rely on; so it also ends.
fn walk_table(table: &Database<Bytes, Bytes>, txn: &RoTxn<'_>) -> Result<(), Obstacle> {
    let (mut before, mut rows) = (None, 0_u64);
    for row in table.iter(txn)? {
        touch(row?, &mut before)?;
        rows += 1;
    }
    if rows == table.len(txn)? { Ok(()) } else { Err(damage("it has lost rows")) }
}

/// The same while others write: each slice of the rows sees a state of its own, so that no old one is held, and they can't be counted.
/// `seen` is shown their keys.
fn walk_in_slices(env: &Env, table: &Database<Bytes, Bytes>, mut seen: impl FnMut(&[u8])) -> Result<(), Obstacle> {
    let mut before: Option<Vec<u8>> = None;
    loop {
        let (txn, begin, mut rows) = (env.read_txn()?, before.clone(), 0);
        let begin = begin.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        for row in table.range(&txn, &(begin, Bound::Unbounded))?.take(SLICE) {
            let (key, row) = row?;
            touch((key, row), &mut before)?;
            seen(key);
            rows += 1;
        }
        if rows < SLICE {
            return Ok(());
        }
    }
}

/// Reads a row, which is to stand behind the one `before`.
fn touch((key, row): (&[u8], &[u8]), before: &mut Option<Vec<u8>>) -> Result<(), Obstacle> {
    if before.as_deref().is_some_and(|before| key <= before) {
        return Err(damage("its rows are out of order"));
    }
    black_box(row.iter().fold(0_u8, |sum, byte| sum ^ byte));
    let before = before.get_or_insert_default();
    before.clear();
    before.extend_from_slice(key);
    Ok(())
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
        assert!(look_through(folder.path(), Occasion::Alone).is_err());
        tables.close();
        fs::write(folder.path().join(DATA_FILE), [7; 100_000]).unwrap();
        assert!(matches!(look_through(folder.path(), Occasion::Alone).unwrap(), Verdict::Damaged(_)));
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
        changed_on(Occasion::Alone, pages, place, change)
    }

    fn changed_on(occasion: Occasion, pages: &[u64], place: u64, change: impl Fn(u8) -> u8) -> io::Result<Verdict> {
        let folder = tempfile::tempdir().unwrap();
        let tables = Tables::open(folder.path()).unwrap();
        let mut txn = tables.env.write_txn().unwrap();
        for meta in [Meta::Layout, Meta::StoreIdLow, Meta::StoreIdHigh] {
            tables.set_meta(&mut txn, meta, 1).unwrap();
        }
        txn.commit().unwrap();
        tables.close();
        assert_eq!(look_through(folder.path(), Occasion::Alone).unwrap(), Verdict::Sound);
        let file = File::options().read(true).write(true).open(folder.path().join(DATA_FILE)).unwrap();
        let mut page_size = [0; 4];
        file.read_exact_at(&mut page_size, PAGE_SIZE_AT).unwrap();
        let page_size = u64::from(u32::from_le_bytes(page_size));
        file.set_len(file.metadata().unwrap().len() + page_size).unwrap();
        for page in pages {
            let (at, mut byte) = (page * page_size + place, [0]);
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[change(byte[0])], at).unwrap();
        }
        look_through(folder.path(), occasion)
    }

    /// All of the index was moved aside for a page that nobody uses.
    #[test]
    fn a_page_that_is_neither_in_use_nor_free_is_no_damage() {
        const LAST_PAGE_AT: u64 = 136;
        assert_eq!(changed(&[0, 1], LAST_PAGE_AT, |last| last + 1).unwrap(), Verdict::Leaky);
    }

    /// It held the state that it began with, and no page that was freed meanwhile could be used again.
    #[test]
    fn an_index_in_use_is_looked_through_in_slices_that_see_what_is_written_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let tables = Tables::open(folder.path()).unwrap();
        let key_of = |number: u64| format!("{number:08}").into_bytes();
        let put = |number: u64| {
            let mut txn = tables.env.write_txn().unwrap();
            (number..number + 100).for_each(|n| tables.blobs.put(&mut txn, &key_of(n), b"row").unwrap());
            txn.commit().unwrap();
        };
        (0..SLICE as u64 + 200).step_by(100).for_each(put);
        let mut seen = 0_u64;
        let walked = walk_in_slices(&tables.env, &tables.blobs, |key| {
            if key == key_of(7) {
                put(1_000_000);
            }
            seen += u64::from(*key >= *key_of(1_000_000));
        });
        assert!(walked.is_ok());
        assert_eq!(seen, 100);
    }

    #[test]
    fn an_index_of_another_version_of_lmdb_is_not_damaged_but_a_page_that_says_so_alone_is() {
        let other = |version| version ^ 4;
        let error = changed(&[0, 1], VERSION_AT, other).unwrap_err();
        assert!(error.to_string().contains("LMDB's format"), "{error}");
        for occasion in [Occasion::Alone, Occasion::InUse, Occasion::Repair] {
            assert!(
                matches!(changed_on(occasion, &[1], VERSION_AT, other).unwrap(), Verdict::Damaged(_)),
                "{occasion:?}"
            );
        }
    }
}
