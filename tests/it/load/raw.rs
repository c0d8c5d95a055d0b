//! A connection that says what no client would, when it likes, and listens when it likes.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use datacache_proto::PROTOCOL;
use datacache_proto::codec::{put_request, take_answer};
use datacache_proto::process::Process;
use datacache_proto::service::{CacheRequest, CacheResponse};
use datacache_proto::types::Introduction;
use datacache_tests::Home;

use crate::wire::hello;

/// Longer than the daemon bears a client that does not say who it is.
const PATIENCE: Duration = Duration::from_secs(90);

/// One end of it.
pub(crate) struct Raw {
    stream: UnixStream,
    last: u64,
}

impl Raw {
    /// Connects, without a word.
    pub(crate) fn connect(home: &Home) -> Self {
        let stream = UnixStream::connect(home.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, last: 0 }
    }

    /// Connects, and says who this is.
    pub(crate) fn introduced(home: &Home) -> Self {
        let mut raw = Self::connect(home);
        let hello = CacheRequest::Hello { hello: hello(PROTOCOL, PROTOCOL) };
        assert!(matches!(raw.ask(&hello), CacheResponse::Hello(Ok(_))));
        let introduction = Introduction { process: Process::current().unwrap(), scopes: Vec::new() };
        assert!(matches!(raw.ask(&CacheRequest::Introduce { introduction }), CacheResponse::Introduce(Ok(_))));
        raw
    }

    /// Sends bytes; the daemon may hang up before it has taken them.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).ok();
    }

    /// Sends a call, and waits for no answer.
    pub(crate) fn say(&mut self, request: &CacheRequest) {
        self.last += 1;
        let bytes = frame(self.last, request);
        self.send(&bytes);
    }

    /// Calls, and returns the answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, request: &CacheRequest) -> CacheResponse {
        self.say(request);
        self.hear().unwrap()
    }

    /// Waits for the next answer.
    pub(crate) fn hear(&mut self) -> io::Result<CacheResponse> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
        self.stream.read_exact(&mut bytes)?;
        take_answer(&bytes)?.message.map_err(io::Error::other)
    }

    /// Waits until the daemon hangs up without another word.
    #[track_caller]
    pub(crate) fn is_hung_up_on(&mut self) {
        let mut words = Vec::new();
        match self.stream.read_to_end(&mut words) {
            Ok(_) => assert!(words.is_empty(), "it says {words:?} before it hangs up"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "it is not hung up on: {error}"),
        }
    }
}

/// Returns a call as it goes over the wire.
pub(crate) fn frame(id: u64, request: &CacheRequest) -> Vec<u8> {
    let mut frame = vec![0; 4];
    put_request(&mut frame, id, Instant::now() + Duration::from_secs(600), request).unwrap();
    let length = u32::try_from(frame.len() - 4).unwrap();
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame
}
