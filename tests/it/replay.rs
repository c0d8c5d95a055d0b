//! What the policies make of traces: a real one by the program, and some that are made up.

use std::process::Command;

use datacache_daemon::eviction::Policy;
use datacache_tests::replay::{Trace, rehearse};
use serde_json::Value;

/// How far a ratio may be from what it was when it was written down.
const NEAR: f64 = 0.01;

fn replay(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_replay")).args(arguments).output().unwrap()
}

/// Replays the trace that comes with the tests, and returns what was printed.
fn multi2(arguments: &[&str]) -> Value {
    let trace = concat!(env!("CARGO_MANIFEST_DIR"), "/traces/multi2.txt.xz");
    let output = replay(&[&[trace], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_real_trace_is_hit_as_often_as_it_was() {
    for (entries, ratio) in [("56", 0.2220), ("568", 0.5123), ("1421", 0.6164)] {
        let found = multi2(&["--entries", entries]);
        let hit_ratio = found["hit_ratio"].as_f64().unwrap();
        assert!((hit_ratio - ratio).abs() < NEAR, "{found}");
        assert_eq!(hit_ratio, found["hits"].as_f64().unwrap() / 26_311.0, "{found}");
        let told = ["requests", "policy", "through", "entries"].map(|name| found[name].to_string());
        assert_eq!(told, ["26311", "\"s3-fifo\"", "\"policy\"", entries]);
    }
}

/// A part of a trace by a daemon that is not optimised: all of it takes too long beside other tests.
#[test]
fn a_daemon_hits_as_often_as_its_policy_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    let requests = zipf(1_500, 0.9, 6_000, 5).map(|id| format!("{id}\n"));
    std::fs::write(&path, requests.collect::<String>()).unwrap();
    let ratio = |through: &str| {
        let output = replay(&[path.to_str().unwrap(), "--entries", "150", "--through", through]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((told["through"].as_str(), told["requests"].as_u64()), (Some(through), Some(6_000)));
        told["hit_ratio"].as_f64().unwrap()
    };
    let (policy, daemon) = (ratio("policy"), ratio("daemon"));
    assert!((policy - daemon).abs() < NEAR, "{policy} and {daemon}");
}

#[test]
fn other_policies_are_named_as_disk_cache_names_them() {
    let fifo = multi2(&["--entries", "568", "--policy", "least-recently-stored", "--through", "policy"]);
    // First in, first out leaves nothing to choose.
    assert_eq!((fifo["policy"].as_str(), fifo["hits"].as_u64()), (Some("fifo"), Some(7_838)));
    let none = multi2(&["--entries", "568", "--policy", "none"]);
    assert!(none["hits"].as_u64() > Some(0));
}

#[test]
fn what_can_not_be_replayed_is_told() {
    let output = replay(&["/nowhere/trace", "--entries", "5"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(1), vec![]));
    assert_eq!(told, "replay: failed to read the trace /nowhere/trace: No such file or directory (os error 2)\n");
    let output = replay(&["trace", "--entries", "5", "--policy", "mru"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(told.contains("no policy is called `mru`; there are s3-fifo, lru, lfu, fifo and none"), "{told}");
}

/// Requests for `ids` things, of which the n-th is asked for in proportion to 1 / n^`skew`.
fn zipf(ids: u32, skew: f64, requests: usize, seed: u64) -> impl Iterator<Item = u32> {
    let mut sum = 0.0;
    let weights = (1..=ids).map(|rank| {
        sum += f64::from(rank).powf(-skew);
        sum
    });
    let sums: Vec<f64> = weights.collect();
    let mut random = fastrand::Rng::with_seed(seed);
    (0..requests).map(move |_| {
        let drawn = random.f64() * sum;
        sums.partition_point(|upto| *upto <= drawn) as u32
    })
}

/// Returns the hit ratios of S3-FIFO and of LRU with a hundredth, a tenth and a quarter of 10,000 entries, together.
fn against_lru(trace: &Trace) -> [f64; 2] {
    [Policy::S3Fifo, Policy::Lru].map(|policy| {
        [100, 1_000, 2_500].map(|entries| rehearse(trace, policy, entries).hit_ratio()).into_iter().sum::<f64>() / 3.0
    })
}

#[test]
fn popularity_that_stays_is_learned() {
    for (skew, gain) in [(0.8, 0.04), (1.0, 0.03)] {
        let [s3fifo, lru] = against_lru(&zipf(10_000, skew, 100_000, 1).collect());
        assert!(s3fifo > lru + gain, "zipf {skew}: {s3fifo} and {lru}");
    }
}

#[test]
fn popularity_that_moves_is_followed() {
    // Every 10,000 requests another tenth of the things is new.
    let drift = zipf(10_000, 1.0, 100_000, 2).enumerate().map(|(at, id)| (id + at as u32 / 10_000 * 1_000) % 20_000);
    let [s3fifo, lru] = against_lru(&drift.collect());
    assert!(s3fifo > lru, "{s3fifo} and {lru}");
}

#[test]
fn scans_and_loops_don_t_wash_away_what_is_popular() {
    let popular = zipf(2_000, 0.9, 60_000, 3);
    let scan = popular.zip(0..).flat_map(|(id, at)| [id, 10_000 + at / 3 * 3 % 50_000]);
    let [s3fifo, lru] = against_lru(&scan.collect());
    assert!(s3fifo > lru + 0.03, "scan: {s3fifo} and {lru}");
    let popular = zipf(2_000, 0.9, 60_000, 4);
    let looped = popular.zip(0..).flat_map(|(id, at)| [id, 10_000 + at % 3_000]);
    let [s3fifo, lru] = against_lru(&looped.collect());
    assert!(s3fifo > lru + 0.05, "loop: {s3fifo} and {lru}");
}

#[test]
fn a_loop_that_is_too_long_is_hit_by_nearly_as_much_as_there_is_room_for() {
    let trace: Trace = (0..200_000).map(|at| at % 4_000).collect();
    let ratio = rehearse(&trace, Policy::S3Fifo, 1_000).hit_ratio();
    assert!(ratio > 0.2, "{ratio}");
    assert_eq!(rehearse(&trace, Policy::Lru, 1_000).hits, 0);
}
