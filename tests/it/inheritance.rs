//! A daemon that a client started: nothing of what its caller had is in it.

use std::fs;
use std::path::{Path, PathBuf};

use datacache_tests::Home;
use rustix::process::{Pid, getsid};

use crate::support::noise;

/// What a caller may have set: an open pipe, files that are open to all, signals that are not heard, a limit of what it writes.
const CALLER: &str = "umask 0; trap '' TERM HUP; ulimit -Sf 200; ulimit -Sn 100; exec 9>&1; exec \"$0\" len";

/// Starts a daemon for a caller with secrets, and returns its number. The caller's output is a pipe.
fn started(home: &Home) -> u32 {
    let mut caller = home.program("sh");
    caller.args(["-c", CALLER]).arg(datacache_tests::program::program()).current_dir(home.temporary());
    caller.env("AWS_SECRET_ACCESS_KEY", "s3cret").env("LD_BIND_NOW", "1").env("SSH_AUTH_SOCK", "/s3cret");
    let output = caller.output().unwrap();
    assert_eq!(output.stdout, b"0\n", "{output:?}");
    home.daemon().pid()
}

fn told(pid: u32, file: &str) -> String {
    String::from_utf8(fs::read(format!("/proc/{pid}/{file}")).unwrap()).unwrap()
}

fn field(pid: u32, file: &str, name: &str) -> String {
    let told = told(pid, file);
    let line = told.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {told}"));
    line.trim().to_owned()
}

fn descriptors(pid: u32) -> Vec<(u32, PathBuf)> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(|entry| entry.unwrap().path());
    // Some are closed between the look at the folder and the look at the file.
    let read = |path: PathBuf| Some((path.file_name()?.to_str()?.parse().ok()?, fs::read_link(&path).ok()?));
    entries.filter_map(read).collect()
}

#[test]
fn a_daemon_has_nothing_of_its_callers() {
    let home = Home::new();
    let pid = started(&home);
    for entry in told(pid, "environ").split_terminator('\0') {
        let name = entry.split('=').next().unwrap();
        let is_needed = ["HOME", "PATH", "USER", "LANG"].contains(&name)
            || ["XDG_", "DATACACHE_"].iter().any(|prefix| name.starts_with(prefix));
        assert!(is_needed && !entry.contains("s3cret"), "{entry}");
    }
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), Path::new("/"));
    let number = Pid::from_raw(pid.cast_signed());
    assert_eq!(getsid(number).unwrap(), number.unwrap(), "its session is its own");
    assert_eq!(field(pid, "status", "Umask:"), "0077");
    assert_eq!(field(pid, "status", "SigBlk:"), "0000000000000000");
    let ignored = u64::from_str_radix(&field(pid, "status", "SigIgn:"), 16).unwrap();
    assert_eq!(ignored & (1 << 14 | 1), 0, "TERM and HUP are heard: {ignored:x}");
    for name in ["Max open files", "Max file size"] {
        let limit = field(pid, "limits", name);
        let [soft, hard] = [0, 1].map(|at| limit.split_whitespace().nth(at).unwrap().to_owned());
        assert_eq!(soft, hard, "{name}");
    }
}

#[test]
fn a_daemon_has_no_descriptor_of_its_callers_and_writes_to_its_log() {
    let home = Home::new();
    let pid = started(&home);
    let log = home.store().join("daemon.log");
    for (number, target) in descriptors(pid) {
        let is_own = match number {
            0 => target == Path::new("/dev/null"),
            1 | 2 => target == log,
            _ => {
                let text = target.to_string_lossy();
                target.starts_with(home.store())
                    || ["socket:", "anon_inode:", "/proc/"].iter().any(|kind| text.starts_with(kind))
            }
        };
        assert!(is_own, "descriptor {number} is {}", target.display());
    }
    // What its caller was not let write, it writes.
    let cache = home.open();
    cache.add(noise(1, 3_000_000)).key("k").run().unwrap();
    assert_eq!(cache.get("k").unwrap().unwrap().len(), 3_000_000);
}
