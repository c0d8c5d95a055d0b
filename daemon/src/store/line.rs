//! Whose place is the next of a queue that many namespaces share.

use std::collections::BTreeSet;

use crate::eviction::Volume;

/// The namespaces of a queue, each with a number that its next place has at least. So a look at the next place is one at few
/// namespaces, however many there are: a number is right when it was looked at, and no place comes to stand before it later.
#[derive(Debug, Default)]
pub(super) struct Line {
    next: BTreeSet<(u64, u32)>,
    /// What is held of what was passed over since the first places: there, and not met again.
    pub(super) passed: Volume,
}

/// What was taken out of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken<T> {
    /// The next place, and whose it is.
    Place(u32, T),
    /// There is none.
    Nobody,
    /// No look is left: the line is nearer to its next place than before.
    Later,
}

impl Line {
    /// Takes a namespace in that is not there, from its first place on.
    pub(super) fn enter(&mut self, namespace: u32) {
        self.next.insert((0, namespace));
    }

    /// Forgets a namespace.
    pub(super) fn leave(&mut self, namespace: u32) {
        self.next.retain(|(_, known)| *known != namespace);
    }

    /// Begins once more with the first places of all.
    pub(super) fn rewind(&mut self) {
        self.next = self.next.iter().map(|(_, namespace)| (0, *namespace)).collect();
        self.passed = Volume::default();
    }

    /// Takes the next place out, of those whose number is less than `end`. Uses up some of `looks`: at first each namespace needs one,
    /// however few have a place.
    ///
    /// `first` returns the first place of a namespace whose number is at least what it is told, and that number.
    ///
    /// # Errors
    /// Those of `first`; the line is as it was then.
    pub(super) fn take<T, E>(
        &mut self,
        end: u64,
        looks: &mut usize,
        mut first: impl FnMut(u32, u64) -> Result<Option<(u64, T)>, E>,
    ) -> Result<Taken<T>, E> {
        while let Some(&(least, namespace)) = self.next.first().filter(|(least, _)| *least < end) {
            let Some(left) = looks.checked_sub(1) else { return Ok(Taken::Later) };
            *looks = left;
            let found = first(namespace, least)?;
            self.next.remove(&(least, namespace));
            let is_next = |number: u64| self.next.first().is_none_or(|(other, _)| number <= *other);
            match found {
                Some((number, place)) if is_next(number) => {
                    self.next.insert((number + 1, namespace));
                    return Ok(Taken::Place(namespace, place));
                }
                Some((number, _)) => self.next.insert((number, namespace)),
                // What it gets from now on has a number beyond.
                None => self.next.insert((end, namespace)),
            };
        }
        Ok(Taken::Nobody)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// Takes all places with a number below `end`; each namespace has those of a row.
    fn taken(line: &mut Line, end: u64, places: &[&[u64]]) -> Vec<(u32, u64)> {
        let mut first = |namespace: u32, from: u64| {
            let place = places[namespace as usize].iter().find(|number| **number >= from && **number < end);
            Ok::<_, Infallible>(place.map(|number| (*number, *number)))
        };
        let mut looks = usize::MAX;
        let taken = std::iter::from_fn(|| match line.take(end, &mut looks, &mut first).unwrap() {
            Taken::Place(namespace, number) => Some((namespace, number)),
            Taken::Nobody => None,
            Taken::Later => panic!("there are looks enough"),
        });
        taken.collect()
    }

    #[test]
    fn places_of_many_namespaces_come_in_the_order_of_their_numbers() {
        let mut line = Line::default();
        (0..4).for_each(|namespace| line.enter(namespace));
        let places: [&[u64]; 4] = [&[3, 4, 12], &[1, 9], &[], &[2, 5, 11]];
        assert_eq!(taken(&mut line, 10, &places), [(1, 1), (3, 2), (0, 3), (0, 4), (3, 5), (1, 9)]);
        assert_eq!(taken(&mut line, 20, &places), [(3, 11), (0, 12)], "those that came later");
        line.leave(1);
        line.rewind();
        assert_eq!(taken(&mut line, 5, &places), [(3, 2), (0, 3), (0, 4)]);
    }

    #[test]
    fn a_look_that_fails_changes_nothing() {
        let mut line = Line::default();
        line.enter(1);
        assert_eq!(line.take(5, &mut 9, |_, _| Err::<Option<(u64, ())>, _>("damaged")), Err("damaged"));
        let taken = line.take(5, &mut 9, |_, from| Ok::<_, Infallible>(Some((from + 2, from))));
        assert_eq!(taken, Ok(Taken::Place(1, 0)));
    }

    #[test]
    fn no_more_is_looked_at_than_may_be_and_the_next_goes_on_from_there() {
        let mut line = Line::default();
        (0..100).for_each(|namespace| line.enter(namespace));
        let mut slices = Vec::new();
        let last = loop {
            let mut looks = 30;
            let first = |namespace, _| Ok::<_, Infallible>((namespace == 99).then_some((7, ())));
            let taken = line.take(10, &mut looks, first).unwrap();
            slices.push(looks);
            if taken != Taken::Later {
                break taken;
            }
        };
        assert_eq!((last, slices), (Taken::Place(99, ()), vec![0, 0, 0, 20]));
    }
}
