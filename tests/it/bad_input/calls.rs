//! Calls that a client of ours would never make: staged files that are not what was said, and fields out of bounds.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;

use datacache_proto::error::{StagedFault, WireError};
use datacache_proto::key::{Key, KeyError, NamespaceError, Tag, TagError};
use datacache_proto::types::{Addition, Body, Codec, Digest, Fallback, ListQuery};
use datacache_tests::eventually;
use datacache_tests::wait::PATIENCE;

use super::Unharmed;
use crate::wire::{addition, call, introduced, soon};

fn staged(name: &str, length: u64) -> Addition {
    addition("k", Body::Staged { name: name.into(), length, digest: Digest([0; 32]) })
}

fn inline(key: &str) -> Addition {
    addition(key, Body::Inline(b"v".to_vec()))
}

#[tokio::test]
async fn staged_files_that_are_missing_of_another_length_or_no_files() {
    let unharmed = Unharmed::new();
    let staging = unharmed.home.store().join("staging");
    let elsewhere = unharmed.home.file("elsewhere", vec![1; 100_000]);
    fs::write(staging.join("short"), vec![1; 50_000]).unwrap();
    fs::write(staging.join("long"), vec![1; 150_000]).unwrap();
    fs::write(staging.join("other content"), vec![1; 100_000]).unwrap();
    fs::create_dir(staging.join("folder")).unwrap();
    symlink(&elsewhere, staging.join("link")).unwrap();
    let client = introduced(&unharmed.home).await;
    let cases = [
        ("missing", StagedFault::Missing),
        ("short", StagedFault::Length { expected: 100_000, actual: 50_000 }),
        ("long", StagedFault::Length { expected: 100_000, actual: 150_000 }),
        ("folder", StagedFault::NotRegular),
        ("link", StagedFault::NotRegular),
        ("", StagedFault::Name),
        (".", StagedFault::Name),
        ("..", StagedFault::Name),
        ("../staging/short", StagedFault::Name),
        ("/etc/passwd", StagedFault::Name),
        ("nul\0", StagedFault::Name),
    ];
    for (number, (name, fault)) in cases.into_iter().enumerate() {
        let refused = client.add(soon(), call(number as u64 + 1), staged(name, 100_000)).await.unwrap();
        assert_eq!(refused.unwrap_err(), WireError::Staged { name: name.into(), fault });
    }
    assert_eq!(fs::metadata(elsewhere).unwrap().len(), 100_000, "what a link leads to is left alone");
    unharmed.check();
}

#[tokio::test]
async fn a_staged_file_with_another_content_than_was_said_is_never_handed_out_as_that() {
    let unharmed = Unharmed::new();
    let cache = unharmed.home.open();
    fs::write(unharmed.home.store().join("staging/forged"), vec![1; 100_000]).unwrap();
    let client = introduced(&unharmed.home).await;
    let added = client.add(soon(), call(1), staged("forged", 100_000)).await.unwrap();
    added.expect("the hash is only a claim until the daemon has counted it itself");
    eventually("the daemon finds it out", PATIENCE, || {
        match cache.get_reader("k") {
            Ok(None) => return true,
            Ok(Some(mut reader)) => drop(io::copy(&mut reader, &mut io::sink()).unwrap_err()),
            // The file is gone already, and the entry about to be.
            Err(error) => assert!(error.is_refused(), "{error}"),
        }
        false
    });
    eventually("its entry goes", PATIENCE, || cache.len().unwrap() == 1);
    unharmed.check();
}

#[tokio::test]
async fn fields_out_of_bounds() {
    let unharmed = Unharmed::new();
    let client = introduced(&unharmed.home).await;
    let tags = (0..65).map(|number| Tag::new(&format!("t{number}")).unwrap()).collect();
    let long = "k".repeat(64 * 1024 + 1);
    let cases = [
        (inline(""), WireError::Key(KeyError::Empty)),
        (inline(&long), WireError::Key(KeyError::TooLong { length: 65_537 })),
        (Addition { tags, ..inline("k") }, WireError::Tag(TagError::TooMany { count: 65 })),
        (Addition { namespace: String::new(), ..inline("k") }, WireError::Namespace(NamespaceError::Empty)),
        (addition("k", Body::Uploaded { upload: 7, length: 1 }), WireError::Upload { upload: 7, length: 1 }),
    ];
    for (number, (addition, error)) in cases.into_iter().enumerate() {
        let refused = client.add(soon(), call(number as u64 + 1), addition).await.unwrap();
        assert_eq!(refused.unwrap_err(), error);
    }
    let large = addition("k", Body::Inline(vec![0; 32 * 1024 + 1]));
    assert!(client.add(soon(), call(100), large).await.unwrap().is_err());
    let text = Addition { codec: Codec::Text, ..addition("k", Body::Inline(b"a\xff".to_vec())) };
    let refused = client.add(soon(), call(101), text).await.unwrap();
    assert_eq!(refused.unwrap_err(), WireError::NotText { valid_up_to: 1 });
    for limit in [0, 4_097] {
        let query = ListQuery { namespace: "default".into(), prefix: None, tag: None, after: None, limit };
        let refused = client.list(soon(), query).await.unwrap().unwrap_err();
        assert!(matches!(refused, WireError::OutOfRange { .. }), "{refused}");
    }
    assert_eq!(client.close(soon(), 9).await.unwrap().unwrap_err(), WireError::Handle { handle: 9 });
    let refused = client.get(soon(), "default".into(), Key::text(""), Fallback::Off).await.unwrap();
    assert_eq!(refused.unwrap_err(), WireError::Key(KeyError::Empty));
    unharmed.check();
}
