//! Whatever a connection was in the middle of when it ended: nothing of it is left.

use std::fs;

use datacache_proto::service::{CacheRequest, CacheResponse, Chunk};
use datacache_proto::types::Body;
use datacache_tests::Home;
use datacache_tests::eventually;
use datacache_tests::wait::PATIENCE;

use super::raw::{Raw, frame};
use super::{check_left, check_others};
use crate::support::noise;
use crate::wire::{addition, call};

/// Makes a connection of each kind, and ends it.
fn round(home: &Home, number: u64) {
    drop(Raw::connect(home));
    Raw::connect(home).send(&[0xff; 64]);
    Raw::connect(home).send(&frame(1, &CacheRequest::Len { namespace: "n".repeat(9) })[..7]);

    let mut uploading = Raw::introduced(home);
    for _ in 0..3 {
        let CacheResponse::UploadBegin(Ok(upload)) = uploading.ask(&CacheRequest::UploadBegin {}) else { panic!() };
        let chunk = Chunk(vec![7; 100_000]);
        assert!(matches!(
            uploading.ask(&CacheRequest::Upload { upload, offset: 0, chunk }),
            CacheResponse::Upload(Ok(()))
        ));
    }
    uploading.say(&CacheRequest::UploadBegin {});

    let mut reading = Raw::introduced(home);
    let open = CacheRequest::Open { namespace: "default".into(), key: "large".into() };
    for _ in 0..10 {
        assert!(matches!(reading.ask(&open), CacheResponse::Open(Ok(Some(_)))));
    }
    reading.say(&open);

    // Calls that nobody waits for any more: of a walk, of a look at all, and of what waits for the disk.
    let mut calling = Raw::introduced(home);
    calling.say(&CacheRequest::Clear { call: call(number), namespace: "other".into() });
    calling.say(&CacheRequest::Verify { repair: false });
    let mut durable = addition("durable", Body::Inline(b"v".to_vec()));
    durable.durable = true;
    calling.say(&CacheRequest::Add { call: call(number + (1 << 32)), addition: durable });
}

#[test]
fn connections_that_end_in_the_middle_of_anything_leave_nothing_behind() {
    let home = Home::new();
    let cache = home.open();
    cache.add(noise(1, 100_000)).key("large").run().unwrap();
    cache.namespace("other").set("k", "v").unwrap();
    check_others(&home);
    let daemon = home.daemon();
    let staged = || fs::read_dir(home.store().join("staging")).unwrap().count();
    // What a daemon takes once, it has by then.
    (0..20).for_each(|number| round(&home, number));
    eventually("it has come to rest", 2 * PATIENCE, || staged() == 0 && daemon.holdings().descriptors < 60);
    let before = daemon.holdings();
    (20..140).for_each(|number| round(&home, number));
    check_left(&daemon, before);
    eventually("no upload is left", PATIENCE, || staged() == 0);
    assert_eq!(cache.stats().unwrap().daemon.connections, 1);
    check_others(&home);
}
