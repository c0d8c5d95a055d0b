//! The two unit files: their text for this program, and how they come into their folder and out of it.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use directories::BaseDirs;

use super::error::ServiceError;

/// The unit that listens.
pub(super) const SOCKET: &str = "datacache.socket";
/// The unit that runs the daemon.
pub(super) const SERVICE: &str = "datacache.service";

const SOCKET_TEXT: &str = include_str!("../../../../systemd/datacache.socket");
const SERVICE_TEXT: &str = include_str!("../../../../systemd/datacache.service");
/// Where units of users lie in the folders that have some.
const FOLDER: &str = "systemd/user";
/// What stands in the texts for the path of the program.
const PROGRAM: &str = "@DATACACHE@";

/// Where systemd looks for the units of all users in any case: those of the administrator, and those that came with packages.
const OF_ALL_USERS: [&str; 6] = ["/etc", "/run", "/usr/local/share", "/usr/share", "/usr/local/lib", "/usr/lib"];
/// Where it looks, too, unless `XDG_CONFIG_DIRS` names other folders.
const CONFIG_DIRS: &str = "/etc/xdg";
/// Where it looks, too, unless `XDG_DATA_DIRS` names other folders.
const DATA_DIRS: &str = "/usr/local/share:/usr/share";

/// Tells whether the unit that listens is there for this user, by us or from a package.
pub(crate) fn is_installed() -> bool {
    let own = BaseDirs::new().map(|base| {
        let run = base.runtime_dir().map(Path::to_owned);
        [Some(base.config_dir().to_owned()), Some(base.data_dir().to_owned()), run]
    });
    let own = own.into_iter().flatten().flatten();
    let [config, data] = ["XDG_CONFIG_DIRS", "XDG_DATA_DIRS"].map(std::env::var_os);
    is_in(own.chain(of_all_users(config.as_deref(), data.as_deref())))
}

/// Returns the folders with the units of all users, as in systemd.unit(5), where the two variables have these values. It is taken for granted
/// that systemd was started with the same ones.
fn of_all_users(config_dirs: Option<&OsStr>, data_dirs: Option<&OsStr>) -> Vec<PathBuf> {
    let [config, data] = [(config_dirs, CONFIG_DIRS), (data_dirs, DATA_DIRS)].map(|(dirs, default)| {
        let dirs = dirs.filter(|dirs| !dirs.is_empty()).unwrap_or(OsStr::new(default));
        // A folder that depends on where somebody stands is to be ignored.
        std::env::split_paths(dirs).filter(|folder| folder.is_absolute()).collect::<Vec<_>>()
    });
    config.into_iter().chain(data).chain(OF_ALL_USERS.map(PathBuf::from)).collect()
}

fn is_in(folders: impl IntoIterator<Item = PathBuf>) -> bool {
    folders.into_iter().any(|folder| folder.join(FOLDER).join(SOCKET).exists())
}

fn folder(base: &BaseDirs) -> PathBuf {
    base.config_dir().join(FOLDER)
}

