//! The calls of the service, each as the daemon answers it.

use datacache_proto::additions::{AdditionRef, Additions};
use datacache_proto::error::{Resource, WireError};
use datacache_proto::key::{Key, Tag};
use datacache_proto::process::Process;
use datacache_proto::service::{Cache, Chunk, Keys, Tags};
use datacache_proto::time::Timestamp;
use datacache_proto::types::{
    Added, Addition, CallId, Fallback, Hello, Introduced, Introduction, ListPage, ListQuery, Lookup, Metadata, Opened,
    Reloaded, Stats, TagStats, Verification, Welcome,
};
use tarpc::context::Context;

use super::entry::Entry;
use super::limits::{CHUNK_MAX, INLINE_MAX, PAGE, UPLOADS_MAX};
use super::service::Service;
use super::trouble::Trouble;

impl Cache for Service {
    async fn hello(self, _: Context, hello: Hello) -> Result<Welcome, WireError> {
        self.begin("hello", None).await?;
        let protocol = self.state().protocol;
        if (hello.protocol_min..=hello.protocol_max).contains(&protocol) {
            return Ok(Welcome { protocol, build: "fake".into() });
        }
        Err(WireError::Version { min: protocol, max: protocol, build: "fake".into() })
    }

    async fn introduce(self, _: Context, introduction: Introduction) -> Result<Introduced, WireError> {
        self.begin("introduce", None).await?;
        self.state().introductions.push(introduction);
        Ok(Introduced {
            store: self.store.to_str().unwrap().into(),
            store_id: 7,
            inline_max: INLINE_MAX,
            value_max: self.state().value_max,
            chunk_max: CHUNK_MAX,
            busy_poll: 0,
            daemon: Process::current().unwrap(),
            started: Timestamp::from_millis(1),
        })
    }

    async fn add(self, _: Context, call: CallId, addition: Addition) -> Result<Added, WireError> {
        let added = self.change("add", call, |state| {
            let value = self.take(state, &addition.body)?;
            Ok(self.put(state, addition, value))
        });
        added.await.map(|version| Added { version, replaced: false })
    }

    async fn add_many(self, _: Context, call: CallId, additions: Additions) -> Result<Vec<Added>, WireError> {
        let additions: Vec<Addition> = additions.iter().map(|addition| owned(&addition.unwrap())).collect();
        let added = self.change("add_many", call, |state| {
            let take = |addition: &Addition| self.take(state, &addition.body);
            let values = additions.iter().map(take).collect::<Result<Vec<_>, _>>()?;
            let entries = additions.iter().cloned().zip(values);
            Ok(entries.map(|(addition, value)| self.put(state, addition, value)).last().unwrap_or_default())
        });
        // The versions of a batch follow one another.
        let (count, last) = (additions.len() as u64, added.await?);
        Ok((last + 1 - count..=last).map(|version| Added { version, replaced: false }).collect())
    }

    async fn get(self, _: Context, namespace: String, key: Key, _: Fallback) -> Result<Lookup, WireError> {
        let trouble = self.begin("get", None).await?;
        let found = self.lookup(&namespace, &key);
        if trouble == Some(Trouble::Replaced) {
            self.replace(&namespace, &key);
        }
        Ok(found)
    }

    async fn get_many(
        self,
        _: Context,
        namespace: String,
        Keys(keys): Keys,
        _: Fallback,
    ) -> Result<Vec<Lookup>, WireError> {
        let trouble = self.begin("get_many", None).await?;
        let found = keys.iter().take(PAGE).map(|key| self.lookup(&namespace, key)).collect();
        if trouble == Some(Trouble::Replaced) {
            self.replace(&namespace, &keys[0]);
        }
        Ok(found)
    }

    async fn contains(self, _: Context, namespace: String, key: Key) -> Result<bool, WireError> {
        self.begin("contains", None).await?;
        Ok(self.state().entries.contains_key(&(namespace, key)))
    }

