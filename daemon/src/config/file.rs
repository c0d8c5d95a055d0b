//! The configuration file: TOML, flat but for the tables of namespaces, every key known; reads it into typed text with the line it
//! stands on.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use datacache_proto::key::{NamespaceError, check_namespace};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::hint::Hint;
use super::setting::{NAMESPACES, OF_NAMESPACE, SETTINGS, Source, Typed, name_in};

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
    #[error("{}, line {line}: there is no setting `{name}`{hint}", .path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The name.
        name: String,
        /// What to write instead.
        hint: Hint,
    },
    /// A value is neither a number nor text.
    #[error("{}, line {line}: `{name}` is {found}, it must be a number or a string", .path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The setting.
        name: String,
        /// What was found, in TOML's words.
        found: &'static str,
    },
    /// What has to be a table is none.
    #[error("{}, line {line}: `{name}` is {found}, it must be a table, such as `[{NAMESPACES}.{}]`", .path.display(), datacache_proto::key::DEFAULT_NAMESPACE)]
    NoTable {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What has to be one.
        name: String,
        /// What was found, in TOML's words.
        found: &'static str,
    },
    /// It names a namespace that can't be.
    #[error("{}, line {line}: {source}", .path.display())]
    Namespace {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with the name.
        source: NamespaceError,
    },
}

/// What a file sets.
#[derive(Debug, Default)]
pub(super) struct FromFile {
    /// The daemon's settings, by their names.
    pub(super) settings: BTreeMap<&'static str, Typed>,
    /// Those of namespaces, by the names of these.
    pub(super) namespaces: BTreeMap<String, BTreeMap<&'static str, Typed>>,
}

/// Reads the settings of the file; a file that is not there sets nothing, unless `required`.
pub(super) fn read(path: &Path, required: bool) -> Result<FromFile, FileError> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !required => Ok(FromFile::default()),
        Err(source) => Err(FileError::Read { path: path.to_owned(), source }),
    }
}

/// Reads the settings that `text` has, which is or will be in the file at `path`.
pub(super) fn parse(path: &Path, text: &str) -> Result<FromFile, FileError> {
    let page = Page { path, text };
    let table = DeTable::parse(text).map_err(|error| syntax_error(path, text, error.span(), error.message()))?;
    let mut read = FromFile::default();
    for (key, value) in table.get_ref() {
        if key.get_ref() == NAMESPACES {
            read.namespaces = page.namespaces(key, value)?;
            continue;
        }
        let names = SETTINGS.iter().map(|setting| setting.name).chain([NAMESPACES]);
        let name = page.known(key, key.get_ref(), names.clone(), |name| Hint::among(name, names))?;
        read.settings.insert(name, page.typed(key, name, value)?);
    }
    Ok(read)
}

/// Says of a text that is not TOML in which line.
pub(super) fn syntax_error(path: &Path, text: &str, span: Option<Range<usize>>, message: &str) -> FileError {
    let line = Page { path, text }.line_at(span.map_or(0, |span| span.start));
    FileError::Syntax { path: path.to_owned(), line, message: message.to_owned() }
}

type Key<'k> = Spanned<Cow<'k, str>>;
type Found<'v> = Spanned<DeValue<'v>>;

/// The text of a file, to tell where in it something stands.
#[derive(Clone, Copy)]
struct Page<'p> {
    path: &'p Path,
    text: &'p str,
}

