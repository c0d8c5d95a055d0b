//! What happens to the view: keys, signals and news, from the threads that wait for them.

use std::io::{self, Read as _};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::iterator::Signals;

use super::source::News;
use super::terminal::give_back;
use crate::interrupt::end_by;

/// How long the view has to end in good order after a signal: its terminal may take nothing any more.
const PATIENCE: Duration = Duration::from_secs(2);

/// Something that happens.
#[derive(Debug)]
pub(super) enum Event {
    /// Bytes of keys.
    Input(Vec<u8>),
    /// The terminal is gone.
    InputEnded,
    /// A signal that is held back.
    Signal(i32),
    /// The daemon said something, or is gone.
    News(News),
}

/// Begins to read keys.
pub(super) fn hear_keys(events: Sender<Event>) {
    thread::spawn(move || {
        let mut bytes = [0; 1024];
        loop {
            let event = match io::stdin().read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => Event::InputEnded,
                Ok(length) => Event::Input(bytes[..length].to_vec()),
            };
            let is_over = matches!(event, Event::InputEnded);
            if events.send(event).is_err() || is_over {
                return;
            }
        }
    });
}

/// Begins to hold signals back: those that end, those that stop, and those after which all has to be drawn anew.
///
/// # Errors
/// Where the system refuses.
pub(super) fn hear_signals(events: Sender<Event>) -> io::Result<()> {
    let mut signals = Signals::new([SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH])?;
    thread::spawn(move || {
        for signal in &mut signals {
            if events.send(Event::Signal(signal)).is_err() {
                return;
            }
            if ends(signal) {
                thread::sleep(PATIENCE);
                give_back();
                end_by(signal);
            }
        }
    });
    Ok(())
}

/// Tells whether a signal asks for the end.
pub(super) fn ends(signal: i32) -> bool {
    [SIGHUP, SIGINT, SIGQUIT, SIGTERM].contains(&signal)
}
