//! One end of a connection: frames in and frames out, through two buffers that are kept.
//!
//! A frame is a length (u32, little-endian) and so many bytes. What is in them is [`crate::codec`]'s business. Nothing is
//! waited for here, and nothing is read or written that nobody asked for.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream as StdStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tokio::time::{Sleep, sleep};

use crate::codec::MAX_MESSAGE;
use crate::readable::Readable;

/// The bytes of a frame's length.
const HEAD: usize = 4;
/// How much is read at a time at least, in bytes.
const PIECE: usize = 16 << 10;
/// A buffer that grew beyond this many bytes is given back when it is empty.
const KEPT: usize = 64 << 10;
/// How often a full socket is tried where nothing tells when it has room.
const TRY_AGAIN: Duration = Duration::from_millis(5);

/// A connected socket and what is on its way through it.
#[derive(Debug)]
pub struct Wire {
    socket: Readable,
    /// The runtime that waits for the socket.
    runtime: Handle,
    /// What was read; everything before `taken` is done with.
    input: Vec<u8>,
    taken: usize,
    /// Whether the socket had nothing more when it was last read: then it is waited for first.
    is_drained: bool,
    /// What is to be written; everything before `written` is.
    output: Vec<u8>,
    written: usize,
    /// The bytes written in all.
    total: u64,
    /// What room is waited for with; there while the socket is full.
    room: Option<Room>,
}

/// What tells when a full socket may have room.
#[derive(Debug)]
enum Room {
    /// A duplicate of the socket.
    Told(UnixStream),
    /// A timer, where the process has no descriptor left: the connection is not to break over that.
    Tried(Pin<Box<Sleep>>),
}

