//! Keys, tags, durations and values that can't be meant, through library and command.

use std::time::Duration;

use datacache_client::{Error, Expire, Json};

use super::Unharmed;

#[test]
fn keys_that_are_empty_or_too_long() {
    let unharmed = Unharmed::new();
    let cache = unharmed.home.open();
    let long = "k".repeat(64 * 1024 + 1);
    for (key, reason) in [("", "the key is empty"), (&*long, "the key is 65537 bytes long, the limit is 65536")] {
        let errors = [
            cache.set(key, "v").unwrap_err(),
            cache.get(key).unwrap_err(),
            cache.contains(key).unwrap_err(),
            cache.delete(key).unwrap_err(),
            cache.stat(key).unwrap_err(),
            cache.touch(key, Expire::Never).unwrap_err(),
            cache.get_file(key).run().unwrap_err(),
        ];
        for error in errors {
            assert!(error.is_invalid_input() && error.to_string().contains(reason), "{error}");
        }
        for arguments in [["get", key], ["contains", key], ["delete", key], ["stat", key], ["get-file", key]] {
            let outcome = unharmed.home.run(arguments);
            assert!(outcome.error(2).contains(reason), "{outcome:?}");
        }
        let outcome = unharmed.home.run(["add", "-", "--key", key]);
        assert!(outcome.error(2).contains(reason), "{outcome:?}");
    }
    unharmed.check();
}

#[test]
fn tags_that_are_too_many_empty_too_long_or_have_a_nul() {
    let unharmed = Unharmed::new();
    let cache = unharmed.home.open();
    let many: Vec<String> = (0..65).map(|number| format!("t{number}")).collect();
    let cases = [
        (many.clone(), "65 tags, the limit is 64"),
        (vec!["nul\0".into()], "NUL"),
        (vec![String::new()], "a tag is empty"),
        (vec!["t".repeat(256)], "256 bytes long, the limit is 255"),
    ];
    for (tags, reason) in cases {
        let error = cache.add("v").key("k").tags(&tags).run().unwrap_err();
        assert!(error.is_invalid_input() && error.to_string().contains(reason), "{error}");
    }
    let arguments = many.iter().flat_map(|tag| ["--tag", tag]);
    let outcome = unharmed.home.run(["add", "-", "--key", "k"].into_iter().chain(arguments));
    assert!(outcome.error(2).contains("65 tags"), "{outcome:?}");
    assert!(unharmed.home.run(["evict", ""]).error(2).contains("a tag is empty"));
    assert!(cache.evict("nul\0").unwrap_err().is_invalid_input());
    assert!(cache.list().tag("").next().unwrap().unwrap_err().is_invalid_input());
    unharmed.check();
}

#[test]
fn json_that_is_malformed_or_has_no_text() {
    let unharmed = Unharmed::new();
    for (source, place) in
        [("{\"a\": }", "line 1, column 7"), ("[1,\n2", "line 2"), ("", "line 1"), ("[1] x", "column 5")]
    {
        let outcome = unharmed.home.command(["add", "-", "--json"]).input(source).outcome();
        assert!(outcome.error(2).contains(place), "{outcome:?}");
    }
    let deep = "[".repeat(100_000);
    let outcome = unharmed.home.command(["add", "-", "--json"]).input(deep).outcome();
    assert_eq!(outcome.code(), 2, "a deep value is no reason to crash: {outcome:?}");
    let cache = unharmed.home.open();
    let no_text = std::collections::BTreeMap::from([((1, 2), "a pair is no key of a map")]);
    let error = cache.set("k", Json(&no_text)).unwrap_err();
    assert!(error.is_invalid_input(), "{error}");
    unharmed.check();
}

#[test]
fn text_that_is_not_utf_8() {
    let unharmed = Unharmed::new();
    let outcome = unharmed.home.command(["add", "-", "--text"]).input(*b"ab\xff").outcome();
    assert!(outcome.error(2).contains("from byte 2 on"), "{outcome:?}");
    unharmed.check();
}

#[test]
fn durations_that_are_negative_or_absurd() {
    let unharmed = Unharmed::new();
    for (duration, reason) in [
        ("-1", "is negative"),
        ("-0.5s", "is negative"),
        ("soon", "is not a duration"),
        ("1000000000000", "longer than 10000 years"),
        ("99999999d", "longer than 10000 years"),
        ("nan", "is not a duration"),
        ("", "is not a duration"),
    ] {
        let outcome = unharmed.home.run(["add", "-", "--key", "k", &format!("--expire={duration}")]);
        assert!(outcome.error(2).contains(reason), "{outcome:?}");
        let outcome = unharmed.home.run(["touch", "before", &format!("--expire={duration}")]);
        assert!(outcome.error(2).contains(reason), "{outcome:?}");
    }
    let cache = unharmed.home.open();
    // A library has types for it: the longest of all is as good as never.
    assert!(cache.touch("before", Expire::After(Duration::MAX)).unwrap());
    unharmed.check();
}

#[test]
fn files_that_are_not_there_or_are_folders() {
    let unharmed = Unharmed::new();
    let cache = unharmed.home.open();
    let folder = unharmed.home.path().to_str().unwrap();
    for path in ["/no/such/file", folder] {
        let outcome = unharmed.home.run(["add", path]);
        assert!(outcome.error(2).contains(path), "{outcome:?}");
        let error = cache.add_file(path).run().unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
    }
    unharmed.check();
}

#[test]
fn namespaces_that_can_not_be_one() {
    let unharmed = Unharmed::new();
    let long = "n".repeat(256);
    for (name, reason) in [("", "is empty"), (&*long, "256 bytes long"), ("a\nb", "control character")] {
        let outcome = unharmed.home.run(["len", &format!("--namespace={name}")]);
        assert!(outcome.error(2).contains(reason), "{outcome:?}");
        let error = unharmed.home.open().namespace(name).len().unwrap_err();
        assert!(error.is_invalid_input() && error.to_string().contains(reason), "{error}");
    }
    unharmed.check();
}
