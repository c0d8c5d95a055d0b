//! A walk over all of an index: every page that is in use, every row of every table, the list of free pages. What LMDB finds on a
//! damaged page is an error at best; it may also end the process, so this is for one that nobody would miss, see `examiner`.

use std::fs::{self, File};
use std::hint::black_box;
use std::io;
use std::path::Path;

use datacache_proto::layout::{meta, tables};
use heed::types::Bytes;
use heed::{CompactionOption, Database, Env, MdbError, RoTxn};

use super::examiner::Verdict;
use super::tables::open_env;
use super::trial::is_damage;

/// LMDB's file, in a generation's folder.
const DATA_FILE: &str = "data.mdb";

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
        Ok(()) => Ok(Verdict::Sound),
        Err(Obstacle::Damage(how)) => Ok(Verdict::Damaged(how)),
        Err(Obstacle::System(error)) => Err(error),
    }
}

fn walk(generation: &Path) -> Result<(), Obstacle> {
    let data = generation.join(DATA_FILE);
    let length = match fs::metadata(&data) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damage("its file is not there")),
        Err(error) => return Err(error.into()),
    };
    if length == 0 {
        return Err(damage("its file is empty"));
    }
    let env = open_env(generation)?;
    let walked = walk_env(&env);
    env.prepare_for_closing().wait();
    walked
}

fn walk_env(env: &Env) -> Result<(), Obstacle> {
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
    env.copy_to_file(&mut nowhere, CompactionOption::Enabled).map_err(of_copy)
}

/// LMDB takes its own findings while it copies for errors of the caller; it also needs memory, a thread and a place for a reader.
fn of_copy(error: heed::Error) -> Obstacle {
    match error {
        heed::Error::Mdb(MdbError::ReadersFull) => error.into(),
        heed::Error::Io(error) if matches!(error.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock) => {
            error.into()
        }
        error => damage(&error.to_string()),
    }
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
    use super::super::tables::Tables;
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
        for way in [Obstacle::from, of_copy] {
            assert!(matches!(way(heed::Error::Mdb(MdbError::ReadersFull)), Obstacle::System(_)));
            assert!(matches!(way(heed::Error::Mdb(MdbError::Corrupted)), Obstacle::Damage(_)));
        }
        for kind in [io::ErrorKind::OutOfMemory, io::ErrorKind::WouldBlock] {
            assert!(matches!(of_copy(heed::Error::Io(kind.into())), Obstacle::System(_)));
        }
    }
}
