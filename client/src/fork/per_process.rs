//! Things that must not cross a `fork`: each process that uses them gets its own, the inherited ones are left alone.

use std::mem;
use std::sync::OnceLock;

use super::{Mark, hold_off};

/// What can be left behind in a forked child.
pub(crate) trait Inherited {
    /// Closes the descriptors, and does nothing that the parent could notice; may be called more than once.
    fn abandon(&self);
}

/// A value for each process of a line of forks: the first one's, its child's, and so on; only the last is in use.
pub(crate) struct PerProcess<T: Inherited> {
    mark: Mark,
    /// `None` only while it is dropped.
    value: Option<T>,
    next: OnceLock<Box<Self>>,
}

impl<T: Inherited> PerProcess<T> {
    /// Begins with the calling process's value.
    pub(crate) fn new(value: T) -> Self {
        Self { mark: Mark::current(), value: Some(value), next: OnceLock::new() }
    }

    /// Returns the calling process's value, and makes it where the process was forked since.
    #[inline]
    pub(crate) fn get(&self, make: impl FnOnce() -> T) -> &T {
        let mut last = self;
        while let Some(next) = last.next.get() {
            last = next;
        }
        if last.mark != Mark::current() {
            last.abandon();
            let made = Box::new(Self::new(make()));
            // IMPORTANT: never while the process is forked: the child would wait for ever for a thread that it does not have.
            let refused = {
                let _still = hold_off();
                last.next.set(made)
            };
            // Another thread may have been faster; then ours is dropped, without the guard, and its is the one.
            drop(refused);
            last = last.next.get().expect("it was set by us or by another thread");
        }
        last.value.as_ref().expect("it is taken only by `drop`")
    }

    fn abandon(&self) {
        if let Some(value) = &self.value {
            value.abandon();
        }
    }
}

impl<T: Inherited> Drop for PerProcess<T> {
    fn drop(&mut self) {
        if self.mark != Mark::current() {
            self.abandon();
            mem::forget(self.value.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    struct Plain;

    impl Inherited for Plain {
        fn abandon(&self) {}
    }

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
        line.mark = Mark::foreign();
        line
    }

    #[test]
    fn the_own_value_is_kept_and_dropped() {
        let witness = Witness::default();
        let line = PerProcess::new(witness.clone());
        line.get(|| panic!("there is one already"));
        drop(line);
        assert_eq!((witness.abandoned.get(), witness.dropped.get()), (0, 1));
    }

    #[test]
    fn an_inherited_value_is_abandoned_and_never_dropped() {
        let (parents, own) = (Witness::default(), Witness::default());
        let line = inherited(&parents);
        assert!(Rc::ptr_eq(&line.get(|| own.clone()).dropped, &own.dropped));
        assert!(Rc::ptr_eq(&line.get(|| parents.clone()).dropped, &own.dropped), "it was made twice");
        drop(line);
        assert!(parents.abandoned.get() > 0);
        assert_eq!((parents.dropped.get(), own.dropped.get()), (0, 1));
    }

    #[test]
    fn no_child_inherits_a_line_that_is_just_being_continued() {
        let mut line = PerProcess::new(Plain);
        line.mark = Mark::foreign();
        let is_made = AtomicBool::new(false);
        let guard = hold_off();
        thread::scope(|scope| {
            scope.spawn(|| {
                line.get(|| {
                    is_made.store(true, Ordering::SeqCst);
                    Plain
                });
            });
            while !is_made.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            for _ in 0..1_000 {
                thread::yield_now();
                assert!(line.next.get().is_none(), "a fork could have happened now");
            }
            drop(guard);
        });
        assert!(line.next.get().is_some());
    }
}
