//! What an index has to say about itself if it is to be trusted here: the look at where its file and this process are.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

use super::Header;
use crate::process::boot_id;

impl Header {
    /// Returns the header of an index that was made in `file`, as it is open here, in this boot, for the store `store`.
    ///
    /// # Errors
    /// Where the system does not tell.
    pub fn expected(file: &File, store: u128) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self { store, boot: boot_id()?, device: metadata.dev(), inode: metadata.ino(), mount: mount_id(file)? })
    }
}

/// Returns the number of the mount through which the file was opened; 0 where the kernel does not tell (before 5.8).
#[cfg(target_os = "linux")]
fn mount_id(file: &File) -> io::Result<u64> {
    use rustix::fs::{AtFlags, StatxFlags, statx};
    let statx = statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    Ok(if statx.stx_mask & StatxFlags::MNT_ID.bits() != 0 { statx.stx_mnt_id } else { 0 })
}

/// Other systems have no such number.
#[cfg(not(target_os = "linux"))]
fn mount_id(_: &File) -> io::Result<u64> {
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_files_of_one_folder_differ_in_their_inode_alone() {
        let program = std::env::current_exe().unwrap();
        let open = |path: &std::path::Path| File::open(path).unwrap();
        let this = Header::expected(&open(&program), 7).unwrap();
        assert_eq!(Header::expected(&open(&program), 7).unwrap(), this);
        let folder = Header::expected(&open(program.parent().unwrap()), 7).unwrap();
        assert_ne!(folder.inode, this.inode);
        assert_eq!(Header { inode: this.inode, ..folder }, this);
        assert_eq!((this.store, this.boot), (7, boot_id().unwrap()));
    }

    /// A bind mount shows the same inode under another number; `/proc` and the test's own file stand for two mounts.
    #[test]
    #[cfg(target_os = "linux")]
    fn mounts_have_different_numbers() {
        let here = File::open(std::env::current_exe().unwrap()).unwrap();
        let elsewhere = File::open("/proc/self/stat").unwrap();
        assert_ne!(mount_id(&here).unwrap(), mount_id(&elsewhere).unwrap());
    }
}
