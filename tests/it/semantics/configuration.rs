//! S6 to S8: the configuration of a client.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use datacache_client::{Config, ConfigError, Lifetime, Metadata, Options, blocking};
use datacache_tests::{Client, Home};

use super::face::{Entry, LONG, every_face};
use crate::support::client;

fn configured(home: &Home, json: &str) -> blocking::DataCache {
    home.start();
    blocking::DataCache::open(home.options().config(Config::from_json(json).unwrap())).unwrap()
}

/// The moment of the end is the client's, the moment of the addition the daemon's a little later.
#[track_caller]
fn assert_lives(entry: &Metadata, span: Duration) {
    let life = entry.expires.unwrap().since(entry.created);
    assert!(life.abs_diff(span) < Duration::from_secs(60), "{life:?}");
}

/// S6.
#[test]
fn a_name_as_cache_dir_selects_a_namespace_with_its_own_counts() {
    let home = Home::new();
    let named = configured(&home, r#"{"cacheDir": "oteapi"}"#);
    let default = home.open();
    named.add("one").key("k").tag("t").run().unwrap();
    default.add("two").key("k").tag("t").run().unwrap();
    default.set("l", "three").unwrap();
    assert_eq!((named.len().unwrap(), default.len().unwrap()), (1, 2));
    assert_eq!(home.run(["get", "k", "--namespace", "oteapi"]).text(), "one");
    assert_eq!((named.evict("t").unwrap(), default.len().unwrap()), (1, 2));
    assert_eq!((default.clear().unwrap(), named.len().unwrap()), (2, 0));
    let rows = default.stats().unwrap().namespaces;
    let row = rows.iter().find(|row| row.name == "oteapi").unwrap();
    assert_eq!((row.entries, row.bytes, row.adds, row.deletes), (0, 0, 1, 1));
}

/// S6: the store is the user's alone, and lies where nothing is cleaned up at boot.
#[test]
fn the_store_and_the_socket_can_be_reached_by_their_user_only() {
    let home = Home::new();
    home.start();
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(home.store()), mode(home.socket())), (0o700, 0o600));
    assert_eq!(home.run(["status", "--json"]).json()["store"], *home.store().to_str().unwrap());
}

/// S6: an absolute path.
#[test]
fn a_path_as_cache_dir_selects_a_store_with_a_daemon_of_its_own() {
    let home = Home::new();
    let own = home.path().join("own");
    home.run(["len"]).number();
    let dir = ["--dir", own.to_str().unwrap()];
    home.command(["add", "-", "--text", "--key", "k"].iter().chain(&dir)).input("mine").outcome().text();
    assert_eq!(home.daemons().len(), 2);
    assert_eq!(home.run(["len"]).number(), 0);
    let mut program = home.program(env!("CARGO_BIN_EXE_client-process"));
    program.env("DATACACHE_DIR", &own);
    assert_eq!(Client::start(program).ask(&["get", "k"]), "mine");
    let config = Config { cache_dir: Some(own.to_str().unwrap().into()), ..Config::default() };
    // Its socket is found by the link in the store.
    let cache = blocking::DataCache::open(Options::new().config(config).start(false)).unwrap();
    assert_eq!(cache.get_as::<String>("k").unwrap().as_deref(), Some("mine"));
    assert_eq!(client(&home).ask(&["get", "k"]), serde_json::Value::Null);
}

