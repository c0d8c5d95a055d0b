//! The live view on a real terminal, which tmux is: what it shows, and that the terminal is as before when it is over.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use datacache_tests::wait::{PATIENCE, comes_to_hold, eventually};
use datacache_tests::{Home, Watched};
use rustix::process::Signal;

/// A terminal with a shell in it. It goes with its home.
struct Terminal<'a> {
    home: &'a Home,
}

impl<'a> Terminal<'a> {
    /// `None`, and a line that says so, where there is no tmux.
    fn open(home: &'a Home) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            // Not by the macro, whose lines nobody sees of a test that succeeds.
            std::io::stderr()
                .write_all(b"skipped: a test of the live view on a real terminal: there is no tmux\n")
                .unwrap();
            return None;
        }
        let terminal = Self { home };
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "sh"]);
        Some(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = self.home.program("tmux");
        let run = command.env("TMUX_TMPDIR", self.home.temporary()).env("PS1", "$ ").args(arguments).output().unwrap();
        assert!(run.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).unwrap()
    }

    fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Types a line.
    fn enter(&self, line: &str) {
        self.press(&["-l", line]);
        self.press(&["Enter"]);
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    #[track_caller]
    fn shows(&self, text: &str) {
        let shown = comes_to_hold(PATIENCE, || self.screen().contains(text));
        assert!(shown, "`{text}` is not on the screen:\n{}", self.screen());
    }

    /// Returns the file that a run of the view leaves the state of the terminal in.
    fn state(&self, when: &str) -> PathBuf {
        self.home.path().join(when)
    }

    /// Starts the view from the shell, and returns its process.
    fn start(&self) -> Watched {
        let program = datacache_tests::program::program().display();
        let before = self.state("before").display().to_string();
        self.enter(&format!("clear; stty -a > {before}; {program} top --interval 0.2s"));
        self.shows("Traffic of all namespaces");
        self.view().expect("it is on the screen")
    }

    fn view(&self) -> Option<Watched> {
        let is_view = |process: &Watched| {
            let arguments = fs::read(format!("/proc/{}/cmdline", process.pid())).unwrap_or_default();
            arguments.split(|byte| *byte == 0).nth(1) == Some(b"top")
        };
        self.home.processes().into_iter().find(is_view)
    }

    /// Waits until the view has ended with `code`, and compares what it left with what was there.
    #[track_caller]
    fn is_as_before(&self, view: &Watched, code: i32) {
        assert!(view.ends(PATIENCE), "{}", self.screen());
        let after = self.state("after");
        fs::remove_file(&after).unwrap_or_default();
        self.enter(&format!("echo ended $?; stty -a > {}", after.display()));
        self.shows(&format!("ended {code}"));
        assert!(!self.screen().contains("Namespaces"), "{}", self.screen());
        eventually("the shell goes on", PATIENCE, || fs::read(&after).is_ok_and(|state| state.ends_with(b"\n")));
        let [before, after] = ["before", "after"].map(|when| fs::read_to_string(self.state(when)).unwrap());
        assert_eq!(before, after);
        let flags = self.tmux(&["display-message", "-p", "cursor #{cursor_flag}, other screen #{alternate_on}"]);
        assert_eq!(flags, "cursor 1, other screen 0\n");
    }
}

#[test]
fn a_view_follows_what_happens_over_the_ends_of_daemons_and_starts_none() {
    let home = Home::new();
    let cache = home.open();
    for number in 0..42_i64 {
        cache.add("v").key(number).tag(if number < 30 { "seldom used" } else { "other" }).run().unwrap();
    }
    let Some(terminal) = Terminal::open(&home) else { return };
    let view = terminal.start();
    terminal.shows("seldom used");
    terminal.press(&["Tab"]);
    terminal.shows("> Tags");
    terminal.press(&["e"]);
    terminal.shows("30 entries had it when they were counted");
    assert_eq!(cache.len().unwrap(), 42, "not before it is confirmed");
    terminal.press(&["y"]);
    terminal.shows("30 entries with the tag `seldom used` went");
    assert_eq!(cache.len().unwrap(), 12);
    home.run(["stop"]).bytes();
    terminal.shows("the daemon is gone for");
    terminal.shows("no daemon runs");
    assert!(home.daemons().is_empty());
    home.start();
    terminal.shows("every 200ms");
    terminal.tmux(&["resize-window", "-x", "60", "-y", "20"]);
    terminal.shows("Here are 60 and 20.");
    // As it was: the state of a terminal is told with its size.
    terminal.tmux(&["resize-window", "-x", "80", "-y", "24"]);
    terminal.shows("> Tags");
    terminal.press(&["q"]);
    terminal.is_as_before(&view, 0);
}

#[test]
fn the_terminal_is_as_before_however_the_view_ends() {
    let home = Home::new();
    home.start();
    let Some(terminal) = Terminal::open(&home) else { return };
    let view = terminal.start();
    view.signal(Signal::TERM);
    terminal.is_as_before(&view, 128 + 15);
    let view = terminal.start();
    terminal.press(&["C-c"]);
    terminal.is_as_before(&view, 128 + 2);
    let view = terminal.start();
    view.signal(Signal::HUP);
    terminal.is_as_before(&view, 128 + 1);
}

#[test]
fn a_view_that_is_stopped_gives_the_terminal_back_until_it_goes_on() {
    let home = Home::new();
    home.start();
    let Some(terminal) = Terminal::open(&home) else { return };
    terminal.enter("set -m");
    let view = terminal.start();
    terminal.press(&["C-z"]);
    terminal.shows("Stopped");
    let flags = terminal.tmux(&["display-message", "-p", "cursor #{cursor_flag}, other screen #{alternate_on}"]);
    assert_eq!(flags, "cursor 1, other screen 0\n");
    terminal.enter("clear; fg");
    terminal.shows("Traffic of all namespaces");
    terminal.press(&["q"]);
    assert!(view.ends(PATIENCE));
    eventually("the shell has its screen back", PATIENCE, || {
        terminal.tmux(&["display-message", "-p", "#{cursor_flag} #{alternate_on}"]) == "1 0\n"
    });
}

#[test]
fn without_a_terminal_that_can_show_it_a_view_is_refused_with_what_to_do() {
    let home = Home::new();
    let told = home.run(["top"]);
    assert!(told.error(2).contains("needs a terminal") && told.told().contains("`datacache stats`"), "{told:?}");
    assert!(home.daemons().is_empty(), "none is started for it");
    let Some(terminal) = Terminal::open(&home) else { return };
    let program = datacache_tests::program::program().display();
    terminal.enter(&format!("TERM=dumb {program} top; echo ended $?"));
    terminal.shows("TERM is `dumb`");
    terminal.shows("ended 2");
}
