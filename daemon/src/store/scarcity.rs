//! What the writer does where room gets scarce: it has room made ahead, and takes only what makes the store smaller while there is
//! not enough. What is reserved for that, see `room`.

use std::sync::Arc;

use datacache_proto::key::Tag;
use datacache_proto::log::SEGMENT_HEADER;
use datacache_proto::time::Timestamp;
use datacache_proto::types::{Scarce, Shortage};
use tracing::{info, warn};

use super::charge::index_key_length;
use super::command::{Batch, Command};
use super::error::StoreError;
use super::room::HEAD;
use super::store::{Next, Store};
use super::syncer::SyncJob;

/// How much is appended to the log before room is made for more, in bytes.
const STEP: u64 = 4 << 20;

/// What the writer knows about room.
#[derive(Debug, Default)]
pub(super) struct Scarcity {
    /// Why only that is taken which makes the store smaller.
    pub(super) shortage: Option<StoreError>,
    /// Set when an append found no room in the active segment: nothing more is tried there.
    pub(super) is_cramped: bool,
    /// What is short, as it was told the last time, and since when.
    told: Option<Shortage>,
    /// How often it was asked whether there is room, and not answered yet.
    pub(super) asked: u32,
    /// When the active segment is that much, room is made for more.
    due: u64,
    /// What the rows of tags and places take in the index beyond what the active segment does in the log, and those of the one before.
    rows: [u64; 2],
}

impl Store {
    /// Returns why a batch is refused before it is tried. Nothing fits behind a log that can't be applied, or on a full disk, but
    /// what makes room does.
    pub(super) fn refusal(&self, batch: &Batch) -> Option<StoreError> {
        if self.poisoned {
            return Some(StoreError::Restarting);
        }
        let obstacle = self.apply_failure.as_ref().or(self.scarcity.shortage.as_ref())?;
        (!frees(batch)).then(|| obstacle.again())
    }

    /// Tells whether room is short: a frame is to have no more than has to be in one then. It becomes one transaction, which needs
    /// the more room the more it changes.
    pub(super) fn is_short(&self) -> bool {
        self.scarcity.shortage.is_some()
    }

    /// Has room made for what is appended next, after every few megabytes.
    pub(super) fn keep_room(&mut self) {
        let tags = self.draft.decided().iter().map(|decided| decided.decision.rows);
        let places = self.draft.places().iter().map(|placed| placed.rows);
        self.scarcity.rows[0] += tags.chain(places).sum::<u64>();
        if self.end + self.scarcity.rows[0] >= self.scarcity.due {
            self.ask_for_room();
        }
        // Half of the head is left to those who come before the next segment is there.
        if self.scarcity.shortage.is_some() && self.end > HEAD / 2 {
            self.checkpoint = true;
        }
    }

    /// Has the thread that syncs look whether there is room for what the log has and is about to get.
    pub(super) fn ask_for_room(&mut self) {
        let [rows, rows_before] = self.scarcity.rows;
        self.scarcity.due = self.end + rows + STEP;
        self.scarcity.asked += 1;
        let applying = self.lookup.applying.as_ref().map_or(0, |segment| segment.length() + rows_before);
        let tables = Arc::clone(&self.lookup.tables);
        self.syncer.send(SyncJob::MakeRoom { backlog: self.scarcity.due + applying, tables });
    }

    /// Takes in whether there is room. That there is some counts if it was not asked again since.
    pub(super) fn hear_of_room(&mut self, shortage: Option<StoreError>) {
        self.scarcity.asked = self.scarcity.asked.saturating_sub(1);
        if shortage.is_some() || self.scarcity.asked == 0 {
            self.note_room(shortage);
        }
    }

    fn note_room(&mut self, shortage: Option<StoreError>) {
        match (&self.scarcity.shortage, &shortage) {
            (None, Some(error)) => {
                let error = error as &dyn std::error::Error;
                warn!(error, "only what makes the store smaller is taken until there is room again");
                self.checkpoint |= self.end > SEGMENT_HEADER as u64;
            }
            (Some(_), None) => info!("there is room again"),
            _ => {}
        }
        self.scarcity.shortage = shortage;
    }

