//! What happened lately: rates of all namespaces together and of each, a fixed number of them, oldest first.

use std::collections::{HashMap, VecDeque};

use super::measurement::{Measurement, Rates};

/// How many rates are kept: as many as the widest terminal shows.
pub(super) const KEPT: usize = 400;
/// Of more namespaces than these, only the one that is selected is followed: 20 KiB each.
const FOLLOWED: usize = 256;

/// How many rates are lately.
const LATELY: usize = 30;

/// The rates of one thing; `None` where two daemons were not compared.
pub(super) type Ring = VecDeque<Option<Rates>>;

/// What happened lately.
#[derive(Debug, Default)]
pub(super) struct History {
    all: Ring,
    namespaces: HashMap<String, Ring>,
}

impl History {
    /// Takes what happened between two measurements. `selected` is followed in any case.
    pub(super) fn push(&mut self, earlier: &Measurement, later: &Measurement, selected: Option<&str>) {
        let span = later.span_since(earlier);
        append(&mut self.all, span.map(|span| later.traffic.since(&earlier.traffic, span)));
        self.namespaces.retain(|name, _| later.namespace(name).is_some());
        let is_followed = |name: &str| later.namespaces.len() <= FOLLOWED || selected == Some(name);
        for namespace in later.namespaces.iter().filter(|namespace| is_followed(&namespace.name)) {
            let then = earlier.namespace(&namespace.name).map(|then| then.traffic).unwrap_or_default();
            let ring = self.namespaces.entry(namespace.name.clone()).or_default();
            append(ring, span.map(|span| namespace.traffic.since(&then, span)));
        }
    }

    /// Returns the rates of a namespace, or of all.
    pub(super) fn of(&self, namespace: Option<&str>) -> Option<&Ring> {
        namespace.map_or(Some(&self.all), |namespace| self.namespaces.get(namespace))
    }

    /// Returns the last rates of a namespace, or of all; none happened where nothing is known.
    pub(super) fn last(&self, namespace: Option<&str>) -> Rates {
        self.of(namespace).and_then(VecDeque::back).copied().flatten().unwrap_or_default()
    }

    /// Returns the share of the reads of a namespace that found something lately; `None` where nobody read.
    pub(super) fn hit_ratio(&self, namespace: &str) -> Option<f64> {
        let ring = self.namespaces.get(namespace)?;
        let rates = ring.iter().rev().take(LATELY).flatten();
        let reads = rates.filter_map(|rates| Some((rates.hit_ratio?, rates.direct + rates.called)));
        let (hits, all) = reads.fold((0.0, 0.0), |(hits, all), (ratio, reads)| (hits + ratio * reads, all + reads));
        (all > 0.0).then(|| hits / all)
    }
}

fn append(ring: &mut Ring, rates: Option<Rates>) {
    if ring.len() == KEPT {
        ring.pop_front();
    }
    ring.push_back(rates);
}

#[cfg(test)]
mod tests {
    use super::super::measurement::{Namespace, Traffic};
    use super::*;
    use std::time::Duration;

    fn at(second: u64, names: &[String]) -> Measurement {
        let traffic = Traffic { writes: second * 10, ..Traffic::default() };
        let namespace = |name: &String| Namespace { name: name.clone(), traffic, ..Namespace::default() };
        let namespaces = names.iter().map(namespace).collect();
        Measurement { uptime: Duration::from_secs(second), traffic, namespaces, ..Measurement::default() }
    }

    #[test]
    fn as_much_is_kept_as_is_shown_and_the_oldest_goes_first() {
        let (mut history, names) = (History::default(), ["n".to_owned()]);
        for second in 1..=KEPT as u64 + 5 {
            history.push(&at(second, &names), &at(second + 1, &names), None);
        }
        assert_eq!(history.of(None).map(VecDeque::len), Some(KEPT));
        assert_eq!(history.of(Some("n")).map(VecDeque::len), Some(KEPT));
        assert_eq!((history.last(None).writes, history.last(Some("n")).writes), (10.0, 10.0));
        history.push(&at(9, &names), &at(10, &[]), None);
        assert!(history.of(Some("n")).is_none());
    }

    #[test]
    fn of_very_many_namespaces_the_selected_one_alone_is_followed() {
        let mut names: Vec<_> = (0..=FOLLOWED).map(|number| number.to_string()).collect();
        names.sort();
        let mut history = History::default();
        history.push(&at(1, &names), &at(2, &names), Some("77"));
        assert!(history.of(Some("77")).is_some() && history.of(Some("78")).is_none());
    }

    #[test]
    fn a_gap_is_told_as_one() {
        let mut history = History::default();
        history.push(&at(9, &[]), &at(1, &[]), None);
        assert_eq!(history.of(None).map(|ring| ring.iter().copied().collect()), Some(vec![None]));
        assert_eq!(history.last(None), Rates::default());
    }
}
