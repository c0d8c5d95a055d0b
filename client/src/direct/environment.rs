//! LMDB as readers have it: the only place that opens an environment.

use std::io;
use std::mem::ManuallyDrop;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use datacache_proto::layout::{self, LAYOUT, MAP_SIZES, READER_SLOTS};
use datacache_proto::types::Fallback;
use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions, MdbError, RoTxn, WithTls};
use rustix::io::Errno;

use super::clock;
use super::descriptor::close_on_exec;

/// The smallest page that LMDB has anywhere, in bytes.
const LEAST_PAGE: u64 = 4_096;

type Table = Database<Bytes, Bytes>;

/// Which index it is: device and inode of its file. An open file's numbers are given to no other.
pub(super) type Identity = (u64, u64);

/// An open environment.
#[derive(Debug)]
pub(super) struct Environment {
    env: ManuallyDrop<Env>,
    is_closed: AtomicBool,
    /// Set when the file was seen to be longer than the map.
    is_outgrown: AtomicBool,
    entries: Table,
    /// The random identity of the store.
    pub(super) store: u128,
    /// When dead readers' slots were cleared last, in seconds.
    cleared: AtomicU64,
}

impl Environment {
    /// Opens the environment in the folder of a generation, which must be the one with this identity. Creates nothing: the
    /// files must be there.
    ///
    /// # Errors
    /// Why it can't be read from here.
    pub(super) fn open(generation: &Path, identity: Identity) -> Result<Self, Fallback> {
        let env = open_env(generation)?;
        // Before its length is looked at: both grow while the daemon writes.
        let last_page = env.info().last_page_number as u64;
        let file = env.try_clone_inner_file().and_then(|file| Ok(file.metadata()?)).map_err(|error| reason(&error))?;
        if (file.dev(), file.ino()) != identity {
            return Err(Fallback::Unreachable);
        }
        // What LMDB would map behind the file's end ends the process that looks at it.
        if file.len() < (last_page + 1) * LEAST_PAGE {
            return Err(Fallback::Unreadable);
        }
        // Where that fails, programs that are started from here inherit a descriptor. It is not logged: forks are held off, and a
        // thread that forks may have the log's lock.
        close_on_exec(identity).ok();
        let (entries, store) = tables(&env)?;
        let [is_closed, is_outgrown] = [false; 2].map(AtomicBool::new);
        Ok(Self { env: ManuallyDrop::new(env), is_closed, is_outgrown, entries, store, cleared: AtomicU64::new(0) })
    }

    /// Has `look` look through a transaction that begins now: it sees what was committed until then.
    ///
    /// # Errors
    /// Those of `look`; [`Fallback::Readers`] where all slots are taken by the living, [`Fallback::Map`] where the file outgrew
    /// the map.
    #[inline]
    pub(super) fn read<T, E: From<Fallback>>(
        &self,
        look: impl FnOnce(&RoTxn<'_, WithTls>) -> Result<T, E>,
    ) -> Result<T, E> {
        // By reference: moving it out of a result and into the next takes as long as beginning it.
        match &self.env.read_txn() {
            Ok(txn) => look(txn),
            Err(heed::Error::Mdb(MdbError::ReadersFull)) => look(&self.begin_among_the_dead()?),
            Err(error) => Err(self.refusal(error).into()),
        }
    }

    #[cold]
    fn refusal(&self, error: &heed::Error) -> Fallback {
        let reason = reason(error);
        if reason == Fallback::Map {
            self.outgrow();
        }
        reason
    }

    /// Notes that this map is too small for the file: the next one has to be another.
    pub(super) fn outgrow(&self) {
        self.is_outgrown.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_outgrown(&self) -> bool {
        self.is_outgrown.load(Ordering::Relaxed)
    }

    /// Begins a transaction without the slots of processes that died, which are looked for once a second.
    #[cold]
    fn begin_among_the_dead(&self) -> Result<RoTxn<'_, WithTls>, Fallback> {
        let now = clock::seconds();
        if self.cleared.swap(now, Ordering::Relaxed) == now {
            return Err(Fallback::Readers);
        }
        self.env.clear_stale_readers().map_err(|error| reason(&error))?;
        self.env.read_txn().map_err(|error| self.refusal(&error))
    }

    /// Returns the row of an entry's key.
    ///
    /// # Errors
    /// [`Fallback::Unreadable`] where LMDB finds damage.
    #[inline]
    pub(super) fn entry<'t>(
        &self,
        txn: &'t RoTxn<'_, WithTls>,
        index_key: &[u8],
    ) -> Result<Option<&'t [u8]>, Fallback> {
        self.entries.get(txn, index_key).map_err(|error| reason(&error))
    }

    #[cfg(test)]
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Closes the environment; a second time does nothing.
    ///
    /// # Safety
    /// No other method is called from now on, and none that was called before in this process is still running: all
    /// transactions have ended. (What threads of a parent process did at the moment of the fork does not count: they are not
    /// here to go on.)
    #[expect(unsafe_code, reason = "the environment is shared, and must be closed before its path can be opened again")]
    pub(super) unsafe fn close(&self) {
        if !self.is_closed.swap(true, Ordering::AcqRel) {
            // SAFETY: it is moved out once, as the swap says, and the caller vouches that it is not used.
            drop(unsafe { ptr::read(&*self.env) });
        }
    }
}

