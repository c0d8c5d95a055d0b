//! The judge of histories.

use std::collections::BTreeMap;
use std::fmt;

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};

use super::event::{Act, Event};
use super::moment::WallClock;
use super::spot::{Spot, Step};

/// How much the wall clock may have drifted since it was compared, in nanoseconds.
const DRIFT: u64 = 1_000_000;
/// What is told of a key that is wrong: so many of the events before it was, and so many after.
const TOLD: usize = 40;

/// What was done to keys, each by itself.
#[derive(Clone, Debug)]
pub struct Histories {
    by_key: BTreeMap<u64, Vec<Event>>,
    clock: WallClock,
}

/// A key whose history no order explains.
#[derive(Clone, Debug)]
pub struct Wrong {
    /// The key.
    pub key: u64,
    /// What began before it could no longer be explained, in the order in which it began.
    pub events: Vec<Event>,
    /// What ended after that, in that order: whether it stayed wrong, and what came of what was under way.
    pub after: Vec<Event>,
    /// How the clocks compared.
    pub clock: WallClock,
}

impl Histories {
    /// Takes what clients did, in any order, and how their clocks compared.
    #[must_use]
    pub fn new(events: impl IntoIterator<Item = Event>, clock: WallClock) -> Self {
        let mut by_key: BTreeMap<u64, Vec<Event>> = BTreeMap::new();
        for event in events {
            by_key.entry(event.key).or_default().push(event);
        }
        by_key.values_mut().for_each(|events| events.sort_by_key(|event| event.begun));
        Self { by_key, clock }
    }

    /// Returns the keys, each with what was done to it in the order in which that began.
    pub fn keys(&self) -> impl Iterator<Item = (u64, &[Event])> {
        self.by_key.iter().map(|(key, events)| (*key, &events[..]))
    }

    /// Tells whether the history of each key is explained by some order.
    #[must_use]
    pub fn are_linear(&self) -> bool {
        self.by_key.values().all(|events| is_linear(events, self.clock))
    }

    /// Judges all keys.
    ///
    /// # Errors
    /// The first key whose history is wrong.
    pub fn check(&self) -> Result<(), Wrong> {
        self.keys().try_for_each(|(key, events)| check(key, events, self.clock))
    }
}

/// Judges a key. What is told where it is wrong ends with what made it so.
fn check(key: u64, events: &[Event], clock: WallClock) -> Result<(), Wrong> {
    if is_linear(events, clock) {
        return Ok(());
    }
    // A history that begins with one that is wrong is wrong.
    let mut ends: Vec<u64> = events.iter().filter_map(|event| event.ended).collect();
    ends.sort_unstable();
    let first = ends.partition_point(|end| is_linear(&until(events, *end), clock));
    let moment = ends.get(first).copied().unwrap_or(u64::MAX);
    let mut after: Vec<_> =
        events.iter().filter(|event| event.ended.is_some_and(|end| end > moment)).cloned().collect();
    after.sort_by_key(|event| event.ended);
    Err(Wrong { key, events: until(events, moment), after, clock })
}

/// Returns what a history was at a moment: of changes that had not ended it was unknown whether they would be done.
fn until(events: &[Event], moment: u64) -> Vec<Event> {
    let begun = events.iter().filter(|event| event.begun <= moment).cloned();
    let known = begun.map(|event| match event.ended {
        Some(end) if end <= moment => event,
        _ => Event { ended: None, act: event.act.untold(), ..event },
    });
    known.filter(|event| event.ended.is_some() || !event.act.is_read()).collect()
}

/// Tells whether there is an order that explains what was done to a key.
fn is_linear(events: &[Event], clock: WallClock) -> bool {
    let end = events.iter().filter_map(|event| event.ended).max().unwrap_or(0);
    let acts = events.iter().map(|event| (event.begun, event.ended, Step::Act(event.act)));
    let lives = events.iter().filter_map(|event| {
        let life = event.act.life()?;
        let moment = clock.moment_of(life.deadline);
        let (from, until) = (moment.start().saturating_sub(DRIFT), moment.end() + DRIFT);
        // One that ends later is nobody's business, nor is one of a value that is not there any more.
        let matters = from <= end && !is_replaced(events, event, from);
        matters.then_some((from, Some(until), Step::End(life.number)))
    });
    let mut actions = Vec::new();
    for (process, (begun, ended, step)) in acts.chain(lives).enumerate() {
        actions.push((begun, false, process, Action::Call(step)));
        // What may never have been done may as well be done after all that was seen.
        actions.push((ended.unwrap_or(u64::MAX), true, process, Action::Response(step)));
    }
    // At the same moment, what begins does so before what ends: nothing says that it did not.
    actions.sort_by_key(|(moment, is_end, ..)| (*moment, *is_end));
    let actions: Vec<_> = actions.into_iter().map(|(.., process, action)| (process, action)).collect();
    actions.is_empty() || WGLChecker::<Spot>::is_linearizable(History::from_actions(actions))
}

