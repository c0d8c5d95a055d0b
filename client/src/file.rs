//! A value written to a file of the caller's own, and the guard that removes it.

use std::fs::{self, File, Permissions};
use std::future::IntoFuture;
use std::io::{self, Write};
use std::mem;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process;

use datacache_proto::key::Key;
use tempfile::NamedTempFile;

use crate::blob::damaged;
use crate::cache::{Boxed, DataCache, off_thread};
use crate::copy::{CopyError, copy};
use crate::download::Sink;
use crate::error::{Error, IoContext};
use crate::found::Found;
use crate::suspicion::Verdict;
use crate::tally::Progress;

/// The beginning of the names of files that are not named.
const PREFIX: &str = "datacache-";

/// A value that is about to be written to a file. Nothing happens before `.await`, or [`run`](GetFile::run) for a blocking
/// cache. Both return a [`FileGuard`], or `None` where there is no live entry.
///
/// Any value can be written: text as UTF-8, JSON as its text. The file is the caller's: changing it never changes the cache.
/// It shares the blocks of the stored one where the filesystem can do that, and is checked against the value's SHA-256. Where
/// anything fails, no file is left behind.
///
/// # Examples
/// ```no_run
/// use datacache_client::{Options, blocking::DataCache};
///
/// let cache = DataCache::open(Options::new())?;
/// if let Some(file) = cache.get_file("photo").suffix(".jpg").run()? {
///     println!("a copy until the end of this block: {}", file.path().display());
/// }
/// # Ok::<(), datacache_client::Error>(())
/// ```
#[must_use = "nothing is written before `.await` or `.run()`"]
pub struct GetFile<C = DataCache> {
    pub(crate) cache: C,
    pub(crate) key: Key,
    pub(crate) target: Target,
}

/// Where the file goes.
pub(crate) struct Target {
    filename: Option<PathBuf>,
    directory: Option<PathBuf>,
    prefix: String,
    suffix: String,
    delete: Option<bool>,
    progress: Option<Progress>,
}

impl<C> GetFile<C> {
    pub(crate) fn of(cache: C, key: Key) -> Self {
        let (prefix, suffix) = (PREFIX.to_owned(), String::new());
        let target = Target { filename: None, directory: None, prefix, suffix, delete: None, progress: None };
        Self { cache, key, target }
    }

    /// Names the file. It is written beside and renamed, so that an existing one is replaced in one step; its mode is as the
    /// umask has it. Directory, prefix and suffix do not apply then. Default: a unique name, and a mode of 0600.
    pub fn filename(mut self, filename: impl Into<PathBuf>) -> Self {
        self.target.filename = Some(filename.into());
        self
    }

    /// Sets the folder of a file without a name of its own. Default: the folder for temporary files.
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.target.directory = Some(directory.into());
        self
    }

    /// Sets the beginning of a unique name. Default: `datacache-`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.target.prefix = prefix.into();
        self
    }

    /// Sets the end of a unique name, taken literally: `".jpg"`. Default: none.
    pub fn suffix(mut self, suffix: impl Into<String>) -> Self {
        self.target.suffix = suffix.into();
        self
    }

    /// Says whether dropping the guard removes the file. Default: yes for a unique name, no for a given one.
    pub fn delete(mut self, delete: bool) -> Self {
        self.target.delete = Some(delete);
        self
    }

    /// Sets what is told how many bytes have been written and checked so far, on whatever thread that is done.
    pub fn progress(mut self, progress: impl FnMut(u64) + Send + 'static) -> Self {
        self.target.progress = Some(Box::new(progress));
        self
    }
}

impl IntoFuture for GetFile<DataCache> {
    type Output = Result<Option<FileGuard>, Error>;
    type IntoFuture = Boxed<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.target.fill(self.cache, self.key))
    }
}