/// Asks for ever smaller maps, since a limit on address space (`ulimit -v`) refuses large ones.
fn open_env(generation: &Path) -> Result<Env, Fallback> {
    for size in MAP_SIZES {
        let mut options = EnvOpenOptions::new();
        options.map_size(size).max_readers(READER_SLOTS).max_dbs(layout::tables::COUNT);
        // SAFETY: the duties of a memory-mapped environment, each kept as follows.
        // - No byte changes under the map that a reader looks at. LMDB never writes to a page that a transaction can reach, as
        //   long as the transaction's slot in the table of readers says so (see the module's head for what keeps it), and it
        //   does not truncate its file. Nobody else writes there: the folder is of mode 0700 and was checked to be ours, and
        //   a process of ours that breaks LMDB's rules could as well write to our memory.
        // - The locks hold: the filesystem was checked to be none of a network, our process to be in the daemon's namespace of
        //   processes (LMDB tells readers apart by their numbers), and no code of ours opens `lock.mdb` otherwise, since
        //   closing it again would drop them.
        // - It is opened once a process, whatever the path: the registry alone calls this, for one identity at a time; heed
        //   refuses a second one of the same path.
        // - It does not cross a fork: lookups compare the process's mark first, and the registry closes what was inherited.
        // - `READ_ONLY` is no flag that makes LMDB unsafe.
        // - An I/O error under the map is a SIGBUS; the crate's documentation says so.
        #[expect(unsafe_code, reason = "LMDB maps its file")]
        let opened = unsafe { options.flags(EnvFlags::READ_ONLY).open(generation) };
        match opened {
            Err(heed::Error::Io(error)) if error.raw_os_error() == Some(Errno::NOMEM.raw_os_error()) => {}
            outcome => return outcome.map_err(|error| reason(&error)),
        }
    }
    Err(Fallback::Map)
}

/// Opens the table of entries, once the layout is known to be ours; returns it and the store's identity.
fn tables(env: &Env) -> Result<(Table, u128), Fallback> {
    let read = |error: heed::Error| reason(&error);
    let txn = match env.read_txn() {
        Err(heed::Error::Mdb(MdbError::ReadersFull)) => {
            env.clear_stale_readers().map_err(read)?;
            env.read_txn()
        }
        outcome => outcome,
    };
    let txn = txn.map_err(read)?;
    let table = |name| env.open_database::<Bytes, Bytes>(&txn, name).map_err(read)?.ok_or(Fallback::Layout);
    let meta = table(Some(layout::tables::META))?;
    let number = |name: &[u8]| -> Result<u64, Fallback> {
        let row = meta.get(&txn, name).map_err(read)?.and_then(|row| row.try_into().ok());
        row.map(u64::from_le_bytes).ok_or(Fallback::Layout)
    };
    if number(layout::meta::LAYOUT)? != u64::from(LAYOUT) {
        return Err(Fallback::Layout);
    }
    let halves = (number(layout::meta::STORE_ID_LOW)?, number(layout::meta::STORE_ID_HIGH)?);
    let entries = table(layout::tables::ENTRIES)?;
    // With the transaction `meta` is closed again. The main table stays open without one.
    Ok((entries, u128::from(halves.0) | u128::from(halves.1) << 64))
}

/// Returns why an error of LMDB makes us ask the daemon.
fn reason(error: &heed::Error) -> Fallback {
    match error {
        heed::Error::EnvAlreadyOpened => Fallback::Taken,
        heed::Error::Mdb(MdbError::ReadersFull) => Fallback::Readers,
        heed::Error::Mdb(MdbError::MapResized) => Fallback::Map,
        heed::Error::Mdb(MdbError::VersionMismatch | MdbError::Invalid | MdbError::Incompatible) => Fallback::Layout,
        heed::Error::Io(error) => io_reason(error),
        _ => Fallback::Unreadable,
    }
}

fn io_reason(error: &io::Error) -> Fallback {
    match error.kind() {
        io::ErrorKind::OutOfMemory => Fallback::Map,
        _ => Fallback::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::super::registry::Share;
    use super::super::testing::Store;
    use super::*;

    #[test]
    fn when_all_slots_are_taken_the_daemon_is_asked_until_a_reader_ends() {
        let store = Store::new();
        // This thread has the first slot: it opens the environment.
        let share = Share::take(&store.generation()).unwrap();
        let read = || share.read(|_| Ok::<_, Fallback>(()));
        let gate = Mutex::new(());
        let closed = gate.lock().unwrap();
        thread::scope(|scope| {
            let (told, heard) = std::sync::mpsc::channel();
            for _ in 0..READER_SLOTS {
                let (told, gate, read) = (told.clone(), &gate, &read);
                let reader = thread::Builder::new().stack_size(128 << 10);
                let reader = reader.spawn_scoped(scope, move || {
                    told.send(read()).unwrap();
                    drop(gate.lock());
                });
                reader.unwrap();
            }
            let refused: Vec<_> = heard.iter().take(READER_SLOTS as usize).filter_map(Result::err).collect();
            assert_eq!(refused, [Fallback::Readers]);
            assert_eq!(read(), Ok(()), "who has a slot keeps it");
            drop(closed);
        });
        let newcomer = || thread::scope(|scope| scope.spawn(read).join().unwrap());
        let deadline = Instant::now() + Duration::from_secs(30);
        while newcomer() != Ok(()) {
            assert!(Instant::now() < deadline, "no slot was given back");
            thread::yield_now();
        }
    }
}
