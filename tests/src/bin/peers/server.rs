//! A server of a peer: started on a socket of its own, and killed when it is dropped.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use datacache_tests::wait::comes_to_hold;
use tempfile::TempDir;

use crate::place::Place;
use crate::{Fault, stop};

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

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
        let mut ended = Ok(None);
        let is_settled = comes_to_hold(PATIENCE, || {
            ended = server.child.try_wait();
            server.connect().is_ok() || stop::check().is_err() || !matches!(ended, Ok(None))
        });
        stop::check()?;
        match ended? {
            Some(status) => Err(format!("{} ended with {status}", program.display()).into()),
            None if is_settled => Ok(server),
            None => Err(format!("{} does not listen", program.display()).into()),
        }
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
