//! What the policies have learned, in files: a restart forgets nothing of it. Whoever can't read one begins anew.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::OFlags;
use tracing::{info, warn};

use super::blob::create_private;
use super::folder::{EVICTION, no_link};
use super::pool::PoolId;
use crate::eviction::{Evictor, Policy};

/// The most that a state takes, and more.
const LONGEST: u64 = 256 << 20;

/// The folder of the states of a store.
#[derive(Clone, Debug)]
pub(super) struct States {
    folder: PathBuf,
    order: Arc<Order>,
}

/// In which order states were taken, whoever writes them when.
#[derive(Debug, Default)]
struct Order {
    taken: AtomicU64,
    /// The latest of each pool that was written. Held while one is: two have the same name before they have their place.
    written: Mutex<BTreeMap<PoolId, u64>>,
}

/// What namespaces learned when they were pools before, which they become again.
#[derive(Debug, Default)]
pub struct Remembered(BTreeMap<u32, Evictor>);

/// States that are to be written.
#[derive(Debug)]
pub struct Learned {
    states: States,
    /// Where they stand in the order in which states were taken.
    number: u64,
    evictors: Vec<(PoolId, Evictor)>,
}

impl States {
    /// Names the folder, which need not be there, of a store.
    pub(super) fn new(store: &Path) -> Self {
        Self { folder: store.join(EVICTION), order: Arc::default() }
    }

    /// Returns what was kept of a pool, to follow a policy from now on.
    pub(super) fn load(&self, id: PoolId, policy: Policy) -> Evictor {
        let mut evictor = self.kept(id).unwrap_or_else(|| Evictor::new(policy));
        evictor.follow(policy);
        evictor
    }

    /// Returns what was kept of these namespaces. Blocks: a state may be large.
    pub(super) fn remember(&self, namespaces: impl IntoIterator<Item = u32>) -> Remembered {
        let kept = |number| Some((number, self.kept(PoolId::Own(number))?));
        Remembered(namespaces.into_iter().filter_map(kept).collect())
    }

    fn kept(&self, id: PoolId) -> Option<Evictor> {
        let path = self.path(id);
        match read(&path) {
            Ok(bytes) => Evictor::load(&bytes)
                .inspect_err(|error| info!(path = %path.display(), %error, "an eviction begins anew"))
                .ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                warn!(path = %path.display(), %error, "what an eviction has learned can't be read; it begins anew");
                None
            }
        }
    }

    /// Writes what a pool has learned in the place of what is there.
    fn keep(&self, id: PoolId, evictor: &Evictor) -> io::Result<()> {
        create_private(&self.folder)?;
        let (path, new) = (self.path(id), self.path(id).with_extension("new"));
        let mut open = fs::OpenOptions::new();
        open.write(true).create(true).truncate(true).mode(0o600).custom_flags(no_link());
        open.open(&new)?.write_all(&evictor.save())?;
        fs::rename(new, path)
    }

    /// Removes what was kept of a namespace's number, which another one has from now on: numbers begin anew with an index that begins empty.
    pub(super) fn forget(&self, namespace: u32) {
        let path = self.path(PoolId::Own(namespace));
        match fs::remove_file(&path) {
            Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound) => {
                warn!(path = %path.display(), %error, "what another namespace has learned can't be removed");
            }
            _ => {}
        }
    }

    fn path(&self, id: PoolId) -> PathBuf {
        match id {
            PoolId::Own(namespace) => self.folder.join(format!("namespace-{namespace}")),
            PoolId::Shared => self.folder.join("shared"),
        }
    }
}

impl Remembered {
    /// Takes out what a namespace learned, to follow a policy from now on.
    pub(super) fn take(&mut self, namespace: u32, policy: Policy) -> Evictor {
        let mut evictor = self.0.remove(&namespace).unwrap_or_else(|| Evictor::new(policy));
        evictor.follow(policy);
        evictor
    }
}

impl Learned {
    /// Takes what pools have learned.
    pub(super) fn new(states: States, evictors: Vec<(PoolId, Evictor)>) -> Self {
        let number = states.order.taken.fetch_add(1, Ordering::Relaxed);
        Self { states, number, evictors }
    }

    /// Writes it down, from any thread, but for what is older than what was written before. Blocks. That it fails is told to the log: it is
    /// not missed before the next start.
    pub fn keep(self) {
        let mut written = self.states.order.written.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, evictor) in self.evictors {
            let last = written.entry(id).or_default();
            if *last > self.number {
                continue;
            }
            *last = self.number;
            if let Err(error) = self.states.keep(id, &evictor) {
                warn!(folder = %self.states.folder.display(), %error, "what an eviction has learned can't be written");
            }
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // What stands there may be no file, and not to be waited for.
    let flags = no_link() | OFlags::NONBLOCK.bits().cast_signed();
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, LONGEST), &mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datacache_proto::recent::KeyHash;

    #[test]
    fn what_was_taken_earlier_and_is_written_later_takes_nothing_back() {
        let folder = tempfile::tempdir().unwrap();
        let states = States::new(folder.path());
        let earlier = Evictor::new(Policy::S3Fifo);
        let mut later = earlier.clone();
        later.add(KeyHash::from_bits(7), 100);
        let take = |evictor: &Evictor| Learned::new(states.clone(), vec![(PoolId::Shared, evictor.clone())]);
        let [first, second] = [take(&earlier), take(&later)];
        second.keep();
        first.keep();
        assert_eq!(states.load(PoolId::Shared, Policy::S3Fifo), later);
        take(&earlier).keep();
        assert_eq!(states.load(PoolId::Shared, Policy::S3Fifo), earlier);
    }

    #[test]
    fn what_was_learned_is_there_again_and_what_is_damaged_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let states = States::new(folder.path());
        let fresh = states.load(PoolId::Shared, Policy::S3Fifo);
        assert_eq!(fresh, Evictor::new(Policy::S3Fifo));
        let mut evictor = fresh.clone();
        evictor.add(KeyHash::from_bits(7), 100);
        Learned::new(states.clone(), vec![(PoolId::Shared, evictor.clone()), (PoolId::Own(3), fresh.clone())]).keep();
        assert_eq!(states.load(PoolId::Shared, Policy::S3Fifo), evictor);
        assert_eq!(states.load(PoolId::Own(3), Policy::S3Fifo), fresh);
        let path = folder.path().join(EVICTION).join("shared");
        let mut bytes = fs::read(&path).unwrap();
        bytes[100] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(states.load(PoolId::Shared, Policy::Lru), Evictor::new(Policy::Lru));
        assert_eq!(fs::read_dir(folder.path().join(EVICTION)).unwrap().count(), 2);
    }
}
