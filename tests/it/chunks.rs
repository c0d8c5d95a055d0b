//! Large values in chunks over the socket, as they travel where a client can't reach the store's folder. Clients that really
//! can't are in the tests `confined`.

use std::fs;

use datacache_client::{Error, Transfer, blocking};
use datacache_tests::Home;

use crate::support::noise;

#[test]
fn values_sent_in_chunks_are_the_same_values() {
    let home = Home::new();
    let cache = home.open();
    let chunks = blocking::DataCache::open(home.options().transfer(Transfer::Chunks)).unwrap();
    for length in [0, 32_769, 1 << 20, (1 << 20) + 1, (5 << 20) + 3] {
        let value = noise(length as u64, length);
        let key = chunks.add(&value).run().unwrap();
        assert!(cache.get_as::<Vec<u8>>(&key).unwrap().unwrap() == value, "{length} sent");
        assert!(chunks.get_as::<Vec<u8>>(&key).unwrap().unwrap() == value, "{length} sent and got");
        assert_eq!(cache.add(&value).run().unwrap(), key);
    }
    assert_eq!(cache.stats().unwrap().store.blobs, 4, "equal content is one blob, however it came");
    assert_eq!(fs::read_dir(home.store().join("staging")).unwrap().count(), 0);
}

#[test]
fn files_and_readers_work_in_chunks_too() {
    let home = Home::new();
    home.start();
    let chunks = blocking::DataCache::open(home.options().transfer(Transfer::Chunks)).unwrap();
    let value = noise(1, 3_000_000);
    let key = chunks.add_file(home.file("f", &value)).run().unwrap();
    let guard = chunks.get_file(&key).directory(home.temporary()).run().unwrap().unwrap();
    assert!(fs::read(guard.path()).unwrap() == value);
    let mut read = Vec::new();
    std::io::Read::read_to_end(&mut chunks.get_reader(&key).unwrap().unwrap(), &mut read).unwrap();
    assert!(read == value);
    assert!(**chunks.borrow_file(&key).unwrap().unwrap() == value[..]);
}

#[test]
fn a_client_that_must_stage_and_sees_another_folder_says_so() {
    let home = Home::new();
    home.start();
    let elsewhere = home.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let options = home.options().dir(&elsewhere);
    let error = blocking::DataCache::open(options).unwrap_err();
    assert!(matches!(error, Error::WrongStore { .. }) && error.is_refused(), "{error}");
}
