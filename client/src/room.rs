//! Whether there can ever be room for a value: the daemon is asked before the bytes are sent.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::cache::DataCache;
use crate::connection::Connection;
use crate::error::Error;
use crate::fault::settle;
use crate::repeat::Call;

/// The bytes of a value of unknown length at which the daemon is asked first; then at twice as many, each time.
const FIRST: u64 = 64 << 20;

/// Asks, on a thread that may wait, whether a value will fit.
#[derive(Debug)]
pub(crate) struct Room {
    /// `None` where it was asked before.
    asks: Option<mpsc::UnboundedSender<Question>>,
    /// How many bytes there may be before it is asked again.
    next: u64,
}

/// What the one asks and the other answers.
#[derive(Debug)]
struct Question {
    bytes: u64,
    answer: oneshot::Sender<Result<(), Error>>,
}

/// Asks the daemon what is asked on another thread. It goes with who waits for the value, and with it what that thread does.
pub(crate) struct Questions(mpsc::UnboundedReceiver<Question>);

impl Room {
    /// Makes one that asks, and what answers it.
    pub(crate) fn asking() -> (Self, Questions) {
        let (asks, questions) = mpsc::unbounded_channel();
        (Self { asks: Some(asks), next: FIRST }, Questions(questions))
    }

    /// Makes one that does not ask: it is known that the value fits.
    pub(crate) fn known() -> Self {
        Self { asks: None, next: u64::MAX }
    }

    /// Asks about a value of so many bytes, before any of them is sent.
    ///
    /// # Errors
    /// Where it never fits, or nobody waits for it any more.
    pub(crate) fn check(&mut self, bytes: u64) -> Result<(), Error> {
        let Some(asks) = &self.asks else { return Ok(()) };
        self.next = bytes.max(FIRST / 2).saturating_mul(2);
        let (answer, told) = oneshot::channel();
        // Where it can't be asked, it is not answered either.
        drop(asks.send(Question { bytes, answer }));
        let given_up = |error| Error::System { action: "add what was given up", source: io::Error::other(error) };
        told.blocking_recv().map_err(given_up)?
    }

    /// Asks about a value of which so many bytes have come, if these are many more than when it was asked before.
    ///
    /// # Errors
    /// Those of [`Room::check`].
    pub(crate) fn reached(&mut self, bytes: u64) -> Result<(), Error> {
        if bytes < self.next { Ok(()) } else { self.check(bytes) }
    }
}

impl Questions {
    /// Answers what comes until `work` is done, for the namespace of this name.
    pub(crate) async fn answer<T>(mut self, cache: &DataCache, namespace: &str, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                Some(question) = self.0.recv() => {
                    // Who asked may have failed meanwhile.
                    question.answer.send(cache.fits(namespace, question.bytes).await).ok();
                }
            }
        }
    }
}

impl DataCache {
    /// Asks the daemon whether a value of so many bytes can be added at all.
    ///
    /// # Errors
    /// Where it can't, or the daemon can't be reached.
    pub(crate) async fn fits(&self, namespace: &str, bytes: u64) -> Result<(), Error> {
        let ask = |connection: Arc<Connection>, context| {
            let namespace = namespace.to_owned();
            async move { settle(connection.client.fits(context, namespace, bytes).await) }
        };
        self.ask(Call::read("fits"), ask).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers what is asked in another thread, and returns it.
    fn asked_by(work: impl FnOnce(&mut Room) + Send) -> Vec<u64> {
        let (mut room, mut questions) = Room::asking();
        let mut asked = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(move || work(&mut room));
            while let Some(Question { bytes, answer }) = questions.0.blocking_recv() {
                asked.push(bytes);
                answer.send(Ok(())).unwrap();
            }
        });
        asked
    }

    #[test]
    fn of_a_value_of_unknown_length_is_asked_each_time_that_it_has_doubled() {
        let mib = 1 << 20;
        let asked = asked_by(|room| (1..=300).for_each(|count| room.reached(count * mib).unwrap()));
        assert_eq!(asked, [64 * mib, 128 * mib, 256 * mib]);
    }

    #[test]
    fn of_a_known_length_is_asked_once_unless_it_turns_out_longer() {
        let asked = asked_by(|room| {
            room.check(100 << 20).unwrap();
            (1..=250).for_each(|count| room.reached(count << 20).unwrap());
        });
        assert_eq!(asked, [100 << 20, 200 << 20]);
        Room::known().reached(u64::MAX - 1).unwrap();
    }

    #[test]
    fn what_nobody_waits_for_is_not_gone_on_with() {
        let (mut room, questions) = Room::asking();
        drop(questions);
        assert!(matches!(room.check(1), Err(Error::System { .. })));
    }
}
