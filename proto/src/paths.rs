//! Where a user's store, socket and configuration lie: one answer for every process of that user.
//! Only decides; creates and opens nothing, but follows links where a path leads up again.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use directories::ProjectDirs;
use sha2::Digest as _;

/// The longest path of a Unix socket in bytes, on Linux.
pub const MAX_SOCKET_PATH: usize = 107;

/// Names the store's folder from outside.
pub const DIR_VARIABLE: &str = "DATACACHE_DIR";
/// Names the socket from outside.
pub const SOCKET_VARIABLE: &str = "DATACACHE_SOCKET";
/// Names the daemon's configuration from outside.
pub const CONFIG_VARIABLE: &str = "DATACACHE_CONFIG";

/// The places of one store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The store's folder: `--dir`, else `DATACACHE_DIR`, else `~/.cache/datacache` (as `XDG_CACHE_HOME` has it).
    pub store: PathBuf,
    /// The socket: `--socket`, else `DATACACHE_SOCKET`, else `$XDG_RUNTIME_DIR/datacache/sock`; for a store that is not
    /// the default one, or where the link beside that socket leads to another store that is there, a name made of the hash of its path.
    pub socket: PathBuf,
    /// A link beside the socket that leads to the store's folder.
    pub store_link: PathBuf,
    /// The daemon's configuration: `DATACACHE_CONFIG`, else `~/.config/datacache/config.toml`.
    pub config: PathBuf,
    /// Whether this is the store that a user has without naming one.
    pub is_default: bool,
}

/// Places that were named by the caller; they win over the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The store's folder.
    pub dir: Option<PathBuf>,
    /// The socket.
    pub socket: Option<PathBuf>,
}

impl Overrides {
    /// Tells whether somebody chose the store, here or in the environment.
    #[must_use]
    pub fn choose_store(&self) -> bool {
        self.dir.is_some() || is_set(DIR_VARIABLE)
    }

    /// Tells whether somebody chose the socket, here or in the environment.
    #[must_use]
    pub fn choose_socket(&self) -> bool {
        self.socket.is_some() || is_set(SOCKET_VARIABLE)
    }
}

/// An empty variable counts as unset.
fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|place| !place.is_empty())
}

/// Why the places can't be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathsError {
    /// The user has no home folder.
    #[error(
        "no home folder: HOME is not set and the user database has none; set HOME, or name a store with --dir or {DIR_VARIABLE}"
    )]
    NoHome,
    /// The path of the socket is too long for the system.
    #[error("the path of the socket is {} bytes long, the system allows {MAX_SOCKET_PATH}: {}; name a shorter one with --socket or {SOCKET_VARIABLE}", .path.as_os_str().len(), .path.display())]
    SocketTooLong {
        /// The path.
        path: PathBuf,
    },
    /// The path of the socket is that of a folder, whatever is there.
    #[error("the socket is set to `{}`, which does not end in a name", .path.display())]
    Nameless {
        /// The path.
        path: PathBuf,
    },
    /// The socket that was named has no folder to be in.
    #[error("the socket is set to `{}`, and there is no folder `{}`; make it, or name another socket with --socket or {SOCKET_VARIABLE}", .socket.display(), .socket.parent().unwrap_or(Path::new("/")).display())]
    NoFolder {
        /// The socket.
        socket: PathBuf,
    },
    /// A path that was named leads nowhere in particular.
    #[error("{what} is set to `{}`, which is not an absolute path", .path.display())]
    Relative {
        /// What was set.
        what: &'static str,
        /// To what.
        path: PathBuf,
    },
    /// The working folder, which a relative path starts from, is gone.
    #[error("the relative path `{}` can't be resolved: the working folder is gone", .path.display())]
    NoWorkingFolder {
        /// The path.
        path: PathBuf,
    },
}

