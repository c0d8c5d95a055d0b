//! The bytes of a file, by pages; one that is all zeros need not be there.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What a disk writes at once as far as files go.
pub(crate) const PAGE: usize = 4096;
/// What a disk writes at once as far as it is concerned.
pub(crate) const SECTOR: usize = 512;

/// The bytes of a page. Shared: most pages are the same in many states of a file.
pub(crate) type Page = Arc<[u8; PAGE]>;

/// A file's length and its pages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Flat", into = "Flat")]
pub(crate) struct Pages {
    pub(crate) length: u64,
    pub(crate) pages: BTreeMap<u64, Page>,
}

/// The same as it is kept in a file.
#[derive(Serialize, Deserialize)]
struct Flat {
    length: u64,
    pages: Vec<(u64, Vec<u8>)>,
}

impl Pages {
    pub(crate) fn page(&self, number: u64) -> Page {
        self.pages.get(&number).cloned().unwrap_or_else(zeros)
    }

    /// Writes, and returns the numbers of the pages that were touched.
    pub(crate) fn write(&mut self, mut at: u64, mut bytes: &[u8]) -> Vec<u64> {
        let mut touched = Vec::new();
        while !bytes.is_empty() {
            let (number, start) = (at / PAGE as u64, (at % PAGE as u64) as usize);
            let (now, later) = bytes.split_at(bytes.len().min(PAGE - start));
            let mut page = *self.page(number);
            page[start..start + now.len()].copy_from_slice(now);
            self.pages.insert(number, Arc::new(page));
            touched.push(number);
            (at, bytes) = (at + now.len() as u64, later);
        }
        self.length = self.length.max(at);
        touched
    }

    /// Changes the length, and returns the numbers of the pages that this changed.
    pub(crate) fn resize(&mut self, length: u64) -> Vec<u64> {
        self.length = length;
        let first = length / PAGE as u64;
        let mut touched: Vec<u64> = self.pages.split_off(&(length.div_ceil(PAGE as u64))).into_keys().collect();
        let kept = (length % PAGE as u64) as usize;
        if let Some(page) = self.pages.get_mut(&first)
            && page[kept..].iter().any(|byte| *byte != 0)
        {
            Arc::make_mut(page)[kept..].fill(0);
            touched.push(first);
        }
        touched
    }

    /// Returns all bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.length).expect("files of tests fit the memory")];
        for (number, page) in &self.pages {
            let start = (*number as usize * PAGE).min(bytes.len());
            let end = (start + PAGE).min(bytes.len());
            bytes[start..end].copy_from_slice(&page[..end - start]);
        }
        bytes
    }
}

pub(crate) fn zeros() -> Page {
    Arc::new([0; PAGE])
}

impl From<Flat> for Pages {
    fn from(flat: Flat) -> Self {
        let page = |bytes: Vec<u8>| {
            let mut page = [0; PAGE];
            page[..bytes.len().min(PAGE)].copy_from_slice(&bytes[..bytes.len().min(PAGE)]);
            Arc::new(page)
        };
        Self {
            length: flat.length,
            pages: flat.pages.into_iter().map(|(number, bytes)| (number, page(bytes))).collect(),
        }
    }
}

impl From<Pages> for Flat {
    fn from(pages: Pages) -> Self {
        Self {
            length: pages.length,
            pages: pages.pages.iter().map(|(number, page)| (*number, page.to_vec())).collect(),
        }
    }
}
