//! Adding an entry: the builder, and the way of a value to the daemon.

use std::future::IntoFuture;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use datacache_proto::key::{Key, Tag, check_tags};
use datacache_proto::time::Timestamp;
use datacache_proto::types::{Added, Addition, Body as WireBody, CallId, Codec};
use tarpc::context::Context;

use crate::cache::{Boxed, DataCache, off_thread};
use crate::connection::Connection;
use crate::error::Error;
use crate::expire::Expire;
use crate::fault::{Fault, settle};
use crate::lease::Scope;
use crate::new_value::NewValue;
use crate::prepared::Prepared;
use crate::repeat::Call;
use crate::room::Room;
use crate::route::Route;
use crate::sending::Sending;
use crate::staging::{Order, Source};
use crate::tally::Progress;

/// An entry that is about to be added. Nothing happens before `.await`, or [`run`](Add::run) for a blocking cache.
///
/// Both return the key. An entry that has the key is replaced: value, expiry and tags.
///
/// # Examples
/// ```no_run
/// # async fn example() -> Result<(), datacache_client::Error> {
/// use datacache_client::{DataCache, Expire, Options};
/// use std::time::Duration;
///
/// let cache = DataCache::open(Options::new()).await?;
/// let key = cache.add("some text").expire(Expire::After(Duration::from_secs(60))).tag("demo").await?;
/// # Ok(()) }
/// ```
#[must_use = "nothing is added before `.await` or `.run()`"]
pub struct Add<C = DataCache> {
    pub(crate) cache: C,
    pub(crate) request: Request,
}

/// All that was asked for in an [`Add`].
pub(crate) struct Request {
    source: Source,
    codec: Codec,
    key: Option<Key>,
    expire: Expire,
    tags: Vec<String>,
    /// The scope's number and process.
    scope: Option<(u64, u32)>,
    pinned: bool,
    durable: bool,
    progress: Option<Progress>,
}

impl<C> Add<C> {
    fn of(cache: C, source: Source) -> Self {
        let request = Request {
            source,
            codec: Codec::Bytes,
            key: None,
            expire: Expire::Default,
            tags: Vec::new(),
            scope: None,
            pinned: false,
            durable: false,
            progress: None,
        };
        Self { cache, request }
    }

    pub(crate) fn value(cache: C, value: NewValue) -> Self {
        Self::of(cache, Source::Value(value))
    }

    pub(crate) fn file(cache: C, path: PathBuf) -> Self {
        Self::of(cache, Source::File(path))
    }

    pub(crate) fn reader(cache: C, reader: Box<dyn Read + Send>) -> Self {
        Self::of(cache, Source::Reader(reader))
    }

    /// Sets the key. Default: [`Config::access_key`](crate::Config::access_key), else the hash of the value.
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        self.request.key = Some(key.into());
        self
    }

    /// Says when the entry ends. Default: [`Expire::Default`].
    pub fn expire(mut self, expire: impl Into<Expire>) -> Self {
        self.request.expire = expire.into();
        self
    }

    /// Adds a tag, next to [`Config::tag`](crate::Config::tag).
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.request.tags.push(tag.into());
        self
    }

    /// Adds tags.
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.request.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Binds the entry to a scope: it goes when the scope ends, unless others hold it.
    pub fn bind(mut self, scope: impl AsRef<Scope>) -> Self {
        self.request.scope = Some(scope.as_ref().identity());
        self
    }

    /// Has the entry stay when others are evicted because there is no room for all; its time still ends. What may be pinned is
    /// bounded by the daemon's setting `held_max`. Not pinned unless told.
    pub fn pin(mut self, pinned: bool) -> Self {
        self.request.pinned = pinned;
        self
    }

    /// Waits until the entry survives a loss of power. Else it survives the end of any process at once, and a loss of
    /// power after the daemon's sync interval (1 s).
    pub fn durable(mut self) -> Self {
        self.request.durable = true;
        self
    }

    /// Takes the content of a file or a reader for text: it is checked to be UTF-8. A value in memory stays what it is.
    pub fn text(mut self) -> Self {
        self.request.codec = Codec::Text;
        self
    }

    /// Takes the content of a file or a reader for JSON: it is parsed, in memory, and stored as its canonical text. A value
    /// in memory stays what it is.
    pub fn json(mut self) -> Self {
        self.request.codec = Codec::Json;
        self
    }

    /// Sets what is told how many bytes have been taken so far, on another thread for large values.
    pub fn progress(mut self, progress: impl FnMut(u64) + Send + 'static) -> Self {
        self.request.progress = Some(Box::new(progress));
        self
    }
}

