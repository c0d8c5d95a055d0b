//! Another user who was let as far as the socket and the store's folder: somebody has loosened the permissions.

use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use datacache_proto::PROTOCOL;
use datacache_proto::codec::put_request;
use datacache_proto::service::CacheRequest;
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, Run};

use crate::{Case, Need, wire};

pub(crate) const CASES: &[Case] = &[
    ("another_user_is_hung_up_on_wherever_he_gets_to", Need::Root, at_the_socket),
    ("another_user_is_told_whose_a_store_is", Need::Root, before_the_folder),
    ("another_user_reads_no_file_of_a_store_whose_folder_is_open_to_him", Need::Root, in_the_folder),
];

/// Has this program knock at a socket, instead of testing anything.
const KNOCK: &str = "--knock";
/// A user that is not root.
const SOMEBODY: &str = "65534";

/// Returns the socket that this program is to knock at.
pub(crate) fn wanted() -> Option<OsString> {
    let mut arguments = std::env::args_os().skip(1);
    arguments.next().filter(|first| first == KNOCK)?;
    arguments.next()
}

/// Says hello, and prints what comes of it.
pub(crate) fn knock(socket: &OsString) -> ExitCode {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut hello = vec![0; 4];
    let request = CacheRequest::Hello { hello: wire::hello(PROTOCOL, PROTOCOL) };
    put_request(&mut hello, 1, std::time::Instant::now() + PATIENCE, &request).unwrap();
    let length = u32::try_from(hello.len() - 4).unwrap();
    hello[..4].copy_from_slice(&length.to_le_bytes());
    stream.write_all(&hello).ok();
    println!("{:?}", stream.read_exact(&mut [0]).map_err(|error| error.kind()));
    ExitCode::SUCCESS
}

/// A home that everybody is let into, with a daemon that runs.
fn opened() -> Home {
    let home = Home::new();
    home.command(["add", "-", "--key", "k"]).input("v").outcome().text();
    home.run(["ls"]).text();
    for place in [home.path(), &home.temporary(), &home.path().join("run"), &home.path().join("run/datacache")] {
        open(place);
    }
    open(&home.socket());
    home
}

fn open(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
}

/// Copies a program to where another user can run it.
fn copied(home: &Home, program: &Path) -> PathBuf {
    let copy = home.temporary().join(program.file_name().unwrap());
    fs::copy(program, &copy).unwrap();
    open(&copy);
    copy
}

fn as_somebody(home: &Home, program: &Path) -> Command {
    let mut command = home.program("setpriv");
    command.args(["--reuid", SOMEBODY, "--regid", SOMEBODY, "--clear-groups"]).arg(program);
    command
}

fn at_the_socket() {
    let home = opened();
    let own = copied(&home, &std::env::current_exe().unwrap());
    let heard = |mut command: Command| {
        let output = command.arg(KNOCK).arg(home.socket()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let refused = || home.run(["stats", "--json"]).json()["daemon"]["refused"].as_u64().unwrap();
    assert_eq!((heard(home.program(&own)).trim(), refused()), ("Ok(())", 0), "the daemon's own user is answered");
    let told = heard(as_somebody(&home, &own));
    assert!(["Err(UnexpectedEof)", "Err(ConnectionReset)"].contains(&told.trim()), "{told}");
    assert_eq!(refused(), 1);

    // Our client does not even say hello to it.
    let command = copied(&home, datacache_tests::program::program());
    let output = as_somebody(&home, &command).args(["len", "--no-start"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(4) && told.contains("user 0 serves the socket"), "{output:?}");
    assert_eq!(home.run(["get", "k"]).text(), "v");
}

fn in_the_folder() {
    let home = opened();
    open(&home.path().join("cache"));
    for folder in ["", "gen-1", "gen-1/log", "blobs", "staging"] {
        open(&home.store().join(folder));
    }
    let cat = |name: &str| {
        let output = as_somebody(&home, Path::new("cat")).arg(home.store().join(name)).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    // The newest one: those before it go when they are applied.
    let segments = fs::read_dir(home.store().join("gen-1/log")).unwrap();
    let segment = segments.map(|segment| segment.unwrap().file_name()).max().unwrap();
    let segment = format!("gen-1/log/{}", segment.to_str().unwrap());
    for name in ["gen-1/data.mdb", "gen-1/lock.mdb", "gen-1/recent", "gen-1/access", "lock", "daemon.log", &segment] {
        let (is_read, told) = cat(name);
        assert!(!is_read && told.contains("Permission denied"), "{name}: {told}");
    }
}

/// He was told that there is none, or that he should move another user's log away.
fn before_the_folder() {
    let home = opened();
    // It would be the socket that is somebody else's.
    home.run(["stop"]).text();
    let own = home.temporary().join("own");
    for folder in ["", "run", "cache", "config"] {
        fs::create_dir(own.join(folder)).unwrap();
        chown(own.join(folder), Some(SOMEBODY.parse().unwrap()), None).unwrap();
    }
    let command = copied(&home, datacache_tests::program::program());
    let verbs = ["get k", "ls", "stats", "status", "stop", "verify", "add /etc/passwd", "daemon"];
    // The store's own folder, then one above it, then the store again where it can be looked into.
    for (closed, mode) in [(home.store(), 0o700), (home.path().join("cache"), 0o700), (home.store(), 0o755)] {
        open(&home.path().join("cache"));
        fs::set_permissions(&closed, fs::Permissions::from_mode(mode)).unwrap();
        for verb in &verbs[..if mode == 0o755 { 3 } else { verbs.len() }] {
            let mut run = as_somebody(&home, &command);
            run.args(verb.split(' ')).arg("--dir").arg(home.store());
            for (name, folder) in [("RUNTIME_DIR", "run"), ("CACHE_HOME", "cache"), ("CONFIG_HOME", "config")] {
                run.env(format!("XDG_{name}"), own.join(folder));
            }
            let outcome = Run::new(run).outcome();
            let line = outcome.error(4);
            let told = format!(
                "permission denied: the folder `{}` belongs to user 0, not to user {SOMEBODY}",
                closed.display()
            );
            assert!(line.contains(&told), "{line}");
        }
    }
    assert_eq!(home.run(["get", "k"]).text(), "v");
}