/// S7.
#[test]
fn key_expiry_and_tag_of_the_configuration_apply_to_every_add() {
    let home = Home::new();
    let cache = configured(&home, r#"{"accessKey": "k", "expireTime": 3600, "tag": "t", "hashType": "md5"}"#);
    cache.add("v").tag("own").run().unwrap();
    let entry = cache.stat("k").unwrap().unwrap();
    assert_eq!(entry.tags.iter().map(ToString::to_string).collect::<Vec<_>>(), ["own", "t"]);
    assert_lives(&entry, Duration::from_secs(3_600));
    assert_eq!(cache.evict("t").unwrap(), 1);
}

/// S7: 0 is documented as never, and here it is.
#[test]
fn an_expiry_time_of_zero_means_never_in_configuration_and_command() {
    let home = Home::new();
    let cache = configured(&home, r#"{"expireTime": 0}"#);
    cache.set("configured", "v").unwrap();
    assert_eq!(cache.stat("configured").unwrap().unwrap().expires, None);
    home.command(["add", "-", "--key", "typed", "--expire", "0"]).input("v").outcome().text();
    assert_eq!(cache.stat("typed").unwrap().unwrap().expires, None);
}

/// S7: without a word, 14 days.
#[test]
fn an_entry_lives_for_fourteen_days_unless_told() {
    every_face(|face| {
        face.add(Entry::text("k", "v")).unwrap();
        assert!(face.stat("k").unwrap().expires);
    });
    let home = Home::new();
    let cache = home.open();
    cache.set("k", "v").unwrap();
    assert_lives(&cache.stat("k").unwrap().unwrap(), Duration::from_secs(14 * 86_400));
}

/// S8.
#[test]
fn an_unknown_name_in_a_configuration_is_refused_with_the_nearest_known_one() {
    let error = Config::from_json(r#"{"expiretime": 60}"#).unwrap_err();
    assert!(matches!(error, ConfigError::Unknown { nearest: Some("expireTime" | "expire_time"), .. }), "{error}");
    let error = Config::from_toml("cachedir = \"x\"").unwrap_err().to_string();
    assert!(error.contains("`cachedir`") && error.contains("did you mean `cache"), "{error}");
    assert_eq!(
        Config::from_toml("expire_time = \"15m\"").unwrap().expire_time,
        Lifetime::For(Duration::from_secs(900))
    );
}

/// S8, for the daemon's own file.
#[test]
fn an_unknown_setting_of_the_daemon_keeps_it_from_starting_and_is_named() {
    let home = Home::new();
    home.configure("inlinemax = \"1 KiB\"\n");
    let outcome = home.run(["len"]);
    let line = outcome.error(3);
    assert_eq!(line.matches("datacache: ").count(), 0, "the daemon's own line is not told within ours: {line}");
    assert!(line.contains("inlinemax") && line.contains("did you mean `inline_max`"), "{line}");
    let shown = home.run(["config", "show"]);
    assert!(shown.error(2).contains("line 1"), "{shown:?}");
}

/// S11 and S10 together: what is set lives by the default, what is added by what is said.
#[test]
fn a_touched_entry_lives_by_its_new_expiry() {
    every_face(|face| {
        face.add(Entry::text("k", "v").expire(datacache_client::Expire::Never)).unwrap();
        assert!(!face.stat("k").unwrap().expires);
        assert!(face.touch("k", LONG) && face.stat("k").unwrap().expires);
        assert!(face.touch("k", datacache_client::Expire::Never) && !face.stat("k").unwrap().expires);
        assert!(!face.touch("missing", LONG));
    });
}

/// S8: what is set holds for the daemon that runs, and for those that come.
#[test]
fn a_setting_that_is_set_holds_at_once_and_stays_set() {
    let home = Home::new();
    home.start();
    let add = || home.command(["add", "-", "--key", "k"]).input("eleven byte").outcome();
    assert_eq!(home.run(["config", "set", "value_max", "10"]).told(), "");
    assert!(add().error(4).contains("the value is 11 bytes, and `value_max` is 10"));
    assert_eq!(home.run(["config", "set", "value_max", "11"]).code(), 0);
    assert_eq!(add().code(), 0);
    assert_eq!(home.run(["config", "unset", "value_max"]).code(), 0);
    assert_eq!(home.run(["config", "unset", "value_max"]).code(), 1);
    assert_eq!(home.run(["config", "set", "limit_entries", "5", "--namespace", "a b"]).told(), "");
    let shown = home.run(["config", "show"]).text();
    let file = home.path().join("config/datacache/config.toml");
    assert!(shown.contains("namespaces.\"a b\".limit_entries  5  "), "{shown}");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "[namespaces.\"a b\"]\nlimit_entries = 5\n");
}

/// S8.
#[test]
fn why_a_setting_does_not_hold_is_told() {
    let home = Home::new();
    let set = |arguments: [&str; 2]| home.run(["config", "set"].into_iter().chain(arguments));
    let command = home.command(["config", "set", "value_max", "1 KiB"]).env("DATACACHE_VALUE_MAX", "5");
    let line = command.outcome().told().to_owned();
    assert!(line.contains("`value_max` of the file does not hold: environment DATACACHE_VALUE_MAX wins"), "{line}");
    home.start();
    assert!(set(["inline_max", "1 KiB"]).told().contains("`inline_max` holds when the daemon is started again"));
    assert!(set(["limits", "1 GiB"]).error(2).contains("did you mean `limit`?"));
    assert!(set(["limit", "1 KiB"]).error(2).contains("less than 1 MiB"));

    let cache = home.open();
    home.configure("log = \"info\"\nlimits = 5\n");
    let error = cache.reload().unwrap_err().to_string();
    assert!(error.contains("the old ones hold") && error.contains("config.toml, line 2: there is no"), "{error}");
    home.configure("busy_poll = \"0\"\n");
    let reloaded = cache.reload().unwrap();
    assert_eq!((reloaded.waiting, reloaded.overridden), (Vec::<String>::new(), Vec::new()));
}
