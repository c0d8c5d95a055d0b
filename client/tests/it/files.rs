//! Values in files of the caller's own.

use std::fs;

use datacache_client::{DataCache, Transfer};

use crate::fake::FakeDaemon;

fn large() -> Vec<u8> {
    vec![5; 2_500_000]
}

#[tokio::test]
async fn a_file_has_the_value_whichever_way_it_came() {
    let daemon = FakeDaemon::start();
    for transfer in [Transfer::Auto, Transfer::Chunks] {
        let cache = DataCache::open(daemon.options().transfer(transfer)).await.unwrap();
        cache.set("small", "é").await.unwrap();
        cache.set("large", large()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let small = cache.get_file("small").directory(folder.path()).await.unwrap().unwrap();
        let large_file = cache.get_file("large").directory(folder.path()).await.unwrap().unwrap();
        assert_eq!(fs::read_to_string(&small).unwrap(), "é");
        assert!(fs::read(&large_file).unwrap() == large(), "{transfer:?}");
        drop((small, large_file));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn a_missing_key_makes_no_file() {
    let daemon = FakeDaemon::start();
    let cache = DataCache::open(daemon.options()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    assert!(cache.get_file("none").directory(folder.path()).await.unwrap().is_none());
    let named = folder.path().join("named");
    assert!(cache.get_file("none").filename(&named).await.unwrap().is_none());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn changing_the_file_does_not_change_the_cache() {
    let daemon = FakeDaemon::start();
    let cache = DataCache::open(daemon.options()).await.unwrap();
    cache.set("large", large()).await.unwrap();
    let file = cache.get_file("large").await.unwrap().unwrap();
    fs::write(&file, "changed").unwrap();
    assert!(cache.get("large").await.unwrap().unwrap()[..] == large());
}

#[tokio::test]
async fn a_borrowed_file_is_open_for_reading_only_and_outlives_the_entry() {
    let daemon = FakeDaemon::start();
    let cache = DataCache::open(daemon.options()).await.unwrap();
    cache.set("large", large()).await.unwrap();
    cache.set("small", "s").await.unwrap();
    let borrowed = cache.borrow_file("large").await.unwrap().unwrap();
    cache.clear().await.unwrap();
    assert!(borrowed[..] == large());
    let file = borrowed.file().unwrap();
    assert_eq!(file.metadata().unwrap().len(), 2_500_000);
    assert!(std::os::unix::fs::FileExt::write_at(file, b"x", 0).is_err());
    cache.set("small", "s").await.unwrap();
    assert!(cache.borrow_file("small").await.unwrap().unwrap().file().is_none());
}

#[tokio::test]
async fn progress_reaches_the_whole_length() {
    let daemon = FakeDaemon::start();
    let cache = DataCache::open(daemon.options()).await.unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let told = sender.clone();
    cache.add(large()).key("large").progress(move |bytes| told.send(bytes).unwrap()).await.unwrap();
    assert_eq!(receiver.try_iter().last(), Some(2_500_000));
    drop(cache.get_file("large").progress(move |bytes| sender.send(bytes).unwrap()).await.unwrap());
    assert_eq!(receiver.iter().last(), Some(2_500_000));
}
