//! memcached over a Unix socket: as much of its protocol as a get and a set need.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::Fault;
use crate::place::Place;
use crate::server::Server;
use crate::sizes::{key, value};

/// A server of its own, with room for all that is measured.
pub(crate) fn start(program: &Path, place: &Place) -> Result<Server, Fault> {
    Server::start(program, place, |command, socket| {
        command.arg("-s").arg(socket).args(["-m", "1024"]);
        if rustix::process::getuid().is_root() {
            command.args(["-u", "root"]);
        }
    })
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Memcached(BufReader<UnixStream>);

impl Memcached {
    /// Connects.
    ///
    /// # Errors
    /// Where the server does not listen.
    pub(crate) fn connect(server: &Server) -> Result<Self, Fault> {
        Ok(Self(BufReader::new(server.connect()?)))
    }

    /// Adds this many entries.
    ///
    /// # Errors
    /// Where the server refuses.
    pub(crate) fn fill(&mut self, entries: u64) -> Result<(), Fault> {
        (0..entries).try_for_each(|number| self.set(&key(number), &value(number)))
    }

    /// Sets an entry.
    ///
    /// # Errors
    /// Where the server refuses.
    pub(crate) fn set(&mut self, key: &str, value: &[u8]) -> Result<(), Fault> {
        let mut request = format!("set {key} 0 0 {}\r\n", value.len()).into_bytes();
        request.extend_from_slice(value);
        request.extend_from_slice(b"\r\n");
        self.0.get_mut().write_all(&request)?;
        self.expect("STORED")
    }

    /// Reads an entry that is there.
    ///
    /// # Errors
    /// Where it is not.
    pub(crate) fn get(&mut self, key: &str) -> Result<Vec<u8>, Fault> {
        self.0.get_mut().write_all(format!("get {key}\r\n").as_bytes())?;
        let head = self.line()?;
        let length: Option<usize> = head.strip_prefix("VALUE ").and_then(|head| head.rsplit(' ').next()?.parse().ok());
        let length = length.ok_or_else(|| format!("memcached says {head}"))?;
        let mut value = vec![0; length + 2];
        self.0.read_exact(&mut value)?;
        value.truncate(length);
        self.expect("END")?;
        Ok(value)
    }

    fn expect(&mut self, expected: &str) -> Result<(), Fault> {
        let line = self.line()?;
        if line == expected { Ok(()) } else { Err(format!("memcached says {line}").into()) }
    }

    fn line(&mut self) -> Result<String, Fault> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}
