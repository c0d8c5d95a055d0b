//! The system calls that change files, and what their arguments mean.

use nix::libc;

use super::registers::Raw;

/// A descriptor's number.
pub(super) type Fd = i32;

/// A path as it was given: from a folder's descriptor, or from the root.
#[derive(Clone, Copy, Debug)]
pub(super) struct PathAt {
    pub(super) folder: Fd,
    /// Where in memory it stands.
    pub(super) text: u64,
}

/// Where bytes are that a call writes: in one piece, or in as many as a vector at this address says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    Memory {
        at: u64,
        length: u64,
    },
    Pieces {
        at: u64,
        count: u64,
    },
    /// In another file, so they are read from this one afterwards.
    File,
}

/// A call that is of interest.
#[derive(Clone, Copy, Debug)]
pub(super) enum Call {
    Open {
        path: PathAt,
        flags: i32,
    },
    Close {
        fd: Fd,
    },
    Duplicate {
        fd: Fd,
    },
    /// At `at`, or where the descriptor stands.
    Write {
        fd: Fd,
        source: Source,
        at: Option<u64>,
    },
    Resize {
        fd: Fd,
        length: u64,
    },
    Allocate {
        fd: Fd,
        mode: i32,
        end: u64,
    },
    Link {
        from: PathAt,
        to: PathAt,
    },
    Rename {
        from: PathAt,
        to: PathAt,
    },
    Remove {
        path: PathAt,
    },
    MakeFolder {
        path: PathAt,
    },
    MakeLink {
        target: u64,
        path: PathAt,
    },
    Sync {
        fd: Fd,
    },
    SyncMap {
        at: u64,
        length: u64,
    },
    Map {
        fd: Fd,
        length: u64,
        offset: u64,
    },
    Unmap {
        at: u64,
        length: u64,
    },
    /// Changes files in a way that nobody here does; were it recorded wrongly, nobody would notice.
    Unknown {
        fd: Option<Fd>,
        name: &'static str,
    },
}

impl Call {
    /// Returns what a call means; `None` where it changes no file and no descriptor.
    pub(super) fn of(raw: &Raw) -> Option<Self> {
        let [a, b, c, d, e, f] = raw.arguments;
        let fd = |argument: u64| argument as i32;
        let here = |text| PathAt { folder: libc::AT_FDCWD, text };
        let at = |folder, text| PathAt { folder: fd(folder), text };
        Some(match raw.number {
            #[cfg(target_arch = "x86_64")]
            libc::SYS_open => Self::Open { path: here(a), flags: b as i32 },
            #[cfg(target_arch = "x86_64")]
            libc::SYS_creat => Self::Open { path: here(a), flags: libc::O_CREAT | libc::O_TRUNC | libc::O_WRONLY },
            libc::SYS_openat => Self::Open { path: at(a, b), flags: c as i32 },
            libc::SYS_close => Self::Close { fd: fd(a) },
            #[cfg(target_arch = "x86_64")]
            libc::SYS_dup2 => Self::Duplicate { fd: fd(a) },
            libc::SYS_dup | libc::SYS_dup3 => Self::Duplicate { fd: fd(a) },
            libc::SYS_fcntl if [libc::F_DUPFD, libc::F_DUPFD_CLOEXEC].contains(&fd(b)) => Self::Duplicate { fd: fd(a) },
            libc::SYS_write => Self::Write { fd: fd(a), source: Source::Memory { at: b, length: c }, at: None },
            libc::SYS_pwrite64 => Self::Write { fd: fd(a), source: Source::Memory { at: b, length: c }, at: Some(d) },
            libc::SYS_writev => Self::Write { fd: fd(a), source: Source::Pieces { at: b, count: c }, at: None },
            libc::SYS_pwritev | libc::SYS_pwritev2 => {
                Self::Write { fd: fd(a), source: Source::Pieces { at: b, count: c }, at: Some(d) }
            }
            libc::SYS_copy_file_range if d == 0 => Self::Write { fd: fd(c), source: Source::File, at: None },
            libc::SYS_sendfile => Self::Write { fd: fd(a), source: Source::File, at: None },
            libc::SYS_ftruncate => Self::Resize { fd: fd(a), length: b },
            libc::SYS_fallocate => Self::Allocate { fd: fd(a), mode: b as i32, end: c + d },
            #[cfg(target_arch = "x86_64")]
            libc::SYS_link => Self::Link { from: here(a), to: here(b) },
            libc::SYS_linkat => Self::Link { from: at(a, b), to: at(c, d) },
            #[cfg(target_arch = "x86_64")]
            libc::SYS_rename => Self::Rename { from: here(a), to: here(b) },
            #[cfg(target_arch = "x86_64")]
            libc::SYS_renameat => Self::Rename { from: at(a, b), to: at(c, d) },
            libc::SYS_renameat2 if e == 0 => Self::Rename { from: at(a, b), to: at(c, d) },
            #[cfg(target_arch = "x86_64")]
            libc::SYS_unlink | libc::SYS_rmdir => Self::Remove { path: here(a) },
            libc::SYS_unlinkat => Self::Remove { path: at(a, b) },
            #[cfg(target_arch = "x86_64")]
            libc::SYS_mkdir => Self::MakeFolder { path: here(a) },
            libc::SYS_mkdirat => Self::MakeFolder { path: at(a, b) },
            #[cfg(target_arch = "x86_64")]
            libc::SYS_symlink => Self::MakeLink { target: a, path: here(b) },
            libc::SYS_symlinkat => Self::MakeLink { target: a, path: at(b, c) },
            libc::SYS_fsync | libc::SYS_fdatasync => Self::Sync { fd: fd(a) },
            libc::SYS_msync if c as i32 & libc::MS_SYNC != 0 => Self::SyncMap { at: a, length: b },
            libc::SYS_mmap if is_shared_for_writing(c, d) => Self::Map { fd: fd(e), length: b, offset: f },
            libc::SYS_munmap => Self::Unmap { at: a, length: b },
            _ => return Self::unknown(raw),
        })
    }

    fn unknown(raw: &Raw) -> Option<Self> {
        let [a, _, c, ..] = raw.arguments;
        let (fd, name) = match raw.number {
            libc::SYS_copy_file_range => (Some(c), "copy_file_range to an offset"),
            libc::SYS_renameat2 => (None, "renameat2 with flags"),
            libc::SYS_truncate => (None, "truncate"),
            libc::SYS_io_uring_setup => (None, "io_uring_setup"),
            libc::SYS_splice => (Some(c), "splice"),
            libc::SYS_sync_file_range => (Some(a), "sync_file_range"),
            libc::SYS_syncfs => (Some(a), "syncfs"),
            libc::SYS_sync => (None, "sync"),
            libc::SYS_execve | libc::SYS_execveat => (None, "execve"),
            _ => return None,
        };
        Some(Self::Unknown { fd: fd.map(|fd| fd as i32), name })
    }
}

fn is_shared_for_writing(protection: u64, flags: u64) -> bool {
    protection as i32 & libc::PROT_WRITE != 0 && flags as i32 & libc::MAP_TYPE == libc::MAP_SHARED
}