impl IntoFuture for Add<DataCache> {
    type Output = Result<Key, Error>;
    type IntoFuture = Boxed<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.request.perform(self.cache))
    }
}

impl Request {
    /// Checks what can be checked here, makes the value ready, and sends it.
    pub(crate) async fn perform(mut self, cache: DataCache) -> Result<Key, Error> {
        let config = &cache.settings().config;
        let key = self.key.take().or_else(|| config.access_key.clone());
        key.as_ref().map_or(Ok(()), Key::check)?;
        let namespace = cache.namespace_name()?;
        let tags = self.tags(config.tag.clone())?;
        let expires = self.expire.resolve(Timestamp::now(), config.expire_time);
        let scope = self.scope()?;
        let (pinned, durable) = (self.pinned, self.durable);
        let prepared = self.prepare(&cache, &namespace, key.is_none()).await?;
        let hash = || prepared.key_hash.as_deref().map(Key::text).expect("it is counted where no key is given");
        let key = key.unwrap_or_else(hash);
        let body = WireBody::Inline(Vec::new());
        let codec = prepared.codec;
        let addition = Addition { namespace, key: key.clone(), codec, body, expires, tags, scope, pinned, durable };
        send(&cache, addition, prepared).await?;
        Ok(key)
    }

    fn tags(&mut self, configured: Option<Tag>) -> Result<Vec<Tag>, Error> {
        let given = self.tags.drain(..).map(|tag| Tag::new(&tag));
        let tags = configured.map(Ok).into_iter().chain(given).collect::<Result<Vec<Tag>, _>>()?;
        Ok(check_tags(tags)?)
    }

    fn scope(&self) -> Result<Option<u64>, Error> {
        match self.scope {
            Some((_, owner)) if owner != std::process::id() => Err(Error::ForeignScope { owner }),
            scope => Ok(scope.map(|(number, _)| number)),
        }
    }

    async fn prepare(self, cache: &DataCache, namespace: &str, needs_key: bool) -> Result<Prepared, Error> {
        let settings = cache.settings();
        let connection = cache.session().connect().await?;
        let inline_max = connection.introduced.inline_max;
        let (room, questions) = Room::asking();
        let order = Order {
            codec: self.codec,
            key_hash: needs_key.then_some(settings.config.hash_type),
            inline_max,
            value_max: cache.session().value_max(&connection, self.source.length()).await?,
            route: Route::of(&connection, settings.transfer),
            room,
            progress: self.progress,
        };
        let source = self.source;
        // What travels in the call is judged with it, and asks nothing.
        if !source.is_slow(inline_max) {
            return source.prepare(order);
        }
        questions.answer(cache, namespace, off_thread(move || source.prepare(order))).await
    }
}

/// Sends a prepared value, again and again if need be, as one call.
async fn send(cache: &DataCache, addition: Addition, prepared: Prepared) -> Result<Added, Error> {
    let session = cache.session();
    let id = session.next_call();
    let call = Call::change("add").with_bytes(prepared.length);
    let transfer = cache.settings().transfer;
    let prepared = Arc::new(prepared);
    let attempt = |connection: Arc<Connection>, context: Context| {
        let sending = Sending { context, connection, transfer };
        send_once(sending, id, addition.clone(), Arc::clone(&prepared))
    };
    session.call(call, attempt).await?
}

/// One attempt. The inner error is one of ours, which no other attempt would mend.
async fn send_once(
    sending: Sending,
    id: CallId,
    addition: Addition,
    prepared: Arc<Prepared>,
) -> Result<Result<Added, Error>, Fault> {
    let add = |body| sending.connection.client.add(sending.context, id, Addition { body, ..addition });
    if let Some(body) = sending.at_once(&prepared) {
        return sending.judge(settle(add(body).await)).map(Ok);
    }
    // The daemon bounds how many a connection may have open.
    let _turn = sending.connection.transfers.acquire().await;
    let (body, place) = match sending.in_chunks(&prepared).await? {
        Ok(sent) => sent,
        Err(error) => return Ok(Err(error)),
    };
    let added = settle(add(body).await)?;
    place.closed();
    Ok(Ok(added))
}
