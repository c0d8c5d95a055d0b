//! Calls in any order, over restarts of the daemon and its death, beside a map that says what they should do: the one that the
//! store's own random test has.

#![no_main]

#[path = "../../daemon/tests/store/model/map.rs"]
mod map;

use std::collections::BTreeSet;

use datacache_fuzz::daemon::{Daemon, connect, soon};
use datacache_fuzz::place::Place;
use datacache_fuzz::script::{
    Content, Expiry, Item, KEYS, SCOPES, SPACES, Step, TAGS, digest, key_of, large, moment, now, space_of, tags_of,
};
use datacache_proto::error::WireError;
use datacache_proto::key::{Key, Tag};
use datacache_proto::service::{CacheClient, Keys, Tags};
use datacache_proto::time::Timestamp;
use datacache_proto::types::{Added, Addition, Body, CallId, Codec, Fallback, ListQuery, Lookup};
use libfuzzer_sys::fuzz_target;
use map::{Entry, Map};

/// More steps than this in one input tell nothing new.
const STEPS: usize = 40;
fuzz_target!(|steps: Vec<Step>| {
    let mut run = Run::new();
    for step in steps.iter().take(STEPS) {
        run.step(step);
    }
    run.end();
});

struct Run {
    // Goes before the folder that it works in.
    daemon: Option<Daemon>,
    client: Option<CacheClient>,
    place: Place,
    map: Map,
    calls: u64,
    /// The last call that added one entry, and what came of it.
    last: Option<(CallId, Addition, Added)>,
    released: [u64; SCOPES as usize],
    staged: u64,
}

impl Run {
    fn new() -> Self {
        let place = Place::new();
        let daemon = Some(Daemon::start(&place));
        let (map, last, released) = (Map::default(), None, [0; SCOPES as usize]);
        let mut run = Self { daemon, client: None, place, map, calls: 0, last, released, staged: 0 };
        run.connect();
        run
    }

    fn connect(&mut self) {
        let (socket, scopes) = (self.place.socket(), (0..SCOPES).map(|number| self.scope(number)).collect());
        self.client = Some(self.daemon().with(connect(&socket, scopes)).expect("it is welcome"));
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("one runs between steps")
    }

    fn ask<T, F: Future<Output = T>>(&self, call: impl FnOnce(CacheClient) -> F) -> T {
        let client = self.client.clone().expect("there is one between steps");
        self.daemon().with(call(client))
    }

    fn call(&mut self) -> CallId {
        self.calls += 1;
        CallId { client: 77, number: self.calls }
    }

