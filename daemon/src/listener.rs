//! The socket that clients connect to: handed over by systemd, or bound here. Knows nothing of what is said on it.
//!
//! IMPORTANT: only the daemon that holds the store's lock may come here. It takes a socket that is in the way for a
//! dead daemon's, which it is only as long as no other daemon of the store can be running.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use datacache_proto::listening::is_listening;
use datacache_proto::paths::MAX_SOCKET_PATH;
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use sha2::{Digest as _, Sha256};

use crate::store::failpoint::failpoint;

/// How many connections wait in the socket until the daemon takes them; the system may allow fewer.
const BACKLOG: i32 = 1_024;

/// A socket that listens.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    address: PathBuf,
    /// What was bound here, and so is removed in the end; `None` for systemd's, which outlives us.
    bound: Option<Identity>,
}

/// Tells a file from another one that took its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(path: &Path) -> io::Result<Self> {
        fs::symlink_metadata(path).map(|file| Self { device: file.dev(), inode: file.ino() })
    }
}

/// Why there is no socket to listen on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// A step failed.
    #[error("failed to {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The socket's folder is a link, a file or a device.
    #[error("{} is not a folder; name another socket with --socket", .path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// The socket's folder is somebody else's.
    #[error("the folder {} belongs to user {owner}, not to user {me}; name another socket with --socket", .path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The user who runs the daemon.
        me: u32,
    },
    /// Others could replace the socket.
    #[error("the folder {} can be written to by others (mode {mode:o}); take that right away, or name another socket", .path.display())]
    Open {
        /// The folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Something that is not a socket has the socket's name.
    #[error("{} is in the way: it is not a socket; name another one with --socket", .path.display())]
    InTheWay {
        /// The path.
        path: PathBuf,
    },
    /// A daemon of another store listens there.
    #[error("a daemon of another store listens on {}; name another socket with --socket", .path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// What systemd handed over can't be used.
    #[error("systemd handed over {found}, expected one listening Unix stream socket with a path")]
    Systemd {
        /// What it handed over instead.
        found: String,
    },
}

impl ListenError {
    fn io(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io { action, path: path.to_owned(), source: source.into() }
    }
}

impl Listener {
    /// Takes the socket that systemd handed over, else binds the one at `path`.
    ///
    /// # Errors
    /// [`ListenError`] where neither can be had.
    pub fn acquire(path: &Path) -> Result<Self, ListenError> {
        match from_systemd()? {
            Some(socket) => Self::adopt(socket),
            None => Self::bind(path),
        }
    }

    /// Takes a socket that is already listening; it is not removed in the end.
    ///
    /// # Errors
    /// [`ListenError::Systemd`] where it is of another kind, or has no path.
    pub fn adopt(socket: OwnedFd) -> Result<Self, ListenError> {
        check_kind(&socket).map_err(|found| ListenError::Systemd { found })?;
        let socket = UnixListener::from(socket);
        let unusable = |error: io::Error| ListenError::Systemd { found: format!("an unusable socket ({error})") };
        socket.set_nonblocking(true).map_err(unusable)?;
        let address = socket.local_addr().map_err(unusable)?;
        let address = address.as_pathname().ok_or(ListenError::Systemd { found: "a socket without a path".into() })?;
        Ok(Self { address: address.to_owned(), socket, bound: None })
    }

