//! S3-FIFO, and what it learns.

use super::super::s3fifo::S3Fifo;
use super::super::testing::{Owner, hash};
use super::super::{Evictor, Policy, Queue, Volume};

/// A cache of 100 entries of a byte each that was full: keys below 100, of which 10 or so are in the small queue. No reads.
fn full() -> Owner {
    let mut owner = Owner::new(Policy::S3Fifo);
    owner.fill(0..100);
    owner.evict(Volume::one(1), 1);
    owner
}

/// Asks for keys of a byte in a cache of 100, and returns how many were there.
fn ask(owner: &mut Owner, keys: impl IntoIterator<Item = u64>) -> usize {
    keys.into_iter().filter(|key| owner.ask_for(*key, 1, 100)).count()
}

#[test]
fn until_anything_is_evicted_the_main_queue_takes_what_the_small_one_has_no_room_for() {
    let mut owner = Owner::new(Policy::S3Fifo);
    owner.fill(0..100);
    assert!((9..=11).contains(&owner.keys(Queue::Small).len()), "{:?}", owner.keys(Queue::Small));
    assert_eq!(owner.total().entries, 100);
}

#[test]
fn a_new_entry_that_nobody_reads_goes_before_any_that_is_known() {
    let mut owner = full();
    let known = owner.keys(Queue::Main);
    ask(&mut owner, 1000..1050);
    assert!(known.iter().filter(|key| owner.read(**key, 0)).count() >= known.len() - 1);
    assert!((1000..1035).filter(|key| owner.read(*key, 0)).count() <= 1, "all but the one in 256");
}

#[test]
fn a_new_entry_that_is_read_moves_to_the_main_queue_and_its_marks_are_used_up() {
    let mut owner = full();
    ask(&mut owner, [1000, 1000]);
    ask(&mut owner, 1001..1030);
    assert_eq!(owner.keys(Queue::Main).last(), Some(&1000));
    assert_eq!(owner.entries[&1000].reads, 0);
}

#[test]
fn what_comes_back_soon_after_it_was_evicted_joins_the_main_queue() {
    let mut owner = full();
    ask(&mut owner, 1000..1100);
    assert!(!owner.read(1010, 0));
    ask(&mut owner, [1010]);
    assert_eq!(owner.keys(Queue::Main).last(), Some(&1010));
}

#[test]
fn what_comes_back_after_longer_than_is_remembered_is_new() {
    let mut owner = full();
    ask(&mut owner, 1000..1400);
    ask(&mut owner, [1010]);
    assert_eq!(owner.keys(Queue::Small).last(), Some(&1010));
}

#[test]
fn a_known_entry_stays_for_as_many_rounds_as_it_was_read() {
    let mut owner = full();
    let known = owner.keys(Queue::Main);
    let (once, thrice) = (known[0], known[1]);
    owner.read(once, 1);
    owner.read(thrice, 3);
    let evict = |owner: &mut Owner| owner.evict(Volume { bytes: 0, entries: 1 }, 1000);
    let mut order = Vec::new();
    while owner.read(thrice, 0) {
        let before: Vec<_> = owner.entries.keys().copied().collect();
        evict(&mut owner);
        order.extend(before.into_iter().filter(|key| !owner.read(*key, 0)));
    }
    assert_eq!(order[order.len() - 2..], [once, thrice]);
}

/// A batch that is refused is often tried once more.
#[test]
fn additions_that_are_taken_back_leave_nothing_that_a_later_one_could_tell() {
    let mut owner = full();
    ask(&mut owner, 1000..1500);
    let mut evictor = owner.evictor.clone();
    let additions = |evictor: &mut Evictor| -> Vec<_> {
        // Some of them went lately, from one of the queues, and some were never there.
        (0..2000).map(|key| evictor.admit(hash(key), 1 + key % 7)).collect()
    };
    let first = additions(&mut evictor);
    first.iter().rev().for_each(|addition| evictor.take_back(*addition));
    assert_eq!(evictor.standing(), owner.evictor.standing());
    assert_eq!(additions(&mut evictor), first);
}

