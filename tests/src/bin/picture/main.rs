//! Makes the picture of `datacache top` that the README shows: of a real view in a real terminal (tmux), on a store of its own with
//! traffic of its own.
//!
//! `cargo run --release --package datacache-tests --bin picture -- docs/top.svg`

#![expect(clippy::unwrap_used, reason = "it is run by hand, by those who can read why it failed")]

mod svg;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser as _;
use datacache_client::Item;
use datacache_client::blocking::DataCache;
use datacache_tests::program::program;
use datacache_tests::{Home, eventually};

/// The terminal.
const COLUMNS: usize = 100;
const LINES: usize = 30;
/// For how long there is traffic before the picture is made: it fills a good part of the lines over time.
const TRAFFIC: Duration = Duration::from_secs(34);

/// Makes the picture of `datacache top` that the README shows.
#[derive(Debug, clap::Parser)]
#[command(name = "picture", max_term_width = 100)]
struct Arguments {
    /// The file to write, an SVG
    #[arg(value_name = "FILE")]
    target: PathBuf,
}

fn main() {
    let Arguments { target } = Arguments::parse();
    let home = Home::new();
    let cache = home.open();
    fill(&cache);
    tmux(&home, &["-f", "/dev/null", "new-session", "-d", "-x", &COLUMNS.to_string(), "-y", &LINES.to_string(), "sh"]);
    tmux(&home, &["send-keys", &format!("exec {} top --interval 0.5s", program().display()), "Enter"]);
    let ((reads, no_reads), (writes, no_writes)) = (channel(), channel());
    let began = Instant::now();
    thread::scope(|scope| {
        // Dropped at the end of the scope's work, however that comes: both end then.
        let _traffic = (reads, writes);
        let cache = &cache;
        let reader = scope.spawn(move || read(cache, began, &no_reads));
        let writer = scope.spawn(move || write(cache, began, &no_writes));
        let has_failed = || reader.is_finished() || writer.is_finished();
        eventually("there was traffic for long enough", 2 * TRAFFIC, || has_failed() || began.elapsed() >= TRAFFIC);
        let screen = tmux(&home, &["capture-pane", "-e", "-p"]);
        let told = screen.replace(&home.store().display().to_string(), "/home/me/.cache/datacache");
        std::fs::write(&target, svg::of_screen(&told, COLUMNS, LINES)).unwrap();
    });
}

fn tmux(home: &Home, arguments: &[&str]) -> String {
    let run = home.program("tmux").env("TMUX_TMPDIR", home.temporary()).args(arguments).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

/// Adds what is read later: three namespaces with tags of several sizes.
fn fill(cache: &DataCache) {
    let add = |namespace: &str, tag: &str, keys: std::ops::Range<i64>, length: usize| {
        for first in keys.clone().step_by(100) {
            let items = (first..keys.end.min(first + 100)).map(|key| Item::new(vec![7_u8; length]).key(key).tag(tag));
            cache.namespace(namespace).add_many(items).run().unwrap();
        }
    };
    add("thumbnails", "small", 0..20_000, 900);
    add("thumbnails", "large", 20_000..24_000, 9_000);
    add("downloads", "nightly", 0..300, 20_000);
    add("downloads", "release", 300..350, 30_000);
    add("default", "rates", 0..1_000, 60);
    add("default", "sessions", 1_000..4_000, 400);
}

/// Reads more and less, in waves, as people do; some of it is not there.
fn read(cache: &DataCache, began: Instant, over: &Receiver<Infallible>) {
    let (thumbnails, random) = (cache.namespace("thumbnails"), &mut fastrand::Rng::with_seed(1));
    while is_on(over, Duration::from_millis(10)) {
        let wave = 1.1 + (began.elapsed().as_secs_f64() / 3.0).sin();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number above 0")]
        for _ in 0..(wave * 400.0) as usize {
            thumbnails.get(random.i64(0..26_000)).unwrap();
            cache.get(random.i64(0..1_200)).unwrap();
        }
    }
}

fn write(cache: &DataCache, began: Instant, over: &Receiver<Infallible>) {
    let random = &mut fastrand::Rng::with_seed(2);
    let pause = || 3.0 + 2.5 * (began.elapsed().as_secs_f64() / 5.0).cos();
    while is_on(over, Duration::from_secs_f64(pause() / 1_000.0)) {
        cache.add(vec![1_u8; 60]).key(random.i64(0..1_000)).tag("rates").run().unwrap();
    }
}

/// Waits for the end of the traffic, until the next turn at most; tells whether there is one.
fn is_on(over: &Receiver<Infallible>, pause: Duration) -> bool {
    matches!(over.recv_timeout(pause), Err(RecvTimeoutError::Timeout))
}
