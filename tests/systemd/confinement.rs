//! What the unit takes from the daemon, seen from inside: many directives are ignored by a user manager without a word, so that
//! the unit has one proves nothing.

use std::fs;
use std::process::Command;

use datacache_tests::wait::PATIENCE;
use datacache_tests::{Run, eventually};

use crate::session::{SERVICE, Session, beside_us};
use crate::{PROBE, cases};

/// The unit that runs the daemon.
pub(crate) const SERVICE_TEXT: &str = include_str!("../../systemd/datacache.service");

cases![
    every_directive_that_takes_a_right_away_is_enforced,
    all_directives_hold_together,
    the_daemon_is_confined,
    a_bound_value_goes_with_its_process,
    a_bound_value_outlives_a_restart_of_the_daemon,
];

/// Directives that say how the service runs, and take nothing away.
const PLAIN: [&str; 6] = ["Type", "ExecStart", "ExecReload", "Restart", "WatchdogSec", "TimeoutStartSec"];
/// How an error that a directive decides about is told.
const EPERM: &str = "error 1";
const EAFNOSUPPORT: &str = "error 97";
/// A process that a filter of system calls has killed tells nothing.
const KILLED: &str = "";

/// What a probe sees where a directive is in force.
struct Expectation {
    /// The probe.
    probe: &'static str,
    /// What it sees then, and not without the directive.
    seen: &'static str,
}

const fn expect(probe: &'static str, seen: &'static str) -> Expectation {
    Expectation { probe, seen }
}

/// Returns the lines of the unit that take rights away.
fn directives() -> Vec<&'static str> {
    let service = SERVICE_TEXT.split_once("[Service]").expect("it is a service").1;
    let lines = service.lines().filter(|line| line.contains('=') && !line.starts_with('#'));
    lines.filter(|line| !PLAIN.contains(&name(line))).collect()
}

fn name(line: &str) -> &str {
    line.split_once('=').expect("only such lines come here").0
}

/// Returns how it can be told that a line is in force.
fn expectations(line: &str) -> Vec<Expectation> {
    match line {
        "NoNewPrivileges=yes" => vec![expect("NoNewPrivileges", "1")],
        "UMask=0077" => vec![expect("UMask", "0077")],
        "LimitCORE=0" => vec![expect("LimitCORE", "Some(0)")],
        "RestrictAddressFamilies=AF_UNIX" => vec![expect("RestrictAddressFamilies", EAFNOSUPPORT)],
        "RestrictNamespaces=yes" => vec![expect("RestrictNamespaces", EPERM)],
        "RestrictRealtime=yes" => vec![expect("RestrictRealtime", EPERM)],
        "RestrictSUIDSGID=yes" => vec![expect("RestrictSUIDSGID", EPERM)],
        "LockPersonality=yes" => vec![expect("LockPersonality", EPERM)],
        "MemoryDenyWriteExecute=yes" => vec![expect("MemoryDenyWriteExecute", EPERM)],
        // Only there the kernel has other architectures that a probe of this one can call.
        "SystemCallArchitectures=native" if cfg!(target_arch = "x86_64") => {
            vec![expect("SystemCallArchitectures", KILLED)]
        }
        "SystemCallArchitectures=native" => vec![],
        "SystemCallFilter=@system-service" => vec![expect("@system-service", KILLED)],
        "SystemCallFilter=~@privileged @resources" => {
            vec![expect("~@privileged", KILLED), expect("~@resources", KILLED)]
        }
        "SystemCallErrorNumber=EPERM" => vec![],
        _ => panic!("nobody has shown that a user manager enforces {line}"),
    }
}

/// Runs a probe as a service with these lines, and returns what it saw.
fn observe(lines: &[&str], probe: &str) -> String {
    let mut command = Command::new("systemd-run");
    command.args(["--user", "--quiet", "--wait", "--pipe", "--collect"]);
    command.args(lines.iter().map(|line| format!("--property={line}")));
    command.arg(beside_us("systemd")).args([PROBE, probe]);
    let outcome = Run::new(command).outcome();
    String::from_utf8(outcome.printed().to_owned()).unwrap().trim().to_owned()
}

fn every_directive_that_takes_a_right_away_is_enforced() {
    let directives = directives();
    assert!(directives.len() > 10, "{directives:?}");
    for line in directives {
        for Expectation { probe, seen } in expectations(line) {
            assert_ne!(observe(&[], probe), seen, "{probe} without {line}");
            assert_eq!(observe(&[line], probe), seen, "{probe} with {line}");
        }
    }
}

/// With all of them, a call that is filtered out fails instead of ending the process.
fn all_directives_hold_together() {
    let directives = directives();
    for line in &directives {
        for Expectation { probe, seen } in expectations(line) {
            let is_filter = name(line) == "SystemCallFilter";
            assert_eq!(observe(&directives, probe), if is_filter { EPERM } else { seen }, "{probe} with {line}");
        }
    }
}

fn the_daemon_is_confined() {
    let session = Session::with_service();
    session.add("key", "a value");
    let pid = session.daemon().pid();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for line in ["NoNewPrivs:\t1", "Umask:\t0077", "Seccomp:\t2"] {
        assert!(status.lines().any(|found| found == line), "{line} is not in {status}");
    }
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>(), ["0", "0", "bytes"]);
    assert_eq!(session.journal("warning"), "", "nothing that the daemon wanted was refused");
    assert_eq!(session.systemctl(&["show", "--value", "--property=DropInPaths", SERVICE]), "");
}

fn a_bound_value_goes_with_its_process() {
    let session = Session::with_service();
    let mut client = session.client();
    client.ask(&["bind", "key", "a value"]);
    assert_eq!(session.get("key"), "a value");
    client.kill();
    eventually("the value goes", PATIENCE, || session.served(&["contains", "key"]).outcome().code() == 1);
}

fn a_bound_value_outlives_a_restart_of_the_daemon() {
    let session = Session::with_service();
    let mut client = session.client();
    client.ask(&["bind", "key", "a value"]);
    session.systemctl(&["restart", SERVICE]);
    assert_eq!(client.ask(&["get", "key"]), "a value");
    client.kill();
    eventually("the value goes", PATIENCE, || session.served(&["contains", "key"]).outcome().code() == 1);
}
