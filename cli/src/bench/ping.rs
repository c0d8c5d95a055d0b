//! A bare message to another process and back, over a Unix socket: what no call can be faster than.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread;

use super::meter::Meter;
use super::samples::Samples;
use crate::failure::Failure;

/// The length of a message in bytes.
const MESSAGE: usize = 64;
type Message = [u8; MESSAGE];

/// What both ends do between two messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Waiting {
    /// They sleep, and are woken.
    Asleep,
    /// They look again and again.
    Polling,
}

/// One end of the socket.
struct End {
    stream: UnixStream,
    /// On a single core, the other end can only answer where we step back.
    steps_back: bool,
}

/// The other end: a process of this program.
struct Echo {
    child: Child,
    end: End,
}

/// Measures `count` messages.
///
/// # Errors
/// Where there is no other process to talk to, and [`Failure::Interrupted`].
pub(crate) fn measure(waiting: Waiting, count: u64, meter: Meter<'_>) -> Result<Samples, Failure> {
    let failed = |source| Failure::System { what: "talk to another process", source };
    let mut echo = Echo::start(waiting).map_err(failed)?;
    // `^C` ends the other process before we have looked at it.
    let work = |message: Message| {
        let answer = echo.ping(&message);
        answer.or_else(|source| meter.go_on().and_then(|()| Err(failed(source))))
    };
    meter.measure(count, || [0x5a; MESSAGE], work, |_| Ok(()))
}

/// Is the other end: sends back what comes from standard input, which is a socket, until it is closed.
///
/// # Errors
/// Where standard input is something else, or fails.
pub(crate) fn echo(waiting: Waiting) -> Result<(), Failure> {
    answer(waiting).map_err(|source| Failure::System { what: "answer on standard input", source })
}

fn answer(waiting: Waiting) -> io::Result<()> {
    let mut end = End::new(UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?), waiting)?;
    let mut message = [0; MESSAGE];
    loop {
        match end.receive(&mut message) {
            Ok(()) => end.stream.write_all(&message)?,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

impl End {
    fn new(stream: UnixStream, waiting: Waiting) -> io::Result<Self> {
        stream.set_nonblocking(waiting == Waiting::Polling)?;
        Ok(Self { stream, steps_back: thread::available_parallelism().is_ok_and(|cores| cores.get() == 1) })
    }

    /// Receives a whole message; looks again and again where the stream does not block.
    fn receive(&mut self, message: &mut Message) -> io::Result<()> {
        let mut filled = 0;
        while filled < MESSAGE {
            match self.stream.read(&mut message[filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => filled += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.pause(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn pause(&self) {
        if self.steps_back {
            thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }
}

impl Echo {
    fn start(waiting: Waiting) -> io::Result<Self> {
        let (stream, other) = UnixStream::pair()?;
        let name = clap::ValueEnum::to_possible_value(&waiting).expect("no variant is skipped");
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", "--echo", name.get_name()]).stdin(Stdio::from(OwnedFd::from(other)));
        let child = command.stdout(Stdio::null()).spawn()?;
        Ok(Self { child, end: End::new(stream, waiting)? })
    }

    fn ping(&mut self, message: &Message) -> io::Result<Message> {
        self.end.stream.write_all(message)?;
        let mut answer = [0; MESSAGE];
        self.end.receive(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // It ends when nobody can send any more; killed, it does so at once.
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            tracing::debug!(%error, "the process that answered can't be ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_in_pieces_arrives_whole_and_a_closed_socket_is_an_end() {
        for waiting in [Waiting::Asleep, Waiting::Polling] {
            let (one, mut other) = UnixStream::pair().unwrap();
            let mut one = End::new(one, waiting).unwrap();
            let sender = thread::spawn(move || {
                other.write_all(&[1; 40]).unwrap();
                other.write_all(&[2; 24]).unwrap();
            });
            let mut message = [0; MESSAGE];
            one.receive(&mut message).unwrap();
            assert_eq!((message[0], message[40], message[63]), (1, 2, 2));
            sender.join().unwrap();
            let error = one.receive(&mut message).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
