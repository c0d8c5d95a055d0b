//! The terminal: taken over for as long as the view lasts, and given back as it was, whatever ends that (but for SIGKILL, which leaves
//! nobody to do it: `reset` helps then).

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, Once, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

use crate::failure::Failure;

/// The other screen, its cursor hidden.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[2J";
/// No style, the cursor shown, and the first screen as it was.
const LEAVE: &[u8] = b"\x1b[0m\x1b[?25h\x1b[?1049l";

/// How the terminal was, while it is taken over.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);
static HOOK: Once = Once::new();

/// A terminal that is taken over until this is dropped.
pub(super) struct Takeover(());

impl Takeover {
    /// Takes the terminal over, also once more where somebody else had it meanwhile. From here on, keys are read as they are pressed;
    /// those that send signals still do.
    ///
    /// # Errors
    /// Where the terminal refuses.
    pub(super) fn begin() -> io::Result<Self> {
        HOOK.call_once(give_back_on_panic);
        let now = tcgetattr(io::stdin())?;
        let raw = raw(lock().get_or_insert(now));
        let taken = Self(());
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        write(ENTER)?;
        Ok(taken)
    }
}

impl Drop for Takeover {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back, if it is taken over. That it is gone is no reason to fail: nobody looks at it any more.
///
/// Never waits: not for a terminal that takes nothing, nor for who is waiting for it.
pub(super) fn give_back() {
    let Some(before) = lock().take() else { return };
    let output = io::stdout();
    tcsetattr(io::stdin(), OptionalActions::Now, &before).unwrap_or_default();
    let mut waits = [PollFd::new(&output, PollFlags::OUT)];
    if poll(&mut waits, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0) {
        // Past the buffer, which is empty between two pictures, and locked by who is in the middle of one.
        rustix::io::write(&output, LEAVE).unwrap_or_default();
    }
}

fn lock() -> std::sync::MutexGuard<'static, Option<Termios>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Before the message of a panic is written, which nobody could read on a screen that goes.
fn give_back_on_panic() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        give_back();
        told(panic);
    }));
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(bytes)?;
    output.flush()
}

/// Has every key handed on at once and unseen, and none hold the output.
fn raw(before: &Termios) -> Termios {
    let mut raw = before.clone();
    raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::IEXTEN);
    raw.input_modes.remove(InputModes::ICRNL | InputModes::IXON);
    raw.special_codes[SpecialCodeIndex::VMIN] = 1;
    raw.special_codes[SpecialCodeIndex::VTIME] = 0;
    raw
}

/// Makes sure that there is a terminal that can show a view.
///
/// # Errors
/// Says what there is instead.
pub(super) fn check(term: Option<&str>) -> Result<(), Failure> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(Failure::NoTerminal);
    }
    match term {
        None | Some("" | "dumb" | "unknown") => {
            Err(Failure::DumbTerminal { term: term.unwrap_or_default().to_owned() })
        }
        Some(_) => Ok(()),
    }
}
