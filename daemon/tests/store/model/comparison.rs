//! The comparison of the store with the map.

use std::collections::BTreeSet;

use datacache_proto::key::Key;

use super::map::Entry;
use super::{Run, SPACES, TAGS, moment};

impl Run {
    pub(super) fn compare_counters(&mut self) {
        let (now, step) = (self.now, self.step);
        for (space, entries) in &self.map.spaces {
            let store = self.subject.store();
            let number = store.namespace(space).unwrap_or_else(|| panic!("step {step}: {space} is gone"));
            let counts = store.counts(number);
            assert_eq!(counts.entries, entries.len() as u64, "step {step}: entries of {space}");
            let bytes: u64 = entries.values().map(|entry| entry.value.len() as u64).sum();
            assert_eq!(counts.bytes, bytes, "step {step}: bytes of {space}");
            let live = entries.values().filter(|entry| entry.is_live(now)).count() as u64;
            assert_eq!(store.len(number, moment(now)).unwrap(), live, "step {step}: live entries of {space}");
        }
        let stats = self.subject.store().stats().unwrap();
        assert_eq!(stats.leases, self.map.leases(), "step {step}: leases");
        let blobs = self.map.blobs();
        let bytes: u64 = blobs.iter().map(|value| value.len() as u64).sum();
        assert_eq!((stats.blobs, stats.blob_bytes), (blobs.len() as u64, bytes), "step {step}: blobs");
        let (space, key) = (self.space(), self.key());
        self.compare(space, &key);
    }

    fn compare(&mut self, space: &str, key: &Key) {
        let found = self.subject.get(space, key, self.now);
        let expected = self.map.get(space, key, self.now).cloned();
        assert_eq!(found, expected.map(|e| Entry { written: 0, ..e }), "step {}: {key} in {space}", self.step);
    }

    pub(super) fn compare_all(&mut self) {
        for space in SPACES {
            for key in self.keys.clone() {
                self.compare(space, &key);
            }
        }
        self.subject.checkpoint(self.now);
        for (space, entries) in self.map.spaces.clone() {
            let live = entries.iter().filter(|(_, entry)| entry.is_live(self.now));
            let expected: BTreeSet<Key> = live.clone().map(|(key, _)| key.clone()).collect();
            assert_eq!(
                self.subject.list(&space, None, None, self.now),
                expected,
                "step {}: list of {space}",
                self.step
            );
            for tag in TAGS {
                let tagged = live.clone().filter(|(_, entry)| entry.tags.contains(tag));
                let expected: BTreeSet<Key> = tagged.map(|(key, _)| key.clone()).collect();
                let listed = self.subject.list(&space, None, Some(tag), self.now);
                assert_eq!(listed, expected, "step {}: list of {space} with {tag}", self.step);
            }
            for prefix in ["k", "k1", "long"] {
                let begins = |key: &Key| key.as_text().is_some_and(|text| text.starts_with(prefix));
                let expected: BTreeSet<Key> =
                    live.clone().map(|(key, _)| key).filter(|key| begins(key)).cloned().collect();
                let listed = self.subject.list(&space, Some(prefix), None, self.now);
                assert_eq!(listed, expected, "step {}: list of {space} from {prefix}", self.step);
            }
        }
        let blobs = self.map.blobs().into_iter().cloned().collect();
        self.subject.compare_blobs(&blobs, self.now);
        let findings = self.subject.verify(self.now);
        assert!(findings.is_empty(), "step {}: {findings:?}", self.step);
    }
}
