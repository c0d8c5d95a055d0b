//! What follows from a look at the whole store: which suspicions stand, and how what can be mended is mended. Records go by way of
//! the log, like everything; rows that are derived from records are derived anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use datacache_proto::types::{Fault, Finding, Verification};
use tracing::warn;

use super::apply::derive_rows;
use super::command::{Command, Condition};
use super::counts::{Change, Counts};
use super::damage::Lost;
use super::error::StoreError;
use super::index_size::IndexSize;
use super::placing::Places;
use super::plan::Reader;
use super::rows::entry_of;
use super::store::Store;
use super::table_keys::namespace_of;
use super::tables::Tables;
use super::verify::{Place, Report, Suspicion};
use super::verify_places::Moved;

/// What is left to do after [`Store::conclude`].
#[derive(Debug, Default)]
pub struct Repairs {
    /// Blobs whose entries go, if they are not added again before: [`Reader::naming`] finds them, then [`Store::forget_lost`].
    pub lost_blobs: Lost,
    /// Deletes of damaged records.
    pub commands: Vec<Command>,
    /// Whether derived rows have to be made anew: [`Reader::rebuild`], then [`Store::correct`].
    pub rebuild: bool,
}

/// By how much the counts of namespaces were wrong.
#[derive(Debug, Default)]
pub struct Corrections(Vec<(u32, Change)>);

impl Store {
    /// Says which suspicions stand, now that the log can be asked, and, with `repair`, what is to be done about them.
    pub fn conclude(&mut self, report: Report, repair: bool) -> (Verification, Repairs) {
        let names: HashMap<u32, String> = self.namespaces().into_iter().map(|(name, number)| (number, name)).collect();
        let mut repairs = Repairs::default();
        let mut findings = Vec::new();
        for suspicion in report.suspicions {
            if !self.stands(&suspicion) {
                continue;
            }
            let repaired = repair && self.mend(&suspicion, &mut repairs);
            let Suspicion { fault, entry, digest, unread, .. } = suspicion;
            let entry = entry.and_then(|Place { namespace, key }| Some((names.get(&namespace)?.clone(), key?)));
            findings.push(Finding { fault, entry, digest, unread, repaired });
        }
        let Report { entries, blobs, bytes, .. } = report;
        (Verification { entries, blobs, bytes, findings, moved_aside: None }, repairs)
    }

    /// A blob that the log names may be there before the index knows it, or be gone from the index's snapshot; and one that was added since
    /// it was looked at is not what was found.
    fn stands(&self, suspicion: &Suspicion) -> bool {
        let Some(digest) = &suspicion.digest else { return true };
        let named = self.named.active.contains(digest) || self.named.applying.contains(digest);
        let known = || self.is_unknown(digest).is_ok_and(|unknown| !unknown);
        match suspicion.fault {
            Fault::OrphanBlob => !named && !known(),
            Fault::MissingBlob | Fault::DamagedBlob | Fault::UnreadableBlob => {
                (named || known()) && self.blobs.identity_of(digest) == suspicion.file
            }
            _ => true,
        }
    }

    /// Does what can be done at once; tells whether the fault will be gone.
    fn mend(&mut self, suspicion: &Suspicion, repairs: &mut Repairs) -> bool {
        match (suspicion.fault, &suspicion.entry, suspicion.digest) {
            (Fault::DamagedRecord, Some(Place { namespace, key: Some(key) }), _) => {
                // Version 0 is that of a damaged record only: one that was replaced meanwhile stays.
                let (namespace, key) = (*namespace, key.clone());
                self.counters.damaged += u64::from(!self.is_dealt_with(namespace, &key));
                repairs.commands.push(Command::Delete { namespace, key, when: Condition::Version(0) });
                // What else is derived from it can't be told from the record, only from all others.
                repairs.rebuild = true;
                true
            }
            (Fault::MissingBlob | Fault::DamagedBlob, _, Some(digest)) => {
                // Aside at once: the same content, added now, must not be taken for stored already.
                if let Err(error) = self.blobs.set_aside(&digest) {
                    warn!(%digest, %error, "a damaged blob can't be set aside");
                    return false;
                }
                self.counters.damaged += u64::from(!self.damage.is_lost(&digest));
                repairs.lost_blobs.insert(digest, self.damage.lose(digest));
                true
            }
            (Fault::OrphanBlob, _, Some(digest)) => {
                self.dropped.push_back(digest);
                true
            }
            (Fault::WrongIndexRow | Fault::WrongCount, ..) => {
                repairs.rebuild = true;
                true
            }
            _ => false,
        }
    }

