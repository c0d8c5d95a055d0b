//! Running the daemon's program so that it inherits nothing: not our environment, folder, session or descriptors.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;

use datacache_proto::closed::Closed;
use datacache_proto::layout::{DAEMON_LOG, LOCK};
use rustix::fs::{FallocateFlags, OFlags};

use crate::error::{Error, IoContext, is_full};
use crate::options::Settings;

/// The variables that a daemon is started with, and the beginnings of names of more.
const KEPT_VARIABLES: [&str; 4] = ["HOME", "PATH", "USER", "LANG"];
const KEPT_PREFIXES: [&str; 2] = ["XDG_", "DATACACHE_"];
/// A log longer than this, in bytes, is put aside before a daemon is started.
const LOG_MAX: u64 = 1 << 20;
/// How much of the log's end is looked at for its last line, in bytes.
const TAIL: u64 = 4_096;

/// Daemons that this process started: they are its children, and stay zombies when they end until they are waited for.
static STARTED: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// A daemon that we started and that has not answered yet.
pub(crate) struct Spawned {
    program: PathBuf,
    log: PathBuf,
    /// How long the log was before, in bytes: what others said is not why this one ended.
    said_before: u64,
    child: Option<Child>,
}

/// Starts a daemon: `PROGRAM daemon --detached`, with the places that the caller named.
///
/// # Errors
/// Where the program can't be run, or the store's folder can't be made.
pub(crate) fn spawn(settings: &Settings) -> Result<Spawned, Error> {
    wait_for_ended();
    let store = &settings.paths.store;
    // Before the log is opened, which would fail in its own words.
    Closed::check_use(store)?;
    DirBuilder::new().recursive(true).mode(0o700).create(store).during("create the store's folder", store)?;
    let path = log_folder(settings).join(DAEMON_LOG);
    let log = open_log(&path)?;
    let said_before = log.metadata().during("look at", &path)?.len();
    let also = log.try_clone().during("open", &path)?;
    let program = absolute(&settings.program);
    let mut command = Command::new(&program);
    command.arg("daemon").arg("--detached").args(places(settings));
    command.env_clear().envs(std::env::vars_os().filter(|(name, _)| is_kept(name)));
    command.current_dir("/").stdin(Stdio::null()).stdout(log).stderr(also);
    let child = command.spawn().map_err(|source| Error::Spawn { program: program.clone(), source })?;
    tracing::info!(program = %program.display(), pid = child.id(), "started a daemon");
    Ok(Spawned { program, log: path, said_before, child: Some(child) })
}

impl Spawned {
    /// Returns why it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<Error> {
        let status = self.child.as_mut()?.try_wait().ok().flatten()?;
        Some(self.failure(status))
    }

    fn failure(&self, status: ExitStatus) -> Error {
        let last_line = last_line(&self.log, self.said_before).unwrap_or_else(|| self.silence());
        // What it told as a command, we tell in its place.
        let last_line = last_line.strip_prefix("datacache: ").map_or_else(|| last_line.clone(), str::to_owned);
        Error::StartFailed { program: self.program.clone(), status, last_line }
    }
}

impl Spawned {
    /// Returns where to look although it said nothing, which it may have had no room for.
    fn silence(&self) -> String {
        let folder = self.log.parent().unwrap_or(&self.log);
        match has_room(folder) {
            true => format!("see `{}`", self.log.display()),
            false => format!(
                "no space left on the filesystem of `{}`, or none for its user, and so not for its log either; free a few megabytes there",
                folder.display()
            ),
        }
    }
}

impl Drop for Spawned {
    /// The daemon goes on without us.
    fn drop(&mut self) {
        if let (Some(child), Ok(mut started)) = (self.child.take(), STARTED.try_lock()) {
            started.push(child);
        }
    }
}

/// The daemon's log lies in the store. Not in a folder that is used for something else, which the daemon will refuse: there
/// nothing is left behind.
fn log_folder(settings: &Settings) -> &Path {
    let store = &settings.paths.store;
    let is_empty = std::fs::read_dir(store).is_ok_and(|mut files| files.next().is_none());
    let is_ours = [LOCK, DAEMON_LOG].iter().any(|name| store.join(name).exists());
    match settings.paths.socket.parent() {
        Some(beside) if !is_empty && !is_ours && !beside.starts_with(store) => beside,
        _ => store,
    }
}

/// Takes the end of those that have ended. In a forked child none of them is ours, which `try_wait` tells.
fn wait_for_ended() {
    if let Ok(mut started) = STARTED.try_lock() {
        started.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}

/// A name without a slash is looked up on `PATH`; any other starts from our folder, which is not the daemon's.
fn absolute(program: &Path) -> PathBuf {
    match program.components().count() {
        0 | 1 => program.to_owned(),
        _ => std::path::absolute(program).unwrap_or_else(|_| program.to_owned()),
    }
}

fn places(settings: &Settings) -> Vec<OsString> {
    let mut arguments = Vec::new();
    if settings.named.dir {
        arguments.extend(["--dir".into(), settings.paths.store.clone().into_os_string()]);
    }
    if settings.named.socket {
        arguments.extend(["--socket".into(), settings.paths.socket.clone().into_os_string()]);
    }
    arguments
}

fn is_kept(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    KEPT_VARIABLES.contains(&&*name) || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Opens the log to be appended to. A long one makes room for a new one and is kept until the next time.
fn open_log(path: &Path) -> Result<File, Error> {
    if path.metadata().is_ok_and(|log| log.len() > LOG_MAX) {
        let aside = path.with_extension("log.old");
        std::fs::rename(path, &aside).during("put aside", path)?;
    }
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    // Neither a link to another file nor a pipe that nobody reads.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let log = options.custom_flags(flags.bits().cast_signed()).open(path).during("open", path)?;
    let found = log.metadata().during("look at", path)?;
    if !found.is_file() || found.uid() != rustix::process::geteuid().as_raw() {
        let reason = "it is not a file of this user, move it away";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason)).during("open", path);
    }
    Ok(log)
}

