//! Writes what the targets begin with into `fuzz/seeds`, as this build spells it: `cargo run --example seeds`. Targets with inputs
//! of their own shape (`staged`, `recovery`, `service`) have what fuzzing itself found to be worth keeping.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use datacache_daemon::eviction::{Evictor, Head, Policy, Queue, State, Verdict, Volume};
use datacache_proto::additions::Additions;
use datacache_proto::codec::{put_answer, put_cancel, put_request};
use datacache_proto::error::WireError;
use datacache_proto::key::{Key, Tag};
use datacache_proto::log::{FrameBuilder, Kind, SegmentHeader};
use datacache_proto::process::Process;
use datacache_proto::recent::KeyHash;
use datacache_proto::record::{Birth, Record, TagsBuf, Value};
use datacache_proto::service::{CacheRequest, CacheResponse, Chunk, Keys, Tags};
use datacache_proto::time::Timestamp;
use datacache_proto::types::{
    Added, Addition, Body, CallId, Codec, Digest, Fallback, Hello, Introduction, ListPage, ListQuery, Lookup, Metadata,
    Opened, Stats, Verification, Welcome,
};

const CALL: CallId = CallId { client: 77, number: 1 };
const SPACE: &str = "default";

fn main() {
    let requests = requests();
    let messages: Vec<_> = requests.iter().map(message).chain([cancel()]).collect();
    write("message", &messages);
    write("answer", &answers().iter().map(answer).collect::<Vec<_>>());
    write("additions", &[postcard::to_stdvec(&additions()).expect("they are plain data")]);
    write("wire", &[wire(2, &messages[..3]), wire(255, &messages[3..])]);
    write("calls", &[frames(&messages[2..12]), frames(&messages[12..]), frames(&[b"no call".to_vec()])]);
    write("record", &records());
    write("log", &[log_frame(), log_header()]);
    write("names", &names().map(|name| name.to_vec()));
    write("policy", &[state(&Evictor::new(Policy::default())), state(&used_evictor())]);
    write("config", &CONFIGURATIONS.map(|text| text.as_bytes().to_vec()));
}

/// A state as it is saved, with what happens afterwards.
fn state(evictor: &Evictor) -> Vec<u8> {
    const STEPS: [u8; 8] = [2, 3, 70, 131, 5, 250, 9, 4];
    [&[1, STEPS.len() as u8], &evictor.save()[..], &STEPS].concat()
}

/// An eviction that remembers something.
fn used_evictor() -> Evictor {
    let mut evictor = Evictor::new(Policy::default());
    let (mut small, mut main) = (VecDeque::new(), VecDeque::new());
    for number in 0..64_u64 {
        let (hash, bytes) = (KeyHash::of(1, &number.to_le_bytes()), 100 + number);
        let place = evictor.add(hash, bytes);
        let frequency = (number % 3) as u8;
        let head = Head { hash, note: place.note, placed: bytes, bytes, frequency, state: State::Free };
        if place.queue == Queue::Small { &mut small } else { &mut main }.push_back(head);
        if number < 32 {
            continue;
        }
        let mut taken = VecDeque::new();
        let plan = evictor.plan(Volume::one(bytes), 8, |queue| {
            let head: Head = if queue == Queue::Small { &mut small } else { &mut main }.pop_front()?;
            taken.push_back(head);
            Some(head)
        });
        for (head, (_, verdict)) in taken.into_iter().zip(plan.steps) {
            if let Verdict::Keep { place, frequency } = verdict {
                let kept = Head { note: place.note, frequency, ..head };
                if place.queue == Queue::Small { &mut small } else { &mut main }.push_back(kept);
            }
        }
    }
    evictor
}

/// Replaces what was written here before.
fn write(target: &str, seeds: &[Vec<u8>]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    fs::create_dir_all(&folder).expect("the folder can be made");
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(folder.join(format!("{number:02}")), seed).expect("there is room");
    }
}

fn message(request: &CacheRequest) -> Vec<u8> {
    let mut out = Vec::new();
    put_request(&mut out, 5, Instant::now() + Duration::from_secs(3_600), request).expect("it can be written");
    out
}

