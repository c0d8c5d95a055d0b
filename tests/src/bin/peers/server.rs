//! A server of a peer: started on a socket of its own, and killed when it is dropped.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::place::Place;
use crate::{Fault, stop};

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A server that listens at a Unix socket.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    folder: TempDir,
}

impl Server {
    /// Starts `program`, with the arguments that go with the path of its socket.
    ///
    /// # Errors
    /// Where it does not start to listen.
    pub(crate) fn start(
        program: &Path,
        place: &Place,
        arguments: impl FnOnce(&mut Command, &Path),
    ) -> Result<Self, Fault> {
        let folder = place.sockets()?;
        let mut command = Command::new(program);
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        arguments(&mut command, &folder.path().join("sock"));
        let mut server = Self { child: command.spawn()?, folder };
        let deadline = Instant::now() + PATIENCE;
        while server.connect().is_err() {
            stop::check()?;
            if let Some(status) = server.child.try_wait()? {
                return Err(format!("{} ended with {status}", program.display()).into());
            }
            if Instant::now() > deadline {
                return Err(format!("{} does not listen", program.display()).into());
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(server)
    }

    /// Returns the path of its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    /// Connects to it.
    ///
    /// # Errors
    /// Where it does not listen.
    pub(crate) fn connect(&self) -> std::io::Result<UnixStream> {
        UnixStream::connect(self.socket())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("peers: a server can't be ended: {error}");
        }
    }
}

/// Returns where a program is, if it is installed.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}
