//! How calls travel: postcard in length-prefixed frames, in an envelope of our own.
//!
//! The envelope replaces tarpc's: it carries no trace context (60 bytes a call that nobody reads here), and a deadline in
//! milliseconds that is clamped to [`MAX_DEADLINE`]; tarpc itself panics on one that the clock can't hold. The
//! envelope and `hello` are frozen: they are the same in every protocol.

use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tarpc::{ClientMessage, Request, Response, ServerError, context};
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
        match message {
            ClientMessage::Request(request) => {
                let left = request.context.deadline.saturating_duration_since(Instant::now()).min(MAX_DEADLINE);
                let deadline_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
                encode(&Envelope::Request { id: request.id, deadline_ms, message: &request.message })
            }
            ClientMessage::Cancel { request_id, .. } => encode(&Envelope::<()>::Cancel { id: *request_id }),
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, "a kind of message that the protocol does not have")),
        }
    }
}

impl<Req: DeserializeOwned, Resp> tokio_serde::Deserializer<ClientMessage<Req>> for DaemonSide<Req, Resp> {
    type Error = io::Error;

    fn deserialize(self: Pin<&mut Self>, bytes: &BytesMut) -> io::Result<ClientMessage<Req>> {
        Ok(match decode::<Envelope<Req>>(bytes)? {
            Envelope::Request { id, deadline_ms, message } => {
                let mut context = context::Context::current();
                context.deadline = Instant::now() + Duration::from_millis(deadline_ms).min(MAX_DEADLINE);
                ClientMessage::Request(Request { context, id, message })
            }
            Envelope::Cancel { id } => ClientMessage::Cancel { trace_context: Default::default(), request_id: id },
        })
    }
}

impl<Req, Resp: Serialize> tokio_serde::Serializer<Response<Resp>> for DaemonSide<Req, Resp> {
    type Error = io::Error;

    fn serialize(self: Pin<&mut Self>, response: &Response<Resp>) -> io::Result<Bytes> {
        let result = response.message.as_ref().map_err(|error| match error.kind {
            io::ErrorKind::WouldBlock => Aborted::Throttled,
            _ => Aborted::Other,
        });
        encode(&Answer { id: response.request_id, result })
    }
}

impl<Req, Resp: DeserializeOwned> tokio_serde::Deserializer<Response<Resp>> for ClientSide<Req, Resp> {
    type Error = io::Error;

    fn deserialize(self: Pin<&mut Self>, bytes: &BytesMut) -> io::Result<Response<Resp>> {
        let answer = decode::<Answer<Resp>>(bytes)?;
        let message = answer.result.map_err(|aborted| match aborted {
            Aborted::Throttled => ServerError::new(io::ErrorKind::WouldBlock, String::new()),
            Aborted::Other => ServerError::new(io::ErrorKind::Other, String::new()),
        });
        Ok(Response { request_id: answer.id, message })
    }
}

fn encode<T: Serialize>(value: &T) -> io::Result<Bytes> {
    let bytes = postcard::to_stdvec(value).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    Ok(bytes.into())
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    postcard::from_bytes(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{CacheRequest, CacheResponse};
    use crate::types::Hello;
    use tokio_serde::{Deserializer, Serializer};

    type Client = ClientSide<CacheRequest, CacheResponse>;
    type Daemon = DaemonSide<CacheRequest, CacheResponse>;

    fn received(bytes: &[u8]) -> io::Result<ClientMessage<CacheRequest>> {
        let mut side: Daemon = DaemonSide(PhantomData);
        Pin::new(&mut side).deserialize(&BytesMut::from(bytes))
    }

    fn hello() -> CacheRequest {
        CacheRequest::Hello { hello: Hello { protocol_min: 1, protocol_max: 2, build: "b".into() } }
    }

    /// The bytes of `hello` are the same for ever: a client and a daemon of any two builds have to understand them.
    #[test]
    fn the_first_message_is_frozen() {
        let mut side: Client = ClientSide(PhantomData);
        let mut context = context::Context::current();
        context.deadline = Instant::now();
        let message = ClientMessage::Request(Request { context, id: 5, message: hello() });
        let bytes = Pin::new(&mut side).serialize(&message).unwrap();
        assert_eq!(&bytes[..], [0, 5, 0, 0, 1, 2, 1, b'b']);
    }

    #[test]
    fn a_deadline_that_no_clock_holds_is_clamped() {
        let bytes = encode(&Envelope::Request { id: 1, deadline_ms: u64::MAX, message: hello() }).unwrap();
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
        let mut side: Client = ClientSide(PhantomData);
        let message = ClientMessage::Cancel { trace_context: Default::default(), request_id: 9 };
        let bytes = Pin::new(&mut side).serialize(&message).unwrap();
        let back = received(&bytes).unwrap();
        assert!(matches!(back, ClientMessage::Cancel { request_id: 9, .. }));
    }
}
