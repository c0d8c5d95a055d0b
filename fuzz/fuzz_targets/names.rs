//! Keys, tags, names of namespaces, and the places of a store: what is taken keeps to its bounds and is the same once it is
//! spelled again.

#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, PathBuf};

use datacache_proto::key::{Key, MAX_KEY, MAX_NAMESPACE, MAX_TAG, Tag, check_namespace};
use datacache_proto::layout::{MAX_INDEX_KEY, index_key};
use datacache_proto::paths::{MAX_SOCKET_PATH, Overrides, Paths};
use datacache_proto::types::Digest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check_key(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        check_text(text);
    }
    check_paths(bytes);
});

fn check_key(bytes: &[u8]) {
    let Ok(key) = Key::from_encoded(bytes) else { return };
    assert!(bytes.len() <= 1 + MAX_KEY && index_key(1, bytes).len() <= MAX_INDEX_KEY);
    let again = match (key.as_text(), key.as_bytes(), key.as_integer()) {
        (Some(text), None, None) => Key::text(text),
        (None, Some(bytes), None) => Key::bytes(bytes),
        (None, None, Some(integer)) => Key::integer(integer),
        kinds => panic!("{key} is of several kinds, or of none: {kinds:?}"),
    };
    assert_eq!(again, key);
    assert!(!key.to_string().is_empty());
}

fn check_text(text: &str) {
    if let Ok(tag) = Tag::new(text) {
        assert!(tag.as_str() == text && (1..=MAX_TAG).contains(&text.len()) && !text.contains('\0'));
    }
    if check_namespace(text).is_ok() {
        assert!((1..=MAX_NAMESPACE).contains(&text.len()) && !text.contains(['\0', '\n', '\u{1b}']));
    }
    if let Some(digest) = Digest::from_hex(text) {
        assert_eq!(digest.to_string(), text.to_ascii_lowercase());
    }
}

fn check_paths(bytes: &[u8]) {
    let mut names = bytes.split(|&byte| byte == b'\n').map(|name| PathBuf::from(OsStr::from_bytes(name)));
    let overrides = Overrides { dir: names.next(), socket: names.next() };
    let Ok(paths) = Paths::resolve(&overrides) else { return };
    assert!(paths.socket.as_os_str().len() <= MAX_SOCKET_PATH);
    assert!(paths.socket != paths.store_link, "{paths:?}");
    assert!(paths.store.is_absolute() && !paths.store.components().any(|part| part == Component::CurDir));
    // Its own answer leads to the same places.
    let again = Overrides { dir: Some(paths.store.clone()), socket: overrides.socket.map(|_| paths.socket.clone()) };
    assert_eq!(Paths::resolve(&again), Ok(paths));
}
