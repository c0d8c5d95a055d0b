//! Forks of a process with the cache open, whose other threads use it all the time: what each child does, and how the parent
//! makes sure that neither disturbs the other.

use std::error::Error;
use std::io::{PipeWriter, Write as _};
use std::path::Path;
use std::{env, process, thread};

use datacache_client::Value;
use datacache_client::blocking::{DataCache, Scope};
use serde_json::{Value as Json, json};

use crate::asynchronous::Asynchronous;
use crate::check::{Done, ensure, read_small};
use crate::child::{Child, execute, leave};
use crate::inherited::descriptors;
use crate::load::Load;

/// Forks before descriptors are counted: what is opened once is open by then.
const FIRST_FORKS: u32 = 10;

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
        child.end().map_err(|error| format!("child {number}: {error}"))?;
    }
    read_small(cache)?;
    Ok(json!(forks))
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
            return child.kill();
        }
        child.end()
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

fn large() -> Vec<u8> {
    (0..200_000_u32).map(|at| at.to_le_bytes()[1]).collect()
}
