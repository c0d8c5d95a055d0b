//! What a client sends: any bytes are a message or an error, and a message is the same once it is written down again.

#![no_main]

use datacache_fuzz::additions;
use datacache_proto::codec::{method_of_request, put_cancel, put_request, take_message};
use datacache_proto::service::CacheRequest;
use libfuzzer_sys::fuzz_target;
use tarpc::ClientMessage;

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = take_message::<CacheRequest>(bytes) else { return };
    let mut again = Vec::new();
    match &message {
        ClientMessage::Request(request) => {
            put_request(&mut again, request.id, request.context.deadline, &request.message).unwrap();
            assert_eq!(method_of_request(&again), method_of_request(bytes));
            if let CacheRequest::AddMany { additions: sent, .. } = &request.message {
                additions::check(sent);
            }
        }
        ClientMessage::Cancel { request_id, .. } => put_cancel(&mut again, *request_id).unwrap(),
        _ => panic!("the protocol has no such message"),
    }
    assert_eq!(shown(&take_message(&again).unwrap()), shown(&message));
});

/// All of a message but its deadline, which is told from now on.
fn shown(message: &ClientMessage<CacheRequest>) -> Option<(u64, Vec<u8>)> {
    match message {
        ClientMessage::Request(request) => Some((request.id, postcard::to_stdvec(&request.message).unwrap())),
        ClientMessage::Cancel { request_id, .. } => Some((*request_id, Vec::new())),
        _ => None,
    }
}
