//! Files in and out (S21 to S26), and values that are never held in memory as a whole.

use std::fs;
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use datacache_client::{Codec, Expire, HashType, Json, hash_of};
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, eventually};
use serde_json::json;

use crate::support::{client, noise};

/// What neither side may ever have of a value, in bytes, however large it is.
const MEMORY_MAX: u64 = 100 << 20;

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn names(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// S21.
#[test]
fn a_file_that_was_got_goes_with_its_guard_unless_it_is_kept() {
    let home = Home::new();
    let cache = home.open();
    for value in [noise(1, 100), noise(2, 100_000)] {
        cache.set("k", &value).unwrap();
        let guard = cache.get_file("k").directory(home.temporary()).run().unwrap().unwrap();
        let path = guard.path().to_owned();
        assert!(fs::read(&path).unwrap() == value && path.is_absolute());
        drop(guard);
        assert!(!path.exists());
        let kept = cache.get_file("k").directory(home.temporary()).run().unwrap().unwrap().keep();
        assert!(fs::read(kept).unwrap() == value);
    }
}

/// S21, asynchronously.
#[tokio::test]
async fn the_asynchronous_client_gets_files_too() {
    let home = Home::new();
    let cache = home.open_async().await;
    cache.set("k", noise(1, 100_000)).await.unwrap();
    let guard = cache.get_file("k").directory(home.temporary()).suffix(".bin").await.unwrap().unwrap();
    assert_eq!(fs::metadata(guard.path()).unwrap().len(), 100_000);
    let path = guard.path().to_owned();
    drop(guard);
    assert!(!path.exists());
    assert!(cache.get_file("missing").directory(home.temporary()).await.unwrap().is_none());
    assert!(names(&home.temporary()).is_empty());
}

/// S22.
#[test]
fn a_file_without_a_name_is_unique_and_the_users_alone() {
    let home = Home::new();
    let cache = home.open();
    cache.set("k", noise(1, 100_000)).unwrap();
    let get = || cache.get_file("k").directory(home.temporary());
    let [one, two] = [get().run().unwrap().unwrap(), get().run().unwrap().unwrap()];
    assert_ne!(one.path(), two.path());
    assert_eq!(mode(one.path()), 0o600);
    assert_eq!(one.path().parent(), Some(&*home.temporary()));
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name(one.path()).starts_with("datacache-"));
    let named = get().prefix("oteapi-download-").suffix("x.tar.gz").run().unwrap().unwrap();
    let named = name(named.path());
    assert!(named.starts_with("oteapi-download-") && named.ends_with("x.tar.gz"), "{named}");
}

/// S22, through the command: the file stays.
#[test]
fn the_command_prints_the_path_of_a_file_that_stays() {
    let home = Home::new();
    home.command(["add", "-", "--key", "k"]).input("v").outcome().text();
    let path = PathBuf::from(home.run(["get-file", "k", "--suffix", ".txt"]).text());
    assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"v".to_vec(), 0o600));
    assert_eq!(path.parent(), Some(&*home.temporary()));
    let directory = home.path().join("home");
    let path = home.run(["get-file", "k", "--prefix", "p-", "--directory", directory.to_str().unwrap()]).text();
    assert!(path.starts_with(directory.join("p-").to_str().unwrap()) && Path::new(&path).exists());
}

/// S23.
#[test]
fn a_named_file_is_replaced_in_one_step_and_kept_unless_asked() {
    let home = Home::new();
    let cache = home.open();
    let (old, value) = (home.file("target", "old"), noise(1, 100_000));
    let link = home.path().join("second name of the old file");
    fs::hard_link(&old, &link).unwrap();
    cache.set("k", &value).unwrap();
    let guard = cache.get_file("k").filename(&old).prefix("ignored").directory("/ignored").run().unwrap().unwrap();
    assert_eq!(guard.path(), old);
    drop(guard);
    assert!(fs::read(&old).unwrap() == value, "the file stays");
    assert_eq!(fs::read(&link).unwrap(), b"old", "it was written beside and renamed");
    assert_eq!(names(old.parent().unwrap()).len(), 1, "nothing else is left");
    drop(cache.get_file("k").filename(&old).delete(true).run().unwrap().unwrap());
    assert!(!old.exists());
}

/// S23: the mode follows the umask, as that of any program's output.
#[test]
fn the_mode_of_a_named_file_is_as_the_umask_has_it() {
    let home = Home::new();
    home.command(["add", "-", "--key", "k"]).input("v").outcome().text();
    let shell = "umask 027; exec \"$DATACACHE_PROGRAM\" get-file k --filename named";
    assert!(home.program("sh").args(["-c", shell]).output().unwrap().status.success());
    assert_eq!(mode(home.path().join("named")), 0o640);
}

