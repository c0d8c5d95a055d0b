//! What a change of one setting leaves of the file.

mod any_file;

use super::*;

fn paths(folder: &Path) -> Paths {
    let [store, socket, store_link] = ["s", "sock", "store"].map(|name| folder.join(name));
    Paths { store, socket, store_link, config: folder.join("new/config.toml"), is_default: false }
}

fn of<'p>(namespace: Option<&'p str>, name: &'p str) -> Place<'p> {
    Place { namespace, name }
}

/// Returns a file after some changes to one that says `text`.
fn changed(text: &str, changes: &[(Option<&str>, &str, Option<&str>)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let paths = paths(folder.path());
    if !text.is_empty() {
        std::fs::create_dir(paths.config.parent().unwrap()).unwrap();
        std::fs::write(&paths.config, text).unwrap();
    }
    for &(namespace, name, value) in changes {
        match value {
            Some(value) => set(&paths, of(namespace, name), value).unwrap(),
            None => assert!(unset(&paths, of(namespace, name)).unwrap(), "{name}"),
        }
    }
    std::fs::read_to_string(&paths.config).unwrap()
}

#[test]
fn a_file_is_made_where_there_is_none() {
    let text = changed("", &[(None, "limit", Some("2 GiB")), (None, "max_connections", Some("12"))]);
    assert_eq!(text, "limit = \"2 GiB\"\nmax_connections = 12\n");
    let text = changed("", &[(Some("a b"), "limit_entries", Some("9")), (Some("c"), "policy", Some("lru"))]);
    assert_eq!(text, "[namespaces.\"a b\"]\nlimit_entries = 9\n\n[namespaces.c]\npolicy = \"lru\"\n");
}

#[test]
fn comments_and_order_stay_and_what_is_new_stands_below_what_there_is() {
    let text = "# Ours.\nlog = \"warn\" # quiet\n\n# Large disk.\nlimit = \"1 GiB\" # see df\n\n[namespaces.x]\n# Small.\nlimit = \"1 MiB\"\n# end\n";
    let changes = [
        (None, "limit", Some("none")),
        (None, "reserve", Some("0")),
        (Some("x"), "limit", Some("2097152")),
        (Some("y"), "limit_entries", Some("5")),
    ];
    let expected = "# Ours.\nlog = \"warn\" # quiet\n\n# Large disk.\nlimit = \"none\" # see df\nreserve = 0\n\n[namespaces.x]\n# Small.\nlimit = 2097152\n\n[namespaces.y]\nlimit_entries = 5\n# end\n";
    assert_eq!(changed(text, &changes), expected);
    assert_eq!(changed("# Only this.\n", &[(None, "log", Some("off"))]), "# Only this.\nlog = \"off\"\n");
    assert_eq!(
        changed("# Only this.\n", &[(Some("x"), "policy", Some("lru"))]),
        "# Only this.\n[namespaces.x]\npolicy = \"lru\"\n"
    );
}

/// Removes settings of namespace `x` or of the daemon, one of which is named like `.limit` for the former, and compares.
fn assert_left(before: &str, removed: &[&'static str], after: &str) {
    let place = |name: &'static str| name.strip_prefix('.').map_or((None, name), |name| (Some("x"), name));
    for ending in ["\n", "\r\n"] {
        let [before, after] = [before, after].map(|text| text.replace('\n', ending));
        let removed: Vec<_> = removed.iter().map(|name| place(name)).map(|(of, name)| (of, name, None)).collect();
        assert_eq!(changed(&before, &removed), after, "{before}");
    }
}

#[test]
fn every_comment_stays_where_a_setting_goes() {
    let head = "# My notes.\n# Do not touch.\n\n";
    assert_left(&format!("{head}limit = 1048576\nlog = \"off\"\n"), &["limit"], &format!("{head}log = \"off\"\n"));
    assert_left(&format!("{head}limit = 1048576\n"), &["limit"], head);
    assert_left("# a\nlimit = 1048576 # b\n# c\nlog = \"off\"", &["limit"], "# a\n# c\nlog = \"off\"\n");
    assert_left(
        "log = \"off\" # a\n\n  # b\n  limit = 1048576\n# c\n",
        &["limit"],
        "log = \"off\" # a\n\n  # b\n# c\n",
    );
    assert_left("log = \"off\"\n\nlimit = 1048576\n\nreserve = 0\n", &["limit"], "log = \"off\"\n\nreserve = 0\n");
    assert_left("log = \"off\"\n\nlimit = 1048576", &["limit"], "log = \"off\"\n");
}

#[test]
fn every_comment_stays_where_a_table_goes() {
    let y = "[namespaces.y]\nlimit = 1048576\n";
    let x = "# a\n[namespaces.x] # b\n# c\nlimit = 1048576 # d\n# e\n";
    let left = "# a\n# c\n# e\n";
    assert_left(x, &[".limit"], left);
    assert_left(&format!("{x}\n{y}"), &[".limit"], &format!("{left}\n{y}"));
    assert_left(&format!("{y}\n{x}"), &[".limit"], &format!("{y}\n{left}"));
    assert_left(&format!("{y}\n[namespaces.x]\nlimit = 1048576\n"), &[".limit"], y);
    assert_left(&format!("[namespaces.x]\nlimit = 1048576\n{y}"), &[".limit"], y);
    // With the tables that have nothing else, and only these.
    assert_left("# a\n[namespaces]\n\n[namespaces.x]\nlimit = 1048576\n", &[".limit"], "# a\n");
    assert_left("[namespaces]\n# a\nx.limit = 1048576\n", &[".limit"], "# a\n");
    assert_left(
        &format!("[namespaces]\n\n[namespaces.x]\nlimit = 1048576\n\n{y}"),
        &[".limit"],
        &format!("[namespaces]\n\n{y}"),
    );
    assert_left("# a\n[limmit]\n# b\nc = 1\n[limmit.d]\ne = 2\n# f\n", &["limmit"], "# a\n# b\n# f\n");
    assert_left("[[limmit]]\na = 1\n[[limmit]]\n# b\n", &["limmit"], "# b\n");
}

#[test]
fn what_is_spelled_with_dots_or_in_braces_loses_only_the_setting() {
    let dotted = "# a\nnamespaces.x.limit = 1048576 # b\n# c\nnamespaces.x.policy = \"lru\"\nlog = \"off\"\n";
    assert_left(dotted, &[".limit"], "# a\n# c\nnamespaces.x.policy = \"lru\"\nlog = \"off\"\n");
    assert_left(dotted, &[".limit", ".policy"], "# a\n# c\nlog = \"off\"\n");
    for (before, removed, after) in [
        ("{ limit = 1048576, policy = \"lru\" }", ".limit", "{ policy = \"lru\" }"),
        ("{limit = 1048576, policy = \"lru\"}", ".limit", "{ policy = \"lru\"}"),
        ("{ limit = 1048576, policy = \"lru\" }", ".policy", "{ limit = 1048576 }"),
        ("{limit = 1048576,policy = \"lru\"}", ".policy", "{limit = 1048576}"),
        (
            "{\n  # a\n  limit = 1048576, # b\n  policy = \"lru\",\n}",
            ".limit",
            "{\n  # a\n   # b\n  policy = \"lru\",\n}",
        ),
        ("{\n  limit = 1048576, # b\n  policy = \"lru\" # c\n}", ".policy", "{\n  limit = 1048576 # b\n   # c\n}"),
        ("{\n  limit = 1048576 # b\n  , policy = \"lru\"\n}", ".limit", "{\n   # b\n   policy = \"lru\"\n}"),
    ] {
        assert_left(&format!("namespaces.x = {before} # z\n"), &[removed], &format!("namespaces.x = {after} # z\n"));
    }
    let nested = |inner: &str| format!("namespaces = {{ {inner} }}\n");
    let y = "y = { limit = 1048576 }";
    assert_left(&nested(&format!("x.limit = 1048576, {y}")), &[".limit"], &nested(y));
    assert_left(&nested(&format!("{y}, x = {{ limit = 1048576 }}")), &[".limit"], &nested(y));
    assert_left(&nested("x.limit = 1048576, x.policy = \"lru\""), &[".limit"], &nested("x.policy = \"lru\""));
    assert_left(&nested("x.limit = 1048576"), &[".limit"], "");
}

#[test]
fn a_setting_is_added_where_its_table_is_however_that_is_spelled() {
    let x = |text: &str| changed(text, &[(Some("x"), "limit_entries", Some("5"))]);
    for (before, after) in [
        ("[namespaces.x]", "[namespaces.x]\nlimit_entries = 5\n"),
        (
            "[namespaces.x]\n# a\n\n# b\n[namespaces.y]\n",
            "[namespaces.x]\nlimit_entries = 5\n# a\n\n# b\n[namespaces.y]\n",
        ),
        (
            "namespaces.x.limit = 1048576 # a\nlog = \"off\"\n",
            "namespaces.x.limit = 1048576 # a\nnamespaces.x.limit_entries = 5\nlog = \"off\"\n",
        ),
        ("[namespaces]\nx.limit = 1048576\n", "[namespaces]\nx.limit = 1048576\nx.limit_entries = 5\n"),
        ("namespaces.x = {}\n", "namespaces.x = { limit_entries = 5 }\n"),
        ("namespaces.x = {\n  # a\n}\n", "namespaces.x = { limit_entries = 5 \n  # a\n}\n"),
        ("namespaces.x = { limit = 1048576 } # a\n", "namespaces.x = { limit = 1048576 , limit_entries = 5 } # a\n"),
        ("namespaces = { x.limit = 1048576 }\n", "namespaces = { x.limit = 1048576 , x.limit_entries = 5 }\n"),
        ("namespaces = { y.limit = 1048576 }\n", "namespaces = { y.limit = 1048576 , x = { limit_entries = 5 } }\n"),
        ("namespaces.y.limit = 1048576", "namespaces.y.limit = 1048576\n\n[namespaces.x]\nlimit_entries = 5\n"),
    ] {
        assert_eq!(x(before), after);
    }
    let log = |text: &str| changed(text, &[(None, "log", Some("off"))]);
    assert_eq!(log("# a\n\n# b\n[namespaces.x]\n"), "log = \"off\"\n# a\n\n# b\n[namespaces.x]\n");
    assert_eq!(log("# a"), "# a\nlog = \"off\"\n");
}

#[test]
fn line_ends_and_the_mark_at_the_beginning_stay() {
    let set = [(None, "limit", Some("none")), (None, "log", Some("off")), (Some("y"), "policy", Some("lru"))];
    for mark in ["", "\u{feff}"] {
        let before = format!("{mark}# a\r\nlimit = 1048576 # b\r\n\r\n[namespaces.x]\r\npolicy = \"lru\"\r\n");
        let after = format!(
            "{mark}# a\r\nlimit = \"none\" # b\r\nlog = \"off\"\r\n\r\n[namespaces.x]\r\npolicy = \"lru\"\r\n\r\n[namespaces.y]\r\npolicy = \"lru\"\r\n"
        );
        assert_eq!(changed(&before, &set), after);
        let removed = changed(&format!("{mark}limit = 1048576\r\nlog = \"off\"\n"), &[(None, "limit", None)]);
        assert_eq!(removed, format!("{mark}log = \"off\"\r\n"));
        assert_eq!(
            changed(&format!("{mark}[namespaces.x]\n"), &set[1..2]),
            format!("{mark}log = \"off\"\n[namespaces.x]\n")
        );
        assert_eq!(changed(&format!("{mark}\nlog = \"off\"\n"), &[(None, "log", None)]), mark);
    }
    // What ends in two ways does so as its first line afterwards.
    assert_eq!(changed("# a\nlog = \"warn\"\r\n# b", &set[1..2]), "# a\nlog = \"off\"\n# b");
}

#[test]
fn changes_at_the_same_time_are_all_there() {
    let folder = tempfile::tempdir().unwrap();
    let paths = paths(folder.path());
    let names: Vec<_> = (0..48).map(|number| format!("n{number}")).collect();
    // By a link as well, which lies elsewhere.
    let link = folder.path().join("link.toml");
    std::os::unix::fs::symlink(&paths.config, &link).unwrap();
    let both = [paths.clone(), Paths { config: link, ..paths.clone() }];
    std::thread::scope(|scope| {
        for (name, paths) in names.iter().zip(both.iter().cycle()) {
            scope.spawn(|| set(paths, of(Some(name), "limit_entries"), "9").unwrap());
        }
    });
    let text = std::fs::read_to_string(&paths.config).unwrap();
    assert!(names.iter().all(|name| text.contains(&format!("[namespaces.{name}]"))), "{text}");
}

#[test]
fn what_is_unset_goes_with_its_table_and_a_wrong_name_can_be_removed() {
    let text = "limit = \"1 GiB\"\nlog = \"off\"\n\n[namespaces.x]\nlimit = \"1 MiB\"\n";
    assert_eq!(changed(text, &[(None, "limit", None), (Some("x"), "limit", None)]), "log = \"off\"\n");
    assert_eq!(changed("limmit = 5\nlog = \"off\"\n", &[(None, "limmit", None)]), "log = \"off\"\n");
    assert_eq!(changed("namespaces.x = {limits = 5}\n", &[(Some("x"), "limits", None)]), "");
}

#[test]
fn what_a_daemon_would_not_take_is_refused_and_the_file_stays() {
    let folder = tempfile::tempdir().unwrap();
    let paths = paths(folder.path());
    set(&paths, of(None, "log"), "off").unwrap();
    let before = std::fs::read_to_string(&paths.config).unwrap();
    for (namespace, name, value, told) in [
        (None, "limits", "1 GiB", "there is no setting `limits`; did you mean `limit`?"),
        (None, "size_limit", "10", "there is no setting `size_limit`; did you mean `limit`?"),
        (Some("x"), "eviction_policy", "lru", "`eviction_policy` of a namespace; did you mean `policy`?"),
        (
            None,
            "store",
            "/s",
            "`store` is no setting of the file; it is chosen by `--dir`, DATACACHE_DIR or XDG_CACHE_HOME",
        ),
        (None, "config", "/c", "it is chosen by DATACACHE_CONFIG or XDG_CONFIG_HOME"),
        (Some("x"), "store", "/s", "there is no setting `store` of a namespace"),
        (
            Some("x"),
            "reserve",
            "1 GiB",
            "there is no setting `reserve` of a namespace; there are limit, limit_entries and policy",
        ),
        (Some("x"), "limit", "auto", "`namespaces.x.limit` can't be `auto`: "),
        (Some(""), "limit", "1 GiB", "the name of the namespace is empty"),
        (None, "limit", "1 KiB", "`limit` can't be `1 KiB`: 1 KiB is less than 1 MiB"),
        (None, "limit", "", "`` is not a size"),
        (None, "inline_max", "2 MiB", "2 MiB is not within 0 to 1 MiB"),
    ] {
        let error = set(&paths, of(namespace, name), value).unwrap_err().to_string();
        assert!(error.contains(told) && !error.contains(", line "), "{error}");
    }
    assert!(!unset(&paths, of(None, "limit")).unwrap());
    assert!(unset(&paths, of(None, "limits")).is_err());
    assert_eq!(std::fs::read_to_string(&paths.config).unwrap(), before);
}

#[test]
fn what_is_refused_leaves_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let paths = paths(folder.path());
    assert!(set(&paths, of(None, "limit"), "1 KiB").is_err() && !unset(&paths, of(None, "limit")).unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_broken_elsewhere_is_left_to_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths { config: folder.path().join("c.toml"), ..paths(folder.path()) };
    for (text, told) in [
        ("log = = 1\n", "c.toml, line 1: "),
        ("\nlog = \"inof\"\n", "c.toml, line 2): "),
        ("namespaces = 5", "c.toml, line 1: `namespaces` is integer"),
    ] {
        std::fs::write(&paths.config, text).unwrap();
        let error = set(&paths, of(Some("x"), "limit"), "1 GiB").unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
        assert_eq!(std::fs::read_to_string(&paths.config).unwrap(), text);
    }
    // What is added would stand above the table.
    std::fs::write(&paths.config, "[namespaces.y]\nlimit = \"1 KiB\"\n").unwrap();
    let error = set(&paths, of(None, "log"), "off").unwrap_err().to_string();
    assert!(error.starts_with("`namespaces.y.limit` (") && error.contains("c.toml, line 2): "), "{error}");
}
