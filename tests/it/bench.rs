//! The benchmark: its figures as far as they can't be otherwise, and that it leaves nothing behind.

use std::io::Read as _;

use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, Watched, eventually};
use rustix::process::Signal;
use serde_json::Value;

const ROWS: [&str; 7] = ["get", "get_recent", "get_rpc", "set", "delete", "get_large", "set_large"];
const FLOOR: [&str; 3] = ["lmdb_get", "socket_ping", "socket_ping_polled"];
/// Few, so that it takes no time.
const SMALL: [&str; 5] = ["bench", "--json", "--entries=300", "--value-size=20", "--ops=200"];

fn report(home: &Home, more: &[&str]) -> Value {
    home.run(SMALL.iter().chain(more)).json()
}

/// What every row has to be, whatever the machine.
fn assert_plausible(name: &str, row: &Value) {
    let figure = |figure: &str| row[figure].as_f64().unwrap_or_else(|| panic!("{name} has no {figure}: {row}"));
    let [p50, p90, p99] = ["p50_us", "p90_us", "p99_us"].map(figure);
    assert!(0.0 < p50 && p50 <= p90 && p90 <= p99, "{name}: {row}");
    assert!(figure("per_s") > 0.0, "{name}: {row}");
    assert_eq!(row.as_object().unwrap().len(), 4, "{name}: {row}");
}

fn assert_all_plausible(report: &Value) {
    ROWS.iter().for_each(|row| assert_plausible(row, &report[row]));
    FLOOR.iter().for_each(|row| assert_plausible(row, &report["floor"][row]));
    assert_eq!(report["floor"].as_object().unwrap().len(), FLOOR.len());
    assert!(report["clock_ns"].as_u64().is_some(), "{report}");
}

/// Names and entries of the namespaces that there are.
fn namespaces(home: &Home) -> Vec<(String, u64)> {
    let stats = home.run(["stats", "--json"]).json();
    let row = |row: &Value| Some((row["name"].as_str()?.to_owned(), row["entries"].as_u64()?));
    stats["namespaces"].as_array().unwrap().iter().map(|namespace| row(namespace).unwrap()).collect()
}

fn assert_nothing_is_left(home: &Home) {
    assert!(namespaces(home).iter().all(|(_, entries)| *entries == 0), "{:?}", namespaces(home));
    let left: Vec<_> = std::fs::read_dir(home.temporary()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn every_row_is_told_with_plausible_figures_and_the_namespace_is_empty_afterwards() {
    let home = Home::new();
    let report = report(&home, &[]);
    assert_all_plausible(&report);
    assert_eq!((report["entries"].as_u64(), report["ops"].as_u64()), (Some(300), Some(200)));
    assert_eq!(report["direct"], true, "nothing stands between this process and the store");
    assert_eq!((report["value_size"].as_u64(), report["processes"].as_u64()), (Some(20), Some(1)));
    assert_nothing_is_left(&home);
}

#[test]
fn several_processes_measure_the_same_rows() {
    let home = Home::new();
    let report = report(&home, &["--processes=2"]);
    assert_all_plausible(&report);
    assert_eq!(report["processes"].as_u64(), Some(2));
    assert_nothing_is_left(&home);
    let daemons = home.daemons().len();
    assert_eq!((home.processes().len(), daemons), (daemons, 1), "a process that worked is left");
}

#[test]
fn people_get_a_table_with_every_row() {
    let home = Home::new();
    let table = home.run(SMALL.iter().filter(|argument| **argument != "--json")).text();
    for name in ROWS.iter().chain(&FLOOR) {
        assert!(table.lines().any(|line| line.starts_with(&format!("{name} "))), "{name}: {table}");
    }
    assert!(table.contains(" times lmdb_get\n") && table.contains(" times socket_ping_polled\n"), "{table}");
}

#[test]
fn the_entries_of_others_are_left_alone_even_in_a_namespace_of_that_name() {
    let home = Home::new();
    home.command(["add", "-", "--key=k", "--namespace=bench-1"]).input("v").outcome().text();
    report(&home, &[]);
    assert_eq!(home.run(["get", "k", "--namespace=bench-1"]).text(), "v");
    let mut others = namespaces(&home);
    others.retain(|(name, _)| name.starts_with("bench-"));
    assert_eq!(others, [("bench-1".to_owned(), 1), ("bench-2".to_owned(), 0)]);
}

#[test]
fn a_second_run_needs_no_second_namespace() {
    let home = Home::new();
    report(&home, &[]);
    report(&home, &[]);
    let names: Vec<_> = namespaces(&home).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.iter().filter(|name| name.starts_with("bench-")).count(), 1, "{names:?}");
}

#[test]
fn an_interrupted_run_ends_as_the_signal_wants_and_leaves_nothing() {
    for arguments in [&["bench", "--entries=100000000"][..], &["bench", "--ops=100000000", "--processes=2"]] {
        let home = Home::new();
        // What it may come to is more than the disk has.
        home.configure("limit = \"none\"\nreserve = 0");
        home.start();
        let mut child = home.command(arguments).spawn();
        let watched = Watched::begin(child.id()).unwrap();
        let has_begun = || namespaces(&home).iter().any(|(name, entries)| name.starts_with("bench-") && *entries > 0);
        eventually("the run has entries", PATIENCE, has_begun);
        watched.signal(Signal::INT);
        assert!(watched.ends(PATIENCE), "{arguments:?} goes on");
        let mut printed = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut printed).unwrap();
        let status = child.wait().unwrap();
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        assert_eq!((signal, printed.len()), (Some(Signal::INT.as_raw()), 0), "{arguments:?}: {status}");
        assert_nothing_is_left(&home);
        assert_eq!(home.processes().len(), 1, "{arguments:?} left a process besides the daemon");
    }
}

#[test]
fn nothing_is_evicted_for_a_measurement() {
    let home = Home::new();
    home.configure("limit = \"16 MiB\"");
    let cache = home.open();
    cache.set("key", "value").unwrap();
    let outcome = home.run(["bench"]);
    let told = outcome.error(4);
    assert!(told.contains("without evicting") && told.contains("raise the limit"), "{told}");
    assert_eq!(cache.get_as::<String>("key").unwrap().as_deref(), Some("value"));
    assert!(namespaces(&home).iter().all(|(_, entries)| *entries <= 1));
}

#[test]
fn what_can_not_be_measured_is_refused() {
    let home = Home::new();
    for wrong in ["--entries=0", "--entries=many", "--ops=0", "--processes=0", "--processes=1000", "--value-size=-1"] {
        home.run(["bench", wrong]).error(2);
    }
    assert_eq!(home.run(["bench", "--no-start"]).error(3).lines().count(), 1);
    assert!(home.processes().is_empty());
}
