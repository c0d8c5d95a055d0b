//! Limits are kept: by entries after every call, by bytes at every checkpoint, whatever is added, replaced and deleted.

use std::collections::BTreeSet;

use datacache_daemon::eviction::Policy;
use datacache_daemon::store::{Batch, Command, Condition, Holder, Outcome, Owner, Put, Rule, Rules, StoreError, Way};
use datacache_proto::error::FullCause;
use datacache_proto::key::Key;
use datacache_proto::process::Process;
use datacache_proto::time::Timestamp;

use crate::driver::{Driver, NOW, inline};
use crate::limited::{MIB, add, bytes, limited, put, rules};

fn entries(limit: u64) -> Rules {
    rules(Rule { limit_entries: Some(limit), ..Rule::default() })
}

/// Adds a limit to a namespace.
fn with_namespace(mut rules: Rules, name: &str, rule: Rule) -> Rules {
    rules.namespaces.insert(name.into(), rule);
    rules
}

fn put_all(driver: &mut Driver, namespace: &str, keys: std::ops::Range<i64>) {
    keys.for_each(|key| drop(put(driver, add(namespace, key, inline(b"value"))).unwrap()));
}

/// Returns the keys of a namespace that have entries, of those up to a hundred thousand.
fn keys(driver: &mut Driver, namespace: &str, among: std::ops::Range<i64>) -> BTreeSet<i64> {
    let Some(number) = driver.store().namespace(namespace) else { return BTreeSet::new() };
    let store = driver.store();
    among.filter(|key| store.lookup(number, &(*key).into(), NOW, |_| ()).unwrap().is_some()).collect()
}

fn total(driver: &mut Driver) -> u64 {
    driver.store().space().entries
}

#[test]
fn there_are_never_more_entries_than_the_limit() {
    for limit in [1, 2, 10, 100] {
        let mut driver = limited(entries(limit));
        let mut random = fastrand::Rng::with_seed(limit);
        for step in 0..1_500 {
            let key = random.i64(0..3 * limit as i64);
            match random.u32(0..10) {
                0 => drop(driver.write(vec![delete(key)])),
                1 if step % 7 == 0 => driver.checkpoint(),
                _ => drop(put(&mut driver, add("default", key, inline(&vec![7; random.usize(0..300)]))).unwrap()),
            }
            assert!(total(&mut driver) <= limit, "step {step}");
        }
        // Of more than 64 two go for one, and the last call may have deleted one.
        assert!(total(&mut driver) + 2 >= limit);
        assert!(driver.store().evicted(1) > 100);
        driver.checkpoint();
        assert_eq!(keys(&mut driver, "default", 0..3 * limit as i64).len() as u64, total(&mut driver));
    }
}

/// Of the first namespace that there is.
fn delete(key: i64) -> Command {
    Command::Delete { namespace: 1, key: key.into(), when: Condition::Live }
}

#[test]
fn the_store_takes_no_more_than_its_limit_at_any_checkpoint() {
    let limit = 4 * MIB;
    let mut driver = limited(bytes(limit));
    let mut random = fastrand::Rng::with_seed(4);
    for step in 0..3_000_usize {
        let key = random.i64(0..2_000);
        let size = [20, 700, 3_000, 30_000][random.usize(0..4)];
        let value = vec![step as u8; size];
        let value =
            if size > 10_000 { driver.stage(&[&value[..], &step.to_le_bytes()].concat()) } else { inline(&value) };
        put(&mut driver, add("default", key, value)).unwrap();
        relieve(&mut driver);
        let usage = driver.store().usage();
        // The index is only measured now and then.
        assert!(usage.total() <= limit + limit / 64, "step {step}: {usage:?}");
        if step % 200 == 199 {
            driver.checkpoint();
            relieve(&mut driver);
            let usage = driver.store().usage();
            assert!(usage.total() <= limit, "step {step}: {usage:?}");
        }
    }
    let space = driver.store().space();
    assert!(space.bytes > limit / 2, "{space:?}");
    assert!(driver.store().evicted(1) > 500);
}

