//! A read-only borrow of a stored value's file.

use std::fs::File;
use std::ops::Deref;

use crate::value::Value;

/// A value as it lies in the store: a map of its file, and the open file for who needs a descriptor.
///
/// Nothing is copied, and the entry may be deleted meanwhile. A small value has no file of its own and is held in memory.
/// The file is the cache's, shared by all: it is open for reading only.
#[derive(Debug)]
pub struct Mapped {
    value: Value,
    file: Option<File>,
}

impl Mapped {
    pub(crate) fn new(value: Value, file: Option<File>) -> Self {
        Self { value, file }
    }

    /// Returns the open file, for a child process or `sendfile`; `None` for a small value.
    #[must_use]
    pub fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// Returns the value without the file.
    #[must_use]
    pub fn into_value(self) -> Value {
        self.value
    }
}

impl Deref for Mapped {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.value
    }
}
