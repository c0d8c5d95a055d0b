//! What a change of one setting leaves of the file.

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
