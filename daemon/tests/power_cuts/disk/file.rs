//! A file on a disk that loses its power: what is there for certain, and what may be.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::pages::{PAGE, Page, Pages, SECTOR};

/// A file's contents: durable, as they are seen, and all that was on the way from the one to the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    durable: Pages,
    now: Pages,
    /// What each page held since it was durable, oldest first.
    versions: BTreeMap<u64, Vec<Page>>,
    lengths: Vec<u64>,
}

impl File {
    /// A file that is on the disk.
    pub(crate) fn durable(pages: Pages) -> Self {
        Self { durable: pages.clone(), now: pages, ..Self::default() }
    }

    pub(crate) fn write(&mut self, at: u64, bytes: &[u8], through: bool) {
        let touched = self.now.write(at, bytes);
        self.changed(&touched);
        if through {
            touched.iter().for_each(|page| self.settle(*page));
            self.durable.length = self.now.length;
            self.lengths.clear();
        }
    }

    pub(crate) fn resize(&mut self, length: u64) {
        let touched = self.now.resize(length);
        self.changed(&touched);
    }

    pub(crate) fn grow(&mut self, length: u64) {
        self.resize(length.max(self.now.length));
    }

    fn changed(&mut self, pages: &[u64]) {
        for number in pages {
            self.versions.entry(*number).or_default().push(self.now.page(*number));
        }
        self.lengths.push(self.now.length);
    }

    pub(crate) fn sync(&mut self) {
        for number in std::mem::take(&mut self.versions).into_keys() {
            self.settle(number);
        }
        self.durable.resize(self.now.length);
        self.lengths.clear();
    }

    fn settle(&mut self, number: u64) {
        self.versions.remove(&number);
        self.durable.pages.insert(number, self.now.page(number));
    }

    /// Returns what a process reads.
    pub(crate) fn seen(&self) -> Pages {
        self.now.clone()
    }

    /// Returns what may be on the disk: nothing of what is not durable, all of it, or of each sector any state it was in, and
    /// any length that the file had.
    pub(crate) fn after_cut(&self, rng: &mut Rng) -> Pages {
        match rng.u32(..5) {
            0 => self.durable.clone(),
            1 => self.now.clone(),
            2 => Pages { length: self.any_length(rng), ..self.now.clone() }.cut(),
            _ => self.any(rng),
        }
    }

    fn any_length(&self, rng: &mut Rng) -> u64 {
        match rng.usize(..=self.lengths.len()) {
            0 => self.durable.length,
            later => self.lengths[later - 1],
        }
    }

    fn any(&self, rng: &mut Rng) -> Pages {
        let mut pages = self.durable.clone();
        // Now and then more of it than not.
        let late = rng.bool();
        for (number, versions) in &self.versions {
            let durable = self.durable.page(*number);
            let mut page = [0; PAGE];
            let torn = rng.bool();
            let mut version = rng.usize(..=versions.len());
            for (sector, bytes) in page.as_chunks_mut::<SECTOR>().0.iter_mut().enumerate() {
                if torn {
                    version = rng.usize(..=versions.len());
                }
                if late && rng.u32(..4) > 0 {
                    version = versions.len();
                }
                let source = if version == 0 { &durable } else { &versions[version - 1] };
                bytes.copy_from_slice(&source[sector * SECTOR..][..SECTOR]);
            }
            pages.pages.insert(*number, page.into());
        }
        // Whoever looks at the length alone is to be deceived.
        let length = if rng.u32(..4) > 0 { self.now.length } else { self.any_length(rng) };
        Pages { length, ..pages }.cut()
    }
}

impl Pages {
    /// Lets go of what is behind the end.
    fn cut(mut self) -> Self {
        self.resize(self.length);
        self
    }
}
