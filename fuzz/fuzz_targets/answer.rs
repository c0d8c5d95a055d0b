//! What the daemon answers: any bytes are an answer or an error, and an answer is the same once it is written down again.

#![no_main]

use datacache_proto::codec::{method_of_answer, put_answer, take_answer};
use datacache_proto::service::CacheResponse;
use libfuzzer_sys::fuzz_target;
use tarpc::Response;

fuzz_target!(|bytes: &[u8]| {
    let Ok(answer) = take_answer::<CacheResponse>(bytes) else { return };
    let mut again = Vec::new();
    put_answer(&mut again, answer.request_id, &answer.message).unwrap();
    assert_eq!(method_of_answer(&again), method_of_answer(bytes));
    assert_eq!(method_of_answer(bytes).is_some(), answer.message.is_ok());
    assert_eq!(shown(&take_answer(&again).unwrap()), shown(&answer));
});

fn shown(answer: &Response<CacheResponse>) -> (u64, Result<Vec<u8>, String>) {
    let message = answer.message.as_ref().map(|message| postcard::to_stdvec(message).unwrap());
    (answer.request_id, message.map_err(|error| error.kind.to_string()))
}
