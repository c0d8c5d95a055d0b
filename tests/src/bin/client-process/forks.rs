//! Forks of a process with the cache open, whose other threads use it all the time: what each child does, and how the parent
//! makes sure that neither disturbs the other.

use std::error::Error;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io, process, thread};

use datacache_client::blocking::{DataCache, Scope};
use datacache_client::{Options, Value};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, waitpid};
use serde_json::{Value as Json, json};

use crate::asynchronous::Asynchronous;
use crate::load::Load;

/// The argument that has this program look at what it inherited by `exec`.
pub(crate) const EXECUTED: &str = "executed";
/// A child that takes longer than this hangs, in seconds.
const HANGS_AFTER: u32 = 60;
/// Forks before descriptors are counted: what is opened once is open by then.
const FIRST_FORKS: u32 = 10;

type Done = Result<(), Box<dyn Error>>;

/// What a child does, and how it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// Nothing, and it ends as programs do.
    Nothing,
    /// It uses the cache at once, and ends as programs do.
    Use,
    /// The same, but it ends without a word to the libraries.
    UseAndLeave,
    /// It drops the cache that it used, and ends.
    UseAndDrop,
    /// It uses the asynchronous client that it inherited, in a runtime of its own.
    UseAsynchronously,
    /// It becomes another program at once.
    Execute,
    /// It becomes another program once it has used the cache.
    UseAndExecute,
    /// It is killed while it reads.
    DieReading,
    /// It has threads of its own.
    Threads,
    /// It forks before it uses the cache.
    Fork,
    /// It forks once it has used the cache.
    UseAndFork,
}

const DEEDS: [Deed; 11] = [
    Deed::Use,
    Deed::Nothing,
    Deed::UseAndLeave,
    Deed::DieReading,
    Deed::Execute,
    Deed::UseAsynchronously,
    Deed::UseAndDrop,
    Deed::Fork,
    Deed::Threads,
    Deed::UseAndExecute,
    Deed::UseAndFork,
];

/// Forks while other threads work; tells how much these did, and how many descriptors were open before and after.
///
/// # Errors
/// What went wrong first, in the parent, its threads or a child.
pub(crate) fn under_load(cache: &DataCache, forks: u32) -> Result<Json, Box<dyn Error>> {
    let parent = Parent::prepare(cache)?;
    parent.fork_under_load(0..FIRST_FORKS)?;
    let before = descriptors()?;
    let calls = parent.fork_under_load(FIRST_FORKS..FIRST_FORKS + forks)?;
    let after = descriptors()?;
    let released = parent.scope.end()?;
    Ok(json!({ "calls": calls, "before": before, "after": after, "released": released }))
}

/// Forks children that each read once and leave without a word, so that whatever they had taken stays taken.
///
/// # Errors
/// The first read that went wrong.
pub(crate) fn often(cache: &DataCache, forks: u32) -> Result<Json, Box<dyn Error>> {
    cache.set("small", "value")?;
    for number in 0..forks {
        let child = Child::fork(|_| {
            read_small(cache)?;
            leave()
        })?;
        child.join(None).map_err(|error| format!("child {number}: {error}"))?;
    }
    read_small(cache)?;
    Ok(json!(forks))
}

/// Looks at what this program inherited by `exec`: no descriptor of the cache. It can open one of its own.
pub(crate) fn executed() {
    let look = || -> Done {
        for (number, file) in descriptors()? {
            let is_of_the_cache =
                file.contains("/datacache/") || file.contains("eventpoll") || file.contains("socket:");
            if number > 2 && is_of_the_cache {
                return Err(format!("descriptor {number} was inherited: {file}").into());
            }
        }
        read_small(&DataCache::open(Options::new())?)
    };
    if let Err(error) = look() {
        print!("{}", crate::chain(&*error));
    }
}

/// Returns the descriptors that are open: their numbers and what they stand for.
fn descriptors() -> io::Result<Vec<(u32, String)>> {
    // All at once: the one that reads the folder is gone afterwards, and told by its link.
    let names: Vec<PathBuf> =
        fs::read_dir("/proc/self/fd")?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    let number = |path: &Path| path.file_name()?.to_str()?.parse().ok();
    let open = names.iter().filter_map(|path| {
        let file = fs::read_link(path).ok()?;
        Some((number(path)?, file.to_string_lossy().into_owned()))
    });
    Ok(open.collect())
}

/// The forking process and what it has in the cache.
struct Parent<'c> {
    cache: &'c DataCache,
    asynchronous: Asynchronous,
    scope: Scope,
    /// A large value that was read before the forks, and stays mapped.
    held: Value,
}