impl Page<'_> {
    fn line_at(self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
    }

    fn line_of(self, key: &Key<'_>) -> usize {
        self.line_at(key.span().start)
    }

    fn namespaces(
        self,
        key: &Key<'_>,
        value: &Found<'_>,
    ) -> Result<BTreeMap<String, BTreeMap<&'static str, Typed>>, FileError> {
        let rows = self.table(key, NAMESPACES, value)?.iter();
        rows.map(|(key, value)| Ok((key.get_ref().clone().into_owned(), self.namespace(key, value)?))).collect()
    }

    fn namespace(self, key: &Key<'_>, value: &Found<'_>) -> Result<BTreeMap<&'static str, Typed>, FileError> {
        let namespace = key.get_ref();
        check_namespace(namespace).map_err(|source| FileError::Namespace {
            path: self.path.to_owned(),
            line: self.line_of(key),
            source,
        })?;
        let settings = self.table(key, &format!("{NAMESPACES}.{namespace}"), value)?.iter();
        let row = |(key, value): (&Key<'_>, &Found<'_>)| {
            let full = name_in(namespace, key.get_ref());
            Ok((self.known(key, &full, OF_NAMESPACE.into_iter(), Hint::of_namespace)?, self.typed(key, &full, value)?))
        };
        settings.map(row).collect()
    }

    /// Returns which of the `known` names a key is; what it is called in full is told where it is none.
    fn known(
        self,
        key: &Key<'_>,
        full: &str,
        mut known: impl Iterator<Item = &'static str>,
        hint: impl FnOnce(&str) -> Hint,
    ) -> Result<&'static str, FileError> {
        let name = key.get_ref();
        known.find(|known| known == name).ok_or_else(|| FileError::Unknown {
            path: self.path.to_owned(),
            line: self.line_of(key),
            name: full.to_owned(),
            hint: hint(name),
        })
    }

    fn table<'v>(self, key: &Key<'_>, name: &str, value: &'v Found<'v>) -> Result<&'v DeTable<'v>, FileError> {
        value.get_ref().as_table().ok_or_else(|| FileError::NoTable {
            path: self.path.to_owned(),
            line: self.line_of(key),
            name: name.to_owned(),
            found: value.get_ref().type_str(),
        })
    }

    fn typed(self, key: &Key<'_>, name: &str, value: &Found<'_>) -> Result<Typed, FileError> {
        let (path, line) = (self.path.to_owned(), self.line_of(key));
        match as_typed(value.get_ref()) {
            Some(text) => Ok(Typed { text, source: Source::File { path, line } }),
            None => Err(FileError::Kind { path, line, name: name.to_owned(), found: value.get_ref().type_str() }),
        }
    }
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
        let rows = parse(Path::new("/c.toml"), text).map_err(|error| error.to_string())?.settings;
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
        let error = parsed("eviction_policy = \"lru\"").unwrap_err();
        assert_eq!(error, "/c.toml, line 1: there is no setting `eviction_policy`; did you mean `policy`?");
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
    fn namespaces_of_any_name_have_settings_of_their_own() {
        let text = "limit = \"2 GiB\"\n[namespaces.\"a b.c\"]\nlimit = 1048576\npolicy = \"lru\"\n\n[namespaces.d]\n";
        let read = parse(Path::new("/c.toml"), text).unwrap();
        let rows: Vec<_> = read.namespaces["a b.c"].iter().map(|(name, typed)| (*name, typed.text.as_str())).collect();
        assert_eq!(rows, [("limit", "1048576"), ("policy", "lru")]);
        let Source::File { line, .. } = read.namespaces["a b.c"]["policy"].source else { panic!("it is of the file") };
        assert_eq!((line, read.namespaces["d"].len(), read.settings.len()), (4, 0, 1));
    }

    #[test]
    fn what_a_namespace_can_not_have_is_refused_with_its_line_and_its_full_name() {
        for (text, told) in [
            ("[namespaces.a]\nlimits = 1", "line 2: there is no setting `namespaces.a.limits`; did you mean `limit`?"),
            (
                "\n[namespaces.\"a b\"]\nreserve = 0",
                "line 3: there is no setting `namespaces.\"a b\".reserve`; there are limit, limit_entries and policy",
            ),
            (
                "[namespaces.a]\nsize_limit = 1",
                "line 2: there is no setting `namespaces.a.size_limit`; did you mean `limit`?",
            ),
            ("namespaces.a.limit = true", "line 1: `namespaces.a.limit` is boolean, it must be a number or a string"),
            (
                "[namespaces]\na = 5",
                "line 2: `namespaces.a` is integer, it must be a table, such as `[namespaces.default]`",
            ),
            ("namespaces = 5", "line 1: `namespaces` is integer, it must be a table, such as"),
            ("[namespaces.\"\"]", "line 1: the name of the namespace is empty"),
            ("[namespace.a]", "line 1: there is no setting `namespace`; did you mean `namespaces`?"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.starts_with(&format!("/c.toml, {told}")), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_sets_nothing_unless_it_was_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        assert!(read(&path, false).unwrap().settings.is_empty());
        assert!(matches!(read(&path, true), Err(FileError::Read { .. })));
    }
}
