//! Messages as long as they may be, longer ones, and short ones that would take much memory.

use datacache_proto::PROTOCOL;
use datacache_proto::codec::MAX_MESSAGE;
use datacache_proto::key::{Key, Tag};
use datacache_proto::process::Process;
use datacache_proto::service::{CacheRequest, CacheResponse, Keys, Tags};
use datacache_proto::types::{Addition, Body, Fallback, Introduction};
use datacache_tests::wait::PATIENCE;
use datacache_tests::{Home, eventually};

use super::raw::{Raw, frame};
use super::{check_left, check_others};
use crate::wire::{addition, call, hello};

/// Returns a `hello` that takes so many bytes as a message.
fn hello_of(length: usize) -> Vec<u8> {
    let mut hello = hello(PROTOCOL, PROTOCOL);
    hello.build = "b".repeat(length - 100);
    let short = frame(1, &CacheRequest::Hello { hello: hello.clone() }).len() - 4;
    hello.build.extend(std::iter::repeat_n('b', length - short));
    let frame = frame(1, &CacheRequest::Hello { hello });
    assert_eq!(frame.len() - 4, length);
    frame
}

#[test]
fn a_message_of_the_longest_length_is_taken_and_a_longer_one_ends_its_connection_only() {
    let home = Home::new();
    home.start();
    let mut longest = Raw::connect(&home);
    longest.send(&hello_of(MAX_MESSAGE));
    assert!(matches!(longest.hear().unwrap(), CacheResponse::Hello(Ok(_))));
    let mut longer = Raw::connect(&home);
    longer.send(&hello_of(MAX_MESSAGE + 1));
    longer.is_hung_up_on();
    check_others(&home);
}

/// Each is below the limit, and made a hundred megabytes of it.
#[test]
fn lists_that_nobody_means_are_not_taken_into_memory() {
    const MANY: usize = 2_000_000;
    let home = Home::new();
    home.start();
    check_others(&home);
    let (namespace, tag) = (|| "default".to_owned(), Tag::new("t").unwrap());
    let tags = || vec![tag.clone(); MANY];
    let tagged = Addition { tags: tags(), ..addition("k", Body::Inline(Vec::new())) };
    let introduction = Introduction { process: Process::current().unwrap(), scopes: vec![1; 2 * MANY] };
    let calls = [
        CacheRequest::AddMany { call: call(2), additions: vec![tagged.clone()].into() },
        CacheRequest::Add { call: call(1), addition: tagged },
        CacheRequest::Delete { call: call(3), namespace: namespace(), keys: Keys(vec![Key::text(""); MANY]) },
        CacheRequest::GetMany {
            namespace: namespace(),
            keys: Keys(vec![Key::text(""); MANY]),
            fallback: Fallback::Off,
        },
        CacheRequest::Evict { call: call(4), namespace: namespace(), tags: Tags(tags()) },
        CacheRequest::Introduce { introduction },
    ];
    let daemon = home.daemon();
    let before = daemon.peak_memory();
    for (number, call) in calls.iter().enumerate() {
        let mut raw = Raw::introduced(&home);
        raw.say(call);
        match number {
            // It is read later than the others, and refused.
            0 => assert!(matches!(raw.hear().unwrap(), CacheResponse::AddMany(Err(_)))),
            _ => raw.is_hung_up_on(),
        }
        let most = daemon.peak_memory();
        assert!(most < before + (24 << 20), "{number}: {} MiB", (most - before) >> 20);
    }
    check_others(&home);
}

#[test]
fn a_client_that_never_takes_its_answers_has_no_more_of_them_made() {
    let home = Home::new();
    let cache = home.open();
    let keys: Vec<Key> = (0..90).map(Key::from).collect();
    cache.add_many(keys.iter().map(|key| (key.clone(), vec![7; 32 << 10]))).run().unwrap();
    check_others(&home);
    let daemon = home.daemon();
    let before = daemon.holdings();
    // Each answer is of 3 MiB, together 1.5 GiB.
    let call =
        || CacheRequest::GetMany { namespace: "default".into(), keys: Keys(keys.clone()), fallback: Fallback::Off };
    let mut deaf: Vec<Raw> = (0..8).map(|_| Raw::introduced(&home)).collect();
    for raw in &mut deaf {
        (0..64).for_each(|_| raw.say(&call()));
    }
    eventually("the calls are taken", PATIENCE, || daemon.holdings().memory > before.memory + 8 * (1 << 20));
    check_others(&home);
    let most = daemon.holdings();
    assert!(most.memory < before.memory + 8 * (8 << 20), "{before:?}, {most:?}");
    drop(deaf);
    check_left(&daemon, before);
}
