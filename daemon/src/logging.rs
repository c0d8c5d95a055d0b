//! Where the daemon's log goes and how its lines look: for the journal with a priority and no time, else with the time.

use std::fmt::{self, Write as _};
use std::io::IsTerminal;

use rustix::fs::fstat;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// What is off unless somebody names it: tarpc tells of every call, several times.
const QUIET: &str = "tarpc=off,tarpc::client=off";

/// The log of this process.
#[derive(Clone, Debug)]
pub(crate) struct Logging(reload::Handle<EnvFilter, tracing_subscriber::Registry>);

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// What to log is not understood.
    #[error("failed to read the filter `{filter}` of the log")]
    Filter {
        /// What was said.
        filter: String,
        /// Why.
        source: ParseError,
    },
    /// Something else has the log of this process.
    #[error("failed to set up the log")]
    Taken {
        /// Why.
        source: TryInitError,
    },
}

impl Logging {
    /// Sends the events that `filter` lets pass to stderr.
    ///
    /// # Errors
    /// [`LoggingError`] where the filter is wrong, or the process has a log already.
    pub(crate) fn install(filter: &str) -> Result<Self, LoggingError> {
        let (filter, handle) = reload::Layer::new(read(filter)?);
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        let registry = tracing_subscriber::registry().with(filter);
        let installed = if stderr_is_journal() {
            registry.with(lines.event_format(JournalLines).with_ansi(false)).try_init()
        } else {
            registry.with(lines.with_ansi(std::io::stderr().is_terminal())).try_init()
        };
        installed.map_err(|source| LoggingError::Taken { source })?;
        Ok(Self(handle))
    }

    /// Lets the events pass from now on that `filter` says; where it is wrong, nothing changes.
    pub(crate) fn set(&self, filter: &str) {
        let changed = read(filter).map(|filter| self.0.reload(filter));
        if let Err(error) = changed {
            tracing::warn!(%error, "the log goes on as before");
        }
    }
}

fn read(filter: &str) -> Result<EnvFilter, LoggingError> {
    EnvFilter::try_new(format!("{QUIET},{filter}"))
        .map_err(|source| LoggingError::Filter { filter: filter.to_owned(), source })
}

/// Tells whether stderr is the journal's own stream, and not a file or a pipe that it was redirected to.
fn stderr_is_journal() -> bool {
    std::env::var("JOURNAL_STREAM").is_ok_and(|named| {
        fstat(std::io::stderr()).is_ok_and(|stderr| named == format!("{}:{}", stderr.st_dev, stderr.st_ino))
    })
}

/// Lines as the journal takes them: each begins with its priority in angle brackets; the journal knows the time.
struct JournalLines;

impl<S, N> FormatEvent<S, N> for JournalLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut text = String::new();
        write!(text, "{}: ", event.metadata().target())?;
        context.format_fields(Writer::new(&mut text), event)?;
        write_lines(priority(*event.metadata().level()), &text, &mut out)
    }
}

/// Writes each line of `text` with the priority: without it, the journal takes a further line for another event.
fn write_lines(priority: u8, text: &str, out: &mut impl fmt::Write) -> fmt::Result {
    text.lines().try_for_each(|line| writeln!(out, "<{priority}>{line}"))
}

/// Returns the priority that syslog has for a level.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::fmt::MakeWriter;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Memory {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    fn logged(filter: &str, events: impl FnOnce()) -> String {
        let memory = Memory::default();
        let lines = tracing_subscriber::fmt::layer().event_format(JournalLines).with_ansi(false);
        let subscriber =
            tracing_subscriber::registry().with(read(filter).unwrap()).with(lines.with_writer(memory.clone()));
        tracing::subscriber::with_default(subscriber, events);
        let bytes = memory.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_journal_gets_priorities_and_no_time() {
        let text = logged("trace", || {
            tracing::error!(target: "t", "broken");
            tracing::warn!(target: "t", count = 3, "late");
            tracing::info!(target: "t", "fine");
            tracing::debug!(target: "t", "detail");
            tracing::trace!(target: "t", "guess");
        });
        assert_eq!(text, "<3>t: broken\n<4>t: late count=3\n<6>t: fine\n<7>t: detail\n<7>t: guess\n");
    }

    #[test]
    fn every_line_of_an_event_has_its_priority() {
        let text = logged("info", || tracing::warn!(target: "t", "one\ntwo"));
        assert_eq!(text, "<4>t: one\n<4>two\n");
    }

    #[test]
    fn tarpc_is_heard_only_where_it_is_named() {
        let speak = || tracing::error!(target: "tarpc::server", "DeadlineExceeded");
        assert_eq!(logged("trace", speak), "");
        assert_eq!(logged("info,tarpc=error", speak), "<3>tarpc::server: DeadlineExceeded\n");
    }

    #[test]
    fn a_filter_that_is_not_understood_is_refused() {
        assert!(matches!(read("info,["), Err(LoggingError::Filter { filter, .. }) if filter == "info,["));
    }
}
