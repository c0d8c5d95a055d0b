//! The command with a daemon: what every verb prints, its exit status, and the shapes of `--json`. What it does without a
//! daemon is tested beside it.

use std::io::Read as _;

use datacache_proto::PROTOCOL;
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, Watched};
use serde_json::{Value, json};

use crate::support::noise;

fn add(home: &Home, key: &str, arguments: &[&str], input: impl Into<Vec<u8>>) {
    let added = home.command(["add", "-", "--key", key].iter().chain(arguments)).input(input).outcome();
    assert_eq!(added.text(), key.replace('\n', "\\n"));
}

/// The names of a JSON object, in the order in which they were printed.
fn names(line: &str) -> Vec<String> {
    let object: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
    let mut names: Vec<_> = object.keys().cloned().collect();
    names.sort_by_key(|name| line.find(&format!("\"{name}\":")));
    names
}

#[test]
fn adding_prints_the_key_from_files_and_from_standard_input() {
    let home = Home::new();
    let file = home.file("hello", "hello");
    let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    assert_eq!(home.run(["add".as_ref(), file.as_os_str()]).bytes(), format!("{hash}\n").as_bytes());
    assert_eq!(home.command(["add", "-"]).input("hello").outcome().text(), hash);
    assert_eq!(home.command(["add"]).input("hello").outcome().text(), hash);
    assert_eq!(home.run(["add", "home/hello", "--key", "k", "--durable"]).text(), "k", "relative to where it runs");
    assert_eq!(home.run(["len"]).number(), 2);
}

#[test]
fn a_value_is_written_to_stdout_or_into_a_file_that_appears_whole() {
    let home = Home::new();
    let value = noise(1, 300_000);
    add(&home, "k", &[], value.clone());
    assert!(home.run(["get", "k"]).bytes() == value);
    let target = home.file("target", "old");
    let outcome = home.run(["get", "k", "-o", target.to_str().unwrap()]);
    assert!(outcome.bytes().is_empty());
    assert!(std::fs::read(&target).unwrap() == value);
    let missing = home.path().join("missing");
    let outcome = home.run(["get", "nothing", "-o", missing.to_str().unwrap()]);
    assert!(outcome.error(1).contains("no entry has the key `nothing`"), "{outcome:?}");
    assert!(!missing.exists());
    let outcome = home.run(["get", "k", "-o", "/no/such/folder/f"]);
    assert_eq!(outcome.error(4), "can't write `/no/such/folder/f`: No such file or directory (os error 2)");
}

#[test]
fn a_reader_that_has_gone_ends_a_get_without_a_word() {
    let home = Home::new();
    add(&home, "k", &[], noise(1, 2 << 20));
    let mut child = home.command(["get", "k"]).spawn();
    drop(child.stdin.take());
    // One byte is read, so it has begun to write; then nobody reads any more.
    child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
    assert!(Watched::begin(child.id()).unwrap().ends(PATIENCE));
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.len()), (Some(0), 0), "{ended:?}");
}

#[test]
fn contains_is_yes_only_if_all_keys_are_there() {
    let home = Home::new();
    add(&home, "a", &[], "v");
    add(&home, "b", &[], "v");
    for (keys, code) in [(&["a", "b"][..], 0), (&["a", "c"], 1), (&["c"], 1)] {
        let outcome = home.run(["contains"].iter().chain(keys));
        assert_eq!((outcome.code(), outcome.printed(), outcome.told()), (code, &b""[..], ""), "{keys:?}");
    }
    assert_eq!(home.run(["contains"]).code(), 2);
}

#[test]
fn deleting_evicting_expiring_and_clearing_print_how_many_went() {
    let home = Home::new();
    for (key, tag) in [("a", "t"), ("b", "t"), ("c", "u"), ("d", "u"), ("e", "u")] {
        add(&home, key, &["--tag", tag], "v");
    }
    let ended = |arguments: &[&str]| {
        let outcome = home.run(arguments);
        (outcome.code(), String::from_utf8(outcome.printed().to_vec()).unwrap())
    };
    assert_eq!(ended(&["delete", "a", "missing"]), (0, "1\n".into()));
    assert_eq!(ended(&["delete", "a", "missing"]), (1, "0\n".into()));
    assert_eq!(ended(&["evict", "t"]), (0, "1\n".into()));
    assert_eq!(ended(&["evict", "t"]), (1, "0\n".into()));
    assert_eq!(ended(&["expire"]), (0, "0\n".into()));
    assert_eq!(ended(&["len"]), (0, "3\n".into()));
    assert_eq!(ended(&["clear"]), (0, "3\n".into()));
    assert_eq!(ended(&["len"]), (0, "0\n".into()));
}

