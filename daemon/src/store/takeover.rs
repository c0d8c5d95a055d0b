//! Taking over a store of an older layout: its index is copied into a new generation.
//!
//! A copy, since readers of the older build may have the old index open, and may be between a look into the log and one into LMDB:
//! what they find there has to stay whole. So the old generation's index is changed no more once its log is applied. When the copy
//! is complete and on the disk its shared index is ended, which sends those who are attached to the new generation; they see its
//! layout there, and ask the daemon. Then the new one becomes the live one, in one step.
//!
//! Whenever a daemon dies, the store has the old layout or the new one: the next opens the old generation again, begins the copy
//! anew, and removes at the end all that is not live. It takes the room of the index a second time until then, and of the places. Where there is not
//! as much, or the copy fails, the daemon uses the older layout, and its clients, who don't know it, ask for what they read.
//!
//! Up to layout 3 there are no places and no charges, and none are made while such an index is used: nothing is evicted from it. Its
//! counters are written as they were; its records are not, and an older build, should one come back to it, drops entries that were
//! written meanwhile.
//!
//! | layout | what was new |
//! | --- | --- |
//! | 2 | no table of entries by their sequence numbers: it is emptied when the index is opened |
//! | 3 | the entries are in LMDB's main table |
//! | 4 | entries have places in the eviction's queues, and counters say what they take: both are made from the entries |

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datacache_proto::layout::LOG;
use datacache_proto::recent::RestartError;
use tracing::{info, warn};

use super::blob::BlobStore;
use super::error::OpenError;
use super::generation;
use super::identity::identity;
use super::index::Index;
use super::restart_steps::{Steps, catch_up};
use super::tables::Tables;

/// Applies the log to the index of an older layout, and makes a generation of it that has ours. Where that can't be made, the
/// older one is used on, until the next start.
pub(super) fn take_over(path: &Path, old: PathBuf, tables: Tables) -> Result<(PathBuf, Tables), OpenError> {
    let tables = Arc::new(tables);
    let store_id = identity(path, &tables, false)?;
    let index = Index::open(&old, store_id);
    let index =
        index.map_err(|source| OpenError::Io { action: "open the shared index of", path: path.to_owned(), source })?;
    let blobs = BlobStore::new(path, Arc::clone(&tables));
    let steps = Steps { path, log: old.join(LOG), store_id, tables: &tables, blobs: &blobs, made: None };
    catch_up(&steps, index.is_none()).map_err(|source| steps.failed(RestartError::Step { source }))?;
    let taken_over = copy(path, &old, &tables, store_id);
    drop(blobs);
    Arc::into_inner(tables).expect("nobody else has it yet").close();
    let live = match taken_over {
        Ok(new) => new,
        // IMPORTANT: only while the link names it: what is written there from now on is looked for there by the next.
        Err(error) if generation::current(path).is_ok_and(|live| live.as_ref() == Some(&old)) => {
            let error = &error as &dyn std::error::Error;
            warn!(error, "the store keeps its older layout until the next start; its clients ask for all they read");
            old
        }
        Err(error) => return Err(error),
    };
    let tables = Tables::open_in(path, &live)?;
    Ok((live, tables))
}

/// Copies the index in the generation `old`, to which its log is applied, into a new generation, and makes that the live one.
fn copy(path: &Path, old: &Path, tables: &Tables, store_id: u128) -> Result<PathBuf, OpenError> {
    let io = |action| move |source| OpenError::Io { action, path: path.to_owned(), source };
    let index = |source| OpenError::Index { action: "take over", path: path.to_owned(), source };
    info!("taking over a store of an older layout");
    let used = tables.used_by_copy().map_err(index)?;
    if !tables.room.has_room_for_another(used).map_err(io("look for room in"))? {
        return Err(OpenError::NoSpace { path: path.to_owned() });
    }
    let new = generation::create_generation_after(path, old).map_err(io("make the folders of"))?;
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
    generation::make_current(path, new)
}