#[test]
fn what_is_pinned_or_leased_stays() {
    let mut driver = limited(entries(20));
    let holder = Holder { process: Process { boot: 1, pid: 2, start: 3 }, scope: 4 };
    for key in 0..5 {
        put(&mut driver, Put { pinned: true, ..add("default", key, inline(b"pinned")) }).unwrap();
        put(&mut driver, Put { holder: Some(holder), ..add("default", 100 + key, inline(b"leased")) }).unwrap();
    }
    put_all(&mut driver, "default", 200..400);
    assert_eq!(total(&mut driver), 20);
    assert_eq!(keys(&mut driver, "default", 0..105).len(), 10);
    driver.checkpoint();
    put_all(&mut driver, "default", 400..600);
    assert_eq!(keys(&mut driver, "default", 0..105).len(), 10);
}

#[test]
fn what_has_expired_goes_before_anything_is_evicted() {
    let mut driver = limited(entries(50));
    let ended = Some(Timestamp::from_millis(NOW.as_millis() - 1));
    put_all(&mut driver, "default", 0..30);
    for key in 100..120 {
        put(&mut driver, Put { expires: ended, ..add("default", key, inline(b"ended")) }).unwrap();
    }
    put_all(&mut driver, "default", 200..220);
    assert_eq!((keys(&mut driver, "default", 0..30).len(), driver.store().evicted(1)), (30, 0));
    assert_eq!(driver.store().expired_for_room(1), 20);
    put_all(&mut driver, "default", 300..310);
    assert!(driver.store().evicted(1) >= 10);
}

/// Of what the index had, a slice went, and was planned to go again and again until that was applied.
#[test]
fn much_that_has_expired_goes_before_anything_is_evicted() {
    for rules in [entries(500), with_namespace(rules(Rule::default()), "default", entries(500).all)] {
        let mut driver = limited(rules);
        let ended = Some(Timestamp::from_millis(NOW.as_millis() - 1));
        put_all(&mut driver, "default", 0..100);
        for key in 1_000..1_400 {
            put(&mut driver, Put { expires: ended, ..add("default", key, inline(b"ended")) }).unwrap();
        }
        driver.checkpoint();
        put_all(&mut driver, "default", 2_000..2_390);
        assert_eq!((keys(&mut driver, "default", 0..100).len(), driver.store().evicted(1)), (100, 0));
    }
}

/// Each began once more where the other had been, with what was gone, until that was applied.
#[test]
fn what_has_expired_goes_in_many_namespaces_by_turns() {
    let names = ["one", "other"];
    let rules = names.iter().fold(rules(Rule::default()), |rules, name| with_namespace(rules, name, entries(500).all));
    let mut driver = limited(rules);
    let ended = Some(Timestamp::from_millis(NOW.as_millis() - 1));
    for name in names {
        let put = |key| Command::Put(Put { expires: ended, ..add(name, key, inline(b"ended")) });
        driver.write((0..500).map(put).collect()).unwrap();
    }
    driver.checkpoint();
    let put = |name| (1_000..1_400).map(|key| Command::Put(add(name, key, inline(b"value")))).collect();
    let batches = names.map(|name| Batch::all(put(name), None));
    let mut is_clear = |(batch, number)| {
        let way = driver.store().make_way(batch, Owner::Namespace(number), NOW);
        matches!(way, Way::Clear)
    };
    let asked = (0..50).find(|_| batches.iter().zip(1..).filter(|of| is_clear(*of)).count() == batches.len());
    assert!(asked.is_some_and(|asked| asked < 10), "{asked:?}");
    assert_eq!([1, 2].map(|number| driver.store().evicted(number)), [0, 0]);
}

#[test]
fn entries_that_were_deleted_lead_nobody_astray() {
    let mut driver = limited(entries(300));
    put_all(&mut driver, "default", 0..100);
    for round in 0..20 {
        let keys = 1_000 * round + 1_000..1_000 * round + 1_150;
        put_all(&mut driver, "default", keys.clone());
        keys.for_each(|key| drop(driver.write(vec![delete(key)]).unwrap()));
        driver.checkpoint();
    }
    assert_eq!((total(&mut driver), driver.store().evicted(1)), (100, 0));
    put_all(&mut driver, "default", 100_000..101_000);
    assert!(total(&mut driver) + 5 >= 300);
}

