//! The view protocol under loom: the code that ships, in every order of memory and, up to a number of interruptions, of
//! events.
//!
//! First that nobody ever sees the past; then that each rule is needed, by breaking it.
//! `--nocapture` prints the number of executions.

mod alone;
mod daemon;
mod reader;
mod story;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datacache_proto::recent::Fence;

use alone::alone;
use daemon::{Alive, Daemon};
use reader::{get_rechecking_late, get_with_an_old_transaction, get_without_rechecking};
use story::Story;
use world::{Broken, Bytes};

/// Value 1 in segment 1, and room for segment 2.
fn one_put(daemon: &mut Daemon) -> Alive {
    daemon.put(1)?;
    daemon.prepare()
}

/// Values 1 and 2 in segments 1 and 2, of which the first is being applied.
fn two_segments(daemon: &mut Daemon) -> Alive {
    one_put(daemon)?;
    daemon.rotate()?;
    daemon.put(2)
}

/// Segment 1 is retired and its table used again, for segment 3.
fn reuse_of_a_table(daemon: &mut Daemon) -> Alive {
    daemon.rotate()?;
    daemon.apply()?;
    daemon.retire()?;
    daemon.remove()?;
    daemon.prepare()?;
    daemon.rotate()?;
    daemon.put(2)
}

#[test]
fn a_rotation_goes_unnoticed() {
    alone(|| {
        let story = Story::new(one_put, |daemon| {
            daemon.rotate()?;
            daemon.put(2)?;
            daemon.apply()?;
            daemon.retire()?;
            daemon.remove()
        });
        Story { readers: [&[0, 0], &[0]], ..story.clone() }.holds("rotation, two readers");
        Story { preemptions: 4, ..story }.holds("rotation, one reader");
    });
}

#[test]
fn the_reuse_of_a_table_goes_unnoticed() {
    alone(|| {
        let story = Story::new(one_put, reuse_of_a_table);
        Story { readers: [&[0], &[0]], ..story.clone() }.holds("reuse of a table, two readers");
        Story { preemptions: 3, ..story }.holds("reuse of a table, one reader");
        reuse_before_removal().holds("reuse of a table before its segment is removed, one reader");
    });
}

#[test]
fn the_reuse_of_both_tables_goes_unnoticed() {
    alone(|| {
        let story = Story::new(two_segments, |daemon| {
            daemon.apply()?;
            daemon.retire()?;
            daemon.prepare()?;
            daemon.rotate()?;
            daemon.put(3)?;
            daemon.apply()?;
            daemon.retire()?;
            daemon.prepare()?;
            daemon.rotate()?;
            daemon.put(4)
        });
        story.holds("reuse of both tables, one reader");
    });
}

#[test]
fn a_value_replaced_in_its_slot_is_never_seen_again() {
    let story = Story::new(one_put, |daemon| {
        daemon.put(2)?;
        daemon.put(3)
    });
    Story { readers: [&[0, 0], &[0]], preemptions: 3, ..story }.holds("replaced in place, two readers");
}

#[test]
fn the_first_operations_of_a_segment_are_not_missed() {
    alone(|| {
        let story = Story::new(Daemon::prepare, |daemon| {
            daemon.put(1)?;
            daemon.put(2)?;
            daemon.rotate()?;
            daemon.put(3)
        });
        Story { readers: [&[0, 0], &[0]], ..story.clone() }.holds("first operations, two readers");
        Story { preemptions: 3, ..story }.holds("first operations, one reader");
    });
}

#[test]
fn keys_that_share_a_tag_are_never_taken_for_each_other() {
    let before = |daemon: &mut Daemon| {
        daemon.put(101)?;
        daemon.prepare()
    };
    let story = Story::new(before, |daemon| {
        daemon.put(1)?;
        daemon.rotate()?;
        daemon.put(2)?;
        daemon.apply()?;
        daemon.retire()
    });
    Story { slots: 2, readers: [&[0], &[1]], ..story.clone() }.holds("two keys, two readers");
    Story { slots: 2, readers: [&[0, 1, 0], &[]], ..story }.holds("two keys, one reader");
}

#[test]
fn the_end_of_a_generation_is_noticed_in_time() {
    let story = Story::new(one_put, |daemon| daemon.begin_generation(1, 2));
    Story { readers: [&[0, 0], &[0]], preemptions: 3, ..story }.holds("end of a generation, two readers");
}

/// Tells a story in which a daemon dies before its first effect, one in which it dies after one, and so on until one
/// survives all of `life`; each time another takes over for good. Returns how many there were.
fn dying_everywhere(what: &str, before: fn(&mut Daemon) -> Alive, life: fn(&mut Daemon, usize) -> Alive) -> usize {
    let survived = Arc::new(AtomicBool::new(false));
    let mut effects = 0;
    while !survived.load(Ordering::Relaxed) {
        let survived = Arc::clone(&survived);
        let story = Story::new(before, move |daemon| {
            survived.store(life(daemon, effects).is_ok(), Ordering::Relaxed);
            daemon.succeeded_by_one_with(usize::MAX);
            daemon.put(9)
        });
        story.holds(&format!("{what}, dead after {effects} effects"));
        effects += 1;
    }
    effects
}

