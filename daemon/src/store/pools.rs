//! Pools: who is evicted for whom. A namespace with a limit or a policy of its own is a pool, all others share one; each has a policy
//! that learns for itself.

use std::collections::{BTreeMap, BTreeSet};

use datacache_proto::layout::DIRECTORY_NAMESPACE;
use datacache_proto::recent::KeyHash;

use super::admission::Limits;
use super::marks::Marks;
use super::pool::{Lines, Pool, PoolId};
use super::rules::{Rule, Rules};
use super::states::{Remembered, States};
use crate::eviction::{Addition, Evictor, Place, Policy};

/// What an empty index takes (a page for each table), and what the log needs to go on.
const BASE: u64 = 128 << 10;

/// All pools.
#[derive(Debug)]
pub(super) struct Pools {
    rules: Rules,
    states: States,
    shared: Pool,
    members: BTreeSet<u32>,
    own: BTreeMap<u32, (String, Pool)>,
    /// What was added and is not final, and to whose pool.
    journal: Vec<(u32, Addition)>,
}

/// A point to go back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark(usize);

impl Pools {
    /// Makes the pools for these namespaces, with what was learned before.
    pub(super) fn new<'n>(rules: Rules, states: States, namespaces: impl IntoIterator<Item = (&'n str, u32)>) -> Self {
        let policy = rules.all.policy.unwrap_or_default();
        let shared = Pool::new(states.load(PoolId::Shared, policy), policy, Limits::default());
        let namespaces: Vec<_> = namespaces.into_iter().collect();
        let own = namespaces.iter().filter(|(name, _)| own_rule(&rules, name).is_some());
        let mut remembered = states.remember(own.map(|(_, number)| *number));
        let mut pools =
            Self { rules, states, shared, members: BTreeSet::new(), own: BTreeMap::new(), journal: Vec::new() };
        namespaces.into_iter().for_each(|(name, number)| pools.join(name, number, &mut remembered));
        pools
    }

    /// Returns the namespaces, of these, that become pools by other rules.
    pub(super) fn newcomers<'n>(
        &self,
        rules: &Rules,
        namespaces: impl IntoIterator<Item = (&'n str, u32)>,
    ) -> Vec<u32> {
        let new = namespaces.into_iter().filter(|(_, number)| !self.own.contains_key(number));
        new.filter(|(name, _)| own_rule(rules, name).is_some()).map(|(_, number)| number).collect()
    }

    /// Takes up other rules; `remembered` is what newcomers have learned before. What was learned stays with those whose pool does, and so
    /// does how far they have come; what others have learned is returned.
    pub(super) fn set_rules<'n>(
        &mut self,
        rules: Rules,
        mut remembered: Remembered,
        namespaces: impl IntoIterator<Item = (&'n str, u32)>,
    ) -> Vec<(PoolId, Evictor)> {
        self.rules = rules;
        let policy = self.policy();
        self.shared.follow(policy, Limits::default());
        let namespaces: Vec<_> = namespaces.into_iter().collect();
        if namespaces.iter().any(|(name, number)| self.members.contains(number) && self.rule_of(name).is_some()) {
            // What was passed over of those that leave nobody knows.
            self.shared.lines = Lines::default();
            self.members.clear();
        }
        let (mut before, mut left) = (std::mem::take(&mut self.own), Vec::new());
        for (name, number) in namespaces {
            match (self.rule_of(name), before.remove(&number)) {
                (Some(rule), Some((name, mut pool))) => {
                    let (policy, limits) = self.resolved(rule);
                    pool.follow(policy, limits);
                    self.own.insert(number, (name, pool));
                }
                (_, before) => {
                    let before = before.map(|(_, pool)| pool).filter(|pool| pool.has_learned);
                    left.extend(before.map(|pool| (PoolId::Own(number), pool.evictor)));
                    self.join(name, number, &mut remembered);
                }
            }
        }
        left
    }

    /// Takes a namespace in: one that is new, or whose number another one had that came to nothing. It has learned nothing: what is kept of
    /// its number is not its own, and goes.
    pub(super) fn enter(&mut self, name: &str, number: u32) {
        self.states.forget(number);
        self.join(name, number, &mut Remembered::default());
    }

    fn join(&mut self, name: &str, number: u32, remembered: &mut Remembered) {
        if number == DIRECTORY_NAMESPACE {
            return;
        }
        self.own.remove(&number);
        let Some(rule) = self.rule_of(name) else {
            if self.members.insert(number) {
                self.shared.lines.enter(number);
            }
            return;
        };
        if self.members.remove(&number) {
            self.shared.lines.leave(number);
        }
        let (policy, limits) = self.resolved(rule);
        let mut pool = Pool::new(remembered.take(number, policy), policy, limits);
        pool.lines.enter(number);
        self.own.insert(number, (name.to_owned(), pool));
    }

    /// Tells an entry its place, whose key had none, and which takes `charge` bytes.
    pub(super) fn add(&mut self, namespace: u32, hash: KeyHash, charge: u64) -> Place {
        let addition = self.of_mut(namespace).evictor.admit(hash, charge);
        self.journal.push((namespace, addition));
        addition.place
    }

    /// Returns the point that [`Pools::undo`] goes back to.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.journal.len())
    }

    /// Takes back what was added since `mark`, the last first.
    pub(super) fn undo(&mut self, mark: Mark) {
        while self.journal.len() > mark.0 {
            let (namespace, addition) = self.journal.pop().expect("it is longer than the mark");
            self.of_mut(namespace).evictor.take_back(addition);
        }
    }

    /// Takes back all that is not final.
    pub(super) fn undo_all(&mut self) {
        self.undo(Mark(0));
    }

    /// Makes everything so far final: it is in the log.
    pub(super) fn commit(&mut self) {
        self.journal.clear();
    }

    fn rule_of(&self, name: &str) -> Option<Rule> {
        own_rule(&self.rules, name)
    }

    /// Returns the limits that a namespace will have which is not there yet; `None` where it has none of its own.
    pub(super) fn limits_of_new(&self, name: &str) -> Option<Limits> {
        self.rule_of(name).map(|rule| self.limits(rule, 0))
    }

    fn resolved(&self, rule: Rule) -> (Policy, Limits) {
        (rule.policy.unwrap_or(self.policy()), self.limits(rule, 0))
    }

    fn limits(&self, rule: Rule, base: u64) -> Limits {
        let percent = self.rules.held_percent;
        let held = rule.limit.map(|limit| share(limit, percent));
        // Of few entries one at least.
        let held_entries = rule.limit_entries.map(|limit| limit - share(limit, 100 - percent.min(100)));
        let (bytes, entries) = (rule.limit.map(Marks::of_bytes), rule.limit_entries.map(Marks::of_entries));
        Limits { bytes, entries, held, held_entries, base }
    }

    /// Returns the limits of the store, which may not take more than `ceiling` either.
    pub(super) fn limits_of_all(&self, ceiling: Option<u64>) -> Limits {
        let limit = [self.rules.all.limit, ceiling].into_iter().flatten().min();
        self.limits(Rule { limit, ..self.rules.all }, BASE)
    }

    /// Returns the rules.
    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Returns where the states are kept.
    pub(super) fn states(&self) -> &States {
        &self.states
    }

    /// Returns the store's policy.
    pub(super) fn policy(&self) -> Policy {
        self.rules.all.policy.unwrap_or_default()
    }

    /// Returns the pool of a namespace that is one by itself, and the namespace's name.
    pub(super) fn own(&self, namespace: u32) -> Option<(&str, &Pool)> {
        self.own.get(&namespace).map(|(name, pool)| (&**name, pool))
    }

    /// Returns the namespaces that are pools by themselves.
    pub(super) fn owners(&self) -> impl Iterator<Item = (u32, &Pool)> {
        self.own.iter().map(|(number, (_, pool))| (*number, pool))
    }

    /// Returns a pool; the shared one for a namespace that is none.
    pub(super) fn get_mut(&mut self, id: PoolId) -> &mut Pool {
        match id {
            PoolId::Own(namespace) => self.of_mut(namespace),
            PoolId::Shared => &mut self.shared,
        }
    }

    /// Returns all pools.
    pub(super) fn all(&self) -> impl Iterator<Item = (PoolId, &Pool)> {
        let own = self.owners().map(|(number, pool)| (PoolId::Own(number), pool));
        own.chain([(PoolId::Shared, &self.shared)])
    }

    fn of_mut(&mut self, namespace: u32) -> &mut Pool {
        self.own.get_mut(&namespace).map_or(&mut self.shared, |(_, pool)| pool)
    }
}

