//! Upgrades while eight processes read and write.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use datacache_client::blocking::DataCache;
use datacache_client::{Options, Value};
use datacache_tests::churn::Crew;
use datacache_tests::wait::PATIENCE;
use rustix::process::Signal;

use crate::cases;
use crate::session::{SERVICE, SOCKET, Session, beside_us};

cases![
    ten_upgrades_fail_no_call_and_lose_nothing, //
    reads_go_on_while_the_service_is_stopped,
];

const UPGRADES: u32 = 10;
const READERS: u64 = 4;
const WRITERS: u64 = 4;

fn ten_upgrades_fail_no_call_and_lose_nothing() {
    let (session, program) = Session::with_service_of_its_own();
    let crew = begin(&session);
    for _ in 0..UPGRADES {
        let old = session.daemon();
        put_in_place(&program);
        // Ten in a few seconds are more starts than the unit allows, which is meant for a daemon that fails.
        session.systemctl(&["reset-failed", SERVICE]);
        session.systemctl(&["restart", SERVICE]);
        assert!(old.ends(PATIENCE));
        crew.assert_all_go_on();
        let runs = fs::metadata(format!("/proc/{}/exe", session.daemon().pid())).unwrap().ino();
        assert_eq!(runs, fs::metadata(&program).unwrap().ino(), "it runs the new program");
    }
    end(&session, crew);
}

fn reads_go_on_while_the_service_is_stopped() {
    let session = Session::with_service();
    let crew = begin(&session);
    crew.signal_writers(Signal::STOP);
    session.systemctl(&["stop", SOCKET, SERVICE]);
    crew.assert_readers_go_on();
    assert!(session.run(&["--no-start", "len"]).outcome().error(3).contains("no daemon"));
    session.systemctl(&["start", SOCKET]);
    crew.signal_writers(Signal::CONT);
    crew.assert_all_go_on();
    end(&session, crew);
}

fn begin(session: &Session) -> Crew {
    Crew::begin(&session.home("ledger"), READERS, WRITERS, || session.client())
}

/// Replaces the command as installers do: by another file of the same name.
fn put_in_place(program: &Path) {
    let new = program.with_extension("new");
    fs::copy(beside_us("datacache"), &new).unwrap();
    fs::rename(new, program).unwrap();
}

/// Each worker has checked all that it read and was told; this is what is left in the end.
fn end(session: &Session, crew: Crew) {
    let (done, ledger) = crew.end();
    assert!(done.reads > 0 && done.writes > 0, "{done:?}");
    let cache = DataCache::open(Options::new()).unwrap();
    ledger.assert_is_held(|key| cache.get(key).unwrap().map(Value::into_vec));
    let fallbacks: u64 = cache.stats().unwrap().reads.fallbacks.iter().map(|(_, count)| count).sum();
    assert!(fallbacks * 100 < done.reads, "{fallbacks} of {} reads by call", done.reads);
    assert_eq!(cache.verify(false).unwrap().findings, []);
    assert_eq!(session.journal("warning"), "");
}