impl<'c> Parent<'c> {
    fn prepare(cache: &'c DataCache) -> Result<Self, Box<dyn Error>> {
        cache.set("small", "value")?;
        cache.set("large", large())?;
        let scope = cache.scope()?;
        cache.add("v").key("bound").bind(&scope).run()?;
        let held = cache.get("large")?.ok_or("what was added is not there")?;
        Ok(Self { cache, asynchronous: Asynchronous::open()?, scope, held })
    }

    /// Returns how many calls the other threads made meanwhile.
    fn fork_under_load(&self, numbers: std::ops::Range<u32>) -> Result<u64, Box<dyn Error>> {
        let load = Load::default();
        thread::scope(|scope| {
            load.start(scope, self.cache);
            let forked = numbers.into_iter().try_for_each(|number| {
                let deed = DEEDS[number as usize % DEEDS.len()];
                self.fork(deed, number).map_err(|error| format!("{deed:?}, fork {number}: {error}"))?;
                self.check(number).map_err(|error| format!("the parent after {deed:?}, fork {number}: {error}"))?;
                load.wait_for_more()
            });
            load.stop();
            forked
        })?;
        load.finish()
    }

    fn fork(&self, deed: Deed, number: u32) -> Done {
        let program = env::current_exe()?;
        let mut child = Child::fork(|told| {
            self.act(deed, number, told, &program)?;
            if deed == Deed::UseAndLeave { leave() } else { Ok(()) }
        })?;
        if deed == Deed::DieReading {
            child.wait_for_a_byte()?;
            kill_process(child.pid, Signal::KILL)?;
            return child.join(Some(Signal::KILL));
        }
        child.join(None)
    }

    /// What the child does.
    fn act(&self, deed: Deed, number: u32, told: &mut PipeWriter, program: &Path) -> Done {
        match deed {
            Deed::Nothing => Ok(()),
            Deed::Use | Deed::UseAndLeave => self.use_it(number),
            Deed::UseAndDrop => {
                let cache = self.cache.clone();
                self.use_it(number)?;
                drop(cache);
                self.use_it(number)
            }
            Deed::UseAsynchronously => self.use_it_asynchronously(number),
            Deed::Execute => execute(program, told),
            Deed::UseAndExecute => self.use_it(number).and_then(|()| execute(program, told)),
            Deed::DieReading => self.read_for_ever(told),
            Deed::Threads => self.use_it_from_threads(number),
            Deed::Fork => {
                self.fork(Deed::Use, number)?;
                self.use_it(number)
            }
            Deed::UseAndFork => {
                self.use_it(number)?;
                self.fork(Deed::UseAndFork.next(number), number)?;
                self.use_it(number)
            }
        }
    }

    /// Uses the cache in the ways that there are.
    fn use_it(&self, number: u32) -> Done {
        let Self { cache, held, .. } = self;
        read_small(cache)?;
        ensure(cache.contains("large")? && !cache.contains("missing")?, "what is contained")?;
        ensure(**held == large(), "the inherited value")?;
        ensure(cache.get("large")?.as_deref() == Some(&large()), "a large value")?;
        let key = format!("of a child {number} {}", process::id());
        cache.set(&*key, "mine")?;
        ensure(cache.get_as::<String>(&*key)?.as_deref() == Some("mine"), "the child's own value")?;
        let own = vec![number.to_le_bytes()[0]; 70_000];
        cache.set(&*key, &own)?;
        let values = cache.get_many(["small", &key, "missing"])?;
        let values: Vec<_> = values.iter().map(Option::as_deref).collect();
        ensure(values == [Some(&b"value"[..]), Some(&own), None], "what was read in one call")?;
        ensure(cache.delete(&*key)? && !cache.contains(&*key)?, "what was deleted")?;
        ensure(cache.stat("bound")?.is_some_and(|entry| entry.bound), "the parent's lease")
    }

    fn use_it_asynchronously(&self, number: u32) -> Done {
        let (key, text) = (format!("of a child {number}"), number.to_string());
        let seen = self.asynchronous.set_and_get_in_child(&key, &text)?;
        ensure(seen == Some(text), "what was written asynchronously")?;
        self.use_it(number)?;
        ensure(self.cache.delete(&*key)?, "what was deleted")
    }

    fn read_for_ever(&self, told: &mut PipeWriter) -> Done {
        for read in 0_u64.. {
            read_small(self.cache)?;
            ensure(self.cache.get("large")?.as_deref() == Some(&large()), "a large value")?;
            if read == 10 {
                told.write_all(b".")?;
            }
        }
        Ok(())
    }

