//! Measures what a clean-up does to its neighbours: how long somebody else's calls take while a million entries go, and when the
//! filesystem has their space again.
//!
//! `cargo run --release --package datacache-tests --bin bulk`
//!
//! | part | what it is |
//! | --- | --- |
//! | [`arguments`] | what was asked for |
//! | [`cleanup`] | the ways to remove many entries, and what is there before |
//! | [`neighbour`] | who goes on meanwhile, and how long it waits |
//! | [`disk`] | when the space is given back |
//! | [`outcome`] | what was measured, and how it is told |

#![expect(clippy::unwrap_used, reason = "it is run by hand, by those who can read why it failed")]

mod arguments;
mod cleanup;
mod disk;
mod neighbour;
mod outcome;

use std::time::{Duration, Instant};

use clap::Parser as _;
use datacache_tests::Home;
use datacache_tests::disk::bytes_below;

use crate::arguments::Arguments;
use crate::cleanup::Cleanup;
use crate::neighbour::Neighbour;
use crate::outcome::Outcome;

fn main() {
    let arguments = Arguments::parse();
    let chosen = if arguments.cleanups.is_empty() { &Cleanup::ALL[..] } else { &arguments.cleanups };
    let mut outcomes = Vec::new();
    for cleanup in chosen {
        let outcome = measure(*cleanup, arguments.entries.unwrap_or(cleanup.entries()), arguments.turns);
        if !arguments.json {
            outcome.print();
        }
        outcomes.push(outcome.json());
    }
    if arguments.json {
        println!("{:#}", serde_json::Value::from(outcomes));
    }
}

/// Fills a store of its own, and measures a neighbour before and while it is emptied.
fn measure(cleanup: Cleanup, entries: i64, turns: u64) -> Outcome {
    let mut span = cleanup::expected_span(entries, turns);
    loop {
        if let Some(outcome) = measure_within(cleanup, entries, turns, span) {
            return outcome;
        }
        eprintln!("the entries ended while this machine was not yet ready: once more, with twice as much time");
        span *= 2;
    }
}

/// The same where entries that are to end do so after that time; `None` where it was too short.
fn measure_within(cleanup: Cleanup, entries: i64, turns: u64, span: Duration) -> Option<Outcome> {
    let home = Home::new();
    home.configure(cleanup.configuration());
    let cache = home.open();
    let filled = cleanup.fill(&cache, entries, span);
    disk::settle(&cache);
    let full = bytes_below(&home.store());
    let neighbour = Neighbour::begin(&home);
    neighbour.wait(turns);
    if filled.is_over() {
        neighbour.end();
        return None;
    }
    filled.wait();
    neighbour.turn();
    let begun = Instant::now();
    cleanup.run(&cache, &home.store());
    let took = begun.elapsed();
    let [before, during] = neighbour.end();
    let emptied = bytes_below(&home.store());
    assert_eq!(cache.len().unwrap(), 0, "all of them are gone");
    let (left, given_back) = disk::wait_until_given_back(&home.store(), &cache);
    Some(Outcome { cleanup, entries, before, during, took, bytes: [full, emptied, left], given_back })
}
