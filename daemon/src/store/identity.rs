//! Which store it is: the random number that its files have in common.

use std::path::Path;

use datacache_proto::layout::LAYOUT;
use rustix::rand::{GetRandomFlags, getrandom};

use super::error::OpenError;
use super::failpoint::failpoint;
use super::tables::{Meta, Tables};

/// Returns the store's identity; a new store gets one, and the layout's number.
pub(super) fn identity(path: &Path, tables: &Tables, is_new: bool) -> Result<u128, OpenError> {
    let lmdb = |source| OpenError::Index { action: "read the identity in", path: path.to_owned(), source };
    let txn = tables.env.read_txn().map_err(lmdb)?;
    let layout = tables.meta(&txn, Meta::Layout).map_err(lmdb)?;
    let low = tables.meta(&txn, Meta::StoreIdLow).map_err(lmdb)?;
    let high = tables.meta(&txn, Meta::StoreIdHigh).map_err(lmdb)?;
    drop(txn);
    match (layout, low, high) {
        (Some(_), Some(low), Some(high)) => Ok(u128::from(low) | u128::from(high) << 64),
        _ if is_new => draw_identity(path, tables),
        _ => Err(OpenError::Layout { path: path.to_owned(), found: 0, known: LAYOUT }),
    }
}

fn draw_identity(path: &Path, tables: &Tables) -> Result<u128, OpenError> {
    let mut random = [0; 16];
    getrandom(&mut random, GetRandomFlags::empty()).map_err(|errno| OpenError::Io {
        action: "draw an identity for",
        path: path.to_owned(),
        source: errno.into(),
    })?;
    let id = u128::from_le_bytes(random);
    let write = || {
        let mut txn = tables.env.write_txn()?;
        tables.set_meta(&mut txn, Meta::Layout, LAYOUT.into())?;
        tables.set_meta(&mut txn, Meta::StoreIdLow, id as u64)?;
        tables.set_meta(&mut txn, Meta::StoreIdHigh, (id >> 64) as u64)?;
        txn.commit()
    };
    write().map_err(|source| OpenError::Index { action: "write the identity in", path: path.to_owned(), source })?;
    failpoint!(IdentityDrawn);
    Ok(id)
}
