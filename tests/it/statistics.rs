//! Statistics of real traffic: counted exactly where that can be, and told as people, programs and Prometheus want them.

use std::io::ErrorKind;
use std::process::Command;
use std::time::Duration;

use datacache_client::{CallLatencies, Expire, Latency, NamespaceStats, Stats, Timestamp};
use datacache_tests::reads::Way;
use datacache_tests::run::Run;
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, eventually};

use crate::support::client;

fn namespace(stats: &Stats, name: &str) -> NamespaceStats {
    stats.namespaces.iter().find(|row| row.name == name).cloned().unwrap_or_default()
}

#[test]
fn what_several_processes_do_is_counted_to_the_last_entry() {
    let home = Home::new();
    let cache = home.open();
    let mut other = client(&home);
    for number in 0..20_i64 {
        cache.set(number, "v").unwrap();
    }
    other.ask(&["add-many", "other/", "0", "30"]);
    cache.add_many((0..100).map(|number| (format!("batch/{number}"), "v"))).run().unwrap();
    cache
        .add_many((0..5).map(|number| (format!("short/{number}"), "v")))
        .expire(Expire::After(Duration::from_millis(200)))
        .run()
        .unwrap();
    cache.namespace("elsewhere").set("k", "v").unwrap();
    assert!(cache.delete(0).unwrap() && !cache.delete("missing").unwrap());
    assert_eq!(cache.delete_many(["batch/1", "batch/2", "missing"]).unwrap(), 2);
    for number in 1..8_i64 {
        assert!(cache.get(number).unwrap().is_some());
    }
    for number in 100..103_i64 {
        assert!(cache.get(number).unwrap().is_none());
    }
    assert_eq!(other.ask(&["get", "other/7"]), "value 7");
    assert_eq!(cache.get_many(["batch/3", "batch/4", "missing"]).unwrap().into_iter().flatten().count(), 2);
    eventually("the short ones are removed", PATIENCE, || namespace(&cache.stats().unwrap(), "default").expired == 5);

    let stats = cache.stats().unwrap();
    let row = namespace(&stats, "default");
    assert_eq!((row.adds, row.deletes, row.expired, row.evicted), (155, 3, 5, 0), "{row:?}");
    assert_eq!(row.entries, 147, "{row:?}");
    let (direct, by_call) = ((row.direct_hits, row.direct_misses), (row.hits, row.misses));
    let [tested, not_tested] = match Way::of_this_run() {
        Way::Direct => [direct, by_call],
        Way::Call => [by_call, direct],
    };
    assert_eq!((tested, not_tested), ((10, 4), (0, 0)), "{row:?}");
    assert_eq!(namespace(&stats, "elsewhere").adds, 1);
}

#[test]
fn frames_are_measured_with_what_is_in_them_and_calls_by_their_class() {
    let home = Home::new();
    let cache = home.open();
    cache.set("first", "of the namespace").unwrap();
    let before = cache.stats().unwrap();
    for number in 0..20_i64 {
        cache.set(number, "v").unwrap();
    }
    cache.add("v").key("durable").durable().run().unwrap();
    cache.add_many((0..1_000).map(|number| (format!("k{number}"), "v"))).run().unwrap();
    (0..9_i64).for_each(|number| drop(cache.get(number).unwrap()));
    let after = cache.stats().unwrap();

    let frames = &after.frames;
    assert_eq!(after.daemon.frames - before.daemon.frames, 22);
    assert_eq!(frames.batches.sum - before.frames.batches.sum, 22, "each call waited for the one before");
    assert!(frames.operations.max >= 1_000 && frames.operations.p50 <= 3, "{frames:?}");
    for stats in [&before, &after] {
        let told = (stats.frames.operations.count, stats.frames.operations.sum, stats.frames.batches.count);
        assert_eq!(told, (stats.daemon.frames, stats.daemon.operations, stats.daemon.frames));
        assert_eq!(stats.latency.frames.count, stats.daemon.frames);
        assert_eq!(stats.latency.waits.count, stats.daemon.waits);
    }
    let bytes = after.daemon.log_bytes - before.daemon.log_bytes;
    assert!((20_000..2_000_000).contains(&bytes), "{bytes}");

    let calls = after.latency.calls;
    let between = |class: fn(&CallLatencies) -> &Latency| class(&calls).since(class(&before.latency.calls));
    let writes = between(|calls| &calls.writes);
    assert_eq!((writes.count, between(|calls| &calls.durable_writes).count), (21, 1));
    assert_eq!(between(|calls| &calls.looks).count, 1, "the statistics before");
    let reads = if Way::of_this_run() == Way::Call { 9 } else { 0 };
    assert_eq!(between(|calls| &calls.reads).count, reads);
    let upper = Duration::from_millis(after.daemon.uptime_ms + 1).as_nanos();
    assert!(writes.sum_ns > 0 && u128::from(writes.sum_ns) < upper, "{writes:?}");
    let Latency { p50_ns, p90_ns, p99_ns, p999_ns, max_ns, .. } = calls.writes;
    assert!(p50_ns > 0 && [p50_ns, p90_ns, p99_ns, p999_ns, max_ns].is_sorted(), "{:?}", calls.writes);
}

