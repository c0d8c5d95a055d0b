//! Standard output: buffered, and a reader that has gone is no failure. And what is said on stderr.

use std::fmt::Display;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::failure::Failure;

/// Standard output, until [`Output::finish`].
pub(crate) struct Output(BufWriter<StdoutLock<'static>>);

impl Output {
    /// Takes standard output.
    pub(crate) fn new() -> Self {
        Self(BufWriter::with_capacity(64 * 1024, io::stdout().lock()))
    }

    /// Prints `text` and the end of the line.
    pub(crate) fn line(&mut self, text: impl Display) -> Result<(), Failure> {
        writeln!(self.0, "{text}").map_err(Failure::from_stdout)
    }

    /// Writes `bytes` as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.0.write_all(bytes).map_err(Failure::from_stdout)
    }

    /// Prints a path as it is, whatever bytes it is made of, and the end of the line.
    pub(crate) fn path(&mut self, path: &Path) -> Result<(), Failure> {
        self.bytes(path.as_os_str().as_bytes())?;
        self.bytes(b"\n")
    }

    /// Writes out what is buffered: what follows takes its time.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.0.flush().map_err(Failure::from_stdout)
    }

    /// Writes out what is still buffered.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.flush()
    }
}

/// Prints one line and nothing else.
pub(crate) fn print_line(text: impl Display) -> Result<(), Failure> {
    let mut output = Output::new();
    output.line(text)?;
    output.finish()
}

/// Prints text that ends its own lines.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut output = Output::new();
    output.bytes(text.as_bytes())?;
    output.finish()
}

/// Says one line on stderr. That nobody reads it changes nothing: the exit status tells, too.
pub(crate) fn say(text: impl Display) {
    writeln!(io::stderr(), "datacache: {text}").unwrap_or_default();
}