impl Paths {
    /// Finds the places of the store that `overrides`, else the environment, name.
    ///
    /// # Errors
    /// [`PathsError`] where they can't be told; it says what to set.
    pub fn resolve(overrides: &Overrides) -> Result<Self, PathsError> {
        let project = ProjectDirs::from("", "", "datacache");
        let default_store = project.as_ref().map(|dirs| dirs.cache_dir().to_owned());
        let store = match (&overrides.dir, from_environment(DIR_VARIABLE)?) {
            (Some(dir), _) => absolute(dir)?,
            (None, Some(dir)) => dir,
            (None, None) => default_store.clone().ok_or(PathsError::NoHome)?,
        };
        let is_default = default_store.as_ref() == Some(&store);
        let socket = match (&overrides.socket, from_environment(SOCKET_VARIABLE)?) {
            (Some(socket), _) => absolute(socket)?,
            (None, Some(socket)) => socket,
            (None, None) => default_socket(&runtime_folder(&store, project.as_ref())?, &store, is_default),
        };
        if socket.as_os_str().len() > MAX_SOCKET_PATH {
            return Err(PathsError::SocketTooLong { path: socket });
        }
        // Its link to the store would have no name of its own either.
        if socket.file_name().is_none() {
            return Err(PathsError::Nameless { path: socket });
        }
        let config = match (from_environment(CONFIG_VARIABLE)?, &project) {
            (Some(config), _) => config,
            (None, Some(dirs)) => dirs.config_dir().join("config.toml"),
            (None, None) => store.join("config.toml"),
        };
        Ok(Self { store_link: link_beside(&socket), store, socket, config, is_default })
    }
}

/// Makes sure that a socket that somebody chose has a folder to be in. Only that of the default one is made: any other may be mistyped.
///
/// # Errors
/// [`PathsError::NoFolder`] where there is none.
pub fn check_folder_of(socket: &Path) -> Result<(), PathsError> {
    let is_there = socket.parent().is_none_or(Path::exists);
    if is_there { Ok(()) } else { Err(PathsError::NoFolder { socket: socket.to_owned() }) }
}

/// Returns the absolute path in an environment variable; an empty one counts as unset.
fn from_environment(name: &'static str) -> Result<Option<PathBuf>, PathsError> {
    let Some(path) = std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from) else {
        return Ok(None);
    };
    if path.is_absolute() { Ok(Some(plain(&path))) } else { Err(PathsError::Relative { what: name, path }) }
}

fn absolute(path: &Path) -> Result<PathBuf, PathsError> {
    let absolute = std::path::absolute(path).map_err(|_| PathsError::NoWorkingFolder { path: path.to_owned() })?;
    Ok(plain(&absolute))
}

/// Leaves out what a path can be spelled with or without, such as a slash at its end or a way down and up again: the bytes of a
/// store's path name its socket.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        if component != Component::ParentDir {
            plain.push(component);
            continue;
        }
        // Above a link is what is above its target.
        if plain.is_symlink()
            && let Ok(target) = plain.canonicalize()
        {
            plain = target;
        }
        plain.pop();
    }
    plain
}

/// Returns the folder for sockets: the session's, else the one systemd makes for the user although the variable is
/// unset (cron, `su`), else one in the default store, which is the user's alone.
fn runtime_folder(store: &Path, project: Option<&ProjectDirs>) -> Result<PathBuf, PathsError> {
    if let Some(runtime) = from_environment("XDG_RUNTIME_DIR")? {
        return Ok(runtime.join("datacache"));
    }
    let uid = rustix::process::getuid().as_raw();
    let systemd = PathBuf::from(format!("/run/user/{uid}"));
    if std::fs::metadata(&systemd).is_ok_and(|folder| folder.is_dir() && folder.uid() == uid) {
        return Ok(systemd.join("datacache"));
    }
    let home = project.map_or(store, ProjectDirs::cache_dir);
    Ok(home.join("run"))
}

/// Several stores may be the default of processes that share a folder for sockets, as with two values of `HOME`: the first one
/// whose daemon came has the short name, which systemd knows too, the others are as those that were named.
fn default_socket(folder: &Path, store: &Path, is_default: bool) -> PathBuf {
    let short = folder.join("sock");
    if is_default && !leads_elsewhere(&link_beside(&short), store) { short } else { folder.join(hashed_name(store)) }
}

/// Tells whether a link leads to another folder than the store's, and one that is there.
fn leads_elsewhere(link: &Path, store: &Path) -> bool {
    let identity = |folder: &Path| std::fs::metadata(folder).map(|folder| (folder.dev(), folder.ino())).ok();
    let is_other = std::fs::read_link(link).is_ok_and(|target| target != store);
    is_other && identity(link).is_some_and(|there| identity(store) != Some(there))
}

fn hashed_name(store: &Path) -> OsString {
    let hash = sha2::Sha256::digest(store.as_os_str().as_bytes());
    let name: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{name}.sock").into()
}

