//! What is repeated, and when that ends: a call goes on over lost connections and stopping daemons until it is answered,
//! its time is over, or going on is of no use.
//!
//! A call that changes something carries one id through all its attempts, so that the daemon does it once.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datacache_proto::codec::until;
use datacache_proto::error::WireError;
use tarpc::context::Context;

use crate::connection::Connection;
use crate::error::Error;
use crate::fault::Fault;
use crate::pause::Pause;
use crate::session::Session;
use crate::start::Effort;

/// How often a connection may break off under one call; a daemon that dies of a call is not sent it for ever.
const LOSSES: u32 = 8;
/// How many daemons may end instead of answering one call: each looks for what the one before ended for.
const STOPS: u32 = 16;
/// For calls that walk over the store: deletes by tag, a check of everything.
const WALK: Duration = Duration::from_secs(12 * 60 * 60);
/// For calls that wait until the daemon has applied its log.
const CHECKPOINT: Duration = Duration::from_secs(60);
/// A value gets one second more for each so many bytes.
const BYTES_PER_SECOND: u64 = 4 << 20;

/// A call: its name, how long it may take, and what may be done for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    verb: &'static str,
    span: Span,
    changes: bool,
    may_start: bool,
}

#[derive(Clone, Copy, Debug)]
enum Span {
    Short,
    ForBytes(u64),
    AtLeast(Duration),
}

impl Call {
    /// A call that changes nothing; it is simply repeated.
    pub(crate) fn read(verb: &'static str) -> Self {
        Self { verb, span: Span::Short, changes: false, may_start: true }
    }

    /// A call that changes something.
    pub(crate) fn change(verb: &'static str) -> Self {
        Self { changes: true, ..Self::read(verb) }
    }

    /// Gives it the time that so many bytes need.
    pub(crate) fn with_bytes(self, bytes: u64) -> Self {
        Self { span: Span::ForBytes(bytes), ..self }
    }

    /// Gives it the time to walk over the whole store.
    pub(crate) fn walking(self) -> Self {
        Self { span: Span::AtLeast(WALK), ..self }
    }

    /// Gives it the time to have the daemon's log applied.
    pub(crate) fn after_checkpoint(self) -> Self {
        Self { span: Span::AtLeast(CHECKPOINT), ..self }
    }

    /// Never starts a daemon for it.
    pub(crate) fn without_start(self) -> Self {
        Self { may_start: false, ..self }
    }

    fn limit(&self, call_timeout: Duration) -> Duration {
        match self.span {
            Span::Short => call_timeout,
            Span::ForBytes(bytes) => call_timeout.saturating_add(Duration::from_secs(bytes / BYTES_PER_SECOND)),
            Span::AtLeast(least) => call_timeout.max(least),
        }
    }
}

impl Session {
    /// Makes `attempt` with a connection until one succeeds.
    ///
    /// # Errors
    /// The daemon's refusal; else why there is no answer, which for a change is [`Error::UnknownOutcome`] once it may have
    /// reached a daemon.
    pub(crate) async fn call<T, F, A>(&self, call: Call, attempt: F) -> Result<T, Error>
    where
        F: Fn(Arc<Connection>, Context) -> A,
        A: Future<Output = Result<T, Fault>>,
    {
        let _permit = self.permits.acquire().await;
        let limit = call.limit(self.settings.call_timeout);
        let mut course = Course::begin(call, limit, self.settings.start);
        loop {
            let connection = self.connection(course.effort()).await.map_err(|error| course.unreached(error))?;
            let answer = pin!(attempt(Arc::clone(&connection), until(course.deadline)));
            // The deadline in the context is for the daemon.
            let fault = match tokio::time::timeout_at(course.deadline.into(), answer).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(fault)) => fault,
                Err(_) => Fault::Late,
            };
            if fault.ends_connection() {
                self.lose(&connection);
            }
            tracing::debug!(verb = call.verb, ?fault, "an attempt at a call failed");
            course.go_on(fault, &connection)?;
            course.pause.wait(course.deadline).await;
        }
    }
}

/// How far a call has come.
struct Course {
    call: Call,
    limit: Duration,
    deadline: Instant,
    pause: Pause,
    may_start: bool,
    /// How often the connection broke off after the call was sent.
    losses: u32,
    /// How many daemons were about to end when it came.
    stops: u32,
    /// Whether a daemon was there for this call: then another one is waited for.
    was_reached: bool,
}

impl Course {
    fn begin(call: Call, limit: Duration, may_start: bool) -> Self {
        let may_start = may_start && call.may_start;
        let deadline = Instant::now() + limit.min(datacache_proto::codec::MAX_DEADLINE);
        Self { call, limit, deadline, pause: Pause::new(), may_start, losses: 0, stops: 0, was_reached: false }
    }

    fn effort(&self) -> Effort {
        match (self.may_start, self.was_reached) {
            (true, _) => Effort::Starting,
            (false, true) => Effort::Patient,
            (false, false) => Effort::Once,
        }
    }

