//! Which keys were evicted lately, and how long ago: four bytes a key, and a wrong answer once in some 65,000.
//!
//! Time is told by what was evicted: a lap is as much as the store holds. A slot has 20 bits of the key's hash over 12 bits of the
//! time, in laps of 1,024 ticks. Of a bucket that is full the oldest key is forgotten first, and what is older than the
//! horizon is swept before its time could be taken for a later one.

use datacache_proto::recent::KeyHash;

use super::slots::{PIECE, Slots};

/// The ticks of a lap.
pub(super) const LAP: u32 = 1 << LAP_BITS;

const LAP_BITS: u32 = 10;
/// The clock runs in fractions of a tick: one entry of 10^7 is a small one.
const FRACTION_BITS: u32 = 30;
/// A lap, as the clock runs.
const WHOLE_LAP: u64 = 1 << (LAP_BITS + FRACTION_BITS);
/// Ages are told up to four laps.
const STAMP_BITS: u32 = 12;
const STAMP: u32 = (1 << STAMP_BITS) - 1;
/// Slots of a bucket: a cache line.
const BUCKET: usize = 16;
/// The fewest slots, and the most: 64 MiB.
const FEWEST: usize = PIECE;
const MOST: usize = 1 << 24;

/// What was evicted lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ghost {
    /// What is older is forgotten, in ticks: less than three laps.
    horizon: u32,
    /// The slots, a power of two.
    slots: Slots,
    /// The time, which comes round again.
    clock: u64,
    /// The slot from which to sweep on.
    swept: usize,
}

impl Ghost {
    /// Remembers keys for so many ticks.
    pub(super) fn new(horizon: u32) -> Self {
        Self { horizon, slots: Slots::new(), clock: 0, swept: 0 }
    }

    /// Takes up what was kept; `None` where there can't be so many slots.
    pub(super) fn from_parts(horizon: u32, clock: u64, slots: &[u32]) -> Option<Self> {
        let fits = slots.len().is_power_of_two() && (FEWEST..=MOST).contains(&slots.len());
        let slots = Slots::from_slice(slots).filter(|_| fits)?;
        Some(Self { horizon, slots, clock, swept: 0 })
    }

    /// Returns what to keep: the clock and the slots.
    pub(super) fn parts(&self) -> (u64, &Slots) {
        (self.clock, &self.slots)
    }

    /// Makes room for so many keys; what there is of it stays.
    ///
    /// A key of a bucket is in one of two then, and which one it does not say: it is in both, and one of them forgets it in time.
    pub(super) fn fit(&mut self, keys: u64) {
        let wanted = usize::try_from(keys).unwrap_or(MOST).clamp(FEWEST, MOST).next_power_of_two();
        while self.slots.len() < wanted {
            self.slots.double();
        }
    }

    /// Remembers a key that is evicted. `bytes` of the `held` go with it.
    pub(super) fn remember(&mut self, hash: KeyHash, bytes: u64, held: u64) {
        self.keep(hash, self.now());
        self.pass(bytes, held);
    }

    /// Remembers a key again that was recalled: that it was evicted `age` ticks ago.
    pub(super) fn restore(&mut self, hash: KeyHash, age: u32) {
        self.keep(hash, self.now().wrapping_sub(age) & STAMP);
    }

    fn keep(&mut self, hash: KeyHash, stamp: u32) {
        let slot = fingerprint(hash) << STAMP_BITS | stamp;
        let now = self.now();
        let (first, bucket) = self.bucket(hash);
        let age = |slot: u32| if slot == 0 { u32::MAX } else { now.wrapping_sub(slot) & STAMP };
        let same = bucket.iter().position(|found| *found != 0 && *found >> STAMP_BITS == fingerprint(hash));
        let at = same.or_else(|| (0..BUCKET).max_by_key(|at| age(bucket[*at]))).expect("a bucket has slots");
        self.slots.set(first + at, slot);
    }

    /// Tells how many ticks ago the key was evicted, and forgets it. `None` where that was not so, or too long ago.
    pub(super) fn recall(&mut self, hash: KeyHash) -> Option<u32> {
        let (now, horizon) = (self.now(), self.horizon);
        let (first, bucket) = self.bucket(hash);
        let at = bucket.iter().position(|found| *found != 0 && *found >> STAMP_BITS == fingerprint(hash))?;
        let age = now.wrapping_sub(bucket[at]) & STAMP;
        self.slots.set(first + at, 0);
        (age <= horizon).then_some(age)
    }