    /// Binds a socket at `path`, mode 0600, in place of a dead daemon's. Its folder is made (0700) if there is none.
    ///
    /// # Errors
    /// [`ListenError`] where the folder is not safe, something else has the name, or the system refuses.
    pub fn bind(path: &Path) -> Result<Self, ListenError> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        prepare_folder(folder)?;
        check_vacant(path)?;
        let temporary = temporary_for(path);
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ListenError::io("remove", &temporary, error));
            }
            _ => {}
        }
        let socket =
            bound_in(folder, &temporary).map_err(|error| ListenError::io("bind the socket", &temporary, error))?;
        failpoint!(SocketBound);
        // Renamed once it listens: at no moment is there a socket with this name that refuses a client.
        fs::rename(&temporary, path).map_err(|error| ListenError::io("put in place the socket", path, error))?;
        failpoint!(SocketInPlace);
        let identity = Identity::of(path).map_err(|error| ListenError::io("look at", path, error))?;
        Ok(Self { socket: socket.into(), address: path.to_owned(), bound: Some(identity) })
    }

    /// Returns the socket's path.
    #[must_use]
    pub fn address(&self) -> &Path {
        &self.address
    }

    /// Returns the socket, which does not block.
    #[must_use]
    pub fn socket(&self) -> &UnixListener {
        &self.socket
    }

    /// Tells whether the socket was bound here, and so goes in the end.
    #[must_use]
    pub fn is_bound_here(&self) -> bool {
        self.bound.is_some()
    }

    /// Removes the socket's file if it was bound here and is still the same one.
    pub fn remove(&self) {
        let is_ours = self.bound.is_some_and(|bound| Identity::of(&self.address).is_ok_and(|now| now == bound));
        if is_ours && let Err(error) = fs::remove_file(&self.address) {
            tracing::warn!(path = %self.address.display(), %error, "the socket can't be removed");
        }
    }
}

/// Returns the socket that systemd handed over, if it did.
#[expect(unsafe_code, reason = "descriptors arrive as bare numbers")]
fn from_systemd() -> Result<Option<OwnedFd>, ListenError> {
    use std::os::fd::FromRawFd;
    let found = |found: String| ListenError::Systemd { found };
    let mut numbers = sd_notify::listen_fds().map_err(|error| found(format!("descriptors wrongly ({error})")))?;
    match (numbers.len(), numbers.next()) {
        (0, _) | (_, None) => Ok(None),
        // SAFETY: LISTEN_PID names this process, so the descriptor was opened for it and is its own; a daemon comes
        // here once, before anything else could have taken it; that it is open was checked when it was made CLOEXEC.
        (1, Some(number)) => Ok(Some(unsafe { OwnedFd::from_raw_fd(number) })),
        (count, _) => Err(found(format!("{count} descriptors"))),
    }
}

/// Says what `socket` is instead of a listening Unix stream socket.
fn check_kind(socket: &OwnedFd) -> Result<(), String> {
    let socket = socket.as_fd();
    let domain = sockopt::socket_domain(socket).map_err(|_| "something that is not a socket".to_owned())?;
    if domain != AddressFamily::UNIX {
        return Err("a socket of another family".into());
    }
    if sockopt::socket_type(socket) != Ok(SocketType::STREAM) {
        return Err("a Unix socket that is not a stream".into());
    }
    if sockopt::socket_acceptconn(socket) != Ok(true) {
        return Err("a Unix socket that does not listen".into());
    }
    Ok(())
}

/// Makes the folder if it is not there, and checks that nobody else can put a socket into it.
fn prepare_folder(folder: &Path) -> Result<(), ListenError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(folder).map_err(|error| ListenError::io("make the folder", folder, error))?;
    let found = fs::symlink_metadata(folder).map_err(|error| ListenError::io("look at", folder, error))?;
    if !found.is_dir() {
        return Err(ListenError::NotAFolder { path: folder.to_owned() });
    }
    let me = rustix::process::geteuid().as_raw();
    if found.uid() != me {
        return Err(ListenError::Foreign { path: folder.to_owned(), owner: found.uid(), me });
    }
    match found.mode() & 0o777 {
        mode if mode & 0o022 != 0 => Err(ListenError::Open { path: folder.to_owned(), mode }),
        _ => Ok(()),
    }
}

/// Checks that `path` is free, or has a socket that nobody listens on any more.
fn check_vacant(path: &Path) -> Result<(), ListenError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(ListenError::io("look at", path, error)),
        Ok(found) if !found.file_type().is_socket() => Err(ListenError::InTheWay { path: path.to_owned() }),
        Ok(_) if is_listening(path) => Err(ListenError::InUse { path: path.to_owned() }),
        Ok(_) => Ok(()),
    }
}