    /// Takes in that an append failed; tells whether it was for want of room, and the log goes on in the next segment, which has
    /// some for what makes the store smaller.
    pub(super) fn note_append_failed(&mut self, error: &StoreError) -> bool {
        if !matches!(error, StoreError::NoSpace { .. }) {
            return false;
        }
        self.note_room(Some(error.again()));
        // It is as short as that until it is found otherwise.
        self.ask_for_room();
        // Where the head of a segment has no room, the next one's hasn't either.
        let is_used = self.end > SEGMENT_HEADER as u64;
        if is_used {
            // IMPORTANT: both. Without the second, nobody looks whether the next one is there.
            (self.scarcity.is_cramped, self.checkpoint) = (true, true);
        }
        is_used
    }

    /// Returns what is short, and since when; `None` where nothing is, or has been found to be since the last
    /// [`Store::progress`].
    #[must_use]
    pub fn shortage(&self) -> Option<Shortage> {
        self.scarcity.told
    }

    /// Takes in since when something is short. Whatever finds no room: the reserve, the log, its next segment, or the index.
    pub(super) fn date_shortage(&mut self, now: Timestamp) {
        let next = match &self.next {
            Next::Failed(error) => Some(error),
            _ => None,
        };
        let obstacles = [self.apply_failure.as_ref(), self.scarcity.shortage.as_ref(), next];
        let of = obstacles.into_iter().flatten().find_map(scarce);
        let since = self.scarcity.told.map_or(now, |told| told.since);
        self.scarcity.told = of.map(|of| Shortage { of, since });
    }

    /// Begins a segment.
    pub(super) fn note_rotated(&mut self) {
        self.scarcity.is_cramped = false;
        self.scarcity.rows = [0, self.scarcity.rows[0]];
        self.ask_for_room();
    }
}

/// Returns how many bytes of the index the tags of an entry take: each has a row, which repeats the key.
pub(super) fn tag_rows(tags: &[Tag], key: &[u8]) -> u64 {
    /// A namespace, a zero and a version, and what LMDB has for each row.
    const ROW: usize = 4 + 1 + 8 + 10;
    let key = index_key_length(key);
    tags.iter().map(|tag| (ROW + tag.as_str().len() + key) as u64).sum()
}

fn scarce(error: &StoreError) -> Option<Scarce> {
    match error {
        StoreError::NoSpace { .. } => Some(Scarce::Disk),
        StoreError::IndexFull { .. } => Some(Scarce::Index),
        _ => None,
    }
}

/// Tells whether a batch makes the store smaller. To keep an entry in an eviction doesn't: that takes rows.
fn frees(batch: &Batch) -> bool {
    let frees = |command: &Command| match command {
        Command::Delete { .. } | Command::Release { .. } | Command::Evict { .. } => true,
        Command::Put(_) | Command::Touch { .. } | Command::Keep { .. } | Command::Verified { .. } => false,
    };
    batch.commands.iter().all(frees)
}

#[cfg(test)]
mod tests {
    use super::super::charge::{moved_row, place_row};
    use super::super::command::{Condition, NewValue, Outcome, Put};
    use super::super::rules::{Rule, Rules};
    use super::super::testing::{NOW, put, put_of, store, wait};
    use super::super::threads::Event;
    use super::super::write::BatchResult;
    use super::*;
    use crate::eviction::{Note, Place, Policy, Queue};
    use datacache_proto::key::Key;
    use datacache_proto::recent::KeyHash;

    /// Returns a store whose threads have said that there is room, and will not say it again unasked.
    fn at_ease(folder: &tempfile::TempDir) -> Store {
        let mut store = store(folder);
        put(&mut store, NewValue::Inline(vec![7].into()));
        wait(&mut store, |store| store.scarcity.asked == 0);
        store
    }

    fn write(store: &mut Store, command: Command) -> BatchResult {
        let mut results = Vec::new();
        store.write(&mut [Batch::of(command, None)].into(), NOW, &mut results);
        results.pop().expect("there is a segment to write to")
    }

