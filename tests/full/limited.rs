//! A store with its limits as nobody has set them, where others fill the disk.

use datacache_client::blocking::DataCache;
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, eventually};

use crate::Case;
use crate::disk::{Disk, Kind};
use crate::load::open;

pub(crate) const CASES: &[Case] = &[("others_fill_the_disk_and_the_cache_gives_way_and_goes_on", others_fill)];

const MIB: u64 = 1 << 20;
const DISK: u64 = 320 * MIB;
/// A twentieth of the disk is for others: so much of it is free once the cache has given way, but for what the filesystem keeps.
const LEFT: u64 = DISK / 20 * 3 / 4;
const FILES: u32 = 120;

fn others_fill(kind: Kind) {
    let home = Home::new();
    let disk = Disk::mount(&home, kind, DISK / MIB);
    home.configure("limit = \"none\"\n");
    let cache = open(&home);
    (0..FILES).for_each(|number| add(&cache, number));
    disk.take_all_but(4 * MIB);
    eventually("the cache gives way", PATIENCE, || disk.free() >= LEFT);
    let left = cache.len().unwrap();
    assert!((1..u64::from(FILES)).contains(&left), "{left}: some have gone, and not all");
    // It is not refused: something else goes for it.
    (FILES..2 * FILES).for_each(|number| add(&cache, number));
    eventually("it has given way for that too", PATIENCE, || disk.free() >= LEFT);
    let stats = cache.stats().unwrap();
    assert!(stats.namespaces[0].evicted > 0 && stats.store.shortage.is_none(), "{stats:?}");
    assert_eq!(home.run(["verify"]).code(), 0);
}

fn add(cache: &DataCache, number: u32) {
    cache.set(i64::from(number), number.to_le_bytes().repeat(125_000)).unwrap();
}