/// The unit files as they should be.
pub(super) struct Units {
    folder: PathBuf,
    files: [(&'static str, String); 2],
}

/// Files that were written, with what was there before.
#[must_use]
pub(super) struct Written(Vec<(PathBuf, Option<Vec<u8>>)>);

impl Units {
    /// Makes the units that run this very program.
    ///
    /// # Errors
    /// Where its path, or the folder for units, can't be told.
    pub(super) fn for_this_program() -> Result<Self, ServiceError> {
        let path = std::env::current_exe().map_err(|source| ServiceError::NoProgram { source })?;
        let program = path.to_str().ok_or_else(|| ServiceError::ProgramNotText { path: path.clone() })?;
        if program.contains(|c: char| matches!(c, '"' | '\'' | '\\') || c.is_control()) {
            return Err(ServiceError::ProgramRefused { path });
        }
        let base = BaseDirs::new().ok_or(ServiceError::NoHome)?;
        Ok(Self::for_program(program, folder(&base)))
    }

    fn for_program(program: &str, folder: PathBuf) -> Self {
        let fill = |text: &str| text.replace(PROGRAM, &quoted(program));
        Self { folder, files: [(SOCKET, fill(SOCKET_TEXT)), (SERVICE, fill(SERVICE_TEXT))] }
    }

    /// Returns where the files belong.
    pub(super) fn paths(&self) -> [PathBuf; 2] {
        self.files.each_ref().map(|(name, _)| self.folder.join(name))
    }

    /// Tells whether at least one of the files is there.
    pub(super) fn any_installed(&self) -> bool {
        self.paths().iter().any(|path| path.exists())
    }

    /// Writes both files or none.
    ///
    /// # Errors
    /// [`ServiceError::Write`], with everything as it was before.
    pub(super) fn write(&self) -> Result<Written, ServiceError> {
        let mut written = Written(Vec::new());
        for (name, text) in &self.files {
            let path = self.folder.join(name);
            match replace(&path, text.as_bytes()) {
                Ok(before) => written.0.push((path, before)),
                Err(source) => {
                    written.undo();
                    return Err(ServiceError::Write { path, source });
                }
            }
        }
        Ok(written)
    }

    /// Removes the files that are there, and returns their paths.
    ///
    /// # Errors
    /// [`ServiceError::Remove`].
    pub(super) fn remove(&self) -> Result<Vec<PathBuf>, ServiceError> {
        let mut removed = Vec::new();
        for path in self.paths() {
            match fs::remove_file(&path) {
                Ok(()) => removed.push(path),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(ServiceError::Remove { path, source }),
            }
        }
        Ok(removed)
    }
}

impl Written {
    /// Tells whether the service was installed before, at least in part.
    pub(super) fn replaced_any(&self) -> bool {
        self.0.iter().any(|(_, before)| before.is_some())
    }

    /// Brings back what was there before, as far as that is possible.
    pub(super) fn undo(self) {
        for (path, before) in self.0 {
            let undone = match before {
                Some(text) => replace(&path, &text).map(drop),
                None => fs::remove_file(&path),
            };
            if let Err(error) = undone {
                tracing::warn!(path = %path.display(), %error, "the unit file could not be brought back");
            }
        }
    }
}

/// Puts a file in its place in one step, and returns what was there before.
fn replace(path: &Path, text: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let before = match fs::read(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text)?;
    file.persist(path)?;
    Ok(before)
}

/// Writes a path as one word of `ExecStart=`, where `%` begins a specifier and quotes hold blanks together. There are no
/// quotes in it.
fn quoted(program: &str) -> String {
    let escaped = program.replace('%', "%%");
    if escaped == program && !program.contains(|c: char| c.is_whitespace() || c == ';') {
        return escaped;
    }
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(folder: &Path) -> Units {
        Units::for_program("/opt/my tools/datacache", folder.join("systemd/user"))
    }

    #[test]
    fn the_service_runs_the_program_that_wrote_it() {
        let units = units(Path::new("/c"));
        let [(_, socket), (_, service)] = &units.files;
        assert!(service.contains("\nExecStart=\"/opt/my tools/datacache\" daemon"), "{service}");
        assert!(socket.contains("\nListenStream="), "{socket}");
        assert!(!socket.contains(PROGRAM) && !service.contains(PROGRAM));
    }

    #[test]
    fn a_path_is_quoted_only_where_systemd_would_misread_it() {
        assert_eq!(quoted("/usr/bin/datacache"), "/usr/bin/datacache");
        assert_eq!(quoted("/a b/c"), "\"/a b/c\"");
        assert_eq!(quoted("/100%/x"), "\"/100%%/x\"");
    }

    #[test]
    fn a_unit_is_found_in_whichever_folder_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let folders = ["a", "b"].map(|name| folder.path().join(name));
        assert!(!is_in(folders.clone()));
        fs::create_dir_all(folders[1].join(FOLDER)).unwrap();
        fs::write(folders[1].join(FOLDER).join(SOCKET), "").unwrap();
        assert!(is_in(folders));
    }

    #[test]
    fn units_of_all_users_are_looked_for_where_the_variables_say_or_where_these_lead_by_default() {
        let folders = |config: Option<&str>, data: Option<&str>| {
            let mut all = of_all_users(config.map(OsStr::new), data.map(OsStr::new));
            assert!(all.ends_with(&OF_ALL_USERS.map(PathBuf::from)), "{all:?}");
            all.truncate(all.len() - OF_ALL_USERS.len());
            all
        };
        let default = ["/etc/xdg", "/usr/local/share", "/usr/share"].map(PathBuf::from);
        assert_eq!(folders(None, None), default);
        assert_eq!(folders(Some(""), Some("")), default);
        assert_eq!(folders(Some("/a:b::/c"), None), ["/a", "/c", "/usr/local/share", "/usr/share"].map(PathBuf::from));
        assert_eq!(folders(None, Some("/d")), ["/etc/xdg", "/d"].map(PathBuf::from));
    }

    #[test]
    fn both_files_are_written_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let units = units(folder.path());
        assert!(!units.any_installed());
        let _written = units.write().unwrap();
        for (path, (_, text)) in units.paths().iter().zip(&units.files) {
            assert_eq!(&fs::read_to_string(path).unwrap(), text);
        }
        assert_eq!(units.remove().unwrap(), units.paths());
        assert_eq!(units.remove().unwrap(), [""; 0].map(PathBuf::from));
    }

    #[test]
    fn undoing_brings_back_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let units = units(folder.path());
        let [socket, service] = units.paths();
        fs::create_dir_all(socket.parent().unwrap()).unwrap();
        fs::write(&socket, "older").unwrap();
        units.write().unwrap().undo();
        assert_eq!(fs::read(&socket).unwrap(), b"older");
        assert!(!service.exists());
    }

    #[test]
    fn a_file_that_can_not_be_written_leaves_neither() {
        let folder = tempfile::tempdir().unwrap();
        let units = units(folder.path());
        let [socket, service] = units.paths();
        fs::create_dir_all(&service).unwrap();
        assert!(matches!(units.write(), Err(ServiceError::Write { path, .. }) if path == service));
        assert!(!socket.exists());
    }
}
