//! What was measured on, and which versions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use datacache_tests::program::program;

use crate::bench::Bench;
use crate::diskcache;
use crate::server::find;

/// Returns names and values, as far as the system tells them.
pub(crate) fn describe(bench: &Bench) -> Vec<(String, String)> {
    let cores = std::thread::available_parallelism().map(|cores| cores.get().to_string()).ok();
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let python = bench.python.as_deref().map(diskcache::version).transpose().ok().flatten();
    let benchmark = find("redis-benchmark");
    let rows = [
        ("processor", processor()),
        ("cores", cores),
        ("memory", memory()),
        ("kernel", fs::read_to_string("/proc/sys/kernel/osrelease").ok()),
        ("filesystem", filesystem(&bench.place.file("."))),
        ("datacache", told(program(), "--version")),
        ("DiskCache", python),
        ("Redis", bench.redis.as_deref().and_then(|program| told(program, "--version"))),
        ("redis-benchmark", benchmark.and_then(|program: PathBuf| told(&program, "--version"))),
        ("memcached", bench.memcached.as_deref().and_then(|program| told(program, "--version"))),
        ("arguments", Some(arguments.join(" "))),
    ];
    let known = rows.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.trim().to_owned())));
    known.filter(|(_, value)| !value.is_empty()).collect()
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.to_owned())
}

fn memory() -> Option<String> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kibibytes: u64 = text.lines().next()?.split_whitespace().nth(1)?.parse().ok()?;
    Some(format!("{} MiB", kibibytes >> 10))
}

fn filesystem(path: &Path) -> Option<String> {
    let told = Command::new("stat").args(["-f", "-c", "%T"]).arg(path).output().ok()?;
    String::from_utf8(told.stdout).ok()
}

fn told(program: &Path, argument: &str) -> Option<String> {
    let told = Command::new(program).arg(argument).output().ok()?;
    Some(String::from_utf8_lossy(&told.stdout).lines().next()?.to_owned())
}
