//! Whether somebody takes connections at a socket.

use std::path::Path;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// Tells whether somebody takes connections at a socket; does not wait for one who has too many of them.
#[must_use]
pub fn is_listening(socket: &Path) -> bool {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let connected = SocketAddrUnix::new(socket).and_then(|address| {
        let stream = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&stream, &address)
    });
    matches!(connected, Ok(()) | Err(Errno::AGAIN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_socket_is_listened_at_until_its_owner_ends() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("sock");
        assert!(!is_listening(&socket));
        let listener = UnixListener::bind(&socket).unwrap();
        // More than wait for it: the rest is told to try again.
        rustix::net::listen(&listener, 1).unwrap();
        assert!((0..4).all(|_| is_listening(&socket)));
        drop(listener);
        assert!(socket.exists() && !is_listening(&socket));
    }
}
