//! One setting changed in the configuration file, which keeps its comments, its order and whatever else is in it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use datacache_proto::key::{NamespaceError, check_namespace};
use datacache_proto::paths::Paths;
use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

use super::file::{self, FileError};
use super::nearest::nearest;
use super::replace::replace;
use super::setting::{Fault, NAMESPACES, OF_NAMESPACE, PLACES, SETTINGS};
use super::settings::Config;

/// A setting, of the daemon or of a namespace.
#[derive(Clone, Copy, Debug)]
pub struct Place<'p> {
    /// The namespace that has it; `None` for a setting of the daemon.
    pub namespace: Option<&'p str>,
    /// Its name.
    pub name: &'p str,
}

/// A setting that was not changed; the file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// There is no such setting.
    #[error("there is no setting `{name}`{}{}", if *of_namespace { " of a namespace" } else { "" }, suggestion(.nearest))]
    Unknown {
        /// The name.
        name: String,
        /// Whether it was to be one of a namespace.
        of_namespace: bool,
        /// The known name that is most like it.
        nearest: Option<&'static str>,
    },
    /// It is a place, which the file does not choose.
    #[error("`{name}` is no setting of the file; it is chosen by {by}")]
    NotInFile {
        /// Its name.
        name: &'static str,
        /// What chooses it.
        by: &'static str,
    },
    /// The namespace can't be one.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The file is not what it should be, or would not be.
    #[error(transparent)]
    File(#[from] FileError),
    /// A value can't be taken.
    #[error(transparent)]
    Value(#[from] Fault),
    /// The file can't be written.
    #[error("failed to write the configuration {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn suggestion(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// Sets a setting in the file, which is made where there is none.
///
/// # Errors
/// Where there is no such setting, the value is not within its bounds, or the file can't be read, understood or written.
pub fn set(paths: &Paths, place: Place<'_>, value: &str) -> Result<(), EditError> {
    check(place)?;
    let fault = |source| EditError::Write { path: paths.config.clone(), source };
    std::fs::create_dir_all(folder(paths)).map_err(fault)?;
    let _lock = lock(paths)?;
    let mut document = read(&paths.config)?;
    put(&mut document, place, value);
    write(paths, &document)
}

/// Removes a setting from the file; tells whether it was there. What the file sets by a wrong name can be removed, too.
///
/// # Errors
/// Where there is no such setting, or the file can't be read, understood without it, or written.
pub fn unset(paths: &Paths, place: Place<'_>) -> Result<bool, EditError> {
    let _lock = lock(paths)?;
    let mut document = read(&paths.config)?;
    if !remove(&mut document, place) {
        return check(place).map(|()| false);
    }
    write(paths, &document)?;
    Ok(true)
}

fn check(place: Place<'_>) -> Result<(), EditError> {
    place.namespace.map_or(Ok(()), check_namespace)?;
    let known: Vec<_> = match place.namespace {
        Some(_) => OF_NAMESPACE.to_vec(),
        None => SETTINGS.iter().map(|setting| setting.name).collect(),
    };
    if known.contains(&place.name) {
        return Ok(());
    }
    if let Some((name, by)) = PLACES.into_iter().find(|(name, _)| *name == place.name && place.namespace.is_none()) {
        return Err(EditError::NotInFile { name, by });
    }
    let nearest = nearest(place.name, known.into_iter());
    Err(EditError::Unknown { name: place.name.to_owned(), of_namespace: place.namespace.is_some(), nearest })
}

/// Has whoever else changes the file wait, so that neither change is lost, until what is returned is dropped; `None` where there is no
/// folder that it could lie in.
fn lock(paths: &Paths) -> Result<Option<File>, EditError> {
    let lock = |folder: File| folder.lock().map(|()| Some(folder));
    match File::open(folder(paths)).and_then(lock) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        locked => locked.map_err(|source| EditError::Write { path: paths.config.clone(), source }),
    }
}

fn folder(paths: &Paths) -> &Path {
    paths.config.parent().unwrap_or(Path::new("."))
}

fn read(path: &Path) -> Result<DocumentMut, FileError> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(FileError::Read { path: path.to_owned(), source }),
        Ok(text) => text,
    };
    text.parse().map_err(|error: toml_edit::TomlError| file::syntax_error(path, &text, error.span(), error.message()))
}

