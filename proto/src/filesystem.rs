//! What a store may lie on, and whether a file may serve as shared memory: what its filesystem does when a page of it is stored to.
//!
//! A store to a mapped page is a SIGBUS if the filesystem has to find room for the page and there is none. So a file with all its
//! blocks must stay where it is: filesystems that write changed pages to a new place are out. And what one process stores,
//! another must see: network filesystems are out.

use std::fs::File;
use std::io;

const EXT: u32 = 0xef53;
const XFS: u32 = 0x5846_5342;
const TMPFS: u32 = 0x0102_1994;
const OVERLAYFS: u32 = 0x794c_7630;
const BTRFS: u32 = 0x9123_683e;
/// Programs that are filesystems, of which some reach over a network.
const FUSE: u32 = 0x6573_5546;

/// Filesystems that other machines write to as well.
const NETWORKS: [(u32, &str); 14] = [
    (0x6969, "nfs"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb"),
    (0x517b, "smbfs"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "ceph"),
    (0x5346_414f, "afs"),
    (0x6b41_4653, "afs"),
    (0x7375_7245, "coda"),
    (0x0000_564c, "ncpfs"),
    (0x0bd0_0bd0, "lustre"),
    (0x0116_1970, "gfs2"),
    (0x7461_636f, "ocfs2"),
    (0x4750_4653, "gpfs"),
];
/// The same of programs, by the kind that their mounts have.
const NETWORKS_BY_FUSE: [&str; 10] = [
    "fuse.sshfs",
    "fuse.s3fs",
    "fuse.rclone",
    "fuse.glusterfs",
    "fuse.ceph-fuse",
    "fuse.gvfsd-fuse",
    "fuse.davfs",
    "fuse.curlftpfs",
    "fuse.juicefs",
    "fuse.nfs",
];

/// Tells whether `file`, whose blocks are allocated, may be mapped and stored to by several processes.
///
/// ext2, ext3, ext4, xfs and tmpfs do. btrfs does for files that it was told not to copy on write (`NOCOW`, see
/// [`forbid_copies`]). overlayfs says nothing about its upper layer, which holds all files that are written through it, and
/// which is one of these nearly everywhere. Any other does not, nor does any system but Linux. A snapshot, or a copy that
/// shares its blocks, makes btrfs and xfs copy after all, once; that can't be seen here.
///
/// # Errors
/// Where the system does not tell what filesystem it is.
#[cfg(target_os = "linux")]
pub fn is_shareable(file: &File) -> io::Result<bool> {
    let magic = magic_of(file)?;
    let is_nocow = magic == BTRFS && rustix::fs::ioctl_getflags(file)?.contains(rustix::fs::IFlags::NOCOW);
    Ok(fits(magic, is_nocow))
}

/// Tells whether `file` may be mapped and stored to by several processes: never, on this system.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn is_shareable(_: &File) -> io::Result<bool> {
    Ok(false)
}

/// Has a file that is still empty written in place for ever, where its filesystem would not do so by itself.
///
/// # Errors
/// Where that can't be had; [`is_shareable`] is false then.
#[cfg(target_os = "linux")]
pub fn forbid_copies(file: &File) -> io::Result<()> {
    if magic_of(file)? == BTRFS {
        let flags = rustix::fs::ioctl_getflags(file)?;
        rustix::fs::ioctl_setflags(file, flags | rustix::fs::IFlags::NOCOW)?;
    }
    Ok(())
}

/// Has a file that is still empty written in place for ever: not on this system.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn forbid_copies(_: &File) -> io::Result<()> {
    Ok(())
}

/// Returns the name of the network filesystem that `folder` is on, if it is on one. A daemon on another machine may use the same
/// folder, and neither's locks and maps hold for the other.
///
/// # Errors
/// Where the system does not tell what filesystem it is.
#[cfg(target_os = "linux")]
pub fn network(folder: &File) -> io::Result<Option<String>> {
    match magic_of(folder)? {
        FUSE => {
            let device = rustix::fs::fstat(folder)?.st_dev;
            let device = (rustix::fs::major(device), rustix::fs::minor(device));
            let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
            Ok(kind_of(&mounts, device).filter(|kind| NETWORKS_BY_FUSE.contains(kind)).map(str::to_owned))
        }
        magic => Ok(NETWORKS.iter().find(|(known, _)| *known == magic).map(|(_, name)| (*name).to_owned())),
    }
}

