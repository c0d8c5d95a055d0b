//! How many places the queues of a pool have yet: sums that go astray as entries go unseen, and are put right.

use datacache_proto::layout::DIRECTORY_NAMESPACE;

use super::evicting::SLICE;
use super::placing::Places;
use super::pool::{Pool, PoolId};
use super::store::Store;
use crate::eviction::{Ending, Plan, Queue, Verdict, Volume};

/// As many are counted in a queue that may have nobody: one that is taken for empty is not looked at, and one that is empty is found to be.
const NOBODY: u64 = 1;

impl Store {
    /// Tells whether a pool's sums are far above what there is: an entry that is deleted takes its place along unseen.
    pub(super) fn has_lost_count(&mut self, id: PoolId) -> bool {
        let (real, counted) = (self.ahead_in(id).entries, self.pools.get_mut(id).evictor.standing().entries);
        counted > real + real / 16 + 2 * SLICE as u64
    }

    /// Takes in whether a plan led to anything. If the queues gave out and nobody went, the sums may be wrong, and then places may have
    /// been passed over that were dealt with in vain; and if neither is so, what is left is not looked for again before there is more.
    pub(super) fn note_fruits(&mut self, id: PoolId, plan: &Plan) {
        let pool = self.pools.get_mut(id);
        let was_empty = std::mem::replace(&mut pool.gave_out, false);
        if plan.steps.iter().any(|(_, verdict)| *verdict == Verdict::Evict) {
            (pool.is_anew, pool.has_learned) = (false, true);
            return;
        }
        if plan.ending != Ending::Nothing {
            return;
        }
        if !plan.steps.is_empty() {
            // Places of what is gone or held were met that were not counted any more: what is behind them is to be seen.
            return self.count_places(id, SLICE as u64 / 2);
        }
        if !was_empty {
            // A queue may have been taken for empty that is not.
            pool.gave_out = true;
            return self.count_places(id, NOBODY);
        }
        if !std::mem::replace(&mut pool.is_anew, true) {
            return self.begin_anew(id);
        }
        pool.is_anew = false;
        self.pools.get_mut(id).missing = self.free_in(id);
    }

    /// Sees to it that no pool thinks that fewer entries stand in its queues than there are: what is beyond would never be looked at.
    pub(super) fn know_places(&mut self) {
        let pools: Vec<_> = self.pools.all().map(|(id, pool)| (id, pool.evictor.standing())).collect();
        for (id, standing) in pools {
            if !standing.covers(self.ahead_in(id)) {
                self.recount(id);
            }
        }
    }

    /// Puts a pool's sums right where they went astray.
    pub(super) fn recount(&mut self, id: PoolId) {
        self.count_places(id, NOBODY);
    }

    /// Has a pool begin with its first places once more.
    pub(super) fn begin_anew(&mut self, id: PoolId) {
        let pool = self.pools.get_mut(id);
        pool.missing = Volume::default();
        pool.lines.rewind();
        self.count_places(id, NOBODY);
    }

    /// Puts a pool's sums right, as far as that can be told: how many stand in which queue is only known of all pools together, and of
    /// one of several by its own sums. So many more than can be told are taken to stand in each.
    fn count_places(&mut self, id: PoolId, more: u64) {
        let all = self.ahead_in(id);
        let [small, main] = self.lengths(id);
        let part = |number: u64| {
            let part = u128::from(number) * u128::from(small) / u128::from((small + main).max(1));
            u64::try_from(part).unwrap_or(number)
        };
        let small = Volume { bytes: part(all.bytes), entries: part(all.entries) };
        let more = Volume { bytes: 0, entries: more };
        self.pools.get_mut(id).evictor.correct(small.plus(more), all.less(small).plus(more));
    }

    /// Returns in what proportion the entries of a pool stand in its queues.
    fn lengths(&mut self, id: PoolId) -> [u64; 2] {
        let queues = [Queue::Small, Queue::Main];
        let is_alone = self.pools.owners().next().is_none();
        let all = queues.map(|queue| self.length(queue));
        let Pool { evictor, lines, .. } = self.pools.get_mut(id);
        let counted = queues.map(|queue| evictor.volume(queue).entries);
        let passed = queues.map(|queue| lines.of(queue).passed.entries);
        let ahead = [0, 1].map(|queue| all[queue].saturating_sub(passed[queue]));
        if is_alone || counted.contains(&0) { ahead } else { counted }
    }

    /// Returns how many stand in a queue of all pools; what can't be looked at is none.
    fn length(&self, queue: Queue) -> u64 {
        let tables = &self.lookup.tables;
        let count = |places: Places| -> heed::Result<u64> { places.of(queue).len(&*tables.env.read_txn()?) };
        tables.places.and_then(|places| count(places).ok()).unwrap_or(0) + self.queues.length(queue)
    }

    /// Returns what there is in a pool that its queues are yet to come to: what is held and was passed over is not.
    fn ahead_in(&mut self, id: PoolId) -> Volume {
        let all = self.standing_in(id);
        let held = all.less(self.free_in(id));
        let lines = &mut self.pools.get_mut(id).lines;
        lines.let_go(held);
        all.less(lines.passed())
    }

    /// Returns what the entries of a pool are.
    fn standing_in(&self, id: PoolId) -> Volume {
        let own = |namespace| self.level_of(namespace).lasting;
        match id {
            PoolId::Own(namespace) => own(namespace),
            PoolId::Shared => {
                let all = self.memory.total();
                let others = self.pools.owners().map(|(namespace, _)| own(namespace));
                let others = others.fold(own(DIRECTORY_NAMESPACE), Volume::plus);
                Volume { bytes: all.charge, entries: all.entries }.less(others)
            }
        }
    }
}