    fn use_it_from_threads(&self, number: u32) -> Done {
        thread::scope(|scope| {
            let used = [1_000, 2_000]
                .map(|offset| scope.spawn(move || self.use_it(number + offset).map_err(|error| crate::chain(&*error))));
            used.into_iter()
                .try_for_each(|thread| Ok(thread.join().map_err(|_| "a thread of the child panicked")??))
        })
    }

    /// Nothing of the parent's is disturbed: reads, writes, lease.
    fn check(&self, number: u32) -> Done {
        read_small(self.cache)?;
        ensure(self.cache.get("large")?.as_deref() == Some(&large()), "a large value")?;
        let text = number.to_string();
        self.cache.set("parent's", &*text)?;
        ensure(self.cache.get_as::<String>("parent's")?.as_ref() == Some(&text), "the parent's own value")?;
        let seen = self.asynchronous.set_and_get("parent's, asynchronous", &text)?;
        ensure(seen == Some(text), "the parent's asynchronous value")?;
        ensure(self.cache.stat("bound")?.is_some_and(|entry| entry.bound), "the lease")
    }
}

impl Deed {
    /// What a grandchild does.
    fn next(self, number: u32) -> Self {
        [Self::Use, Self::UseAndLeave, Self::DieReading, Self::Execute][number as usize / DEEDS.len() % 4]
    }
}

/// A forked child that says what went wrong, and nothing where all went well.
struct Child {
    pid: Pid,
    told: PipeReader,
}

impl Child {
    /// Forks; the child does `work`, and then ends as programs do.
    #[expect(unsafe_code, reason = "nothing else than fork makes a forked child")]
    fn fork(work: impl FnOnce(&mut PipeWriter) -> Done) -> io::Result<Self> {
        let (told, mut telling) = io::pipe()?;
        // SAFETY: the child goes on with locks as they stand, which other threads may hold. It uses the allocator, whose
        // locks the C library makes whole again, and the cache, which promises to work in a forked child: to see whether it
        // does is what this is for. It touches no other lock; output goes to a pipe of its own. Where it hangs all the same,
        // the alarm ends it.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                // SAFETY: it takes a number, and there is no handler.
                unsafe { libc::alarm(HANGS_AFTER) };
                if let Err(error) = work(&mut telling) {
                    // Nobody could be told any better.
                    telling.write_all(crate::chain(&*error).as_bytes()).ok();
                }
                process::exit(0)
            }
            child => {
                let pid = Pid::from_raw(child).expect("it is the number of a child");
                Ok(Self { pid, told })
            }
        }
    }

    fn wait_for_a_byte(&mut self) -> Done {
        let mut first = [0];
        self.told.read_exact(&mut first)?;
        if first == *b"." {
            return Ok(());
        }
        let mut rest = String::new();
        self.told.read_to_string(&mut rest)?;
        Err(format!("{}{rest}", char::from(first[0])).into())
    }

    /// Waits for its end, which is to come in good order or by this signal.
    fn join(mut self, signal: Option<Signal>) -> Done {
        let mut told = String::new();
        self.told.read_to_string(&mut told)?;
        let ended = waitpid(Some(self.pid), WaitOptions::empty())?.map(|(_, status)| status);
        let is_right = |status: WaitStatus| match signal {
            None => status.exit_status() == Some(0),
            Some(signal) => status.terminating_signal() == Some(signal.as_raw()),
        };
        if told.is_empty() && ended.is_some_and(is_right) {
            return Ok(());
        }
        Err(format!("the child ended with {ended:?} and told {told:?}").into())
    }
}

/// Ends this process without a word to anybody.
#[expect(unsafe_code, reason = "the standard library has no such end")]
fn leave() -> ! {
    // SAFETY: it ends the process at once; nothing that would run later is relied on.
    unsafe { libc::_exit(0) }
}

/// Becomes another program, which says on its standard output what is wrong.
fn execute(program: &Path, told: &PipeWriter) -> Done {
    Err(Command::new(program).arg(EXECUTED).stdin(Stdio::null()).stdout(told.try_clone()?).exec().into())
}

fn read_small(cache: &DataCache) -> Done {
    ensure(cache.get_as::<String>("small")?.as_deref() == Some("value"), "a small value")
}

fn large() -> Vec<u8> {
    (0..200_000_u32).map(|at| at.to_le_bytes()[1]).collect()
}

pub(crate) fn ensure(is_right: bool, what: &str) -> Done {
    if is_right { Ok(()) } else { Err(format!("{what} is not as it should be").into()) }
}