#[test]
fn a_daemon_that_dies_anywhere_is_succeeded_unnoticed() {
    alone(|| {
        let stories = dying_everywhere("daemon", one_put, |daemon, effects| {
            daemon.dies_after(effects);
            daemon.rotate()?;
            daemon.put(2)?;
            daemon.apply()?;
            daemon.retire()?;
            daemon.remove()?;
            daemon.prepare()
        });
        // The view; frame, the view, slot and reply; LMDB; the view and the file; the table and the next file. And one survives.
        assert_eq!(stories, 1 + 4 + 1 + 2 + 2 + 1);
    });
}

#[test]
fn a_successor_that_dies_anywhere_is_succeeded_unnoticed() {
    alone(|| {
        let stories = dying_everywhere("successor", two_segments, |daemon, effects| {
            daemon.succeeded_by_one_with(effects);
            daemon.alive()
        });
        // LMDB twice, the view, the leftover file, the table, the file, the view twice, two old files. And one survives.
        assert_eq!(stories, 2 + 1 + 1 + 1 + 1 + 2 + 2 + 1);
    });
}

#[test]
fn a_successor_finds_a_leftover_file_and_half_a_table() {
    alone(|| {
        let stories = dying_everywhere(
            "successor of one that was preparing",
            |daemon| {
                two_segments(daemon)?;
                daemon.apply()?;
                daemon.retire()?;
                daemon.remove()?;
                daemon.prepare()
            },
            |daemon, effects| {
                daemon.succeeded_by_one_with(effects);
                daemon.alive()
            },
        );
        assert_eq!(stories, 1 + 1 + 1 + 1 + 1 + 2 + 1 + 1);
    });
}

/// The same story, but only wrong answers count.
fn checksummed(story: Story) -> Story {
    Story { bytes: Bytes::Checksummed, ..story }
}

/// The story of [`reuse_of_a_table`] with a rule broken.
fn without(broken: Broken) -> Story {
    checksummed(Story { broken, ..Story::new(one_put, reuse_of_a_table) })
}

#[test]
fn the_fence_after_the_view_is_needed() {
    without(Broken::Without(Fence::AfterView)).shows_the_past("without the fence after the view");
}

#[test]
fn the_fence_before_the_recheck_is_needed() {
    without(Broken::Without(Fence::BeforeRecheck)).shows_the_past("without the fence before the recheck");
}

#[test]
fn the_fence_before_the_clear_is_needed() {
    without(Broken::Without(Fence::BeforeClear)).shows_the_past("without the fence before the clear");
}

#[test]
fn the_view_must_be_stored_with_release() {
    without(Broken::RelaxedView).shows_the_past("with a relaxed view");
}

#[test]
fn the_view_must_say_that_a_table_is_used_before_the_operation_is_acknowledged() {
    let story = Story::new(|_| Ok(()), |daemon| daemon.put(1));
    checksummed(story.clone()).holds("a first operation");
    checksummed(Story { broken: Broken::LateUse, ..story }).shows_the_past("with a table that is used unsaid");
}

#[test]
fn slots_must_be_stored_with_release() {
    // Of a segment's second operation: the first is also ordered by the view that says that the table is used.
    let story = Story { broken: Broken::RelaxedSlots, ..Story::new(one_put, |daemon| daemon.put(2)) };
    story.shows_a_race("with relaxed slots");
    checksummed(story).holds("with relaxed slots and checksums");
}

/// Values 1 and 2 in segment 1; its table is used again while the file is still there.
fn reuse_before_removal() -> Story {
    let before = |daemon: &mut Daemon| {
        daemon.put(1)?;
        daemon.put(2)?;
        daemon.prepare()
    };
    Story::new(before, |daemon| {
        daemon.rotate()?;
        daemon.apply()?;
        daemon.retire()?;
        daemon.prepare()?;
        daemon.rotate()?;
        daemon.put(3)?;
        daemon.remove()
    })
}

#[test]
fn the_view_must_be_looked_at_again() {
    let story = checksummed(Story { get: get_without_rechecking, ..reuse_before_removal() });
    story.shows_the_past("without looking at the view again");
}

#[test]
fn the_view_must_be_looked_at_again_before_the_operation_is_read() {
    let late = |story| Story { get: get_rechecking_late, ..story };
    late(Story::new(one_put, |daemon| daemon.put(2))).shows_a_race("looking at the view again too late");
    checksummed(late(reuse_before_removal())).holds("looking at the view again too late, with checksums");
}

#[test]
fn the_transaction_must_begin_after_the_lookup() {
    let story = Story { get: get_with_an_old_transaction, ..Story::new(one_put, reuse_of_a_table) };
    checksummed(story).shows_the_past("with an old transaction");
}

#[test]
fn a_successor_must_count_on_by_one() {
    let story = Story::new(two_segments, |daemon| {
        daemon.succeeded_by_one_that_jumps();
        Ok(())
    });
    checksummed(story).shows_the_past("with a number that jumps by two");
}
