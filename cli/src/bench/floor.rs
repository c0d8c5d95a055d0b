//! A bare look into LMDB: begin a transaction, find the record, copy the value out, end. In this process, on a private copy
//! of the data: as many entries, with keys and records of the same bytes.

use std::io;
use std::path::Path;

use datacache_proto::key::Key;
use datacache_proto::layout::{MAP_SIZES, index_key};
use datacache_proto::record::{Record, Value};
use datacache_proto::time::Timestamp;
use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions, PutFlags};
use tempfile::TempDir;

use super::meter::Meter;
use super::plan::{Course, Plan};
use super::samples::Samples;
use crate::failure::Failure;

const NAMESPACE: u32 = 1;
/// How many records are put in by one transaction.
const SLICE: usize = 100_000;

/// The private copy.
pub(crate) struct Copy {
    // Before `_folder`: it is closed while its files are still there.
    env: Env,
    records: Database<Bytes, Bytes>,
    _folder: TempDir,
}

impl Copy {
    /// Makes the copy in the folder for temporary files.
    ///
    /// # Errors
    /// Where it can't be made, and [`Failure::Interrupted`].
    pub(crate) fn make(plan: &Plan, meter: Meter<'_>) -> Result<Self, Failure> {
        let failed = |source| Failure::System { what: "make a folder for temporary files", source };
        let folder = TempDir::with_prefix("datacache-bench-").map_err(failed)?;
        let (env, records) = open(folder.path()).map_err(failure)?;
        let copy = Self { env, records, _folder: folder };
        let mut keys: Vec<_> = (0..plan.entries).map(|number| (place(number), number)).collect();
        keys.sort_unstable();
        for slice in keys.chunks(SLICE) {
            meter.go_on()?;
            copy.append(plan, slice).map_err(failure)?;
        }
        Ok(copy)
    }

    fn append(&self, plan: &Plan, slice: &[(Vec<u8>, u64)]) -> heed::Result<()> {
        let mut txn = self.env.write_txn()?;
        let mut record = Vec::new();
        for (key, number) in slice {
            record.clear();
            encode(&plan.value(*number), &mut record);
            self.records.put_with_flags(&mut txn, PutFlags::APPEND, key, &record)?;
        }
        txn.commit()
    }

    /// Measures the look.
    ///
    /// # Errors
    /// Where LMDB refuses, and [`Failure::Interrupted`].
    pub(crate) fn measure(&self, plan: &Plan, meter: Meter<'_>) -> Result<Samples, Failure> {
        let mut course = Course::new(0, plan.entries);
        let prepare = || place(course.next().unwrap_or_default());
        let work = |key: Vec<u8>| self.look(&key, plan.value_size).map_err(failure);
        meter.measure(plan.ops, prepare, work, |found| expect_length(found.as_deref(), plan.value_size))
    }

    fn look(&self, key: &[u8], value_size: usize) -> heed::Result<Option<Vec<u8>>> {
        let txn = self.env.read_txn()?;
        let record = self.records.get(&txn, key)?;
        Ok(record.map(|record| record[record.len().saturating_sub(value_size)..].to_vec()))
    }
}

/// Checks what was read: a benchmark of misses would be a fast one.
pub(crate) fn expect_length(found: Option<&[u8]>, length: usize) -> Result<(), Failure> {
    if found.is_some_and(|value| value.len() == length) {
        return Ok(());
    }
    let source = io::Error::other("an entry is gone, or has another length: did somebody else change this namespace?");
    Err(Failure::System { what: "measure", source })
}

fn place(number: u64) -> Vec<u8> {
    index_key(NAMESPACE, Key::text(&Plan::key(number)).encoded()).to_vec()
}

fn encode(value: &[u8], out: &mut Vec<u8>) {
    let now = Timestamp::now();
    let record = Record { created: now, expires: Some(now), ..Record::plain(1, Value::Inline(value)) };
    record.encode(0, out);
}

/// Opens an environment without the cost of syncing: nobody needs it after a loss of power.
fn open(folder: &Path) -> heed::Result<(Env, Database<Bytes, Bytes>)> {
    let mut opened = Err(heed::Error::Io(io::ErrorKind::OutOfMemory.into()));
    for size in MAP_SIZES {
        let mut options = EnvOpenOptions::new();
        options.map_size(size);
        // SAFETY: a flag and a map of a file, whose duties are kept as follows.
        // - `NO_SYNC` can damage the environment when power goes; it is a temporary one.
        // - Nobody else changes the files: the folder has a random name and mode 0700, and goes before the process does.
        // - It is opened once a process, by this value alone, and does not cross a fork: workers are started by exec.
        #[expect(unsafe_code, reason = "LMDB maps its file")]
        let attempt = unsafe { options.flags(EnvFlags::NO_SYNC).open(folder) };
        opened = attempt;
        // A limit on address space (`ulimit -v`) refuses large maps.
        if opened.is_ok() {
            break;
        }
    }
    let env = opened?;
    let mut txn = env.write_txn()?;
    let records = env.create_database(&mut txn, None)?;
    txn.commit()?;
    Ok((env, records))
}

fn failure(error: heed::Error) -> Failure {
    Failure::System { what: "measure LMDB by itself", source: io::Error::other(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_has_every_entry_with_a_value_of_the_plan() {
        let plan = Plan { namespace: "n".into(), entries: 300, value_size: 20, ops: 10 };
        let copy = Copy::make(&plan, Meter::endless()).unwrap();
        for number in [0, 7, 299] {
            assert_eq!(copy.look(&place(number), 20).unwrap(), Some(plan.value(number)));
        }
        assert_eq!(copy.look(&place(300), 20).unwrap(), None);
        assert!(copy.measure(&plan, Meter::endless()).unwrap().quantile(0.5) > 0);
    }

    #[test]
    fn a_miss_or_a_value_of_another_length_is_no_measurement() {
        assert!(expect_length(Some(b"ab"), 2).is_ok());
        assert!(expect_length(Some(b"ab"), 3).is_err());
        assert!(expect_length(None, 0).is_err());
    }
}
