//! The process that is watched: starts it, stops its threads at their calls, and lets them on, into calls that matter one after the
//! other.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;
use std::process::{Child, Command};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::call::Call;
use super::event::Event;
use super::files::Files;
use super::observer::{Observer, Prepared};
use super::registers;
use crate::Fault;
use crate::disk::Image;

/// Runs `command`, which submits to it, and records what it does below `root`, where `base` is.
pub(crate) fn record(root: &Path, base: &Image, command: &mut Command) -> Result<Vec<Event>, Fault> {
    let child = command.spawn()?;
    let process = Pid::from_raw(child.id().cast_signed());
    let mut tracer = Tracer {
        child,
        process,
        observer: Observer::new(process, Files::new(root, base))?,
        known: HashSet::from([process]),
        under_way: HashMap::new(),
        busy: None,
        waiting: VecDeque::new(),
        held: None,
    };
    tracer.begin()?;
    tracer.run()?;
    Ok(std::mem::take(&mut tracer.observer.events))
}

struct Tracer {
    child: Child,
    process: Pid,
    observer: Observer,
    known: HashSet<Pid>,
    /// The call that a thread is in, if it matters; a thread that is in none has no entry.
    under_way: HashMap<Pid, Option<Prepared>>,
    /// The one thread that is in a call that matters.
    busy: Option<Pid>,
    waiting: VecDeque<(Pid, Call)>,
    /// The thread that is held back before its sync, and for how long yet.
    held: Option<(Pid, u32)>,
}

/// How often others may stop before a thread that syncs is let on; and how often there may be nobody to wait for.
const PATIENCE: u32 = 12;
const EMPTY: u32 = 200;

/// Waits for the threads of the process that this thread started, and for no other's.
fn wait_flags() -> Option<WaitPidFlag> {
    Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)
}

impl Tracer {
    fn begin(&mut self) -> Result<(), Fault> {
        match waitpid(self.process, wait_flags())? {
            WaitStatus::Stopped(..) => {}
            other => return Err(format!("the process did not submit: {other:?}").into()),
        }
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_EXITKILL;
        ptrace::setoptions(self.process, options)?;
        proceed(self.process, None)
    }

    /// Goes on until nothing is left of the process.
    fn run(&mut self) -> Result<(), Fault> {
        let (mut status, mut empty) = (None, 0);
        loop {
            let stop = waitpid(
                None,
                wait_flags().map(|flags| match self.held {
                    Some(_) => flags | WaitPidFlag::WNOHANG,
                    None => flags,
                }),
            );
            match stop {
                Ok(WaitStatus::StillAlive) if empty < EMPTY => {
                    empty += 1;
                    std::thread::yield_now();
                    continue;
                }
                Ok(WaitStatus::StillAlive) => self.release()?,
                Ok(WaitStatus::Exited(thread, code)) if thread == self.process => status = Some(code),
                Ok(WaitStatus::Exited(thread, _)) => self.forget(thread),
                Ok(WaitStatus::Signaled(thread, signal, _)) if thread == self.process => {
                    return Err(format!("the process was ended by {signal}").into());
                }
                Ok(stop) => {
                    self.stopped(stop)?;
                    self.hold_on()?;
                }
                Err(Errno::ECHILD) if status == Some(0) => return Ok(()),
                Err(Errno::ECHILD) => return Err(format!("the process ended with status {status:?}").into()),
                Err(error) => return Err(error.into()),
            }
            empty = 0;
        }
    }

    /// Others have got on while a thread was held back.
    fn hold_on(&mut self) -> Result<(), Fault> {
        match &mut self.held {
            Some((_, 0)) => self.release(),
            Some((_, patience)) => {
                *patience -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn release(&mut self) -> Result<(), Fault> {
        self.held.take().map_or(Ok(()), |(thread, _)| proceed(thread, None))
    }

    fn stopped(&mut self, stop: WaitStatus) -> Result<(), Fault> {
        match stop {
            WaitStatus::PtraceSyscall(thread) => self.call(thread),
            WaitStatus::PtraceEvent(thread, _, libc::PTRACE_EVENT_CLONE) => proceed(thread, None),
            WaitStatus::PtraceEvent(..) => Err("the process has started another".into()),
            // How a new thread begins.
            WaitStatus::Stopped(thread, Signal::SIGSTOP) if self.known.insert(thread) => proceed(thread, None),
            WaitStatus::Stopped(thread, signal) => proceed(thread, Some(signal)),
            _ => Ok(()),
        }
    }

    /// Its number may be another's next.
    fn forget(&mut self, thread: Pid) {
        self.known.remove(&thread);
        self.under_way.remove(&thread);
        self.observer.forget(thread);
    }

    /// A thread stands before a call, or behind one.
    fn call(&mut self, thread: Pid) -> Result<(), Fault> {
        let registers = match ptrace::getregs(thread) {
            Err(Errno::ESRCH) => return Ok(()),
            registers => registers?,
        };
        if let Some(prepared) = self.under_way.remove(&thread) {
            if let Some(prepared) = prepared {
                self.observer.done(thread, prepared, registers::result(&registers))?;
                self.busy = None;
                self.let_in_next()?;
            }
            return proceed(thread, None);
        }
        match Call::of(&registers::raw(&registers)) {
            None => {
                self.under_way.insert(thread, None);
                proceed(thread, None)
            }
            Some(call) if self.busy.is_some() => {
                self.waiting.push_back((thread, call));
                Ok(())
            }
            Some(call) => self.let_in(thread, call),
        }
    }

    fn let_in_next(&mut self) -> Result<(), Fault> {
        self.waiting.pop_front().map_or(Ok(()), |(thread, call)| self.let_in(thread, call))
    }

    fn let_in(&mut self, thread: Pid, call: Call) -> Result<(), Fault> {
        let prepared = self.observer.prepare(call)?;
        if matches!(call, Call::Sync { .. }) {
            return self.sync(thread, prepared);
        }
        self.busy = Some(thread);
        self.under_way.insert(thread, Some(prepared));
        proceed(thread, None)
    }

    /// A sync speaks for what was there when it began, and takes its time. So it is written down at once, and the others get on
    /// meanwhile.
    fn sync(&mut self, thread: Pid, prepared: Prepared) -> Result<(), Fault> {
        self.observer.done(thread, prepared, 0)?;
        self.under_way.insert(thread, None);
        match self.held {
            None => self.held = Some((thread, PATIENCE)),
            Some(_) => proceed(thread, None)?,
        }
        self.let_in_next()
    }
}

impl Drop for Tracer {
    /// Nothing of the process is left, whatever happened.
    fn drop(&mut self) {
        self.child.kill().ok();
        while !matches!(waitpid(None, wait_flags()), Err(Errno::ECHILD)) {}
    }
}

/// Lets a thread on to its next call. One that is gone meanwhile needs nothing.
fn proceed(thread: Pid, signal: Option<Signal>) -> Result<(), Fault> {
    match ptrace::syscall(thread, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