#[test]
fn where_all_is_held_what_is_new_is_refused_and_what_is_there_can_be_replaced() {
    let mut driver = limited(Rules { held_percent: 100, ..entries(3) });
    for key in 0..3 {
        put(&mut driver, Put { pinned: true, ..add("default", key, inline(b"pinned")) }).unwrap();
    }
    let refused = put(&mut driver, add("default", 3, inline(b"new")));
    assert!(matches!(refused, Err(StoreError::Full { of: None, cause: FullCause::Held })), "{refused:?}");
    put(&mut driver, Put { pinned: true, ..add("default", 1, inline(b"other!")) }).unwrap();
    // Unpinned, it makes way.
    put(&mut driver, add("default", 1, inline(b"other!"))).unwrap();
    put(&mut driver, add("default", 3, inline(b"new"))).unwrap();
    assert_eq!(keys(&mut driver, "default", 0..4), BTreeSet::from([0, 2, 3]));
    assert_eq!(driver.store().space().refused, 1);
}

#[test]
fn pinned_entries_have_a_share_of_the_bytes() {
    let mut driver = limited(bytes(MIB));
    let pinned = |key| Put { pinned: true, ..add("default", key, inline(&[7; 30_000])) };
    let refused = (0..100).find_map(|key| put(&mut driver, pinned(key)).err().map(|error| (key, error)));
    let Some((key, StoreError::Full { of: None, cause: FullCause::HeldLimit { limit } })) = refused else {
        panic!("it came out as {refused:?}");
    };
    assert_eq!((limit, key), (MIB / 2, 15));
    put(&mut driver, add("default", 100, inline(&[7; 30_000]))).unwrap();
}

#[test]
fn what_is_there_is_pinned_within_that_share_too() {
    let mut driver = limited(bytes(4 * MIB));
    let mut refused = 0;
    for key in 0..30 {
        let value = add("default", key, inline(&vec![7; 100_000]));
        put(&mut driver, value.clone()).unwrap();
        match put(&mut driver, Put { pinned: true, ..value.clone() }) {
            Ok(_) => drop(put(&mut driver, Put { pinned: true, ..value }).unwrap()),
            Err(StoreError::Full { cause: FullCause::HeldLimit { .. }, .. }) => refused += 1,
            other => panic!("{other:?}"),
        }
        assert!(driver.store().space().held_bytes <= 2 * MIB, "{key}");
    }
    assert!((5..15).contains(&refused), "{refused}");
}

#[test]
fn a_namespace_has_its_limits_from_its_first_entries_on() {
    let rule = Rule { limit: Some(MIB), limit_entries: Some(3), ..Rule::default() };
    let mut driver = limited(with_namespace(rules(Rule::default()), "own", rule));
    let never =
        |told: &Result<(), StoreError>| matches!(told, Err(StoreError::NeverFits { of: Some(of), .. }) if of == "own");
    assert!(never(&driver.store().fits_anywhere("own", 2 * MIB)));
    assert!(never(&put(&mut driver, add("own", 1, inline(&vec![7; 2 << 20]))).map(drop)));
    let many = |keys: std::ops::Range<i64>| keys.map(|key| Command::Put(add("own", key, inline(b"value")))).collect();
    let told = driver.write(many(0..4));
    let cause = FullCause::Batch { entries: 4, limit: 3 };
    assert!(matches!(&told, Err(StoreError::Full { cause: told, .. }) if *told == cause), "{told:?}");
    driver.write(many(0..3)).unwrap();
    assert_eq!(driver.store().space().refused, 2);
}

#[test]
fn the_limit_of_a_namespace_is_its_own_affair() {
    let own = Rule { limit_entries: Some(10), policy: Some(Policy::Fifo), ..Rule::default() };
    let mut driver = limited(with_namespace(rules(Rule::default()), "small", own));
    put_all(&mut driver, "large", 0..300);
    put_all(&mut driver, "small", 0..300);
    assert_eq!(keys(&mut driver, "small", 0..300), (290..300).collect());
    assert_eq!(keys(&mut driver, "large", 0..300).len(), 300);
    let number = driver.store().namespace("small").unwrap();
    let space = driver.store().namespace_space(number);
    assert_eq!((space.limit_entries, &*space.policy), (Some(10), "fifo"));
    assert_eq!(driver.store().evicted(number), 290);
}

