//! Lists of many entries: what `ls` prints first comes first, and neither it nor the daemon keeps what it has printed.

use std::io::{BufRead as _, BufReader};

use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, Watched};

use crate::support::client;

/// So many that to keep what is listed of them takes 25 MB and more.
const ENTRIES: u64 = 100_000;
/// What a process may take more of while most of them go through it (6 MiB).
const SOME: u64 = 6 << 20;

/// A hundred bytes long: no pipe takes in a page of such keys at once, and who prints them waits for who reads.
fn key(number: u64) -> String {
    format!("{number:0100}")
}

fn full_home() -> Home {
    let home = Home::new();
    let cache = home.open();
    for batch in (0..ENTRIES).step_by(5_000) {
        cache.add_many((batch..batch + 5_000).map(|number| (key(number), "v"))).run().unwrap();
    }
    home
}

/// Ten times more entries took ten times the memory where a list was put together before it was printed.
#[test]
fn the_first_line_of_a_long_list_comes_while_it_is_far_from_over_and_its_length_costs_no_memory() {
    let home = full_home();
    let daemon = home.daemon();
    for arguments in [&["ls"][..], &["ls", "--long"], &["ls", "--json"]] {
        let mut command = home.command(arguments).spawn();
        let mut lines = BufReader::new(command.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.next().unwrap().contains(&key(0)), "{arguments:?}");
        // It waits for us, a page or two ahead: what is added behind them now is still to come.
        client(&home).ask(&["add", "last", "v"]);
        let process = Watched::begin(command.id()).unwrap();
        let (own, daemons) = (process.peak_memory(), daemon.holdings().memory);
        for number in 1..ENTRIES - 5_000 {
            assert!(lines.next().unwrap().contains(&key(number)), "{arguments:?}");
        }
        // The system counts pages on each core for a while before it adds them up: either may seem to have become less.
        let own = process.peak_memory().saturating_sub(own);
        let daemons = daemon.holdings().memory.saturating_sub(daemons);
        assert!(own < SOME && daemons < SOME, "{arguments:?} took {own} bytes more, the daemon {daemons}");
        assert!(lines.last().unwrap().contains("last"), "{arguments:?}");
        assert!(process.ends(PATIENCE) && command.wait().unwrap().success());
        home.run(["delete", "last"]).number();
    }
}

#[test]
fn a_long_list_on_a_pipe_has_no_head_and_nothing_is_cut() {
    let home = Home::new();
    let tag = "a tag that is far too long for a column";
    let add =
        |arguments: &[&str]| home.command(["add", "-", "--key"].iter().chain(arguments)).input("v").outcome().text();
    add(&["k", "--tag", tag, "--expire", "never"]);
    add(&["l", "--expire", "1h"]);
    let lines = home.run(["ls", "-l"]).text();
    let [first, second] = lines.lines().collect::<Vec<_>>()[..] else { panic!("{lines}") };
    assert!(first.starts_with("     1 B ") && first.ends_with(&format!("s    never  -    {tag}  k")), "{lines}");
    let expires = second.split_whitespace().nth(3).unwrap();
    assert!(expires == "1h" || expires.starts_with("59m"), "{lines}");
    assert!(second.ends_with("  l"), "{lines}");
    assert!(home.run(["ls", "-l", "--prefix", "none"]).bytes().is_empty());
    assert_eq!(home.run(["ls", "-l", "--json"]).code(), 2);
}

#[test]
fn a_page_is_what_an_iterator_left_of_the_one_it_has_begun() {
    let home = Home::new();
    let cache = home.open();
    cache.add_many((0..5_i64).map(|key| (key, "v"))).run().unwrap();
    let mut list = cache.list().page_size(3);
    let mut keys = vec![vec![list.next().unwrap().unwrap().key.as_integer().unwrap()]];
    while let Some(page) = list.next_page().unwrap() {
        keys.push(page.iter().map(|entry| entry.key.as_integer().unwrap()).collect());
    }
    assert_eq!(keys, [vec![0], vec![1, 2], vec![3, 4]]);
    assert!(list.next().is_none());
}
