//! Things that must not cross a `fork`: each process that uses them gets its own, the inherited ones are left alone.
//!
//! A forked child shares the parent's socket, epoll set and locks as they stood. It must not drop what it inherited: that
//! would take the parent's socket out of the parent's epoll set, and a lock that another thread held stays locked for ever. So
//! the child leaks it, and closes the descriptors only.

use std::mem;
use std::process;
use std::sync::OnceLock;

/// What can be left behind in a forked child.
pub(crate) trait Inherited {
    /// Closes the descriptors, and does nothing that the parent could notice; may be called more than once.
    fn abandon(&self);
}

/// A value for each process of a line of forks: the first one's, its child's, and so on; only the last is in use.
pub(crate) struct PerProcess<T: Inherited> {
    pid: u32,
    /// `None` only while it is dropped.
    value: Option<T>,
    next: OnceLock<Box<Self>>,
}

impl<T: Inherited> PerProcess<T> {
    /// Begins with the calling process's value.
    pub(crate) fn new(value: T) -> Self {
        Self { pid: process::id(), value: Some(value), next: OnceLock::new() }
    }

    /// Returns the calling process's value, and makes it where the process was forked since.
    ///
    /// # Errors
    /// Those of `make`.
    pub(crate) fn get<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        let mut last = self;
        while let Some(next) = last.next.get() {
            last = next;
        }
        if last.pid != process::id() {
            last.abandon();
            let made = Self::new(make()?);
            // Another thread may have been faster; then ours is dropped, and its is the one.
            drop(last.next.set(Box::new(made)));
            last = last.next.get().expect("it was set by us or by another thread");
        }
        Ok(last.value.as_ref().expect("it is taken only by `drop`"))
    }

    fn abandon(&self) {
        if let Some(value) = &self.value {
            value.abandon();
        }
    }
}

impl<T: Inherited> Drop for PerProcess<T> {
    fn drop(&mut self) {
        if self.pid != process::id() {
            self.abandon();
            mem::forget(self.value.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::convert::Infallible;
    use std::rc::Rc;

    #[derive(Clone, Default)]
    struct Witness {
        abandoned: Rc<Cell<u32>>,
        dropped: Rc<Cell<u32>>,
    }

    impl Inherited for Witness {
        fn abandon(&self) {
            self.abandoned.set(self.abandoned.get() + 1);
        }
    }

    impl Drop for Witness {
        fn drop(&mut self) {
            self.dropped.set(self.dropped.get() + 1);
        }
    }

    fn inherited(witness: &Witness) -> PerProcess<Witness> {
        let mut line = PerProcess::new(witness.clone());
        line.pid = process::id() + 1;
        line
    }

    fn make(witness: &Witness) -> Result<Witness, Infallible> {
        Ok(witness.clone())
    }

    #[test]
    fn the_own_value_is_kept_and_dropped() {
        let witness = Witness::default();
        let line = PerProcess::new(witness.clone());
        line.get(|| -> Result<Witness, Infallible> { panic!("there is one already") }).unwrap();
        drop(line);
        assert_eq!((witness.abandoned.get(), witness.dropped.get()), (0, 1));
    }

    #[test]
    fn an_inherited_value_is_abandoned_and_never_dropped() {
        let (parents, own) = (Witness::default(), Witness::default());
        let line = inherited(&parents);
        assert!(Rc::ptr_eq(&line.get(|| make(&own)).unwrap().dropped, &own.dropped));
        assert!(Rc::ptr_eq(&line.get(|| make(&parents)).unwrap().dropped, &own.dropped), "it was made twice");
        drop(line);
        assert!(parents.abandoned.get() > 0);
        assert_eq!((parents.dropped.get(), own.dropped.get()), (0, 1));
    }

    #[test]
    fn a_value_that_can_not_be_made_leaves_the_line_as_it_was() {
        let (parents, own) = (Witness::default(), Witness::default());
        let line = inherited(&parents);
        assert_eq!(line.get(|| Err("no")).err(), Some("no"));
        assert!(line.get(|| make(&own)).is_ok());
    }
}
