//! What to log, as it is typed: a level for all, and `TARGET=LEVEL` for parts. A word that is no level is a mistake: taken as a target,
//! as `EnvFilter` would, it logs nothing else.

use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};

/// What to log, in the syntax of [`EnvFilter`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogFilter(pub(super) String);

/// A text that does not say what to log.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogFilterError {
    /// It has a word that is no level.
    #[error(
        "`{word}` is no level; there are off, error, warn, info, debug and trace, for all or as in `datacache_daemon=debug`"
    )]
    NoLevel {
        /// The word.
        word: String,
    },
    /// It is empty, which would log nothing.
    #[error("nothing is set; there are the levels off, error, warn, info, debug and trace")]
    Empty,
    /// It is not of the filter's syntax.
    #[error(transparent)]
    Syntax(#[from] ParseError),
}

impl FromStr for LogFilter {
    type Err = LogFilterError;

    fn from_str(text: &str) -> Result<Self, LogFilterError> {
        let parts: Vec<_> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        if parts.is_empty() {
            return Err(LogFilterError::Empty);
        }
        // A span in brackets needs no level.
        let levels = parts.into_iter().filter(|part| !part.contains('[')).map(level_of);
        for word in levels.filter(|word| !word.is_empty()) {
            word.parse::<LevelFilter>().map_err(|_| LogFilterError::NoLevel { word: word.to_owned() })?;
        }
        EnvFilter::try_new(text)?;
        Ok(Self(text.to_owned()))
    }
}

/// Returns what stands in the place of the level: behind the target, or alone.
fn level_of(part: &str) -> &str {
    part.split_once('=').map_or(part, |(_, level)| level).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_alone_and_of_targets_and_spans_are_taken() {
        for text in [
            "info",
            "WARN",
            "off",
            "info,datacache_daemon::store=trace",
            "tarpc=off, debug",
            "[call]",
            "info,[call]=debug",
        ] {
            assert_eq!(text.parse::<LogFilter>().unwrap(), LogFilter(text.to_owned()));
        }
    }

    #[test]
    fn a_word_that_is_no_level_is_named_with_the_levels_that_there_are() {
        for (text, word) in
            [("inof", "inof"), ("warn,blah", "blah"), ("datacache_daemon=loud,info", "loud"), ("tarpc", "tarpc")]
        {
            let error = text.parse::<LogFilter>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{word}` is no level; there are off, error, ")), "{text}: {error}");
        }
        for text in ["", " ", ","] {
            assert!(matches!(text.parse::<LogFilter>(), Err(LogFilterError::Empty)), "{text:?}");
        }
        assert!(matches!("info,[".parse::<LogFilter>(), Err(LogFilterError::Syntax(_))));
    }
}
