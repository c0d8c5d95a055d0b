//! Whether there is room for what is to be added, by one limit: pure.

use datacache_proto::error::FullCause;

use super::error::StoreError;
use super::marks::Marks;
use crate::eviction::Volume;

/// What a limit is about: the store, or one namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Level {
    /// What is there: bytes that stay until something is evicted, and entries.
    pub(super) lasting: Volume,
    /// Bytes that go by themselves when the log is applied.
    pub(super) passing: u64,
    /// Bytes of pages that are in use, or will be, until the log is applied and pages are packed.
    pub(super) swelling: u64,
    /// What of that is never evicted.
    pub(super) held: Volume,
}

/// What is to come on top. What replaces as much or more needs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) bytes: u64,
    pub(super) entries: u64,
    /// What comes to be held, also where it takes the place of what is not.
    pub(super) held: Volume,
    /// Bytes that are needed until what is replaced is gone, besides.
    pub(super) passing: u64,
    /// By how much pages may swell besides, as what comes splits them.
    pub(super) swelling: u64,
}

/// The limits of a store or of a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) bytes: Option<Marks>,
    pub(super) entries: Option<Marks>,
    /// What pinned and bound entries may take, and how many there may be.
    pub(super) held: Option<u64>,
    pub(super) held_entries: Option<u64>,
    /// What there is without any entry.
    pub(super) base: u64,
}

/// What is to be evicted before something is added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Excess {
    /// Without so much there is no room, also when all that goes by itself has gone.
    pub(super) least: Volume,
    /// As much as is wanted: down to the low mark.
    pub(super) wanted: Volume,
}

/// What is to be done before something is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Nothing: there is room.
    Fits,
    /// Evict something.
    Evict(Excess),
    /// Have the log applied, and what nothing names removed: there is room then.
    Wait,
    /// It could not stay; so much would have to be free.
    Never(u64),
    /// Nothing can be done.
    Refuse(FullCause),
}

impl Limits {
    /// As much of a limit, as a fraction, may what goes by itself have before it is hurried.
    const PASSING: u64 = 8;
    /// As much of it is evicted for. What is evicted goes by itself from then on: if all of that counted, it would be evicted for again.
    const EVICTED_FOR: u64 = 32;
    /// Up to as large a part of the way from the low mark to the high one is waited, where only what goes by itself is in the way. To wait
    /// all the way keeps a tenth more entries, and halves what one who writes without a pause gets done.
    const WAITED_FOR: u64 = 4;

    /// Tells what to do before `need` can be added.
    pub(super) fn admit(&self, level: Level, need: Need) -> Admission {
        let (bytes, entries) = (self.admit_bytes(level, need), self.admit_entries(level, need));
        match (bytes, entries) {
            (Admission::Fits | Admission::Wait, Admission::Evict(_))
            | (Admission::Fits | Admission::Wait | Admission::Evict(_), Admission::Refuse(_)) => entries,
            (Admission::Evict(bytes), Admission::Evict(entries)) => Admission::Evict(Excess {
                least: bytes.least.plus(entries.least),
                wanted: bytes.wanted.plus(entries.wanted),
            }),
            _ => bytes,
        }
    }

    fn admit_bytes(&self, level: Level, need: Need) -> Admission {
        let is_any = need.bytes > 0 || need.held.bytes > 0 || need.passing > 0;
        let Some(marks) = self.bytes.filter(|_| is_any) else { return Admission::Fits };
        if let Some(least) = self.never_fits(need.bytes).filter(|_| need.bytes > 0) {
            return Admission::Never(least);
        }
        if let Some(limit) = self.held.filter(|held| exceeds(level.held.bytes, need.held.bytes, *held)) {
            return Admission::Refuse(FullCause::HeldLimit { limit });
        }
        let goes = level.passing.saturating_add(level.swelling);
        if need.bytes == 0 {
            let all = level.lasting.bytes.saturating_add(goes).saturating_add(need.passing);
            // It makes nothing larger in the end: it may have to wait, and is taken when hardly anything goes by itself any more. Where
            // others write there is always something.
            let is_much = level.passing > marks.limit - marks.high;
            return if all > marks.limit && is_much { Admission::Wait } else { Admission::Fits };
        }
        let level = Level { passing: level.passing.saturating_add(need.passing), ..level };
        // What is large would be evicted for itself if it came to lie above the mark.
        let bound = if need.bytes > marks.limit - marks.high { marks.high } else { marks.limit - Self::margin(marks) };
        let swelling = level.swelling.saturating_add(need.swelling);
        let all = [level.passing, swelling, need.bytes].into_iter().fold(level.lasting.bytes, u64::saturating_add);
        if all <= bound {
            return Admission::Fits;
        }
        let volume = |bytes| Volume { bytes, entries: 0 };
        let stays = level.lasting.bytes.saturating_add(need.bytes).saturating_add(need.swelling);
        // What would swell by too much even if nothing else were there is taken once there is room for its rows.
        let never = self.never_fits(need.bytes.saturating_add(need.swelling)).is_some();
        let lacking = if never { 0 } else { stays.saturating_sub(bound) };
        let wanted = volume(self.excess(marks, level, need.bytes).max(lacking));
        let least = volume(stays.saturating_sub(bound).min(wanted.bytes));
        let is_much = goes > marks.limit - marks.high;
        match wanted.bytes {
            bytes if is_much && bytes <= (marks.high - low(marks, level)) / Self::WAITED_FOR => Admission::Wait,
            0 => Admission::Fits,
            _ => Admission::Evict(Excess { least, wanted }),
        }
    }

