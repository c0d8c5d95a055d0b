//! Random additions, reads, deletions and evictions, and what has to hold after each.

use std::collections::BTreeSet;

use super::super::testing::Owner;
use super::super::{Ending, Evictor, Policy, Queue, Volume};

const KEYS: u64 = 300;
const LIMIT: Volume = Volume { bytes: 4_000, entries: 120 };

/// Does something that an owner may meet with.
fn act(owner: &mut Owner, random: &mut fastrand::Rng) {
    // Some keys are asked for more often than others.
    let key = random.u64(..KEYS).min(random.u64(..KEYS));
    match random.u8(..100) {
        0..40 => _ = owner.read(key, random.u8(1..=3)),
        40..85 => {
            let large = random.u8(..50) == 0;
            owner.add(key, if large { random.u64(..2_000) } else { random.u64(..60) });
        }
        85..93 => drop(owner.entries.remove(&key)),
        // Few, so that there is always something to evict.
        93..95 if owner.entries.values().filter(|entry| entry.held).count() < 20 => {
            owner.entries.entry(key).and_modify(|entry| entry.held |= entry.bytes < 100);
        }
        95..97 => owner.let_all_go(),
        97 => drop(owner.evict(Volume { bytes: random.u64(..500), entries: random.u64(..5) }, random.usize(..9))),
        _ => {
            let plan = owner.keep_to(LIMIT);
            assert_eq!(plan.ending, Ending::Enough);
            assert!(LIMIT.covers(owner.total()), "{:?}", owner.total());
        }
    }
}

/// Each entry stands in exactly one place, or is held and was passed over, and the sums are those of the places.
fn check(owner: &Owner) {
    let mut placed = BTreeSet::new();
    for standing in owner.small.iter().chain(&owner.main).filter(|standing| owner.stands(standing)) {
        assert!(placed.insert(standing.key), "{} stands twice", standing.key);
    }
    let mut nowhere = owner.entries.iter().filter(|(key, _)| !placed.contains(key));
    assert!(nowhere.all(|(_, entry)| entry.held), "an entry stands nowhere");
    for (queue, places) in [(Queue::Small, &owner.small), (Queue::Main, &owner.main)] {
        let bytes = places.iter().map(|standing| standing.placed).sum();
        assert_eq!(owner.evictor.volume(queue), Volume { bytes, entries: places.len() as u64 }, "{queue:?}");
    }
}

fn for_each_seed(mut test: impl FnMut(Policy, &mut fastrand::Rng)) {
    for policy in [Policy::S3Fifo, Policy::Lru, Policy::Lfu, Policy::Fifo] {
        for seed in 0..4 {
            println!("policy {policy}, seed {seed}");
            test(policy, &mut fastrand::Rng::with_seed(seed));
        }
    }
}

#[test]
fn entries_stay_in_one_queue_each_and_within_the_limit() {
    for_each_seed(|policy, random| {
        let mut owner = Owner::new(policy);
        for number in 0..3_000 {
            act(&mut owner, random);
            if number % 4 == 0 {
                check(&owner);
            }
        }
    });
}

#[test]
fn the_same_history_leads_to_the_same_plans_also_over_a_restart() {
    for_each_seed(|policy, random| {
        let (mut owner, mut other) = (Owner::new(policy), Owner::new(policy));
        let mut same = random.clone();
        for number in 0..2_000 {
            act(&mut owner, random);
            act(&mut other, &mut same);
            if number % 100 == 0 {
                other.evictor = Evictor::load(&other.evictor.save()).unwrap();
                // Where the sweep of the ghosts was, and how long nothing went, are not worth keeping.
                owner.evictor = Evictor::load(&owner.evictor.save()).unwrap();
            }
        }
        assert_eq!(owner, other);
    });
}
