//! What to write instead of the name of a setting that does not exist.

use std::fmt;

use super::nearest::nearest;
use super::setting::OF_NAMESPACE;

/// What to write instead of the name of a setting that does not exist; shown as the end of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// The name that was probably meant.
    Nearest(&'static str),
    /// One of these few, of which none is like it.
    OneOf(&'static [&'static str]),
    /// Nothing: none is like it, and there are many.
    Nothing,
}

impl Hint {
    /// Looks among the names of settings.
    pub(super) fn among(name: &str, known: impl Iterator<Item = &'static str> + Clone) -> Self {
        nearest(name, known).map_or(Self::Nothing, Self::Nearest)
    }

    /// Looks among the settings of a namespace.
    pub(super) fn of_namespace(name: &str) -> Self {
        nearest(name, OF_NAMESPACE.into_iter()).map_or(Self::OneOf(&OF_NAMESPACE), Self::Nearest)
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nearest(name) => write!(f, "; did you mean `{name}`?"),
            Self::OneOf([names @ .., last]) => write!(f, "; there are {} and {last}", names.join(", ")),
            Self::OneOf([]) | Self::Nothing => Ok(()),
        }
    }
}
