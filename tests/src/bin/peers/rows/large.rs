//! An addition of a large value, from a file and from memory, beside DiskCache and a copy with a hash.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::json;

use crate::bench::Bench;
use crate::diskcache::DiskCache;
use crate::ours::Ours;
use crate::outcome::{Amount, DISKCACHE, Outcome, US};
use crate::talk::times;
use crate::times::Times;
use crate::{Fault, stop, worker};

/// How often each addition is measured; the middle one counts.
const TIMES: usize = 3;
const COPY: &str = "cp, then sha256sum";
/// What an addition from a file may take in memory, whatever its length.
const MEMORY: Amount = Amount::Bytes((32 << 20) as f64);
const PIECE: usize = 1 << 20;

/// The rows: each length, from a file and from memory.
pub(crate) fn large(bench: &Bench) -> Result<Vec<Outcome>, Fault> {
    let ours = Ours::start(&bench.place)?;
    let mut diskcache = bench.python.as_ref().map(|python| DiskCache::open(python, &bench.place)).transpose()?;
    let mut outcomes = Vec::new();
    for length in bench.sizes.large {
        for way in ["file", "memory"] {
            let mut outcome = Outcome::new(format!("large {way}"), format!("add of {} MiB from {way}", length >> 20));
            measure_ours(bench, &ours, &mut outcome, way, length)?;
            if let Some(diskcache) = &mut diskcache {
                let times = repeated(|| with_file(bench, length, |path| diskcache.add_large(way, path)))?;
                outcome.add(DISKCACHE, times.middle());
            }
            outcome.add(COPY, repeated(|| with_file(bench, length, |path| copy(bench, path)))?.middle());
            outcome.faster("p50", 2.0, DISKCACHE);
            outcome.faster("p50", 0.8, COPY);
            outcomes.push(outcome);
        }
    }
    Ok(outcomes)
}

/// Each time in a new process, whose memory can be looked at.
fn measure_ours(bench: &Bench, ours: &Ours, outcome: &mut Outcome, way: &str, length: u64) -> Result<(), Fault> {
    let mut peak = 0;
    let times = repeated(|| {
        with_file(bench, length, |path| {
            let answer = worker::start(ours)?.ask(&json!({ "do": "add", "way": way, "path": path }))?;
            peak = peak.max(answer["peak"].as_u64().unwrap_or_default());
            Ok(times(&answer, "add"))
        })
    })?;
    let mut amounts = times.middle();
    #[expect(clippy::cast_precision_loss, reason = "three digits are told")]
    let over = |bytes: u64| Amount::Bytes(bytes as f64);
    amounts.push(("client's memory", over(peak)));
    amounts.push(("daemon's memory", over(ours.private_memory()?)));
    outcome.add(US, amounts);
    if way == "file" {
        outcome.below(US, "client's memory", MEMORY);
    }
    outcome.below(US, "daemon's memory", MEMORY);
    Ok(())
}

fn repeated(mut measure: impl FnMut() -> Result<Times, Fault>) -> Result<Times, Fault> {
    let mut all = Times::default();
    for _ in 0..TIMES {
        stop::check()?;
        all.join(&measure()?);
    }
    Ok(all)
}

/// Hands over a file with new content, written to the disk: nobody is to pay for what others wrote.
fn with_file<T>(bench: &Bench, length: u64, work: impl FnOnce(&Path) -> Result<T, Fault>) -> Result<T, Fault> {
    let path = file(bench, length)?;
    rustix::fs::sync();
    let outcome = work(&path);
    std::fs::remove_file(&path)?;
    outcome
}

/// Makes a file of this length in bytes that looks like nothing in particular, and differs every time.
pub(crate) fn file(bench: &Bench, length: u64) -> Result<PathBuf, Fault> {
    let path = bench.place.file("large");
    let mut dice = fastrand::Rng::new();
    let mut piece = vec![0; PIECE];
    let mut file = BufWriter::new(File::create(&path)?);
    for _ in 0..length / PIECE as u64 {
        dice.fill(&mut piece);
        file.write_all(&piece)?;
    }
    file.flush()?;
    Ok(path)
}

fn copy(bench: &Bench, path: &Path) -> Result<Times, Fault> {
    let target = bench.place.file("copy");
    let begun = Instant::now();
    run(Command::new("cp").arg("--reflink=never").arg(path).arg(&target))?;
    run(Command::new("sha256sum").arg(&target))?;
    let mut times = Times::default();
    times.record(begun.elapsed());
    std::fs::remove_file(&target)?;
    Ok(times)
}

fn run(command: &mut Command) -> Result<(), Fault> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
}
