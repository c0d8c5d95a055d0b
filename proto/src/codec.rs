//! How calls travel: postcard in length-prefixed frames, in an envelope of our own.
//!
//! The envelope replaces tarpc's: it carries no trace context (60 bytes a call that nobody reads here), and a deadline in
//! milliseconds that is clamped to [`MAX_DEADLINE`]; tarpc itself panics on one that the clock can't hold. The
//! envelope and `hello` are frozen: they are the same in every protocol.
//!
//! Client and daemon put messages into the buffers of a [`Wire`](crate::wire::Wire) with the functions here. The two transports
//! speak the same to tarpc's own loops; they are for tests, and for whoever has tarpc and wants no more.

use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tarpc::context::Context;
use tarpc::{ClientMessage, Request, Response, ServerError};
use tokio::net::UnixStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// The longest message in bytes, in both directions. A longer one ends the connection.
pub const MAX_MESSAGE: usize = 4 << 20;
/// The longest time that a call can be given.
pub const MAX_DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);

/// A client's message in our envelope.
#[derive(Serialize, Deserialize)]
enum Envelope<T> {
    Request { id: u64, deadline_ms: u64, message: T },
    Cancel { id: u64 },
}

/// The daemon's answer in our envelope.
#[derive(Serialize, Deserialize)]
struct Answer<T> {
    id: u64,
    result: Result<T, Aborted>,
}

/// A call that tarpc itself turned away.
#[derive(Serialize, Deserialize)]
enum Aborted {
    /// Too many calls of the connection are under way.
    Throttled,
    /// Any other reason.
    Other,
}

/// Appends a call to `out`.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] where it can't be written down; some of it may have been appended.
pub fn put_request<Req: Serialize>(out: &mut Vec<u8>, id: u64, deadline: Instant, request: &Req) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now()).min(MAX_DEADLINE);
    let deadline_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    append(out, &Envelope::Request { id, deadline_ms, message: request })
}

/// Returns the number of the method that the bytes of a request call; `None` for other bytes.
pub fn method_of_request(bytes: &[u8]) -> Option<u32> {
    let ((kind, _, _, method), _) = postcard::take_from_bytes::<(u32, u64, u64, u32)>(bytes).ok()?;
    (kind == 0).then_some(method)
}

/// Returns the number of the method that the bytes of an answer answer; `None` where the call was turned away.
///
/// tarpc's generated client relies on its being the one that was called, and panics where it is not.
pub fn method_of_answer(bytes: &[u8]) -> Option<u32> {
    let ((_, kind, method), _) = postcard::take_from_bytes::<(u64, u32, u32)>(bytes).ok()?;
    (kind == 0).then_some(method)
}

/// Appends word to `out` that a call is not waited for any more.
///
/// # Errors
/// Those of [`put_request`].
pub fn put_cancel(out: &mut Vec<u8>, id: u64) -> io::Result<()> {
    append(out, &Envelope::<()>::Cancel { id })
}

/// Appends the answer to a call to `out`.
///
/// # Errors
/// Those of [`put_request`].
pub fn put_answer<Resp: Serialize>(out: &mut Vec<u8>, id: u64, answer: &Result<Resp, ServerError>) -> io::Result<()> {
    let result = answer.as_ref().map_err(|error| match error.kind {
        io::ErrorKind::WouldBlock => Aborted::Throttled,
        _ => Aborted::Other,
    });
    append(out, &Answer { id, result })
}

/// Reads a client's message.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] where it is none.
pub fn take_message<Req: DeserializeOwned>(bytes: &[u8]) -> io::Result<ClientMessage<Req>> {
    Ok(match decode::<Envelope<Req>>(bytes)? {
        Envelope::Request { id, deadline_ms, message } => {
            let deadline = Instant::now() + Duration::from_millis(deadline_ms).min(MAX_DEADLINE);
            ClientMessage::Request(Request { context: until(deadline), id, message })
        }
        Envelope::Cancel { id } => ClientMessage::Cancel { trace_context: Default::default(), request_id: id },
    })
}

/// Reads the daemon's answer.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] where it is none.
pub fn take_answer<Resp: DeserializeOwned>(bytes: &[u8]) -> io::Result<Response<Resp>> {
    let answer = decode::<Answer<Resp>>(bytes)?;
    let message = answer.result.map_err(|aborted| match aborted {
        Aborted::Throttled => ServerError::new(io::ErrorKind::WouldBlock, String::new()),
        Aborted::Other => ServerError::new(io::ErrorKind::Other, String::new()),
    });
    Ok(Response { request_id: answer.id, message })
}

