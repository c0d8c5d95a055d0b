//! Redis over a Unix socket: as much of its protocol as a get and a set need.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Fault;
use crate::place::Place;
use crate::server::{Server, find};
use crate::sizes::{VALUE, key, value};

/// A server of its own, without any persistence.
pub(crate) fn start(program: &Path, place: &Place) -> Result<Server, Fault> {
    Server::start(program, place, |command, socket| {
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--daemonize", "no"]);
        command.arg("--unixsocket").arg(socket);
    })
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Redis(BufReader<UnixStream>);

impl Redis {
    /// Connects.
    ///
    /// # Errors
    /// Where the server does not listen.
    pub(crate) fn connect(server: &Server) -> Result<Self, Fault> {
        Ok(Self(BufReader::new(server.connect()?)))
    }

    /// Adds this many entries, all at once.
    ///
    /// # Errors
    /// Where the server refuses.
    pub(crate) fn fill(&mut self, entries: u64) -> Result<(), Fault> {
        // As many as the buffers of the socket bear before somebody has to read.
        let numbers: Vec<u64> = (0..entries).collect();
        for batch in numbers.chunks(500) {
            let requests: Vec<u8> =
                batch.iter().flat_map(|number| set_request(&key(*number), &value(*number))).collect();
            self.0.get_mut().write_all(&requests)?;
            batch.iter().try_for_each(|_| self.expect_ok())?;
        }
        Ok(())
    }

    /// Sets an entry.
    ///
    /// # Errors
    /// Where the server refuses.
    pub(crate) fn set(&mut self, key: &str, value: &[u8]) -> Result<(), Fault> {
        self.0.get_mut().write_all(&set_request(key, value))?;
        self.expect_ok()
    }

    /// Reads an entry that is there.
    ///
    /// # Errors
    /// Where it is not.
    pub(crate) fn get(&mut self, key: &str) -> Result<Vec<u8>, Fault> {
        let request = format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len());
        self.0.get_mut().write_all(request.as_bytes())?;
        let head = self.line()?;
        let length: usize =
            head.strip_prefix('$').unwrap_or_default().parse().map_err(|_| format!("it says {head}"))?;
        let mut value = vec![0; length + 2];
        self.0.read_exact(&mut value)?;
        value.truncate(length);
        Ok(value)
    }

    fn expect_ok(&mut self) -> Result<(), Fault> {
        let line = self.line()?;
        if line == "+OK" { Ok(()) } else { Err(format!("Redis says {line}").into()) }
    }

    fn line(&mut self) -> Result<String, Fault> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

fn set_request(key: &str, value: &[u8]) -> Vec<u8> {
    let mut request = format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n", key.len(), value.len()).into_bytes();
    request.extend_from_slice(value);
    request.extend_from_slice(b"\r\n");
    request
}

/// Returns how many values a second Redis' own benchmark sets, 64 in flight.
///
/// # Errors
/// Where it is not installed, or tells nothing.
pub(crate) fn pipelined(server: &Server, values: u64) -> Result<f64, Fault> {
    let program = find("redis-benchmark").ok_or("redis-benchmark is not installed")?;
    let mut command = Command::new(program);
    command.arg("-s").arg(server.socket()).args(["-t", "set", "-P", "64", "--csv"]);
    command.args(["-n", &values.to_string(), "-r", &values.to_string(), "-d", &VALUE.to_string()]);
    let told = command.stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let row = told.lines().find(|line| line.starts_with("\"SET\""));
    let rate = row.and_then(|row| row.split(',').nth(1)).map(|rate| rate.trim_matches('"').parse());
    Ok(rate.ok_or_else(|| format!("redis-benchmark says {told}"))??)
}