/// Returns the name that a socket has until it listens. Always the same: what a daemon leaves that dies before the next step, its
/// successor removes. And short: the socket's own name may be as long as the system takes.
fn temporary_for(path: &Path) -> PathBuf {
    let name = Sha256::digest(path.file_name().unwrap_or_default().as_bytes());
    path.with_file_name(format!(".{}", name[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}

/// Returns a socket that listens at `path` in `folder`, which must be free.
fn bound_in(folder: &Path, path: &Path) -> rustix::io::Result<OwnedFd> {
    if path.as_os_str().len() <= MAX_SOCKET_PATH {
        return bound_at(path);
    }
    // The temporary name can be longer than the lasting one, which fits: go there by way of the open folder.
    let folder = rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let detour = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    bound_at(&detour.join(path.file_name().unwrap_or_default()))
}

fn bound_at(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // The file gets the mode that the socket has when it is bound, less the umask: there is no moment at which it
    // has another.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_bound_socket_is_private_and_takes_connections() {
        let folder = folder();
        let path = folder.path().join("new").join("sock");
        let listener = Listener::bind(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        UnixStream::connect(&path).unwrap();
        listener.socket().accept().unwrap();
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "a temporary name was left behind");
    }

    #[test]
    fn the_longest_path_that_the_system_takes_is_taken() {
        let folder = folder();
        let missing = MAX_SOCKET_PATH - folder.path().as_os_str().len() - "//s".len();
        let path = folder.path().join("f".repeat(missing)).join("s");
        assert_eq!(path.as_os_str().len(), MAX_SOCKET_PATH);
        let listener = Listener::bind(&path).unwrap();
        UnixStream::connect(&path).unwrap();
        listener.socket().accept().unwrap();
    }

    #[test]
    fn the_socket_of_a_dead_daemon_is_replaced_and_that_of_a_living_one_is_not() {
        let folder = folder();
        let path = folder.path().join("sock");
        let first = Listener::bind(&path).unwrap();
        assert!(matches!(Listener::bind(&path), Err(ListenError::InUse { .. })));
        drop(first);
        let second = Listener::bind(&path).unwrap();
        UnixStream::connect(&path).unwrap();
        second.socket().accept().unwrap();
    }

    #[test]
    fn what_a_daemon_left_that_died_half_way_goes_with_the_next() {
        let folder = folder();
        let path = folder.path().join("sock");
        drop(UnixListener::bind(temporary_for(&path)).unwrap());
        let _listener = Listener::bind(&path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_the_own_socket_is_removed() {
        let folder = folder();
        let path = folder.path().join("sock");
        let listener = Listener::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "somebody else's").unwrap();
        listener.remove();
        assert!(path.exists());
        fs::remove_file(&path).unwrap();
        let listener = Listener::bind(&path).unwrap();
        listener.remove();
        assert!(!path.exists());
    }

    #[test]
    fn a_file_in_the_way_is_left_alone() {
        let folder = folder();
        let path = folder.path().join("notes.txt");
        fs::write(&path, "dear diary").unwrap();
        assert!(matches!(Listener::bind(&path), Err(ListenError::InTheWay { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"dear diary");
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_refused() {
        let folder = folder();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = Listener::bind(&folder.path().join("sock")).unwrap_err();
        assert!(matches!(error, ListenError::Open { mode: 0o777, .. }), "{error}");
    }

    #[test]
    fn a_folder_that_is_a_link_is_refused() {
        let folder = folder();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert!(matches!(Listener::bind(&link.join("sock")), Err(ListenError::NotAFolder { .. })));
    }

    #[test]
    fn a_socket_that_was_handed_over_is_kept_in_the_end() {
        let folder = folder();
        let path = folder.path().join("sock");
        let handed_over = OwnedFd::from(UnixListener::bind(&path).unwrap());
        let listener = Listener::adopt(handed_over).unwrap();
        assert_eq!(listener.address(), path);
        listener.remove();
        assert!(path.exists());
    }

    #[test]
    fn other_descriptors_than_a_listening_unix_stream_are_refused_by_name() {
        let folder = folder();
        let file = fs::File::create(folder.path().join("file")).unwrap();
        let datagram = UnixDatagram::bind(folder.path().join("datagram")).unwrap();
        let (stream, _peer) = UnixStream::pair().unwrap();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let cases: [(OwnedFd, &str); 4] = [
            (file.into(), "not a socket"),
            (datagram.into(), "not a stream"),
            (stream.into(), "does not listen"),
            (tcp.into(), "another family"),
        ];
        for (descriptor, reason) in cases {
            let error = Listener::adopt(descriptor).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
