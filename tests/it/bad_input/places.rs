//! Folders, sockets and variables that are not as they should be. Stores that can't be written to are in the tests
//! `confined`: nothing stops root.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use datacache_client::blocking;
use datacache_proto::layout::{LAYOUT, meta};
use datacache_tests::reads::Way;
use datacache_tests::{Client, Home};

use super::Unharmed;

#[test]
fn a_socket_whose_path_is_too_long() {
    let unharmed = Unharmed::new();
    let long = unharmed.home.path().join("s".repeat(108 - unharmed.home.path().as_os_str().len() - 1));
    assert_eq!(long.as_os_str().len(), 108);
    let outcome = unharmed.home.run(["len".as_ref(), "--socket".as_ref(), long.as_os_str()]);
    let line = outcome.error(2);
    assert!(line.contains("108 bytes long, the system allows 107") && line.contains("--socket"), "{line}");
    let error = blocking::DataCache::open(unharmed.home.options().socket(&long)).unwrap_err();
    assert!(error.is_invalid_input(), "{error}");
    unharmed.check();
}

#[test]
fn a_socket_whose_path_is_just_short_enough() {
    let home = Home::new();
    let socket = home.path().join("run").join("s".repeat(107 - home.path().as_os_str().len() - 5));
    assert_eq!(socket.as_os_str().len(), 107);
    let run = |verb: &str| home.run([verb.as_ref(), "--socket".as_ref(), socket.as_os_str()]);
    assert_eq!(run("len").number(), 0);
    run("stop").text();
}

