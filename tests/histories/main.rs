//! Linearizability: five processes read and write the same keys in every way there is, while the log is applied all the time and
//! the daemon is stopped and killed. What each of them saw must be explained by one order of all that was done.

use std::path::Path;
use std::sync::LazyLock;

use datacache_tests::history::{Act, Event, Recorded, Scene};

/// Recorded once, for all tests.
static RECORDED: LazyLock<Recorded> = LazyLock::new(|| {
    let scene = Scene { steps: 20_000, deaths: 2, seed: 1 };
    scene.record(Path::new(env!("CARGO_BIN_EXE_client-process")))
});

#[test]
fn what_concurrent_clients_see_is_explained_by_one_order_of_what_they_did() {
    let Recorded { histories, segments } = &*RECORDED;
    histories.check().unwrap_or_else(|wrong| panic!("{wrong}"));
    let count = |is_wanted: fn(&Event) -> bool| histories.count(is_wanted);
    let (all, unknown) = (count(|_| true), count(|event| event.ended.is_none()));
    let hits = count(|event| matches!(event.act, Act::Get { seen: Some(_) }));
    let misses = count(|event| matches!(event.act, Act::Get { seen: None }));
    let deletes = count(|event| matches!(event.act, Act::Delete { was: Some(true) }));
    let mortal = count(|event| event.act.life().is_some());
    let keys = histories.keys().count();
    println!(
        "{all} operations on {keys} keys: {hits} hits, {misses} misses, {deletes} deletions, {mortal} lives that end, {unknown} \
         of unknown outcome; {segments} segments applied"
    );
    assert!(all > 20_000 && hits > 5_000 && misses > 1_000 && deletes > 100 && mortal > 1_000 && unknown > 0);
    assert!(*segments > 20, "{segments} rotations");
}

#[test]
fn a_read_of_what_was_replaced_before_is_noticed_in_what_was_recorded() {
    let wrong = RECORDED.histories.with_stale_reads();
    assert!(wrong.len() > 100, "{} histories with room for a stale read", wrong.len());
    let unnoticed: Vec<_> = wrong.iter().filter(|history| history.are_linear()).collect();
    assert!(unnoticed.is_empty(), "stale reads are taken for good ones: {unnoticed:#?}");
}