    fn admit_entries(&self, level: Level, need: Need) -> Admission {
        let is_too_many = |held: &u64| exceeds(level.held.entries, need.held.entries, *held);
        if let Some(limit) = self.held_entries.filter(is_too_many) {
            return Admission::Refuse(FullCause::HeldEntries { limit });
        }
        let Some(marks) = self.entries.filter(|_| need.entries > 0) else { return Admission::Fits };
        if need.entries > marks.limit {
            return Admission::Refuse(FullCause::Batch { entries: need.entries, limit: marks.limit });
        }
        let after = level.lasting.entries + need.entries;
        if after <= marks.limit {
            return Admission::Fits;
        }
        let volume = |entries| Volume { bytes: 0, entries };
        let (least, wanted) = (volume(after - marks.limit), volume(after - marks.low.max(need.entries)));
        Admission::Evict(Excess { least, wanted })
    }

    /// Returns what is left to changes that are never refused, to deletes and notes of the store's own, and to the index where it swells
    /// by more than it is reckoned to.
    fn margin(marks: Marks) -> u64 {
        (marks.limit / 128).min(64 << 10)
    }

    /// Returns how much is to be evicted so that the low mark is reached with `bytes` more.
    fn excess(&self, marks: Marks, level: Level, bytes: u64) -> u64 {
        let passing = level.passing.min(marks.limit / Self::EVICTED_FOR);
        level.lasting.bytes.saturating_add(passing).saturating_add(bytes).saturating_sub(low(marks, level))
    }

    /// Returns how much would have to be free for so many bytes to stay; `None` where they do.
    pub(super) fn never_fits(&self, bytes: u64) -> Option<u64> {
        let marks = self.bytes?;
        let least = bytes.saturating_add(self.base);
        (least > marks.low).then(|| least.saturating_add(marks.limit - marks.low))
    }

    /// Returns the error that tells of that, of a namespace or of the store.
    pub(super) fn never(&self, bytes: u64, of: Option<String>) -> StoreError {
        StoreError::NeverFits { bytes, of, limit: self.bytes.map_or(0, |marks| marks.limit) }
    }

    /// Returns what is to be evicted beside the calls: nothing up to the high mark, and once above it all down to the low one.
    pub(super) fn surplus(&self, level: Level, is_relieving: bool) -> Volume {
        let taken = level.lasting.bytes.saturating_add(level.passing);
        let bytes = self.bytes.filter(|marks| taken > if is_relieving { low(*marks, level) } else { marks.high });
        let entries =
            self.entries.filter(|marks| level.lasting.entries > if is_relieving { marks.low } else { marks.high });
        Volume {
            bytes: bytes.map_or(0, |marks| self.excess(marks, level, 0)),
            entries: entries.map_or(0, |marks| level.lasting.entries - marks.low),
        }
    }

    /// Tells whether an eviction, which writes to the log itself, would lead beyond the limit before the log is applied: half of what is
    /// left to notes of the store's own is for it. Where hardly anything would go by that, or too much stay, it is not to be waited for.
    pub(super) fn leaves_no_room_to_evict(&self, level: Level) -> bool {
        self.bytes.is_some_and(|marks| {
            let (room, lasting) = (Self::margin(marks) / 2, level.lasting.bytes);
            let most = marks.limit - room;
            let all = lasting.saturating_add(level.passing).saturating_add(level.swelling);
            level.passing > room && lasting <= most && all > most
        })
    }

