//! A process with the blocking client that does what it is told on standard input; see `datacache_tests::client`.

#![expect(clippy::unwrap_used, reason = "what tests stand on fails as tests do")]

mod asynchronous;
mod bytes;
mod check;
mod child;
mod forks;
mod held;
mod inherited;
mod load;
mod reader;
mod recorder;
mod rotator;
mod writer;

use std::error::Error;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use datacache_client::blocking::{DataCache, Scope};
use datacache_client::{Expire, HashType, Hasher, Options, Transfer};
use serde_json::{Value, json};

use crate::asynchronous::Asynchronous;

type Answer = Result<Value, Box<dyn Error>>;

/// What the process has open; nothing before it is told to.
#[derive(Default)]
struct Client {
    cache: Option<DataCache>,
    scope: Option<Scope>,
    asynchronous: Option<Asynchronous>,
    read: Option<held::Read>,
    lock: Option<held::Lock>,
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some(inherited::EXECUTED) {
        return inherited::executed();
    }
    let mut client = Client::default();
    for line in io::stdin().lock().lines() {
        let request: Vec<String> = serde_json::from_str(&line.unwrap()).unwrap();
        let request: Vec<&str> = request.iter().map(String::as_str).collect();
        let answer = match client.perform(&request) {
            Ok(done) => json!({ "done": done }),
            Err(error) => json!({ "failed": chain(&*error) }),
        };
        let mut out = io::stdout().lock();
        writeln!(out, "{answer}").unwrap();
        out.flush().unwrap();
    }
}

impl Client {
    fn perform(&mut self, request: &[&str]) -> Answer {
        Ok(match request {
            ["open"] => json!(self.cache()?.daemon()?.process.pid),
            ["open-to-send", transfer] => self.open_to_send(transfer)?,
            ["add", key, text] => json!(self.cache()?.add(*text).key(*key).run()?.to_string()),
            ["add-many", prefix, from, to] => self.add_many(prefix, from.parse()?..to.parse()?)?,
            ["add-batch", prefix, size, length] => self.add_batch(prefix, size.parse()?, length.parse()?)?,
            ["add-batches", prefix, batches, size] => self.add_batches(prefix, batches.parse()?, size.parse()?)?,
            ["add-file", path, tag] => json!(self.cache()?.add_file(*path).tag(*tag).run()?.to_string()),
            ["add-zeros", length] => json!(self.add_zeros(length.parse()?)?),
            ["bind", key, text] => self.bind(key, text)?,
            ["bind-content", text] => self.bind_content(text)?,
            ["release"] => json!(self.scope.take().map(Scope::end).transpose()?),
            ["drop-scope"] => json!(self.scope.take().is_some()),
            ["touch", key, seconds] => {
                json!(self.cache()?.touch(*key, Expire::After(Duration::from_secs(seconds.parse()?)))?)
            }
            ["get", key] => json!(self.cache()?.get_as::<String>(*key)?),
            ["use-asynchronously", key, text] => json!(self.asynchronous()?.set_and_get(key, text)?),
            ["hash", key] => json!(self.hash(key)?),
            ["delete", key] => json!(self.cache()?.delete(*key)?),
            ["len"] => json!(self.cache()?.len()?),
            ["fork", rest @ ..] => self.fork(rest)?,
            ["fork-under-load", forks] => forks::under_load(&self.cache()?, forks.parse()?)?,
            ["fork-often", forks] => forks::often(&self.cache()?, forks.parse()?)?,
            ["take", way, key] => self.take(way, key)?,
            ["bytes-put", from, to, version] => bytes::put(from.parse()?..to.parse()?, version.parse()?)?,
            ["bytes-read"] => bytes::read()?,
            ["churn-read", ledger, worker] => reader::read(Path::new(ledger), worker.parse()?)?,
            ["churn-write", ledger, worker, from, to] => {
                writer::write(Path::new(ledger), worker.parse()?, from.parse()?..to.parse()?)?
            }
            ["hold-read", folder] => json!(self.read.replace(held::Read::begin(Path::new(folder))?).is_none()),
            ["look-through-read"] => json!(self.read.as_ref().ok_or("no read has begun")?.look()?),
            ["end-read"] => json!(self.read.take().is_some()),
            ["hold-lock", file] => json!(self.lock.replace(held::Lock::take(Path::new(file))?).is_none()),
            ["record", ledger, worker, seed, mood] => {
                recorder::record(Path::new(ledger), worker.parse()?, seed.parse()?, mood.parse()?)?
            }
            ["churn-rotate", ledger, worker] => rotator::rotate(Path::new(ledger), worker.parse()?)?,
            _ => return Err(format!("not understood: {request:?}").into()),
        })
    }

    fn cache(&mut self) -> Result<DataCache, datacache_client::Error> {
        if let Some(cache) = &self.cache {
            return Ok(cache.clone());
        }
        let cache = DataCache::open(Options::new())?;
        self.cache = Some(cache.clone());
        Ok(cache)
    }