#[test]
fn a_list_prints_keys_or_objects_a_line_each() {
    let home = Home::new();
    add(&home, "text", &["--text", "--tag", "b", "--tag", "a", "--expire", "never"], "grün");
    add(&home, "two\nlines", &["--expire", "1h"], "v");
    let lines = home.run(["ls"]).text();
    assert_eq!(lines.lines().collect::<Vec<_>>(), ["text", "two\\nlines"]);
    let lines = home.run(["ls", "--json"]).text();
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(names(lines[0]), ["key", "size", "tags", "created", "expires", "codec", "pinned"]);
    let [first, second]: [Value; 2] = [lines[0], lines[1]].map(|line| serde_json::from_str(line).unwrap());
    assert_eq!(
        (&first["key"], &first["size"], &first["tags"], &first["expires"], &first["codec"]),
        (&json!("text"), &json!(5), &json!(["a", "b"]), &Value::Null, &json!("text"))
    );
    assert!(first["created"].as_str().unwrap().ends_with('Z'));
    assert_eq!((&second["key"], &second["codec"]), (&json!("two\nlines"), &json!("bytes")));
    assert!(second["expires"].as_str() > second["created"].as_str());
    assert_eq!(home.run(["ls", "--prefix", "te", "--tag", "a"]).text(), "text");
    assert_eq!(home.run(["ls", "--prefix", "none"]).bytes(), b"");
}

#[test]
fn a_key_of_another_kind_is_exact_in_json() {
    let home = Home::new();
    let cache = home.open();
    cache.set(b"\x00\xff", "v").unwrap();
    cache.set(-3, "v").unwrap();
    let lines = home.run(["ls", "--json"]).text();
    let keys: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["key"].take()).collect();
    assert_eq!(keys, [json!({"hex": "00ff"}), json!(-3)]);
    assert_eq!(home.run(["ls"]).text(), "0x00ff\n-3");
}

#[test]
fn an_entry_is_described_for_people_and_for_programs() {
    let home = Home::new();
    add(&home, "k", &["--tag", "t", "--expire", "90s"], noise(1, 100_000));
    let line = home.run(["stat", "k", "--json"]).text();
    let listed = ["key", "size", "tags", "created", "expires", "codec", "pinned"];
    assert_eq!(names(&line), [&listed[..], &["version", "bound", "sha256"]].concat());
    let told: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&told["size"], &told["bound"]), (&json!(100_000), &json!(false)));
    assert_eq!(told["sha256"].as_str().unwrap().len(), 64);
    let page = home.run(["stat", "k"]).text();
    assert!(page.contains("97.66 KiB") && page.contains("bytes"), "{page}");
    assert!(home.run(["stat", "missing", "--json"]).error(1).contains("missing"));
}

#[test]
fn touching_gives_a_new_expiry_and_prints_nothing() {
    let home = Home::new();
    add(&home, "k", &[], "v");
    assert_eq!(home.run(["touch", "k", "--expire", "never"]).bytes(), b"");
    assert_eq!(home.run(["stat", "k", "--json"]).json()["expires"], Value::Null);
    assert_eq!(home.run(["touch", "k", "--expire", "12h"]).bytes(), b"");
    assert!(home.run(["stat", "k", "--json"]).json()["expires"].is_string());
    assert_eq!(home.run(["touch", "missing", "--expire", "1h"]).code(), 1);
    assert_eq!(home.run(["touch", "k"]).code(), 2);
}

#[test]
fn statistics_come_for_people_for_programs_and_for_prometheus() {
    let home = Home::new();
    add(&home, "k", &["--namespace", "a \"quoted\" name"], "four");
    let told = home.run(["stats", "--json"]).json();
    assert_eq!(told["namespaces"][0]["entries"], 1);
    assert_eq!(told["daemon"]["connections"], 1);
    assert!(told["namespaces"][0]["direct_hits"].is_u64() && told["reads"]["direct_misses"].is_u64(), "{told}");
    assert!(told["reads"]["fallbacks"].is_object(), "{told}");
    for name in ["index_bytes", "unapplied_operations", "blobs", "blob_bytes", "leases"] {
        assert!(told["store"][name].is_u64(), "{told}");
    }
    let page = home.run(["stats"]).text();
    assert!(page.contains("namespace a \"quoted\" name\n") && page.contains("\nstore\n"), "{page}");
    let exposition = home.run(["stats", "--prometheus"]).text();
    let sample = r#"datacache_namespace_bytes{namespace="a \"quoted\" name"} 4"#;
    assert!(exposition.lines().any(|line| line == sample), "{exposition}");
    for line in exposition.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').unwrap();
        assert!(line.starts_with("datacache_") && value.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn the_status_tells_which_daemon_runs_and_stopping_waits_for_its_end() {
    let home = Home::new();
    home.start();
    let line = home.run(["status", "--json"]).text();
    assert_eq!(names(&line), ["running", "since", "build", "protocol", "pid", "store", "socket", "moved_aside"]);
    let told: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&told["running"], &told["protocol"]), (&json!(true), &json!(PROTOCOL)));
    assert_eq!(told["socket"], home.socket().to_str().unwrap());
    let daemon = home.daemon();
    assert_eq!(told["pid"], daemon.pid());
    assert!(home.run(["status"]).text().starts_with("daemon    running\n"));
    assert_eq!(home.run(["stop"]).bytes(), b"");
    assert!(daemon.ends(std::time::Duration::ZERO), "it had ended when the command did");
    assert_eq!(home.run(["status"]).code(), 3);
    assert_eq!(home.run(["stop"]).code(), 1);
    assert!(home.daemons().is_empty(), "asking starts none");
}