/// Returns the context of a call that has to be answered by `deadline`; it belongs to no trace.
pub fn until(deadline: Instant) -> Context {
    // A context can only be had from tarpc, which asks the current span about it each time.
    static BLANK: LazyLock<Context> = LazyLock::new(tarpc::context::current);
    let mut context = *BLANK;
    context.deadline = deadline;
    context
}

/// Puts client's messages on the wire and takes the daemon's answers off it.
#[derive(Debug)]
pub struct ClientSide<Req, Resp>(PhantomData<fn() -> (Req, Resp)>);

/// Takes clients' messages off the wire and puts the daemon's answers on it.
#[derive(Debug)]
pub struct DaemonSide<Req, Resp>(PhantomData<fn() -> (Req, Resp)>);

/// A client's end of a connection.
pub type ClientTransport<Req, Resp> =
    tarpc::serde_transport::Transport<UnixStream, Response<Resp>, ClientMessage<Req>, ClientSide<Req, Resp>>;

/// The daemon's end of a connection.
pub type DaemonTransport<Req, Resp> =
    tarpc::serde_transport::Transport<UnixStream, ClientMessage<Req>, Response<Resp>, DaemonSide<Req, Resp>>;

/// Makes a client's end of a connected socket.
pub fn client_transport<Req, Resp>(stream: UnixStream) -> ClientTransport<Req, Resp>
where
    Req: Serialize + DeserializeOwned,
    Resp: Serialize + DeserializeOwned,
{
    tarpc::serde_transport::new(framed(stream), ClientSide(PhantomData))
}

/// Makes the daemon's end of a connected socket.
pub fn daemon_transport<Req, Resp>(stream: UnixStream) -> DaemonTransport<Req, Resp>
where
    Req: Serialize + DeserializeOwned,
    Resp: Serialize + DeserializeOwned,
{
    tarpc::serde_transport::new(framed(stream), DaemonSide(PhantomData))
}

fn framed(stream: UnixStream) -> Framed<UnixStream, LengthDelimitedCodec> {
    LengthDelimitedCodec::builder().max_frame_length(MAX_MESSAGE).little_endian().new_framed(stream)
}

impl<Req: Serialize, Resp> tokio_serde::Serializer<ClientMessage<Req>> for ClientSide<Req, Resp> {
    type Error = io::Error;

    fn serialize(self: Pin<&mut Self>, message: &ClientMessage<Req>) -> io::Result<Bytes> {
        encoded(|out| match message {
            ClientMessage::Request(request) => put_request(out, request.id, request.context.deadline, &request.message),
            ClientMessage::Cancel { request_id, .. } => put_cancel(out, *request_id),
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, "a kind of message that the protocol does not have")),
        })
    }
}

impl<Req: DeserializeOwned, Resp> tokio_serde::Deserializer<ClientMessage<Req>> for DaemonSide<Req, Resp> {
    type Error = io::Error;

    fn deserialize(self: Pin<&mut Self>, bytes: &BytesMut) -> io::Result<ClientMessage<Req>> {
        take_message(bytes)
    }
}

impl<Req, Resp: Serialize> tokio_serde::Serializer<Response<Resp>> for DaemonSide<Req, Resp> {
    type Error = io::Error;

    fn serialize(self: Pin<&mut Self>, response: &Response<Resp>) -> io::Result<Bytes> {
        encoded(|out| put_answer(out, response.request_id, &response.message))
    }
}

impl<Req, Resp: DeserializeOwned> tokio_serde::Deserializer<Response<Resp>> for ClientSide<Req, Resp> {
    type Error = io::Error;

    fn deserialize(self: Pin<&mut Self>, bytes: &BytesMut) -> io::Result<Response<Resp>> {
        take_answer(bytes)
    }
}

/// Where postcard writes to.
pub(crate) struct Appending<'o>(pub(crate) &'o mut Vec<u8>);

impl Flavor for Appending<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