/// `sock` has `store` beside it, `NAME.sock` has `NAME.store`, and a name that ends in `.store` that again.
fn link_beside(socket: &Path) -> PathBuf {
    if socket.file_name().is_some_and(|name| name == "sock") {
        return socket.with_file_name("store");
    }
    let is_taken = socket.extension().is_some_and(|extension| extension == "store");
    let name = if is_taken { socket.file_name() } else { socket.file_stem() };
    let mut name = name.unwrap_or_default().to_owned();
    name.push(".store");
    socket.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(dir: &str, socket: Option<&str>) -> Overrides {
        Overrides { dir: Some(dir.into()), socket: socket.map(Into::into) }
    }

    #[test]
    fn a_store_of_its_own_has_a_socket_of_its_own() {
        let one = Paths::resolve(&named("/stores/one", None)).unwrap();
        let two = Paths::resolve(&named("/stores/two", None)).unwrap();
        assert!(!one.is_default);
        assert_ne!(one.socket, two.socket);
        assert_eq!(one, Paths::resolve(&named("/stores/one", None)).unwrap());
    }

    /// The socket of a store without a daemon is only found by its name: two spellings once led to two daemons, of which
    /// one found the store taken.
    #[test]
    fn two_spellings_of_one_folder_have_one_socket() {
        let one = Paths::resolve(&named("/stores/one", None)).unwrap();
        for spelling in ["/stores/one/", "/stores//one", "/stores/./one", "/stores/two/../one", "/../stores/one"] {
            assert_eq!(one, Paths::resolve(&named(spelling, None)).unwrap(), "{spelling}");
        }
    }

    #[test]
    fn above_a_link_is_what_is_above_its_target() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(real.join("far/away")).unwrap();
        std::os::unix::fs::symlink(real.join("far/away"), real.join("link")).unwrap();
        assert_eq!(plain(&real.join("link/../one")), real.join("far/one"));
        assert_eq!(plain(&real.join("link/one")), real.join("link/one"), "no other link is followed");
    }

    #[test]
    fn a_socket_path_that_the_system_refuses_is_refused_with_advice() {
        let long = format!("/{}", "s".repeat(MAX_SOCKET_PATH));
        let error = Paths::resolve(&named("/stores/one", Some(&long))).unwrap_err();
        assert!(error.to_string().contains("108 bytes long, the system allows 107"), "{error}");
        let fits = format!("/{}", "s".repeat(MAX_SOCKET_PATH - 1));
        assert!(Paths::resolve(&named("/stores/one", Some(&fits))).is_ok());
    }

    #[test]
    fn the_link_to_the_store_stands_beside_the_socket() {
        assert_eq!(link_beside(Path::new("/r/sock")), Path::new("/r/store"));
        assert_eq!(link_beside(Path::new("/r/ab12.sock")), Path::new("/r/ab12.store"));
        assert_eq!(link_beside(Path::new("/r/mine")), Path::new("/r/mine.store"));
        assert_eq!(link_beside(Path::new("/r/a.b.sock")), Path::new("/r/a.b.store"));
        // It was the socket's own name.
        assert_eq!(link_beside(Path::new("/r/mine.store")), Path::new("/r/mine.store.store"));
    }

    #[test]
    fn a_socket_path_without_a_name_at_its_end_is_refused() {
        for path in ["/", "/r/..", "/r/../s/.."] {
            let error = Paths::resolve(&named("/stores/one", Some(path))).unwrap_err();
            assert_eq!(error, PathsError::Nameless { path: "/".into() });
        }
    }

    #[test]
    fn the_short_name_is_left_to_the_store_that_has_it_already() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two, alias] = ["one", "two", "alias"].map(|name| folder.path().join(name));
        std::fs::create_dir(&one).unwrap();
        std::os::unix::fs::symlink(&one, &alias).unwrap();
        let is_short = |store: &Path| default_socket(folder.path(), store, true).ends_with("sock");
        assert!(is_short(&one) && is_short(&two), "nobody has it");
        std::os::unix::fs::symlink(&one, folder.path().join("store")).unwrap();
        assert!(is_short(&one) && is_short(&alias) && !is_short(&two));
        let (default, named) = (true, false);
        let of_two = |is_default| default_socket(folder.path(), &two, is_default);
        assert_eq!(of_two(default), of_two(named));
        std::fs::remove_dir(&one).unwrap();
        assert!(is_short(&two), "the store that had it is gone");
    }

    #[test]
    fn relative_paths_start_from_the_working_folder() {
        let paths = Paths::resolve(&named("here", Some("/r/sock"))).unwrap();
        assert_eq!(paths.store, std::env::current_dir().unwrap().join("here"));
    }
}
