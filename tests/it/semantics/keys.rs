//! S1 to S5: hashes and keys.

use datacache_client::{Codec, Config, HashType, Json, Options, blocking, hash_of};
use datacache_tests::Home;

use super::face::{Content, Entry, every_face};

/// S1.
#[test]
fn the_default_key_is_the_sha_256_of_the_value() {
    every_face(|face| {
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for content in [Content::Bytes(b"abc"), Content::Text("abc")] {
            assert_eq!(face.add(Entry::of(content)).unwrap(), hash);
        }
    });
}

/// S1: the configuration's hash makes the key.
#[test]
fn the_configured_hash_makes_the_default_key() {
    let home = Home::new();
    home.start();
    let config = Config { hash_type: HashType::Md5, ..Config::default() };
    let cache = blocking::DataCache::open(home.options().config(config)).unwrap();
    assert_eq!(cache.add("abc").run().unwrap().as_text(), Some("900150983cd24fb0d6963f7d28e17f72"));
}

/// S2; all 248 vectors are in `hashes`.
#[test]
fn two_spellings_of_one_json_value_have_one_key_and_are_stored_canonically() {
    every_face(|face| {
        let key = face.add(Entry::of(Content::Json(r#"{"b":[1.5e16,"ü"],"a":null}"#))).unwrap();
        let same = face.add(Entry::of(Content::Json("{ \"a\" : null, \"b\" : [ 15e15, \"\\u00fc\" ] }"))).unwrap();
        assert_eq!(key, same);
        let canonical = r#"{"a": null, "b": [1.5e+16, "ü"]}"#;
        assert_eq!(face.get(&key).unwrap(), canonical.as_bytes());
        assert_eq!(key, hash_of(canonical, HashType::Sha256).unwrap());
        assert_eq!(face.len(), 1);
    });
}

/// S3, through the library; `hashes` has the command.
#[test]
fn an_unknown_hash_and_one_without_a_length_are_refused_with_the_names() {
    for name in ["crc32", "shake_128", ""] {
        let error = name.parse::<HashType>().unwrap_err().to_string();
        assert!(error.contains("md5") && error.contains("blake2s"), "{name}: {error}");
    }
    assert_eq!("SHA3_256".parse::<HashType>().ok(), Some(HashType::Sha3_256));
}

/// S4: the key that is given wins, and `0` is one.
#[test]
fn only_an_absent_key_means_absent_and_an_empty_one_is_refused() {
    every_face(|face| {
        assert_eq!(face.add(Entry::text("0", "zero")).unwrap(), "0");
        assert_eq!(face.get("0").unwrap(), b"zero");
        let refusal = face.add(Entry::text("", "empty")).unwrap_err();
        assert!(refusal.contains("the key is empty"), "{refusal}");
        assert_eq!(face.len(), 1);
    });
}

/// S4: explicit key, else `accessKey`, else the hash.
#[test]
fn the_configured_key_stands_behind_a_given_one_and_before_the_hash() {
    let home = Home::new();
    home.start();
    let config = Config::from_json(r#"{"accessKey": "configured"}"#).unwrap();
    let cache = blocking::DataCache::open(home.options().config(config)).unwrap();
    assert_eq!(cache.add("one").run().unwrap().as_text(), Some("configured"));
    assert_eq!(cache.add("two").key("given").run().unwrap().as_text(), Some("given"));
    assert!(Config::from_json(r#"{"accessKey": ""}"#).is_err());
    let plain = blocking::DataCache::open(home.options()).unwrap();
    assert_eq!(plain.add("one").run().unwrap().as_text(), Some(&*hash_of("one", HashType::Sha256).unwrap()));
}

/// S5: one hash, but no reader is handed another type silently.
#[test]
fn number_text_and_bytes_share_a_hash_and_are_never_mistaken_for_each_other() {
    let home = Home::new();
    let cache = home.open();
    let key = cache.add("42").run().unwrap();
    assert_eq!(cache.add(Json(42)).run().unwrap(), key);
    assert!(cache.get_as::<String>(&key).unwrap_err().is_wrong_type());
    assert_eq!(cache.get_json::<u8>(&key).unwrap(), Some(42));
    assert_eq!(cache.add(b"42").run().unwrap(), key);
    assert!(cache.get_json::<u8>(&key).unwrap_err().is_wrong_type());
    assert!(cache.get_as::<String>(&key).unwrap_err().is_wrong_type());
    assert_eq!(cache.get_as::<Vec<u8>>(&key).unwrap().as_deref(), Some(&b"42"[..]));
    assert_eq!(cache.get(&key).unwrap().unwrap().codec(), Codec::Bytes);
}

/// S5, asynchronously.
#[tokio::test]
async fn a_typed_read_of_another_type_is_an_error_in_the_asynchronous_client_too() {
    let home = Home::new();
    let cache = home.open_async().await;
    cache.set("k", "text").await.unwrap();
    assert!(cache.get_as::<Vec<u8>>("k").await.unwrap_err().is_wrong_type());
    assert!(cache.get_json::<String>("k").await.unwrap_err().is_wrong_type());
    assert_eq!(cache.get_as::<String>("k").await.unwrap().as_deref(), Some("text"));
}

/// S4: a name without content is no namespace either.
#[test]
fn an_empty_namespace_is_refused() {
    let error = blocking::DataCache::open(Options::new().namespace("").start(false)).unwrap_err();
    assert!(error.is_invalid_input(), "{error}");
    let home = Home::new();
    assert!(home.run(["len", "--namespace="]).error(2).contains("namespace is empty"));
}