/// Writes the file if a daemon would take it.
fn write(paths: &Paths, document: &DocumentMut) -> Result<(), EditError> {
    let (path, text) = (&paths.config, document.to_string());
    Config::of_file(paths.clone(), file::parse(path, &text)?)?;
    replace(path, text.as_bytes()).map_err(|source| EditError::Write { path: path.clone(), source })
}

fn put(document: &mut DocumentMut, place: Place<'_>, value: &str) {
    adopt_comments(document);
    let value = typed(value);
    let Some(namespace) = place.namespace else { return put_into(document.as_table_mut(), place.name, value) };
    let mut tables = Table::new();
    tables.set_implicit(true);
    let namespaces = document.entry(NAMESPACES).or_insert(Item::Table(tables));
    // What is no table is left as it is, and refused when the whole is read.
    let Some(namespaces) = namespaces.as_table_like_mut() else { return };
    let settings = namespaces.entry(namespace).or_insert_with(toml_edit::table);
    if let Some(settings) = settings.as_table_like_mut() {
        put_into(settings, place.name, value);
    }
}

/// Where a file has nothing but comments, they are of the end of it: what is added is to stand below them.
fn adopt_comments(document: &mut DocumentMut) {
    if document.is_empty() && !document.trailing().as_str().is_none_or(str::is_empty) {
        let comments = document.trailing().as_str().unwrap_or_default().to_owned();
        document.set_trailing("");
        document.decor_mut().set_prefix(comments);
    }
}

/// A number stays one, and all else is text.
fn typed(text: &str) -> Value {
    text.trim().parse::<i64>().map_or_else(|_| text.into(), Value::from)
}

/// A value in the place of another keeps what stands beside it.
fn put_into(table: &mut dyn TableLike, name: &str, mut value: Value) {
    match table.get_mut(name).and_then(Item::as_value_mut) {
        Some(old) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        None => drop(table.insert(name, value.into())),
    }
}

