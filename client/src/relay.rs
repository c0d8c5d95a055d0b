//! Counting a large value on a second thread, while the first one reads and writes it.
//!
//! SHA-256 can't be split: even with the processor's own instructions it takes twice as long as reading and writing the same
//! bytes together (64 MiB: 37 ms against 16 ms; `openssl speed -evp sha256` is no faster), and so is nearly all that is waited for.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Builder};

use crate::error::Error;
use crate::tally::Tally;

/// How much is read, written and counted in one go, in bytes.
pub(crate) const PIECE: usize = 512 * 1024;
/// How many pieces go round: with the length of one, what a value takes in memory.
const PIECES: usize = 4;
/// A value of no more bytes is counted by the calling thread itself: what another one costs, the two of them waking each other
/// included, is less than what it brings from here on.
pub(crate) const ALONE: u64 = 8 << 20;

/// Counts a value of which `next` makes one piece after the other: it fills the beginning of the buffer that it is given, puts the
/// piece where it belongs, and returns its length, which is 0 at the end.
///
/// The bytes that are counted are those that `next` left in the buffer. How many there will be is `expected`, 0 where that is not known.
///
/// # Errors
/// Those of `next` and of the count, whichever comes first in the value.
pub(crate) fn count(
    expected: u64,
    tally: &mut Tally,
    next: impl FnMut(&mut [u8]) -> Result<usize, Error>,
) -> Result<(), Error> {
    let alone = if expected > ALONE { 0 } else { ALONE };
    count_from(alone, Builder::new().name("datacache-count".to_owned()), tally, next)
}

/// Counts so many bytes alone, and what is left with a thread, unless there can't be one.
fn count_from(
    alone: u64,
    thread: Builder,
    tally: &mut Tally,
    mut next: impl FnMut(&mut [u8]) -> Result<usize, Error>,
) -> Result<(), Error> {
    if count_alone(alone, tally, &mut next)? {
        return Ok(());
    }
    let beside = count_beside(thread, tally, &mut next);
    beside.unwrap_or_else(|| count_alone(u64::MAX, tally, &mut next).map(drop))
}

/// Counts until there are so many bytes, or no more; tells which.
fn count_alone(
    until: u64,
    tally: &mut Tally,
    next: &mut impl FnMut(&mut [u8]) -> Result<usize, Error>,
) -> Result<bool, Error> {
    let mut piece = vec![0; PIECE];
    while tally.length < until {
        let length = next(&mut piece)?;
        if length == 0 {
            return Ok(true);
        }
        tally.update(&piece[..length])?;
    }
    Ok(false)
}

/// Counts what is left on a thread of its own; `None` where that can't be started, and nothing has been done.
fn count_beside(
    thread: Builder,
    tally: &mut Tally,
    next: &mut impl FnMut(&mut [u8]) -> Result<usize, Error>,
) -> Option<Result<(), Error>> {
    let (full, filled) = channel();
    let (empty, emptied) = channel();
    thread::scope(|scope| {
        let counting = thread.spawn_scoped(scope, move || count_filled(tally, &filled, &empty));
        let counting = counting.inspect_err(|error| tracing::debug!(%error, "no thread to count on")).ok()?;
        let made = make(next, &full, &emptied);
        drop(full);
        let counted = counting.join().unwrap_or_else(|panic| resume_unwind(panic));
        Some(counted.and(made))
    })
}

/// Counts pieces and gives them back, until there are no more.
fn count_filled(tally: &mut Tally, filled: &Receiver<Vec<u8>>, empty: &Sender<Vec<u8>>) -> Result<(), Error> {
    for piece in filled {
        tally.update(&piece)?;
        // Nobody wants it back after the last one was made.
        drop(empty.send(piece));
    }
    Ok(())
}

