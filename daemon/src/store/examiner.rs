//! Who looks an index through that may be damaged: a process of its own, since a damaged page can end the one that looks at it.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Output, Stdio};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use datacache_proto::layout::DATA_FILE;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};

use super::environment::make_lock_file;
use super::examination::look_through;

/// How a process ends that found damage; what it is stands on its standard output.
const DAMAGED: u8 = 10;
/// The same for [`Verdict::Leaky`].
const LEAKY: u8 = 11;
/// How long a look at a small index may take.
const LEAST_PATIENCE: Duration = Duration::from_secs(60);
/// How many bytes of it are looked at in a second, at the least.
const SLOWEST: u64 = 1 << 20;
/// What the runtime says before it aborts a process that gets no memory.
const NO_MEMORY: &str = "memory allocation of";

/// What is known of an index after it was looked through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of it can be read.
    Sound,
    /// All of its rows can be read, but there are pages that are neither in use nor free, which harms nobody; or its list of free pages
    /// is damaged, which can end who writes.
    Leaky,
    /// It can't, for this reason.
    Damaged(String),
}

/// When an index is looked through, and so by how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Nobody writes to it: all of it, in one state.
    Alone,
    /// A daemon has it: all rows of all tables, with no state held for long.
    InUse,
    /// A daemon has it that is to mend it: its list of free pages, too. The state that this looks at is held until it is done.
    Repair,
}

impl Occasion {
    const ALL: [(Self, &str); 3] = [(Self::Alone, "alone"), (Self::InUse, "in-use"), (Self::Repair, "repair")];
}

impl FromStr for Occasion {
    type Err = io::Error;

    fn from_str(name: &str) -> io::Result<Self> {
        let found = Self::ALL.into_iter().find(|(_, known)| *known == name);
        found.map(|(occasion, _)| occasion).ok_or_else(|| io::Error::other("`alone`, `in-use` or `repair` is expected"))
    }
}

impl fmt::Display for Occasion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.into_iter().find(|(occasion, _)| occasion == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

type Examine = dyn Fn(&Path, Occasion, &AtomicU32) -> io::Result<Verdict> + Send + Sync;

/// A way to have the index in the folder of a generation looked through.
#[derive(Clone)]
pub struct Examiner {
    examine: Arc<Examine>,
    /// The process that is at it; 0 where none is.
    process: Arc<AtomicU32>,
}

impl Examiner {
    /// Looks through it in this process, which a damaged index may end.
    #[must_use]
    pub fn here() -> Self {
        Self::new(|generation, occasion, _| look_through(generation, occasion))
    }

    /// Runs `program` with these arguments, and behind them the occasion and the folder, which is to call [`examine`]. A child that a
    /// damaged page ended has found damage; one that ended in another way has found nothing out.
    #[must_use]
    pub fn child(program: PathBuf, arguments: Vec<OsString>) -> Self {
        Self::new(move |generation, occasion, process| {
            let mut command = Command::new(&program);
            command.args(&arguments).arg(occasion.to_string()).arg(generation);
            let ended = run(command, process, patience(generation))?;
            // To the log, as all that a daemon and its libraries say there.
            io::stderr().write_all(&ended.stderr).ok();
            verdict(&ended)
        })
    }

    fn new(examine: impl Fn(&Path, Occasion, &AtomicU32) -> io::Result<Verdict> + Send + Sync + 'static) -> Self {
        Self { examine: Arc::new(examine), process: Arc::default() }
    }

    /// Returns the number of the process that looks an index through at this moment, where one does.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        Some(self.process.load(Ordering::Relaxed)).filter(|process| *process != 0)
    }

    /// Asks this function.
    #[cfg(test)]
    pub(super) fn of(examine: impl Fn(&Path) -> io::Result<Verdict> + Send + Sync + 'static) -> Self {
        Self::new(move |generation, _, _| examine(generation))
    }

    /// Has the index in this folder looked through. Blocks for as long as it takes to read it.
    ///
    /// # Errors
    /// Where that could not be done.
    pub fn examine(&self, generation: &Path, occasion: Occasion) -> io::Result<Verdict> {
        (self.examine)(generation, occasion, &self.process)
    }
}

/// Looks the index in `generation` through, as the child of an [`Examiner`] does, and says how that process is to end.
///
/// # Errors
/// Where the system fails.
pub fn examine(generation: &Path, occasion: Occasion) -> io::Result<ExitCode> {
    // That it may be ended by a damaged page is what it is for: nobody wants to look at what it leaves behind.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).ok();
    // Who asked may end before this is done: then nobody wants to know, and the next daemon asks again.
    set_parent_process_death_signal(Some(Signal::KILL)).ok();
    // LMDB maps this file too, and a page of it without a block would be taken for damage. Only here, in a process of its own: one that
    // has the index open loses its hold on it when it closes the file.
    let _lock_file = (occasion != Occasion::Alone).then(|| make_lock_file(generation)).transpose()?;
    match look_through(generation, occasion)? {
        Verdict::Sound => Ok(ExitCode::SUCCESS),
        Verdict::Leaky => Ok(ExitCode::from(LEAKY)),
        Verdict::Damaged(how) => {
            println!("{how}");
            Ok(ExitCode::from(DAMAGED))
        }
    }
}

