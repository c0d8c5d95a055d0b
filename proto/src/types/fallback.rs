//! The reasons why a read is a call.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a read comes as a call, although clients read the store themselves where they can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// The client was built without the feature `direct`.
    Unsupported,
    /// It was told to read by call.
    Off,
    /// It can't reach the store's folder, or not as the daemon does: another mount, another namespace of processes.
    Unreachable,
    /// The folder is on a filesystem that memory can't be shared on safely, or its files have holes since they were copied.
    Filesystem,
    /// The store has a layout that it does not know.
    Layout,
    /// All readers' slots of the index are taken.
    Readers,
    /// Another part of the same process has the index open.
    Taken,
    /// The system does not grant it the memory map.
    Map,
    /// Only the daemon can tell which operations of the log are to be believed: it has not run since the boot or the copy.
    Unrecovered,
    /// What was found could not be read: it changed too often, or it is damaged.
    Unreadable,
}

impl Fallback {
    /// All reasons, in the order in which they are told.
    pub const ALL: [Self; 10] = [
        Self::Unsupported,
        Self::Off,
        Self::Unreachable,
        Self::Filesystem,
        Self::Layout,
        Self::Readers,
        Self::Taken,
        Self::Map,
        Self::Unrecovered,
        Self::Unreadable,
    ];
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsupported => "unsupported",
            Self::Off => "off",
            Self::Unreachable => "unreachable",
            Self::Filesystem => "filesystem",
            Self::Layout => "layout",
            Self::Readers => "readers",
            Self::Taken => "taken",
            Self::Map => "map",
            Self::Unrecovered => "unrecovered",
            Self::Unreadable => "unreadable",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_in_one_order_and_under_one_name_everywhere() {
        assert!(Fallback::ALL.is_sorted_by(|a, b| a < b));
        for fallback in Fallback::ALL {
            assert_eq!(serde_json::to_string(&fallback).unwrap(), format!("\"{fallback}\""));
        }
    }
}