/// Tables that have become empty go as well.
fn remove(document: &mut DocumentMut, place: Place<'_>) -> bool {
    let Some(namespace) = place.namespace else { return document.remove(place.name).is_some() };
    let Some(namespaces) = document.get_mut(NAMESPACES).and_then(Item::as_table_like_mut) else { return false };
    let Some(settings) = namespaces.get_mut(namespace).and_then(Item::as_table_like_mut) else { return false };
    let was_there = settings.remove(place.name).is_some();
    if was_there && settings.is_empty() {
        namespaces.remove(namespace);
    }
    if was_there && namespaces.is_empty() {
        document.remove(NAMESPACES);
    }
    was_there
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(folder: &Path) -> Paths {
        let [store, socket, store_link] = ["s", "sock", "store"].map(|name| folder.join(name));
        Paths { store, socket, store_link, config: folder.join("new/config.toml"), is_default: false }
    }

    fn of<'p>(namespace: Option<&'p str>, name: &'p str) -> Place<'p> {
        Place { namespace, name }
    }

    /// Returns a file after some changes to one that says `text`.
    fn changed(text: &str, changes: &[(Option<&str>, &str, Option<&str>)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(folder.path());
        if !text.is_empty() {
            std::fs::create_dir(paths.config.parent().unwrap()).unwrap();
            std::fs::write(&paths.config, text).unwrap();
        }
        for &(namespace, name, value) in changes {
            match value {
                Some(value) => set(&paths, of(namespace, name), value).unwrap(),
                None => assert!(unset(&paths, of(namespace, name)).unwrap(), "{name}"),
            }
        }
        std::fs::read_to_string(&paths.config).unwrap()
    }

    #[test]
    fn a_file_is_made_where_there_is_none() {
        let text = changed("", &[(None, "limit", Some("2 GiB")), (None, "max_connections", Some("12"))]);
        assert_eq!(text, "limit = \"2 GiB\"\nmax_connections = 12\n");
        let text = changed("", &[(Some("a b"), "limit_entries", Some("9")), (Some("c"), "policy", Some("lru"))]);
        assert_eq!(text, "[namespaces.\"a b\"]\nlimit_entries = 9\n\n[namespaces.c]\npolicy = \"lru\"\n");
    }

    #[test]
    fn comments_and_order_stay_and_what_is_new_stands_below_what_there_is() {
        let text = "# Ours.\nlog = \"warn\" # quiet\n\n# Large disk.\nlimit = \"1 GiB\" # see df\n\n[namespaces.x]\n# Small.\nlimit = \"1 MiB\"\n# end\n";
        let changes = [
            (None, "limit", Some("none")),
            (None, "reserve", Some("0")),
            (Some("x"), "limit", Some("2097152")),
            (Some("y"), "limit_entries", Some("5")),
        ];
        let expected = "# Ours.\nlog = \"warn\" # quiet\n\n# Large disk.\nlimit = \"none\" # see df\nreserve = 0\n\n[namespaces.x]\n# Small.\nlimit = 2097152\n\n[namespaces.y]\nlimit_entries = 5\n# end\n";
        assert_eq!(changed(text, &changes), expected);
        assert_eq!(changed("# Only this.\n", &[(None, "log", Some("off"))]), "# Only this.\nlog = \"off\"\n");
        assert_eq!(
            changed("# Only this.\n", &[(Some("x"), "policy", Some("lru"))]),
            "# Only this.\n[namespaces.x]\npolicy = \"lru\"\n"
        );
    }

    #[test]
    fn changes_at_the_same_time_are_all_there() {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(folder.path());
        let names: Vec<_> = (0..12).map(|number| format!("n{number}")).collect();
        std::thread::scope(|scope| {
            for name in &names {
                scope.spawn(|| set(&paths, of(Some(name), "limit_entries"), "9").unwrap());
            }
        });
        let text = std::fs::read_to_string(&paths.config).unwrap();
        assert!(names.iter().all(|name| text.contains(&format!("[namespaces.{name}]"))), "{text}");
    }

    #[test]
    fn what_is_unset_goes_with_its_table_and_a_wrong_name_can_be_removed() {
        let text = "limit = \"1 GiB\"\nlog = \"off\"\n\n[namespaces.x]\nlimit = \"1 MiB\"\n";
        assert_eq!(changed(text, &[(None, "limit", None), (Some("x"), "limit", None)]), "log = \"off\"\n");
        assert_eq!(changed("limmit = 5\nlog = \"off\"\n", &[(None, "limmit", None)]), "log = \"off\"\n");
        assert_eq!(changed("namespaces.x = {limits = 5}\n", &[(Some("x"), "limits", None)]), "");
    }

    #[test]
    fn what_a_daemon_would_not_take_is_refused_and_the_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(folder.path());
        set(&paths, of(None, "log"), "off").unwrap();
        let before = std::fs::read_to_string(&paths.config).unwrap();
        for (namespace, name, value, told) in [
            (None, "limits", "1 GiB", "there is no setting `limits`; did you mean `limit`?"),
            (
                None,
                "store",
                "/s",
                "`store` is no setting of the file; it is chosen by `--dir`, DATACACHE_DIR or XDG_CACHE_HOME",
            ),
            (None, "config", "/c", "it is chosen by DATACACHE_CONFIG or XDG_CONFIG_HOME"),
            (Some("x"), "store", "/s", "there is no setting `store` of a namespace"),
            (Some("x"), "reserve", "1 GiB", "there is no setting `reserve` of a namespace"),
            (Some("x"), "limit", "auto", "`namespaces.x.limit` ("),
            (Some(""), "limit", "1 GiB", "the name of the namespace is empty"),
            (None, "limit", "1 KiB", "1 KiB is less than 1 MiB"),
            (None, "limit", "", "`` is not a size"),
            (None, "inline_max", "2 MiB", "2 MiB is not within 0 to 1 MiB"),
        ] {
            let error = set(&paths, of(namespace, name), value).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        assert!(!unset(&paths, of(None, "limit")).unwrap());
        assert!(unset(&paths, of(None, "limits")).is_err());
        assert_eq!(std::fs::read_to_string(&paths.config).unwrap(), before);
    }

    #[test]
    fn a_file_that_is_broken_elsewhere_is_left_to_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths { config: folder.path().join("c.toml"), ..paths(folder.path()) };
        for (text, told) in [
            ("log = = 1\n", "c.toml, line 1: "),
            ("\nlog = \"inof\"\n", "`log` ("),
            ("namespaces = 5", "c.toml, line 1: `namespaces` is integer"),
        ] {
            std::fs::write(&paths.config, text).unwrap();
            let error = set(&paths, of(Some("x"), "limit"), "1 GiB").unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
            assert_eq!(std::fs::read_to_string(&paths.config).unwrap(), text);
        }
    }
}
