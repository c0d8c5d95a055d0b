//! Many processes at once: one daemon, one truth, read as soon as it is written.

use std::sync::atomic::{AtomicBool, Ordering};

use datacache_client::blocking;
use datacache_tests::{Client, Home};
use serde_json::{Value, json};

use crate::support::{client, noise};

#[test]
fn what_one_process_adds_another_reads_at_once() {
    let home = Home::new();
    let [mut writer, mut reader] = [client(&home), client(&home)];
    for round in 0..200 {
        let text = round.to_string();
        writer.ask(&["add", "k", &text]);
        assert_eq!(reader.ask(&["get", "k"]), text);
        assert_eq!(writer.ask(&["delete", "k"]), true);
        assert_eq!(reader.ask(&["get", "k"]), Value::Null);
    }
}

#[test]
fn twenty_clients_race_to_start_a_daemon_and_exactly_one_runs() {
    let home = Home::new();
    for round in 0..3 {
        let mut clients: Vec<Client> = (0..20).map(|_| client(&home)).collect();
        // All have begun by the time the first one is told.
        clients.iter_mut().for_each(|client| client.tell(&["open"]));
        let daemons: Vec<Value> = clients.iter_mut().map(Client::answer).collect();
        assert!(daemons.iter().all(|daemon| *daemon == daemons[0]), "round {round}: {daemons:?}");
        assert_eq!(home.daemons().len(), 1, "round {round}");
        assert_eq!(daemons[0], home.daemon().pid());
        // Once in good order and once not, so that the next race begins with what either leaves.
        if round == 0 {
            home.run(["stop"]).text();
        } else {
            home.daemon().kill();
        }
    }
}

#[test]
fn commands_race_to_start_a_daemon_and_all_of_them_do_their_work() {
    let home = Home::new();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let home = &home;
            scope.spawn(move || {
                let key = number.to_string();
                let added = home.command(["add", "-", "--text", "--key", &key]).input(key.clone()).outcome();
                assert_eq!(added.text(), key);
            });
        }
    });
    assert_eq!(home.run(["len"]).number(), 8);
    assert_eq!(home.daemons().len(), 1);
}

#[test]
fn eight_processes_write_side_by_side_and_nothing_is_lost() {
    let home = Home::new();
    let mut clients: Vec<Client> = (0..8).map(|_| client(&home)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.tell(&["add-many", &format!("{number}/"), "0", "250"]);
    }
    assert!(clients.iter_mut().all(|client| client.answer() == json!(250)));
    let cache = home.open();
    assert_eq!(cache.len().unwrap(), 2_000);
    assert_eq!(cache.list().prefix("3/").count(), 250);
    assert_eq!(cache.get_as::<String>("7/249").unwrap().as_deref(), Some("value 249"));
}

#[test]
fn the_last_of_many_writers_of_one_key_wins_for_all_readers() {
    let home = Home::new();
    let mut clients: Vec<Client> = (0..4).map(|_| client(&home)).collect();
    for round in 0..20 {
        let texts: Vec<String> = (0..clients.len()).map(|number| format!("{round} {number}")).collect();
        clients.iter_mut().zip(&texts).for_each(|(client, text)| client.tell(&["add", "k", text]));
        clients.iter_mut().for_each(|client| drop(client.answer()));
        let seen: Vec<Value> = clients.iter_mut().map(|client| client.ask(&["get", "k"])).collect();
        assert!(texts.iter().any(|text| seen[0] == **text), "{seen:?}");
        assert!(seen.iter().all(|other| *other == seen[0]), "{seen:?}");
    }
}

#[test]
fn a_large_value_that_is_replaced_all_the_time_is_always_read_whole() {
    let home = Home::new();
    let cache = home.open();
    let values = [noise(1, 200_000), noise(2, 300_000)];
    cache.set("k", &values[0]).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let own = blocking::DataCache::open(home.options()).unwrap();
            for round in 0..60 {
                own.set("k", &values[round % 2]).unwrap();
            }
        });
        let mut reads = 0;
        while !writer.is_finished() || reads < 20 {
            let value = cache.get_as::<Vec<u8>>("k").unwrap().expect("it is there all the time");
            assert!(values.contains(&value), "{} bytes of neither value", value.len());
            reads += 1;
        }
    });
}

#[test]
fn the_same_content_from_many_processes_at_once_is_stored_once() {
    let home = Home::new();
    let path = home.file("same", noise(1, 3_000_000));
    let mut clients: Vec<Client> = (0..6).map(|_| client(&home)).collect();
    for round in 0..5_u64 {
        let tag = round.to_string();
        clients.iter_mut().for_each(|client| client.tell(&["add-file", path.to_str().unwrap(), &tag]));
        let keys: Vec<Value> = clients.iter_mut().map(Client::answer).collect();
        assert!(keys.iter().all(|key| *key == keys[0]));
        let cache = home.open();
        assert_eq!((cache.len().unwrap(), cache.stats().unwrap().store.blobs), (1, 1));
        assert_eq!(clients[0].ask(&["hash", keys[0].as_str().unwrap()]), json!([3_000_000, keys[0]]));
        // The next round adds the very content whose file is about to be removed.
        assert_eq!(cache.evict(tag).unwrap(), 1);
    }
}

/// The file of a value that went is removed when the log has been applied; content that comes again just then must keep it.
#[test]
fn content_that_goes_and_comes_again_is_there_whenever_its_entry_is() {
    let home = Home::new();
    let cache = home.open();
    let value = noise(1, 100_000);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let own = blocking::DataCache::open(home.options()).unwrap();
            // A list has the log applied.
            while !is_over.load(Ordering::Relaxed) {
                assert!(own.list().all(|entry| entry.is_ok()));
            }
        });
        for round in 0..150_i64 {
            cache.set(round, &value).unwrap();
            assert!(cache.get_as::<Vec<u8>>(round).unwrap().as_ref() == Some(&value), "round {round}");
            cache.delete(round).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(cache.verify(false).unwrap().findings, []);
}

#[tokio::test]
async fn many_tasks_share_one_connection() {
    let home = Home::new();
    let cache = home.open_async().await;
    let tasks: Vec<_> = (0..200_i64)
        .map(|number| {
            let cache = cache.clone();
            tokio::spawn(async move {
                cache.set(number, number.to_string()).await.unwrap();
                cache.get_as::<String>(number).await.unwrap()
            })
        })
        .collect();
    for (number, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap(), Some(number.to_string()));
    }
    assert_eq!(cache.stats().await.unwrap().daemon.connections, 1);
}
