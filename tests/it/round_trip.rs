//! Values come out as they went in, whatever their size, through every face and across processes.

use datacache_client::{Codec, HashType, Json, Transfer, blocking, hash_of};
use datacache_tests::Home;

use crate::support::{client, noise};

/// Sizes around the bounds: nothing, the largest value that rides in a call, one that does not, several chunks.
const SIZES: [usize; 6] = [0, 1, 32 * 1024, 32 * 1024 + 1, 1 << 20, (3 << 20) + 7];

#[test]
fn bytes_of_any_size_come_back_from_the_blocking_client() {
    let home = Home::new();
    let cache = home.open();
    for size in SIZES {
        let value = noise(size as u64, size);
        let key = cache.add(&value).run().unwrap();
        assert_eq!(key.as_text(), Some(&*hash_of(&value, HashType::Sha256).unwrap()));
        assert_eq!(cache.get_as::<Vec<u8>>(&key).unwrap(), Some(value), "{size} bytes");
    }
    assert_eq!(cache.len().unwrap(), SIZES.len() as u64);
}

#[tokio::test]
async fn bytes_of_any_size_come_back_from_the_asynchronous_client() {
    let home = Home::new();
    let cache = home.open_async().await;
    for size in SIZES {
        let value = noise(size as u64, size);
        let key = cache.add(&value).await.unwrap();
        assert_eq!(cache.get_as::<Vec<u8>>(&key).await.unwrap(), Some(value), "{size} bytes");
    }
}

#[test]
fn bytes_of_any_size_come_back_from_the_command() {
    let home = Home::new();
    for size in SIZES {
        let value = noise(size as u64, size);
        let file = home.file("value", &value);
        let key = home.run(["add".as_ref(), file.as_os_str()]).text();
        assert_eq!(key, hash_of(&value, HashType::Sha256).unwrap());
        assert!(home.run(["get", &key]).bytes() == value, "{size} bytes");
        let piped = home.command(["add", "-", "--key", "piped"]).input(value.clone()).outcome().text();
        assert_eq!(piped, "piped");
        assert!(home.run(["get", "piped"]).bytes() == value, "{size} bytes through pipes");
    }
}

#[test]
fn what_each_face_adds_the_others_read() {
    let home = Home::new();
    let cache = home.open();
    let large = "ü".repeat(40_000);
    cache.set("from the library", &large).unwrap();
    home.command(["add", "-", "--text", "--key", "from the command"]).input(large.clone()).outcome().text();
    let mut other = client(&home);
    other.ask(&["add", "from a process", &large]);
    for key in ["from the library", "from the command", "from a process"] {
        assert_eq!(cache.get_as::<String>(key).unwrap().as_ref(), Some(&large), "{key}");
        assert!(home.run(["get", key]).text() == large, "{key}");
        assert_eq!(other.ask(&["get", key]), *large, "{key}");
    }
}

#[test]
fn small_and_large_values_come_back_however_they_travel() {
    let home = Home::new();
    home.start();
    for transfer in [Transfer::Auto, Transfer::Staging, Transfer::Chunks] {
        let cache = blocking::DataCache::open(home.options().transfer(transfer)).unwrap();
        for size in SIZES {
            let value = noise(size as u64, size);
            let key = format!("{transfer:?} {size}");
            cache.set(&key, &value).unwrap();
            assert!(cache.get_as::<Vec<u8>>(&key).unwrap() == Some(value), "{key}");
        }
    }
    // Equal content is one blob, however it came.
    let large = SIZES.iter().filter(|size| **size > 32 * 1024).count();
    assert_eq!(home.open().stats().unwrap().store.blobs, large as u64);
}

#[test]
fn keys_of_every_kind_and_of_the_greatest_length_name_entries() {
    let home = Home::new();
    let cache = home.open();
    let longest = "k".repeat(64 * 1024);
    cache.set(&longest, "long").unwrap();
    cache.set(b"\x00\xff", "bytes").unwrap();
    cache.set(-7, "integer").unwrap();
    cache.set("-7", "text").unwrap();
    assert_eq!(cache.get_as::<String>(&longest).unwrap().as_deref(), Some("long"));
    assert_eq!(home.run(["get", "--key-type", "hex", "0x00ff"]).text(), "bytes");
    assert_eq!(home.run(["get", "--key-type", "integer", "--", "-7"]).text(), "integer");
    assert_eq!(home.run(["get", "--", "-7"]).text(), "text");
    assert_eq!(cache.len().unwrap(), 4);
}

#[test]
fn json_comes_back_as_the_type_it_was() {
    let home = Home::new();
    let cache = home.open();
    let value = (1.5e300, vec![Some("ü"), None], true);
    cache.set("json", Json(&value)).unwrap();
    let back: Option<(f64, Vec<Option<String>>, bool)> = cache.get_json("json").unwrap();
    assert_eq!(back, Some((1.5e300, vec![Some("ü".into()), None], true)));
    assert_eq!(cache.get("json").unwrap().unwrap().codec(), Codec::Json);
    assert_eq!(home.run(["get", "json"]).text(), r#"[1.5e+300, ["ü", null], true]"#);
}
