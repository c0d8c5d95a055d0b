//! Whose turn it is, without a store.

use super::*;
use crate::store::{NewValue, Put, StoreError};
use datacache_proto::error::FullCause;
use datacache_proto::key::Key;
use datacache_proto::types::Codec;
use tokio::sync::oneshot;

const ONE: Owner = Owner::Namespace(1);
const OTHER: Owner = Owner::Namespace(2);

/// Has batches wait, each with its number, its namespace and whose limit it waits for.
fn crowd(waiting: &[(u64, &str, Owner)]) -> (Crowd, Vec<oneshot::Receiver<crate::writer::Outcomes>>) {
    let mut crowd = Crowd::default();
    let push = |&(number, namespace, of): &(u64, &str, Owner)| {
        let (slot, answered) = slot(number);
        crowd.push(of, slot, batch(namespace));
        answered
    };
    let answers = waiting.iter().map(push).collect();
    (crowd, answers)
}

fn slot(number: u64) -> (Slot, oneshot::Receiver<crate::writer::Outcomes>) {
    let (reply, answered) = oneshot::channel();
    (Slot { number, durable: false, expires: None, was_crowded: false, reply }, answered)
}

fn batch(namespace: &str) -> Batch {
    let (codec, value) = (Codec::Bytes, NewValue::Inline(vec![7].into()));
    let (namespace, key) = (namespace.into(), Key::from(1).into());
    let put = Put { namespace, key, codec, value, expires: None, tags: Vec::new(), pinned: false, holder: None };
    Batch::of(Command::Put(put), None)
}

/// Has so many slices made; returns whose limits they were for, and which batch has room then.
fn made(crowd: &mut Crowd, mut slices: u32, mut way: impl FnMut(Owner) -> Way) -> (Vec<Owner>, Option<u64>) {
    let mut asked = Vec::new();
    let make_way = |_: &Batch, of| {
        asked.push(of);
        way(of)
    };
    let clear = crowd.make_way(&mut slices, &mut Vec::new(), make_way);
    (asked, clear.map(|(slot, _)| slot.number))
}

#[test]
fn slices_are_shared_among_the_limits_that_are_waited_for() {
    let (mut crowd, _answers) = crowd(&[(0, "a", ONE), (1, "a", ONE), (2, "b", OTHER), (3, "c", Owner::Store)]);
    let again = |_| Way::Again;
    assert_eq!(made(&mut crowd, 4, again), (vec![Owner::Store, ONE, OTHER, Owner::Store], None));
    assert_eq!(made(&mut crowd, 1, again), (vec![ONE], None), "it goes on where it was");
    assert!(crowd.can_go_on());
    let clear = |of| if of == ONE { Way::Clear } else { Way::Again };
    assert_eq!(made(&mut crowd, 9, clear), (vec![OTHER, Owner::Store, ONE], Some(0)));
    assert_eq!(made(&mut crowd, 9, clear), (vec![OTHER, Owner::Store, ONE], Some(1)));
    assert_eq!(crowd.first(), Some(2));
}

#[test]
fn who_waits_for_a_thread_holds_up_only_those_who_wait_for_the_same_limit() {
    let (mut crowd, _answers) = crowd(&[(0, "a", Owner::Store), (1, "b", Owner::Store), (2, "c", ONE)]);
    let way = |of| if of == ONE { Way::Clear } else { Way::Wait };
    assert_eq!(made(&mut crowd, 4, way), (vec![Owner::Store, ONE], Some(2)));
    assert_eq!(made(&mut crowd, 4, way), (vec![], None), "until the next turn");
    assert!(!crowd.can_go_on() && !crowd.is_empty());
    crowd.begin_turn();
    assert!(crowd.can_go_on());
    assert_eq!(made(&mut crowd, 4, |_| Way::Clear), (vec![Owner::Store], Some(0)), "the one that came first");
}

#[test]
fn those_of_a_namespace_keep_their_order_whatever_they_wait_for() {
    let (mut crowd, _answers) = crowd(&[(1, "a", Owner::Store), (2, "a", ONE), (4, "b", Owner::Store)]);
    crowd.push(ONE, slot(0).0, batch("a"));
    assert_eq!((crowd.lines.len(), crowd.lines[0].of), (2, ONE), "it had room for a moment");
    let numbers = crowd.lines[0].waiting.iter().map(|(slot, _)| slot.number);
    assert_eq!(numbers.collect::<Vec<_>>(), [0, 1, 2]);
    let mut ways = [Way::Elsewhere(ONE), Way::Elsewhere(Owner::Store), Way::Clear].into_iter();
    let (asked, clear) = made(&mut crowd, 9, |_| ways.next().expect("one has room by then"));
    assert_eq!((asked, clear), (vec![Owner::Store, ONE, Owner::Store], Some(0)));
}

#[test]
fn who_is_refused_or_gives_up_makes_way_for_the_next() {
    let (mut crowd, mut answers) = crowd(&[(0, "a", ONE), (1, "a", ONE), (2, "a", ONE), (3, "b", OTHER)]);
    answers.truncate(3);
    crowd.drop_given_up();
    assert_eq!(crowd.lines.len(), 1);
    let (mut slices, mut done) = (1, Vec::new());
    let full = || Way::Refused(StoreError::Full { of: None, cause: FullCause::Held });
    assert!(crowd.make_way(&mut slices, &mut done, |_, _| full()).is_none());
    assert_eq!((slices, done[0].0.number, crowd.first()), (0, 0, Some(1)));
    assert_eq!(crowd.give_up().map(|slot| slot.number).collect::<Vec<_>>(), [1, 2]);
    assert!(crowd.is_empty() && !crowd.can_go_on());
}
