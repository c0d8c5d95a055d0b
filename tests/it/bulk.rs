//! The measurement of clean-ups: that it works, for few entries.

use datacache_tests::Home;
use datacache_tests::program::{PROGRAM_VARIABLE, program};
use serde_json::Value;

#[test]
fn each_clean_up_is_measured_beside_its_neighbour() {
    let home = Home::new();
    let mut bulk = home.program(env!("CARGO_BIN_EXE_bulk"));
    bulk.env(PROGRAM_VARIABLE, program()).args(["--json", "--entries=300", "--turns=20"]);
    let output = bulk.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let outcomes: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<_> = outcomes.as_array().unwrap().iter().map(|outcome| outcome["cleanup"].as_str()).collect();
    assert_eq!(names, ["clear", "evict", "expire", "blobs"].map(Some));
    for outcome in outcomes.as_array().unwrap() {
        for call in ["set", "get", "get by call"] {
            let before = &outcome["before"][call];
            assert!(before["calls"].as_u64() >= Some(20) && before["p50_ns"].as_u64() > Some(0), "{outcome:#}");
        }
        assert!(outcome["given_back_s"].is_null(), "so little is kept: {outcome:#}");
    }
}
