//! What a process may do where it runs: one observation for each directive of the unit that takes a right away.
//!
//! Run by systemd as a service of its own, so what it sees is what the daemon would see.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use libc::c_long;
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::process::{Resource, getrlimit};

/// What `observe` says where nothing was refused.
pub(crate) const ALLOWED: &str = "allowed";
/// A scheduling policy that does not exist.
const NO_POLICY: c_long = 99;
/// Set in the number of a system call that is made with 32-bit pointers in 64-bit mode.
const X32: c_long = 0x4000_0000;
/// `PER_LINUX32`: a 64-bit kernel that says it is a 32-bit one.
const OTHER_PERSONALITY: c_long = 8;

/// Does what the directive `name` forbids, and tells what came of it.
pub(crate) fn observe(name: &str) -> String {
    match name {
        "NoNewPrivileges" => status("NoNewPrivs:"),
        "UMask" => status("Umask:"),
        "LimitCORE" => format!("{:?}", getrlimit(Resource::Core).maximum),
        "RestrictAddressFamilies" => outcome(socket(AddressFamily::INET, SocketType::STREAM, None).map_err(Into::into)),
        "RestrictNamespaces" => outcome(call(libc::SYS_unshare, [c_long::from(libc::CLONE_NEWUSER), 0, 0])),
        "RestrictRealtime" => outcome(schedule()),
        "RestrictSUIDSGID" => outcome(with_file(|path| fs::set_permissions(path, Permissions::from_mode(0o4700)))),
        "LockPersonality" => outcome(call(libc::SYS_personality, [OTHER_PERSONALITY, 0, 0])),
        "MemoryDenyWriteExecute" => outcome(map_executable()),
        "SystemCallArchitectures" => outcome(call(X32 | libc::SYS_getpid, [0; 3])),
        "@system-service" | "SystemCallErrorNumber" => outcome(trace_me()),
        "~@privileged" => outcome(with_file(|path| chown(path, Some(rustix::process::getuid().as_raw()), None))),
        "~@resources" => outcome(call(libc::SYS_setpriority, [0, 0, 10])),
        _ => panic!("nothing is known of {name}"),
    }
}

fn outcome<T>(result: io::Result<T>) -> String {
    match result.map_err(|error| error.raw_os_error()) {
        Ok(_) => ALLOWED.into(),
        Err(Some(number)) => format!("error {number}"),
        Err(None) => "an error without a number".into(),
    }
}

/// Returns a field of what the kernel tells of this process.
fn status(field: &str) -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default().trim().to_owned()
}

/// The file lies where all goes with the session, because a probe may be killed.
fn with_file(act: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let folder = tempfile::tempdir_in(std::env::var_os("XDG_RUNTIME_DIR").unwrap_or_default())?;
    let path = folder.path().join("file");
    File::create(&path)?;
    act(&path)
}

/// An ordinary user may not be scheduled in real time anyway, so a policy is asked for that the kernel itself would refuse
/// with another error.
fn schedule() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    call(libc::SYS_sched_setscheduler, [0, NO_POLICY, &raw const parameters as c_long])
}

fn map_executable() -> io::Result<()> {
    let protection = c_long::from(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC);
    call_with(libc::SYS_mmap, [0, 4_096, protection, c_long::from(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS), -1, 0])
}

fn trace_me() -> io::Result<()> {
    call(libc::SYS_ptrace, [c_long::from(libc::PTRACE_TRACEME), 0, 0])
}

fn call(number: c_long, [first, second, third]: [c_long; 3]) -> io::Result<()> {
    call_with(number, [first, second, third, 0, 0, 0])
}

#[expect(unsafe_code, reason = "what has to be refused has no safe wrapper")]
fn call_with(number: c_long, [a, b, c, d, e, f]: [c_long; 6]) -> io::Result<()> {
    // SAFETY: the callers pass arguments of the types that the call has, and pointers to values that live; what the calls change
    // is this process only, which has one thread and ends right after.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