impl Wire {
    /// Takes a connected socket. Must be called on a runtime with I/O and time, which then waits for the socket.
    ///
    /// # Errors
    /// Where the system can't wait for it.
    pub fn new(stream: StdStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            socket: Readable::new(stream.into())?,
            runtime: Handle::current(),
            input: Vec::new(),
            taken: 0,
            is_drained: true,
            output: Vec::new(),
            written: 0,
            total: 0,
            room: None,
        })
    }

    /// Returns the descriptor of a duplicate of the socket, where there is one at the moment.
    pub fn duplicate(&self) -> Option<RawFd> {
        match &self.room {
            Some(Room::Told(duplicate)) => Some(duplicate.as_raw_fd()),
            _ => None,
        }
    }

    /// Tells whether the other end has hung up and left nothing to read. Asks the system, without waiting.
    pub fn is_hung_up(&self) -> bool {
        let peeked = rustix::net::recv(&self.socket, &mut [0_u8; 1][..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        match peeked {
            Ok((read, _)) => read == 0,
            Err(error) => error != Errno::AGAIN && error != Errno::INTR,
        }
    }

    /// Reads some of what has come.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when the other end has hung up, and those of the socket.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.is_drained {
                ready!(self.socket.poll_ready(cx))?.clear_ready();
                self.is_drained = false;
            }
            if self.try_read()? {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Reads some of what has come, without waiting; tells whether there was any.
    ///
    /// # Errors
    /// Those of [`Wire::poll_read`].
    pub fn try_read(&mut self) -> io::Result<bool> {
        self.make_room();
        let asked = self.input.capacity() - self.input.len();
        match rustix::net::recv(&self.socket, spare_capacity(&mut self.input), RecvFlags::DONTWAIT) {
            Ok((0, _)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((read, _)) => {
                self.is_drained = read < asked;
                Ok(true)
            }
            Err(Errno::AGAIN) => {
                self.is_drained = true;
                Ok(false)
            }
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for the other end to hang up, whatever it has sent before; for whoever does not read at the moment.
    pub fn poll_hung_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut readiness = ready!(self.socket.poll_ready(cx))?;
            if readiness.ready().is_read_closed() {
                return Poll::Ready(Ok(()));
            }
            // There is something to read, which `poll_read` must not wait for.
            readiness.clear_ready();
            self.is_drained = false;
        }
    }

    /// Shows the next frame to `decode`; `None` where it is not there as a whole.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] where it is too long, and those of `decode`.
    pub fn take<T>(&mut self, decode: impl FnOnce(&[u8]) -> io::Result<T>) -> io::Result<Option<T>> {
        let Some(length) = self.next_length() else { return Ok(None) };
        if length > MAX_MESSAGE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes")));
        }
        let begin = self.taken + HEAD;
        let Some(frame) = self.input.get(begin..begin + length) else { return Ok(None) };
        let decoded = decode(frame)?;
        self.taken = begin + length;
        if self.taken == self.input.len() {
            self.taken = 0;
            empty(&mut self.input);
        }
        Ok(Some(decoded))
    }

    /// Adds a frame to what is to be written: what `encode` appends. Where that fails, nothing is added.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] where it is too long, and those of `encode`.
    pub fn put(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()> {
        self.forget_written();
        let begin = self.output.len();
        self.output.extend([0; HEAD]);
        let encoded = encode(&mut self.output).and_then(|()| {
            let length = self.output.len() - begin - HEAD;
            let fits = u32::try_from(length).ok().filter(|_| length <= MAX_MESSAGE);
            let too_long = || io::Error::new(io::ErrorKind::InvalidInput, format!("a message of {length} bytes"));
            self.output[begin..begin + HEAD].copy_from_slice(&fits.ok_or_else(too_long)?.to_le_bytes());
            Ok(())
        });
        if encoded.is_err() {
            self.output.truncate(begin);
        }
        encoded
    }

    /// Returns how many bytes are to be written.
    pub fn unwritten(&self) -> usize {
        self.output.len() - self.written
    }

    /// Returns how many bytes were written since the connection began.
    pub fn written(&self) -> u64 {
        self.total
    }

    /// Writes what is to be written, as much at a time as the socket takes.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unwritten() > 0 {
            let rest = &self.output[self.written..];
            let send = || Ok(rustix::net::send(&self.socket, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?);
            let sent: io::Result<usize> = match &mut self.room {
                None => send(),
                Some(Room::Told(room)) => {
                    ready!(room.poll_write_ready(cx))?;
                    room.try_io(Interest::WRITABLE, send)
                }
                Some(Room::Tried(pause)) => {
                    ready!(pause.as_mut().poll(cx));
                    send()
                }
            };
            match sent {
                Ok(sent) => {
                    self.written += sent;
                    self.total += sent as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_for_room()?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.written = 0;
        empty(&mut self.output);
        // Not kept: it would wake this process whenever the other end reads.
        self.room = None;
        Poll::Ready(Ok(()))
    }

    fn wait_for_room(&mut self) -> io::Result<()> {
        if matches!(self.room, Some(Room::Told(_))) {
            return Ok(());
        }
        let _entered = self.runtime.enter();
        self.room = Some(match rustix::io::fcntl_dupfd_cloexec(&self.socket, 3) {
            Ok(duplicate) => Room::Told(UnixStream::from_std(duplicate.into())?),
            Err(Errno::MFILE) => Room::Tried(Box::pin(sleep(TRY_AGAIN))),
            Err(error) => return Err(error.into()),
        });
        Ok(())
    }

    /// Gives back the room of what is written: where more always comes before all of it is, nothing else would.
    fn forget_written(&mut self) {
        if self.written > KEPT.max(self.unwritten()) {
            self.output.drain(..mem::take(&mut self.written));
        }
    }

    /// Returns the length of the next frame, as soon as that is there.
    fn next_length(&self) -> Option<usize> {
        let head = self.input.get(self.taken..)?.first_chunk::<HEAD>()?;
        Some(usize::try_from(u32::from_le_bytes(*head)).unwrap_or(usize::MAX))
    }

    /// Makes room for the rest of a frame that has begun, and for a piece at least.
    fn make_room(&mut self) {
        let begun = self.input.len() - self.taken;
        let missing = self.next_length().map_or(0, |length| (HEAD + length.min(MAX_MESSAGE)).saturating_sub(begun));
        let wanted = missing.max(PIECE);
        if self.input.capacity() - self.input.len() < wanted {
            self.input.drain(..mem::take(&mut self.taken));
            self.input.reserve(wanted);
        }
    }
}

fn empty(buffer: &mut Vec<u8>) {
    buffer.clear();
    if buffer.capacity() > KEPT {
        *buffer = Vec::new();
    }
}

#[cfg(test)]
mod tests;
