//! Adding entries together: the builder, and the way of a batch to the daemon.

use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::sync::Arc;

use datacache_proto::error::WireError;
use datacache_proto::key::{Key, Tag};
use datacache_proto::time::Timestamp;
use datacache_proto::types::{Added, BATCH_MAX, CallId};
use tarpc::context::Context;

use crate::batch::{Batch, Common, Draft, Preparation, check_number, in_batch};
use crate::cache::{Boxed, DataCache, off_thread};
use crate::connection::{Connection, TRANSFERS_AT_ONCE};
use crate::error::Error;
use crate::expire::Expire;
use crate::fault::{Fault, settle};
use crate::item::Item;
use crate::lease::Scope;
use crate::repeat::Call;
use crate::sending::Sending;
use crate::transfer_place::TransferPlace;

/// More bytes than this are hashed and copied on a thread that may wait.
const SLOW: u64 = 256 * 1024;

/// Entries that are about to be added together. Nothing happens before `.await`, or [`run`](AddMany::run) for a blocking cache.
///
/// Both return the keys, in the order of the items. All entries are added or none, also across a crash and a loss of power. Each
/// replaces the one that has its key; of several items with one key the last stays. Other processes may see the keys of a batch
/// appear one after the other.
///
/// A batch is one message and one step of the log, so it has bounds: 8,192 items (a scope that they are bound to counts for
/// as many again in the log, which takes 16,384), 256 of them above 32 KiB, and about 4 MiB for the others together, keys and
/// tags included. More than that is refused ([`Error::is_too_large`]): split it, which makes several steps of it. Some calls of the
/// asynchronous cache that are under way at once are done sooner than one after the other, in any order.
///
/// # Examples
/// ```no_run
/// # async fn example() -> Result<(), datacache_client::Error> {
/// use datacache_client::{DataCache, Options};
///
/// let cache = DataCache::open(Options::new()).await?;
/// cache.add_many((0..1_000).map(|number| (number, format!("value {number}")))).tag("numbers").await?;
/// # Ok(()) }
/// ```
#[must_use = "nothing is added before `.await` or `.run()`"]
pub struct AddMany<C = DataCache> {
    pub(crate) cache: C,
    pub(crate) request: Request,
}

/// All that was asked for in an [`AddMany`].
pub(crate) struct Request {
    items: Vec<Item>,
    expire: Expire,
    tags: Vec<String>,
    /// The scope's number and process.
    scope: Option<(u64, u32)>,
    pinned: bool,
    durable: bool,
}

impl<C> AddMany<C> {
    pub(crate) fn of<I: Into<Item>>(cache: C, items: impl IntoIterator<Item = I>) -> Self {
        let items = items.into_iter().map(Into::into).collect();
        let request =
            Request { items, expire: Expire::Default, tags: Vec::new(), scope: None, pinned: false, durable: false };
        Self { cache, request }
    }

    /// Says when the entries end that don't say so themselves. Default: [`Expire::Default`].
    pub fn expire(mut self, expire: impl Into<Expire>) -> Self {
        self.request.expire = expire.into();
        self
    }

    /// Adds a tag to all entries, next to their own and [`Config::tag`](crate::Config::tag).
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.request.tags.push(tag.into());
        self
    }

    /// Adds tags to all entries.
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.request.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Binds the entries to a scope: they go when the scope ends, unless others hold them.
    pub fn bind(mut self, scope: impl AsRef<Scope>) -> Self {
        self.request.scope = Some(scope.as_ref().identity());
        self
    }

    /// Has the entries that don't say so themselves stay when others are evicted because there is no room for all; their time
    /// still ends. What may be pinned is bounded by the daemon's setting `held_max`. Not pinned unless told.
    pub fn pin(mut self, pinned: bool) -> Self {
        self.request.pinned = pinned;
        self
    }

    /// Waits until the entries survive a loss of power, see [`Add::durable`](crate::Add::durable).
    pub fn durable(mut self) -> Self {
        self.request.durable = true;
        self
    }
}

impl IntoFuture for AddMany<DataCache> {
    type Output = Result<Vec<Key>, Error>;
    type IntoFuture = Boxed<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.request.perform(self.cache))
    }
}

impl Request {
    /// Checks everything that can be checked, makes the values ready, and sends them.
    pub(crate) async fn perform(self, cache: DataCache) -> Result<Vec<Key>, Error> {
        if self.items.is_empty() {
            return Ok(Vec::new());
        }
        let (common, drafts) = self.check(&cache)?;
        let session = cache.session();
        let connection = session.connect().await?;
        let preparation = Preparation::of(common, cache.settings(), &connection);
        let size = preparation.check(&drafts)?;
        let (preparation, drafts) = check_room(&cache, preparation, drafts).await?;
        let prepare = move || preparation.prepare(drafts, size);
        let batch = if size.values > SLOW { off_thread(prepare).await? } else { prepare()? };
        send(&cache, &batch).await?;
        Ok(batch.into_keys())
    }