/// Tells whether what an act gave has certainly been replaced at a moment. Most lives are, and each that is left out halves the
/// number of orders to be tried.
fn is_replaced(events: &[Event], given: &Event, moment: u64) -> bool {
    let replaces = |event: &Event| matches!(event.act, Act::Put { .. } | Act::Delete { .. });
    let was_before = |event: &Event| event.ended.is_some_and(|end| end < moment);
    given.ended.is_some_and(|end| events.iter().any(|event| event.begun > end && was_before(event) && replaces(event)))
}

impl fmt::Display for Wrong {
    /// Tells the end of the history and what came after, in microseconds since it began.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "no order explains what was done to key {}; what does not fit is the last one before the line:",
            self.key
        )?;
        let mut events: Vec<&Event> = self.events.iter().collect();
        events.sort_by_key(|event| event.ended.unwrap_or(event.begun));
        let (before, after) = (&events[events.len().saturating_sub(TOLD)..], self.after.iter().take(TOLD));
        before.iter().try_for_each(|event| self.tell(f, event))?;
        writeln!(f, "{:->78}", "")?;
        after.into_iter().try_for_each(|event| self.tell(f, event))
    }
}

impl Wrong {
    fn tell(&self, f: &mut fmt::Formatter<'_>, event: &Event) -> fmt::Result {
        let begun = self.events.first().map_or(0, |event| event.begun);
        let micros = |moment: u64| moment.saturating_sub(begun) / 1_000;
        let ended = event.ended.map_or_else(|| "?".to_owned(), |ended| micros(ended).to_string());
        write!(f, "{:>9} to {ended:>9} us: worker {}: {:?}", micros(event.begun), event.worker, event.act)?;
        match event.act.life().map(|life| self.clock.moment_of(life.deadline)) {
            Some(end) => writeln!(f, ", which ends at {} to {} us", micros(*end.start()), micros(*end.end())),
            None => writeln!(f),
        }
    }
}

impl std::error::Error for Wrong {}

impl Histories {
    /// Returns how many of the events are as `is_wanted` says.
    #[must_use]
    pub fn count(&self, is_wanted: impl Fn(&Event) -> bool) -> usize {
        self.by_key.values().flatten().filter(|event| is_wanted(event)).count()
    }

    /// Makes a wrong history of each key that has room for it: it ends with a read of a value that had been replaced, for
    /// certain, when the read began.
    #[must_use]
    pub fn with_stale_reads(&self) -> Vec<Self> {
        let stale = self.by_key.iter().filter_map(|(key, events)| {
            let (read, value) = events.iter().find_map(|read| Some((read, stale_value(events, read)?)))?;
            let mut events = until(events, read.begun);
            events.push(Event { act: Act::Get { seen: Some(value) }, ..read.clone() });
            Some(Self { by_key: BTreeMap::from([(*key, events)]), clock: self.clock })
        });
        stale.collect()
    }
}