    async fn stat(self, _: Context, namespace: String, key: Key) -> Result<Option<Metadata>, WireError> {
        self.begin("stat", None).await?;
        Ok(self.state().entries.get(&(namespace, key)).map(Entry::metadata))
    }

    async fn touch(
        self,
        _: Context,
        call: CallId,
        namespace: String,
        key: Key,
        expires: Option<Timestamp>,
    ) -> Result<bool, WireError> {
        let touched = self.change("touch", call, |state| match state.entries.get_mut(&(namespace, key)) {
            Some(entry) => {
                entry.addition.expires = expires;
                Ok(1)
            }
            None => Ok(0),
        });
        Ok(touched.await? == 1)
    }

    async fn delete(self, _: Context, call: CallId, namespace: String, Keys(keys): Keys) -> Result<u64, WireError> {
        let deleted = self.change("delete", call, |state| {
            let gone = keys.into_iter().filter(|key| state.entries.remove(&(namespace.clone(), key.clone())).is_some());
            Ok(gone.count() as u64)
        });
        deleted.await
    }

    async fn evict(self, _: Context, call: CallId, namespace: String, Tags(tags): Tags) -> Result<u64, WireError> {
        let evicted = self.change("evict", call, |state| {
            let before = state.entries.len();
            state.entries.retain(|(name, _), entry| {
                *name != namespace || !entry.addition.tags.iter().any(|tag| tags.contains(tag))
            });
            Ok((before - state.entries.len()) as u64)
        });
        evicted.await
    }

    async fn expire(self, _: Context, call: CallId, _: String) -> Result<u64, WireError> {
        self.change("expire", call, |_| Ok(0)).await
    }

    async fn clear(self, _: Context, call: CallId, namespace: String) -> Result<u64, WireError> {
        let cleared = self.change("clear", call, |state| {
            let before = state.entries.len();
            state.entries.retain(|(name, _), _| *name != namespace);
            Ok((before - state.entries.len()) as u64)
        });
        cleared.await
    }

    async fn release(self, _: Context, call: CallId, scope: u64) -> Result<u64, WireError> {
        let released = self.change("release", call, |state| {
            let before = state.entries.len();
            state.entries.retain(|_, entry| entry.addition.scope != Some(scope));
            Ok((before - state.entries.len()) as u64)
        });
        released.await
    }

    async fn len(self, _: Context, namespace: String) -> Result<u64, WireError> {
        self.begin("len", None).await?;
        Ok(self.state().entries.keys().filter(|(name, _)| *name == namespace).count() as u64)
    }

    async fn list(self, _: Context, query: ListQuery) -> Result<ListPage, WireError> {
        self.begin("list", None).await?;
        let state = self.state();
        let after = query.after.map(|after| Key::from_encoded(&after).unwrap());
        let entries = state.entries.iter().filter(|((namespace, key), entry)| {
            let is_tagged = query.tag.as_ref().is_none_or(|tag| entry.addition.tags.contains(tag));
            let prefix = query.prefix.as_deref().unwrap_or_default();
            let is_named = key.as_text().is_some_and(|text| text.starts_with(prefix));
            *namespace == query.namespace && is_tagged && is_named && after.as_ref().is_none_or(|after| key > after)
        });
        let entries: Vec<Metadata> = entries.take(query.limit as usize).map(|(_, entry)| entry.metadata()).collect();
        let is_full = entries.len() == query.limit as usize;
        let next = entries.last().filter(|_| is_full).map(|last| last.key.encoded().to_vec());
        Ok(ListPage { entries, next })
    }

    async fn stats(self, _: Context) -> Result<Box<Stats>, WireError> {
        self.begin("stats", None).await?;
        Ok(Box::default())
    }

    async fn tags(self, _: Context, _: Option<String>) -> Result<Box<TagStats>, WireError> {
        self.begin("tags", None).await?;
        Ok(Box::default())
    }

