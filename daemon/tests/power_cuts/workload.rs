//! The process that is recorded: drives a store as its seed says, and says what it does.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::Path;
use std::time::Duration;

use datacache_daemon::eviction::{Note, Place, Queue};
use datacache_daemon::store::{Batch, Command, Condition, Cursor, NewValue, Plan as Planned, Position, Put};
use datacache_proto::key::{Key, Tag};
use datacache_proto::types::{CallId, Codec, Digest};
use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::effect::Effect;
use crate::history::{Fact, digest};
use crate::model::map::Map;
use crate::model::older::age;
use crate::model::subject::{Setup, Subject};
use crate::model::{CLIENT, SCOPES, SPACES, TAGS, holder, keys, moment};
use crate::record::{Change, Mark, say};

/// How many commands of a plan are written before the next page of it is asked for.
const PAGE: usize = 7;

/// What follows from the seed, and how far it goes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) steps: u64,
    /// Of which life of the store it is.
    pub(crate) life: u64,
    /// The layout that its store is given first, if it is to be an older one.
    pub(crate) older: Option<u32>,
}

/// Makes the put of bytes that have nothing else.
pub(crate) fn put_of(space: &str, key: &Key, value: NewValue) -> Put {
    let (namespace, key, codec) = (space.into(), key.clone().into(), Codec::Bytes);
    Put { namespace, key, codec, value, expires: None, tags: Vec::new(), pinned: false, holder: None }
}

/// Runs the workload on the store at `path`.
pub(crate) fn run(path: &Path, plan: Plan) {
    say(&Mark::Opening);
    if let Some(layout) = plan.older {
        age(path, layout);
    }
    let mut rng = Rng::with_seed(plan.seed);
    if rng.bool() {
        // Whoever starts a daemon has made its folder.
        std::fs::create_dir_all(path).unwrap();
    }
    let setup = Setup {
        path: path.to_owned(),
        segment_bytes: [2_000, 8_000, 40_000, 200_000][rng.usize(..4)],
        sync_interval: [Duration::ZERO, Duration::from_millis(5), Duration::from_secs(3_600)][rng.usize(..3)],
    };
    let now = 1_700_000_000_000 + plan.life * 10_000;
    let mut life = Life::new(Subject::new(setup, now), rng, now, plan.life);
    for _ in 0..plan.steps {
        life.step();
    }
    life.end();
}

struct Life {
    rng: Rng,
    subject: Subject,
    map: Map,
    keys: Vec<Key>,
    contents: Vec<Vec<u8>>,
    /// The bytes of every blob.
    blobs: HashMap<Digest, Vec<u8>>,
    now: u64,
    calls: u64,
    /// How many writes were done, and where in the log those end that may yet be lost.
    done: u64,
    ends: VecDeque<(u64, Position)>,
}

impl Life {
    fn new(mut subject: Subject, mut rng: Rng, now: u64, life: u64) -> Self {
        // Of the same lives the same contents, so that they come back.
        let mut drawn = Rng::with_seed(7);
        let mut content = |n| (0..drawn.usize(1..20_000)).map(|_| drawn.u8(..) ^ n).collect();
        let contents = (0..6).map(&mut content).collect();
        let (mut map, keys) = (Map::default(), keys());
        for space in SPACES {
            for key in &keys {
                let Some(entry) = subject.get(space, key, 0) else { continue };
                map.spaces.entry(space.to_owned()).or_default().insert(key.clone(), entry);
            }
        }
        let entries = map.spaces.iter().flat_map(|(space, entries)| entries.iter().map(move |found| (space, found)));
        let held = entries.map(|(space, (key, entry))| (space.clone(), key.clone(), Some(Fact::of(entry))));
        say(&Mark::Opened(held.collect()));
        rng = rng.fork();
        Self {
            rng,
            subject,
            map,
            keys,
            contents,
            blobs: HashMap::new(),
            now,
            calls: life * 1_000_000,
            done: 0,
            ends: VecDeque::new(),
        }
    }

    fn step(&mut self) {
        match self.rng.u32(0..108) {
            0..38 => self.put(),
            38..52 => self.batch(),
            52..58 => self.delete(),
            58..64 => self.touch(),
            64..68 => self.release(),
            68..70 => self.evict(),
            70..73 => self.expire(),
            73 => self.clear(),
            74..80 => self.now += self.rng.u64(0..300),
            80..83 => drop(self.subject.store().request_checkpoint()),
            83..86 => self.subject.checkpoint(self.now),
            86..94 => self.make_durable(),
            94..97 => drop(self.subject.store().progress(moment(self.now))),
            97 => self.reopen(Subject::reopen_cleanly),
            98 => self.reopen(Subject::reopen_after_death),
            99 => self.crowd(),
            _ => self.keep_or_evict(),
        }
        self.tell_what_is_durable();
    }