    /// Decides whether another attempt is made.
    fn go_on(&mut self, fault: Fault, connection: &Connection) -> Result<(), Error> {
        self.was_reached |= fault != Fault::Unsent;
        let verb = self.call.verb;
        match fault {
            Fault::Refused(error @ WireError::Stopping) => self.end_of_daemon(error),
            Fault::Unsent | Fault::Throttled | Fault::Elsewhere => self.check_time(),
            Fault::Refused(error) => Err(error.into()),
            Fault::Lost => {
                self.losses += 1;
                match self.losses {
                    LOSSES.. => Err(self.unanswered(Error::Lost { verb, times: self.losses })),
                    _ => self.check_time(),
                }
            }
            Fault::Late => Err(self.late()),
            Fault::Garbled => Err(self.unanswered(Error::Garbled { socket: connection.socket.clone() })),
            Fault::Aborted => Err(self.unanswered(Error::Aborted { verb })),
        }
    }

    fn end_of_daemon(&mut self, error: WireError) -> Result<(), Error> {
        self.stops += 1;
        if self.stops < STOPS { self.check_time() } else { Err(self.unanswered(error.into())) }
    }

    fn check_time(&self) -> Result<(), Error> {
        if Instant::now() < self.deadline {
            return Ok(());
        }
        let Call { verb, changes, .. } = self.call;
        let unknown = changes && self.may_be_done();
        Err(if unknown { Error::UnknownOutcome { verb, source: None } } else { self.too_late() })
    }

    /// The deadline passed while an answer was awaited.
    fn late(&self) -> Error {
        let verb = self.call.verb;
        if self.call.changes { Error::UnknownOutcome { verb, source: None } } else { self.too_late() }
    }

    fn too_late(&self) -> Error {
        Error::Late { verb: self.call.verb, waited: self.limit }
    }

    /// The call was sent, and there will be no answer.
    fn unanswered(&self, error: Error) -> Error {
        let verb = self.call.verb;
        if self.call.changes { Error::UnknownOutcome { verb, source: Some(Box::new(error)) } } else { error }
    }

    /// There is no daemon, or none any more.
    fn unreached(&self, error: Error) -> Error {
        if self.may_be_done() { self.unanswered(error) } else { error }
    }

    /// Tells whether a daemon had the call and did not say what came of it. One that ends may have it in its log by then.
    fn may_be_done(&self) -> bool {
        self.losses > 0 || self.stops > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_secs(10);

    #[test]
    fn calls_get_the_time_that_their_work_needs() {
        assert_eq!(Call::read("get").limit(SHORT), SHORT);
        assert_eq!(Call::change("add").with_bytes(1 << 30).limit(SHORT), Duration::from_secs(266));
        assert_eq!(Call::change("clear").walking().limit(SHORT), WALK);
        assert_eq!(Call::read("list").after_checkpoint().limit(SHORT), CHECKPOINT);
        assert_eq!(Call::read("list").after_checkpoint().limit(WALK), WALK);
    }

    /// A call that walks over the store had daemons started for twelve hours.
    #[test]
    fn daemons_that_end_one_after_the_other_are_not_asked_for_ever() {
        let mut course = Course::begin(Call::read("list").walking(), SHORT, true);
        for _ in 1..STOPS {
            course.end_of_daemon(WireError::Stopping).unwrap();
        }
        assert!(course.end_of_daemon(WireError::Stopping).unwrap_err().is_unavailable());
    }

    #[test]
    fn a_daemon_is_waited_for_only_once_it_was_there() {
        let mut course = Course::begin(Call::read("get"), SHORT, false);
        assert_eq!(course.effort(), Effort::Once);
        course.was_reached = true;
        assert_eq!(course.effort(), Effort::Patient);
        assert_eq!(Course::begin(Call::read("get"), SHORT, true).effort(), Effort::Starting);
        assert_eq!(Course::begin(Call::read("get").without_start(), SHORT, true).effort(), Effort::Once);
    }

    #[test]
    fn only_a_change_that_was_sent_has_an_unknown_outcome() {
        let away = || Error::NoDaemon { socket: "/s".into() };
        let mut course = Course::begin(Call::change("add"), SHORT, true);
        assert!(course.unreached(away()).is_unavailable());
        assert!(course.late().is_unknown_outcome());
        course.losses = 1;
        assert!(course.unreached(away()).is_unknown_outcome());
        let mut course = Course::begin(Call::change("add"), SHORT, true);
        course.end_of_daemon(WireError::Stopping).unwrap();
        assert!(course.unreached(away()).is_unknown_outcome());
        let mut course = Course::begin(Call::read("get"), SHORT, true);
        course.losses = 1;
        assert!(course.unreached(away()).is_unavailable());
        assert!(course.late().is_unavailable());
    }
}