    async fn upload_begin(self, _: Context) -> Result<u64, WireError> {
        self.begin("upload_begin", None).await?;
        let mut state = self.state();
        state.next += 1;
        let upload = state.next;
        if state.uploads.len() >= UPLOADS_MAX {
            return Err(WireError::Busy { what: Resource::Uploads, limit: UPLOADS_MAX as u64 });
        }
        state.uploads.insert(upload, Vec::new());
        Ok(upload)
    }

    async fn upload(self, _: Context, upload: u64, offset: u64, chunk: Chunk) -> Result<(), WireError> {
        self.begin("upload", None).await?;
        let mut state = self.state();
        let bytes = state.uploads.get_mut(&upload).filter(|bytes| bytes.len() as u64 == offset);
        let bytes = bytes.ok_or(WireError::Upload { upload, length: offset })?;
        bytes.extend(chunk.0);
        Ok(())
    }

    async fn open(self, _: Context, namespace: String, key: Key) -> Result<Option<Opened>, WireError> {
        self.begin("open", None).await?;
        let mut state = self.state();
        let Some(entry) = state.entries.get(&(namespace, key)).cloned() else { return Ok(None) };
        state.next += 1;
        let handle = state.next;
        let (digest, length) = (entry.digest(), entry.value.len() as u64);
        state.handles.insert(handle, entry.value);
        Ok(Some(Opened { handle, codec: entry.addition.codec, length, digest }))
    }

    async fn read(self, _: Context, handle: u64, offset: u64, length: u64) -> Result<Chunk, WireError> {
        self.begin("read", None).await?;
        let state = self.state();
        let bytes = state.handles.get(&handle).ok_or(WireError::Handle { handle })?;
        let range = |at: u64| usize::try_from(at).unwrap().min(bytes.len());
        Ok(Chunk(bytes[range(offset)..range(offset + length.min(CHUNK_MAX))].to_vec()))
    }

    async fn close(self, _: Context, handle: u64) -> Result<(), WireError> {
        self.begin("close", None).await?;
        let mut state = self.state();
        let was_open = state.handles.remove(&handle).is_some() | state.uploads.remove(&handle).is_some();
        if was_open { Ok(()) } else { Err(WireError::Handle { handle }) }
    }

    async fn suspect(self, _: Context, namespace: String, key: Key) -> Result<bool, WireError> {
        if self.begin("suspect", None).await? == Some(Trouble::Replaced) {
            self.replace(&namespace, &key);
        }
        Ok(false)
    }

    async fn reload(self, _: Context) -> Result<Reloaded, WireError> {
        self.begin("reload", None).await?;
        Ok(Reloaded::default())
    }

    async fn fits(self, _: Context, _: String, bytes: u64) -> Result<(), WireError> {
        self.begin("fits", None).await?;
        let state = self.state();
        match (state.value_max, state.room) {
            (Some(limit), _) if bytes > limit => Err(WireError::TooLarge { size: bytes, limit }),
            (_, Some(limit)) if bytes > limit => Err(WireError::NeverFits { bytes, of: None, limit }),
            _ => Ok(()),
        }
    }

    async fn verify(self, _: Context, _: bool) -> Result<Verification, WireError> {
        self.begin("verify", None).await?;
        Ok(Verification::default())
    }

    async fn stop(self, _: Context) -> Result<(), WireError> {
        self.begin("stop", None).await?;
        Ok(())
    }
}

fn owned(addition: &AdditionRef<'_>) -> Addition {
    Addition {
        namespace: addition.namespace.into(),
        key: Key::from_encoded(addition.key).unwrap(),
        codec: addition.codec,
        body: addition.body.into(),
        expires: addition.expires,
        tags: addition.tags.iter().map(|tag| Tag::new(tag).unwrap()).collect(),
        scope: addition.scope,
        pinned: addition.pinned,
        durable: addition.durable,
    }
}