/// All of its folders were made, and stayed.
#[test]
fn a_socket_without_a_folder_is_refused_and_none_is_made() {
    let home = Home::new();
    let socket = home.path().join("nonexistent/folder/sock");
    for verb in ["len", "get k", "daemon"] {
        let run = home.command(verb.split(' ').chain(["--socket", socket.to_str().unwrap()]));
        let chosen = home.command(verb.split(' ')).env("DATACACHE_SOCKET", &socket);
        for outcome in [run.outcome(), chosen.outcome()] {
            let line = outcome.error(2);
            assert!(line.contains("no folder `") && line.contains("nonexistent/folder`; make it"), "{line}");
        }
    }
    assert!(!home.path().join("nonexistent").exists() && !home.store().exists());
    fs::create_dir_all(socket.parent().unwrap()).unwrap();
    fs::set_permissions(socket.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(home.run(["len", "--socket", socket.to_str().unwrap()]).number(), 0);
}

#[test]
fn a_second_socket_for_a_store_that_is_served_is_refused_with_the_first_one_named() {
    let unharmed = Unharmed::new();
    let second = unharmed.home.path().join("second");
    let outcome = unharmed.home.run(["len".as_ref(), "--socket".as_ref(), second.as_os_str()]);
    let line = outcome.error(3).to_owned();
    assert!(line.contains(&format!("is served at `{}`", unharmed.home.socket().display())), "{line}");
    let outcome = unharmed.home.run(["len".as_ref(), "--no-start".as_ref(), "--socket".as_ref(), second.as_os_str()]);
    assert_eq!(outcome.error(3), line, "that none is started changes nothing");
    let log = fs::read_to_string(unharmed.home.store().join("daemon.log")).unwrap();
    assert_eq!(log.matches("in use by another daemon").count(), 1, "one daemon tried:\n{log}");
    unharmed.check();
}

#[test]
fn no_runtime_folder_puts_the_socket_into_the_store() {
    let home = Home::new();
    let run = |arguments: &[&str]| home.command(arguments).without("XDG_RUNTIME_DIR").outcome();
    let status = run(&["status", "--json"]);
    assert_eq!(status.code(), 3);
    let told: serde_json::Value = serde_json::from_slice(status.printed()).unwrap();
    let socket = Path::new(told["socket"].as_str().unwrap()).to_owned();
    // Where systemd has made a folder for the user, that is it; else the store, which is the user's alone.
    let systemd = format!("/run/user/{}", rustix::process::getuid().as_raw());
    if !Path::new(&systemd).exists() {
        assert!(socket.starts_with(home.store()), "{}", socket.display());
        assert_eq!(run(&["len"]).number(), 0);
        assert!(socket.exists());
        assert_eq!(home.run(["len", "--no-start"]).number(), 0, "with the variable, the same daemon is found");
        assert_eq!(home.daemons().len(), 1);
    }
}

#[test]
fn no_home_folder_is_no_obstacle_where_a_store_is_named_or_the_user_has_one() {
    let home = Home::new();
    let bare = |arguments: &[&str]| {
        let run = home.command(arguments).without("HOME").without("XDG_CACHE_HOME").without("XDG_CONFIG_HOME");
        run.env("DATACACHE_CONFIG", home.file("empty.toml", "")).outcome()
    };
    // The user database has a home for whoever runs the tests; nothing is started there.
    let status = bare(&["status", "--json"]);
    assert!([2, 3].contains(&status.code()), "{status:?}");
    assert!(status.code() == 3 || status.error(2).contains("HOME is not set"), "{status:?}");
    let own = home.path().join("own");
    let file = home.file("content", "v");
    bare(&["add", file.to_str().unwrap(), "--dir", own.to_str().unwrap()]).text();
    assert!(own.join("current").exists());
}

#[test]
fn variables_that_are_no_absolute_paths() {
    let unharmed = Unharmed::new();
    for name in ["DATACACHE_DIR", "DATACACHE_SOCKET", "XDG_RUNTIME_DIR"] {
        let outcome = unharmed.home.command(["len"]).env(name, "relative/path").outcome();
        let line = outcome.error(2);
        assert!(line.contains(name) && line.contains("not an absolute path"), "{line}");
    }
    unharmed.check();
}

#[test]
fn a_store_of_another_layout_is_refused_and_left_as_it_is() {
    let home = Home::new();
    home.command(["add", "-", "--key", "k"]).input("v").outcome().text();
    home.run(["stop"]).text();
    let index = home.store().join("current/data.mdb");
    set_layout(&index, LAYOUT, 99);
    let before = fs::read(&index).unwrap();
    let outcome = home.run(["get", "k"]);
    let line = outcome.error(3);
    assert!(line.contains(&format!("has layout 99, this build knows {LAYOUT}")), "{line}");
    let outcome = home.run(["daemon"]);
    assert_eq!(outcome.code(), 3, "{outcome:?}");
    assert!(outcome.told().contains("move the folder away to begin anew"), "{outcome:?}");
    assert!(fs::read(&index).unwrap() == before, "nothing was written");
    set_layout(&index, 99, LAYOUT);
    assert_eq!(home.run(["get", "k"]).text(), "v");
}

/// Changes the layout in the index's file: its name is followed by eight bytes, least first.
fn set_layout(index: &Path, from: u32, to: u32) {
    let mut bytes = fs::read(index).unwrap();
    let [row, other] = [from, to].map(|layout| [meta::LAYOUT, &u64::from(layout).to_le_bytes()].concat());
    let rows: Vec<usize> = (0..bytes.len() - row.len()).filter(|at| bytes[*at..].starts_with(&row)).collect();
    assert!(!rows.is_empty());
    rows.into_iter().for_each(|at| bytes[at..at + other.len()].copy_from_slice(&other));
    fs::write(index, bytes).unwrap();
}

#[test]
fn a_folder_that_is_something_else_is_not_taken_for_a_store() {
    let home = Home::new();
    let occupied = home.path().join("home");
    let letter = home.file("letter.txt", "Dear Sir or Madam");
    let outcome = home.run(["add", letter.to_str().unwrap(), "--dir", occupied.to_str().unwrap()]);
    assert!(outcome.error(3).contains("letter.txt"), "{outcome:?}");
    assert_eq!(fs::read(occupied.join("letter.txt")).unwrap(), b"Dear Sir or Madam");
    let left: Vec<_> = fs::read_dir(&occupied).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["letter.txt"], "nothing of ours may be left in it");
    assert!(home.daemons().is_empty());
}

