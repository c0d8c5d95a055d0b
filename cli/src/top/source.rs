//! The thread that asks the daemon: whatever that takes, keys are heard meanwhile.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use datacache_client::Options;
use datacache_client::blocking::DataCache;
use datacache_proto::paths::Paths;
use datacache_proto::types::{Stats, TagStats};

use super::event::Event;
use super::measurement::Measurement;
use crate::failure::chain;
use crate::unserved::is_unserved;

/// They are counted no oftener, and may be many.
const TAGS_EVERY: Duration = Duration::from_secs(1);

/// What is wanted of the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Measure,
    Evict { namespace: String, tag: String },
}

/// What came of it.
#[derive(Debug)]
pub(super) enum News {
    /// What the daemon has to say; of tags not each time.
    Measured(Box<(Measurement, Option<TagStats>)>),
    /// There is none, or it does not answer.
    Gone { why: String },
    /// Entries went because of their tag, or did not.
    Evicted { tag: String, result: Result<u64, String> },
}

/// The connection, for as long as there is one.
struct Source {
    /// Start no daemon: one that was stopped while somebody only looked is to stay stopped.
    options: Options,
    /// Where systemd would start one for whoever connects.
    activated: Option<Paths>,
    cache: Option<DataCache>,
    /// When tags were asked for.
    asked_tags: Option<Instant>,
    events: Sender<Event>,
}

/// Begins to take orders.
pub(super) fn begin(options: &Options, activated: Option<Paths>, events: Sender<Event>) -> Sender<Order> {
    let (orders, ordered) = channel();
    let options = options.clone().start(false);
    let mut source = Source { options, activated, cache: None, asked_tags: None, events };
    thread::spawn(move || source.serve(&ordered));
    orders
}

impl Source {
    fn serve(&mut self, orders: &Receiver<Order>) {
        while let Ok(order) = orders.recv() {
            match order {
                Order::Measure => {
                    let news = self.measure();
                    self.tell(news);
                }
                Order::Evict { namespace, tag } => self.evict(&namespace, tag),
            }
        }
    }

    /// That nobody listens any more is the end.
    fn tell(&self, news: News) {
        self.events.send(Event::News(news)).unwrap_or_default();
    }

    fn measure(&mut self) -> News {
        match self.ask() {
            Ok((stats, tags)) => News::Measured(Box::new((Measurement::from(&stats), tags))),
            Err(why) => {
                self.cache = None;
                News::Gone { why: why.0 }
            }
        }
    }

    fn ask(&mut self) -> Result<(Stats, Option<TagStats>), Why> {
        let wants_tags = self.asked_tags.is_none_or(|asked| asked.elapsed() >= TAGS_EVERY);
        let cache = self.connected()?;
        let stats = cache.stats()?;
        let tags = wants_tags.then(|| cache.tags(None)).transpose()?;
        self.asked_tags = if wants_tags { Some(Instant::now()) } else { self.asked_tags };
        Ok((stats, tags))
    }

    fn connected(&mut self) -> Result<&DataCache, Why> {
        let none_runs = || Why("no daemon runs".to_owned());
        // Also where there is a connection: it would be made anew.
        if self.activated.as_ref().is_some_and(is_unserved) {
            return Err(none_runs());
        }
        let cache = match self.cache.take() {
            Some(cache) => cache,
            None => DataCache::try_connect(self.options.clone())?.ok_or_else(none_runs)?,
        };
        Ok(self.cache.insert(cache))
    }

    /// On a thread of its own, for many entries take seconds.
    fn evict(&mut self, namespace: &str, tag: String) {
        let cache = self.connected().map(|cache| cache.namespace(namespace));
        let events = self.events.clone();
        thread::spawn(move || {
            let result = cache.and_then(|cache| Ok(cache.evict(&*tag)?)).map_err(|why| why.0);
            events.send(Event::News(News::Evicted { tag, result })).unwrap_or_default();
        });
    }
}

/// Why there is no answer, in one line.
struct Why(String);

impl From<datacache_client::Error> for Why {
    fn from(error: datacache_client::Error) -> Self {
        Self(chain(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::layout::LOCK;
    use std::fs;
    use std::io::ErrorKind;
    use std::os::unix::net::UnixListener;

    /// Whoever stopped the daemon had it again two seconds later.
    #[test]
    fn where_systemd_listens_and_no_daemon_runs_nobody_connects() {
        let folder = tempfile::tempdir().unwrap();
        let [store, socket, store_link, config] = ["s", "sock", "store", "c"].map(|name| folder.path().join(name));
        fs::create_dir(&store).unwrap();
        fs::write(store.join(LOCK), "").unwrap();
        let systemd = UnixListener::bind(&socket).unwrap();
        systemd.set_nonblocking(true).unwrap();
        let options = Options::new().dir(&store).socket(&socket).start(false);
        let activated = Some(Paths { store, socket, store_link, config, is_default: false });
        let mut source = Source { options, activated, cache: None, asked_tags: None, events: channel().0 };
        assert!(matches!(source.measure(), News::Gone { why } if why == "no daemon runs"));
        assert_eq!(systemd.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}
