//! What was measured, and which goals it reaches.

use serde_json::{Value, json};

/// Whom a figure is about.
pub(crate) const US: &str = "datacache";
/// The library that is to be replaced.
pub(crate) const DISKCACHE: &str = "DiskCache";
/// A cache in memory, with a server.
pub(crate) const REDIS: &str = "Redis";
/// Another one.
pub(crate) const MEMCACHED: &str = "memcached";
/// LMDB in the same process, and nothing else.
pub(crate) const HEED: &str = "heed";

/// A figure with its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Amount {
    /// A time.
    Nanoseconds(f64),
    /// A rate.
    PerSecond(f64),
    /// A size.
    Bytes(f64),
    /// A number of something.
    Count(f64),
}

/// What was measured of one of the peers.
#[derive(Clone, Debug)]
pub(crate) struct Measurement {
    pub(crate) who: String,
    pub(crate) amounts: Vec<(&'static str, Amount)>,
}

/// A goal, and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    pub(crate) text: String,
    /// `None` where something was missing.
    pub(crate) found: Option<String>,
    pub(crate) reached: bool,
}

/// A row of the report.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// The group's name and what stands for the row in it.
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) measurements: Vec<Measurement>,
    pub(crate) goals: Vec<Goal>,
    pub(crate) notes: Vec<String>,
}

impl Amount {
    /// Returns the bare number.
    pub(crate) fn number(self) -> f64 {
        match self {
            Self::Nanoseconds(number) | Self::PerSecond(number) | Self::Bytes(number) | Self::Count(number) => number,
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Nanoseconds(_) => "ns",
            Self::PerSecond(_) => "per_s",
            Self::Bytes(_) => "bytes",
            Self::Count(_) => "count",
        }
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (number, unit) = match *self {
            Self::Nanoseconds(ns) if ns < 1e6 => (ns / 1e3, " µs"),
            Self::Nanoseconds(ns) if ns < 1e9 => (ns / 1e6, " ms"),
            Self::Nanoseconds(ns) => (ns / 1e9, " s"),
            Self::Bytes(bytes) => (bytes / f64::from(1 << 20), " MiB"),
            Self::PerSecond(number) | Self::Count(number) => return write!(f, "{number:.0}"),
        };
        let digits = if number < 10.0 { 2 } else { usize::from(number < 100.0) };
        write!(f, "{number:.digits$}{unit}")
    }
}

impl Measurement {
    /// Returns an amount by its name.
    pub(crate) fn amount(&self, name: &str) -> Option<f64> {
        self.amounts.iter().find(|(known, _)| *known == name).map(|(_, amount)| amount.number())
    }
}

impl Outcome {
    /// Begins a row.
    pub(crate) fn new(name: impl Into<String>, title: impl Into<String>) -> Self {
        let (name, title) = (name.into(), title.into());
        Self { name, title, measurements: Vec::new(), goals: Vec::new(), notes: Vec::new() }
    }

