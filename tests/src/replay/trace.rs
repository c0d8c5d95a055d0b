//! A trace: which ids were asked for, one after the other.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use lzma_rust2::XzReader;

/// With this a file begins that `xz` wrote.
const XZ: &[u8] = b"\xfd7zXZ\0";

/// The requests of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The ids that are asked for, each once, in the order in which they first were.
    pub ids: Vec<Box<[u8]>>,
    /// What is asked for, by its place among the ids.
    pub requests: Vec<u32>,
}

/// A file that can't be replayed.
#[derive(Debug)]
pub enum TraceError {
    /// It can't be read.
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Nothing is asked for.
    Empty {
        /// The file.
        path: PathBuf,
    },
}

impl Trace {
    /// Reads a file with an id a line, plain or as `xz` packs it. Empty lines are none.
    ///
    /// # Errors
    /// If it can't be read, or has no id at all.
    pub fn read(path: &Path) -> Result<Self, TraceError> {
        let failed = |source| TraceError::Read { path: path.to_owned(), source };
        let mut file = BufReader::new(File::open(path).map_err(failed)?);
        let packed = file.fill_buf().map_err(failed)?.starts_with(XZ);
        let trace =
            if packed { Self::read_lines(BufReader::new(XzReader::new(file, true))) } else { Self::read_lines(file) };
        let trace = trace.map_err(failed)?;
        if trace.requests.is_empty() {
            return Err(TraceError::Empty { path: path.to_owned() });
        }
        Ok(trace)
    }

    fn read_lines(lines: BufReader<impl Read>) -> io::Result<Self> {
        let mut known = HashMap::new();
        let mut requests = Vec::new();
        for line in lines.split(b'\n') {
            let line = line?;
            let id = line.trim_ascii();
            if id.is_empty() {
                continue;
            }
            let next = known.len() as u32;
            let number = known.get(id).copied().unwrap_or_else(|| {
                known.insert(Box::<[u8]>::from(id), next);
                next
            });
            requests.push(number);
        }
        let mut ids = vec![Box::default(); known.len()];
        known.into_iter().for_each(|(id, number)| ids[number as usize] = id);
        Ok(Self { ids, requests })
    }
}

/// Ids are their numbers.
impl FromIterator<u32> for Trace {
    fn from_iter<I: IntoIterator<Item = u32>>(requests: I) -> Self {
        let requests: Vec<u32> = requests.into_iter().collect();
        let count = requests.iter().max().map_or(0, |most| most + 1);
        Self { ids: (0..count).map(|id| id.to_le_bytes().into()).collect(), requests }
    }
}

impl std::fmt::Display for TraceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read { path, .. } => write!(f, "failed to read the trace {}", path.display()),
            Self::Empty { path } => write!(f, "no request is in {}; a trace has an id a line", path.display()),
        }
    }
}

impl std::error::Error for TraceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            Self::Empty { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Trace, TraceError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace");
        std::fs::write(&path, bytes).unwrap();
        Trace::read(&path)
    }

    #[test]
    fn ids_are_numbered_as_they_appear_whatever_they_are() {
        let trace = read(b"b\n\xff7 8\r\n\nb\na").unwrap();
        assert_eq!(trace.ids, [&b"b"[..], b"\xff7 8", b"a"].map(Box::from));
        assert_eq!(trace.requests, [0, 1, 0, 2]);
    }

    #[test]
    fn a_file_of_xz_is_told_by_its_first_bytes_and_one_that_is_cut_short_is_refused() {
        let packed = include_bytes!("../../traces/multi2.txt.xz");
        let trace = read(packed).unwrap();
        assert_eq!((trace.requests.len(), trace.ids.len()), (26_311, 5_684));
        assert!(matches!(read(&packed[..20_000]), Err(TraceError::Read { .. })));
    }

    #[test]
    fn a_trace_without_requests_is_refused() {
        let error = read(b"\n\n").unwrap_err().to_string();
        assert!(error.starts_with("no request is in ") && error.ends_with("; a trace has an id a line"), "{error}");
    }
}
