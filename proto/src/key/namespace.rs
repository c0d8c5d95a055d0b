//! The names of namespaces.

use serde::{Deserialize, Serialize};

/// The longest name of a namespace in bytes.
pub const MAX_NAMESPACE: usize = 255;
/// The namespace that is used where none is named.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Checks that `name` can name a namespace: 1 to [`MAX_NAMESPACE`] bytes without NUL or other control characters.
///
/// # Errors
/// [`NamespaceError`] says which bound it breaks.
pub fn check_namespace(name: &str) -> Result<(), NamespaceError> {
    if name.is_empty() {
        return Err(NamespaceError::Empty);
    }
    if name.len() > MAX_NAMESPACE {
        return Err(NamespaceError::TooLong { length: name.len() as u64 });
    }
    if name.chars().any(char::is_control) {
        return Err(NamespaceError::ControlCharacter { name: name.to_owned() });
    }
    Ok(())
}

/// A name that can't name a namespace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum NamespaceError {
    /// It has no text.
    #[error("the name of the namespace is empty; leave it out to use `{DEFAULT_NAMESPACE}`")]
    Empty,
    /// It is longer than [`MAX_NAMESPACE`].
    #[error("the name of the namespace is {length} bytes long, the limit is {MAX_NAMESPACE}")]
    TooLong {
        /// Its length in bytes.
        length: u64,
    },
    /// It contains a control character.
    #[error("the name of the namespace {name:?} contains a control character")]
    ControlCharacter {
        /// The name.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_named_by_printable_text() {
        assert_eq!(check_namespace("oteapi"), Ok(()));
        assert_eq!(check_namespace(""), Err(NamespaceError::Empty));
        assert!(check_namespace("a\nb").is_err());
    }
}