    /// Takes in what was measured of one of the peers.
    pub(crate) fn add(&mut self, who: impl Into<String>, amounts: Vec<(&'static str, Amount)>) {
        self.measurements.push(Measurement { who: who.into(), amounts });
    }

    /// Returns an amount of one of the peers.
    pub(crate) fn amount(&self, who: &str, name: &str) -> Option<f64> {
        self.measurements.iter().find(|measurement| measurement.who == who)?.amount(name)
    }

    /// Adds the goal that our `name` is at most `most` times the other's.
    pub(crate) fn at_most(&mut self, name: &'static str, most: f64, other: &str) {
        let found = self.amount(US, name).zip(self.amount(other, name)).map(|(ours, theirs)| ours / theirs);
        self.goal(format!("{name} at most {most} × {other}"), found, |ratio| ratio <= most);
    }

    /// Adds the goal that we are at least `least` times faster than the other, by `name`.
    pub(crate) fn faster(&mut self, name: &'static str, least: f64, other: &str) {
        let found = self.amount(US, name).zip(self.amount(other, name)).map(|(ours, theirs)| theirs / ours);
        self.goal(format!("{name} at least {least} × faster than {other}"), found, |ratio| ratio >= least);
    }

    /// Adds the goal that our rate is at least `least` times the other's.
    pub(crate) fn rate(&mut self, least: f64, other: &str) {
        let name = "per second";
        let found = self.amount(US, name).zip(self.amount(other, name)).map(|(ours, theirs)| ours / theirs);
        self.goal(format!("at least {least} × as many a second as {other}"), found, |ratio| ratio >= least);
    }

    /// Adds the goal that our `name` is below an amount.
    pub(crate) fn below(&mut self, who: &str, name: &'static str, most: Amount) {
        let found = self.amount(who, name);
        let goal = Goal {
            text: format!("{who}: {name} below {most}"),
            found: found.map(|found| most.same_unit(found).to_string()),
            reached: found.is_some_and(|found| found < most.number()),
        };
        self.goals.push(goal);
    }

    /// Adds a goal about a ratio.
    pub(crate) fn goal(&mut self, text: String, ratio: Option<f64>, is_reached: impl Fn(f64) -> bool) {
        let found = ratio.map(|ratio| format!("{ratio:.2} ×"));
        self.goals.push(Goal { text, found, reached: ratio.is_some_and(is_reached) });
    }

    /// Adds a remark.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Returns all of it for programs.
    pub(crate) fn json(&self) -> Value {
        let measurement = |measurement: &Measurement| {
            let amounts = measurement.amounts.iter();
            let amounts = amounts.map(|(name, amount)| (format!("{name} {}", amount.unit()), json!(amount.number())));
            json!({ "who": measurement.who, "amounts": amounts.collect::<serde_json::Map<_, _>>() })
        };
        let goal = |goal: &Goal| json!({ "goal": goal.text, "found": goal.found, "reached": goal.reached });
        json!({
            "name": self.name,
            "title": self.title,
            "measurements": self.measurements.iter().map(measurement).collect::<Vec<_>>(),
            "goals": self.goals.iter().map(goal).collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }
}

impl Amount {
    fn same_unit(self, number: f64) -> Self {
        match self {
            Self::Nanoseconds(_) => Self::Nanoseconds(number),
            Self::PerSecond(_) => Self::PerSecond(number),
            Self::Bytes(_) => Self::Bytes(number),
            Self::Count(_) => Self::Count(number),
        }
    }
}

impl Goal {
    /// Returns what came of it in words.
    pub(crate) fn verdict(&self) -> &'static str {
        match (&self.found, self.reached) {
            (None, _) => "not measured",
            (Some(_), true) => "reached",
            (Some(_), false) => "NOT reached",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(ours: f64, theirs: f64) -> Outcome {
        let mut outcome = Outcome::new("get", "get");
        outcome.add(US, vec![("p50", Amount::Nanoseconds(ours))]);
        outcome.add(DISKCACHE, vec![("p50", Amount::Nanoseconds(theirs))]);
        outcome
    }

    #[test]
    fn a_goal_is_reached_or_not_and_says_what_was_found() {
        for (ours, verdict) in [(600.0, "reached"), (601.0, "NOT reached")] {
            let mut outcome = outcome(ours, 400.0);
            outcome.at_most("p50", 1.5, DISKCACHE);
            assert_eq!((outcome.goals[0].verdict(), outcome.goals[0].found.as_deref()), (verdict, Some("1.50 ×")));
        }
        let mut outcome = outcome(600.0, 6_100.0);
        outcome.faster("p50", 10.0, DISKCACHE);
        outcome.below(US, "p50", Amount::Nanoseconds(500.0));
        assert_eq!(outcome.goals.iter().map(Goal::verdict).collect::<Vec<_>>(), ["reached", "NOT reached"]);
        assert_eq!(outcome.goals[1].found.as_deref(), Some("0.60 µs"));
    }

    #[test]
    fn a_goal_against_a_missing_peer_is_not_measured() {
        let mut outcome = outcome(1.0, 1.0);
        outcome.faster("p50", 4.0, REDIS);
        assert_eq!(outcome.goals[0].verdict(), "not measured");
    }

    #[test]
    fn amounts_have_three_digits_and_their_unit() {
        let shown = [
            Amount::Nanoseconds(412.0),
            Amount::Nanoseconds(16_540.0),
            Amount::Nanoseconds(2.5e9),
            Amount::Bytes(20_971_520.0),
            Amount::PerSecond(55_000.4),
        ];
        assert_eq!(shown.map(|amount| amount.to_string()), ["0.41 µs", "16.5 µs", "2.50 s", "20.0 MiB", "55000"]);
    }
}
