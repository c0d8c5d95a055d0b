//! Where content comes from: a file that was named, or standard input.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use datacache_proto::utf8::{NotUtf8, Utf8Check};

use crate::failure::Failure;
use crate::progress::{Extent, Progress};

const STDIN: &str = "standard input";
const CHUNK: usize = 256 * 1024;

/// Content that is open for reading.
pub(crate) struct Input {
    file: File,
    /// For messages.
    name: PathBuf,
    /// Its length in bytes, where it is known before reading.
    length: Option<u64>,
    /// Whether it is a regular file with a path.
    named: bool,
}

impl Input {
    /// Opens the file at `path`; `-`, or no path where stdin is not a terminal, is standard input.
    ///
    /// # Errors
    /// Where the file can't be opened or is a folder, or there is nothing to read.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        match path {
            Some(path) if path != Path::new("-") => Self::at(path),
            None if io::stdin().is_terminal() => Err(Failure::NoInput),
            _ => Self::stdin(),
        }
    }

    fn at(path: &Path) -> Result<Self, Failure> {
        let open = || Self::of(File::open(path)?, path.to_owned());
        let input = open().map_err(|source| Failure::Input { name: path.to_owned(), source })?;
        Ok(Self { named: input.length.is_some(), ..input })
    }

    /// Reads the descriptor itself: the standard library's own buffer would only copy once more.
    fn stdin() -> Result<Self, Failure> {
        let open = || Self::of(io::stdin().as_fd().try_clone_to_owned()?.into(), STDIN.into());
        open().map_err(|source| Failure::Input { name: STDIN.into(), source })
    }

    fn of(file: File, name: PathBuf) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let length = metadata.is_file().then_some(metadata.len());
        Ok(Self { file, name, length, named: false })
    }

    /// Returns the path, where the content is a regular file that was named.
    pub(crate) fn regular_path(&self) -> Option<&Path> {
        self.named.then_some(&self.name)
    }

    /// Returns what a progress bar can know before reading.
    pub(crate) fn extent(&self) -> Extent {
        self.length.map_or(Extent::Bytes, Extent::Total)
    }

    /// Gives the open file away.
    pub(crate) fn into_reader(self) -> File {
        self.file
    }

    /// Hands the content to `take`, a piece at a time.
    ///
    /// # Errors
    /// Where reading fails.
    pub(crate) fn for_each_chunk(
        &mut self,
        progress: &Progress,
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut chunk = vec![0; CHUNK];
        loop {
            match self.file.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(length) => {
                    take(&chunk[..length])?;
                    progress.advance(length as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(Failure::Input { name: self.name.clone(), source }),
            }
        }
    }

    /// Hands the content to `take` and checks that it is UTF-8.
    ///
    /// # Errors
    /// Where reading fails, and [`Failure::NotText`].
    pub(crate) fn for_each_text_chunk(
        &mut self,
        progress: &Progress,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), Failure> {
        let name = self.name.clone();
        let not_text = |NotUtf8 { valid_up_to }| Failure::NotText { name: name.clone(), valid_up_to };
        let mut check = Utf8Check::default();
        self.for_each_chunk(progress, |chunk| {
            take(chunk);
            check.update(chunk).map_err(not_text)
        })?;
        check.finish().map_err(not_text)
    }

    /// Reads all of it as text.
    ///
    /// # Errors
    /// Those of [`Input::for_each_text_chunk`].
    pub(crate) fn read_text(&mut self, progress: &Progress) -> Result<String, Failure> {
        let mut bytes = Vec::new();
        self.for_each_text_chunk(progress, |chunk| bytes.extend_from_slice(chunk))?;
        Ok(String::from_utf8(bytes).expect("every chunk was checked"))
    }

    /// Returns what to call it in messages.
    pub(crate) fn name(&self) -> &Path {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("input");
        std::fs::write(&path, content).unwrap();
        (folder, path)
    }

    fn silent() -> Progress {
        Progress::begin("testing", Extent::Bytes, false)
    }

    #[test]
    fn a_regular_file_knows_its_path_and_length() {
        let (_folder, path) = written(b"12345");
        let input = Input::open(Some(&path)).unwrap();
        assert_eq!(input.regular_path(), Some(path.as_path()));
        assert_eq!(input.extent(), Extent::Total(5));
    }

    #[test]
    fn a_device_is_read_without_a_known_length() {
        let mut input = Input::open(Some(Path::new("/dev/null"))).unwrap();
        assert_eq!(input.regular_path(), None);
        assert_eq!(input.extent(), Extent::Bytes);
        assert_eq!(input.read_text(&silent()).unwrap(), "");
    }

    #[test]
    fn a_missing_file_and_a_folder_are_wrong_input() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path(), &folder.path().join("missing")] {
            assert!(matches!(Input::open(Some(path)), Err(Failure::Input { name, .. }) if name == path));
        }
    }

    #[test]
    fn text_is_checked_to_its_very_end() {
        let (_folder, path) = written(b"gr\xc3\xb6\xc3");
        let mut input = Input::open(Some(&path)).unwrap();
        assert!(matches!(input.read_text(&silent()), Err(Failure::NotText { valid_up_to: 4, .. })));
    }
}
