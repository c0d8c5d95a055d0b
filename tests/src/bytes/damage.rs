//! The files of a store, and what can happen to them.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use fastrand::Rng;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A large value.
    Blob,
    /// LMDB's file, where small values are too.
    Index,
    /// A segment of the log, where small values are until they are applied.
    Log,
    /// The shared index over the log.
    Recent,
    /// Hints and counters.
    Access,
    /// What was hashed since the boot.
    Checked,
    /// The count of deaths.
    Unclean,
    /// LMDB's table of readers.
    Readers,
    /// The daemon's configuration.
    Configuration,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Blob,
        Self::Index,
        Self::Log,
        Self::Recent,
        Self::Access,
        Self::Checked,
        Self::Unclean,
        Self::Readers,
        Self::Configuration,
    ];

    /// Tells whether a process may be ended by what it reads there: what LMDB finds on a page, or finds behind the end of a file that
    /// is mapped.
    #[must_use]
    pub fn may_end_readers(self) -> bool {
        matches!(self, Self::Index | Self::Recent | Self::Access | Self::Readers)
    }

    /// Tells whether entries may be lost, or be as they were before.
    #[must_use]
    pub fn may_lose(self) -> bool {
        matches!(self, Self::Blob | Self::Index | Self::Log | Self::Recent | Self::Readers)
    }

    /// Returns all files of this kind in a store.
    #[must_use]
    pub fn files(self, store: &Path, configuration: &Path) -> Vec<PathBuf> {
        let live = store.join("current");
        match self {
            Self::Blob => folders_below(&store.join("blobs")).iter().flat_map(|folder| files_in(folder)).collect(),
            Self::Log => files_in(&live.join("log")),
            Self::Index => vec![live.join("data.mdb")],
            Self::Recent => vec![live.join("recent")],
            Self::Access => vec![live.join("access")],
            Self::Checked => vec![live.join("checked")],
            Self::Readers => vec![live.join("lock.mdb")],
            Self::Unclean => vec![store.join("unclean")],
            Self::Configuration => vec![configuration.to_owned()],
        }
    }
}

/// Who has the store when it is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A daemon.
    Served,
    /// Nobody, after a daemon was killed.
    Killed,
    /// Nobody, after a daemon was stopped.
    Stopped,
}

/// Damages a file of this kind in one to four places; returns what was done, `None` where there is no such file.
///
/// # Panics
/// Where the system can't.
pub fn damage(kind: Kind, state: State, store: &Path, configuration: &Path, random: &mut Rng) -> Option<String> {
    let mut files = kind.files(store, configuration);
    files.retain(|path| fs::metadata(path).is_ok_and(|file| file.len() > 0));
    let path = random.choice(files)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    // Who has mapped a file that is cut short is ended by the system, whatever it does.
    let is_mapped = state == State::Served && !matches!(kind, Kind::Blob | Kind::Log | Kind::Checked);
    let done = match random.u8(..if is_mapped { 3 } else { 4 }) {
        0 => (0..random.u8(1..5)).map(|_| flip(&file, random)).collect::<Vec<_>>().join(", "),
        1 => overwrite(&file, random, true),
        2 => overwrite(&file, random, false),
        _ => cut(&file, random),
    };
    Some(format!("{}: {done}", path.strip_prefix(store).unwrap_or(&path).display()))
}

/// A place in the file; often near its begin, where headers are, and where small files and sparse ones have all they have.
fn place(file: &File, random: &mut Rng) -> u64 {
    let length = file.metadata().unwrap().len();
    let end = [length, length.min(64 << 10), length.min(512)][random.usize(..3)];
    random.u64(..end.max(1))
}

fn flip(file: &File, random: &mut Rng) -> String {
    let (at, bit) = (place(file, random), 1 << random.u8(..8));
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ bit], at).unwrap();
    format!("bit {bit:#x} of byte {at} flipped")
}

/// A sector, as a disk loses it.
fn overwrite(file: &File, random: &mut Rng, by_zeros: bool) -> String {
    let at = place(file, random) / 512 * 512;
    let length = (file.metadata().unwrap().len() - at).min(512);
    let mut bytes = vec![0; usize::try_from(length).unwrap()];
    if !by_zeros {
        random.fill(&mut bytes);
    }
    file.write_all_at(&bytes, at).unwrap();
    format!("{length} bytes from {at} on {}", if by_zeros { "zeroed" } else { "overwritten" })
}

fn cut(file: &File, random: &mut Rng) -> String {
    let length = place(file, random);
    file.set_len(length).unwrap();
    format!("cut to {length} bytes")
}

fn folders_below(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    // The system lists them in any order; the same seed is to find the same file.
    files.sort();
    files
}
