//! The configuration file: TOML, flat, every key known; reads it into typed text with the line it stands on.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::nearest::nearest;
use super::setting::{SETTINGS, Source, Typed};

/// A configuration file that can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be read.
    #[error("failed to read the configuration {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not TOML.
    #[error("{}, line {line}: {message}", .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// It sets something that does not exist.
    #[error("{}, line {line}: there is no setting `{name}`{}", .path.display(), suggestion(.nearest))]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The name.
        name: String,
        /// The known name that is most like it.
        nearest: Option<&'static str>,
    },
    /// A value is neither a number nor text.
    #[error("{}, line {line}: `{name}` is {found}, it must be a number or a string", .path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The setting.
        name: &'static str,
        /// What was found, in TOML's words.
        found: &'static str,
    },
}

fn suggestion(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// Reads the settings of the file; a file that is not there sets nothing, unless `required`.
pub(super) fn read(path: &Path, required: bool) -> Result<BTreeMap<&'static str, Typed>, FileError> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !required => Ok(BTreeMap::new()),
        Err(source) => Err(FileError::Read { path: path.to_owned(), source }),
    }
}

fn parse(path: &Path, text: &str) -> Result<BTreeMap<&'static str, Typed>, FileError> {
    let line_at = |offset: usize| 1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count();
    let table = DeTable::parse(text).map_err(|error| FileError::Syntax {
        path: path.to_owned(),
        line: line_at(error.span().map_or(0, |span| span.start)),
        message: error.message().to_owned(),
    })?;
    let mut settings = BTreeMap::new();
    for (key, value) in table.get_ref() {
        let line = line_at(key.span().start);
        let name = known(path, line, key.get_ref())?;
        let text = as_typed(value.get_ref()).ok_or_else(|| FileError::Kind {
            path: path.to_owned(),
            line,
            name,
            found: value.get_ref().type_str(),
        })?;
        settings.insert(name, Typed { text, source: Source::File { path: path.to_owned(), line } });
    }
    Ok(settings)
}

fn known(path: &Path, line: usize, name: &str) -> Result<&'static str, FileError> {
    SETTINGS.iter().map(|setting| setting.name).find(|known| *known == name).ok_or_else(|| FileError::Unknown {
        path: path.to_owned(),
        line,
        name: name.to_owned(),
        nearest: nearest(name, SETTINGS.iter().map(|setting| setting.name)),
    })
}

/// Returns a number or a string as it would be typed elsewhere.
fn as_typed(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(integer) => {
            i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(|number| number.to_string())
        }
        DeValue::Float(float) => Some(float.as_str().to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<(&'static str, String, usize)>, String> {
        let rows = parse(Path::new("/c.toml"), text).map_err(|error| error.to_string())?;
        let line_of = |source| match source {
            Source::File { line, .. } => line,
            other => panic!("{other} is not a file"),
        };
        Ok(rows.into_iter().map(|(name, typed)| (name, typed.text, line_of(typed.source))).collect())
    }

    #[test]
    fn numbers_and_strings_are_taken_with_their_line() {
        let rows = parsed("# comment\ninline_max = 0x4000\n\nsync_interval = 0.5\nidle_exit = \"15m\"\n").unwrap();
        let expected =
            [("idle_exit", "15m".into(), 5), ("inline_max", "16384".into(), 2), ("sync_interval", "0.5".into(), 4)];
        assert_eq!(rows, expected);
    }

    #[test]
    fn an_unknown_name_is_refused_with_its_line_and_the_nearest_known_one() {
        let error = parsed("log = \"info\"\nidle_exits = \"5m\"\n").unwrap_err();
        assert_eq!(error, "/c.toml, line 2: there is no setting `idle_exits`; did you mean `idle_exit`?");
        let error = parsed("InlineMax = 5").unwrap_err();
        assert_eq!(error, "/c.toml, line 1: there is no setting `InlineMax`; did you mean `inline_max`?");
        let error = parsed("zzz = 1").unwrap_err();
        assert_eq!(error, "/c.toml, line 1: there is no setting `zzz`");
    }

    #[test]
    fn a_broken_file_is_refused_with_the_line() {
        let error = parsed("log = \"info\"\ninline_max = = 3\n").unwrap_err();
        assert!(error.starts_with("/c.toml, line 2: "), "{error}");
        let error = parsed("log = \"a\"\nlog = \"b\"\n").unwrap_err();
        assert!(error.starts_with("/c.toml, line 2: "), "{error}");
    }

    #[test]
    fn a_value_of_another_kind_is_refused() {
        let error = parsed("inline_max = true").unwrap_err();
        assert_eq!(error, "/c.toml, line 1: `inline_max` is boolean, it must be a number or a string");
        assert!(parsed("[inline_max]\na = 1").unwrap_err().contains("`inline_max` is table"));
    }

    #[test]
    fn a_file_that_is_not_there_sets_nothing_unless_it_was_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        assert!(read(&path, false).unwrap().is_empty());
        assert!(matches!(read(&path, true), Err(FileError::Read { .. })));
    }
}
