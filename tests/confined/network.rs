//! A store on a filesystem of a network. This program is the filesystem: as little of one as is needed to be recognized.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;

use datacache_tests::{Home, Run};

use crate::{Case, Need, namespaces};

pub(crate) const CASES: &[Case] =
    &[("a_store_on_a_network_filesystem_is_refused_with_what_to_do", Need::Fuse, refused)];

/// Has this program be a filesystem, run a command over it, and end.
const SERVE: &str = "--serve";

/// Returns the kind of filesystem, the folder, and the command, if this program is to serve one.
pub(crate) fn wanted() -> Option<Vec<String>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (first, rest) = arguments.split_first()?;
    (first == SERVE && rest.len() > 2).then(|| rest.to_vec())
}

/// Says why this program can't be a filesystem, if it can't.
pub(crate) fn missing() -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let output = serving("fuse.sshfs", folder.path(), "true").output();
    match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("`unshare` can't be run: {error}")),
    }
}

/// Returns a program that runs a command where a filesystem of this kind is mounted.
fn serving(kind: &str, folder: &Path, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("unshare");
    command.arg(namespaces()).arg(std::env::current_exe().unwrap()).args([SERVE, kind]).arg(folder).arg(program);
    command
}

/// Mounts a filesystem, runs a command, and ends as that did.
pub(crate) fn serve(arguments: &[String]) -> ExitCode {
    let [kind, folder, program, rest @ ..] = arguments else { return ExitCode::FAILURE };
    let device = match File::options().read(true).write(true).open("/dev/fuse") {
        Ok(device) => device,
        Err(error) => {
            eprintln!("/dev/fuse can't be opened: {error}");
            return ExitCode::FAILURE;
        }
    };
    let owner = std::fs::metadata(folder).unwrap();
    let options = format!("fd={},rootmode=40000,user_id={},group_id={}", device.as_raw_fd(), owner.uid(), owner.gid());
    if let Err(error) = mount(kind, folder, &options) {
        eprintln!("a filesystem can't be mounted: {error}");
        return ExitCode::FAILURE;
    }
    thread::spawn(move || answer(device));
    let status = Command::new(program).args(rest).status().unwrap();
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

#[expect(unsafe_code, reason = "the device is named by its number, which no safe crate here hands on")]
fn mount(kind: &str, folder: &str, options: &str) -> std::io::Result<()> {
    let text = |text: &str| std::ffi::CString::new(text).unwrap();
    let (source, target, kind, options) = (text("host:"), text(folder), text(kind), text(options));
    let flags = libc::MS_NOSUID | libc::MS_NODEV;
    // SAFETY: all four are texts that end with a NUL and live until the call has returned.
    match unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast()) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Answers the kernel: there is one folder, which is empty and ours, and all else is not done.
///
/// A question begins with its length and kind (two u32), its number and what it is about (two u64); an answer with its length, an
/// error (two u32) and the number of the question.
fn answer(mut device: File) {
    const GETATTR: u32 = 3;
    const STATFS: u32 = 17;
    const INIT: u32 = 26;
    let mut question = vec![0; 256 << 10];
    while let Ok(length) = device.read(&mut question) {
        let kind = u32::from_le_bytes(question[4..8].try_into().unwrap());
        let (body, error) = match kind {
            INIT => (words(&[7, 31, 0, 0, 0, 4096, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 0),
            GETATTR => (attributes(), 0),
            STATFS => (vec![0; 80], 0),
            _ => (Vec::new(), -libc::ENOSYS),
        };
        let head = [&words(&[16 + body.len() as u32, error.cast_unsigned()])[..], &question[8..16]].concat();
        // Some questions want no answer, and the kernel says so.
        device.write_all(&[head, body].concat()).ok();
        assert!(length >= 40);
    }
}

/// The attributes of a folder of mode 0700: how long they hold, then 22 words of which few matter.
fn attributes() -> Vec<u8> {
    let user = rustix::process::geteuid().as_raw();
    let mut attributes = [0; 26];
    // Number, mode, links, user.
    (attributes[4], attributes[19], attributes[20], attributes[21]) = (1, 0o040_700, 2, user);
    words(&attributes)
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn refused() {
    let home = Home::new();
    let store = home.store();
    std::fs::create_dir_all(&store).unwrap();
    let mut command = serving("fuse.sshfs", &store, datacache_tests::program::program());
    command.arg("daemon").env_clear().envs(home.environment());
    let outcome = Run::new(command).outcome();
    assert_eq!(outcome.code(), 3, "{outcome:?}");
    let told = outcome.told();
    assert!(told.contains(&format!("{} lies on a network filesystem (fuse.sshfs)", store.display())), "{outcome:?}");
    assert!(told.contains("name a folder on a disk of this machine with --dir"), "{outcome:?}");
    // Another program that is a filesystem may be on this machine; this one can do nothing, which is said otherwise.
    let mut command = serving("fuse.bindfs", &store, datacache_tests::program::program());
    command.arg("daemon").env_clear().envs(home.environment());
    let outcome = Run::new(command).outcome();
    assert!(outcome.code() == 3 && !outcome.told().contains("network"), "{outcome:?}");
}