    /// Returns the scope that stands for a number at the moment.
    fn scope(&self, number: u64) -> u64 {
        let number = number % SCOPES;
        number + SCOPES * self.released[usize::try_from(number).expect("it is small")]
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Add(item) => self.add(item),
            Step::Again => self.again(),
            Step::AddMany(items) => self.add_many(items),
            Step::Delete(space, keys) => self.delete(space_of(*space), keys),
            Step::Touch(space, key, expires) => self.touch(space_of(*space), key_of(*key), *expires),
            Step::Evict(space, tags) => self.evict(space_of(*space), *tags),
            Step::Expire(space) => self.expire(space_of(*space)),
            Step::Clear(space) => self.clear(space_of(*space)),
            Step::Release(scope) => self.release((*scope).into()),
            Step::Get(space, key) => self.get(space_of(*space), &key_of(*key)),
            Step::Read(space, key) => self.read(space_of(*space), &key_of(*key)),
            Step::List { space, tag, has_prefix, limit } => self.list(space_of(*space), *tag, *has_prefix, *limit),
            Step::Restart { dies } => self.restart(*dies),
            Step::Reconnect => self.connect(),
        }
    }

    /// Compares everything there is, and ends the daemon in good order.
    fn end(mut self) {
        for space in SPACES {
            (0..KEYS).for_each(|key| self.get(space, &key_of(key)));
            self.list(space, None, false, 0);
            self.expire(space);
        }
        let stats = self.ask(async |client| client.stats(soon()).await).unwrap().unwrap().store;
        assert_eq!((stats.leases, stats.blobs), (self.map.leases(), self.map.blobs().len() as u64));
        let verification = self.ask(async |client| client.verify(soon(), false).await).unwrap().unwrap();
        assert!(verification.findings.is_empty(), "{verification:?}");
        self.client = None;
        self.daemon.take().expect("it runs").stop();
    }

    /// Makes an addition and what it should leave in the map.
    fn addition(&mut self, item: &Item) -> (Addition, Entry) {
        let codec = [Codec::Bytes, Codec::Text, Codec::Json][usize::from(item.codec) % 3];
        let tags: BTreeSet<String> = tags_of(item.tags).iter().map(|tag| tag.as_str().to_owned()).collect();
        let (value, body) = self.body(&item.body);
        let expires = moment(item.expires);
        let addition = Addition {
            namespace: space_of(item.space).into(),
            key: key_of(item.key),
            codec,
            body,
            expires: expires.map(Timestamp::from_millis),
            tags: tags_of(item.tags),
            scope: item.scope.map(|scope| self.scope(scope.into())),
            pinned: item.pinned,
            durable: item.durable,
        };
        let is_blob = !matches!(item.body, Content::Inline { .. });
        let (pinned, scopes, version, birth, written) = (item.pinned, None, 0, 0, 0);
        (addition, Entry { codec, value, is_blob, expires, tags, pinned, scopes, version, birth, written })
    }

    fn body(&mut self, content: &Content) -> (Vec<u8>, Body) {
        match content {
            Content::Inline { byte, length } => {
                let value = vec![b'a' + byte % 3; usize::from(*length)];
                (value.clone(), Body::Inline(value))
            }
            Content::Staged(number) => {
                let value = large(*number);
                self.staged += 1;
                let name = format!("staged-{}", self.staged);
                std::fs::write(self.place.store().join("staging").join(&name), &value).unwrap();
                let (length, digest) = (value.len() as u64, digest(&value));
                (value, Body::Staged { name, length, digest })
            }
            Content::Uploaded(number) => {
                let value = large(*number);
                let (length, chunks) = (value.len() as u64, value.clone());
                let upload = self.ask(async |client| upload(client, chunks).await);
                (value, Body::Uploaded { upload, length })
            }
        }
    }

    fn add(&mut self, item: &Item) {
        let (addition, entry) = self.addition(item);
        let (call, sent) = (self.call(), addition.clone());
        let added = self.ask(async move |client| client.add(soon(), call, sent).await).unwrap().unwrap();
        self.note(&addition, entry, &added);
        self.last = Some((call, addition, added));
    }

    /// A call that is repeated is answered as it was, and does nothing.
    fn again(&mut self) {
        let Some((call, addition, added)) = self.last.clone() else { return };
        // A scope that has ended is refused before the reply is looked for.
        if addition.scope.is_some_and(|scope| (0..SCOPES).all(|number| self.scope(number) != scope)) {
            return;
        }
        let again = self.ask(async move |client| client.add(soon(), call, addition).await).unwrap();
        assert_eq!(again, Ok(added));
    }

    fn add_many(&mut self, items: &[Item]) {
        let (additions, entries): (Vec<_>, Vec<_>) = items.iter().take(8).map(|item| self.addition(item)).unzip();
        let (call, sent) = (self.call(), additions.clone().into());
        let added = self.ask(async move |client| client.add_many(soon(), call, sent).await).unwrap().unwrap();
        assert_eq!(added.len(), additions.len());
        for ((addition, entry), added) in additions.iter().zip(entries).zip(&added) {
            self.note(addition, entry, added);
        }
    }

    fn note(&mut self, addition: &Addition, entry: Entry, added: &Added) {
        let Addition { namespace, key, scope, .. } = addition;
        let newest = self.map.spaces.values().flat_map(|space| space.values()).map(|entry| entry.version).max();
        let (replaced, keeps) = self.map.put(namespace, key, entry, *scope, now());
        assert_eq!(added.replaced, replaced, "whether {key} in {namespace} was replaced");
        let entry = self.map.spaces.get_mut(namespace).and_then(|space| space.get_mut(key)).expect("it was put");
        if keeps {
            assert_eq!(added.version, entry.version, "the version of {key} in {namespace} goes on");
        } else {
            assert!(Some(added.version) > newest, "the version of {key} in {namespace} is new");
            entry.version = added.version;
        }
    }

    fn delete(&mut self, space: &str, keys: &[u8]) {
        let keys: Vec<Key> = keys.iter().take(8).map(|key| key_of(*key)).collect();
        let (call, namespace, sent) = (self.call(), space.to_owned(), keys.clone());
        let went = self.ask(async move |client| client.delete(soon(), call, namespace, Keys(sent)).await).unwrap();
        let entries = self.map.spaces.entry(space.to_owned()).or_default();
        let mut live = 0;
        for key in &keys {
            if entries.get(key).is_some_and(|entry| entry.is_live(now())) {
                entries.remove(key);
                live += 1;
            }
        }
        assert_eq!(went, Ok(live), "deleting {keys:?} in {space}");
    }

    fn touch(&mut self, space: &str, key: Key, expires: Expiry) {
        let expires = moment(expires);
        let (call, namespace, sent) = (self.call(), space.to_owned(), key.clone());
        let moment = expires.map(Timestamp::from_millis);
        let touched = self.ask(async move |client| client.touch(soon(), call, namespace, sent, moment).await).unwrap();
        assert_eq!(touched, Ok(self.map.get(space, &key, now()).is_some()), "touching {key} in {space}");
        if touched == Ok(true) {
            let entry = self.map.spaces.get_mut(space).and_then(|space| space.get_mut(&key)).expect("it is there");
            entry.expires = expires;
        }
    }

    fn evict(&mut self, space: &str, tags: u8) {
        let (call, namespace, tags) = (self.call(), space.to_owned(), tags_of(tags));
        let sent = tags.clone();
        let went = self.ask(async move |client| client.evict(soon(), call, namespace, Tags(sent)).await).unwrap();
        let has_one = |entry: &Entry| tags.iter().any(|tag| entry.tags.contains(tag.as_str()));
        let expected = self.map.remove(Some(space), now(), |entry| entry.is_live(now()) && has_one(entry));
        assert_eq!(went, Ok(expected), "evicting {tags:?} in {space}");
    }

    /// The daemon removes what has expired by itself, too.
    fn expire(&mut self, space: &str) {
        let (call, namespace) = (self.call(), space.to_owned());
        let went = self.ask(async move |client| client.expire(soon(), call, namespace).await).unwrap().unwrap();
        let count = |map: &Map| map.spaces.values().map(|entries| entries.len() as u64).sum::<u64>();
        let before = count(&self.map);
        self.map.remove(Some(space), now(), |entry| !entry.is_live(now()));
        assert!(went <= before - count(&self.map), "{went} of {space} have expired");
    }

    fn clear(&mut self, space: &str) {
        let (call, namespace) = (self.call(), space.to_owned());
        let went = self.ask(async move |client| client.clear(soon(), call, namespace).await).unwrap();
        assert_eq!(went, Ok(self.map.remove(Some(space), now(), |_| true)), "clearing {space}");
    }

    fn release(&mut self, number: u64) {
        let (call, scope) = (self.call(), self.scope(number));
        let went = self.ask(async move |client| client.release(soon(), call, scope).await).unwrap();
        assert_eq!(went, Ok(self.map.release(scope, now())), "releasing {scope}");
        self.released[usize::try_from(number % SCOPES).expect("it is small")] += 1;
    }

    fn get(&self, space: &str, key: &Key) {
        let (namespace, sent) = (space.to_owned(), key.clone());
        let found = self.ask(async move |client| client.get(soon(), namespace, sent, Fallback::Off).await).unwrap();
        let expected = self.map.get(space, key, now());
        let lookup = expected.map_or(Lookup::Miss, |entry| {
            let Entry { codec, version, value, .. } = entry.clone();
            match entry.is_blob {
                true => Lookup::Blob { codec, version, length: value.len() as u64, digest: digest(&value) },
                false => Lookup::Inline { codec, version, value },
            }
        });
        assert_eq!(found, Ok(lookup), "{key} in {space}");
        self.stat(space, key, expected);
    }

    fn stat(&self, space: &str, key: &Key, expected: Option<&Entry>) {
        let (namespace, sent) = (space.to_owned(), key.clone());
        let stat = self.ask(async move |client| client.stat(soon(), namespace, sent).await).unwrap().unwrap();
        let shown = stat.map(|stat| {
            let tags: BTreeSet<String> = stat.tags.iter().map(|tag| tag.as_str().to_owned()).collect();
            (stat.size, stat.expires.map(Timestamp::as_millis), tags, stat.bound)
        });
        let expected =
            expected.map(|entry| (entry.value.len() as u64, entry.expires, entry.tags.clone(), entry.scopes.is_some()));
        assert_eq!(shown, expected, "{key} in {space}");
    }

    fn read(&self, space: &str, key: &Key) {
        let (namespace, sent) = (space.to_owned(), key.clone());
        let read = self.ask(async move |client| read(client, namespace, sent).await);
        let expected = self.map.get(space, key, now()).map(|entry| entry.value.clone());
        assert!(read == Ok(expected), "{key} in {space} is read as something else");
    }

    fn list(&self, space: &str, tag: Option<u8>, has_prefix: bool, limit: u8) {
        let tag = tag.map(|tag| TAGS[usize::from(tag) % TAGS.len()]);
        let prefix = has_prefix.then_some("k1");
        let query = ListQuery {
            namespace: space.to_owned(),
            prefix: prefix.map(str::to_owned),
            tag: tag.map(|tag| Tag::new(tag).expect("it is one")),
            after: None,
            limit: u32::from(limit) + 1,
        };
        let listed = self.ask(async move |client| list(client, query).await);
        let entries = self.map.spaces.get(space).into_iter().flatten();
        let expected = entries.filter(|(key, entry)| {
            let begins = prefix.is_none_or(|prefix| key.as_text().is_some_and(|text| text.starts_with(prefix)));
            entry.is_live(now()) && tag.is_none_or(|tag| entry.tags.contains(tag)) && begins
        });
        assert_eq!(listed, expected.map(|(key, _)| key.clone()).collect(), "list of {space} with {tag:?} {prefix:?}");
        let namespace = space.to_owned();
        let length = self.ask(async move |client| client.len(soon(), namespace).await).unwrap();
        let live = self.map.spaces.get(space).into_iter().flatten().filter(|(_, entry)| entry.is_live(now()));
        assert_eq!(length, Ok(live.count() as u64), "the length of {space}");
    }

    fn restart(&mut self, dies: bool) {
        self.client = None;
        let daemon = self.daemon.take().expect("one runs between steps");
        if dies {
            drop(daemon)
        } else {
            daemon.stop()
        }
        self.daemon = Some(Daemon::start(&self.place));
        self.connect();
    }
}

