//! How much memory the messages of the calls under way take, those of all clients together.

use std::cell::Cell;
use std::rc::Rc;

/// So many bytes are enough (64 MiB). Beyond, each connection has one call under way, and leaves what else it has to say in its
/// socket: so there are at most so many, and one message for each connection.
const ENOUGH: usize = 64 << 20;

/// The bytes; cheap to clone, all clones count the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load(Rc<Cell<usize>>);

/// Some of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    load: Rc<Cell<usize>>,
    bytes: usize,
}

impl Load {
    /// Counts so many more.
    pub(crate) fn take(&self, bytes: usize) -> Share {
        self.0.set(self.0.get() + bytes);
        Share { load: Rc::clone(&self.0), bytes }
    }

    /// Tells whether there are enough.
    pub(crate) fn is_full(&self) -> bool {
        self.0.get() >= ENOUGH
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.load.set(self.load.get() - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_makes_room() {
        let load = Load::default();
        let most = load.take(ENOUGH - 1);
        assert!(!load.is_full());
        let rest = load.clone().take(1);
        assert!(load.is_full());
        drop(most);
        assert!(!load.is_full());
        drop(rest);
        assert_eq!(load.0.get(), 0);
    }
}
