//! One setting changed in the configuration file, which keeps its comments, its order and whatever else is in it.

mod lock;
mod removal;
mod text;

use std::io;
use std::path::{Path, PathBuf};

use datacache_proto::key::{NamespaceError, check_namespace};
use datacache_proto::paths::Paths;
use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, Value};

use super::file::{self, FileError};
use super::hint::Hint;
use super::replace::replace;
use super::setting::{Fault, NAMESPACES, OF_NAMESPACE, PLACES, SETTINGS, name_in};
use super::settings::Config;
use lock::{Missing, PATIENCE, lock};
use removal::remove;
use text::Text;

/// A setting, of the daemon or of a namespace.
#[derive(Clone, Copy, Debug)]
pub struct Place<'p> {
    /// The namespace that has it; `None` for a setting of the daemon.
    pub namespace: Option<&'p str>,
    /// Its name.
    pub name: &'p str,
}

impl Place<'_> {
    /// Returns what it is called as a whole.
    fn full_name(self) -> String {
        self.namespace.map_or_else(|| self.name.to_owned(), |namespace| name_in(namespace, self.name))
    }
}

/// A setting that was not changed; the file is as it was, unless it was written and only its folder could not be synced: then a loss of power
/// may bring the old one back.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// There is no such setting.
    #[error("there is no setting `{name}`{}{hint}", if *of_namespace { " of a namespace" } else { "" })]
    Unknown {
        /// The name.
        name: String,
        /// Whether it was to be one of a namespace.
        of_namespace: bool,
        /// What to write instead.
        hint: Hint,
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
    /// The setting can't have the value.
    #[error("`{name}` can't be `{value}`: {reason}")]
    Refused {
        /// The setting, by its full name.
        name: String,
        /// The value that was given.
        value: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// Another value of the file can't be taken.
    #[error(transparent)]
    Value(#[from] Fault),
    /// Another program keeps the folder of the file locked.
    #[error(
        "the folder {} is locked by another program; try again when that has ended (`lslocks` lists who locks what)",
        .folder.display()
    )]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// The file can't be written.
    #[error("failed to write the configuration {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Sets a setting in the file, which is made where there is none.
///
/// # Errors
/// Where there is no such setting, the value is not within its bounds, or the file can't be read, understood or written.
pub fn set(paths: &Paths, place: Place<'_>, value: &str) -> Result<(), EditError> {
    check(place)?;
    let edited = || {
        let before = read(&paths.config)?;
        let mut after = before.clone();
        put(&mut after.document, place, value);
        edited(paths, place, &before, &after).map_err(|error| refused(error, place, value))
    };
    // What is refused leaves no folder behind.
    edited()?;
    let _lock = lock(paths, Missing::Make, PATIENCE)?;
    write(paths, &edited()?)
}

/// Removes a setting from the file, with its table where nothing else is in that; tells whether it was there. Each comment on a line of
/// its own stays, unless it is within braces or brackets and the whole namespace or value goes. What the file sets by a wrong name can be
/// removed, too.
///
/// # Errors
/// Where there is no such setting, or the file can't be read, understood without it, or written.
pub fn unset(paths: &Paths, place: Place<'_>) -> Result<bool, EditError> {
    let Some(_lock) = lock(paths, Missing::Leave, PATIENCE)? else { return check(place).map(|()| false) };
    let before = read(&paths.config)?;
    let mut after = before.clone();
    if !remove(&mut after.document, place) {
        return check(place).map(|()| false);
    }
    write(paths, &edited(paths, place, &before, &after)?)?;
    Ok(true)
}

fn check(place: Place<'_>) -> Result<(), EditError> {
    place.namespace.map_or(Ok(()), check_namespace)?;
    let settings = SETTINGS.iter().map(|setting| setting.name);
    let is_known = match place.namespace {
        Some(_) => OF_NAMESPACE.contains(&place.name),
        None => settings.clone().any(|name| name == place.name),
    };
    if is_known {
        return Ok(());
    }
    if let Some((name, by)) = PLACES.into_iter().find(|(name, _)| *name == place.name && place.namespace.is_none()) {
        return Err(EditError::NotInFile { name, by });
    }
    let hint = match place.namespace {
        Some(_) => Hint::of_namespace(place.name),
        None => Hint::among(place.name, settings),
    };
    Err(EditError::Unknown { name: place.name.to_owned(), of_namespace: place.namespace.is_some(), hint })
}

fn read(path: &Path) -> Result<Text, FileError> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(FileError::Read { path: path.to_owned(), source }),
        Ok(text) => text,
    };
    text.parse().map_err(|error: toml_edit::TomlError| file::syntax_error(path, &text, error.span(), error.message()))
}

/// Returns the text of the file if a daemon would take it. What is wrong elsewhere is told with the line that it has before the change.
fn edited(paths: &Paths, place: Place<'_>, before: &Text, after: &Text) -> Result<String, EditError> {
    let text = after.to_string();
    try_out(paths, &text).map_err(|error| match try_out(paths, &before.to_string()) {
        Err(as_it_is) if !is_about(place, &as_it_is) && !is_about(place, &error) => as_it_is,
        _ => error,
    })?;
    Ok(text)
}

/// Tells what value was refused, where it was that of the setting.
fn refused(error: EditError, place: Place<'_>, value: &str) -> EditError {
    match error {
        EditError::Value(Fault { name, reason, .. }) if name == place.full_name() => {
            EditError::Refused { name, value: value.to_owned(), reason }
        }
        other => other,
    }
}

fn write(paths: &Paths, text: &str) -> Result<(), EditError> {
    let path = &paths.config;
    replace(path, text.as_bytes()).map_err(|source| EditError::Write { path: path.clone(), source })
}

/// Reads a file as a daemon would.
fn try_out(paths: &Paths, text: &str) -> Result<(), EditError> {
    Config::of_file(paths.clone(), file::parse(&paths.config, text)?)?;
    Ok(())
}

fn is_about(place: Place<'_>, error: &EditError) -> bool {
    let name = match error {
        EditError::Value(fault) => &fault.name,
        EditError::File(FileError::Unknown { name, .. } | FileError::Kind { name, .. }) => name,
        _ => return false,
    };
    *name == place.full_name()
}

fn put(document: &mut DocumentMut, place: Place<'_>, value: &str) {
    adopt_comments(document);
    let value = typed(value);
    let Some(namespace) = place.namespace else { return put_into(document.as_table_mut(), place.name, value) };
    let mut tables = Table::new();
    tables.set_implicit(true);
    let namespaces = document.entry(NAMESPACES).or_insert(Item::Table(tables));
    // Braces can't hold a table that has a header.
    let none_set = if namespaces.is_value() { Value::from(InlineTable::new()).into() } else { toml_edit::table() };
    // What is no table is left as it is, and refused when the whole is read.
    let Some(namespaces) = namespaces.as_table_like_mut() else { return };
    let settings = namespaces.entry(namespace).or_insert(none_set);
    if let Some(settings) = settings.as_table_like_mut() {
        put_into(settings, place.name, value);
    }
}

/// Where a file has nothing but comments, they are of the end of it: what is added is to stand below them.
fn adopt_comments(document: &mut DocumentMut) {
    if document.is_empty() && !document.trailing().as_str().is_none_or(str::is_empty) {
        let mut comments = document.trailing().as_str().unwrap_or_default().to_owned();
        if !comments.ends_with('\n') {
            comments.push('\n');
        }
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

#[cfg(test)]
mod tests;