/// Returns the rule that makes a namespace a pool by itself.
fn own_rule(rules: &Rules, name: &str) -> Option<Rule> {
    let is_own = |rule: &Rule| rule.limit.is_some() || rule.limit_entries.is_some() || rule.policy.is_some();
    rules.namespaces.get(name).copied().filter(is_own)
}

fn share(limit: u64, percent: u8) -> u64 {
    u64::try_from(u128::from(limit) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::command::{Batch, Command, NewValue, Put};
    use super::super::states::Learned;
    use super::super::testing::{NOW, put_of, store};
    use super::*;
    use crate::eviction::{Queue, Volume};
    use datacache_proto::key::Key;
    use datacache_proto::log::MAX_FRAME;

    fn rules(limit: Option<u64>) -> Rules {
        let rule = Rule { limit, ..Rule::default() };
        Rules { namespaces: [("own".to_owned(), rule)].into(), held_percent: 50, ..Rules::default() }
    }

    fn pools(folder: &tempfile::TempDir) -> Pools {
        Pools::new(rules(Some(1 << 30)), States::new(folder.path()), [("own", 1), ("other", 2)])
    }

    #[test]
    fn a_namespace_with_a_limit_is_a_pool_and_others_share_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut pools = pools(&folder);
        assert_eq!(pools.own(1).map(|(name, pool)| (name, pool.limits.held)), Some(("own", Some(1 << 29))));
        assert!(pools.own(2).is_none());
        pools.add(1, KeyHash::from_bits(1), 10);
        pools.add(2, KeyHash::from_bits(2), 20);
        let volumes = |pools: &Pools| -> Vec<_> {
            let all = |pool: &Pool| pool.evictor.volume(Queue::Small).plus(pool.evictor.volume(Queue::Main));
            pools.all().map(|(id, pool)| (id, all(pool).bytes)).collect()
        };
        assert_eq!(volumes(&pools), [(PoolId::Own(1), 10), (PoolId::Shared, 20)]);
        pools.set_rules(rules(None), Remembered::default(), [("own", 1), ("other", 2)]);
        assert!(pools.own(1).is_none());
        assert_eq!(pools.members, BTreeSet::from([1, 2]));
    }

    /// Each time that the settings were read, all that is held was passed over once more.
    #[test]
    fn what_was_passed_over_is_known_until_a_namespace_leaves_and_is_never_more_than_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let mut pools = pools(&folder);
        let volume = |entries| Volume { bytes: 10 * entries, entries };
        let passed = |pools: &Pools| pools.all().map(|(_, pool)| pool.lines.passed().entries).collect::<Vec<_>>();
        let pass = |pools: &mut Pools| {
            for pool in [&mut pools.own.get_mut(&1).unwrap().1, &mut pools.shared] {
                pool.lines.of(Queue::Small).passed = volume(2);
                pool.lines.of(Queue::Main).passed = volume(3);
            }
        };
        pass(&mut pools);
        pools.set_rules(rules(Some(1 << 20)), Remembered::default(), [("own", 1), ("other", 2), ("new", 3)]);
        assert_eq!(passed(&pools), [5, 5]);
        for (held, left) in [(4, 4), (1, 1), (5, 1)] {
            pools.shared.lines.let_go(volume(held));
            assert_eq!(pools.shared.lines.passed(), volume(left));
        }
        pools.set_rules(rules(None), Remembered::default(), [("own", 1), ("other", 2), ("new", 3)]);
        assert_eq!(passed(&pools), [1], "who comes is yet to be looked at");
        pools.set_rules(rules(Some(1 << 20)), Remembered::default(), [("own", 1), ("other", 2), ("new", 3)]);
        assert_eq!(passed(&pools), [0, 0], "who leaves had some of it");
        pass(&mut pools);
        pools.shared.lines.rewind();
        assert_eq!(passed(&pools), [5, 0]);
    }

    #[test]
    fn what_came_to_nothing_stands_in_no_pool() {
        let folder = tempfile::tempdir().unwrap();
        let mut pools = pools(&folder);
        let standing = |pools: &Pools| pools.all().map(|(_, pool)| pool.evictor.standing().bytes).collect::<Vec<_>>();
        pools.add(1, KeyHash::from_bits(1), 10);
        let mark = pools.mark();
        pools.add(1, KeyHash::from_bits(2), 5);
        pools.add(2, KeyHash::from_bits(3), 20);
        pools.undo(mark);
        assert_eq!(standing(&pools), [10, 0]);
        pools.commit();
        pools.add(2, KeyHash::from_bits(3), 20);
        pools.undo_all();
        assert_eq!(standing(&pools), [10, 0]);
    }

    /// It was counted as often as it was tried.
    #[test]
    fn what_a_refused_batch_would_have_added_stands_in_no_pool() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let put = |key: &str, length| {
            let value = NewValue::Inline(vec![7; length].into());
            Command::Put(Put { key: Key::from(key).into(), ..put_of(value) })
        };
        let mut try_all = |commands, is_taken| {
            let mut results = Vec::new();
            store.write(&mut [Batch::all(commands, None)].into(), NOW, &mut results);
            assert_eq!(results[0].is_ok(), is_taken, "{results:?}");
            store.pools.shared.evictor.standing().entries
        };
        assert_eq!(try_all(vec![put("a", 1)], true), 1);
        (0..3).for_each(|_| assert_eq!(try_all(vec![put("b", 1), put("c", MAX_FRAME)], false), 1));
        assert_eq!(try_all(vec![put("b", 1), put("c", 1)], true), 3);
    }

    /// It was read on the thread that answers the calls; and what a lost namespace had learned was taken for that of a new one.
    #[test]
    fn what_was_learned_before_is_that_of_newcomers_and_of_no_new_namespace() {
        let folder = tempfile::tempdir().unwrap();
        let mut before = pools(&folder);
        before.add(1, KeyHash::from_bits(1), 10);
        let evictor = before.own(1).unwrap().1.evictor.clone();
        Learned::new(before.states.clone(), vec![(PoolId::Own(1), evictor.clone())]).keep();
        let is_known = |pools: &Pools| pools.own(1).unwrap().1.evictor == evictor;
        assert!(is_known(&pools(&folder)), "at a start it is known");
        let mut pools = Pools::new(rules(None), States::new(folder.path()), [("own", 1), ("other", 2)]);
        let limited = rules(Some(1 << 20));
        assert_eq!(pools.newcomers(&limited, [("own", 1), ("other", 2)]), [1]);
        let remembered = pools.states.remember([1]);
        pools.set_rules(limited.clone(), remembered, [("own", 1), ("other", 2)]);
        assert!(is_known(&pools));
        assert_eq!(pools.newcomers(&limited, [("own", 1), ("other", 2)]), []);
        pools.enter("own", 1);
        assert!(!is_known(&pools));
    }

    /// The next start took it for that of the namespace which had the number by then.
    #[test]
    fn what_was_learned_under_a_number_goes_when_the_number_is_given_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut lost = pools(&folder);
        lost.add(1, KeyHash::from_bits(1), 10);
        let evictor = lost.own(1).unwrap().1.evictor.clone();
        let learned = [1, 2].map(|number| (PoolId::Own(number), evictor.clone()));
        Learned::new(lost.states.clone(), learned.into()).keep();
        let mut pools = Pools::new(rules(Some(1 << 30)), States::new(folder.path()), []);
        pools.enter("own", 1);
        drop(pools);
        let pools = Pools::new(rules(Some(1 << 30)), States::new(folder.path()), [("own", 1)]);
        assert_eq!(pools.own(1).unwrap().1.evictor, Evictor::new(Policy::default()));
        let next = Pools::new(rules(Some(1 << 30)), States::new(folder.path()), [("own", 2)]);
        assert!(next.own(2).unwrap().1.evictor == evictor, "that of others stays");
    }

    #[test]
    fn a_number_that_is_given_once_more_belongs_to_the_later_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut pools = pools(&folder);
        pools.enter("own", 3);
        pools.enter("new", 3);
        assert!(pools.own(3).is_none() && pools.members.contains(&3));
        pools.enter("own", 3);
        assert!(pools.own(3).is_some() && !pools.members.contains(&3));
    }

    #[test]
    fn others_on_the_disk_may_leave_less_than_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let mut pools = pools(&folder);
        assert_eq!(pools.limits_of_all(None).bytes, None);
        assert_eq!(pools.limits_of_all(Some(1 << 24)).bytes, Some(Marks::of_bytes(1 << 24)));
        assert_eq!(pools.limits_of_all(Some(1 << 24)).held, Some(1 << 23), "nor may more be held");
        pools.rules.all.limit = Some(1 << 20);
        assert_eq!(pools.limits_of_all(Some(1 << 24)).bytes, Some(Marks::of_bytes(1 << 20)));
    }
}
