//! What can't be meant is refused with a clear error, and the daemon goes on unharmed.

mod calls;
mod connections;
mod homes;
mod places;
mod values;

use datacache_tests::Home;

/// A home whose daemon must come through.
pub(crate) struct Unharmed {
    pub(crate) home: Home,
    daemon: u32,
}

impl Unharmed {
    pub(crate) fn new() -> Self {
        let home = Home::new();
        home.command(["add", "-", "--key", "before"]).input("v").outcome().text();
        let daemon = home.daemon().pid();
        Self { home, daemon }
    }

    /// The same daemon answers, reads and writes.
    #[track_caller]
    pub(crate) fn check(&self) {
        assert_eq!(self.home.daemon().pid(), self.daemon);
        assert_eq!(self.home.run(["get", "before"]).text(), "v");
        self.home.command(["add", "-", "--key", "after"]).input("w").outcome().text();
        assert_eq!(self.home.run(["get", "after"]).text(), "w");
        assert_eq!(self.home.run(["len"]).number(), 2, "and nothing was added");
    }
}
