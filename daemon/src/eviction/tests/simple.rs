//! The policies that are one queue, and what holds for all.

use super::super::testing::Owner;
use super::super::{Ending, Policy, Queue, Verdict, Volume};

/// Four entries, of which two were read, once and three times.
fn four(policy: Policy) -> Owner {
    let mut owner = Owner::new(policy);
    owner.fill(1..=4);
    owner.read(1, 1);
    owner.read(3, 3);
    owner
}

/// Returns the keys that are left, in their order, after so many were evicted.
fn left(mut owner: Owner, evicted: u64) -> Vec<u64> {
    let Volume { entries, .. } = owner.total();
    let plan = owner.keep_to(Volume { bytes: u64::MAX, entries: entries - evicted });
    assert_eq!((owner.total().entries, plan.ending), (entries - evicted, Ending::Enough));
    owner.keys(Queue::Main)
}

#[test]
fn fifo_evicts_what_was_added_first_whatever_was_read() {
    assert_eq!(left(four(Policy::Fifo), 2), [3, 4]);
}

#[test]
fn lru_gives_what_was_read_since_the_last_look_another_round() {
    assert_eq!(left(four(Policy::Lru), 1), [3, 4, 1]);
    assert_eq!(left(four(Policy::Lru), 2), [1, 3]);
    assert_eq!(left(four(Policy::Lru), 3), [3], "reads don't add up");
}

#[test]
fn lfu_keeps_what_was_read_most_whenever_that_was() {
    assert_eq!(left(four(Policy::Lfu), 2), [1, 3]);
    assert_eq!(left(four(Policy::Lfu), 3), [3]);
    let mut owner = four(Policy::Lfu);
    // 3 is looked at often, and its reads are remembered with its place.
    for key in 5..25 {
        owner.read(3, 3);
        owner.fill([key]);
        owner.evict(Volume::one(1), 100);
    }
    owner.fill(30..40);
    (30..40).for_each(|key| assert!(owner.read(key, 3)));
    owner.evict(Volume { bytes: 0, entries: 12 }, 1000);
    assert!(owner.read(3, 0), "{owner:?}");
}

#[test]
fn none_evicts_nothing() {
    let mut owner = four(Policy::None);
    let plan = owner.evict(Volume::one(1), 100);
    assert_eq!((plan.steps.len(), plan.ending), (0, Ending::Nothing));
}

#[test]
fn what_is_held_stays_and_a_plan_that_finds_nothing_else_ends() {
    for policy in [Policy::S3Fifo, Policy::Lru, Policy::Lfu, Policy::Fifo] {
        let mut owner = four(policy);
        owner.entries.values_mut().for_each(|entry| entry.held = true);
        assert_eq!(owner.keep_to(Volume::default()).ending, Ending::Nothing, "{policy}");
        assert_eq!(owner.total().entries, 4, "{policy}");
        assert_eq!(owner.evict(Volume::one(1), 100).steps, [], "{policy} looks at what is held once");
        owner.let_go(2);
        owner.keep_to(Volume { bytes: 3, entries: 3 });
        assert_eq!(owner.entries.keys().copied().collect::<Vec<_>>(), [1, 3, 4], "{policy}");
    }
}

/// The small queue never had its share of all, and nobody looked there.
#[test]
fn what_may_go_is_found_however_much_is_held() {
    for policy in [Policy::S3Fifo, Policy::Lru, Policy::Lfu, Policy::Fifo] {
        let mut owner = Owner::new(policy);
        owner.fill(0..1_000);
        owner.entries.values_mut().for_each(|entry| entry.held = true);
        owner.fill(1_000..1_010);
        let mut steps = 0;
        for key in 2_000..2_500 {
            owner.fill([key]);
            let plan = owner.evict(Volume::one(1), 2_000);
            assert_eq!(plan.ending, Ending::Enough, "{policy}");
            steps += plan.steps.len();
        }
        assert!(steps < 2_500, "{steps} by {policy}");
        assert_eq!((owner.entries.range(..1_000).count(), owner.total().entries), (1_000, 1_010), "{policy}");
    }
}

