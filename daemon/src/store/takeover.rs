//! Taking over a store of an older layout: its index is copied into a new generation.
//!
//! A copy, since readers of the older build may have the old index open, and may be between a look into the log and one into LMDB:
//! what they find there has to stay whole. So the old generation's index is changed no more once its log is applied. When the copy
//! is complete and on the disk its shared index is ended, which sends those who are attached to the new generation; they see its
//! layout there, and ask the daemon. Then the new one becomes the live one, in one step.
//!
//! Whenever a daemon dies, the store has the old layout or the new one: the next opens the old generation again, begins the copy
//! anew, and removes at the end all that is not live. It takes the room of the index a second time until then. Where there is not
//! as much, or the copy fails, the daemon uses the older layout, and its clients, who don't know it, ask for what they read.
//!
//! | layout | what was new |
//! | --- | --- |
//! | 2 | no table of entries by their sequence numbers: it is emptied when the index is opened |
//! | 3 | the entries are in LMDB's main table |

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tracing::info;

use super::error::OpenError;
use super::folder;
use super::index::Index;
use super::tables::Tables;

/// Copies the index in the generation `old`, to which its log is applied, into a new generation, and makes that the live one.
pub(super) fn copy(path: &Path, old: &Path, tables: &Tables, store_id: u128) -> Result<PathBuf, OpenError> {
    let io = |action| move |source| OpenError::Io { action, path: path.to_owned(), source };
    let index = |source| OpenError::Index { action: "take over", path: path.to_owned(), source };
    info!("taking over a store of an older layout");
    let used = tables.env.non_free_pages_size().map_err(index)?;
    if !tables.room.has_room_for_another(used).map_err(io("look for room in"))? {
        return Err(OpenError::NoSpace { path: path.to_owned() });
    }
    let new = folder::create_generation_after(path, old).map_err(io("make the folders of"))?;
    tables.copy_to(&new).map_err(index)?;
    publish(path, old, &new, store_id).map_err(io("make another generation of"))?;
    Ok(new)
}

fn publish(path: &Path, old: &Path, new: &Path, store_id: u128) -> io::Result<()> {
    // IMPORTANT: the names of the files in it, and its own, before anything names it.
    File::open(new)?.sync_all()?;
    File::open(path)?.sync_all()?;
    // IMPORTANT: before the new one is live. A daemon that died in between would leave readers attached to the old one for ever.
    Index::end(old, store_id)?;
    folder::make_current(path, new)
}
