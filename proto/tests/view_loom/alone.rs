//! A model in a process of its own.

use std::env;
use std::process::Command;
use std::thread;

/// Set in the process that a model has to itself.
const ALONE: &str = "DATACACHE_MODEL_ALONE";

/// Runs the test that calls this in a process of its own, and fails if it fails there.
///
/// For every execution loom maps a stack for each thread and unmaps it again, and threads of one process wait for each other with
/// that: two models that run for long beside each other take half as long again.
pub(crate) fn alone(model: impl FnOnce()) {
    if env::var_os(ALONE).is_some() {
        return model();
    }
    let thread = thread::current();
    let name = thread.name().expect("the thread of a test has its name");
    let mut test = Command::new(env::current_exe().expect("this program has a path"));
    test.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(ALONE, "yes");
    let ran = test.output().expect("this program runs, so it can be run");
    let told = String::from_utf8_lossy(&ran.stdout);
    println!("{told}");
    let passed = ran.status.success() && told.contains("test result: ok. 1 passed;");
    assert!(passed, "{name} in a process of its own: {}", String::from_utf8_lossy(&ran.stderr));
}