    /// Tells whether what goes by itself takes so much that it should go now.
    pub(super) fn is_passing_much(&self, level: Level) -> bool {
        self.bytes.is_some_and(|marks| level.passing > marks.limit / Self::PASSING)
    }
}

/// Tells whether what comes on top is more than there may be. Where nothing comes, what is too much already is left as it is.
fn exceeds(there: u64, comes: u64, most: u64) -> bool {
    comes > 0 && there.saturating_add(comes) > most
}

/// Returns the low mark of bytes as it is where much is held: of what may go it leaves as large a part as of all where nothing is held.
fn low(marks: Marks, level: Level) -> u64 {
    let (between, free) = (marks.high - marks.low, marks.limit - level.held.bytes.min(marks.limit));
    let part = u128::from(between) * u128::from(free) / u128::from(marks.limit.max(1));
    marks.high - u64::try_from(part).unwrap_or(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn limits() -> Limits {
        let (bytes, entries) = (Some(Marks::of_bytes(64 * MIB)), Some(Marks::of_entries(10)));
        Limits { bytes, entries, held: Some(32 * MIB), held_entries: Some(5), base: MIB }
    }

    fn level(bytes: u64, entries: u64, passing: u64) -> Level {
        Level { lasting: Volume { bytes, entries }, passing, ..Level::default() }
    }

    fn evict(least: (u64, u64), wanted: (u64, u64)) -> Admission {
        let volume = |(bytes, entries)| Volume { bytes, entries };
        Admission::Evict(Excess { least: volume(least), wanted: volume(wanted) })
    }

    fn bytes(bytes: u64) -> Need {
        Need { bytes, ..Need::default() }
    }

    #[test]
    fn there_is_room_up_to_the_limit_and_less_for_what_is_large() {
        let admit = |level, need| limits().admit(level, need);
        let full = 64 * MIB - (64 << 10);
        assert_eq!(admit(level(full - 9, 0, 0), bytes(9)), Admission::Fits);
        let excess = full + 1 - 61 * MIB;
        assert_eq!(admit(level(full - 9, 0, 0), bytes(10)), evict((1, 0), (excess, 0)), "down to the low mark");
        assert_eq!(admit(level(61 * MIB, 0, 0), bytes(2 * MIB)), Admission::Fits);
        assert!(matches!(admit(level(62 * MIB, 0, 0), bytes(2 * MIB)), Admission::Evict(_)));
        assert_eq!(Limits::default().admit(level(u64::MAX, u64::MAX, 0), bytes(u64::MAX)), Admission::Fits);
    }

    #[test]
    fn what_goes_by_itself_is_waited_for_and_not_evicted_for() {
        assert_eq!(limits().admit(level(30 * MIB, 0, 34 * MIB), bytes(1)), Admission::Wait);
        let admitted = limits().admit(level(60 * MIB, 0, 34 * MIB), bytes(1));
        assert_eq!(admitted, evict((0, 0), (MIB + 1, 0)));
        let replacing = Need { passing: MIB, ..Need::default() };
        assert_eq!(limits().admit(level(60 * MIB, 0, 4 * MIB), replacing), Admission::Wait);
        assert_eq!(limits().admit(level(64 * MIB, 0, 0), replacing), Admission::Fits);
        assert_eq!(limits().admit(level(64 * MIB, 0, 4_096), replacing), Admission::Fits, "others write all the time");
        let swollen = Level { swelling: 6 * MIB, ..level(59 * MIB, 0, MIB) };
        assert_eq!(limits().admit(swollen, bytes(1)), Admission::Wait);
        assert_eq!(limits().surplus(swollen, false), Volume::default());
        let swelling = Need { swelling: 6 * MIB, ..bytes(1) };
        assert_eq!(limits().admit(level(57 * MIB, 0, 2 * MIB), swelling), Admission::Wait);
        let margin = Limits::margin(limits().bytes.unwrap());
        let lacking = MIB + 1 + margin;
        assert_eq!(limits().admit(level(59 * MIB, 0, MIB), swelling), evict((lacking, 0), (lacking, 0)));
        let far_too_much = Need { swelling: 60 * MIB, ..bytes(1) };
        assert_eq!(limits().admit(level(59 * MIB, 0, MIB), far_too_much), Admission::Fits, "it could never be had");
        assert!(limits().is_passing_much(level(0, 0, 9 * MIB)) && !limits().is_passing_much(level(0, 0, 8 * MIB)));
    }

    #[test]
    fn entries_go_one_by_one_and_a_batch_of_too_many_is_refused() {
        let need = |entries| Need { entries, ..Need::default() };
        assert_eq!(limits().admit(level(0, 9, 0), need(1)), Admission::Fits);
        assert_eq!(limits().admit(level(0, 10, 0), need(1)), evict((0, 1), (0, 1)));
        assert_eq!(limits().admit(level(0, 10, 0), need(0)), Admission::Fits);
        let refused = Admission::Refuse(FullCause::Batch { entries: 11, limit: 10 });
        assert_eq!(limits().admit(level(0, 0, 0), need(11)), refused);
        assert_eq!(limits().admit(level(0, 10, 0), need(10)), evict((0, 10), (0, 10)));
    }

    #[test]
    fn an_eviction_waits_where_its_notes_would_lead_beyond_the_limit_and_the_log_has_room_to_give() {
        // 32 KiB of 64 MiB are for such notes.
        let is_kept = |bytes, passing| limits().leaves_no_room_to_evict(level(bytes, 0, passing));
        let (limit, room) = (64 * MIB, 32 << 10);
        assert!(is_kept(62 * MIB, 2 * MIB) && !is_kept(62 * MIB, 2 * MIB - room));
        assert!(!is_kept(limit - room, room), "hardly anything would go");
        assert!(!is_kept(limit, 2 * MIB), "it would not help");
        let swollen = Level { swelling: MIB, ..level(62 * MIB, 0, MIB) };
        assert!(limits().leaves_no_room_to_evict(swollen));
        assert!(!Limits::default().leaves_no_room_to_evict(swollen));
    }

    #[test]
    fn where_most_is_held_one_eviction_takes_no_larger_part_of_the_rest() {
        let held = |held| Level { held: Volume::one(held * MIB), ..level(64 * MIB, 0, 0) };
        let surplus = |level| limits().surplus(level, false).bytes;
        // The marks are 1 MiB and 3 MiB below the limit.
        assert_eq!([0, 32, 64, 80].map(|bytes| surplus(held(bytes))), [3 * MIB, 2 * MIB, MIB, MIB]);
        assert_eq!(limits().surplus(Level { lasting: Volume::one(62 * MIB), ..held(48) }, true).bytes, 0);
        assert_eq!(limits().surplus(Level { lasting: Volume::one(63 * MIB), ..held(48) }, true).bytes, MIB / 2);
    }

    #[test]
    fn what_could_not_stay_is_never_taken_and_what_is_held_has_a_share() {
        assert_eq!(limits().admit(level(0, 0, 0), bytes(60 * MIB)), Admission::Fits);
        assert_eq!(limits().admit(level(0, 0, 0), bytes(61 * MIB)), Admission::Never(65 * MIB));
        let held = Need { bytes: 2 * MIB, entries: 1, held: Volume::one(2 * MIB), ..Need::default() };
        let with = |held| Level { held: Volume::one(held), ..level(40 * MIB, 1, 0) };
        assert_eq!(limits().admit(with(30 * MIB), held), Admission::Fits);
        let refused = Admission::Refuse(FullCause::HeldLimit { limit: 32 * MIB });
        assert_eq!(limits().admit(with(31 * MIB), held), refused);
        let many = |entries| Level { held: Volume { bytes: 0, entries }, ..level(MIB, 10, 0) };
        let refused = Admission::Refuse(FullCause::HeldEntries { limit: 5 });
        assert_eq!(limits().admit(many(5), held), refused, "and nothing is evicted for it");
        assert_eq!(limits().admit(many(5), Need { held: Volume::default(), entries: 0, ..held }), Admission::Fits);
        let in_place = Need { held: Volume { bytes: 0, entries: 1 }, ..Need::default() };
        assert_eq!([4, 5].map(|held| limits().admit(many(held), in_place)), [Admission::Fits, refused]);
    }

    #[test]
    fn beside_the_calls_it_is_evicted_from_the_high_mark_to_the_low_one() {
        assert_eq!(limits().surplus(level(63 * MIB, 10, 0), false), Volume::default());
        let above = level(62 * MIB, 11, MIB + 1);
        assert_eq!(limits().surplus(above, false), Volume { bytes: 2 * MIB + 1, entries: 1 });
        assert_eq!(limits().surplus(level(62 * MIB, 0, 0), true), Volume { bytes: MIB, entries: 0 });
        assert_eq!(limits().surplus(level(61 * MIB, 0, 0), true), Volume::default());
    }
}
