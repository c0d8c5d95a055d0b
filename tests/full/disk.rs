//! A small filesystem under a home's caches, and something that takes all that is left of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use datacache_tests::Home;

const MIB: u64 = 1 << 20;

/// What filesystem it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tmpfs,
    Ext4,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Tmpfs, Self::Ext4];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tmpfs => "tmpfs",
            Self::Ext4 => "ext4",
        }
    }
}

/// A user who is not root gets mounts only as the root of a user namespace.
pub(crate) fn namespaces() -> &'static str {
    if rustix::process::geteuid().is_root() { "-m" } else { "-Urm" }
}

/// Says why there is no such filesystem to be had, if there is none.
pub(crate) fn missing(kind: Kind) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let script = match kind {
        Kind::Tmpfs => "mount -t tmpfs none \"$0\"",
        Kind::Ext4 => "truncate -s 16M \"$0/i\" && mkfs.ext4 -q \"$0/i\" && mount -o loop \"$0/i\" \"$0\"",
    };
    let tried = Command::new("unshare").args([namespaces(), "sh", "-ec", script]).arg(folder.path()).output();
    match tried {
        Ok(tried) if tried.status.success() => None,
        Ok(tried) => Some(String::from_utf8_lossy(&tried.stderr).trim().to_owned()),
        Err(error) => Some(format!("`unshare` can't be run: {error}")),
    }
}

/// A small filesystem that the caches of a home lie on; goes before its home does.
pub(crate) struct Disk {
    kind: Kind,
    folder: PathBuf,
    ballast: PathBuf,
}

impl Disk {
    /// Mounts one of `size` MiB, of which nothing is kept for root.
    pub(crate) fn mount(home: &Home, kind: Kind, size: u64) -> Self {
        let folder = home.path().join("cache");
        match kind {
            Kind::Tmpfs => mount(&[&format!("-osize={size}m"), "-ttmpfs", "none"], &folder),
            Kind::Ext4 => {
                // In memory, where a sync waits for nothing: other tests keep the disk busy.
                let (memory, image) = (home.temporary(), home.temporary().join("image"));
                mount(&["-ttmpfs", "none"], &memory);
                File::create(&image).unwrap().set_len(size * MIB).unwrap();
                done(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image));
                mount(&["-oloop", image.to_str().unwrap()], &folder);
                // What is mounted keeps it.
                done(Command::new("umount").arg("--lazy").arg(&memory));
            }
        }
        // What is asked is what becomes of a store that finds no room. One that keeps its limits makes some by itself.
        home.configure("limit = \"none\"\nreserve = 0\n");
        Self { kind, ballast: folder.join("ballast"), folder }
    }

    /// Returns how many bytes are free.
    pub(crate) fn free(&self) -> u64 {
        let told = rustix::fs::statvfs(&self.folder).unwrap();
        told.f_bavail * told.f_frsize
    }

    /// Takes all that is free but `bytes`, as another program would.
    pub(crate) fn take_all_but(&self, bytes: u64) {
        let mut ballast = OpenOptions::new().append(true).create(true).open(&self.ballast).unwrap();
        let taken = io::copy(&mut io::Read::take(io::repeat(7), self.free().saturating_sub(bytes)), &mut ballast);
        taken.map(drop).or_else(full).unwrap();
        if bytes == 0 {
            // What the filesystem had in hand for itself.
            while ballast.write_all(&[7; 4_096]).is_ok() {}
            assert_eq!(self.free() / 4_096, 0, "{:?}", self.kind);
        }
    }

    /// Gives back what was taken.
    pub(crate) fn give_back(&self) {
        fs::remove_file(&self.ballast).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Processes may still have files of it open.
        done(Command::new("umount").arg("--lazy").arg(&self.folder));
    }
}

fn mount(what: &[&str], folder: &Path) {
    done(Command::new("mount").args(what).arg(folder));
}

fn full(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::StorageFull { Ok(()) } else { Err(error) }
}

fn done(command: &mut Command) {
    let Output { status, stderr, .. } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
}
