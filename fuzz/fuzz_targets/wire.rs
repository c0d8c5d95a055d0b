//! Frames from a socket: however the bytes are cut, the same frames come out, and they come out of another wire as they went in.
//!
//! The input is the length of the pieces, and what is sent in them.

#![no_main]

use std::io::{ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::task::{Context, Waker};

use datacache_proto::codec::MAX_MESSAGE;
use datacache_proto::wire::Wire;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((&cut, stream)) = bytes.split_first() {
        datacache_fuzz::on_runtime(|| check(stream, usize::from(cut) + 1));
    }
});

fn check(stream: &[u8], cut: usize) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut wire = Wire::new(ours).unwrap();
    let mut frames = Vec::new();
    let mut ended = Ok(());
    for piece in stream.chunks(cut) {
        theirs.write_all(piece).unwrap();
        ended = take_all(&mut wire, &mut frames);
        if ended.is_err() {
            break;
        }
    }
    let (expected, is_refused) = expected(stream);
    assert!(frames == expected, "{frames:?} is not {expected:?}");
    assert_eq!(ended, if is_refused { Err(ErrorKind::InvalidData) } else { Ok(()) });
    check_sent(&frames);
}

/// Reads what there is, and takes all frames that are whole.
fn take_all(wire: &mut Wire, frames: &mut Vec<Vec<u8>>) -> Result<(), ErrorKind> {
    while wire.try_read().unwrap() {
        while let Some(frame) = wire.take(|frame| Ok(frame.to_vec())).map_err(|error| error.kind())? {
            frames.push(frame);
        }
    }
    Ok(())
}

/// Takes a stream apart in the plainest way; tells whether it is refused at the end.
fn expected(mut stream: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut frames = Vec::new();
    while let Some((length, rest)) = stream.split_first_chunk() {
        let length = u32::from_le_bytes(*length) as usize;
        if length > MAX_MESSAGE {
            return (frames, true);
        }
        let Some((frame, behind)) = rest.split_at_checked(length) else { break };
        frames.push(frame.to_vec());
        stream = behind;
    }
    (frames, false)
}

/// Sends frames over a wire, and expects them at its other end.
fn check_sent(frames: &[Vec<u8>]) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let [mut from, mut to] = [ours, theirs].map(|end| Wire::new(end).unwrap());
    let mut arrived = Vec::new();
    for frame in frames {
        from.put(|out| {
            out.extend(frame);
            Ok(())
        })
        .unwrap();
        assert!(from.poll_flush(&mut Context::from_waker(Waker::noop())).is_ready(), "there is room");
        take_all(&mut to, &mut arrived).unwrap();
    }
    assert!(arrived == frames, "{arrived:?} is not {frames:?}");
}
