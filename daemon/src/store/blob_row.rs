//! What the index knows of a blob: rows of the table `blobs`, and how they are made anew.

use std::collections::BTreeSet;

use datacache_proto::record::Record;
use datacache_proto::types::Digest;
use heed::{RoTxn, RwTxn};

use super::counts::{BLOBS_COUNTED, Change, Counts};
use super::tables::Tables;

/// What the index knows of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlobRow {
    /// How many records name it.
    pub(super) references: u64,
    /// Its length in bytes.
    pub(super) length: u64,
    /// Whether its content was hashed and found to be what its name says.
    pub(super) verified: bool,
}

impl BlobRow {
    pub(super) fn encode(self) -> [u8; 17] {
        let mut row = [0; 17];
        row[..8].copy_from_slice(&self.references.to_le_bytes());
        row[8..16].copy_from_slice(&self.length.to_le_bytes());
        row[16] = u8::from(self.verified);
        row
    }

    pub(super) fn decode(row: &[u8]) -> Option<Self> {
        let row: &[u8; 17] = row.try_into().ok()?;
        Some(Self {
            references: u64::from_le_bytes(row[..8].try_into().ok()?),
            length: u64::from_le_bytes(row[8..16].try_into().ok()?),
            verified: row[16] == 1,
        })
    }
}

impl Tables {
    /// Returns the blobs whose content was found to be what their names say.
    pub(super) fn verified_blobs(&self, txn: &RoTxn<'_>) -> heed::Result<BTreeSet<Digest>> {
        let mut verified = BTreeSet::new();
        for row in self.blobs.iter(txn)? {
            let (digest, row) = row?;
            if BlobRow::decode(row).is_some_and(|row| row.verified) {
                verified.extend(digest.try_into().ok().map(Digest));
            }
        }
        Ok(verified)
    }

    /// Counts a record's reference to its blob in, while all rows are made anew.
    pub(super) fn refer(
        &self,
        txn: &mut RwTxn<'_>,
        record: &Record<'_>,
        verified: &BTreeSet<Digest>,
    ) -> heed::Result<()> {
        let Some(digest) = record.value.digest() else { return Ok(()) };
        let row = self.blobs.get(txn, &digest.0)?.and_then(BlobRow::decode);
        let new = BlobRow { references: 0, length: record.value.len(), verified: verified.contains(&digest) };
        let row = row.unwrap_or(new);
        self.blobs.put(txn, &digest.0, &BlobRow { references: row.references + 1, ..row }.encode())
    }

    /// Counts all blobs anew.
    pub(super) fn count_blobs(&self, txn: &mut RwTxn<'_>) -> heed::Result<()> {
        let mut counts = Counts::default();
        for row in self.blobs.iter(txn)? {
            let length = BlobRow::decode(row?.1).map_or(0, |row| row.length);
            counts.change(Change::more(self.counts_of_blob(length)));
        }
        self.put_counts(txn, BLOBS_COUNTED, counts)
    }
}