fn cancel() -> Vec<u8> {
    let mut out = Vec::new();
    put_cancel(&mut out, 5).expect("it can be written");
    out
}

fn answer(answer: &CacheResponse) -> Vec<u8> {
    let mut out = Vec::new();
    put_answer(&mut out, 5, &Ok(answer)).expect("it can be written");
    out
}

fn addition(body: Body) -> Addition {
    Addition {
        namespace: SPACE.into(),
        key: "k".into(),
        codec: Codec::Text,
        body,
        expires: Some(Timestamp::from_millis(1 << 41)),
        tags: vec![tag()],
        scope: Some(3),
        pinned: true,
        durable: true,
    }
}

fn tag() -> Tag {
    Tag::new("t").expect("it is one")
}

fn bodies() -> [Body; 3] {
    [
        Body::Inline(b"text".to_vec()),
        Body::Staged { name: "staged".into(), length: 40_000, digest: Digest([9; 32]) },
        Body::Uploaded { upload: 1, length: 300 },
    ]
}

fn additions() -> Additions {
    bodies().map(addition).to_vec().into()
}

fn requests() -> Vec<CacheRequest> {
    let (namespace, key) = (|| SPACE.to_owned(), || Key::from("k"));
    let process = Process { boot: 1 << 100, pid: 77, start: 1 << 40 };
    let query =
        ListQuery { namespace: namespace(), prefix: Some("k".into()), tag: Some(tag()), after: None, limit: 10 };
    let mut requests = vec![
        CacheRequest::Hello { hello: Hello { protocol_min: 1, protocol_max: 9, build: "b".into() } },
        CacheRequest::Introduce { introduction: Introduction { process, scopes: vec![3] } },
        CacheRequest::AddMany { call: CALL, additions: additions() },
        CacheRequest::Get { namespace: namespace(), key: key(), fallback: Fallback::Off },
        CacheRequest::GetMany { namespace: namespace(), keys: Keys(vec![key(), 42.into()]), fallback: Fallback::Off },
        CacheRequest::Contains { namespace: namespace(), key: key() },
        CacheRequest::Stat { namespace: namespace(), key: key() },
        CacheRequest::Touch { call: CALL, namespace: namespace(), key: key(), expires: None },
        CacheRequest::Delete { call: CALL, namespace: namespace(), keys: Keys(vec![key(), b"k".into()]) },
        CacheRequest::Evict { call: CALL, namespace: namespace(), tags: Tags(vec![tag()]) },
        CacheRequest::Expire { call: CALL, namespace: namespace() },
        CacheRequest::Clear { call: CALL, namespace: namespace() },
        CacheRequest::Release { call: CALL, scope: 3 },
        CacheRequest::Len { namespace: namespace() },
        CacheRequest::List { query },
        CacheRequest::Stats {},
        CacheRequest::UploadBegin {},
        CacheRequest::Upload { upload: 1, offset: 0, chunk: Chunk(vec![7; 300]) },
        CacheRequest::Open { namespace: namespace(), key: key() },
        CacheRequest::Read { handle: 1, offset: 0, length: 100 },
        CacheRequest::Close { handle: 1 },
        CacheRequest::Verify { repair: true },
        CacheRequest::Stop {},
        CacheRequest::Suspect { namespace: namespace(), key: key() },
    ];
    requests.extend(bodies().map(|body| CacheRequest::Add { call: CALL, addition: addition(body) }));
    requests
}