    /// Opens a cache that sends large values one way only, `staging` or `chunks`.
    fn open_to_send(&mut self, transfer: &str) -> Answer {
        let transfer = if transfer == "chunks" { Transfer::Chunks } else { Transfer::Staging };
        let cache = DataCache::open(Options::new().transfer(transfer))?;
        Ok(json!(self.cache.insert(cache).daemon()?.process.pid))
    }

    /// Tells whether a value was got, as bytes in memory or as a map.
    fn take(&mut self, way: &str, key: &str) -> Answer {
        let cache = DataCache::open(Options::new().mapped(way == "map"))?;
        Ok(cache.get(key)?.map_or(Value::Null, |value| json!(value.len())))
    }

    fn asynchronous(&mut self) -> Result<&Asynchronous, Box<dyn Error>> {
        let opened = self.asynchronous.take().map_or_else(Asynchronous::open, Ok)?;
        Ok(self.asynchronous.insert(opened))
    }

    fn bind(&mut self, key: &str, text: &str) -> Answer {
        let cache = self.cache()?;
        let scope = self.scope.take().map_or_else(|| cache.scope(), Ok)?;
        let added = cache.add(text).key(key).bind(&scope).run();
        self.scope = Some(scope);
        Ok(json!(added?.to_string()))
    }

    /// Under the hash of the content, as two sessions would that know nothing of each other.
    fn bind_content(&mut self, text: &str) -> Answer {
        let key = datacache_client::hash_of(text, HashType::Sha256)?;
        self.bind(&key, text)
    }

    /// Adds small entries until there are enough or the daemon is gone; returns how many were acknowledged.
    fn add_many(&mut self, prefix: &str, numbers: std::ops::Range<u32>) -> Answer {
        let cache = self.cache()?;
        let mut acknowledged = 0;
        for number in numbers {
            cache.add(format!("value {number}")).key(format!("{prefix}{number}")).run()?;
            acknowledged += 1;
        }
        Ok(json!(acknowledged))
    }

    /// Adds a batch of values of one length, each with bytes of its own; bound, where there is a scope.
    fn add_batch(&mut self, prefix: &str, size: u8, length: usize) -> Answer {
        let items = (0..size).map(|number| (format!("{prefix}{number}"), vec![number; length]));
        let batch = self.cache()?.add_many(items);
        let batch = if let Some(scope) = &self.scope { batch.bind(scope) } else { batch };
        Ok(json!(batch.run()?.len()))
    }

    /// Adds batches of entries, each with a large one, until there are enough; returns how many were acknowledged.
    fn add_batches(&mut self, prefix: &str, batches: u32, size: u32) -> Answer {
        let cache = self.cache()?;
        for batch in 0..batches {
            let small = (0..size).map(|number| (format!("{prefix}{batch}/{number}"), format!("value {number}")));
            let large = (format!("{prefix}{batch}/large"), format!("{prefix}{batch} ").repeat(5_000));
            cache.add_many(small.chain([large])).run()?;
        }
        Ok(json!(batches))
    }

    /// Streams a value that never exists as a whole in this process.
    fn add_zeros(&mut self, length: u64) -> Result<String, datacache_client::Error> {
        Ok(self.cache()?.add_reader(io::repeat(0).take(length)).run()?.to_string())
    }

    /// Returns length and SHA-256 of a value that is read piece by piece.
    fn hash(&mut self, key: &str) -> Answer {
        let Some(mut reader) = self.cache()?.get_reader(key)? else { return Ok(Value::Null) };
        let (mut hasher, mut piece) = (Hasher::new(HashType::Sha256), vec![0; 64 * 1024]);
        loop {
            match reader.read(&mut piece)? {
                0 => return Ok(json!([reader.len(), hasher.finish()])),
                length => hasher.update(&piece[..length]),
            }
        }
    }

    /// Performs a request in a forked child, which then drops all that it inherited and ends; returns the child's answer, or
    /// why it gave none.
    #[expect(unsafe_code, reason = "nothing else than fork makes a forked child")]
    fn fork(&mut self, request: &[&str]) -> Answer {
        let (mut answer, mut told) = io::pipe()?;
        // SAFETY: the child goes on with locks as they stand, which is only sound if no other thread holds one that it
        // needs. This process has one thread: the client starts others for large values only, which are not used here.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let done = if request.is_empty() { Ok(Value::Null) } else { self.perform(request) };
            *self = Self::default();
            let done = done.unwrap_or_else(|error| json!({ "failed": chain(&*error) }));
            told.write_all(done.to_string().as_bytes()).unwrap();
            std::process::exit(0);
        }
        drop(told);
        let mut text = String::new();
        answer.read_to_string(&mut text)?;
        let child = rustix::process::Pid::from_raw(child).ok_or_else(io::Error::last_os_error)?;
        rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty())?;
        Ok(serde_json::from_str(&text)?)
    }
}

/// Returns an error and its causes, outermost first.
fn chain(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", chain(cause)),
        None => error.to_string(),
    }
}
