//! One setting changed in the configuration file, which keeps its comments, its order and whatever else is in it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use datacache_proto::key::{NamespaceError, check_namespace};
use datacache_proto::paths::Paths;
use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

use super::file::{self, FileError};
use super::hint::Hint;
use super::replace::{folder_of, replace, target_of};
use super::setting::{Fault, NAMESPACES, OF_NAMESPACE, PLACES, SETTINGS, name_in};
use super::settings::Config;

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

/// A setting that was not changed; the file is as it was.
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
        put(&mut after, place, value);
        edited(paths, place, &before, &after).map_err(|error| refused(error, place, value))
    };
    // What is refused leaves no folder behind.
    edited()?;
    let _lock = lock(paths, Missing::Make)?;
    write(paths, &edited()?)
}

/// Removes a setting from the file; tells whether it was there. What the file sets by a wrong name can be removed, too.
///
/// # Errors
/// Where there is no such setting, or the file can't be read, understood without it, or written.
pub fn unset(paths: &Paths, place: Place<'_>) -> Result<bool, EditError> {
    let _lock = lock(paths, Missing::Leave)?;
    let before = read(&paths.config)?;
    let mut after = before.clone();
    if !remove(&mut after, place) {
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

/// What to do where there is no folder for the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    Make,
    Leave,
}

/// Has whoever else changes the file wait, also by another link to it, so that neither change is lost, until what is returned is dropped;
/// `None` where there is no folder that it could lie in.
fn lock(paths: &Paths, missing: Missing) -> Result<Option<File>, EditError> {
    let lock = || {
        let target = target_of(&paths.config)?;
        let folder = folder_of(&target);
        if missing == Missing::Make {
            std::fs::create_dir_all(folder)?;
        }
        let folder = File::open(folder)?;
        folder.lock().map(|()| Some(folder))
    };
    match lock() {
        Err(error) if error.kind() == io::ErrorKind::NotFound && missing == Missing::Leave => Ok(None),
        locked => locked.map_err(|source| EditError::Write { path: paths.config.clone(), source }),
    }
}

fn read(path: &Path) -> Result<DocumentMut, FileError> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(FileError::Read { path: path.to_owned(), source }),
        Ok(text) => text,
    };
    text.parse().map_err(|error: toml_edit::TomlError| file::syntax_error(path, &text, error.span(), error.message()))
}

/// Returns the text of the file if a daemon would take it. What is wrong elsewhere is told with the line that it has before the change.
fn edited(paths: &Paths, place: Place<'_>, before: &DocumentMut, after: &DocumentMut) -> Result<String, EditError> {
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
mod tests;