fn answers() -> Vec<CacheResponse> {
    let (codec, version, length, digest) = (Codec::Json, 9, 40_000, Digest([9; 32]));
    let metadata = Metadata {
        key: "k".into(),
        codec,
        size: length,
        tags: vec![tag()],
        created: Timestamp::from_millis(1 << 40),
        expires: None,
        version,
        bound: true,
        pinned: false,
        digest: Some(digest),
    };
    vec![
        CacheResponse::Hello(Ok(Welcome { protocol: 3, build: "b".into() })),
        CacheResponse::Add(Ok(Added { version, replaced: true })),
        CacheResponse::Get(Ok(Lookup::Inline { codec, version, value: b"{}".to_vec() })),
        CacheResponse::GetMany(Ok(vec![Lookup::Miss, Lookup::Blob { codec, version, length, digest }])),
        CacheResponse::Stat(Ok(Some(metadata.clone()))),
        CacheResponse::List(Ok(ListPage { entries: vec![metadata], next: Some(b"next".to_vec()) })),
        CacheResponse::Stats(Ok(Box::new(Stats::default()))),
        CacheResponse::Open(Ok(Some(Opened { handle: 1, codec, length, digest }))),
        CacheResponse::Read(Ok(Chunk(vec![7; 30]))),
        CacheResponse::Verify(Ok(Verification::default())),
        CacheResponse::Add(Err(WireError::NotText { valid_up_to: 2 })),
    ]
}

/// A stream for the target that cuts it, behind the length of the pieces.
fn wire(cut: u8, messages: &[Vec<u8>]) -> Vec<u8> {
    let framed = messages.iter().flat_map(|message| {
        let length = u32::try_from(message.len()).expect("it is small");
        [&length.to_le_bytes(), &message[..]].concat()
    });
    [cut].into_iter().chain(framed).collect()
}

fn frames(messages: &[Vec<u8>]) -> Vec<u8> {
    let framed = messages.iter().map(|message| {
        let length = u16::try_from(message.len()).expect("it is small");
        [&length.to_le_bytes(), &message[..]].concat()
    });
    framed.collect::<Vec<_>>().concat()
}

/// The first byte has the checksum made right; so what stands there is of no matter.
fn records() -> Vec<Vec<u8>> {
    let tags = TagsBuf::new(&[tag()]);
    let record = |value, key| {
        let mut out = vec![1];
        let (codec, bound, pinned, seq, version) = (Codec::Bytes, true, true, 9, 8);
        let birth = Birth { seq: 7, main: true, note: 0x81 };
        let (created, expires) = (Timestamp::from_millis(5), Some(Timestamp::from_millis(6)));
        let tags = tags.as_tags();
        let record = Record { codec, bound, pinned, seq, version, birth, created, expires, tags, key, value };
        record.encode(0, &mut out);
        out
    };
    vec![
        record(Value::Inline(b"value"), None),
        record(Value::Blob { length: 40_000, digest: Digest([9; 32]) }, Some(b"\x01a whole key")),
    ]
}

const SEGMENT: SegmentHeader = SegmentHeader { number: 3, store_id: 0x1234_5678_9abc, salt: 99 };

fn log_frame() -> Vec<u8> {
    let mut builder = FrameBuilder::default();
    builder.begin(40);
    builder.push(Kind::Put, 1, b"\x01key", |out| out.extend_from_slice(b"a record"));
    builder.push(Kind::Delete, 2, b"\x01other", |_| ());
    [&[1], builder.seal(&SEGMENT, 64)].concat()
}

fn log_header() -> Vec<u8> {
    [&[3], &SEGMENT.encode()[..]].concat()
}

fn names() -> [&'static [u8]; 6] {
    [b"\x01text", b"\x02bytes", b"\x03\x80\0\0\0\0\0\0\x2a", b"/stores/one/\n/r/a.sock", b"here\n../sock", &[b'a'; 64]]
}

const CONFIGURATIONS: [&str; 5] = [
    "# all of it\ninline_max = \"32 KiB\"\nvalue_max = \"unlimited\"\nsync_interval = 0.5\nmax_connections = 0x400\n\
     calls_per_connection = 64\nlease_grace = \"10s\"\nbusy_poll = \"50us\"\nidle_exit = \"15m\"\nlog = \"info,a::b=trace\"\n",
    "idle_exits = \"never\"",
    "[inline_max]\na = 1",
    "2 GiB",
    "limit = \"2 GiB\"\nheld_max = \"10%\"\nreserve = \"auto\"\n[namespaces.\"a b\"]\nlimit = \"none\"\nlimit_entries = 5\npolicy = \"lru\"\n",
];
