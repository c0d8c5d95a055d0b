//! The daemon dies, at any moment and at each instant that has a name (`store::failpoint`), while four clients write and two upload:
//! every acknowledged write is there after the restart, nothing half-done is, and nothing is left behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use datacache_tests::Home;
use datacache_tests::kills::instant::{ENDING, MAKING, ORPHANED, SHARING, STARTING, VARIABLE, WORKING};
use datacache_tests::kills::{Campaign, Death, Instant};
use datacache_tests::program::{mortal_program, program};
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

#[test]
fn no_instant_is_left_out() {
    let known: BTreeSet<String> = Instant::names(&Home::new()).into_iter().collect();
    let named = [MAKING, SHARING, STARTING, ORPHANED, WORKING, ENDING].concat();
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
