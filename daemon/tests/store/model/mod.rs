//! Drives a store and the map side by side.

mod ahead;
mod comparison;
mod map;
pub(crate) mod subject;

use std::collections::BTreeSet;
use std::time::Duration;

use datacache_daemon::eviction::{Note, Place, Queue};
use datacache_daemon::store::{Batch, Command, Condition, NewValue, Outcome, Put};
use datacache_proto::key::{Key, Tag};
use datacache_proto::process::Process;
use datacache_proto::types::{CallId, Codec};
use fastrand::Rng;
use tempfile::TempDir;

use ahead::Ahead;
use map::{Entry, Map};
use subject::{Setup, Subject};

const SPACES: [&str; 3] = ["default", "oteapi", "naïve"];
const TAGS: [&str; 4] = ["a", "ab", "tag three", "ü"];
const SCOPES: u64 = 3;

/// One run: everything follows from the seed.
pub(crate) struct Run {
    rng: Rng,
    subject: Subject,
    map: Map,
    keys: Vec<Key>,
    contents: Vec<Vec<u8>>,
    now: u64,
    step: u64,
    calls: u64,
    /// Goes before the store is closed: it has the index open.
    ahead: Option<Ahead>,
    /// Goes when the store is closed.
    _folder: TempDir,
}

impl Run {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let contents = (0..6).map(|n| (0..rng.usize(40_000..90_000)).map(|_| rng.u8(..) ^ n).collect()).collect();
        let folder = tempfile::tempdir().unwrap();
        let setup = Setup {
            path: folder.path().join("store"),
            segment_bytes: rng.u64(4..64) * 1024,
            sync_interval: Duration::from_secs(1),
        };
        Self {
            subject: Subject::new(setup, 0),
            map: Map::default(),
            keys: keys(),
            contents,
            now: 1_700_000_000_000,
            step: 0,
            calls: 0,
            ahead: None,
            rng,
            _folder: folder,
        }
    }

    /// Takes `steps` random steps, comparing all counters after each and everything from time to time.
    pub(crate) fn steps(mut self, steps: u64) {
        for step in 1..=steps {
            self.step = step;
            self.one();
            self.compare_counters();
            if step % 101 == 0 || step == steps {
                self.compare_all();
            }
        }
        self.ahead = None;
        self.subject.close(self.now);
    }

    fn one(&mut self) {
        match self.rng.u32(0..124) {
            0..45 => self.put(),
            45..52 => self.batch(),
            52..60 => self.delete(),
            60..66 => self.touch(),
            66..70 => self.release(),
            70..72 => self.evict(),
            72..75 => self.expire(),
            75 => self.clear(),
            76..85 => self.now += self.rng.u64(0..200),
            85 => self.set_the_clock(),
            86..90 => drop(self.subject.store().request_checkpoint()),
            90..93 => self.subject.checkpoint(self.now),
            93..96 => drop(self.subject.store().progress(moment(self.now))),
            96..99 => self.reopen(),
            99 => self.repeat_a_call(),
            100..112 => self.go_ahead(),
            _ => self.keep_or_evict(),
        }
    }

    fn reopen(&mut self) {
        self.ahead = None;
        match self.rng.u32(0..3) {
            0 => self.subject.reopen_cleanly(self.now),
            _ => self.subject.reopen_after_death(self.now),
        }
    }

    /// Forward, or back: by more than entries live, or less.
    fn set_the_clock(&mut self) {
        let step = [1_500, 100_000][self.rng.usize(..2)];
        match self.rng.bool() {
            true => self.now += self.rng.u64(..step),
            false => self.now -= self.rng.u64(..step),
        }
    }

    fn space(&mut self) -> &'static str {
        SPACES[self.rng.usize(..SPACES.len())]
    }

    fn key(&mut self) -> Key {
        self.keys[self.rng.usize(..self.keys.len())].clone()
    }

    fn expiry(&mut self) -> Option<u64> {
        match self.rng.u32(0..4) {
            0 => None,
            1 => Some(self.now - 1),
            _ => Some(self.now + self.rng.u64(1..2_000)),
        }
    }

    /// Makes a put and what it should leave in the map.
    fn new_put(&mut self) -> (Put, Entry, Option<u64>) {
        let (space, is_blob) = (self.space(), self.rng.u32(0..4) == 0);
        self.put_into(space, is_blob)
    }

    fn put_into(&mut self, space: &str, is_blob: bool) -> (Put, Entry, Option<u64>) {
        let codec = [Codec::Bytes, Codec::Text, Codec::Json][self.rng.usize(..3)];
        let value = match is_blob {
            true => self.contents[self.rng.usize(..self.contents.len())].clone(),
            false => vec![b'a' + self.rng.u8(..3); self.rng.usize(0..3) * 150],
        };
        let tags: BTreeSet<String> = (0..self.rng.usize(0..3)).map(|n| TAGS[n + self.rng.usize(..2)].into()).collect();
        let (expires, scope) = (self.expiry(), (self.rng.u32(0..4) == 0).then(|| self.rng.u64(..SCOPES)));
        let pinned = self.rng.u32(0..4) == 0;
        let put = Put {
            namespace: space.into(),
            key: self.key().into(),
            codec,
            value: if is_blob { self.subject.stage(&value, false) } else { NewValue::Inline(value.clone().into()) },
            expires: expires.map(moment),
            tags: tags.iter().map(|tag| Tag::new(tag).unwrap()).collect(),
            pinned,
            holder: scope.map(holder),
        };
        let (scopes, version, birth, written) = (None, 0, 0, self.step);
        let entry = Entry { codec, value, is_blob, expires, tags, pinned, scopes, version, birth, written };
        (put, entry, scope)
    }

    fn put(&mut self) {
        let (put, entry, scope) = self.new_put();
        let (space, key) = (put.namespace.clone(), key_of(&put));
        let outcome = self.subject.write(vec![Command::Put(put)], self.now);
        self.note_put(&space, &key, entry, scope, &outcome.unwrap()[0]);
    }

    fn note_put(&mut self, space: &str, key: &Key, entry: Entry, scope: Option<u64>, outcome: &Outcome) {
        let Outcome::Added(added) = outcome else { panic!("a put came out as {outcome:?}") };
        let newest = self.map.spaces.values().flat_map(|s| s.values()).map(|e| e.version).max().unwrap_or(0);
        let (replaced, keeps) = self.map.put(space, key, entry, scope, self.now);
        assert_eq!(added.replaced, replaced, "step {}: whether {key} was replaced", self.step);
        let entry = self.map.spaces.get_mut(space).unwrap().get_mut(key).unwrap();
        if keeps {
            assert_eq!(added.version, entry.version, "step {}: the version of {key} goes on", self.step);
        } else {
            assert!(added.version > newest, "step {}: the version of {key} is new", self.step);
            entry.version = added.version;
        }
        if entry.birth == 0 {
            entry.birth = entry.version;
        }
    }

    /// Several commands at once; now and then one that can't be done, and then none of them is. Repeated, it is answered and not
    /// done.
    fn batch(&mut self) {
        let count = self.rng.usize(1..6);
        let puts: Vec<_> = (0..count).map(|_| self.new_put()).collect();
        let places: Vec<_> = puts.iter().map(|(put, ..)| (put.namespace.clone(), key_of(put))).collect();
        let (mut commands, mut entries) = (Vec::new(), Vec::new());
        for (put, entry, scope) in puts {
            commands.push(Command::Put(put));
            entries.push((entry, scope));
        }
        let fails = self.rng.u32(0..4) == 0;
        if fails {
            let (mut huge, ..) = self.new_put();
            huge.value = NewValue::Inline(vec![0; 9 << 20].into());
            commands.push(Command::Put(huge));
        }
        self.calls += 1;
        let call = Some(CallId { client: 77, number: self.calls });
        let outcomes = self.subject.write_batch(Batch::all(commands, call), self.now);
        assert_eq!(outcomes.is_err(), fails, "step {}: {outcomes:?}", self.step);
        if let Ok(outcomes) = &outcomes {
            let again = self.subject.write_batch(Batch::all(Vec::new(), call), self.now).unwrap();
            assert_eq!(again, *outcomes, "step {}: the repeated batch", self.step);
        }
        for (outcome, ((space, key), (entry, scope))) in
            outcomes.unwrap_or_default().iter().zip(places.iter().zip(entries))
        {
            self.note_put(space, key, entry, scope, outcome);
        }
    }

    fn delete(&mut self) {
        let (space, key) = (self.space(), self.key());
        let Some(namespace) = self.subject.store().namespace(space) else { return };
        let command = Command::Delete { namespace, key: key.clone(), when: Condition::Live };
        let outcome = self.subject.write(vec![command], self.now).unwrap()[0];
        let was_live = self.map.get(space, &key, self.now).is_some();
        assert_eq!(outcome, Outcome::Deleted(was_live), "step {}: deleting {key}", self.step);
        if was_live {
            self.map.spaces.get_mut(space).unwrap().remove(&key);
        }
    }

    fn touch(&mut self) {
        let (space, key, expires) = (self.space(), self.key(), self.expiry());
        let Some(namespace) = self.subject.store().namespace(space) else { return };
        let command = Command::Touch { namespace, key: key.clone(), expires: expires.map(moment) };
        let outcome = self.subject.write(vec![command], self.now).unwrap()[0];
        let was_live = self.map.get(space, &key, self.now).is_some();
        assert_eq!(outcome, Outcome::Touched(was_live), "step {}: touching {key}", self.step);
        if was_live {
            let entry = self.map.spaces.get_mut(space).unwrap().get_mut(&key).unwrap();
            (entry.expires, entry.written) = (expires, self.step);
        }
    }

    fn release(&mut self) {
        let scope = self.rng.u64(..SCOPES);
        let went = self.subject.release(&holder(scope), self.now);
        assert_eq!(went, self.map.release(scope, self.now), "step {}: releasing scope {scope}", self.step);
    }

    fn evict(&mut self) {
        let (space, tag) = (self.space(), TAGS[self.rng.usize(..TAGS.len())]);
        let Some(namespace) = self.subject.store().namespace(space) else { return };
        let went = self.subject.evict(namespace, &Tag::new(tag).unwrap(), self.now);
        let now = self.now;
        let expected = self.map.remove(Some(space), now, |entry| entry.is_live(now) && entry.tags.contains(tag));
        assert_eq!(went, expected, "step {}: evicting {tag} in {space}", self.step);
    }

    /// As an eviction does. An entry that is not the one that was meant any more is left alone.
    fn keep_or_evict(&mut self) {
        let (space, key, keeps) = (self.space(), self.key(), self.rng.u32(0..3) > 0);
        let Some(namespace) = self.subject.store().namespace(space) else { return };
        let there = self.map.spaces.get(space).and_then(|entries| entries.get(&key)).cloned();
        let is_meant = self.rng.u32(0..8) > 0;
        let birth = there.as_ref().map_or(0, |entry| entry.birth) + u64::from(!is_meant);
        let there = there.filter(|_| is_meant);
        let place =
            Place { queue: [Queue::Small, Queue::Main][self.rng.usize(..2)], note: Note::from_bits(self.rng.u8(..)) };
        let command = match keeps {
            true => Command::Keep { namespace, key: key.clone(), birth, place },
            false => Command::Evict { namespace, key: key.clone(), birth },
        };
        let outcome = self.subject.write(vec![command], self.now).unwrap()[0];
        if keeps {
            return assert_eq!(outcome, Outcome::Kept(there.is_some()), "step {}: keeping {key}", self.step);
        }
        let goes = there.is_some_and(|entry| !entry.pinned && entry.scopes.is_none());
        assert_eq!(outcome, Outcome::Evicted(goes), "step {}: evicting {key}", self.step);
        if goes {
            self.map.spaces.get_mut(space).unwrap().remove(&key);
        }
    }

    fn expire(&mut self) {
        let space = self.rng.bool().then(|| self.space());
        let namespace = space.and_then(|space| self.subject.store().namespace(space));
        if space.is_some() && namespace.is_none() {
            return;
        }
        let went = self.subject.expire(namespace, self.now);
        let now = self.now;
        let before: usize = self.map.spaces.values().map(|entries| entries.len()).sum();
        self.map.remove(space, now, |entry| !entry.is_live(now));
        let after: usize = self.map.spaces.values().map(|entries| entries.len()).sum();
        assert_eq!(went, (before - after) as u64, "step {}: expiring {space:?}", self.step);
    }

    fn clear(&mut self) {
        let space = self.space();
        let Some(namespace) = self.subject.store().namespace(space) else { return };
        let went = self.subject.clear(namespace, self.now);
        assert_eq!(went, self.map.remove(Some(space), self.now, |_| true), "step {}: clearing {space}", self.step);
    }

    /// A call that is repeated, also over a death of the daemon, is done once.
    fn repeat_a_call(&mut self) {
        self.calls += 1;
        let call = Some(CallId { client: 77, number: self.calls });
        let (put, entry, scope) = self.new_put();
        let (space, key) = (put.namespace.clone(), key_of(&put));
        let first = self.subject.write_batch(Batch::of(Command::Put(put), call), self.now);
        self.note_put(&space, &key, entry, scope, &first.as_ref().unwrap()[0]);
        match self.rng.u32(0..3) {
            0 => {
                self.ahead = None;
                self.subject.reopen_after_death(self.now);
            }
            1 => self.subject.checkpoint(self.now),
            _ => {}
        }
        let other = Command::Put(self.new_put().0);
        let again = self.subject.write_batch(Batch::of(other, call), self.now);
        assert_eq!(first.unwrap(), again.unwrap(), "step {}: the repeated call", self.step);
    }
}

/// Text, bytes, integers; short ones, ones at the limit of the index, and ones beyond it that differ only at the end.
fn keys() -> Vec<Key> {
    let mut keys: Vec<Key> = (0..14).map(|n| Key::from(format!("k{n}"))).collect();
    keys.extend([Key::from("42"), Key::from(b"42"), Key::from(42), Key::from(-1), Key::from("long")]);
    keys.extend([505, 506, 507, 508, 600].map(|length| Key::from("long".repeat(200)[..length].to_owned())));
    keys.extend((0..3).map(|n| Key::from(format!("long{}{n}", "g".repeat(60_000)))));
    keys.push(Key::bytes(&[0x81; 700]));
    keys
}

fn moment(millis: u64) -> datacache_proto::time::Timestamp {
    datacache_proto::time::Timestamp::from_millis(millis)
}

fn holder(scope: u64) -> datacache_daemon::store::Holder {
    datacache_daemon::store::Holder { process: Process { boot: 1, pid: 2, start: 3 }, scope }
}

fn key_of(put: &Put) -> Key {
    Key::from_encoded(&put.key).unwrap()
}
