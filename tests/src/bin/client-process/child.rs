//! Forked children: what they do is up to others, how they end and what they tell is here.

use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{self, Command, Stdio};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, waitpid};

use crate::check::Done;
use crate::inherited::EXECUTED;

/// A child that takes longer than this hangs, in seconds.
const HANGS_AFTER: u32 = 60;

/// A forked child that says what went wrong, and nothing where all went well.
pub(crate) struct Child {
    pid: Pid,
    told: PipeReader,
}

impl Child {
    /// Forks; the child does `work`, and then ends as programs do.
    ///
    /// # Errors
    /// Where the system can't.
    #[expect(unsafe_code, reason = "nothing else than fork makes a forked child")]
    pub(crate) fn fork(work: impl FnOnce(&mut PipeWriter) -> Done) -> io::Result<Self> {
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

    /// Waits until the child has said that it is at work: one byte, a full stop.
    ///
    /// # Errors
    /// What it said instead.
    pub(crate) fn wait_for_a_byte(&mut self) -> Done {
        let mut first = [0];
        self.told.read_exact(&mut first)?;
        if first == *b"." {
            return Ok(());
        }
        let mut rest = String::new();
        self.told.read_to_string(&mut rest)?;
        Err(format!("{}{rest}", char::from(first[0])).into())
    }

    /// Kills it, and waits for its end.
    ///
    /// # Errors
    /// Where it ended before, or said that something went wrong.
    pub(crate) fn kill(self) -> Done {
        kill_process(self.pid, Signal::KILL)?;
        self.join(Some(Signal::KILL))
    }

    /// Waits for its end in good order.
    ///
    /// # Errors
    /// Where it ended otherwise, or said that something went wrong.
    pub(crate) fn end(self) -> Done {
        self.join(None)
    }

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
pub(crate) fn leave() -> ! {
    // SAFETY: it ends the process at once; nothing that would run later is relied on.
    unsafe { libc::_exit(0) }
}

/// Becomes another program, which says on its standard output what is wrong.
///
/// # Errors
/// Where the system can't.
pub(crate) fn execute(program: &Path, told: &PipeWriter) -> Done {
    Err(Command::new(program).arg(EXECUTED).stdin(Stdio::null()).stdout(told.try_clone()?).exec().into())
}
