//! Clients that read the store themselves and clients that read by call give the same answers: what this program tests one
//! way, which is without calls unless it is told otherwise, it tests the other way too.

use std::process::{Command, Output};

use datacache_client::DIRECT_VARIABLE;
use datacache_tests::program;
use datacache_tests::reads::Way;

/// What is not run again, and why.
const LEFT_OUT: [&str; 9] = [
    // This.
    "both_ways::",
    // About the direct way alone.
    "direct::",
    // Measures both ways anyway.
    "bench::",
    // These read nothing: they speak the protocol without the client, ...
    "bad_input::",
    // ... compute hashes, ...
    "hashes::",
    // ... or look at an idle daemon for seconds.
    "idle::",
    // About files, processes and connections, whoever reads.
    "access::",
    "inheritance::",
    "load::",
];
/// There is more than this to run, so that a mistake above shows.
const AT_LEAST: usize = 120;

#[test]
fn everything_holds_the_other_way_too() {
    let listed = run(&["--list", "--format", "terse"]);
    let expected = text(&listed.stdout).lines().filter(|line| line.ends_with(": test")).count();
    assert!(expected > AT_LEAST, "{expected} tests");
    let ran = run(&[]);
    let told = text(&ran.stdout);
    assert!(ran.status.success(), "{told}{}", text(&ran.stderr));
    let summary = format!("test result: ok. {expected} passed; 0 failed; 0 ignored;");
    assert!(told.lines().any(|line| line.starts_with(&summary)), "{told}");
}

/// Runs this program for the tests that are run both ways, the other way.
fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(arguments).args(LEFT_OUT.iter().flat_map(|name| ["--skip", name]));
    command.env(DIRECT_VARIABLE, Way::of_this_run().other().to_string());
    // What this process may have built for itself.
    command.env(program::PROGRAM_VARIABLE, program::program());
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
