//! Where a value goes: to stdout, into a device, or into a file that appears only when it is complete.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::failure::Failure;
use crate::interrupt::Interrupts;
use crate::output::Output;

/// What a new file may be used for before the umask takes its part, as with any program's output.
const MODE: u32 = 0o666;

/// Where a value goes.
pub(crate) enum Destination {
    /// Standard output.
    Stdout(Output),
    /// Something that is there and is no regular file: a device or a pipe. It can't be replaced.
    Stream {
        /// The open device.
        file: File,
        /// Its path.
        path: PathBuf,
    },
    /// A file that is written beside its place and takes it in the end.
    Beside {
        /// The file under a temporary name; removed when dropped.
        file: NamedTempFile,
        /// Its place.
        path: PathBuf,
        /// What must not end the process before the file is removed.
        interrupts: Interrupts,
    },
}

impl Destination {
    /// Takes standard output.
    pub(crate) fn stdout() -> Self {
        Self::Stdout(Output::new())
    }

    /// Begins to write what shall stand at `path`. A link is followed; the mode of a file that is there is kept.
    ///
    /// # Errors
    /// Where nothing can be written there, or a folder is in the way.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        Self::try_create(path).map_err(|source| Failure::Output { name: path.to_owned(), source })
    }

    fn try_create(path: &Path) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(there) if there.is_file() => Self::beside(&fs::canonicalize(path)?, Some(there.permissions())),
            Ok(_) => Ok(Self::Stream { file: OpenOptions::new().write(true).open(path)?, path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::beside(path, None),
            Err(error) => Err(error),
        }
    }

    fn beside(path: &Path, mode: Option<Permissions>) -> io::Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let interrupts = Interrupts::hold_back()?;
        let file = temporary_in(folder)?;
        if let Some(mode) = mode {
            file.as_file().set_permissions(mode)?;
        }
        Ok(Self::Beside { file, path: path.to_owned(), interrupts })
    }

    /// Tells whether somebody watches the bytes go by.
    pub(crate) fn is_terminal(&self) -> bool {
        match self {
            Self::Stdout(_) => io::stdout().is_terminal(),
            Self::Stream { file, .. } => file.is_terminal(),
            Self::Beside { .. } => false,
        }
    }

    /// Tells whether bytes that were written are out of our hands.
    pub(crate) fn is_handed_on(&self) -> bool {
        !matches!(self, Self::Beside { .. })
    }

    /// Writes the next bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let (outcome, path) = match self {
            Self::Stdout(output) => return output.bytes(bytes),
            Self::Stream { file, path } => (file.write_all(bytes), path),
            Self::Beside { file, path, interrupts } => {
                if let Some(signal) = interrupts.arrived() {
                    return Err(Failure::Interrupted { signal });
                }
                (file.write_all(bytes), path)
            }
        };
        outcome.map_err(|source| Failure::Output { name: path.clone(), source })
    }

    /// Ends the writing; a file takes its place now.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Stdout(output) => output.finish(),
            Self::Stream { .. } => Ok(()),
            Self::Beside { file, path, .. } => {
                let moved = file.persist(&path).map(drop);
                moved.map_err(|error| Failure::Output { name: path, source: error.error })
            }
        }
    }
}

/// Makes a file that nobody asked for, and so its name is in no error.
fn temporary_in(folder: &Path) -> io::Result<NamedTempFile> {
    let code = Cell::new(None);
    let open = |path: &Path| {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(MODE).open(path);
        file.inspect_err(|error| code.set(error.raw_os_error()))
    };
    let made = tempfile::Builder::new().prefix(".datacache-").make_in(folder, open);
    made.map_err(|error| code.get().map_or(error, io::Error::from_raw_os_error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::fs::symlink;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_appears_only_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let mut destination = Destination::create(&path).unwrap();
        destination.write(b"all of it").unwrap();
        assert!(!path.exists());
        destination.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"all of it");
        assert_eq!(names(folder.path()), ["out"]);
    }

    #[test]
    fn what_is_given_up_leaves_nothing_and_keeps_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        fs::write(&path, "before").unwrap();
        let mut destination = Destination::create(&path).unwrap();
        destination.write(b"half").unwrap();
        drop(destination);
        assert_eq!(fs::read(&path).unwrap(), b"before");
        assert_eq!(names(folder.path()), ["out"]);
    }

    #[test]
    fn a_file_that_is_replaced_keeps_its_mode_and_the_links_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("out"), folder.path().join("link"));
        fs::write(&path, "before").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        symlink("out", &link).unwrap();
        let mut destination = Destination::create(&link).unwrap();
        destination.write(b"after").unwrap();
        destination.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"after");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        let mut destination = Destination::create(Path::new("/dev/null")).unwrap();
        assert!(matches!(destination, Destination::Stream { .. }));
        destination.write(b"gone").unwrap();
        destination.finish().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn a_folder_or_a_missing_one_can_not_be_written() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path(), &folder.path().join("missing/out")] {
            assert!(matches!(Destination::create(path), Err(Failure::Output { name, .. }) if name == path));
        }
    }
}