/// Returns the last line of a log that is not empty, and that was written behind its first `said_before` bytes.
fn last_line(path: &Path, said_before: u64) -> Option<String> {
    let tail = tail(path, said_before).ok()?;
    let tail = String::from_utf8_lossy(&tail).into_owned();
    tail.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

fn tail(path: &Path, said_before: u64) -> io::Result<Vec<u8>> {
    let mut log = File::open(path)?;
    let length = log.metadata()?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(TAIL).max(said_before)))?;
    let mut bytes = Vec::new();
    log.take(TAIL).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Tells whether a file in `folder` could grow, or whether that can't be told. It is tried: who may have the last blocks of a
/// filesystem, no count of them tells.
fn has_room(folder: &Path) -> bool {
    let tried = OpenOptions::new().write(true).custom_flags(OFlags::TMPFILE.bits().cast_signed()).open(folder);
    let tried = tried.and_then(|file| Ok(rustix::fs::fallocate(file, FallocateFlags::empty(), 0, 1)?));
    !tried.is_err_and(|error| is_full(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use rustix::fs::Mode;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_what_a_daemon_needs_is_kept_of_the_environment() {
        for kept in ["HOME", "PATH", "XDG_RUNTIME_DIR", "DATACACHE_DIR", "LANG"] {
            assert!(is_kept(OsStr::new(kept)), "{kept}");
        }
        for dropped in ["LD_PRELOAD", "PYTHONPATH", "RUST_LOG", "AWS_SECRET_ACCESS_KEY", "HOMER", "PATHS"] {
            assert!(!is_kept(OsStr::new(dropped)), "{dropped}");
        }
    }

    #[test]
    fn a_daemon_is_told_the_places_that_were_named_and_no_others() {
        let told = |options: Options| places(&options.resolve().unwrap().0);
        assert_eq!(told(Options::new().dir("/s/one").socket("/r/sock")), ["--dir", "/s/one", "--socket", "/r/sock"]);
        assert_eq!(told(Options::new().dir("/s/one")), ["--dir", "/s/one"]);
    }

    #[test]
    fn a_program_named_by_a_path_does_not_depend_on_the_folder_it_is_started_in() {
        assert_eq!(absolute(Path::new("datacache")), Path::new("datacache"));
        assert!(absolute(Path::new("target/datacache")).is_absolute());
    }

    #[test]
    fn the_log_is_the_users_alone_and_a_long_one_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(DAEMON_LOG);
        let log = open_log(&path).unwrap();
        assert_eq!(log.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        log.set_len(LOG_MAX + 1).unwrap();
        assert_eq!(open_log(&path).unwrap().metadata().unwrap().len(), 0);
        assert_eq!(folder.path().join("daemon.log.old").metadata().unwrap().len(), LOG_MAX + 1);
    }

    #[test]
    fn what_lies_in_the_place_of_the_log_and_is_no_file_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join(DAEMON_LOG), folder.path().join("letter"));
        std::fs::write(&other, "Dear Sir or Madam").unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        let error = open_log(&path).unwrap_err();
        assert!(error.to_string().contains(DAEMON_LOG), "{error}");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        open_log(&path).unwrap_err();
        std::fs::remove_dir(&path).unwrap();
        // A pipe without a reader: to wait for one would take for ever.
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        open_log(&path).unwrap_err();
        assert_eq!(std::fs::read(other).unwrap(), b"Dear Sir or Madam");
    }

    #[test]
    fn the_last_line_of_a_log_is_found_at_the_end_of_much_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        assert_eq!(last_line(&path, 0), None);
        std::fs::write(&path, format!("{}\nERROR the store is in use\n\n", "x".repeat(10_000))).unwrap();
        assert_eq!(last_line(&path, 0).as_deref(), Some("ERROR the store is in use"));
        assert_eq!(last_line(&path, std::fs::metadata(&path).unwrap().len()), None, "another one said that");
    }

    #[test]
    fn a_daemon_that_said_nothing_is_told_with_its_log_where_there_was_room_for_it() {
        let log = PathBuf::from("/s/daemon.log");
        let spawned = Spawned { program: "/bin/false".into(), log, said_before: 0, child: None };
        let told = spawned.failure(ExitStatus::default()).to_string();
        assert!(told.ends_with(": see `/s/daemon.log`"), "{told}");
        let folder = tempfile::tempdir().unwrap();
        assert!(has_room(folder.path()) && has_room(Path::new("/proc/self")), "where it can't be told");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
