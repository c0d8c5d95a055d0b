//! A look at the whole store: every record, every row that is derived from one, every blob. Goes on while the store is in use; changes
//! nothing, see `repair` for that.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::ops::Bound;
use std::path::Path;

use datacache_proto::key::Key;
use datacache_proto::layout::tables::END_OF_ENTRIES;
use datacache_proto::layout::{DIRECTORY_NAMESPACE, blob_path, index_key};
use datacache_proto::lost::is_lost;
use datacache_proto::record::Record;
use datacache_proto::types::{Digest, Fault, Unread};
use heed::RoTxn;
use rustix::io::Errno;

use super::blob::{BlobStore, Found, Identity};
use super::blob_row::BlobRow;
use super::counts::{BLOBS_COUNTED, Change, Counts};
use super::error::StoreError;
use super::plan::Reader;
use super::rows::{entry_of, key_of, unchecked_entry_of};
use super::table_keys::{expiry_key, namespace_of, tag_key};
use super::tables::{Table, Tables};
use super::verify_places::{has_its_place, is_of_an_entry, leads_to_a_place};
use crate::eviction::Queue;

/// How many rows are looked at in one transaction.
const SLICE: usize = 4_096;

/// What was found, before the writer has said what of it the log explains.
#[derive(Debug, Default)]
pub struct Report {
    pub(super) entries: u64,
    pub(super) blobs: u64,
    pub(super) bytes: u64,
    pub(super) suspicions: Vec<Suspicion>,
}

/// Something that looks wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Suspicion {
    pub(super) fault: Fault,
    pub(super) entry: Option<Place>,
    pub(super) digest: Option<Digest>,
    /// The file that was there as a blob was looked at; `None` where none was, or it is about something else.
    pub(super) file: Option<Identity>,
    /// What could not be read, where it is about that.
    pub(super) unread: Option<Unread>,
}

/// An entry by namespace and key; no key where that can't be told any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) namespace: u32,
    pub(super) key: Option<Key>,
}

impl Report {
    fn suspect(&mut self, fault: Fault, entry: Option<Place>, digest: Option<Digest>) {
        self.suspicions.push(Suspicion { fault, entry, digest, file: None, unread: None });
    }
}

impl Suspicion {
    fn unread(digest: Option<Digest>, file: Option<Identity>, unread: Unread) -> Self {
        Self { fault: Fault::UnreadableBlob, entry: None, digest, file, unread: Some(unread) }
    }
}

impl Reader {
    /// Looks at everything. Blocks, for as long as it takes to read all blobs.
    ///
    /// # Errors
    /// Where the index can't be read at all, or a blob can't be for a reason that tells nothing of it, as where too many files are open.
    /// One whose bytes the disk has lost is a finding, and so is one that can't be read for what stands at its path, or who may read it.
    pub fn verify(&self, blobs: &BlobStore) -> Result<Report, StoreError> {
        let mut report = Report::default();
        let rows = self.verify_rows(&mut report).map_err(|source| StoreError::Read { source })?;
        for (digest, row) in &rows {
            report.blobs += 1;
            report.bytes += row.length;
            report.suspicions.extend(suspicion_of(blobs, digest, row.length)?);
        }
        let mut failure = None;
        let listed = blobs.each_folder(|folder, there| match there.map_err(|error| (unread(folder, &error), error)) {
            Ok(there) => {
                let orphans = there.into_iter().filter(|digest| !rows.contains_key(digest));
                orphans.for_each(|digest| report.suspect(Fault::OrphanBlob, None, Some(digest)));
            }
            Err((Some(unread), _)) => report.suspicions.push(Suspicion::unread(None, None, unread)),
            Err((None, error)) => failure = Some(error),
        });
        let listed = failure.map_or(listed, Err);
        listed.map_err(|source| StoreError::Blob { action: "list", source })?;
        Ok(report)
    }

    /// Compares all rows with one another; returns the blobs that the index knows. What takes long is done in slices, each of a snapshot of
    /// its own, so that LMDB can use the pages again that are freed meanwhile; only the sums need one snapshot of all.
    fn verify_rows(&self, report: &mut Report) -> heed::Result<BTreeMap<Digest, BlobRow>> {
        let tables = &*self.tables;
        let mut damaged = HashSet::new();
        self.in_slices(tables.entries, Bound::Excluded(END_OF_ENTRIES), |txn, index_key, row| {
            let is_sound = verify_entry(tables, txn, (index_key, row), report)?;
            if !is_sound {
                damaged.insert(index_key.to_vec());
            }
            Ok(())
        })?;
        for table in [tables.by_expiry, tables.by_tag] {
            self.in_slices(table, Bound::Unbounded, |txn, derived, index_key| {
                verify_derived(tables, txn, (derived, index_key), report)
            })?;
        }
        self.verify_places(report)?;
        verify_sums(tables, &damaged, report)
    }

