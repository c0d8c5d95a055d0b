//! More readers than the index has slots for.

use std::sync::Barrier;
use std::thread;

use datacache_client::Fallback;
use datacache_client::blocking::DataCache;
use datacache_proto::layout::READER_SLOTS;
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, eventually};

#[test]
fn more_readers_than_there_are_slots_for_are_all_served_and_their_slots_are_free_again() {
    const READERS: usize = READER_SLOTS as usize + 76;
    let home = Home::new();
    home.start();
    let cache = DataCache::open(home.options().direct(true)).unwrap();
    cache.set("k", "v").unwrap();
    // From now on it is in the index: what is in the log takes no slot.
    assert_eq!(cache.list().count(), 1);
    let by_call = || cache.stats().unwrap().reads.fallbacks.iter().map(|(_, reads)| reads).sum::<u64>();
    assert_eq!(by_call(), 0);
    let read = || cache.get_as::<String>("k").unwrap();
    for round in 1..=2 {
        let before = by_call();
        let all_have_read = Barrier::new(READERS);
        thread::scope(|scope| {
            for _ in 0..READERS {
                let reader = thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, || {
                    let found = read();
                    all_have_read.wait();
                    assert_eq!(found.as_deref(), Some("v"));
                });
                reader.unwrap();
            }
        });
        let more = by_call() - before;
        assert!((76..200).contains(&more), "round {round}: {more} of {READERS} read by call");
        eventually("a slot is free", PATIENCE, || {
            let before = by_call();
            thread::scope(|scope| scope.spawn(read).join().unwrap());
            by_call() == before
        });
    }
    let reasons: Vec<_> = cache.stats().unwrap().reads.fallbacks.iter().map(|(reason, _)| *reason).collect();
    assert_eq!(reasons, [Fallback::Readers]);
}
