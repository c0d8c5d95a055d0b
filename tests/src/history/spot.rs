//! A key as one process alone would see it.

use todc_utils::specifications::Specification;

use super::event::Act;

/// What a key holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Spot {
    value: Option<u64>,
    /// The number of the life that the value has.
    life: Option<u64>,
    tagged: bool,
    /// Lives that ended while the value had another: one that is given them ends at once.
    over: Vec<u64>,
}

/// What happens to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A client did something.
    Act(Act),
    /// The life with this number ended.
    End(u64),
}

impl Specification for Spot {
    type State = Self;
    type Operation = Step;

    fn init() -> Self {
        Self::default()
    }

    /// Tells whether this could happen, with this result, and what it left.
    fn apply(step: &Step, spot: &Self) -> (bool, Self) {
        let is_there = spot.value.is_some();
        let told = |was: Option<bool>| was.is_none_or(|was| was == is_there);
        match *step {
            Step::Act(Act::Put { value, life, tagged }) => {
                let given = Self { value: Some(value), tagged, ..spot.clone() };
                (true, given.living(life.map(|life| life.number)))
            }
            Step::Act(Act::Get { seen }) => (seen == spot.value, spot.clone()),
            Step::Act(Act::Has { seen }) => (seen == is_there, spot.clone()),
            Step::Act(Act::Touch { life, was }) if is_there => {
                (told(was), spot.clone().living(life.map(|life| life.number)))
            }
            Step::Act(Act::Touch { was, .. }) => (told(was), spot.clone()),
            Step::Act(Act::Delete { was }) => (told(was), spot.clone().empty()),
            Step::Act(Act::Evict) => (true, if spot.tagged { spot.clone().empty() } else { spot.clone() }),
            Step::End(life) => (true, spot.clone().without(life)),
        }
    }
}

impl Spot {
    fn living(mut self, life: Option<u64>) -> Self {
        self.life = life;
        if life.is_some_and(|life| self.over.contains(&life)) { self.empty() } else { self }
    }

    fn empty(self) -> Self {
        Self { value: None, life: None, tagged: false, ..self }
    }

    fn without(mut self, life: u64) -> Self {
        if self.life == Some(life) {
            return self.empty();
        }
        // In order, so that it does not matter which ended first.
        let place = self.over.partition_point(|other| *other < life);
        self.over.insert(place, life);
        self
    }
}