/// Returns the name of the network filesystem that `folder` is on: of none, as far as can be told on this system.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn network(_: &File) -> io::Result<Option<String>> {
    Ok(None)
}

/// Finds the kind of the filesystem with this device in the system's table of mounts. The fields of a line: two numbers, the device,
/// two paths, options, any number of optional fields, a hyphen, the kind.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "there is no such table"))]
fn kind_of(mounts: &str, (major, minor): (u32, u32)) -> Option<&str> {
    let device = format!("{major}:{minor}");
    let mut lines = mounts.lines().filter(|line| line.split(' ').nth(2) == Some(&*device));
    lines.next()?.split_once(" - ")?.1.split(' ').next()
}

/// The magic numbers have 32 bits; what the system puts them into has more on some machines, and a sign.
#[cfg(target_os = "linux")]
fn magic_of(file: &File) -> io::Result<u32> {
    Ok(rustix::fs::fstatfs(file)?.f_type as u32)
}

#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "nothing fits there"))]
const fn fits(magic: u32, is_nocow: bool) -> bool {
    match magic {
        EXT | XFS | TMPFS | OVERLAYFS => true,
        BTRFS => is_nocow,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_filesystems_that_write_in_place_on_this_machine_fit() {
        let table = [
            ("ext4", 0xef53, false, true),
            ("xfs", 0x5846_5342, false, true),
            ("tmpfs", 0x0102_1994, false, true),
            ("overlayfs", 0x794c_7630, false, true),
            ("btrfs", 0x9123_683e, false, false),
            ("btrfs with NOCOW", 0x9123_683e, true, true),
            ("bcachefs", 0xca45_1a4e, true, false),
            ("zfs", 0x2fc1_2fc1, true, false),
            ("f2fs", 0xf2f5_2010, true, false),
            ("nfs", 0x6969, true, false),
            ("cifs", 0xff53_4d42, true, false),
            ("smb2", 0xfe53_4d42, true, false),
            ("fuse", 0x6573_5546, true, false),
            ("9p", 0x0102_1997, true, false),
            ("ceph", 0x00c3_6400, true, false),
            ("lustre", 0x0bd0_0bd0, true, false),
            ("virtiofs and all that is new", 0x1234_5678, true, false),
        ];
        for (name, magic, is_nocow, expected) in table {
            assert_eq!(fits(magic, is_nocow), expected, "{name}");
        }
    }

    #[test]
    fn a_program_that_is_a_filesystem_is_known_by_the_kind_of_its_mount() {
        let mounts = "22 27 0:20 / /proc rw,relatime shared:5 - proc proc rw\n\
                      61 28 0:53 / /home/u/far rw,nosuid shared:31 master:2 - fuse.sshfs u@host: rw,user_id=1000\n\
                      62 28 0:54 / /home/u/a\\040b rw - fuse.gocryptfs /home/u/.cipher rw\n";
        assert_eq!(kind_of(mounts, (0, 53)), Some("fuse.sshfs"));
        assert_eq!(kind_of(mounts, (0, 54)), Some("fuse.gocryptfs"));
        assert_eq!(kind_of(mounts, (0, 5)), None);
        assert!(NETWORKS_BY_FUSE.contains(&"fuse.sshfs") && !NETWORKS_BY_FUSE.contains(&"fuse.gocryptfs"));
    }

    #[test]
    fn no_filesystem_of_a_network_is_one_that_memory_is_shared_on() {
        for (magic, name) in NETWORKS {
            assert!(!fits(magic, true), "{name}");
        }
        let named = |magic| NETWORKS.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name);
        let known = [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997].map(named);
        assert_eq!(known, [Some("nfs"), Some("cifs"), Some("smb"), Some("9p")]);
        assert_eq!([EXT, XFS, TMPFS, OVERLAYFS, BTRFS, FUSE].map(named), [None; 6]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_is_judged_by_the_filesystem_that_it_is_on() {
        // Every Linux has both: memory, and a filesystem that is none.
        let memory = rustix::fs::memfd_create("shared", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let memory = File::from(memory);
        forbid_copies(&memory).unwrap();
        assert!(is_shareable(&memory).unwrap());
        assert!(!is_shareable(&File::open("/proc/self/stat").unwrap()).unwrap());
    }
}