fn append<T: Serialize>(out: &mut Vec<u8>, value: &T) -> io::Result<()> {
    let appended = postcard::serialize_with_flavor(value, Appending(out));
    appended.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

fn encoded(put: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<Bytes> {
    let mut out = Vec::new();
    put(&mut out)?;
    Ok(out.into())
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    postcard::from_bytes(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{CacheRequest, CacheResponse};
    use crate::types::{Hello, Welcome};

    fn received(bytes: &[u8]) -> io::Result<ClientMessage<CacheRequest>> {
        take_message(bytes)
    }

    fn hello() -> CacheRequest {
        CacheRequest::Hello { hello: Hello { protocol_min: 1, protocol_max: 2, build: "b".into() } }
    }

    fn sent(put: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Vec<u8> {
        encoded(put).unwrap().into()
    }

    /// The bytes of `hello` are the same for ever: a client and a daemon of any two builds have to understand them.
    #[test]
    fn the_first_message_is_frozen() {
        let bytes = sent(|out| put_request(out, 5, Instant::now(), &hello()));
        assert_eq!(bytes, [0, 5, 0, 0, 1, 2, 1, b'b']);
    }

    #[test]
    fn the_answer_to_the_first_message_is_frozen() {
        let welcome = Welcome { protocol: 2, build: "b".into() };
        let bytes = sent(|out| put_answer(out, 5, &Ok(CacheResponse::Hello(Ok(welcome)))));
        assert_eq!(bytes, [5, 0, 0, 0, 2, 1, b'b']);
        let throttled = ServerError::new(io::ErrorKind::WouldBlock, String::new());
        assert_eq!(sent(|out| put_answer::<CacheResponse>(out, 5, &Err(throttled))), [5, 1, 0]);
    }

    #[test]
    fn a_request_and_its_answer_name_the_same_method() {
        let request = CacheRequest::Close { handle: 300 };
        let called = method_of_request(&sent(|out| put_request(out, 1_000, Instant::now(), &request)));
        let answered = |answer| method_of_answer(&sent(|out| put_answer::<CacheResponse>(out, 1_000, &answer)));
        assert!(called.is_some());
        assert_eq!(answered(Ok(CacheResponse::Close(Ok(())))), called);
        assert_ne!(answered(Ok(CacheResponse::Stop(Ok(())))), called);
        assert_eq!(answered(Err(ServerError::new(io::ErrorKind::WouldBlock, String::new()))), None);
        assert_eq!(method_of_request(&sent(|out| put_cancel(out, 9))), None);
    }

    /// An answer of another kind than was called, whose kind takes one byte more than it has to, was handed to tarpc's
    /// client, which panicked.
    #[test]
    fn numbers_that_are_longer_than_they_have_to_be_name_the_same_method() {
        let bytes = [5, 0x80, 0, 0x80, 0, 0, 2, 1, b'b'];
        assert!(take_answer::<CacheResponse>(&bytes).is_ok());
        assert_eq!(method_of_answer(&bytes), Some(0));
        let bytes = [0x80, 0, 5, 0, 0, 1, 2, 1, b'b'];
        assert!(received(&bytes).is_ok());
        assert_eq!(method_of_request(&bytes), Some(0));
    }

    #[test]
    fn the_transports_of_tarpc_speak_the_same() {
        let mut side = ClientSide::<CacheRequest, CacheResponse>(PhantomData);
        let message = ClientMessage::Request(Request { context: until(Instant::now()), id: 5, message: hello() });
        let bytes = tokio_serde::Serializer::serialize(Pin::new(&mut side), &message).unwrap();
        assert_eq!(bytes[..], sent(|out| put_request(out, 5, Instant::now(), &hello())));
    }

    #[test]
    fn a_deadline_that_no_clock_holds_is_clamped() {
        let bytes = sent(|out| append(out, &Envelope::Request { id: 1, deadline_ms: u64::MAX, message: hello() }));
        let ClientMessage::Request(request) = received(&bytes).unwrap() else { panic!("not a request") };
        assert!(request.context.deadline <= Instant::now() + MAX_DEADLINE);
    }

    #[test]
    fn garbage_is_an_error_and_nothing_worse() {
        for bytes in [&b""[..], b"\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n", &[0; 64]] {
            assert!(received(bytes).is_err() || bytes == [0; 64], "{bytes:?} was understood");
        }
    }

    #[test]
    fn a_cancellation_names_its_call() {
        let back = received(&sent(|out| put_cancel(out, 9))).unwrap();
        assert!(matches!(back, ClientMessage::Cancel { request_id: 9, .. }));
    }
}