#[test]
fn verifying_finds_nothing_in_a_sound_store_and_tells_and_mends_what_it_finds_in_another() {
    let home = Home::new();
    let value = noise(1, 100_000);
    let key = home.command(["add", "-"]).input(value.clone()).outcome().text();
    add(&home, "small", &[], "v");
    let sound = home.run(["verify", "--json"]).json();
    let expected = json!({"entries": 2, "blobs": 1, "bytes": sound["bytes"], "findings": [], "moved_aside": null});
    assert_eq!(sound, expected);
    assert!(sound["bytes"].as_u64().unwrap() >= 100_000);
    std::fs::remove_file(home.store().join("blobs").join(&key[..2]).join(&key)).unwrap();
    let outcome = home.run(["verify", "--json"]);
    assert_eq!(outcome.code(), 1, "{outcome:?}");
    let found: Value = serde_json::from_slice(outcome.printed()).unwrap();
    let finding = json!({"fault": "missing-blob", "namespace": null, "key": null, "sha256": key, "unread": null, "repaired": false});
    assert_eq!(found["findings"], json!([finding]));
    let told = home.run(["verify"]).told().to_owned();
    assert!(told.ends_with("findings: 1; `datacache verify --repair` mends what can be mended\n"), "{told}");
    let repaired = home.run(["verify", "--repair"]);
    assert!(repaired.told().ends_with("findings: 1\n"), "{repaired:?}");
    assert_eq!(repaired.code(), 1);
    assert!(String::from_utf8_lossy(repaired.printed()).contains("missing blob: sha256 "), "{repaired:?}");
    assert_eq!(home.run(["verify"]).code(), 0);
    assert_eq!(home.run(["ls"]).text(), "small");
    assert_eq!(home.command(["add", "-"]).input(value.clone()).outcome().text(), key);
    assert!(home.run(["get", &key]).bytes() == value);
}

#[test]
fn a_daemon_is_started_only_where_that_is_not_forbidden() {
    let home = Home::new();
    let outcome = home.run(["len", "--no-start"]);
    assert!(outcome.error(3).contains(home.socket().to_str().unwrap()), "{outcome:?}");
    assert!(home.daemons().is_empty());
    assert_eq!(home.run(["len"]).number(), 0);
    assert_eq!(home.run(["len", "--no-start"]).number(), 0);
}

#[test]
fn flags_win_over_variables() {
    let home = Home::new();
    let [own, other] = ["own", "other"].map(|name| home.path().join(name));
    let run = |arguments: &[&str]| home.command(arguments).env("DATACACHE_DIR", &own).outcome();
    assert_eq!(run(&["status", "--json"]).code(), 3);
    let file = home.file("content", "v");
    run(&["add", file.to_str().unwrap()]).text();
    assert!(own.exists() && !home.store().exists());
    run(&["add", file.to_str().unwrap(), "--dir", other.to_str().unwrap()]).text();
    assert!(other.exists());
    let shown = run(&["config", "show"]).text();
    let row = shown.lines().find(|line| line.starts_with("store ")).unwrap();
    assert!(row.contains(own.to_str().unwrap()) && row.ends_with("environment DATACACHE_DIR"), "{row}");
}

#[test]
fn more_is_told_on_stderr_when_asked_and_the_output_stays_the_same() {
    let home = Home::new();
    add(&home, "k", &[], "v");
    let quiet = home.run(["ls"]);
    assert_eq!(quiet.told(), "");
    let verbose = home.run(["ls", "-vvv"]);
    assert!(!verbose.told().is_empty());
    assert_eq!(verbose.bytes(), quiet.bytes());
}