/// One large value wipes the cache elsewhere.
#[test]
fn entries_far_larger_than_the_mean_have_to_be_read_more_often_to_stay() {
    let stays = |bytes: u64, reads: u8| {
        let mut owner = Owner::new(Policy::S3Fifo);
        (0..1000).for_each(|key| owner.add(key, 1));
        owner.keep_to(Volume { bytes: 990, entries: 990 });
        owner.add(5000, bytes);
        owner.read(5000, reads);
        (6000..6400).for_each(|key| _ = owner.ask_for(key, 1, 1000));
        owner.read(5000, 0)
    };
    let found = [(8, 1), (16, 1), (16, 2), (64, 2), (64, 3)].map(|(bytes, reads)| stays(bytes, reads));
    assert_eq!(found, [true, false, true, false, true]);
}

/// It is new itself: what is new goes for it, and what is known stays.
#[test]
fn a_large_new_value_costs_the_small_queue_before_the_main_one() {
    let mut owner = Owner::new(Policy::S3Fifo);
    owner.fill(0..1000);
    owner.keep_to(Volume { bytes: 950, entries: 950 });
    let known = owner.keys(Queue::Main);
    owner.ask_for(5000, 120, 1000);
    let left = known.iter().filter(|key| owner.read(**key, 0)).count();
    assert!(left + 10 >= known.len(), "{left} of {}", known.len());
    assert!(owner.read(5000, 0));
}

/// When it begins, the main queue is full of what nobody reads any more.
#[test]
fn a_loop_that_nothing_remembers_is_hit_by_what_was_kept_of_it() {
    let mut owner = full();
    let hits = (0..60).map(|_| ask(&mut owner, 1000..2000)).collect::<Vec<_>>();
    assert!(hits[40..].iter().all(|hits| *hits >= 60), "{hits:?}");
}

#[test]
fn a_loop_is_hit_from_its_second_round_on_where_it_was_there_first() {
    let mut owner = Owner::new(Policy::S3Fifo);
    let hits = (0..10).map(|_| ask(&mut owner, 0..1000)).collect::<Vec<_>>();
    assert!(hits[1..].iter().all(|hits| *hits >= 60), "{hits:?}");
}

#[test]
fn a_scan_leaves_alone_what_is_read_again_and_again() {
    let mut owner = Owner::new(Policy::S3Fifo);
    (0..5).for_each(|_| _ = ask(&mut owner, 0..50));
    for scan in 0..20 {
        ask(&mut owner, 1000 + scan * 100..1100 + scan * 100);
        assert!(ask(&mut owner, 0..50) >= 48, "after scan {scan}");
    }
}

/// Where entries come back soon after they left, the queue that they left is too small.
#[test]
fn the_small_queues_share_follows_the_entries_that_come_back_soon() {
    let mut state = full().evictor.s3fifo;
    let queues = full().evictor.queues;
    let come_back = |small: bool, times: u64, state: &mut S3Fifo| {
        for key in 0..times {
            let ghost = if small { &mut state.small_ghost } else { &mut state.main_ghost };
            ghost.remember(hash(key), 1, 100);
            state.admit(hash(key), 1, &queues);
        }
        state.share
    };
    let before = state.share;
    let step = 0.03 / (queues.all().entries as f64).sqrt();
    let grown = come_back(true, 10, &mut state);
    assert!((grown - before - 10.0 * step).abs() < 1e-6, "{before} {grown}");
    let shrunk = come_back(false, 5, &mut state);
    assert!((grown - shrunk - 10.0 * step).abs() < 1e-6, "{grown} {shrunk}");
    assert_eq!([come_back(true, 5_000, &mut state), come_back(false, 5_000, &mut state)], [0.5, 0.02]);
}

#[test]
fn an_entry_that_comes_back_late_moves_no_share() {
    let mut owner = full();
    ask(&mut owner, 1000..1100);
    let before = owner.evictor.s3fifo.share;
    ask(&mut owner, 1000..1050);
    assert_eq!(owner.evictor.s3fifo.share, before);
}
