//! How long the store's own work took, and how much shares a frame.

use std::time::{Duration, Instant};

use datacache_proto::types::{FrameStats, LatencyStats};

use super::histogram::{Amounts, Spans};

/// What the store measures of itself since it was opened.
#[derive(Debug, Default)]
pub(super) struct Timings {
    frames: Spans,
    transactions: Spans,
    waits: Spans,
    /// Since when nothing can be written before a segment is applied.
    waiting: Option<Instant>,
    operations: Amounts,
    batches: Amounts,
}

impl Timings {
    /// Notes a frame that all processes see.
    pub(super) fn note_frame(&mut self, begun: Instant, operations: usize, batches: usize) {
        self.frames.take(begun.elapsed());
        self.operations.take(operations);
        self.batches.take(batches);
    }

    /// Notes a transaction that is on the disk.
    pub(super) fn note_transaction(&mut self, took: Duration) {
        self.transactions.take(took);
    }

    /// Notes that writers have to wait; tells whether they did not before.
    pub(super) fn begin_wait(&mut self) -> bool {
        let is_new = self.waiting.is_none();
        self.waiting.get_or_insert_with(Instant::now);
        is_new
    }

    /// Notes that they need not wait any more.
    pub(super) fn end_wait(&mut self) {
        if let Some(begun) = self.waiting.take() {
            self.waits.take(begun.elapsed());
        }
    }

    /// Returns the latencies; those of calls are not known here.
    pub(super) fn latency(&self) -> LatencyStats {
        let Self { frames, transactions, waits, .. } = self;
        LatencyStats {
            frames: frames.latency(),
            transactions: transactions.latency(),
            waits: waits.latency(),
            ..LatencyStats::default()
        }
    }

    /// Returns how much shared a frame.
    pub(super) fn frames(&self) -> FrameStats {
        FrameStats { operations: self.operations.sizes(), batches: self.batches.sizes() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_one_however_often_somebody_tries_in_vain_and_is_measured_from_the_first_time() {
        let mut timings = Timings::default();
        timings.end_wait();
        let begun = Instant::now();
        assert!(timings.begin_wait());
        assert!(!timings.begin_wait());
        assert_eq!(timings.latency().waits.count, 0, "it is not over");
        timings.end_wait();
        timings.end_wait();
        let at_most = begun.elapsed();
        let waits = timings.latency().waits;
        assert!(waits.count == 1 && u128::from(waits.sum_ns) <= at_most.as_nanos(), "{waits:?}");
    }
}
