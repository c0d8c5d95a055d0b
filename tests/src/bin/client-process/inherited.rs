//! What a program inherits from one that has the cache open and becomes or starts it: nothing of the cache.

use std::path::{Path, PathBuf};
use std::{fs, io};

use datacache_client::Options;
use datacache_client::blocking::DataCache;

use crate::check::{Done, read_small};

/// The argument that has this program look at what it inherited by `exec`.
pub(crate) const EXECUTED: &str = "executed";

/// Looks at what this program inherited by `exec`: no descriptor of the cache. It can open one of its own.
pub(crate) fn executed() {
    let look = || -> Done {
        for (number, file) in descriptors()? {
            let is_of_the_cache =
                file.contains("/datacache/") || file.contains("eventpoll") || file.contains("socket:");
            if number > 2 && is_of_the_cache {
                return Err(format!("descriptor {number} was inherited: {file}").into());
            }
        }
        read_small(&DataCache::open(Options::new())?)
    };
    if let Err(error) = look() {
        print!("{}", crate::chain(&*error));
    }
}

/// Returns the descriptors that are open: their numbers and what they stand for.
///
/// # Errors
/// Where the system does not tell.
pub(crate) fn descriptors() -> io::Result<Vec<(u32, String)>> {
    // All at once: the one that reads the folder is gone afterwards, and told by its link.
    let names: Vec<PathBuf> =
        fs::read_dir("/proc/self/fd")?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    let number = |path: &Path| path.file_name()?.to_str()?.parse().ok();
    let open = names.iter().filter_map(|path| {
        let file = fs::read_link(path).ok()?;
        Some((number(path)?, file.to_string_lossy().into_owned()))
    });
    Ok(open.collect())
}