/// Runs a process, whose number is in `process` until it has ended; it is killed once `patience` is over.
fn run(mut command: Command, process: &AtomicU32, patience: Duration) -> io::Result<Output> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    process.store(child.id(), Ordering::Relaxed);
    let is_late = !ends_within(&child, patience);
    let ended = if is_late { child.kill() } else { Ok(()) }.and_then(|()| child.wait_with_output());
    process.store(0, Ordering::Relaxed);
    match ended {
        Ok(_) if is_late => {
            let told = format!("the process that looks the index through was not done after {} s", patience.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, told))
        }
        ended => ended,
    }
}

/// Waits for the end of a process; tells whether it came. What says little fits the pipes until somebody reads them.
fn ends_within(child: &Child, patience: Duration) -> bool {
    // Where a process can't be watched, its end is waited for without a bound.
    let Ok(watched) = pidfd_open(Pid::from_child(child), PidfdFlags::empty()) else { return true };
    let begun = Instant::now();
    loop {
        let left = Timespec::try_from(patience.saturating_sub(begun.elapsed())).ok();
        match poll(&mut [PollFd::new(&watched, PollFlags::IN)], left.as_ref()) {
            Err(Errno::INTR) => {}
            Ok(0) => return false,
            Ok(_) | Err(_) => return true,
        }
    }
}

/// Returns how long a look at an index may take: much longer than any disk needs that works.
fn patience(generation: &Path) -> Duration {
    let length = std::fs::metadata(generation.join(DATA_FILE)).map_or(0, |data| data.len());
    LEAST_PATIENCE + Duration::from_secs(length / SLOWEST)
}

fn verdict(ended: &Output) -> io::Result<Verdict> {
    let Output { status, stdout, stderr } = ended;
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(Verdict::Sound),
        (Some(code), _) if code == i32::from(LEAKY) => Ok(Verdict::Leaky),
        (Some(code), _) if code == i32::from(DAMAGED) => {
            Ok(Verdict::Damaged(String::from_utf8_lossy(stdout).trim().to_owned()))
        }
        (_, Some(signal)) if is_of_damage(signal) && !String::from_utf8_lossy(stderr).contains(NO_MEMORY) => {
            Ok(Verdict::Damaged(format!("who reads all of it is ended by signal {signal}")))
        }
        _ => Err(unexpected(*status)),
    }
}

/// Tells whether a process is sent this signal because of what it reads, not by somebody who wants it to end.
fn is_of_damage(signal: i32) -> bool {
    [Signal::SEGV, Signal::BUS, Signal::ABORT, Signal::ILL, Signal::FPE].iter().any(|it| it.as_raw() == signal)
}

fn unexpected(status: ExitStatus) -> io::Error {
    io::Error::other(format!("the process that looks the index through ended with {status}"))
}

impl fmt::Debug for Examiner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Examiner").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> io::Result<Verdict> {
        let arguments = ["-c", script].map(OsString::from).to_vec();
        Examiner::child("/bin/sh".into(), arguments).examine(Path::new("/generation"), Occasion::Alone)
    }

    #[test]
    fn a_child_that_a_page_ended_has_found_damage_and_one_that_was_killed_has_not() {
        assert_eq!(shell("exit 0").unwrap(), Verdict::Sound);
        assert_eq!(shell("exit 11").unwrap(), Verdict::Leaky);
        assert_eq!(shell("echo torn; exit 10").unwrap(), Verdict::Damaged("torn".into()));
        for signal in ["SEGV", "BUS", "ABRT"] {
            assert!(matches!(shell(&format!("kill -{signal} $$")).unwrap(), Verdict::Damaged(_)), "{signal}");
        }
        let no_memory = "echo 'memory allocation of 4096 bytes failed' >&2; kill -ABRT $$";
        for other in ["kill -KILL $$", "kill -TERM $$", "exit 1", "exit 127", no_memory] {
            assert!(shell(other).is_err(), "{other}");
        }
    }

    #[test]
    fn the_childs_last_arguments_are_the_occasion_and_the_folder() {
        let told = Verdict::Damaged("alone /generation".into());
        assert_eq!(shell("echo \"$0 $1\"; exit 10").unwrap(), told);
        assert!(Occasion::ALL.into_iter().all(|(occasion, name)| name.parse::<Occasion>().unwrap() == occasion));
    }

    /// The daemon waited for it for ever, and did not start.
    #[test]
    fn a_child_that_hangs_is_ended_and_has_found_nothing_out() {
        let mut command = Command::new("sleep");
        command.arg("600");
        let error = run(command, &AtomicU32::new(0), Duration::from_millis(10)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(patience(folder.path()), LEAST_PATIENCE);
        std::fs::File::create(folder.path().join(DATA_FILE)).unwrap().set_len(1 << 30).unwrap();
        assert_eq!(patience(folder.path()), LEAST_PATIENCE + Duration::from_secs(1 << 10));
    }

    #[test]
    fn the_number_of_the_child_is_known_while_it_runs() {
        let examiner = Examiner::child("/bin/sh".into(), ["-c", "exec sleep 600"].map(OsString::from).to_vec());
        let looking = std::thread::spawn({
            let examiner = examiner.clone();
            move || examiner.examine(Path::new("/generation"), Occasion::InUse)
        });
        let child = loop {
            let Some(child) = examiner.process() else {
                std::thread::yield_now();
                continue;
            };
            break child;
        };
        let child = rustix::process::Pid::from_raw(child.cast_signed()).unwrap();
        rustix::process::kill_process(child, Signal::KILL).unwrap();
        assert!(looking.join().unwrap().is_err());
        assert_eq!(examiner.process(), None);
    }
}
