//! The direct way to a value: the client maps the store and looks the key up itself, without the daemon.
//!
//! It needs no daemon, and goes on while one stops, dies, starts or is replaced by another build. Where it can't be had, the
//! daemon is asked instead, and told why: see [`Fallback`](datacache_proto::types::Fallback).
//!
//! # The protocol of a read
//! 1. The shared index `recent` says where in the log the key's newest operation is ([`find`](datacache_proto::recent::find),
//!    whose module proves that this is linearizable). That operation is fetched by `pread` and its checksum checked. It decides: a
//!    tombstone, or a record whose time is over, is a miss.
//! 2. The log has none: a transaction of LMDB that begins *then* has the answer, down to the record's checksum.
//! 3. A large value is a file. It is opened after the transaction; if it is gone, the entry was replaced meanwhile, and the
//!    key is looked up again.
//!
//! # Why a reader never sees a byte change under it
//! - Words of `recent` and `access` do change, and are atomics.
//! - The log is not mapped. What is read from it is a copy, and believed for its checksum, which covers its place.
//! - LMDB's pages are mapped. A page is never written to while a transaction can reach it: LMDB writes to free pages only, and
//!   frees what no transaction since the oldest one in its table of readers can reach. Our transaction is in that table before it
//!   looks at a page, and stays there because
//!   - the slot is ours until the transaction ends: others take slots away of processes that ended alone, and they see that we have not by a
//!     lock on `lock.mdb` that we hold. It is kept as long as nobody in this process closes a descriptor of that file, which is why
//!     the registry opens each index once;
//!   - process numbers mean the same to all: a process of another namespace is refused;
//!   - a forked child, whose parent's slots and locks are not its own, closes what it inherited before it looks.
//! - The transaction ends before the lookup returns; what is handed out is a copy.
//! - Files under `blobs/` are never written to.
//!
//! # What is checked when a store is opened
//! That its folders and files are ours and no links, that the files are as long as they should be and have all their blocks (a
//! hole under a map is a SIGBUS on a full disk), that the filesystem is one that memory can be shared on, that all layouts are known, that the files
//! belong to one store and to this boot, device, inode and mount, and that the namespace of processes is the daemon's. Who opens it
//! again soon finds LMDB open and the shared files mapped, and does all of that over again for the files that are there now.
//!
//! A store that no daemon has opened since the boot, or since it was copied, may be read through LMDB alone if it was closed in
//! good order, and as long as it stays closed.
//!
//! # Forks
//! A child opens an index of its own. It may wait for ever if the program itself uses heed for databases of its own and another thread was
//! opening or closing one of them at the moment of the fork: heed keeps its open environments under a lock that we can't see.
//! Ours are opened and closed only while forks are held off.
//!
//! # What is opened again, and when
//! When the shared index says that its generation is over. When the daemon that we connect to serves another store. And once a
//! second a lookup makes sure that the files that are mapped are still in their place, since a store that is removed while no
//! daemon runs can't say so. What can't be opened is tried again with each new connection, and else once a second.

mod clock;
mod descriptor;
#[expect(clippy::module_inception, reason = "the noun of the file is that of the module")]
mod direct;
mod environment;
mod lookup;
mod many;
mod map;
mod registry;
mod segments;
mod shared;
mod slot;
#[cfg(test)]
mod testing;

pub(crate) use direct::{Direct, Look};