/// Returns a value that a read must not see: it was put, and then another one, before the read began.
fn stale_value(events: &[Event], read: &Event) -> Option<u64> {
    let put_before = |moment: u64| {
        let is_put = |event: &&Event| matches!(event.act, Act::Put { .. });
        events.iter().filter(is_put).rfind(|put| put.ended.is_some_and(|end| end < moment))
    };
    let older = put_before(put_before(Some(read).filter(|read| matches!(read.act, Act::Get { .. }))?.begun)?.begun)?;
    match older.act {
        Act::Put { value, .. } => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::Life;
    use super::*;

    /// Both clocks show the same, to the millisecond.
    const CLOCK: WallClock = WallClock { least: 0, most: 0 };
    const MS: u64 = 1_000_000;

    /// Judges what was done to a key between which milliseconds.
    fn is_right(acts: impl IntoIterator<Item = (u64, Option<u64>, Act)>) -> bool {
        let events = acts.into_iter().map(|(begun, ended, act)| Event {
            key: 1,
            worker: 0,
            begun: begun * MS,
            ended: ended.map(|ended| ended * MS),
            act,
        });
        Histories::new(events, CLOCK).check().is_ok()
    }

    fn put(value: u64) -> Act {
        Act::Put { value, life: None, tagged: false }
    }

    fn mortal(number: u64, deadline: u64) -> Act {
        Act::Put { value: number, life: Some(Life { number, deadline }), tagged: false }
    }

    fn get(seen: impl Into<Option<u64>>) -> Act {
        Act::Get { seen: seen.into() }
    }

    #[test]
    fn a_value_is_seen_once_its_put_has_begun_and_until_the_next_has_ended() {
        let with = |begun, seen| {
            is_right([(10, Some(20), put(1)), (30, Some(40), put(2)), (begun, Some(begun + 1), get(seen))])
        };
        assert!(with(5, None) && with(15, None) && with(15, Some(1)) && with(25, Some(1)));
        assert!(with(35, Some(1)) && with(35, Some(2)) && with(45, Some(2)));
        assert!(!with(5, Some(1)) && !with(25, None) && !with(25, Some(2)) && !with(45, Some(1)) && !with(45, None));
    }

    #[test]
    fn no_reader_goes_back_even_while_a_put_is_under_way() {
        let with = |first, second| {
            is_right([
                (0, Some(5), put(1)),
                (10, Some(40), put(2)),
                (15, Some(20), get(first)),
                (25, Some(30), get(second)),
            ])
        };
        assert!(with(1, 1) && with(1, 2) && with(2, 2));
        assert!(!with(2, 1));
    }

    #[test]
    fn what_deletions_and_questions_are_told_must_fit() {
        let delete = |was| Act::Delete { was };
        let with = |first, second| is_right([(0, Some(1), put(1)), (2, Some(3), first), (4, Some(5), second)]);
        assert!(with(delete(Some(true)), delete(Some(false))) && with(delete(None), get(None)));
        assert!(with(get(1), Act::Has { seen: true }) && with(delete(None), Act::Has { seen: false }));
        assert!(!with(delete(Some(true)), delete(Some(true))) && !with(delete(Some(false)), get(1)));
        assert!(
            !with(get(1), Act::Has { seen: false }) && !with(delete(None), Act::Touch { life: None, was: Some(true) })
        );
    }

    #[test]
    fn an_eviction_takes_what_has_the_tag_and_nothing_else() {
        let with = |tagged, seen| {
            let put = Act::Put { value: 1, life: None, tagged };
            is_right([(0, Some(1), put), (2, Some(3), Act::Evict), (4, Some(5), get(seen))])
        };
        assert!(with(true, None) && with(false, Some(1)));
        assert!(!with(true, Some(1)) && !with(false, None));
    }

    #[test]
    fn what_is_of_unknown_outcome_may_be_done_at_any_later_time_or_never() {
        let with = |reads: &[Option<u64>]| {
            let reads = reads.iter().zip(20_u64..).map(|(seen, moment)| (2 * moment, Some(2 * moment + 1), get(*seen)));
            is_right([(0, Some(1), put(1)), (10, None, put(2))].into_iter().chain(reads))
        };
        assert!(with(&[Some(1), Some(1)]) && with(&[Some(1), Some(2)]) && with(&[Some(2), Some(2)]));
        assert!(!with(&[Some(2), Some(1)]), "once only");
        assert!(!with(&[None]));
        assert!(!is_right([(0, Some(1), put(1)), (2, Some(3), get(2)), (10, None, put(2))]), "not before it began");
    }

    #[test]
    fn an_entry_lives_until_its_deadline_and_not_beyond() {
        let with = |begun, seen| is_right([(10, Some(20), mortal(1, 50)), (begun, Some(begun + 1), get(seen))]);
        assert!(with(30, Some(1)) && with(49, Some(1)) && with(50, None) && with(60, None));
        assert!(!with(30, None) && !with(60, Some(1)));
        let late = |seen| is_right([(10, Some(70), mortal(1, 50)), (80, Some(81), get(seen))]);
        assert!(late(None) && !late(Some(1)), "its life was over before it was there");
    }

    #[test]
    fn a_touch_gives_another_life_and_a_put_ends_the_one_before() {
        let touch = Act::Touch { life: Some(Life { number: 2, deadline: 90 }), was: Some(true) };
        let with = |then, begun, seen| {
            is_right([(10, Some(20), mortal(1, 50)), (30, Some(31), then), (begun, Some(begun + 1), get(seen))])
        };
        assert!(with(touch, 60, Some(1)) && with(touch, 100, None) && with(put(3), 60, Some(3)));
        assert!(!with(touch, 60, None) && !with(touch, 100, Some(1)) && !with(put(3), 60, None));
    }

    #[test]
    fn what_is_told_of_a_wrong_history_ends_where_it_became_wrong() {
        let acts = [(0, 1, put(1)), (2, 3, put(2)), (4, 5, get(2)), (6, 7, get(1)), (8, 9, put(4)), (10, 11, get(4))];
        let events = acts.map(|(begun, end, act)| Event { key: 1, worker: 0, begun, ended: Some(end), act });
        let wrong = Histories::new(events.clone(), CLOCK).check().unwrap_err();
        assert_eq!((wrong.key, &wrong.events[..], &wrong.after[..]), (1, &events[..4], &events[4..]));
        let told = wrong.to_string();
        let (before, after) = told.split_once("\n---").unwrap();
        assert!(before.ends_with("Get { seen: Some(1) }") && after.ends_with("Get { seen: Some(4) }\n"), "{wrong}");
    }
}
