//! Daemons among files, folders and users that are not theirs.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;

use datacache_proto::error::{StagedFault, WireError};
use datacache_proto::types::{Body, Digest};
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, Run, eventually};

use crate::{Case, Need, behind, wire};

pub(crate) const CASES: &[Case] = &[
    ("a_store_that_can_not_be_written_to_is_an_error_that_names_it", Need::Mounts, read_only_store),
    ("a_store_of_another_user_is_refused", Need::Root, foreign_store),
    ("a_runtime_folder_of_another_user_is_refused", Need::Root, foreign_runtime),
    ("a_staged_file_of_another_user_is_refused", Need::Root, foreign_staged_file),
    ("a_daemon_of_another_user_is_not_trusted_and_trusts_nobody_else", Need::Root, foreign_daemon),
];

/// A user that is not root.
const SOMEBODY: u32 = 65_534;

fn read_only_store() {
    let home = Home::new();
    fs::create_dir(home.store()).unwrap();
    let mount = "mount -t tmpfs -o ro none \"$STORE\"";
    for arguments in ["len", "daemon"] {
        let outcome = Run::new(behind(&home, mount, &format!("\"$DATACACHE_PROGRAM\" {arguments}"))).outcome();
        assert_ne!(outcome.code(), 0);
        let told = outcome.told();
        assert!(told.contains(home.store().to_str().unwrap()) && told.contains("ead-only"), "{outcome:?}");
    }
    assert!(home.daemons().is_empty());
    assert_eq!(home.run(["len"]).number(), 0, "nothing is in the way of a later daemon");
    home.run(["stop"]).text();
    let mount = "mount --bind \"$STORE\" \"$STORE\"; mount -o remount,bind,ro \"$STORE\"";
    for arguments in ["get k", "add /etc/passwd", "ls", "daemon"] {
        let outcome = Run::new(behind(&home, mount, &format!("\"$DATACACHE_PROGRAM\" {arguments}"))).outcome();
        let line = outcome.error(4);
        assert!(line.contains(&format!("`{}` is on a read-only filesystem", home.store().display())), "{line}");
    }
}

fn foreign_store() {
    let home = Home::new();
    fs::create_dir(home.store()).unwrap();
    fs::set_permissions(home.store(), fs::Permissions::from_mode(0o777)).unwrap();
    chown(home.store(), Some(SOMEBODY), None).unwrap();
    let outcome = home.run(["daemon"]);
    assert_eq!(outcome.code(), 4, "{outcome:?}");
    assert!(outcome.told().contains(home.store().to_str().unwrap()), "{outcome:?}");
    assert!(home.daemons().is_empty());
}

fn foreign_runtime() {
    let home = Home::new();
    let folder = home.path().join("run/datacache");
    fs::create_dir(&folder).unwrap();
    chown(&folder, Some(SOMEBODY), None).unwrap();
    let outcome = home.run(["daemon"]);
    assert_eq!(outcome.code(), 4, "{outcome:?}");
    assert!(outcome.told().contains("belongs to user 65534"), "{outcome:?}");
    assert!(home.daemons().is_empty());
}

fn foreign_staged_file() {
    let home = Home::new();
    home.start();
    let staged = home.store().join("staging/theirs");
    fs::write(&staged, vec![1; 100_000]).unwrap();
    chown(&staged, Some(SOMEBODY), None).unwrap();
    let body = Body::Staged { name: "theirs".into(), length: 100_000, digest: Digest([0; 32]) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let refused = runtime.block_on(async {
        let client = wire::introduced(&home).await;
        client.add(wire::soon(), wire::call(1), wire::addition("k", body)).await.unwrap()
    });
    let fault = StagedFault::Foreign { owner: SOMEBODY };
    assert_eq!(refused.unwrap_err(), WireError::Staged { name: "theirs".into(), fault });
    assert_eq!(home.run(["len"]).number(), 0);
}

fn foreign_daemon() {
    let home = Home::new();
    // Where it was built, somebody else may not be let.
    let program = home.temporary().join("datacache");
    fs::copy(datacache_tests::program::program(), &program).unwrap();
    let owner = SOMEBODY.to_string();
    assert!(home.program("chown").args(["-R", &owner]).arg(home.path()).status().unwrap().success());
    let mut command = home.program("setpriv");
    command.args(["--reuid", &owner, "--regid", &owner, "--clear-groups"]).arg(program).args(["daemon", "--quiet"]);
    let mut daemon = command.spawn().unwrap();
    eventually("it listens", PATIENCE, || UnixStream::connect(home.socket()).is_ok());
    let outcome = home.run(["len"]);
    assert!(outcome.error(4).contains("user 65534 serves the socket"), "{outcome:?}");
    let mut stream = UnixStream::connect(home.socket()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let hung_up = stream.read_to_end(&mut Vec::new());
    assert!(matches!(hung_up, Ok(0)), "it waits for nothing that another user says: {hung_up:?}");
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}
