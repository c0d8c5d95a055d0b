//! The daemon dies, at any moment and at each instant that has a name (`store::failpoint`), while four clients write and two upload:
//! every acknowledged write is there after the restart, nothing half-done is, and nothing is left behind.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too, which clippy can't know")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use datacache_client::blocking::DataCache;
use datacache_client::{Fault, LostValues};
use datacache_tests::kills::daemon::{Daemon, Ended};
use datacache_tests::kills::instant::{
    DAMAGED, ENDING, LOST, MAKING, ORPHANED, PACKING, SHARING, STARTING, SUCCESSION, UNSEEN, VARIABLE, WORKING,
};
use datacache_tests::kills::{Campaign, Death, Instant};
use datacache_tests::program::{mortal_program, program};
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, eventually};
use fastrand::Rng;

fn at(name: &'static str) -> Death {
    Death::At(Instant::first(name))
}

/// What comes after each death is looked at by a daemon that is killed at any moment.
fn after_each(names: &[&'static str], seed: u64) {
    let mut campaign = Campaign::new(seed, true);
    for name in names {
        campaign.live(Death::Anywhere);
        campaign.live(at(name));
    }
    campaign.live(Death::Never);
    println!("{}", campaign.tally());
}

#[test]
fn what_was_acknowledged_is_there_after_a_death_at_any_instant_of_a_start() {
    after_each(&[STARTING, ORPHANED].concat(), 1);
}

#[test]
fn what_was_acknowledged_is_there_after_a_death_at_any_instant_of_the_work() {
    after_each(WORKING, 2);
}

/// The daemon has much behind it then, and what it makes ahead of its work was made under way.
#[test]
fn what_was_acknowledged_is_there_after_deaths_at_later_times_one_behind_the_other() {
    let (mut campaign, mut random) = (Campaign::new(3, false), Rng::with_seed(3));
    for names in [WORKING, ENDING].concat().chunks(4) {
        for name in names {
            let time = if ENDING.contains(name) { 1 } else { random.u32(2..6) };
            campaign.live(Death::At(Instant { name, time }));
        }
        campaign.live(Death::Anywhere);
    }
    campaign.live(Death::Never);
    println!("{}", campaign.tally());
}

/// What was evicted does not come back, what is pinned stays, and there are never too many.
#[test]
fn a_store_at_its_limit_has_what_was_not_evicted_whenever_its_daemon_dies() {
    let mut campaign = Campaign::with_limit(4, true, 40);
    for names in [WORKING, STARTING, ENDING].concat().chunks(2) {
        campaign.live(Death::Anywhere);
        names.iter().for_each(|name| campaign.live(at(name)));
    }
    campaign.live(Death::Never);
    println!("{}", campaign.tally());
}

#[test]
fn a_store_that_a_daemon_died_of_making_is_made_by_the_next() {
    for (seed, name) in (10..).zip([MAKING, SHARING, &["StoreMade", "StoreLocked", "TakeoverCleared"]].concat()) {
        // There are two files of shared memory.
        for time in 1..=if SHARING.contains(&name) { 2 } else { 1 } {
            let mut campaign = Campaign::new(seed, false);
            campaign.live(Death::At(Instant { name, time }));
            campaign.live(Death::Never);
        }
    }
}

/// Each finds what several before it began to put right.
#[test]
fn recovery_that_dies_again_and_again_is_done_by_whoever_lives() {
    let (mut campaign, mut random) = (Campaign::new(30, false), Rng::with_seed(30));
    let within_a_boot = [STARTING, &["SliceReady", "SliceCommitted", "SegmentEmptied"]].concat();
    let another_boot: Vec<_> = within_a_boot.iter().copied().filter(|name| *name != "TakeoverRetired").collect();
    for (mut names, reboots) in [(within_a_boot, false), ([&another_boot[..], SHARING].concat(), true)] {
        campaign.live(Death::Anywhere);
        random.shuffle(&mut names);
        for name in names {
            if reboots {
                campaign.reboot();
            }
            campaign.live(at(name));
        }
    }
    campaign.live(Death::Never);
    campaign.live(Death::Never);
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Makes a store with a small value and a large one, and a reader that has it open; returns it when the daemon is gone.
fn filled(home: &Home) -> DataCache {
    home.configure("inline_max = \"32 KiB\"");
    let daemon = Daemon::start(home, None).expect("nobody kills it");
    let reader = DataCache::open(home.options()).unwrap();
    for (key, value) in [("small", vec![1]), ("large", vec![2; 100_000])] {
        reader.set(key, value.clone()).unwrap();
        assert_eq!(&reader.get(key).unwrap().expect("it was just set")[..], value);
    }
    daemon.ask_to_end();
    assert_eq!(daemon.ended(home), Ended::Well);
    reader
}

/// The store is empty and like any other, and nothing is left but what was to be.
fn check_anew(home: &Home, reader: &DataCache, aside: &[&str]) {
    let (store, daemon) = (home.store(), Daemon::start(home, None).expect("nobody kills it"));
    eventually("a reader of the store before finds nothing", PATIENCE, || reader.get("small").unwrap().is_none());
    let blobs = store.join("blobs");
    let are_gone = || names(&blobs).iter().all(|folder| names(&blobs.join(folder)).is_empty());
    eventually("large values go with their entries", PATIENCE, are_gone);
    let verified = reader.verify(false).unwrap();
    let found: Vec<_> = verified.findings.iter().map(|finding| finding.fault).collect();
    assert_eq!(found, vec![Fault::LostIndex; aside.len()], "that all is lost, while it lies aside, and nothing else");
    let lost = verified.moved_aside.map(|aside| aside.lost.expect("a daemon that dies notes it first"));
    assert_eq!(lost, (!aside.is_empty()).then_some(LostValues { values: 1, bytes: 100_000 }));
    reader.set("small", vec![3]).unwrap();
    assert_eq!(&reader.get("small").unwrap().expect("it was just set")[..], [3]);
    daemon.ask_to_end();
    assert_eq!(daemon.ended(home), Ended::Well);
    let mut expected = [&["CACHEDIR.TAG", "blobs", "current", "gen-1", "lock", "staging", "unclean"], aside].concat();
    expected.sort_unstable();
    assert_eq!(names(&store), expected);
    assert_eq!(fs::read(store.join("unclean")).unwrap(), b"0");
    let daemon = Daemon::start(home, None).expect("nobody kills it");
    assert_eq!(&reader.get("small").unwrap().expect("it is in the new store")[..], [3]);
    drop(daemon);
}

#[test]
fn an_index_whose_moving_aside_a_daemon_died_of_is_aside_when_the_next_serves() {
    for name in DAMAGED {
        let home = Home::new();
        let reader = filled(&home);
        let (index, aside) = (home.store().join("current/data.mdb"), home.store().join("damaged"));
        let noise = vec![7; usize::try_from(fs::metadata(&index).unwrap().len()).unwrap()];
        fs::write(&index, &noise).unwrap();
        fs::create_dir(&aside).unwrap();
        fs::write(aside.join("of before"), "").unwrap();
        assert!(Daemon::start(&home, Some(Instant::first(name))).is_none(), "it dies at {name}");
        check_anew(&home, &reader, &["damaged"]);
        assert!(fs::read(aside.join("data.mdb")).unwrap() == noise, "{name}");
        assert!(!aside.join("of before").exists(), "{name}");
    }
}

#[test]
fn a_lost_index_whose_forgetting_a_daemon_died_of_is_forgotten_by_the_next() {
    for name in LOST {
        let home = Home::new();
        let reader = filled(&home);
        fs::remove_dir_all(home.store().join("gen-1")).unwrap();
        assert!(Daemon::start(&home, Some(Instant::first(name))).is_none(), "it dies at {name}");
        check_anew(&home, &reader, &[]);
    }
}

/// A reader has the old one open all the time.
#[test]
fn a_table_of_readers_whose_making_a_daemon_died_of_is_made_by_the_next() {
    for name in UNSEEN {
        for is_damaged in [true, false] {
            let home = Home::new();
            let (reader, store) = (filled(&home), home.store());
            let table = store.join("current/lock.mdb");
            // By another process: the reader's hold on it would go if this one closed it.
            let damage = if is_damaged { "printf damaged | dd conv=notrunc of=" } else { "rm " };
            let damage = format!("{damage}'{}'", table.display());
            assert!(home.program("sh").args(["-c", &damage]).stderr(Stdio::null()).status().unwrap().success());
            assert!(Daemon::start(&home, Some(Instant::first(name))).is_none(), "it dies at {name}");
            let daemon = Daemon::start(&home, None).expect("nobody kills it");
            assert_eq!(&reader.get("small").unwrap().expect("nothing else is damaged")[..], [1], "{name}");
            reader.set("small", vec![3]).unwrap();
            assert_eq!(&reader.get("small").unwrap().expect("it was just set")[..], [3]);
            assert_eq!(&reader.get("large").unwrap().expect("nothing else is damaged")[..], vec![2; 100_000]);
            assert_eq!(reader.verify(false).unwrap().findings, []);
            assert_eq!(names(&store.join("staging")), [""; 0]);
            daemon.ask_to_end();
            assert_eq!(daemon.ended(&home), Ended::Well);
            assert!(!store.join("damaged").exists());
            assert_eq!(fs::read(store.join("unclean")).unwrap(), b"0");
        }
    }
}

/// Adds more than the daemon leaves as it is when it is gone, and removes all but what was there before.
fn empty_out(cache: &DataCache) {
    let large = cache.namespace("large");
    for keys in (0..1_500_i64).collect::<Vec<_>>().chunks(100) {
        large.add_many(keys.iter().map(|key| (*key, vec![7; 32 << 10]))).run().unwrap();
    }
    large.clear().unwrap();
}

/// A reader has the store open all the time.
#[test]
fn a_store_whose_daemon_died_of_giving_space_back_has_everything_and_the_next_gives_it_back() {
    let die = |name: &'static str| {
        let home = Home::new();
        let (reader, store) = (filled(&home), home.store());
        let daemon = Daemon::start(&home, Some(Instant::first(name))).expect("it does not come to that at once");
        empty_out(&reader);
        assert_eq!(daemon.ended(&home), Ended::Killed, "it dies at {name}");
        let daemon = Daemon::start(&home, None).expect("nobody kills it");
        assert_eq!(&reader.get("small").unwrap().expect("nobody removed it")[..], [1], "{name}");
        reader.set("small", vec![3]).unwrap();
        assert_eq!(&reader.get("small").unwrap().expect("it was just set")[..], [3], "{name}");
        assert_eq!(&reader.get("large").unwrap().expect("nobody removed it")[..], vec![2; 100_000]);
        let length = || fs::metadata(store.join("current/data.mdb")).unwrap().len();
        eventually("the space is given back", PATIENCE, || length() < 8 << 20);
        let generations = || names(&store).iter().filter(|name| name.starts_with("gen-")).count();
        eventually("the generation before is gone", PATIENCE, || generations() == 1);
        assert_eq!(&reader.get("small").unwrap().expect("it was set")[..], [3], "{name}");
        assert_eq!(reader.verify(false).unwrap().findings, [], "{name}");
        daemon.ask_to_end();
        assert_eq!(daemon.ended(&home), Ended::Well);
        assert!(!store.join("damaged").exists() && !store.join("current.new").exists());
        assert_eq!(fs::read(store.join("unclean")).unwrap(), b"0");
    };
    std::thread::scope(|scope| {
        let dying: Vec<_> = SUCCESSION.iter().map(|name| scope.spawn(|| die(name))).collect();
        dying.into_iter().for_each(|died| died.join().unwrap());
    });
}

/// A reader has the store open all the time.
#[test]
fn a_store_whose_daemon_died_of_filling_pages_up_has_everything_and_the_next_keeps_the_limit() {
    const ENTRIES: i64 = 8_000;
    // Numbers in the disorder of hashes.
    let key = |number: i64| number.wrapping_mul(-0x61c8_8646_80b5_83eb);
    for name in PACKING {
        let home = Home::new();
        let (reader, instant) = (filled(&home), Instant { name, time: 2 });
        let daemon = Daemon::start(&home, Some(instant)).expect("it does not come to that at once");
        let small = reader.namespace("small");
        for numbers in (0..ENTRIES).collect::<Vec<_>>().chunks(100) {
            small.add_many(numbers.iter().map(|number| (key(*number), vec![7; 300]))).run().unwrap();
        }
        assert_eq!(reader.verify(false).unwrap().findings, []);
        let taken = reader.stats().unwrap().space.bytes;
        let limit = taken - taken / 20;
        home.configure(&format!("limit = {limit}\n"));
        reader.reload().ok();
        assert_eq!(daemon.ended(&home), Ended::Killed, "it dies at {name}");
        let daemon = Daemon::start(&home, None).expect("nobody kills it");
        eventually("the limit is kept", PATIENCE, || reader.stats().unwrap().space.bytes <= limit);
        let found =
            (0..ENTRIES).filter(|number| small.get(key(*number)).unwrap().is_some_and(|value| value[..] == [7; 300]));
        let (found, counted) = (found.count() as u64, small.len().unwrap());
        assert!(found == counted && found * 10 >= ENTRIES.unsigned_abs() * 9, "{found} of {counted} after {name}");
        assert_eq!(reader.verify(false).unwrap().findings, [], "{name}");
        daemon.ask_to_end();
        assert_eq!(daemon.ended(&home), Ended::Well);
    }
}

#[test]
fn no_instant_is_left_out() {
    let known: BTreeSet<String> = Instant::names(&Home::new()).into_iter().collect();
    let named =
        [MAKING, SHARING, DAMAGED, LOST, UNSEEN, SUCCESSION, PACKING, STARTING, ORPHANED, WORKING, ENDING].concat();
    assert_eq!(named.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), known);
}

#[test]
fn the_command_itself_can_not_be_had_to_die() {
    let knows = |program: &Path| {
        let bytes = fs::read(program).unwrap();
        bytes.windows(VARIABLE.len()).any(|window| window == VARIABLE.as_bytes())
    };
    assert!(knows(mortal_program()));
    assert!(!knows(program()));
}
