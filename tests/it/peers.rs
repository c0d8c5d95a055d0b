//! The comparison with the peers, where none of them is installed: what it says of them, and that all of ours is measured.

use std::fs;

use datacache_tests::Home;
use datacache_tests::program::{PROGRAM_VARIABLE, program};
use serde_json::Value;

/// Runs what takes little, and returns what it printed and its JSON.
fn compare(home: &Home) -> (String, Value) {
    let report = home.path().join("report.json");
    let mut peers = home.program(env!("CARGO_BIN_EXE_peers"));
    // Nothing is on this path.
    peers.env("PATH", home.temporary()).env(PROGRAM_VARIABLE, program());
    peers.args(["--quick", "--only=storm", "--only=mapped", "--only=burst", "--json"]).arg(&report);
    peers.arg("--dir").arg(home.temporary()).arg("--python").arg(home.path().join("python"));
    let output = peers.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}\n{printed}", String::from_utf8_lossy(&output.stderr));
    (printed, serde_json::from_slice(&fs::read(report).unwrap()).unwrap())
}

#[test]
fn peers_that_are_missing_are_named_with_what_installs_them_and_we_are_measured_all_the_same() {
    let home = Home::new();
    let (printed, report) = compare(&home);
    for install in ["apt-get install redis-server", "apt-get install memcached", "apt-get install python3-venv"] {
        assert!(printed.lines().any(|line| line.starts_with("missing: ") && line.contains(install)), "{printed}");
    }
    let rows = report["rows"].as_array().unwrap();
    let names: Vec<_> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["burst", "storm get", "storm set", "storm delete", "storm lost", "mapped", "mapped"]);
    for row in rows {
        let ours = &row["measurements"][0];
        assert_eq!(ours["who"], "datacache", "{row}");
        assert!(ours["amounts"].as_object().is_some_and(|amounts| !amounts.is_empty()), "{row}");
    }
    let lost = rows.iter().find(|row| row["name"] == "storm lost").unwrap();
    assert_eq!(lost["measurements"][0]["amounts"]["lost count"], 0.0, "{lost}");
    assert_eq!(lost["goals"][0]["reached"], true, "{lost}");
    let against_redis = &rows[0]["goals"][0];
    assert_eq!((&against_redis["found"], &against_redis["reached"]), (&Value::Null, &Value::Bool(false)));
}

#[test]
fn nothing_is_left_of_a_comparison() {
    let home = Home::new();
    compare(&home);
    let left: Vec<_> = fs::read_dir(home.temporary()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(home.processes().is_empty());
}
