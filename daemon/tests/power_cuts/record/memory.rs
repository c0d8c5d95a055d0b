//! What is to be read of another process: its memory, and where its descriptors stand.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use nix::unistd::Pid;

use super::call::Fd;
use crate::Fault;

pub(super) struct Memory {
    process: Pid,
    file: File,
}

impl Memory {
    pub(super) fn of(process: Pid) -> Result<Self, Fault> {
        Ok(Self { process, file: File::open(format!("/proc/{process}/mem"))? })
    }

    /// Reads a path out of the memory of the process.
    pub(super) fn text(&self, at: u64) -> Result<PathBuf, Fault> {
        let mut text = Vec::new();
        while !text.contains(&0) {
            let at = at + text.len() as u64;
            text.extend(self.read(at, 256 - at % 256)?);
        }
        text.truncate(text.iter().position(|byte| *byte == 0).unwrap_or_default());
        Ok(String::from_utf8(text)?.into())
    }

    pub(super) fn read(&self, at: u64, length: u64) -> Result<Vec<u8>, Fault> {
        let mut bytes = vec![0; usize::try_from(length)?];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }

    /// Where the next write by this descriptor goes.
    pub(super) fn position(&self, fd: Fd) -> Result<u64, Fault> {
        let told = fs::read_to_string(format!("/proc/{}/fdinfo/{fd}", self.process))?;
        let position = told.lines().find_map(|line| line.strip_prefix("pos:"));
        Ok(position.ok_or("descriptors have positions")?.trim().parse()?)
    }

    pub(super) fn written(&self, fd: Fd, at: u64, length: u64) -> Result<Vec<u8>, Fault> {
        let mut bytes = vec![0; usize::try_from(length)?];
        File::open(format!("/proc/{}/fd/{fd}", self.process))?.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }
}