    /// Looks for places in the eviction's queues that no entry has.
    fn verify_places(&self, report: &mut Report) -> heed::Result<()> {
        let tables = &*self.tables;
        let Some(places) = tables.places else { return Ok(()) };
        let mut judge = |key: &[u8], is_right: bool| {
            if !is_right {
                let place = Place { namespace: namespace_of(key).unwrap_or_default(), key: None };
                report.suspect(Fault::WrongIndexRow, Some(place), None);
            }
        };
        for queue in [Queue::Small, Queue::Main] {
            self.in_slices(places.of(queue), Bound::Unbounded, |txn, key, row| {
                judge(key, is_of_an_entry(tables, txn, queue, (key, row))?);
                Ok(())
            })?;
        }
        self.in_slices(places.moved, Bound::Unbounded, |txn, birth, row| {
            judge(row.get(1..).unwrap_or_default(), leads_to_a_place(&places, txn, (birth, row))?);
            Ok(())
        })
    }

    /// Shows `look` all rows of a table, a slice of them after the other.
    fn in_slices(
        &self,
        table: Table,
        end: Bound<&[u8]>,
        mut look: impl FnMut(&RoTxn<'_>, &[u8], &[u8]) -> heed::Result<()>,
    ) -> heed::Result<()> {
        let mut seen: Option<Vec<u8>> = None;
        loop {
            let txn = self.tables.env.read_txn()?;
            let begin = seen.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let mut last = None;
            for row in table.range(&txn, &(begin, end))?.take(SLICE) {
                let (key, row) = row?;
                look(&txn, key, row)?;
                last = Some(key);
            }
            let Some(last) = last else { return Ok(()) };
            seen = Some(last.to_vec());
        }
    }
}

/// Looks at a record and the rows that are derived from it; tells whether it can be read.
fn verify_entry(
    tables: &Tables,
    txn: &RoTxn<'_>,
    (index_key, row): (&[u8], &[u8]),
    report: &mut Report,
) -> heed::Result<bool> {
    let namespace = namespace_of(index_key).unwrap_or_default();
    // The directory of namespaces is checked, but it is nobody's entry.
    report.entries += u64::from(namespace != DIRECTORY_NAMESPACE);
    let Some((namespace, key, record)) = entry_of(index_key, row) else {
        let place = Place { namespace, key: key_of(index_key, row) };
        report.suspect(Fault::DamagedRecord, Some(place), None);
        return Ok(false);
    };
    if record.value.digest().is_none() && namespace != DIRECTORY_NAMESPACE {
        report.bytes += record.value.len();
    }
    if !has_its_rows(tables, txn, namespace, &key, &record)? {
        let place = Place { namespace, key: Some(key) };
        report.suspect(Fault::WrongIndexRow, Some(place), None);
    }
    Ok(true)
}

/// Compares what is counted with what is there; `damaged` are the records that can't be read. Returns the blobs that the index knows.
fn verify_sums(
    tables: &Tables,
    damaged: &HashSet<Vec<u8>>,
    report: &mut Report,
) -> heed::Result<BTreeMap<Digest, BlobRow>> {
    let txn = tables.env.read_txn()?;
    let mut counts: HashMap<u32, Counts> = HashMap::new();
    let mut references: BTreeMap<Digest, u64> = BTreeMap::new();
    for row in tables.all_entries(&txn)? {
        let (index_key, row) = row?;
        let counted = counts.entry(namespace_of(index_key).unwrap_or_default()).or_default();
        // The checksums of the others were looked at before.
        let entry = match damaged.contains(index_key) {
            true => entry_of(index_key, row),
            false => unchecked_entry_of(index_key, row),
        };
        let (more, digest) = match &entry {
            Some((namespace, key, record)) => {
                (tables.counts_of(*namespace, key.encoded(), record), record.value.digest())
            }
            None => (Counts::of_damaged(), None),
        };
        counted.change(Change::more(more));
        if let Some(digest) = digest {
            *references.entry(digest).or_default() += 1;
        }
    }
    let mut blobs_counted = Counts::default();
    for (namespace, counted) in tables.all_counts(&txn)? {
        if namespace == BLOBS_COUNTED {
            blobs_counted = counted;
        } else if counts.remove(&namespace).unwrap_or_default() != counted {
            report.suspect(Fault::WrongCount, Some(Place { namespace, key: None }), None);
        }
    }
    for namespace in counts.into_keys() {
        report.suspect(Fault::WrongCount, Some(Place { namespace, key: None }), None);
    }
    let rows = verify_references(tables, &txn, references, report)?;
    let mut blobs = Counts::default();
    rows.values().for_each(|row| blobs.change(Change::more(tables.counts_of_blob(row.length))));
    if blobs != blobs_counted {
        report.suspect(Fault::WrongCount, None, None);
    }
    Ok(rows)
}

/// Tells whether the rows are there that are derived from a record.
fn has_its_rows(
    tables: &Tables,
    txn: &RoTxn<'_>,
    namespace: u32,
    key: &Key,
    record: &Record<'_>,
) -> heed::Result<bool> {
    let index_key = index_key(namespace, key.encoded());
    let leads_here = |row: Option<&[u8]>| row == Some(&index_key[..]);
    let mut all = has_its_place(tables, txn, (namespace, &index_key), record.birth)?;
    if let Some(expires) = record.expires {
        all &= leads_here(tables.by_expiry.get(txn, &expiry_key(namespace, expires, record.version))?);
    }
    for tag in record.tags.iter() {
        all &= leads_here(tables.by_tag.get(txn, &tag_key(namespace, tag, record.version))?);
    }
    Ok(all)
}

/// Finds out whether a row of an index is one that no record has.
fn verify_derived(
    tables: &Tables,
    txn: &RoTxn<'_>,
    (derived, index_key): (&[u8], &[u8]),
    report: &mut Report,
) -> heed::Result<()> {
    let entry = tables.entry(txn, index_key)?.and_then(|row| entry_of(index_key, row));
    let is_right = entry.is_some_and(|(namespace, _, record)| {
        let by_expiry = record.expires.map(|expires| expiry_key(namespace, expires, record.version));
        by_expiry.is_some_and(|key| derived == key)
            || record.tags.iter().any(|tag| derived == tag_key(namespace, tag, record.version))
    });
    if !is_right {
        let place = Place { namespace: namespace_of(derived).unwrap_or_default(), key: None };
        report.suspect(Fault::WrongIndexRow, Some(place), None);
    }
    Ok(())
}

/// Compares the counts of references with the records that refer.
fn verify_references(
    tables: &Tables,
    txn: &RoTxn<'_>,
    mut references: BTreeMap<Digest, u64>,
    report: &mut Report,
) -> heed::Result<BTreeMap<Digest, BlobRow>> {
    let mut rows = BTreeMap::new();
    for row in tables.blobs.iter(txn)? {
        let (digest, row) = row?;
        let Some((digest, row)) = digest.try_into().ok().map(Digest).zip(BlobRow::decode(row)) else {
            report.suspect(Fault::WrongCount, None, None);
            continue;
        };
        if references.remove(&digest) != Some(row.references) {
            report.suspect(Fault::WrongCount, None, Some(digest));
        }
        rows.insert(digest, row);
    }
    for digest in references.into_keys() {
        report.suspect(Fault::WrongCount, None, Some(digest));
    }
    Ok(rows)
}

/// Reads a blob. An error that tells nothing of it is no finding, as where too many files are open: it may be sound.
fn suspicion_of(blobs: &BlobStore, digest: &Digest, length: u64) -> Result<Option<Suspicion>, StoreError> {
    // Before it is read: what comes in its place meanwhile is another.
    let file = blobs.identity_of(digest);
    let path = blob_path(blobs.folder(), digest);
    let fault = match blobs.examine_blob(digest, length) {
        Ok(Found::Sound(_)) => return Ok(None),
        Ok(Found::Missing) => Fault::MissingBlob,
        Ok(Found::Damaged(_)) => Fault::DamagedBlob,
        Err(source) if is_lost(&source) => Fault::DamagedBlob,
        Err(source) => {
            let unread = unread(&path, &source).ok_or(StoreError::Unexamined { path, source })?;
            return Ok(Some(Suspicion::unread(Some(*digest), file, unread)));
        }
    };
    Ok(Some(Suspicion { fault, entry: None, digest: Some(*digest), file, unread: None }))
}

/// Tells what could not be read where the error is about this path: who may read it, and what stands there. Any other may be met with at
/// each file, and not at this one a moment later.
fn unread(path: &Path, error: &io::Error) -> Option<Unread> {
    const OF_THE_PATH: [Errno; 7] =
        [Errno::ACCESS, Errno::PERM, Errno::LOOP, Errno::NOTDIR, Errno::ISDIR, Errno::NXIO, Errno::NODEV];
    let errno = error.raw_os_error().filter(|code| OF_THE_PATH.iter().any(|errno| errno.raw_os_error() == *code))?;
    Some(Unread { path: path.to_string_lossy().into_owned(), errno })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_process_is_short_of_says_nothing_of_a_path() {
        let is_told = |errno: Errno| unread(Path::new("/s"), &errno.into()).is_some();
        assert!(is_told(Errno::ACCESS) && is_told(Errno::LOOP));
        for other in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::IO, Errno::INTR, Errno::NOSPC, Errno::STALE] {
            assert!(!is_told(other), "{other}");
        }
        assert_eq!(unread(Path::new("/s"), &io::ErrorKind::PermissionDenied.into()), None);
    }
}