async fn upload(client: CacheClient, value: Vec<u8>) -> u64 {
    let upload = client.upload_begin(soon()).await.unwrap().unwrap();
    let mut offset = 0;
    for chunk in value.chunks(30_000) {
        let sent = datacache_proto::service::Chunk(chunk.to_vec());
        client.upload(soon(), upload, offset, sent).await.unwrap().unwrap();
        offset += chunk.len() as u64;
    }
    upload
}

async fn read(client: CacheClient, namespace: String, key: Key) -> Result<Option<Vec<u8>>, WireError> {
    let Some(opened) = client.open(soon(), namespace, key).await.unwrap()? else { return Ok(None) };
    let mut value = Vec::new();
    loop {
        let chunk = client.read(soon(), opened.handle, value.len() as u64, 20_000).await.unwrap()?;
        if chunk.0.is_empty() {
            break;
        }
        value.extend(chunk.0);
    }
    client.close(soon(), opened.handle).await.unwrap()?;
    assert_eq!((value.len() as u64, digest(&value)), (opened.length, opened.digest));
    Ok(Some(value))
}

async fn list(client: CacheClient, mut query: ListQuery) -> BTreeSet<Key> {
    let mut keys = BTreeSet::new();
    loop {
        let page = client.list(soon(), query.clone()).await.unwrap().unwrap();
        for entry in page.entries {
            assert!(keys.insert(entry.key.clone()), "{} is listed twice", entry.key);
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return keys,
        }
    }
}
