//! Panics that are looked for: their words are kept instead of printed.

use std::cell::RefCell;
use std::panic;

thread_local! {
    /// What was said, while it is listened to.
    static HEARD: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Has panics of threads kept that listen to their own.
pub(crate) fn prepare() {
    let default = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let is_kept = HEARD.with_borrow_mut(|heard| heard.as_mut().map(|heard| *heard += &info.to_string()).is_some());
        if !is_kept {
            default(info);
        }
    }));
}

/// Does something, and returns what it panicked with too.
pub(crate) fn within<R>(body: impl FnOnce() -> R) -> (R, String) {
    HEARD.set(Some(String::new()));
    let done = body();
    (done, HEARD.take().unwrap_or_default())
}