#[test]
fn where_all_is_read_faster_than_it_is_looked_at_somebody_goes_all_the_same() {
    for policy in [Policy::S3Fifo, Policy::Lru, Policy::Lfu, Policy::Fifo] {
        let mut owner = four(policy);
        for _ in 0..100 {
            owner.entries.values_mut().for_each(|entry| entry.reads = 3);
            let plan = owner.evict(Volume::one(1), 2);
            assert_ne!(plan.ending, Ending::Nothing, "{policy}");
            if plan.ending == Ending::Enough {
                break;
            }
        }
        assert_eq!(owner.total().entries, 3, "{policy}");
    }
}

#[test]
fn what_is_gone_is_dropped_and_frees_nothing() {
    let mut owner = four(Policy::Fifo);
    owner.entries.remove(&1);
    // Its place is the earlier one: it was added anew.
    owner.entries.remove(&2);
    owner.fill([2]);
    let plan = owner.evict(Volume::one(1), 100);
    assert_eq!(
        plan.steps.iter().map(|(_, verdict)| *verdict).collect::<Vec<_>>(),
        [Verdict::Drop, Verdict::Drop, Verdict::Evict]
    );
    assert_eq!(owner.keys(Queue::Main), [4, 2]);
}

#[test]
fn bytes_and_entries_both_have_to_be_enough() {
    let sized = || {
        let mut owner = Owner::new(Policy::Fifo);
        [10, 1, 1, 1].into_iter().zip(1..).for_each(|(bytes, key)| owner.add(key, bytes));
        owner
    };
    assert_eq!(left(sized(), 3), [4]);
    let mut owner = sized();
    let plan = owner.evict(Volume { bytes: 11, entries: 1 }, 100);
    assert_eq!(plan.evicted, Volume { bytes: 11, entries: 2 });
}

#[test]
fn a_value_that_was_replaced_counts_as_it_is_now() {
    let mut owner = Owner::new(Policy::Lru);
    owner.add(1, 1);
    owner.add(2, 1);
    owner.add(1, 50);
    assert_eq!(owner.evictor.volume(Queue::Main), Volume { bytes: 2, entries: 2 }, "until its place is looked at");
    owner.read(1, 1);
    owner.evict(Volume::one(1), 100);
    assert_eq!(owner.evictor.volume(Queue::Main), Volume { bytes: 50, entries: 1 });
}

#[test]
fn a_slice_looks_at_no_more_than_it_may() {
    let mut owner = four(Policy::Fifo);
    let plan = owner.evict(Volume { bytes: 0, entries: 4 }, 3);
    assert_eq!((plan.steps.len(), plan.ending), (3, Ending::Slice));
    assert_eq!(owner.evict(Volume::one(1), 3).ending, Ending::Enough);
}

#[test]
fn places_that_were_lost_are_not_waited_for() {
    let mut owner = four(Policy::S3Fifo);
    owner.small.clear();
    owner.main.clear();
    assert_eq!(owner.evict(Volume::one(1), 100).ending, Ending::Nothing);
    assert_eq!([Queue::Small, Queue::Main].map(|queue| owner.evictor.volume(queue)), [Volume::default(); 2]);
}

#[test]
fn another_policy_goes_on_with_the_places_that_there_are() {
    let mut owner = four(Policy::S3Fifo);
    assert!(!owner.keys(Queue::Small).is_empty() && !owner.keys(Queue::Main).is_empty());
    owner.evictor.follow(Policy::Fifo);
    owner.fill([5]);
    let plan = owner.evict(Volume { bytes: 0, entries: 5 }, 100);
    assert_eq!((plan.ending, owner.total()), (Ending::Enough, Volume::default()));
}