    /// Lets time pass, and sweeps the slots once in each lap.
    fn pass(&mut self, bytes: u64, held: u64) {
        let before = self.clock >> FRACTION_BITS;
        let share = u128::from(bytes.min(held)) * u128::from(WHOLE_LAP) / u128::from(held.max(1));
        self.clock = self.clock.wrapping_add(share as u64);
        let ticks = (self.clock >> FRACTION_BITS).wrapping_sub(before) & u64::from(u32::MAX);
        let slots = self.slots.len();
        let (now, horizon) = (self.now(), self.horizon);
        for _ in 0..ticks as usize * (slots >> LAP_BITS) {
            let at = self.swept & (slots - 1);
            let slot = self.slots.get(at);
            if slot != 0 && now.wrapping_sub(slot) & STAMP > horizon {
                self.slots.set(at, 0);
            }
            self.swept = (self.swept + 1) & (slots - 1);
        }
    }

    fn now(&self) -> u32 {
        (self.clock >> FRACTION_BITS) as u32 & STAMP
    }

    /// Returns the bucket of a key, and its first slot.
    fn bucket(&self, hash: KeyHash) -> (usize, &[u32; BUCKET]) {
        // The lower bits choose the cell of the marks, the upper ones are the fingerprint.
        let bucket = (hash.to_bits() >> 24) as usize & (self.slots.len() / BUCKET - 1);
        (bucket * BUCKET, self.slots.row(bucket * BUCKET))
    }
}

/// Returns the upper 20 bits of a hash, of which one is set: a slot in use is never 0.
fn fingerprint(hash: KeyHash) -> u32 {
    ((hash.to_bits() >> 44) as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u64) -> KeyHash {
        KeyHash::of(1, &number.to_le_bytes())
    }

    #[test]
    fn a_key_is_recalled_once_with_its_age() {
        let mut ghost = Ghost::new(2 * LAP);
        (0..1000).for_each(|number| ghost.remember(hash(number), 1, 1000));
        assert!((LAP - 1..=LAP).contains(&ghost.recall(hash(0)).unwrap()));
        assert_eq!(ghost.recall(hash(0)), None);
        assert!((LAP / 2 - 2..=LAP / 2 + 2).contains(&ghost.recall(hash(500)).unwrap()));
        assert_eq!(ghost.recall(hash(1000)), None);
    }

    #[test]
    fn what_is_older_than_the_horizon_is_forgotten_for_ever() {
        let mut ghost = Ghost::new(2 * LAP);
        ghost.remember(hash(0), 1, 200);
        // At each age up to where the clock has come round.
        for number in 1..1000 {
            ghost.remember(hash(number), 1, 200);
            let mut now = ghost.clone();
            assert_eq!(now.recall(hash(0)).is_some(), number < 400, "{number}");
        }
    }

    #[test]
    fn an_entry_of_ten_million_moves_the_clock() {
        let mut ghost = Ghost::new(2 * LAP);
        ghost.remember(hash(0), 1, 10_000_000);
        for _ in 0..20_000 {
            ghost.pass(1, 10_000_000);
        }
        assert_eq!(ghost.recall(hash(0)), Some(2));
    }

    #[test]
    fn room_for_more_keys_keeps_those_that_are_there() {
        let mut ghost = Ghost::new(2 * LAP);
        (0..500).for_each(|number| ghost.remember(hash(number), 1, 10_000));
        ghost.fit(100_000);
        assert_eq!(ghost.parts().1.len(), 131_072);
        (500..60_000).for_each(|number| ghost.remember(hash(number), 1, 60_000));
        let known = (0..60_000).filter(|number| ghost.recall(hash(*number)).is_some()).count();
        assert!(known > 59_900, "{known}");
        ghost.fit(u64::MAX);
        assert_eq!(ghost.parts().1.len(), MOST);
    }

    #[test]
    fn a_full_bucket_forgets_its_oldest_key() {
        let mut ghost = Ghost::new(2 * LAP);
        // All of one bucket.
        let alike = |number: u64| KeyHash::from_bits(number << 44);
        (1..=17).for_each(|number| ghost.remember(alike(number), 1, 100));
        let known = (1..=17).filter(|number| ghost.recall(alike(*number)).is_some()).collect::<Vec<_>>();
        assert_eq!(known, (2..=17).collect::<Vec<_>>());
    }
}