    /// Ends as a daemon does, or dies.
    fn end(mut self) {
        if self.rng.bool() {
            self.subject.close(self.now);
        }
    }

    fn reopen(&mut self, reopen: fn(&mut Subject, u64)) {
        say(&Mark::Opening);
        reopen(&mut self.subject, self.now);
        say(&Mark::Reopened);
        self.ends.clear();
        say(&Mark::Durable(self.done));
    }

    fn space(&mut self) -> &'static str {
        SPACES[self.rng.usize(..SPACES.len())]
    }

    fn key(&mut self) -> Key {
        self.keys[self.rng.usize(..self.keys.len())].clone()
    }

    fn expiry(&mut self) -> Option<u64> {
        (self.rng.u32(0..3) > 0).then(|| self.now + self.rng.u64(1..3_000))
    }

    fn new_put(&mut self, durable: bool, alone: bool) -> Put {
        let value = match self.rng.u32(0..3) {
            0 => {
                let in_chunks = alone && self.rng.bool();
                self.blob(durable, in_chunks)
            }
            1 => NewValue::Inline(vec![self.rng.u8(..); self.rng.usize(0..9_000)].into()),
            _ => NewValue::Inline(vec![self.rng.u8(..); self.rng.usize(0..200)].into()),
        };
        let tags: BTreeSet<&str> = (0..self.rng.usize(0..3)).map(|n| TAGS[n + self.rng.usize(..2)]).collect();
        Put {
            namespace: self.space().into(),
            key: self.key().into(),
            codec: [Codec::Bytes, Codec::Json][self.rng.usize(..2)],
            value,
            expires: self.expiry().map(moment),
            tags: tags.into_iter().map(|tag| Tag::new(tag).unwrap()).collect(),
            pinned: self.rng.u32(0..4) == 0,
            holder: (self.rng.u32(0..4) == 0).then(|| holder(self.rng.u64(..SCOPES))),
        }
    }

    /// A file that a client has staged, or that came in chunks; of a content that was there before, or of one that never was.
    fn blob(&mut self, durable: bool, in_chunks: bool) -> NewValue {
        let content = match self.rng.bool() {
            true => self.contents[self.rng.usize(..self.contents.len())].clone(),
            false => (0..self.rng.usize(0..15_000)).map(|_| self.rng.u8(..)).collect(),
        };
        self.blobs.insert(digest(&content), content.clone());
        if !in_chunks {
            return self.subject.stage(&content, durable);
        }
        let mut upload = self.subject.store().blobs().create_upload().unwrap();
        content.chunks(5_000).for_each(|chunk| upload.write_chunk(chunk).unwrap());
        NewValue::Blob(upload.finish(durable).unwrap())
    }

    fn put(&mut self) {
        let durable = self.rng.u32(0..3) == 0;
        let put = self.new_put(durable, true);
        self.write(&[Command::Put(put)]);
        if durable {
            self.make_durable();
        }
    }

    fn batch(&mut self) {
        let durable = self.rng.u32(0..3) == 0;
        let puts: Vec<_> = (0..self.rng.usize(2..6)).map(|_| Command::Put(self.new_put(durable, false))).collect();
        self.write(&puts);
        if durable {
            self.make_durable();
        }
    }

    /// More operations than fit a transaction, so that a segment is applied in several.
    fn crowd(&mut self) {
        let (space, value) = (self.space(), self.rng.u8(..));
        for _ in 0..3 {
            let put = |n: usize| {
                let value = NewValue::Inline(vec![value; n % 50].into());
                Command::Put(put_of(space, &self.keys[n % self.keys.len()], value))
            };
            let puts: Vec<_> = (0..400).map(put).collect();
            self.write(&puts);
        }
    }

    fn delete(&mut self) {
        let (space, key) = (self.space(), self.key());
        if let Some(namespace) = self.subject.store().namespace(space) {
            self.write(&[Command::Delete { namespace, key, when: Condition::Live }]);
        }
    }

    fn touch(&mut self) {
        let (space, key, expires) = (self.space(), self.key(), self.expiry().map(moment));
        if let Some(namespace) = self.subject.store().namespace(space) {
            self.write(&[Command::Touch { namespace, key, expires }]);
        }
    }

    fn release(&mut self) {
        let holder = holder(self.rng.u64(..SCOPES));
        for version in self.subject.store().leases_of(&holder, 5) {
            self.write(&[Command::Release { holder, version }]);
        }
    }

    fn evict(&mut self) {
        let (space, tag) = (self.space(), Tag::new(TAGS[self.rng.usize(..TAGS.len())]).unwrap());
        let Some(namespace) = self.subject.store().namespace(space) else { return };
        self.subject.checkpoint(self.now);
        let reader = self.subject.store().reader();
        self.bulk(|_, cursor| reader.plan_tagged(namespace, &tag, cursor, PAGE).unwrap());
    }

    /// As an eviction does, in one batch.
    fn keep_or_evict(&mut self) {
        let space = self.space();
        let Some(namespace) = self.subject.store().namespace(space) else { return };
        let entries: Vec<_> =
            self.map.spaces.get(space).into_iter().flatten().map(|(k, e)| (k.clone(), e.birth)).collect();
        let mut command = |(key, birth): (Key, u64)| match self.rng.u32(0..6) {
            0 => Some(Command::Evict { namespace, key, birth }),
            1..4 => {
                let queue = [Queue::Small, Queue::Main][self.rng.usize(..2)];
                let place = Place { queue, note: Note::from_bits(self.rng.u8(..)) };
                Some(Command::Keep { namespace, key, birth, place })
            }
            _ => None,
        };
        let commands: Vec<_> = entries.into_iter().filter_map(&mut command).collect();
        if !commands.is_empty() {
            self.write(&commands);
        }
    }

    fn expire(&mut self) {
        self.bulk(|life, cursor| {
            let now = moment(life.now);
            life.subject.store().plan_expired(None, now, cursor, PAGE).unwrap()
        });
    }

    fn clear(&mut self) {
        let space = self.space();
        let Some(namespace) = self.subject.store().namespace(space) else { return };
        let target = self.subject.store().request_checkpoint();
        self.subject.checkpoint(self.now);
        let reader = self.subject.store().reader();
        self.bulk(|_, cursor| reader.plan_all(namespace, target, cursor, PAGE).unwrap());
    }

    fn bulk(&mut self, plan: impl Fn(&mut Self, Option<&Cursor>) -> Planned) {
        let mut cursor = None;
        loop {
            let page = plan(self, cursor.as_ref());
            page.commands.iter().for_each(|command| self.write(std::slice::from_ref(command)));
            cursor = Some(match page.next {
                Some(next) => next,
                None => return,
            });
        }
    }

    /// Writes, and says what is different then.
    fn write(&mut self, commands: &[Command]) {
        self.calls += 1;
        let call = (commands.len() > 1 || self.rng.bool()).then_some(self.calls);
        let id = call.map(|number| CallId { client: CLIENT, number });
        say(&Mark::Begun);
        let outcomes = self.subject.write_batch(Batch::all(commands.to_vec(), id), self.now).unwrap();
        let namespaces = self.subject.store().namespaces();
        let mut effect = Effect { map: &mut self.map, namespaces: &namespaces, blobs: &self.blobs, now: self.now };
        let done = commands.iter().zip(outcomes);
        let touched: BTreeSet<_> = done.filter_map(|(command, outcome)| effect.of(command, outcome)).collect();
        let change = |(space, key): (String, Key)| -> Change {
            let entry = self.map.spaces.get(&space).and_then(|entries| entries.get(&key));
            let fact = entry.map(Fact::of);
            (space, key, fact)
        };
        say(&Mark::Done { changes: touched.into_iter().map(change).collect(), call, whole: commands.len() > 1 });
        self.done += 1;
        let end = self.subject.store().end();
        self.ends.push_back((self.done, end));
    }

    /// Waits as whoever asked for durability does.
    fn make_durable(&mut self) {
        let end = self.subject.store().end();
        self.subject.store().request_sync();
        self.subject.wait(self.now, |store| store.synced() >= end);
        self.tell_what_is_durable();
    }

    fn tell_what_is_durable(&mut self) {
        self.subject.store().progress(moment(self.now));
        let synced = self.subject.store().synced();
        let mut durable = None;
        while self.ends.front().is_some_and(|(_, end)| *end <= synced) {
            durable = self.ends.pop_front();
        }
        if let Some((done, _)) = durable {
            say(&Mark::Durable(done));
        }
    }
}