#[test]
fn the_policy_none_refuses_what_is_new_at_the_limit() {
    let mut driver = limited(rules(Rule { limit_entries: Some(5), policy: Some(Policy::None), ..Rule::default() }));
    put_all(&mut driver, "default", 0..5);
    let refused = put(&mut driver, add("default", 5, inline(b"new")));
    assert!(matches!(refused, Err(StoreError::Full { of: None, cause: FullCause::Policy })), "{refused:?}");
    put(&mut driver, add("default", 3, inline(b"other"))).unwrap();
    assert_eq!(keys(&mut driver, "default", 0..6), (0..5).collect());
}

#[test]
fn a_namespace_with_the_policy_none_can_fill_the_store_and_nothing_of_it_goes_for_others() {
    let own = Rule { policy: Some(Policy::None), ..Rule::default() };
    let mut driver = limited(with_namespace(entries(5), "kept", own));
    put_all(&mut driver, "kept", 0..5);
    let refused = put(&mut driver, add("default", 0, inline(b"new")));
    assert!(matches!(refused, Err(StoreError::Full { of: None, cause: FullCause::Held })), "{refused:?}");
    assert_eq!(keys(&mut driver, "kept", 0..5).len(), 5);
}

/// Evicts beside the calls until there is nothing more to evict.
fn relieve(driver: &mut Driver) {
    driver.relieve();
}

#[test]
fn a_limit_that_is_lowered_makes_the_store_smaller_and_one_that_is_lifted_lets_it_grow() {
    let mut driver = limited(entries(1_000));
    put_all(&mut driver, "default", 0..1_000);
    driver.store().set_rules(entries(100));
    relieve(&mut driver);
    assert_eq!(total(&mut driver), 99);
    driver.checkpoint();
    driver.store().set_rules(rules(Rule::default()));
    put_all(&mut driver, "default", 1_000..2_000);
    assert_eq!(total(&mut driver), 1_099);
    driver.store().set_rules(with_namespace(rules(Rule::default()), "default", entries(50).all));
    relieve(&mut driver);
    assert_eq!(total(&mut driver), 50);
}

#[test]
fn a_limit_is_kept_over_restarts_and_kills() {
    let mut driver = limited(entries(64));
    put_all(&mut driver, "default", 0..200);
    driver = driver.reopened_after(|path| assert!(path.join("eviction/shared").is_file()));
    driver.store().set_rules(entries(64));
    put_all(&mut driver, "default", 200..400);
    assert_eq!(total(&mut driver), 64);
    driver = driver.revived_after(|path| std::fs::write(path.join("eviction/shared"), "damaged").unwrap());
    driver.store().set_rules(entries(64));
    put_all(&mut driver, "default", 400..600);
    assert_eq!(total(&mut driver), 64);
    driver.checkpoint();
    let report = driver.store().reader().verify(&driver.store().blobs()).unwrap();
    let (verification, _) = driver.store().conclude(report, false);
    assert_eq!(verification.findings, []);
}

#[test]
fn what_could_never_stay_is_refused_at_once_and_evicts_nothing() {
    let mut driver = limited(bytes(MIB));
    put_all(&mut driver, "default", 0..100);
    assert!(matches!(driver.store().fits_anywhere("default", MIB), Err(StoreError::NeverFits { limit: MIB, .. })));
    driver.store().fits_anywhere("default", MIB / 2).unwrap();
    let value = driver.stage(&vec![7; MIB as usize]);
    let refused = put(&mut driver, add("default", 100, value));
    assert!(matches!(refused, Err(StoreError::NeverFits { of: None, .. })), "{refused:?}");
    assert_eq!(total(&mut driver), 100);
    let own = Rule { limit: Some(MIB), ..Rule::default() };
    driver.store().set_rules(with_namespace(rules(Rule::default()), "default", own));
    let refused = driver.store().fits_anywhere("default", MIB);
    assert!(matches!(refused, Err(StoreError::NeverFits { of: Some(ref name), .. }) if name == "default"));
}

