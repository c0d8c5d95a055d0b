//! A store that goes on in a smaller index, and what becomes of the one before.

use super::super::command::{Batch, Command, Condition, NewValue, Put};
use super::super::making_way::Way;
use super::super::rules::{Reserve, Rule, Rules};
use super::super::testing::{NOW, options, put, put_of, store, wait};
use super::*;
use datacache_proto::key::Key;
use datacache_proto::layout::{CURRENT, DATA_FILE};
use datacache_proto::recent::{View, Word, Words};
use datacache_proto::types::Digest;
use sha2::Digest as _;
use std::os::unix::fs::MetadataExt as _;

const VALUE: usize = 1 << 20;
const VALUES: i64 = 40;

fn write(store: &mut Store, command: Command) {
    let (mut batches, mut results) = ([Batch::of(command, None)].into(), Vec::new());
    store.write(&mut batches, NOW, &mut results);
    while results.is_empty() {
        wait(store, |store| matches!(store.next, Next::Ready(_)));
        store.write(&mut batches, NOW, &mut results);
    }
    results.pop().expect("there is one").unwrap();
}

fn apply(store: &mut Store) {
    while !store.is_at_rest() {
        // What its threads find out is written by itself.
        let target = store.request_checkpoint();
        wait(store, |store| store.applied() >= target && (store.is_at_rest() || store.end > SEGMENT_HEADER as u64));
    }
}

/// Adds large entries and has them applied, and all but one go again.
fn emptied(folder: &tempfile::TempDir) -> Store {
    let mut store = store(folder);
    for key in 0..VALUES {
        let value = NewValue::Inline(vec![u8::try_from(key).unwrap(); VALUE].into());
        write(&mut store, Command::Put(Put { key: Key::integer(key).into(), ..put_of(value) }));
    }
    apply(&mut store);
    assert!(!store.has_much_free());
    let namespace = store.namespace("n").unwrap();
    for key in 1..VALUES {
        write(&mut store, Command::Delete { namespace, key: Key::integer(key), when: Condition::Live });
    }
    apply(&mut store);
    assert!(store.has_much_free());
    store
}

fn prepared(store: &Store) -> Successor {
    let succession = store.succession().expect("nothing is to be done");
    succession.prepare(|| true).unwrap().expect("it goes on")
}

fn get(store: &Store, key: &Key) -> Option<usize> {
    let length = |record: &datacache_proto::record::Record<'_>| match record.value {
        datacache_proto::record::Value::Inline(value) => value.len(),
        datacache_proto::record::Value::Blob { length, .. } => usize::try_from(length).unwrap(),
    };
    store.read(store.namespace("n").unwrap(), key, NOW, length).unwrap()
}

fn live(store: &Store) -> PathBuf {
    fs::read_link(store.path().join(CURRENT)).unwrap()
}

#[test]
fn a_store_goes_on_in_a_smaller_index_and_nothing_is_left_of_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = emptied(&folder);
    let blob = stage_blob(&store);
    write(&mut store, Command::Put(Put { key: Key::from("blob").into(), ..put_of(blob) }));
    apply(&mut store);
    let attached = Index::open(&store.generation, store.id).unwrap().expect("the store has one");
    store.access.access().count(0, 7, true);
    let (counts, before) = (store.counts(store.namespace("n").unwrap()), fs::metadata(data(&store)).unwrap());

    let successor = prepared(&store);
    assert!(!View::from_word(attached.words().load(Word::View)).is_over(), "it is only made yet");
    let former = store.succeed(successor).expect("nobody wrote").expect("the link can be changed");
    assert!(View::from_word(attached.words().load(Word::View)).is_over());
    former.remove();
    drop(former);
    assert_eq!(live(&store), Path::new("gen-2"));
    assert!(!store.path().join("gen-1").exists() && !store.path().join("current.new").exists());
    let after = fs::metadata(data(&store)).unwrap();
    assert!(after.blocks() * 512 < before.blocks() * 512 / 4, "{before:?} {after:?}");
    assert_eq!(store.counts(store.namespace("n").unwrap()), counts);
    assert_eq!(store.reads(7).map(|reads| reads.hits), Some(1), "what was counted goes on to count");
    assert!(store.blobs().is_verified(&digest()).is_ok());

    wait(&mut store, |store| matches!(store.next, Next::Ready(_)));
    put(&mut store, NewValue::Inline(vec![7].into()));
    let check = |store: &Store| {
        let found = [Key::integer(0), Key::integer(1), "blob".into(), "k".into()].map(|key| get(store, &key));
        assert_eq!(found, [Some(VALUE), None, Some(5), Some(1)]);
    };
    check(&store);
    apply(&mut store);
    check(&store);
    put(&mut store, NewValue::Inline(vec![8].into()));
    drop(store);
    let store = Store::open(options(&folder), NOW).unwrap();
    check(&store);
    store.close(NOW).unwrap();
    check(&Store::open(options(&folder), NOW).unwrap());
}

