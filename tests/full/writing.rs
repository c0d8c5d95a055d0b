//! A store that has filled its disk.

use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, eventually};

use crate::Case;
use crate::disk::{Disk, Kind};
use crate::load::{Load, open};

pub(crate) const CASES: &[Case] =
    &[("writers_are_told_that_the_disk_is_full_and_go_on_when_it_is_no_longer", told_and_go_on)];

/// Whoever wrote was told that the store had "failed to apply its log to the index", and not why: LMDB could not commit.
fn told_and_go_on(kind: Kind) {
    let home = Home::new();
    let disk = Disk::mount(&home, kind, 128);
    disk.take_all_but(24 << 20);
    let (cache, mut load) = (open(&home), Load::default());
    let place = home.store().to_str().unwrap().to_owned();
    let refusal = load.add_until_refused(&cache);
    assert!(refusal.is_no_space() && refusal.to_string().contains(&place), "{refusal}");
    let daemon = home.daemon();
    // Whatever stands in the way by now: the log, the index, or both.
    for _ in 0..200 {
        let told = [load.add(&cache).err(), cache.list().page_size(1).next().and_then(Result::err)];
        for refusal in told.into_iter().flatten() {
            assert!(refusal.is_no_space() && refusal.to_string().contains(&place), "{refusal}");
        }
    }
    load.check(&cache);

    disk.give_back();
    eventually("writes return with the space", PATIENCE, || load.add(&cache).is_ok());
    load.delete(&cache, 1_000).unwrap();
    load.check(&cache);
    assert_eq!(home.daemon().pid(), daemon.pid(), "it was not started anew");
    assert_eq!(home.run(["stop"]).code(), 0);
    load.check(&open(&home));
    assert_eq!(home.run(["verify"]).code(), 0);
}