    fn check(self, cache: &DataCache) -> Result<(Common, Vec<Draft>), Error> {
        check_number("items", self.items.len(), BATCH_MAX)?;
        let scope = match self.scope {
            Some((_, owner)) if owner != std::process::id() => return Err(Error::ForeignScope { owner }),
            scope => scope.map(|(number, _)| number),
        };
        let config = &cache.settings().config;
        let given = self.tags.iter().map(|tag| Tag::new(tag));
        let common = Common {
            namespace: cache.namespace_name()?,
            key: config.access_key.clone(),
            tags: config.tag.clone().map(Ok).into_iter().chain(given).collect::<Result<_, _>>()?,
            scope,
            durable: self.durable,
        };
        let now = Timestamp::now();
        let draft = |(index, item): (usize, Item)| {
            let expires = item.expire.unwrap_or(self.expire).resolve(now, config.expire_time);
            let pinned = item.pinned.unwrap_or(self.pinned);
            common.draft(item, expires, pinned).map_err(in_batch(index))
        };
        let drafts = self.items.into_iter().enumerate().map(draft).collect::<Result<_, _>>()?;
        Ok((common, drafts))
    }
}

/// Asks the daemon whether the values that don't travel in the call can ever have room, all of them together and the longest by itself.
///
/// # Errors
/// Where they can't, or the daemon can't be reached.
async fn check_room(
    cache: &DataCache,
    preparation: Preparation,
    drafts: Vec<Draft>,
) -> Result<(Preparation, Vec<Draft>), Error> {
    let Some((index, longest)) = preparation.longest(&drafts) else { return Ok((preparation, drafts)) };
    let all = preparation.together(&drafts);
    let told = match cache.fits(preparation.namespace(), all).await {
        Ok(()) => return Ok((preparation, drafts)),
        // That nobody answers is no item's fault.
        Err(error) if !error.is_refused() => return Err(error),
        Err(error) => error,
    };
    // Each that fits may be refused with the others for its length, or for room that they don't need: they may be there already.
    let alone =
        if all == longest { Err(told) } else { cache.fits(preparation.namespace(), longest).await.map(|()| told) };
    let told = alone.map_err(|error| if error.is_refused() { in_batch(index)(error) } else { error })?;
    let Error::Refused(WireError::NeverFits { bytes, of, limit }) = told else { return Ok((preparation, drafts)) };
    // To compare them takes a while.
    let compare = move || Ok((preparation.distinct(&drafts), preparation, drafts));
    let (distinct, preparation, drafts) = off_thread(compare).await?;
    if distinct > limit {
        return Err(WireError::NeverFits { bytes: bytes - (all - distinct).min(bytes), of, limit }.into());
    }
    Ok((preparation, drafts))
}

/// Sends a batch, again and again if need be, as one call.
async fn send(cache: &DataCache, batch: &Batch) -> Result<Vec<Added>, Error> {
    let session = cache.session();
    let id = session.next_call();
    let transfer = cache.settings().transfer;
    let attempt = |connection: Arc<Connection>, context: Context| {
        let sending = Sending { context, connection, transfer };
        send_once(sending, id, batch)
    };
    session.call(Call::change("add_many").with_bytes(batch.length()), attempt).await?
}

/// One attempt. The inner error is one of ours, which no other attempt would mend.
async fn send_once(sending: Sending, id: CallId, batch: &Batch) -> Result<Result<Vec<Added>, Error>, Fault> {
    let mut bodies = BTreeMap::new();
    let mut in_chunks = Vec::new();
    for (index, prepared) in &batch.large {
        match sending.at_once(prepared) {
            Some(body) => drop(bodies.insert(*index, body)),
            None => in_chunks.push((*index, prepared)),
        }
    }
    if let Err(error) = check_number("large values that can't travel as files", in_chunks.len(), TRANSFERS_AT_ONCE) {
        return Ok(Err(error));
    }
    // All of them at once, or two batches could wait for each other; and the daemon bounds how many a connection may have open.
    let turns = u32::try_from(in_chunks.len()).unwrap_or(u32::MAX);
    let _turns = sending.connection.transfers.acquire_many(turns).await;
    let mut places = Vec::new();
    for (index, prepared) in in_chunks {
        match sending.in_chunks(prepared).await? {
            Ok((body, place)) => {
                bodies.insert(index, body);
                places.push(place);
            }
            Err(error) => return Ok(Err(error)),
        }
    }
    let additions = batch.additions(&bodies);
    let answer = settle(sending.connection.client.add_many(sending.context, id, additions).await);
    let added = sending.judge(answer)?;
    places.into_iter().for_each(TransferPlace::closed);
    Ok(Ok(added))
}