/// Who added was told that "File exists", who read that there is no store, and to make one.
#[test]
fn a_file_or_a_link_to_nowhere_in_the_place_of_the_store_is_told_as_that() {
    let home = Home::new();
    let (file, link) = (home.file("file", ""), home.path().join("link"));
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    for (dir, in_the_way, what) in [
        (file.clone(), &file, "a file"),
        (file.join("below"), &file, "a file"),
        (link.clone(), &link, "a link that leads nowhere"),
    ] {
        for verb in ["len", "get k", "add /etc/passwd", "daemon"] {
            let outcome = home.run(verb.split(' ').chain(["--dir", dir.to_str().unwrap()]));
            let line = outcome.error(4);
            let told = format!("`{}` is {what}, and no folder for a store; move it away", in_the_way.display());
            assert!(line.contains(&told) && line.contains("--dir"), "{verb}: {line}");
        }
    }
    assert!(home.daemons().is_empty() && !home.path().join("nowhere").exists());
}

/// The daemon allowed itself to write to it again, and without a log in it, each read failed over that.
#[test]
fn a_store_that_its_user_closed_for_writing_is_read_and_not_opened_up() {
    let home = Home::new();
    home.command(["add", "-", "--key", "k"]).input("v").outcome().text();
    home.run(["stop"]).text();
    fs::set_permissions(home.store(), fs::Permissions::from_mode(0o500)).unwrap();
    for verb in ["ls", "add /etc/passwd", "delete k", "daemon"] {
        let outcome = home.run(verb.split(' '));
        let line = outcome.error(4);
        let told = format!("the mode of your folder `{}` is 500; allow yourself", home.store().display());
        assert!(line.contains(&told) && line.contains("chmod u+rwx"), "{line}");
    }
    if Way::of_this_run() == Way::Direct {
        assert_eq!(home.run(["get", "k"]).text(), "v");
    }
    assert_eq!(fs::metadata(home.store()).unwrap().permissions().mode() & 0o7777, 0o500);
    fs::set_permissions(home.store(), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(home.run(["ls"]).text(), "k");
}

#[test]
fn who_only_reads_makes_no_store_and_starts_no_daemon() {
    let home = Home::new();
    for verb in ["get k", "get-file k", "contains k", "stat k", "ls"] {
        let outcome = home.run(verb.split(' '));
        let line = outcome.error(1);
        assert!(line.contains(&format!("there is no store at `{}`", home.store().display())), "{line}");
    }
    assert!(!home.store().exists() && home.daemons().is_empty());
    home.run(["add", "/etc/passwd", "--key", "k"]).text();
    assert_eq!(home.run(["ls"]).text(), "k");
}

#[test]
fn a_file_in_the_place_of_the_socket_is_left_alone() {
    let home = Home::new();
    fs::create_dir_all(home.socket().parent().unwrap()).unwrap();
    fs::write(home.socket(), "not a socket").unwrap();
    let outcome = home.run(["daemon"]);
    assert_eq!(outcome.code(), 4);
    assert!(outcome.told().contains("is in the way: it is not a socket"), "{outcome:?}");
    assert_eq!(fs::read(home.socket()).unwrap(), b"not a socket");
}

#[test]
fn a_runtime_folder_that_others_can_write_to_is_refused() {
    let home = Home::new();
    let folder = home.path().join("run/datacache");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let outcome = home.run(["daemon"]);
    assert_eq!(outcome.code(), 4);
    assert!(outcome.told().contains("can be written to by others (mode 777)"), "{outcome:?}");
}

#[test]
fn a_program_that_is_missing_or_no_daemon_is_named() {
    let home = Home::new();
    for (program, reason) in [("/no/such/program", "DATACACHE_PROGRAM"), ("/bin/false", "ended at once")] {
        let mut command = home.program(env!("CARGO_BIN_EXE_client-process"));
        command.env("DATACACHE_PROGRAM", program);
        let error = Client::start(command).ask_in_vain(&["open"]);
        assert!(error.contains(program) && error.contains(reason), "{error}");
    }
}
