//! How large values get to the daemon: as files in its staging folder, or in chunks over the socket.

use std::io;
use std::path::PathBuf;

use crate::connection::Connection;
use crate::error::Error;
use crate::options::Transfer;
use crate::staged::Staged;

/// The way that large values take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// In chunks.
    Chunks,
    /// As files in this store; in chunks where one can't be made there.
    Staging(PathBuf),
    /// As files in this store, or not at all.
    StagingOnly(PathBuf),
    /// Not at all: only files were allowed, and this store's folder can't be reached.
    Closed(PathBuf),
}

impl Route {
    /// Chooses for a connection.
    pub(crate) fn of(connection: &Connection, transfer: Transfer) -> Self {
        match (transfer, connection.store()) {
            (Transfer::Auto, Some(store)) => Self::Staging(store.into()),
            (Transfer::Staging, Some(store)) => Self::StagingOnly(store.into()),
            (Transfer::Staging, None) => Self::Closed(connection.told_store()),
            (Transfer::Chunks, _) | (Transfer::Auto, None) => Self::Chunks,
        }
    }

    /// Creates a staged file; `None` where the value travels in chunks.
    ///
    /// # Errors
    /// Where it can't be created, unless chunks will do.
    pub(crate) fn stage(&self) -> Result<Option<Staged>, Error> {
        match self {
            Self::Chunks => Ok(None),
            Self::StagingOnly(store) => Staged::create(store).map(Some),
            Self::Closed(store) => Err(Error::StoreHidden { store: store.clone() }),
            Self::Staging(store) => match Staged::create(store) {
                Err(error) if is_out_of_reach(&error) => {
                    tracing::debug!(%error, "the staging folder can't be used; the value travels in chunks");
                    Ok(None)
                }
                staged => staged.map(Some),
            },
        }
    }
}

/// Tells a folder that is not for us, such as a read-only mount in a container, from one that is full or broken.
fn is_out_of_reach(error: &Error) -> bool {
    let Error::Io { source, .. } = error else { return false };
    matches!(
        source.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_staging_folder_only_who_insists_gets_an_error() {
        let store = tempfile::tempdir().unwrap().path().to_owned();
        assert!(Route::Staging(store.clone()).stage().unwrap().is_none());
        assert!(matches!(Route::StagingOnly(store.clone()).stage(), Err(Error::Io { .. })));
        assert!(matches!(Route::Closed(store).stage(), Err(Error::StoreHidden { .. })));
        assert!(Route::Chunks.stage().unwrap().is_none());
    }

    #[test]
    fn a_full_disk_is_not_worked_around() {
        let failed = |kind: io::ErrorKind| Error::Io { action: "create", path: "/s".into(), source: kind.into() };
        assert!(is_out_of_reach(&failed(io::ErrorKind::ReadOnlyFilesystem)));
        assert!(!is_out_of_reach(&failed(io::ErrorKind::StorageFull)));
    }
}
