//! Values that go through the socket in chunks.

use datacache_proto::error::{Resource, WireError};
use datacache_proto::service::{Chunk, Keys};
use datacache_proto::types::{Addition, Body, Codec, Digest, Lookup};
use sha2::Digest as _;

use crate::harness::{Client, NAMESPACE, bytes, daemon_and_client, soon, until};

pub(crate) async fn upload(client: &Client, content: &[u8], chunk: usize) -> u64 {
    let upload = client.rpc.upload_begin(soon()).await.unwrap().unwrap();
    let sending = content
        .chunks(chunk)
        .enumerate()
        .map(|(number, bytes)| client.rpc.upload(soon(), upload, (number * chunk) as u64, Chunk(bytes.to_vec())));
    // All at once: they are taken in the order in which they were sent.
    for sent in futures::future::join_all(sending).await {
        sent.unwrap().unwrap();
    }
    upload
}

#[tokio::test(flavor = "local")]
async fn a_large_value_comes_and_goes_in_chunks() {
    let (_place, daemon, client) = daemon_and_client().await;
    let content: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let upload = upload(&client, &content, 1 << 20).await;
    let length = content.len() as u64;
    let body = Body::Uploaded { upload, length };
    client.add(Addition { body, codec: Codec::Text, ..bytes("k", b"") }).await;
    assert!(matches!(client.get("k").await, Lookup::Blob { .. }));
    let opened = client.rpc.open(soon(), NAMESPACE.into(), "k".into()).await.unwrap().unwrap().unwrap();
    let digest = Digest(sha2::Sha256::digest(&content).into());
    assert_eq!((opened.codec, opened.length, opened.digest), (Codec::Text, length, digest));
    // It stays readable although its entry goes.
    client.rpc.delete(soon(), client.call(), NAMESPACE.into(), Keys(vec!["k".into()])).await.unwrap().unwrap();
    let mut back = Vec::new();
    loop {
        let piece = client.rpc.read(soon(), opened.handle, back.len() as u64, 1 << 20).await.unwrap().unwrap();
        if piece.0.is_empty() {
            break;
        }
        back.extend(piece.0);
    }
    assert!(back == content);
    client.rpc.close(soon(), opened.handle).await.unwrap().unwrap();
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_small_value_can_be_read_in_chunks_too() {
    let (_place, daemon, client) = daemon_and_client().await;
    client.add(bytes("k", b"small")).await;
    let opened = client.rpc.open(soon(), NAMESPACE.into(), "k".into()).await.unwrap().unwrap().unwrap();
    assert_eq!((opened.length, opened.digest), (5, Digest(sha2::Sha256::digest(b"small").into())));
    let read = async |offset| client.rpc.read(soon(), opened.handle, offset, 4).await.unwrap().unwrap().0;
    assert_eq!((read(0).await, read(4).await, read(5).await), (b"smal".to_vec(), b"l".to_vec(), Vec::new()));
    assert_eq!(client.rpc.open(soon(), NAMESPACE.into(), "none".into()).await.unwrap(), Ok(None));
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_chunk_in_the_wrong_place_is_refused_and_the_upload_goes_on() {
    let (_place, daemon, client) = daemon_and_client().await;
    let upload = upload(&client, b"abc", 3).await;
    let append = async |offset| client.rpc.upload(soon(), upload, offset, Chunk(b"def".to_vec())).await.unwrap();
    for offset in [0, 2, 4, u64::MAX] {
        assert_eq!(append(offset).await, Err(WireError::Upload { upload, length: offset }));
    }
    append(3).await.unwrap();
    let add =
        async |length| client.try_add(Addition { body: Body::Uploaded { upload, length }, ..bytes("k", b"") }).await;
    assert_eq!(add(5).await, Err(WireError::Upload { upload, length: 5 }));
    add(6).await.unwrap();
    assert_eq!(append(6).await, Err(WireError::Upload { upload, length: 6 }), "it is part of the store by now");
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_upload_belongs_to_its_connection_and_ends_with_it() {
    let (place, daemon, client) = daemon_and_client().await;
    let other = daemon.client().await;
    let number = upload(&other, b"abc", 3).await;
    let foreign = client.rpc.upload(soon(), number, 3, Chunk(Vec::new())).await.unwrap();
    assert_eq!(foreign, Err(WireError::Upload { upload: number, length: 3 }));
    let staged = || std::fs::read_dir(place.staging()).unwrap().count();
    assert_eq!(staged(), 1);
    drop(other);
    until(async || {
        client.len().await;
        staged() == 0
    })
    .await;
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_upload_that_is_given_up_makes_room_and_leaves_no_file() {
    let (place, daemon, client) = daemon_and_client().await;
    for _ in 0..20 {
        let number = upload(&client, b"abc", 3).await;
        client.rpc.close(soon(), number).await.unwrap().unwrap();
        assert_eq!(client.rpc.close(soon(), number).await.unwrap(), Err(WireError::Handle { handle: number }));
    }
    until(async || std::fs::read_dir(place.staging()).unwrap().count() == 0).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "local")]
async fn there_is_a_limit_to_the_uploads_of_a_connection() {
    let (_place, daemon, client) = daemon_and_client().await;
    let beginning = (0..20).map(|_| client.rpc.upload_begin(soon()));
    let begun = futures::future::join_all(beginning).await;
    let refused = begun.into_iter().map(Result::unwrap).filter_map(Result::err).collect::<Vec<_>>();
    assert_eq!(refused, vec![WireError::Busy { what: Resource::Uploads, limit: 16 }; 4]);
    daemon.stop().await;
}