impl Target {
    /// Finds the value before any file is made.
    pub(crate) async fn fill(mut self, cache: DataCache, key: Key) -> Result<Option<FileGuard>, Error> {
        let mut doubts = 0;
        loop {
            let (target, file) = self.try_to_fill(&cache, &key).await?;
            let error = match file {
                Err(error) => error,
                file => return file,
            };
            if cache.judge(&key, error, &mut doubts).await? == Verdict::Miss {
                return Ok(None);
            }
            self = target;
        }
    }

    /// Makes an attempt, and gives itself back for another one.
    async fn try_to_fill(
        mut self,
        cache: &DataCache,
        key: &Key,
    ) -> Result<(Self, Result<Option<FileGuard>, Error>), Error> {
        let found = match cache.find(key, Sink::File).await {
            Ok(Some(found)) => found,
            other => return Ok((self, other.map(|_| None))),
        };
        off_thread(move || {
            let file = self.write(&found);
            Ok((self, file.map(Some)))
        })
        .await
    }

    pub(crate) fn write(&mut self, found: &Found) -> Result<FileGuard, Error> {
        let destination = self.filename.as_deref().map(destination).transpose()?;
        let mut file = self.create(destination.as_deref())?;
        let path = file.path().to_owned();
        match found {
            Found::Here(value) => file.write_all(value).during("write", &path)?,
            Found::Blob(blob) => copy(blob, file.as_file(), &mut self.progress).map_err(|error| match error {
                CopyError::Source(source) => Error::System { action: "read the value's file", source },
                CopyError::Target(source) => Error::Io { action: "write", path, source },
                CopyError::Damaged => damaged(&blob.digest),
            })?,
        }
        let delete = self.delete.unwrap_or(destination.is_none());
        let path = place(file, destination)?;
        Ok(FileGuard { path, delete, pid: process::id() })
    }

    /// Creates the file under a unique name: its own, or one beside its destination.
    fn create(&self, destination: Option<&Path>) -> Result<NamedTempFile, Error> {
        let Some(destination) = destination else {
            let folder = self.directory.clone().unwrap_or_else(std::env::temp_dir);
            let folder = std::path::absolute(&folder).during("find", &folder)?;
            let mut builder = tempfile::Builder::new();
            builder.prefix(&self.prefix).suffix(&self.suffix);
            return builder.tempfile_in(&folder).during("create a file in", &folder);
        };
        let folder = destination.parent().unwrap_or(Path::new("/"));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".datacache-").suffix(".part").permissions(Permissions::from_mode(0o666));
        builder.tempfile_in(folder).during("create a file in", folder)
    }
}

/// Gives a finished file its last name.
fn place(file: NamedTempFile, destination: Option<PathBuf>) -> Result<PathBuf, Error> {
    match destination {
        Some(destination) => {
            file.persist(&destination).during("replace", &destination)?;
            Ok(destination)
        }
        None => {
            let path = file.path().to_owned();
            let kept = file.into_temp_path().keep();
            kept.map_err(io::Error::from).during("keep", &path)
        }
    }
}

/// Returns the file that `filename` stands for: the target of a link, not the link. What is no regular file is not
/// replaced.
fn destination(filename: &Path) -> Result<PathBuf, Error> {
    let path = std::path::absolute(filename).during("find", filename)?;
    let real = match fs::canonicalize(&path) {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path),
        Err(error) => return Err(error).during("find", &path),
    };
    if fs::metadata(&real).during("look at", &real)?.is_file() {
        return Ok(real);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")).during("replace", &real)
}

/// A file with a value in it; see [`GetFile`]. Dropping it removes the file, unless it is to be kept.
///
/// In a forked child, dropping it does nothing.
#[derive(Debug)]
#[must_use = "dropping it removes the file"]
pub struct FileGuard {
    path: PathBuf,
    delete: bool,
    pid: u32,
}

impl FileGuard {
    /// Returns the file's path, which is absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file.
    ///
    /// # Errors
    /// Where the system fails.
    pub fn open(&self) -> Result<File, Error> {
        File::open(&self.path).during("open", &self.path)
    }

    /// Keeps the file, and returns its path.
    pub fn keep(mut self) -> PathBuf {
        self.delete = false;
        mem::take(&mut self.path)
    }
}