/// For as long as both had blocks the disk was short of them, and entries were evicted that the smaller index was to keep.
#[test]
fn the_file_before_is_not_evicted_for_while_it_is_about_to_go() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = emptied(&folder);
    let before = store.lookup.tables.room.end().unwrap();
    let successor = prepared(&store);
    let former = store.succeed(successor).unwrap().expect("the link can be changed");
    former.remove();
    assert!(store.spare().unwrap() >= before);
    drop(former);
    assert!(store.spare().unwrap() < before);
}

/// The places were looked for in a segment of the index before: none was found, and what was new was refused.
#[test]
fn what_is_added_in_a_smaller_index_is_evicted_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = emptied(&folder);
    let successor = prepared(&store);
    store.succeed(successor).unwrap().expect("the link can be changed");
    wait(&mut store, |store| matches!(store.next, Next::Ready(_)));
    let all = Rule { limit_entries: Some(3), ..Rule::default() };
    store.set_rules(Rules { all, reserve: Reserve::Bytes(0), ..Rules::default() });
    let namespace = store.namespace("n").unwrap();
    for key in 100..110 {
        let value = NewValue::Inline(vec![7].into());
        let put = Command::Put(Put { key: Key::integer(key).into(), ..put_of(value) });
        let batch = Batch::of(put.clone(), None);
        while let way @ (Way::Again | Way::Refused(_)) = store.make_way(&batch, NOW) {
            assert!(matches!(way, Way::Again), "{key}: {way:?}");
        }
        write(&mut store, put);
        assert!(store.counts(namespace).entries <= 3);
    }
}

fn data(store: &Store) -> PathBuf {
    store.generation.join(DATA_FILE)
}

fn digest() -> Digest {
    Digest(sha2::Sha256::digest(b"value").into())
}

fn stage_blob(store: &Store) -> NewValue {
    super::super::testing::stage(&store.blobs(), digest())
}

#[test]
fn a_write_during_the_copy_wins() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = emptied(&folder);
    let successor = prepared(&store);
    put(&mut store, NewValue::Inline(vec![7].into()));
    let late = store.succeed(successor).expect_err("it has not what was written");
    late.discard();
    apply(&mut store);
    let late = prepared(&store);
    assert_eq!((live(&store).as_path(), get(&store, &"k".into())), (Path::new("gen-1"), Some(1)));
    put(&mut store, NewValue::Inline(vec![7, 8].into()));
    apply(&mut store);
    store.succeed(late).expect_err("it has not what was written and applied").discard();
    assert!(!store.path().join("gen-2").exists() && !store.path().join("current.new").exists());
    let successor = prepared(&store);
    assert!(store.succeed(successor).unwrap().is_some());
    assert_eq!(get(&store, &"k".into()), Some(2));
}

#[test]
fn a_copy_that_is_given_up_or_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = emptied(&folder);
    assert!(store.succession().unwrap().prepare(|| false).unwrap().is_none());
    assert!(!store.path().join("gen-2").exists());
    fs::create_dir(store.path().join("current.new")).unwrap();
    let failed = store.succession().unwrap().prepare(|| true).unwrap_err();
    assert!(matches!(failed, OpenError::Io { .. }), "{failed:?}");
    fs::remove_dir(store.path().join("current.new")).unwrap();
    drop(prepared(&store));
    drop(store);
    let store = Store::open(options(&folder), NOW).unwrap();
    assert!(!store.path().join("gen-2").exists(), "a daemon died before it was live");
    assert_eq!(get(&store, &Key::integer(0)), Some(VALUE));
}
