//! What an index has to say about itself if it is to be trusted here: the look at where its file and this process are.

use std::fs::File;
use std::io;
use std::path::Path;

use super::Header;
use crate::process::boot_id;

/// Which file it is, and where it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The device it is on.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// The mount through which it is reached; 0 where the system does not tell (Linux before 5.8, and others).
    pub mount: u64,
}

impl Header {
    /// Returns the header of an index that was made in `file`, as it is open here, in this boot, for the store `store`.
    ///
    /// # Errors
    /// Where the system does not tell.
    pub fn expected(file: &File, store: u128) -> io::Result<Self> {
        Self::expected_in(Place::of(file)?, store)
    }

    /// Returns the same for an index in this place.
    ///
    /// # Errors
    /// Where the system does not tell the boot.
    pub fn expected_in(place: Place, store: u128) -> io::Result<Self> {
        let Place { device, inode, mount } = place;
        Ok(Self { store, boot: boot_id()?, device, inode, mount })
    }
}

#[cfg(target_os = "linux")]
mod system {
    use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};
    use rustix::path::Arg;

    use super::*;

    impl Place {
        /// Returns where an open file is.
        ///
        /// # Errors
        /// Where the system does not tell.
        pub fn of(file: &File) -> io::Result<Self> {
            look(file, c"", AtFlags::EMPTY_PATH)
        }

        /// Returns what is found under a path; a link at its end is not followed.
        ///
        /// # Errors
        /// Where nothing is, or the system does not tell.
        pub fn at(path: &Path) -> io::Result<Self> {
            look(CWD, path, AtFlags::SYMLINK_NOFOLLOW)
        }
    }

    fn look(folder: impl std::os::fd::AsFd, path: impl Arg, flags: AtFlags) -> io::Result<Place> {
        let found = statx(folder, path, flags, StatxFlags::INO | StatxFlags::MNT_ID)?;
        let tells_mount = found.stx_mask & StatxFlags::MNT_ID.bits() != 0;
        Ok(Place {
            device: makedev(found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            mount: if tells_mount { found.stx_mnt_id } else { 0 },
        })
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::fs::{Metadata, symlink_metadata};
    use std::os::unix::fs::MetadataExt;

    use super::*;

    impl Place {
        /// Returns where an open file is.
        ///
        /// # Errors
        /// Where the system does not tell.
        pub fn of(file: &File) -> io::Result<Self> {
            file.metadata().map(|found| Self::found(&found))
        }

        /// Returns what is found under a path; a link at its end is not followed.
        ///
        /// # Errors
        /// Where nothing is, or the system does not tell.
        pub fn at(path: &Path) -> io::Result<Self> {
            symlink_metadata(path).map(|found| Self::found(&found))
        }

        fn found(found: &Metadata) -> Self {
            Self { device: found.dev(), inode: found.ino(), mount: 0 }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::symlink_metadata;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn two_files_of_one_folder_differ_in_their_inode_alone() {
        let program = std::env::current_exe().unwrap();
        let this = Place::at(&program).unwrap();
        let folder = Place::at(program.parent().unwrap()).unwrap();
        assert_ne!(folder.inode, this.inode);
        assert_eq!(Place { inode: this.inode, ..folder }, this);
    }

    #[test]
    fn a_path_leads_to_the_place_of_the_file_that_it_opens() {
        let program = std::env::current_exe().unwrap();
        let (place, metadata) = (Place::at(&program).unwrap(), symlink_metadata(&program).unwrap());
        assert_eq!(Place::of(&File::open(&program).unwrap()).unwrap(), place);
        assert_eq!((place.device, place.inode), (metadata.dev(), metadata.ino()));
        let Place { device, inode, mount } = place;
        let expected = Header { store: 7, boot: boot_id().unwrap(), device, inode, mount };
        assert_eq!(Header::expected_in(place, 7).unwrap(), expected);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_link_has_a_place_of_its_own() {
        let link = Path::new("/proc/self/exe");
        assert_ne!(Place::at(link).unwrap(), Place::of(&File::open(link).unwrap()).unwrap());
    }

    /// A bind mount shows the same inode under another number; `/proc` and the test's own file stand for two mounts.
    #[test]
    #[cfg(target_os = "linux")]
    fn mounts_have_different_numbers() {
        let here = Place::at(&std::env::current_exe().unwrap()).unwrap();
        assert_ne!(here.mount, Place::at(Path::new("/proc/self/stat")).unwrap().mount);
    }
}
