//! A store that is begun where there is next to no room.

use std::fs;

use datacache_tests::Home;

use crate::Case;
use crate::disk::{Disk, Kind};

pub(crate) const CASES: &[Case] = &[("a_new_store_is_made_or_refused_however_little_room_there_is", made_or_refused)];

/// What clients map and what LMDB maps has to have its blocks before anybody stores to it.
fn made_or_refused(kind: Kind) {
    let home = Home::new();
    let disk = Disk::mount(&home, kind, 64);
    // Its folders stay: some filesystems have blocks for them, and enough of these.
    home.start();
    assert_eq!(home.run(["stop"]).code(), 0);
    for pages in (0..12).chain([600, 1_100, 8_000]) {
        for name in ["current", "daemon.log"] {
            fs::remove_file(home.store().join(name)).unwrap();
        }
        fs::remove_dir_all(home.store().join("gen-1")).unwrap();
        disk.take_all_but(pages * 4_096);
        let told = home.run(["len"]);
        assert!(!told.told().contains("signal"), "with {pages} pages: {}", told.told());
        assert_eq!(told.code() == 0, pages == 8_000, "with {pages} pages: {}", told.told());
        // Who started it says so where the daemon's log had no room either.
        let is_told = told.told().contains("no space left on the filesystem of ");
        assert_eq!(is_told, pages != 8_000, "with {pages} pages: {}", told.told());
        disk.give_back();
        home.start();
        assert_eq!(home.run(["stop"]).code(), 0);
    }
}