#[test]
fn a_batch_is_made_room_for_as_a_whole() {
    let mut driver = limited(entries(50));
    let batch = |keys: std::ops::Range<i64>| -> Vec<_> {
        keys.map(|key| Command::Put(add("default", key, inline(b"value")))).collect()
    };
    driver.write(batch(0..50)).unwrap();
    let outcomes = driver.write(batch(50..90)).unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Added(_))));
    assert_eq!(total(&mut driver), 50);
    assert!(keys(&mut driver, "default", 50..90).len() == 40);
    let refused = driver.write(batch(100..151));
    let cause = FullCause::Batch { entries: 51, limit: 50 };
    assert!(matches!(&refused, Err(StoreError::Full { cause: told, .. }) if *told == cause), "{refused:?}");
}

#[test]
fn a_key_that_a_batch_has_twice_is_one_entry() {
    let mut driver = limited(entries(2));
    put_all(&mut driver, "default", 0..2);
    let keys_of_batch = [5, 6, 5, 5, 6];
    let batch = keys_of_batch.map(|key| Command::Put(add("default", key, inline(b"value"))));
    assert!(driver.write(batch.to_vec()).is_ok());
    assert_eq!(keys(&mut driver, "default", 0..7), [5, 6].into());
    let one = Rule { limit_entries: Some(1), ..Rule::default() };
    driver.store().set_rules(with_namespace(entries(3), "new", one));
    let batch = [1, 1].map(|key| Command::Put(add("new", key, inline(b"value"))));
    driver.write(batch.to_vec()).unwrap();
    assert_eq!(keys(&mut driver, "new", 0..2), [1].into());
}

#[test]
fn nothing_is_evicted_for_a_file_that_is_there() {
    let mut driver = limited(bytes(8 * MIB));
    let file = |driver: &mut Driver, first| driver.stage(&[vec![first; 3 * MIB as usize], vec![7]].concat());
    for key in 0..2 {
        let value = file(&mut driver, 1 + key as u8);
        put(&mut driver, add("default", key, value)).unwrap();
    }
    let value = file(&mut driver, 1);
    put(&mut driver, add("default", 2, value)).unwrap();
    assert_eq!(keys(&mut driver, "default", 0..3), [0, 1, 2].into());
    // The file that it takes the place of stays, since another names it.
    let value = file(&mut driver, 3);
    put(&mut driver, add("default", 2, value)).unwrap();
    assert!(keys(&mut driver, "default", 0..3).len() < 3);
    driver.checkpoint();
    // A file that is set aside is not waited for: the thread that removes it may be hashing another.
    driver.wait(|store| store.usage().leaving == 0);
    let usage = driver.store().usage();
    assert!(usage.total() <= 8 * MIB, "{usage:?}");
}

/// What was evicted for it takes room until it is removed.
#[test]
fn a_value_that_takes_nearly_all_there_may_be_is_taken() {
    for size in [6 * MIB, 7_800_000] {
        let mut driver = limited(bytes(8 * MIB));
        for key in 0..50 {
            let value = driver.stage(&[vec![7; 50_000], vec![key as u8]].concat());
            put(&mut driver, add("default", key, value)).unwrap();
        }
        let value = driver.stage(&vec![1; size as usize]);
        put(&mut driver, add("default", 100, value)).unwrap();
        assert!(keys(&mut driver, "default", 100..101).len() == 1);
    }
}

#[test]
fn what_is_read_stays_longer() {
    let mut driver = limited(entries(100));
    put_all(&mut driver, "default", 0..100);
    let namespace = driver.store().namespace("default").unwrap();
    for key in 100..400 {
        for popular in 0..20 {
            driver.store().read(namespace, &Key::from(popular), NOW, |_| ()).unwrap();
        }
        put_all(&mut driver, "default", key..key + 1);
    }
    assert_eq!(keys(&mut driver, "default", 0..20).len(), 20);
}

#[test]
fn a_store_without_limits_makes_way_for_nobody() {
    let mut driver = limited(rules(Rule::default()));
    put_all(&mut driver, "default", 0..200);
    let batch = Batch::of(Command::Put(add("default", 1, inline(b"value"))), None);
    assert!(matches!(driver.store().make_way(&batch, Owner::Store, NOW), Way::Clear));
    assert!(!driver.store().has_surplus());
    assert_eq!(total(&mut driver), 200);
}
