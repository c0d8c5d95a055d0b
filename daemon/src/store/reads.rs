//! What the store has to do with those who read it, most of them in other processes: what they tell of their reads, and when
//! they have to look elsewhere.

use datacache_proto::access::{Reads, has_row};
use datacache_proto::key::Key;
use datacache_proto::recent::{KeyHash, finish};
use datacache_proto::record::Record;
use datacache_proto::time::Timestamp;

use super::error::StoreError;
use super::store::Store;

impl Store {
    /// Looks a key up as [`Store::lookup`] does, for a reader: what is found is marked as read, as clients do that look
    /// themselves.
    ///
    /// # Errors
    /// As for [`Store::lookup`].
    pub fn read<R>(
        &self,
        namespace: u32,
        key: &Key,
        now: Timestamp,
        found: impl FnOnce(&Record<'_>) -> R,
    ) -> Result<Option<R>, StoreError> {
        let read = self.lookup(namespace, key, now, found)?;
        if read.is_some() {
            self.access.access().mark(KeyHash::of(namespace, key.encoded()));
        }
        Ok(read)
    }

    /// Returns how often clients looked keys of a namespace up themselves; `None` for one that is not counted apart from others.
    #[must_use]
    pub fn reads(&self, namespace: u32) -> Option<Reads> {
        has_row(namespace).then(|| self.access.access().reads(namespace))
    }

    /// Returns how often clients looked keys of any namespace up themselves.
    #[must_use]
    pub fn all_reads(&self) -> Reads {
        self.access.access().all_reads()
    }

    /// Returns how often a key was read lately, from 0 to 3: a guess, which other keys may have made too high.
    #[must_use]
    pub fn frequency(&self, namespace: u32, key: &Key) -> u8 {
        self.frequency_of(KeyHash::of(namespace, key.encoded()))
    }

    /// The same by what is left of the key.
    #[must_use]
    pub fn frequency_of(&self, key: KeyHash) -> u8 {
        self.access.access().frequency(key)
    }

    /// Gives the marks as much room as the entries are worth; called when the store is opened and when a segment is retired.
    pub(super) fn spread_marks(&self) {
        self.access.access().spread_over(self.memory.total().entries);
    }

    /// Tells the clients how many of them called lately.
    pub fn tell_callers(&self, callers: u64) {
        self.access.access().set_callers(callers);
    }

    /// Sends the clients that read this store themselves to the one that is in its place now. After its folder was removed or
    /// moved; it must not be written any more.
    pub fn part_with_readers(&self) {
        finish(&self.lookup.index.words());
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::NewValue;
    use super::super::index::Index;
    use super::super::testing::{NOW, put, store};
    use super::*;
    use datacache_proto::recent::{View, Word, Words};

    #[test]
    fn readers_of_a_store_that_is_gone_learn_that_it_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let attached = Index::open(&store.generation, store.id).unwrap().expect("the store has one");
        let is_over = || View::from_word(attached.words().load(Word::View)).is_over();
        std::fs::remove_dir_all(store.path()).unwrap();
        assert!(!is_over());
        store.part_with_readers();
        assert!(is_over());
    }

    #[test]
    fn a_read_marks_its_key_and_a_look_or_a_miss_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        put(&mut store, NewValue::Inline(vec![1].into()));
        let namespace = store.namespace("n").unwrap();
        let [key, missing] = ["k", "missing"].map(Key::from);
        let frequencies = |store: &Store| [&key, &missing].map(|key| store.frequency(namespace, key));
        assert_eq!(store.lookup(namespace, &key, NOW, |_| ()).unwrap(), Some(()));
        assert_eq!(store.read(namespace, &missing, NOW, |_| ()).unwrap(), None);
        assert_eq!(frequencies(&store), [0, 0]);
        assert_eq!(store.read(namespace, &key, NOW, |_| ()).unwrap(), Some(()));
        assert_eq!(frequencies(&store), [1, 0]);
    }

    #[test]
    fn what_clients_counted_outlives_the_store_and_readers_stay_attached() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        store.access.access().count(3, 7, true);
        store.access.access().count(3, u32::MAX, false);
        let attached = Index::open(&store.generation, store.id).unwrap().expect("the store has one");
        store.close(NOW).unwrap();
        let store = super::super::testing::store(&folder);
        assert_eq!(store.reads(7), Some(Reads { hits: 1, misses: 0 }));
        assert_eq!((store.reads(u32::MAX), store.all_reads()), (None, Reads { hits: 1, misses: 1 }));
        assert!(!View::from_word(attached.words().load(Word::View)).is_over());
    }

    /// As an earlier build leaves it, or a copy without it: what is attached elsewhere has to come to the new one.
    #[test]
    fn a_store_without_counters_gets_them_and_an_index_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        put(&mut store, NewValue::Inline(vec![1].into()));
        let attached = Index::open(&store.generation, store.id).unwrap().expect("the store has one");
        std::fs::remove_file(store.generation.join(datacache_proto::layout::ACCESS)).unwrap();
        drop(store);
        let store = super::super::testing::store(&folder);
        assert!(View::from_word(attached.words().load(Word::View)).is_over());
        assert_eq!(store.all_reads(), Reads::default());
        let namespace = store.namespace("n").unwrap();
        assert_eq!(store.lookup(namespace, &Key::from("k"), NOW, |_| ()).unwrap(), Some(()));
    }
}
