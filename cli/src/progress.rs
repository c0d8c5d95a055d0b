//! Progress on stderr for what takes longer than a second; never on anything but a terminal.

use std::io::{self, IsTerminal as _};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What is over before this is not worth a bar.
const PATIENCE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(100);

const OF_TOTAL: &str = "{msg} {bar:30} {bytes}/{total_bytes} ({bytes_per_sec}, {eta} left)";
const OF_BYTES: &str = "{spinner} {msg} {bytes} ({bytes_per_sec})";
const OF_TIME: &str = "{spinner} {msg} {elapsed}";

/// How much there is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Extent {
    /// This many bytes.
    Total(u64),
    /// Bytes, nobody knows how many.
    Bytes,
    /// Something that counts no bytes.
    Time,
}

/// A bar that shows itself after a second, and is gone when this is dropped.
pub(crate) struct Progress {
    bar: ProgressBar,
    curtain: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Begins to wait; the bar never shows if `wanted` is false or stderr is not a terminal.
    pub(crate) fn begin(what: &'static str, extent: Extent, wanted: bool) -> Self {
        let bar = bar(what, extent);
        let curtain = (wanted && io::stderr().is_terminal()).then(|| curtain(bar.clone()));
        Self { bar, curtain }
    }

    /// Adds to the bytes that are done.
    pub(crate) fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// Returns a function that is told all bytes done so far.
    pub(crate) fn counter(&self) -> impl FnMut(u64) + Send + 'static {
        let bar = self.bar.clone();
        move |done| bar.set_position(done)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.curtain.take() {
            drop(sender);
            // It can only have panicked in the drawing of a bar, which nobody needs any more.
            thread.join().unwrap_or_default();
        }
        self.bar.finish_and_clear();
    }
}

fn bar(what: &'static str, extent: Extent) -> ProgressBar {
    let (total, template) = match extent {
        Extent::Total(total) => (Some(total), OF_TOTAL),
        Extent::Bytes => (None, OF_BYTES),
        Extent::Time => (None, OF_TIME),
    };
    let style = ProgressStyle::with_template(template).expect("a test looks at all templates");
    ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden()).with_style(style).with_message(what)
}

/// Shows the bar after a second unless the sender is dropped before.
fn curtain(bar: ProgressBar) -> (Sender<()>, JoinHandle<()>) {
    let (sender, receiver) = channel();
    let thread = std::thread::spawn(move || {
        if receiver.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar.enable_steady_tick(TICK);
        }
    });
    (sender, thread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_extent_has_a_bar_that_follows() {
        for extent in [Extent::Total(10), Extent::Bytes, Extent::Time] {
            let progress = Progress::begin("testing", extent, false);
            progress.advance(3);
            assert_eq!(progress.bar.position(), 3);
            progress.counter()(7);
            assert_eq!(progress.bar.position(), 7);
            assert!(progress.bar.is_hidden());
        }
    }

    #[test]
    fn a_bar_that_was_not_needed_is_dropped_without_waiting_for_its_second() {
        let bar = bar("testing", Extent::Time);
        let (sender, thread) = curtain(bar.clone());
        drop(sender);
        thread.join().unwrap();
        assert!(bar.is_hidden());
    }
}