#[test]
fn transactions_are_measured_and_the_moments_tell_rates() {
    let home = Home::new();
    let begun = Timestamp::now();
    let cache = home.open();
    cache.set("k", "v").unwrap();
    assert_eq!(cache.list().count(), 1, "a list has the log applied");
    let first = cache.stats().unwrap();
    let transactions = &first.latency.transactions;
    assert!(transactions.count >= 1 && transactions.p50_ns > 0, "{transactions:?}");
    assert!(first.daemon.started >= begun && first.daemon.started <= first.taken, "{:?}", first.daemon);
    assert!(u128::from(first.daemon.uptime_ms) <= Timestamp::now().since(begun).as_millis() + 1, "{:?}", first.daemon);
    assert!(first.readers.places >= 1 && first.readers.processes <= first.readers.places, "{:?}", first.readers);
    assert_eq!(first.readers.places, first.store.readers);
    let daemon = home.daemon();
    daemon.kill();
    home.start();
    let second = cache.stats().unwrap();
    assert!(second.daemon.started > first.daemon.started, "another daemon says so");
}

#[test]
fn the_oldest_entry_is_told_in_the_log_and_in_the_index_and_the_next_one_after_it() {
    let home = Home::new();
    let cache = home.open();
    let oldest = || namespace(&cache.stats().unwrap(), "default").oldest;
    let created = |key: &str| Some(cache.stat(key).unwrap().unwrap().created);
    cache.set("a", "1").unwrap();
    assert!(oldest().is_none_or(|oldest| Some(oldest) <= created("a")), "never too late");
    eventually("it is found in the log", PATIENCE, || oldest() == created("a"));
    cache.set("b", "2").unwrap();
    cache.add("3").key("c").expire(Expire::After(Duration::from_secs(600))).run().unwrap();
    assert_eq!(cache.list().count(), 3, "a list has the log applied");
    eventually("it is found in the index", PATIENCE, || oldest() == created("a"));
    assert!(cache.touch("a", Expire::Never).unwrap());
    assert_eq!(oldest(), created("a"));
    cache.set("a", "anew").unwrap();
    assert!(oldest() <= created("b"), "never too late");
    eventually("the next one is found", PATIENCE, || oldest() == created("b"));
    assert!(cache.delete("b").unwrap());
    eventually("the one after that is found", PATIENCE, || oldest() == created("c"));
    assert_eq!(cache.clear().unwrap(), 2);
    assert_eq!(oldest(), None);
}

#[test]
fn a_table_has_a_line_for_each_of_several_namespaces_and_eighty_columns() {
    let home = Home::new();
    let cache = home.open();
    let long = "a name that is much longer than what a line of a table has room for ".repeat(2);
    for name in ["one", "two", &long] {
        cache.namespace(name).set("k", "v").unwrap();
    }
    let page = home.run(["stats"]).text();
    let table: Vec<_> = page.lines().take_while(|line| !line.is_empty()).collect();
    assert!(table.len() == 4 && table[0].starts_with("namespaces"), "{page}");
    assert!(table[1].contains('…') && table[2].starts_with("  one  ") && table[3].starts_with("  two  "), "{page}");
    for line in page.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(page.contains("\nlatency") && page.contains("\n  writes"), "{page}");
}

/// Debian's package `prometheus` has the program.
#[test]
fn prometheus_own_checker_finds_nothing_to_complain_about() {
    if let Err(error) = Command::new("promtool").arg("--version").output() {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        return eprintln!(
            "skipped: the check of `stats --prometheus`: there is no promtool, which is in the package prometheus"
        );
    }
    let home = Home::new();
    home.configure(
        "limit = \"1 GiB\"\nlimit_entries = 5000\n[namespaces.\"größer\"]\nlimit = \"1 MiB\"\nlimit_entries = 5\n",
    );
    let cache = home.open();
    for name in ["default", "a \"quoted\" \\ name", "größer"] {
        let cache = cache.namespace(name);
        cache.set("k", "v").unwrap();
        cache.get("k").unwrap();
    }
    assert_eq!(cache.list().count(), 1);
    let exposition = home.run(["stats", "--prometheus"]).text();
    let mut checker = Command::new("promtool");
    checker.args(["check", "metrics"]);
    let outcome = Run::new(checker).input(exposition.clone() + "\n").outcome();
    assert!(
        outcome.code() == 0 && outcome.told().is_empty() && outcome.printed().is_empty(),
        "{}{exposition}",
        outcome.told()
    );
}