    fn add(value: Vec<u8>) -> Command {
        Command::Put(Put { key: Key::from("other").into(), ..put_of(NewValue::Inline(value.into())) })
    }

    fn full(store: &Store) -> StoreError {
        StoreError::NoSpace { folder: store.path().to_owned() }
    }

    #[test]
    fn where_room_is_short_only_what_makes_the_store_smaller_is_taken_and_in_a_segment_with_room() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = at_ease(&folder);
        let (before, namespace) = (store.end().segment, store.namespace("n").unwrap());
        store.take(Event::Room(Some(full(&store))), NOW);
        store.progress(NOW);
        assert!(store.end().segment > before);
        let refused = write(&mut store, add(vec![1]));
        assert!(matches!(&refused, Err(StoreError::NoSpace { folder }) if folder == store.path()), "{refused:?}");
        let delete = Command::Delete { namespace, key: Key::from("k"), when: Condition::Live };
        write(&mut store, delete).unwrap();
        // That segment was applied, so room was looked for again: in truth there is enough.
        wait(&mut store, |store| store.scarcity.shortage.is_none());
        write(&mut store, add(vec![1])).unwrap();
    }

    #[test]
    fn where_room_is_short_no_batches_share_a_frame() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = at_ease(&folder);
        write(&mut store, add(vec![1])).unwrap();
        store.take(Event::Room(Some(full(&store))), NOW);
        let namespace = store.namespace("n").unwrap();
        let delete = |key: &str| Command::Delete { namespace, key: Key::from(key), when: Condition::Live };
        let mut batches = ["k", "other"].map(|key| Batch::of(delete(key), None)).into();
        let (frames, mut results) = (store.counters().frames, Vec::new());
        store.write(&mut batches, NOW, &mut results);
        assert_eq!((results.len(), batches.len(), store.counters().frames - frames), (1, 1, 1));
        store.write(&mut batches, NOW, &mut results);
        assert_eq!((results.len(), store.counters().frames - frames), (2, 2));
    }

    #[test]
    fn a_segment_in_which_nothing_finds_room_is_left_for_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = at_ease(&folder);
        let error = full(&store);
        assert!(store.note_append_failed(&error), "the next one may have some");
        let before = store.end().segment;
        let namespace = store.namespace("n").unwrap();
        let delete = Command::Delete { namespace, key: Key::from("k"), when: Condition::Live };
        write(&mut store, delete).unwrap();
        assert!(store.end().segment > before && !store.scarcity.is_cramped);
    }

    /// It was tried in the same segment again and again, until the stack was used up: the next one was asked for only where a
    /// shortage was news.
    #[test]
    fn a_segment_without_room_is_left_also_where_room_is_known_to_be_short() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = at_ease(&folder);
        let (error, namespace) = (full(&store), store.namespace("n").unwrap());
        write(&mut store, add(vec![1])).unwrap();
        store.take(Event::Room(Some(error.again())), NOW);
        store.progress(NOW);
        let delete = |key: &str| Command::Delete { namespace, key: Key::from(key), when: Condition::Live };
        write(&mut store, delete("k")).unwrap();
        let before = store.end().segment;

        assert!(store.note_append_failed(&error), "the next one may have some");
        let mut results = Vec::new();
        store.write(&mut [Batch::of(delete("other"), None)].into(), NOW, &mut results);
        assert!(results.is_empty() || store.end().segment > before, "nothing more is tried there");
        wait(&mut store, |store| store.end().segment > before);
    }

    #[test]
    fn a_segment_in_which_nothing_ever_found_room_is_not_left() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let error = full(&store);
        assert!(!store.note_append_failed(&error));
        assert!(!store.note_append_failed(&StoreError::TooLarge { size: 2, limit: 1 }));
        assert!(!store.scarcity.is_cramped);
    }

    #[test]
    fn statistics_tell_of_what_is_short_since_it_first_was() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = at_ease(&folder);
        let shortage = |store: &Store| store.stats().unwrap().shortage;
        let (later, error) = (Timestamp::from_millis(NOW.as_millis() + 5), full(&store));
        assert_eq!(shortage(&store), None);
        // Not what the threads found meanwhile, which is another thing.
        store.take(Event::Room(Some(error.again())), NOW);
        store.date_shortage(NOW);
        assert_eq!(shortage(&store), Some(Shortage { of: Scarce::Disk, since: NOW }));
        store.take(Event::ApplyFailed(StoreError::IndexFull { limit: 1 }), later);
        store.take(Event::Room(Some(error)), later);
        store.date_shortage(later);
        assert_eq!(shortage(&store), Some(Shortage { of: Scarce::Index, since: NOW }));
        // In truth there is enough of either, which shows when the log is applied.
        store.progress(later);
        wait(&mut store, |store| shortage(store).is_none());
    }

    /// In the log they take a megabyte, or half a megabyte without the keys.
    #[test]
    fn room_is_looked_for_as_the_rows_of_tags_grow() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = at_ease(&folder);
        let tags: Vec<Tag> = (0..64).map(|number| Tag::new(&number.to_string()).unwrap()).collect();
        for number in 0..200 {
            let key = Key::from(format!("{number:0500}")).into();
            let put = Put { key, tags: tags.clone(), ..put_of(NewValue::Inline(vec![1].into())) };
            write(&mut store, Command::Put(put)).unwrap();
        }
        assert_eq!((store.end().offset < STEP, store.scarcity.asked), (true, 1));
    }

    #[test]
    fn the_rows_of_places_count_where_entries_are_added_and_where_they_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = at_ease(&folder);
        let (before, namespace, birth) = (store.scarcity.rows[0], store.namespace("n").unwrap(), 2);
        let place = Place { queue: Queue::Main, note: Note::default() };
        let key = Key::from("k");
        let index_key = index_key_length(key.encoded());
        let outcomes = write(&mut store, Command::Keep { namespace, key, birth, place }).unwrap();
        assert_eq!(outcomes, [Outcome::Kept(true)]);
        let rows = place_row(index_key) + moved_row();
        assert_eq!(store.scarcity.rows[0] - before, rows);
        write(&mut store, add(vec![1])).unwrap();
        assert_eq!(store.scarcity.rows[0] - before, rows + place_row(index_key_length(Key::from("other").encoded())));
    }

    /// What the policy would keep is what was read. That it stays takes a row for each.
    #[test]
    fn where_room_is_short_an_eviction_gives_no_other_places() {
        for policy in Policy::ALL.into_iter().filter(|policy| *policy != Policy::None) {
            let folder = tempfile::tempdir().unwrap();
            let mut store = at_ease(&folder);
            let namespace = store.namespace("n").unwrap();
            for key in 0..200 {
                let put =
                    Put { key: Key::from(key).into(), pinned: key < 5, ..put_of(NewValue::Inline(vec![1].into())) };
                write(&mut store, Command::Put(put)).unwrap();
                (0..3).for_each(|_| store.access.access().mark(KeyHash::of(namespace, Key::from(key).encoded())));
            }
            let all = Rule { limit_entries: Some(50), policy: Some(policy), ..Rule::default() };
            store.take(Event::Room(Some(full(&store))), NOW);
            store.set_rules(Rules { all, ..Rules::default() });
            let (operations, entries) = (store.counters().operations, store.counts(namespace).entries);
            while store.evict_surplus(NOW).unwrap() {}
            let left = store.counts(namespace).entries;
            assert!((5..=50).contains(&left), "{left} by {policy:?}");
            assert_eq!(store.counters().operations - operations, entries - left, "by {policy:?}");
        }
    }

    #[test]
    fn room_is_looked_for_every_few_megabytes() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = at_ease(&folder);
        for _ in 0..5 {
            write(&mut store, add(vec![1; 1 << 20])).unwrap();
        }
        assert_eq!(store.scarcity.asked, 1);
        wait(&mut store, |store| store.scarcity.asked == 0);
        assert!(store.scarcity.shortage.is_none());
    }
}