    /// Takes in by how much the counts were wrong, and that there are places and rows of expiry that were not there.
    pub fn correct(&mut self, corrections: &Corrections) {
        self.sweep_anew();
        let rows = self.memory.rows();
        for &(namespace, change) in &corrections.0 {
            self.memory.correct(namespace, change);
        }
        self.index_size.correct(self.memory.rows() - rows);
        if self.lookup.applying.is_none() {
            // All rows that are derived were put anew.
            self.measure(IndexSize::measure);
        }
        let pools: Vec<_> = self.pools.all().map(|(id, _)| id).collect();
        pools.into_iter().for_each(|id| self.begin_anew(id));
    }
}

impl Reader {
    /// Finds the entries that name one of these blobs, as deletes that hold while those are lost. Blocks: it looks at every record, however
    /// many blobs there are.
    ///
    /// # Errors
    /// Where the index can't be read.
    pub fn naming(&self, lost: &Lost) -> Result<Vec<Command>, StoreError> {
        let find = || {
            let mut commands = Vec::new();
            let txn = self.tables.env.read_txn()?;
            for row in self.tables.all_entries(&txn)? {
                let (index_key, row) = row?;
                let Some((namespace, key, record)) = entry_of(index_key, row) else { continue };
                let Some(digest) = record.value.digest().filter(|digest| lost.contains_key(digest)) else { continue };
                let when = Condition::Lost { version: record.version, digest };
                commands.push(Command::Delete { namespace, key, when });
            }
            Ok(commands)
        };
        find().map_err(|source| StoreError::Read { source })
    }

    /// Makes all rows anew that are derived from records, in one transaction. Blocks, and so does the apply thread meanwhile.
    ///
    /// # Errors
    /// Where the index can't be read or written; nothing has changed then.
    pub fn rebuild(&self) -> Result<Corrections, StoreError> {
        rebuild(&self.tables).map_err(|source| StoreError::Read { source })
    }
}

fn rebuild(tables: &Tables) -> heed::Result<Corrections> {
    let mut txn = tables.env.write_txn()?;
    let before: BTreeMap<u32, Counts> = tables.all_counts(&txn)?.into_iter().collect();
    let verified = tables.verified_blobs(&txn)?;
    let moved = tables.places.map(|places| Moved::read(&places, &txn)).transpose()?.unwrap_or_default();
    let derived = [tables.by_expiry, tables.by_tag, tables.blobs, tables.counters];
    for table in derived.into_iter().chain(tables.places.iter().flat_map(Places::tables)) {
        table.clear(&mut txn)?;
    }
    let mut counts: BTreeMap<u32, Counts> = BTreeMap::new();
    let mut index_keys = Vec::new();
    for row in tables.all_entries(&txn)? {
        index_keys.push(row?.0.to_vec());
    }
    for index_key in index_keys {
        let Some(row) = tables.entries.get(&txn, &index_key)?.map(<[u8]>::to_vec) else { continue };
        let counts = counts.entry(namespace_of(&index_key).unwrap_or_default()).or_default();
        let Some((namespace, key, record)) = entry_of(&index_key, &row) else {
            counts.change(Change::more(Counts::of_damaged()));
            continue;
        };
        let counted = tables.counts_of(namespace, key.encoded(), &record);
        counts.change(Change::more(counted));
        if let Some(places) = &tables.places {
            moved.restore(places, &mut txn, (namespace, &index_key), (record.birth, counted.charge))?;
        }
        derive_rows(tables, &mut txn, namespace, &index_key, &record)?;
        tables.refer(&mut txn, &record, &verified)?;
    }
    for (namespace, counts) in &counts {
        tables.put_counts(&mut txn, *namespace, *counts)?;
    }
    tables.count_blobs(&mut txn)?;
    let after: BTreeMap<u32, Counts> = tables.all_counts(&txn)?.into_iter().collect();
    txn.commit()?;
    let all: BTreeSet<u32> = before.keys().chain(after.keys()).copied().collect();
    let of = |counts: &BTreeMap<u32, Counts>, namespace| counts.get(&namespace).copied().unwrap_or_default();
    let difference = |namespace| (namespace, Change::between(of(&before, namespace), of(&after, namespace)));
    Ok(Corrections(all.into_iter().map(difference).collect()))
}
