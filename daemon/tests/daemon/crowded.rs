//! Calls at a limit: what is there makes way, nobody hears of it, and whoever needs no room does not wait for it.

use datacache_daemon::eviction::Policy;
use datacache_daemon::store::{Reserve, Rule, Rules};
use datacache_proto::error::{FullCause, WireError};
use datacache_proto::key::Key;
use datacache_proto::service::Keys;
use datacache_proto::types::{Addition, Body, Stats};

use crate::harness::{Client, Daemon, NAMESPACE, Place, bytes, soon, until};
use crate::transfers::upload;

fn rules(all: Rule) -> Rules {
    Rules { all, held_percent: 50, reserve: Reserve::Bytes(0), ..Rules::default() }
}

fn entries(limit: u64) -> Rule {
    Rule { limit_entries: Some(limit), ..Rule::default() }
}

fn start(place: &Place, rules: Rules) -> Daemon {
    Daemon::start(place, |config| config.rules = rules)
}

async fn stats(client: &Client) -> Box<Stats> {
    client.rpc.stats(soon()).await.unwrap().unwrap()
}

#[tokio::test(flavor = "local")]
async fn clients_that_add_at_the_limit_are_all_served_and_it_is_never_exceeded() {
    const CALLS: i64 = 500;
    const LIMIT: u64 = 100;
    let place = Place::new();
    let daemon = start(&place, rules(entries(LIMIT)));
    let (observer, socket) = (daemon.client().await, place.socket());
    let hammer = async |from: i64| {
        let client = Client::connect_owned(socket.clone()).await;
        for number in from..from + CALLS {
            client.add(bytes(number, b"value")).await;
            assert!(client.len().await <= LIMIT, "after call {number}");
        }
    };
    futures::future::join_all((0..4).map(|client| hammer(client * CALLS))).await;
    let stats = stats(&observer).await;
    let row = &stats.namespaces[0];
    assert_eq!((row.adds, row.evicted), (2_000, 2_000 - row.entries), "{row:?}");
    assert!(row.entries + 2 >= LIMIT && stats.space.entries == row.entries, "{:?}", stats.space);
    assert_eq!((stats.space.limit_entries, stats.space.refused), (Some(LIMIT), 0));
    assert!(stats.space.waits > 0);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn what_needs_no_room_is_done_while_others_wait_for_some() {
    const MIB: u64 = 1 << 20;
    let place = Place::new();
    let own = Rule { limit: Some(8 * MIB), ..Rule::default() };
    let all = Rules { namespaces: [("crowded".to_owned(), own)].into(), ..rules(Rule::default()) };
    let daemon = start(&place, all);
    let (client, neighbour) = (daemon.client().await, daemon.client().await);
    let small = |number: i64| Addition { namespace: "crowded".into(), ..bytes(number, &[7; 100]) };
    for from in (0..25_000).step_by(500) {
        let adding = (from..from + 500).map(|number| client.add(small(number)));
        futures::future::join_all(adding).await;
    }
    let (upload, length) = (upload(&client, &vec![7; 6 << 20], 1 << 20).await, 6 << 20);
    let body = Body::Uploaded { upload, length };
    let mut adding = std::pin::pin!(client.add(Addition { body, ..small(-1) }));
    let mut served_meanwhile = 0;
    while futures::poll!(&mut adding).is_pending() {
        neighbour.add(bytes("neighbour", b"v")).await;
        let keys = Keys(vec!["neighbour".into()]);
        neighbour.rpc.delete(soon(), neighbour.call(), NAMESPACE.into(), keys).await.unwrap().unwrap();
        served_meanwhile += 1;
    }
    assert!(served_meanwhile > 3, "the neighbour waited for all of it");
    let row = stats(&client).await.namespaces.into_iter().find(|row| row.name == "crowded").unwrap();
    assert!(row.evicted > 10_000 && row.space.bytes <= 8 * MIB, "{row:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_limit_that_is_lowered_while_the_daemon_runs_is_kept_soon() {
    let place = Place::new();
    let daemon = start(&place, rules(Rule::default()));
    let client = daemon.client().await;
    futures::future::join_all((0..2_000).map(|number| client.add(bytes(number, b"value")))).await;
    assert_eq!(client.len().await, 2_000);
    daemon.config.send_modify(|config| config.rules = rules(entries(300)));
    until(async || client.len().await <= 300).await;
    daemon.config.send_modify(|config| config.rules = rules(Rule::default()));
    until(async || stats(&client).await.space.limit_entries.is_none()).await;
    futures::future::join_all((2_000..3_000).map(|number| client.add(bytes(number, b"value")))).await;
    assert!(client.len().await > 1_000);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn where_nothing_may_be_evicted_a_call_is_refused_with_the_reason() {
    let place = Place::new();
    let daemon = start(&place, rules(Rule { policy: Some(Policy::None), ..entries(2) }));
    let client = daemon.client().await;
    for key in ["a", "b"] {
        client.add(bytes(key, b"v")).await;
    }
    let full = WireError::Full { of: None, cause: FullCause::Policy };
    assert_eq!(client.try_add(bytes("c", b"v")).await, Err(full));
    client.add(bytes("b", b"other")).await;
    let keys = Keys(vec![Key::from("a")]);
    client.rpc.delete(soon(), client.call(), NAMESPACE.into(), keys).await.unwrap().unwrap();
    client.add(bytes("c", b"v")).await;
    assert_eq!(stats(&client).await.space.refused, 1);
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn what_could_never_stay_is_refused_before_it_is_sent() {
    let place = Place::new();
    let daemon = start(&place, rules(Rule { limit: Some(16 << 20), ..Rule::default() }));
    let client = daemon.client().await;
    let fits = async |bytes| client.rpc.fits(soon(), NAMESPACE.into(), bytes).await.unwrap();
    assert_eq!(fits(8 << 20).await, Ok(()));
    let refused = fits(16 << 20).await;
    assert!(matches!(refused, Err(WireError::NeverFits { of: None, limit: 16_777_216, .. })), "{refused:?}");
    daemon.stop().await;
}

/// It gave what is pinned other places, without end: those were applied, and that woke it.
#[tokio::test(flavor = "local")]
async fn a_daemon_that_is_above_a_limit_by_what_is_pinned_comes_to_rest() {
    let place = Place::new();
    let daemon = start(&place, rules(Rule::default()));
    let client = daemon.client().await;
    for number in 0..400_i64 {
        client.add(Addition { pinned: number < 350, ..bytes(number, &[7; 2_900]) }).await;
    }
    let written = async || stats(&client).await.daemon.operations;
    let before = written().await;
    daemon.config.send_modify(|config| config.rules = rules(Rule { limit: Some(1 << 20), ..Rule::default() }));
    until(async || client.len().await == 350).await;
    let evicted = written().await;
    assert!(evicted <= before + 100, "{evicted} after {before}");
    for number in 1_000..1_050_i64 {
        let refused = client.try_add(bytes(number, b"v")).await;
        assert_eq!(refused, Err(WireError::Full { of: None, cause: FullCause::Held }));
    }
    assert_eq!(written().await, evicted);
    daemon.stop().await;
}
