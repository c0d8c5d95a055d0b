//! The policy's state as bytes, so that a restart forgets nothing of it. The queues are their owner's to keep.
//!
//! All little-endian. Whoever can't read it begins anew: what is lost is what was learned.
//!
//! ```text
//! byte
//!    0  magic
//!    8  version
//!   16  policy, by its place in Policy::ALL
//!   24  small queue: bytes, entries
//!   40  main queue: bytes, entries
//!   56  share of the small queue (f64)
//!   64  mean size (f64), and of how many additions
//!   80  whether anything was evicted yet
//!   88  chance
//!   96  tallies: (tries, successes), both f64, of all and of each of the 10 kinds
//!  272  small queue's ghost: clock, slots
//!  288  main queue's ghost: clock, slots
//!  304  the slots of both, 32 bits each
//!    …  xxh3 of all before it
//! ```

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use super::chance::Chance;
use super::evictor::Evictor;
use super::ghost::Ghost;
use super::learned::{KINDS, Learned};
use super::policy::Policy;
use super::queues::Queues;
use super::s3fifo::{HORIZON, S3Fifo, SOON};
use super::tally::Tally;
use super::volume::Volume;

const MAGIC: u64 = u64::from_le_bytes(*b"dcevict ");
const VERSION: u64 = 1;
/// The words before the slots, with two of each tally.
const HEADER_WORDS: usize = 16 + 2 * (KINDS + 1);
const CHECKSUM_LEN: usize = size_of::<u64>();

/// Why what was saved is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SavedError {
    /// These are bytes of something else.
    #[error("no state of an eviction: it begins with {found:#x}")]
    Magic {
        /// The first word.
        found: u64,
    },
    /// Another build wrote it.
    #[error("state of an eviction of version {found}, this build knows {VERSION}")]
    Version {
        /// Its version.
        found: u64,
    },
    /// It is not whole.
    #[error("damaged state of an eviction, of {length} bytes")]
    Damaged {
        /// The length of what there is.
        length: usize,
    },
}

impl Evictor {
    /// Returns the state as bytes, for [`load`](Self::load): some 12 KiB, and up to 8 bytes more for each entry.
    pub fn save(&self) -> Vec<u8> {
        let S3Fifo { share, learned, mean, additions, full, chance, small_ghost, main_ghost } = &self.s3fifo;
        let policy = Policy::ALL.iter().position(|policy| *policy == self.policy);
        let mut words = vec![MAGIC, VERSION, policy.expect("all policies are in ALL") as u64];
        for queue in [self.queues.small, self.queues.main] {
            words.extend([queue.bytes, queue.entries]);
        }
        words.extend([share.to_bits(), mean.to_bits(), *additions, u64::from(*full), chance.to_bits().into()]);
        for tally in std::iter::once(&learned.all).chain(&learned.kinds) {
            words.extend([tally.tries.to_bits(), tally.successes.to_bits()]);
        }
        let ghosts = [small_ghost.parts(), main_ghost.parts()];
        words.extend(ghosts.iter().flat_map(|(clock, slots)| [*clock, slots.len() as u64]));
        let mut bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
        ghosts.iter().for_each(|(_, slots)| bytes.extend(slots.iter().flat_map(u32::to_le_bytes)));
        bytes.extend(xxh3_64(&bytes).to_le_bytes());
        bytes
    }

    /// Takes up the state that [`save`](Self::save) returned.
    ///
    /// # Errors
    /// If it is another version's, or not what was saved.
    pub fn load(bytes: &[u8]) -> Result<Self, SavedError> {
        let damaged = || SavedError::Damaged { length: bytes.len() };
        let first = |at: usize| Some(u64::from_le_bytes(*bytes.get(at * 8..)?.first_chunk()?));
        // Magic and version come first: what another version checks, and how, is its own business.
        match (first(0).ok_or_else(damaged)?, first(1).ok_or_else(damaged)?) {
            (MAGIC, VERSION) => {}
            (MAGIC, found) => return Err(SavedError::Version { found }),
            (found, _) => return Err(SavedError::Magic { found }),
        }
        whole(bytes).and_then(decode).ok_or_else(damaged)
    }
}

/// Returns what is before the checksum, if that is right.
fn whole(bytes: &[u8]) -> Option<&[u8]> {
    let (before, checksum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM_LEN)?)?;
    (xxh3_64(before).to_le_bytes() == checksum).then_some(before)
}

fn decode(bytes: &[u8]) -> Option<Evictor> {
    let (header, slots) = bytes.split_at_checked(HEADER_WORDS * 8)?;
    let mut words = header.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).skip(2);
    let mut word = || words.next();
    let policy = *Policy::ALL.get(usize::try_from(word()?).ok()?)?;
    let small = Volume { bytes: word()?, entries: word()? };
    let main = Volume { bytes: word()?, entries: word()? };
    let (share, mean, additions) = (number(word()?)?, number(word()?)?, word()?);
    let (full, chance) = (word()? != 0, Chance::from_bits(u32::try_from(word()?).ok()?));
    let mut learned = Learned::default();
    for tally in std::iter::once(&mut learned.all).chain(&mut learned.kinds) {
        *tally = Tally { tries: number(word()?)?, successes: number(word()?)? };
    }
    let [(small_clock, small_slots), (main_clock, main_slots)] = [(word()?, word()?), (word()?, word()?)];
    let slots: Vec<u32> = slots.as_chunks::<4>().0.iter().map(|slot| u32::from_le_bytes(*slot)).collect();
    let (of_small, of_main) = slots.split_at_checked(usize::try_from(small_slots).ok()?)?;
    if of_main.len() as u64 != main_slots {
        return None;
    }
    let small_ghost = Ghost::from_parts(HORIZON, small_clock, of_small)?;
    let main_ghost = Ghost::from_parts(SOON, main_clock, of_main)?;
    let s3fifo = S3Fifo { share, learned, mean, additions, full, chance, small_ghost, main_ghost };
    Some(Evictor::from_parts(policy, Queues { small, main }, s3fifo))
}

/// Takes up a number that is one.
fn number(bits: u64) -> Option<f64> {
    let number = f64::from_bits(bits);
    (number.is_finite() && number >= 0.0).then_some(number)
}