/// Makes the pieces, never more at once than may go round. Ends early where nobody counts any more.
fn make(
    next: &mut impl FnMut(&mut [u8]) -> Result<usize, Error>,
    full: &Sender<Vec<u8>>,
    emptied: &Receiver<Vec<u8>>,
) -> Result<(), Error> {
    let mut fresh = (0..PIECES).map(|_| vec![0; PIECE]);
    while let Some(mut piece) = fresh.next().or_else(|| emptied.recv().ok()) {
        piece.resize(PIECE, 0);
        let length = next(&mut piece)?;
        piece.truncate(length);
        if length == 0 || full.send(piece).is_err() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use datacache_proto::types::Codec;

    use super::*;
    use crate::blob::sha256;
    use crate::tally::Progress;

    /// More pieces than go round, and a short one.
    const LENGTH: usize = (PIECES + 3) * PIECE + 5;

    fn content() -> Vec<u8> {
        (0..LENGTH).map(|n| u8::try_from(n % 251).unwrap()).collect()
    }

    type Next<'a> = Box<dyn FnMut(&mut [u8]) -> Result<usize, Error> + 'a>;

    /// Yields `content` piece by piece, and `end` behind it.
    fn pieces<'a>(content: &'a [u8], mut end: impl FnMut() -> Result<usize, Error> + 'a) -> Next<'a> {
        let mut left = content;
        Box::new(move |buffer| {
            if left.is_empty() {
                return end();
            }
            let length = left.len().min(buffer.len());
            buffer[..length].copy_from_slice(&left[..length]);
            left = &left[length..];
            Ok(length)
        })
    }

    /// Alone, with a thread for a part and for all of it, and where there can't be one: no address space has room for its stack.
    fn ways() -> [(u64, Builder); 4] {
        let [none, some, all] = [u64::MAX, 1, 0].map(|alone| (alone, Builder::new()));
        [none, some, all, (0, Builder::new().stack_size(1 << 60))]
    }

    #[test]
    fn every_way_counts_the_same() {
        let (content, own) = (content(), thread::current().id());
        let is_elsewhere = ways().map(|(alone, thread)| {
            let (told, heard) = channel();
            let progress: Progress = Box::new(move |bytes| told.send((bytes, thread::current().id())).unwrap());
            let mut tally = Tally::begin(Codec::Bytes, true, None).told(Some(progress));
            count_from(alone, thread, &mut tally, pieces(&content, || Ok(0))).unwrap();
            let counted = tally.finish().unwrap();
            assert_eq!((counted.length, counted.digest), (LENGTH as u64, Some(sha256(&content))));
            let (told, by): (Vec<u64>, Vec<_>) = heard.iter().unzip();
            assert!(told.is_sorted() && told.last() == Some(&(LENGTH as u64)));
            [by.first(), by.last()].map(|by| by != Some(&own))
        });
        assert_eq!(is_elsewhere, [[false, false], [false, true], [true, true], [false, false]]);
    }

    #[test]
    fn no_more_pieces_are_made_than_go_round() {
        let (content, counted) = (content(), Arc::new(AtomicUsize::new(0)));
        let counts = Arc::clone(&counted);
        let progress: Progress = Box::new(move |_| counts.store(counts.load(Ordering::SeqCst) + 1, Ordering::SeqCst));
        let mut tally = Tally::begin(Codec::Bytes, true, None).told(Some(progress));
        let (mut made, mut next) = (0, pieces(&content, || Ok(0)));
        let watched = |buffer: &mut [u8]| {
            made += 1;
            assert!(made - counted.load(Ordering::SeqCst) <= PIECES);
            next(buffer)
        };
        count_from(0, Builder::new(), &mut tally, watched).unwrap();
        assert_eq!(made, PIECES + 5);
    }

    #[test]
    fn a_piece_that_can_not_be_made_ends_the_count() {
        let content = content();
        for (alone, thread) in ways() {
            let failing = pieces(&content, || Err(Error::Source { source: io::ErrorKind::BrokenPipe.into() }));
            let outcome = count_from(alone, thread, &mut Tally::begin(Codec::Bytes, true, None), failing);
            assert!(matches!(outcome, Err(Error::Source { .. })));
        }
    }

    #[test]
    fn what_is_wrong_first_is_what_is_said() {
        let mut content = content();
        content.fill(b'a');
        content[PIECES * PIECE] = 0xff;
        for (alone, thread) in ways() {
            let failing = pieces(&content, || Err(Error::Source { source: io::ErrorKind::BrokenPipe.into() }));
            let outcome = count_from(alone, thread, &mut Tally::begin(Codec::Text, true, None), failing);
            let at = (PIECES * PIECE) as u64;
            assert!(matches!(outcome, Err(Error::NotText { valid_up_to }) if valid_up_to == at), "{outcome:?}");
        }
    }

    #[test]
    fn a_panic_while_a_piece_is_made_or_counted_is_the_callers() {
        let content = content();
        for is_telling in [false, true] {
            for (alone, thread) in ways() {
                let progress: Progress = Box::new(move |_| assert!(!is_telling, "enough"));
                let mut tally = Tally::begin(Codec::Bytes, true, None).told(Some(progress));
                let panicking = pieces(&content, || panic!("enough"));
                let counting = AssertUnwindSafe(|| count_from(alone, thread, &mut tally, panicking));
                assert_eq!(catch_unwind(counting).unwrap_err().downcast_ref(), Some(&"enough"));
            }
        }
    }
}
