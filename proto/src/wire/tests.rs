//! Messages that go through a socket in pieces, fill it, or end in the middle.

use super::*;
use std::future::poll_fn;
use std::io::{Read as _, Write as _};

fn pair() -> (Wire, StdStream) {
    let (ours, theirs) = StdStream::pair().unwrap();
    (Wire::new(ours).unwrap(), theirs)
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_le_bytes()[..], bytes].concat()
}

fn taken(wire: &mut Wire) -> io::Result<Option<Vec<u8>>> {
    wire.take(|frame| Ok(frame.to_vec()))
}

async fn next(wire: &mut Wire) -> io::Result<Vec<u8>> {
    loop {
        if let Some(frame) = taken(wire)? {
            return Ok(frame);
        }
        poll_fn(|cx| wire.poll_read(cx)).await?;
    }
}

fn is_pending<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> bool {
    poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending()
}

#[tokio::test]
async fn frames_arrive_whole_however_they_are_cut() {
    let frames = [&b"one"[..], b"", &[7; 300_000], b"four"];
    let stream: Vec<u8> = frames.iter().flat_map(|bytes| frame(bytes)).collect();
    for cut in [1, 3, 5_000, 100_000] {
        let (mut wire, mut theirs) = pair();
        let pieces = stream.clone();
        let writing = std::thread::spawn(move || {
            pieces.chunks(cut).for_each(|piece| theirs.write_all(piece).unwrap());
            theirs
        });
        for bytes in frames {
            assert!(next(&mut wire).await.unwrap() == bytes, "cut every {cut} bytes");
        }
        assert!(is_pending(|cx| wire.poll_read(cx)));
        drop(writing.join().unwrap());
        assert_eq!(next(&mut wire).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[tokio::test]
async fn a_frame_above_the_limit_is_refused_before_it_is_there() {
    let (mut wire, mut theirs) = pair();
    theirs.write_all(&u32::try_from(MAX_MESSAGE + 1).unwrap().to_le_bytes()).unwrap();
    assert_eq!(next(&mut wire).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_frame_that_can_not_be_made_leaves_the_others_alone() {
    let (mut wire, mut theirs) = pair();
    let put = |wire: &mut Wire, bytes: &[u8]| {
        wire.put(|out| {
            out.extend(bytes);
            Ok(())
        })
    };
    put(&mut wire, b"first").unwrap();
    assert_eq!(put(&mut wire, &vec![0; MAX_MESSAGE + 1]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    wire.put(|_| Err(io::ErrorKind::Other.into())).unwrap_err();
    put(&mut wire, b"last").unwrap();
    poll_fn(|cx| wire.poll_flush(cx)).await.unwrap();
    let expected = [frame(b"first"), frame(b"last")].concat();
    assert_eq!((wire.unwritten(), wire.written()), (0, expected.len() as u64));
    drop(wire);
    let mut written = Vec::new();
    theirs.read_to_end(&mut written).unwrap();
    assert_eq!(written, expected);
}

#[tokio::test]
async fn what_the_socket_does_not_take_at_once_is_written_when_there_is_room() {
    let (mut wire, mut theirs) = pair();
    let bytes = vec![5; 3_000_000];
    wire.put(|out| {
        out.extend(&bytes);
        Ok(())
    })
    .unwrap();
    assert!(is_pending(|cx| wire.poll_flush(cx)));
    assert!(wire.duplicate().is_some());
    let reading = std::thread::spawn(move || {
        let mut read = vec![0; 3_000_004];
        theirs.read_exact(&mut read).unwrap();
        (read, theirs)
    });
    poll_fn(|cx| wire.poll_flush(cx)).await.unwrap();
    assert!(reading.join().unwrap().0 == frame(&bytes));
    assert_eq!((wire.duplicate(), wire.output.capacity()), (None, 0));
}

/// A process without a free descriptor lost its connection to a daemon that was busy for a moment.
#[tokio::test]
async fn a_full_socket_is_waited_for_without_another_descriptor() {
    const ALONE: &str = "WIRE_TEST_ALONE";
    const NAME: &str = "wire::tests::a_full_socket_is_waited_for_without_another_descriptor";
    if std::env::var_os(ALONE).is_some() {
        return flush_without_descriptors().await;
    }
    // In a process of its own, which alone is to have none.
    let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
    let output = alone.args(["--exact", NAME, "--nocapture"]).env(ALONE, "1").output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

async fn flush_without_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let (mut wire, mut theirs) = pair();
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..limit }).unwrap();
    let taken: Vec<_> = std::iter::from_fn(|| rustix::io::dup(&wire.socket).ok()).collect();
    let bytes = vec![5; 3_000_000];
    let put = |out: &mut Vec<u8>| {
        out.extend(&bytes);
        Ok(())
    };
    wire.put(put).unwrap();
    assert!(is_pending(|cx| wire.poll_flush(cx)));
    assert!(wire.duplicate().is_none() && !taken.is_empty());
    let reading = std::thread::spawn(move || {
        let mut read = vec![0; 3_000_004];
        theirs.read_exact(&mut read).unwrap();
        (read, theirs)
    });
    poll_fn(|cx| wire.poll_flush(cx)).await.unwrap();
    let (read, _theirs) = reading.join().unwrap();
    assert!(read == frame(&bytes));
    drop(taken);
    wire.put(put).unwrap();
    assert!(is_pending(|cx| wire.poll_flush(cx)));
    assert!(wire.duplicate().is_some(), "a descriptor is better, where there is one");
}

/// What was written once stayed until all was: a client that always lags a little made that ever more.
#[tokio::test]
async fn what_is_written_is_forgotten_even_where_something_is_always_left() {
    let (mut wire, mut theirs) = pair();
    rustix::net::sockopt::set_socket_send_buffer_size(&wire.socket, 4_096).unwrap();
    let (mut read, mut bytes) = (0, vec![0; 4_096]);
    while read < 4 << 20 {
        if wire.unwritten() <= KEPT {
            wire.put(|out| {
                out.extend([5; 10_000]);
                Ok(())
            })
            .unwrap();
        }
        let flushed = poll_fn(|cx| Poll::Ready(wire.poll_flush(cx))).await;
        assert!(flushed.is_pending(), "something is always left");
        read += theirs.read(&mut bytes).unwrap();
        tokio::task::yield_now().await;
    }
    assert!(wire.output.capacity() < 8 * KEPT, "{} bytes", wire.output.capacity());
}

#[tokio::test]
async fn a_hang_up_is_told_once_nothing_is_left_to_read() {
    let (mut wire, mut theirs) = pair();
    assert!(!wire.is_hung_up());
    theirs.write_all(&frame(b"last")).unwrap();
    drop(theirs);
    assert!(!wire.is_hung_up());
    assert_eq!(next(&mut wire).await.unwrap(), b"last");
    assert!(wire.is_hung_up());
}

#[tokio::test]
async fn a_hang_up_is_seen_past_what_was_not_read() {
    let (mut wire, mut theirs) = pair();
    theirs.write_all(&frame(b"unread")).unwrap();
    wire.socket.ready().await.unwrap().retain_ready();
    assert!(is_pending(|cx| wire.poll_hung_up(cx)));
    assert_eq!(next(&mut wire).await.unwrap(), b"unread", "it must not be waited for any more");
    theirs.write_all(&frame(b"unread")).unwrap();
    drop(theirs);
    poll_fn(|cx| wire.poll_hung_up(cx)).await.unwrap();
}