/// S24.
#[test]
fn text_is_written_as_utf_8_and_json_as_its_text() {
    let home = Home::new();
    let cache = home.open();
    cache.set("text", "grün").unwrap();
    cache.set("json", Json(json!({"b": [1.0], "a": "ü"}))).unwrap();
    for (key, content) in [("text", "grün"), ("json", r#"{"a": "ü", "b": [1.0]}"#)] {
        let guard = cache.get_file(key).directory(home.temporary()).run().unwrap().unwrap();
        assert_eq!(fs::read_to_string(guard.path()).unwrap(), content);
    }
}

/// S24.
#[test]
fn nothing_is_left_behind_where_no_file_can_be_written() {
    let home = Home::new();
    let cache = home.open();
    cache.set("k", noise(1, 100_000)).unwrap();
    let folder = home.temporary();
    assert!(cache.get_file("missing").filename(folder.join("f")).run().unwrap().is_none());
    assert!(cache.get_file("k").filename(folder.join("no/such/folder")).run().is_err());
    let occupied = folder.join("a folder");
    fs::create_dir(&occupied).unwrap();
    assert!(cache.get_file("k").filename(&occupied).run().is_err());
    assert!(cache.get_file("k").directory("/no/such/folder").run().is_err());
    let outcome = home.run(["get-file", "k", "--filename", "/no/such/folder/f"]);
    assert!(outcome.error(4).contains("/no/such/folder"), "{outcome:?}");
    assert_eq!(home.run(["get-file", "missing", "--filename", "f"]).code(), 1);
    assert_eq!(names(&folder), [occupied]);
    assert!(!home.path().join("f").exists());
}

/// S24: neither a damaged value nor a part of it becomes a file. The daemon looks at new values too and may be the first
/// to find the damage; then the entry is gone.
#[test]
fn a_damaged_value_is_refused_or_gone_and_leaves_no_file() {
    let home = Home::new();
    let cache = home.open();
    let key = cache.add(noise(1, 300_000)).run().unwrap();
    let hash = key.as_text().unwrap();
    let blob = home.store().join("blobs").join(&hash[..2]).join(hash);
    fs::set_permissions(&blob, fs::Permissions::from_mode(0o600)).unwrap();
    fs::OpenOptions::new().write(true).open(&blob).unwrap().write_all(b"damage").unwrap();
    match cache.get_file(&key).directory(home.temporary()).run() {
        Ok(got) => assert!(got.is_none(), "{got:?}"),
        Err(error) => assert!(error.to_string().contains("damaged"), "{error}"),
    }
    if let Some(mut reader) = cache.get_reader(&key).unwrap() {
        let read = reader.read_to_end(&mut Vec::new());
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
    let target = home.path().join("target");
    let outcome = home.run(["get", hash, "-o", target.to_str().unwrap()]);
    assert!(outcome.code() == 1 || outcome.error(4).contains("damaged"), "{outcome:?}");
    assert!(names(&home.temporary()).is_empty() && !target.exists());
    assert!([0, 1].contains(&home.run(["verify", "--repair"]).code()));
    assert_eq!(home.run(["verify"]).code(), 0);
    assert!(!cache.contains(&key).unwrap());
}

/// S25.
#[test]
fn a_value_of_a_gibibyte_passes_through_client_and_daemon_in_constant_memory() {
    let home = Home::new();
    home.start();
    let (length, path) = (1_u64 << 30, home.file("sparse", ""));
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap();
    let mut other = client(&home);
    let key = other.ask(&["add-file", path.to_str().unwrap(), "t"]);
    assert_eq!(key, "49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14");
    assert_eq!(other.ask(&["hash", key.as_str().unwrap()]), json!([length, key]));
    let [client, daemon] = [other.process().peak_memory(), home.daemon().peak_memory()];
    assert!(client < MEMORY_MAX, "the client had {client} bytes at its peak");
    assert!(daemon < MEMORY_MAX, "the daemon had {daemon} bytes at its peak");
}

/// S26.
#[test]
fn changing_a_file_that_was_got_never_changes_the_cache() {
    let home = Home::new();
    let cache = home.open();
    let value = noise(1, 200_000);
    cache.set("k", &value).unwrap();
    let guard = cache.get_file("k").directory(home.temporary()).run().unwrap().unwrap();
    fs::write(guard.path(), "changed").unwrap();
    assert!(cache.get_as::<Vec<u8>>("k").unwrap().unwrap() == value);
    let source = home.file("source", &value);
    let key = cache.add_file(&source).key("added").run().unwrap();
    fs::OpenOptions::new().append(true).open(&source).unwrap().write_all(b"more").unwrap();
    assert!(cache.get_as::<Vec<u8>>(&key).unwrap().unwrap() == value);
}

/// S26.
#[test]
fn a_borrowed_file_is_the_stored_one_for_reading_only_and_outlives_its_entry() {
    let home = Home::new();
    let cache = home.open();
    let value = noise(1, 200_000);
    let key = cache.add(&value).run().unwrap();
    let hash = key.as_text().unwrap();
    let stored = fs::metadata(home.store().join("blobs").join(&hash[..2]).join(hash)).unwrap();
    let borrowed = cache.borrow_file(&key).unwrap().unwrap();
    let mut file = borrowed.file().unwrap();
    assert_eq!(file.metadata().unwrap().ino(), stored.ino(), "no copy");
    assert!(file.write_all(b"x").is_err(), "open for reading only");
    assert_eq!(stored.permissions().mode() & 0o222, 0, "nobody is to write to it");
    cache.delete(&key).unwrap();
    assert!(**borrowed == value[..]);
    assert!(cache.borrow_file(&key).unwrap().is_none());
    cache.set("small", "v").unwrap();
    assert!(cache.borrow_file("small").unwrap().unwrap().file().is_none());
}

#[test]
fn the_room_of_values_that_went_is_free_soon_after_although_nobody_asks() {
    let home = Home::new();
    let cache = home.open();
    let blobs = || names(&home.store().join("blobs")).iter().map(|folder| names(folder).len()).sum::<usize>();
    cache.add(noise(1, 100_000)).key("evicted").tag("t").run().unwrap();
    cache.add(noise(2, 100_000)).key("expired").expire(Expire::After(Duration::from_millis(100))).run().unwrap();
    cache.set("replaced", noise(3, 100_000)).unwrap();
    cache.set("stays", noise(4, 100_000)).unwrap();
    assert_eq!(blobs(), 4);
    cache.evict("t").unwrap();
    cache.set("replaced", "small").unwrap();
    eventually("only one file is left", PATIENCE, || blobs() == 1);
    assert!(cache.get_as::<Vec<u8>>("stays").unwrap() == Some(noise(4, 100_000)));
}

#[test]
fn a_file_is_streamed_in_and_out_with_its_codec_and_progress() {
    let home = Home::new();
    let cache = home.open();
    let text = "zeile ü\n".repeat(20_000);
    let path = home.file("text", &text);
    let (sender, progress) = std::sync::mpsc::channel();
    let add = cache.add_file(&path).text().progress(move |bytes| sender.send(bytes).unwrap());
    let key = add.run().unwrap();
    assert_eq!(key.as_text(), Some(&*hash_of(&text, HashType::Sha256).unwrap()));
    assert_eq!(progress.iter().last(), Some(text.len() as u64));
    let mut reader = cache.get_reader(&key).unwrap().unwrap();
    assert_eq!((reader.codec(), reader.len()), (Codec::Text, text.len() as u64));
    assert_eq!(io::read_to_string(&mut reader).unwrap(), text);
    assert_eq!(cache.get_as::<String>(&key).unwrap(), Some(text));
}

#[test]
fn what_is_not_the_text_or_json_that_it_is_said_to_be_is_refused() {
    let home = Home::new();
    let cache = home.open();
    let mut content = vec![b'a'; 100_000];
    content.push(0xff);
    let path = home.file("not text", content);
    let error = cache.add_file(&path).text().run().unwrap_err();
    assert!(error.is_invalid_input() && error.to_string().contains("byte 100000"), "{error}");
    let error = cache.add_reader(&b"{\"a\": }"[..]).json().run().unwrap_err();
    assert!(error.is_invalid_input(), "{error}");
    assert!(cache.add_file("/no/such/file").run().is_err());
    assert!(cache.is_empty().unwrap());
    assert!(names(&home.store().join("staging")).is_empty());
}

#[test]
fn a_reader_that_fails_adds_nothing() {
    struct Failing(u32);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            if self.0 > 20 { Err(io::Error::other("the tape is torn")) } else { Ok(buffer.len()) }
        }
    }
    let home = Home::new();
    let cache = home.open();
    let error = cache.add_reader(Failing(0)).key("k").run().unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "the tape is torn");
    assert!(!cache.contains("k").unwrap());
    assert!(names(&home.store().join("staging")).is_empty());
}
