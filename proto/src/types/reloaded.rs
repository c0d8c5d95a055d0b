//! What came of having a daemon read its settings again.

use serde::{Deserialize, Serialize};

/// The settings as a daemon has read them again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The file that it reads, as it sees it.
    pub file: String,
    /// Settings that have changed, but hold only when the daemon is started again.
    pub waiting: Vec<String>,
    /// Settings of the file that don't hold, because something wins over them.
    pub overridden: Vec<Overridden>,
}

/// A setting of the file that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overridden {
    /// Its name.
    pub setting: String,
    /// What wins over it, in words: a variable of the daemon's environment, or its command line.
    pub by: String,
}