impl AsRef<Path> for FileGuard {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl Drop for FileGuard {
    fn drop(&mut self) {
        if !self.delete || self.pid != process::id() {
            return;
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %self.path.display(), "can't remove a file that was got from the cache");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::{Blob, sha256};
    use crate::value::{Bytes, Value};
    use datacache_proto::types::Codec;
    use std::ffi::OsString;

    fn target() -> Target {
        GetFile::of((), "k".into()).target
    }

    fn small() -> Found {
        Found::Here(Value::new(Codec::Text, 1, Bytes::Owned("é".into())))
    }

    fn large(content: &[u8]) -> Found {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let digest = sha256(b"large");
        Found::Blob(Blob { codec: Codec::Bytes, version: 1, length: content.len() as u64, digest, file, proof: None })
    }

    fn names(folder: &Path) -> Vec<OsString> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    fn in_folder(folder: &Path) -> Target {
        Target { directory: Some(folder.to_owned()), ..target() }
    }

    #[test]
    fn an_unnamed_file_is_unique_private_and_gone_with_its_guard() {
        let folder = tempfile::tempdir().unwrap();
        let suffixed = || Target { suffix: "_x.bin".into(), ..in_folder(folder.path()) };
        let (one, other) = (suffixed().write(&small()).unwrap(), suffixed().write(&large(b"large")).unwrap());
        assert_ne!(one.path(), other.path());
        for (guard, content) in [(&one, "é"), (&other, "large")] {
            let name = guard.path().file_name().unwrap().to_str().unwrap();
            assert!(name.starts_with("datacache-") && name.ends_with("_x.bin"), "{name}");
            assert_eq!(guard.path().metadata().unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(fs::read_to_string(guard).unwrap(), content);
        }
        drop((one, other));
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_kept_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = in_folder(folder.path()).write(&small()).unwrap().keep();
        assert_eq!(fs::read_to_string(path).unwrap(), "é");
    }

    #[test]
    fn a_named_file_is_replaced_in_one_step_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("named");
        fs::write(&path, "before").unwrap();
        let before = File::open(&path).unwrap();
        let named = || Target { filename: Some(path.clone()), ..target() };
        drop(named().write(&large(b"large")).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "large");
        assert_eq!(io::read_to_string(before).unwrap(), "before", "it was written in place");
        let own = File::create(folder.path().join("own")).unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(path.metadata().unwrap().permissions().mode(), own);
        drop(Target { delete: Some(true), ..named() }.write(&small()).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn damage_leaves_no_file_and_an_existing_one_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("named");
        fs::write(&path, "before").unwrap();
        let mut named = Target { filename: Some(path.clone()), ..target() };
        assert!(matches!(named.write(&large(b"lorge")), Err(Error::Damaged { .. })));
        assert!(matches!(in_folder(folder.path()).write(&large(b"lorge")), Err(Error::Damaged { .. })));
        assert_eq!(names(folder.path()), ["named"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
    }

    #[test]
    fn what_is_no_regular_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        for path in [inner.as_path(), Path::new("/dev/null")] {
            let mut named = Target { filename: Some(path.into()), ..target() };
            assert!(named.write(&small()).is_err(), "{}", path.display());
        }
        assert!(!Path::new("/dev/null").is_file());
    }

    #[test]
    fn a_link_is_followed_and_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, "before").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        drop(Target { filename: Some(link.clone()), ..target() }.write(&small()).unwrap());
        assert_eq!(fs::read_to_string(&real).unwrap(), "é");
        assert!(link.is_symlink());
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = in_folder(Path::new("/no/such")).write(&small()).unwrap_err();
        assert_eq!(error.to_string(), "can't create a file in `/no/such`");
    }

    #[test]
    fn a_forked_child_leaves_its_parents_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut guard = in_folder(folder.path()).write(&small()).unwrap();
        guard.pid += 1;
        drop(guard);
        assert_eq!(names(folder.path()).len(), 1);
    }
}
