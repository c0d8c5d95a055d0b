//! Uploads that are under way for long, outlive their daemon, or never end.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use datacache_client::{HashType, hash_of};
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Client, Home, eventually};

use crate::support::{client, noise};

/// A client that adds what comes out of a pipe, and has not seen the end of it.
struct Upload {
    client: Client,
    pipe: File,
    staged: PathBuf,
}

impl Upload {
    fn begin(home: &Home, head: &[u8]) -> Self {
        let path = home.path().join("home/pipe");
        assert!(home.program("mkfifo").arg(&path).status().unwrap().success());
        home.start();
        let before = staged(home);
        let mut client = client(home);
        client.tell(&["add-file", path.to_str().unwrap(), "t"]);
        // Opens as soon as the client does.
        let mut pipe = OpenOptions::new().write(true).open(&path).unwrap();
        pipe.write_all(head).unwrap();
        fs::remove_file(path).unwrap();
        let mut new = Vec::new();
        eventually("the upload is staged", PATIENCE, || {
            new = staged(home);
            new.retain(|file| !before.contains(file));
            !new.is_empty()
        });
        Self { client, pipe, staged: new.remove(0) }
    }
}

fn staged(home: &Home) -> Vec<PathBuf> {
    fs::read_dir(home.store().join("staging")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Makes a staged file look as if nobody had written to it for long.
fn age(path: &PathBuf) {
    let long_ago = SystemTime::now() - Duration::from_secs(3_600);
    OpenOptions::new().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
}

#[test]
fn an_upload_goes_on_over_a_restart_of_the_daemon() {
    let home = Home::new();
    let value = noise(1, 500_000);
    let mut upload = Upload::begin(&home, &value[..200_000]);
    home.daemon().kill();
    home.start();
    upload.pipe.write_all(&value[200_000..]).unwrap();
    drop(upload.pipe);
    let key = hash_of(&value, HashType::Sha256).unwrap();
    assert_eq!(upload.client.answer(), key);
    assert!(home.run(["get", &key]).bytes() == value);
    assert!(staged(&home).is_empty());
}

#[test]
fn what_killed_clients_left_is_swept_and_what_is_under_way_is_not() {
    let home = Home::new();
    let value = noise(1, 500_000);
    let Upload { client, staged: abandoned, .. } = Upload::begin(&home, &value[..200_000]);
    client.kill();
    let mut slow = Upload::begin(&home, &value[..200_000]);
    [&abandoned, &slow.staged].into_iter().for_each(age);
    // A daemon sweeps when it starts.
    home.daemon().kill();
    home.start();
    eventually("the abandoned upload is swept", PATIENCE, || !abandoned.exists());
    slow.pipe.write_all(&value[200_000..]).unwrap();
    drop(slow.pipe);
    let key = slow.client.answer();
    assert!(home.run(["get", key.as_str().unwrap()]).bytes() == value);
}

#[test]
fn a_command_that_is_interrupted_leaves_no_upload_behind_that_counts() {
    let home = Home::new();
    home.start();
    let mut child = home.command(["add", "-", "--key", "k"]).spawn();
    child.stdin.as_mut().unwrap().write_all(&noise(1, 200_000)).unwrap();
    eventually("the upload is staged", PATIENCE, || !staged(&home).is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(home.run(["contains", "k"]).code(), 1);
    staged(&home).iter().for_each(age);
    home.daemon().kill();
    home.start();
    eventually("it is swept", PATIENCE, || staged(&home).is_empty());
    assert_eq!(home.run(["len"]).number(), 0);
}
