//! Daemons whose folders are not as they should be.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};

use datacache_tests::{Home, Run};

use crate::{Case, Need, behind};

pub(crate) const CASES: &[Case] = &[
    ("a_store_that_can_not_be_written_to_is_an_error_that_names_it", Need::Mounts, read_only_store),
    ("a_store_of_another_user_is_refused", Need::Root, foreign_store),
    ("a_runtime_folder_of_another_user_is_refused", Need::Root, foreign_runtime),
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
