//! A run: who takes part, what was measured so far, and how it is told.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use serde_json::json;

use crate::arguments::Arguments;
use crate::outcome::Outcome;
use crate::place::Place;
use crate::rows::Row;
use crate::server::find;
use crate::sizes::Sizes;
use crate::{Fault, chart, diskcache, machine, markdown, stop, table};

/// A run.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) place: Place,
    pub(crate) sizes: Sizes,
    /// A Python that has DiskCache.
    pub(crate) python: Option<PathBuf>,
    pub(crate) redis: Option<PathBuf>,
    pub(crate) memcached: Option<PathBuf>,
    /// The peers that are not there, and how they are installed.
    pub(crate) missing: Vec<String>,
    pub(crate) outcomes: Vec<Outcome>,
    failed: bool,
}

impl Bench {
    /// Looks who is there.
    ///
    /// # Errors
    /// Where there is no room for files.
    pub(crate) fn new(arguments: &Arguments) -> Result<Self, Fault> {
        let mut missing = Vec::new();
        let environment = match &arguments.python {
            Some(folder) => folder.clone(),
            None => std::env::current_exe()?.with_file_name("peers-python"),
        };
        let python = diskcache::install(&environment).map_err(|why| missing.push(format!("DiskCache: {why}"))).ok();
        let mut server = |name: &str, package: &str| {
            let program = find(name);
            if program.is_none() {
                missing.push(format!("{name}: apt-get install {package}"));
            }
            program
        };
        let (redis, memcached) = (server("redis-server", "redis-server"), server("memcached", "memcached"));
        let quick = Sizes::quick();
        let sizes = if arguments.quick { quick } else { Sizes::full(arguments.huge, arguments.minute) };
        let place = Place::new(arguments.dir.as_deref())?;
        Ok(Self { place, sizes, python, redis, memcached, missing, outcomes: Vec::new(), failed: false })
    }

    /// Measures a group of rows, and prints them. One that fails is told, and the others are measured all the same.
    ///
    /// # Errors
    /// When a signal has arrived.
    pub(crate) fn run(&mut self, row: &Row) -> Result<(), Fault> {
        stop::check()?;
        if io::stderr().is_terminal() {
            eprintln!("measuring {}: {}", row.name, row.about);
        }
        match (row.run)(self) {
            Ok(outcomes) => self.take(outcomes),
            Err(fault) => {
                stop::check()?;
                println!("\n{} FAILED: {fault}", row.name);
                self.failed = true;
            }
        }
        Ok(())
    }

    /// Takes in what was measured, and prints it.
    pub(crate) fn take(&mut self, outcomes: impl IntoIterator<Item = Outcome>) {
        for outcome in outcomes {
            table::print(&outcome);
            self.outcomes.push(outcome);
        }
    }

    /// Writes the files that were asked for.
    ///
    /// # Errors
    /// Where they can't be written, or a row has failed.
    pub(crate) fn tell(&self, arguments: &Arguments) -> Result<(), Fault> {
        let machine = machine::describe(self);
        if let Some(path) = &arguments.json {
            let rows: Vec<_> = self.outcomes.iter().map(Outcome::json).collect();
            let machine: serde_json::Map<_, _> =
                machine.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            let report = json!({ "machine": machine, "missing": self.missing, "rows": rows });
            fs::write(path, serde_json::to_string_pretty(&report)?)?;
        }
        if let Some(path) = &arguments.markdown {
            fs::write(path, markdown::report(&machine, &self.missing, &self.outcomes))?;
        }
        if let Some(path) = &arguments.svg {
            chart::draw(path, &self.outcomes)?;
        }
        if self.failed { Err("a row has failed".into()) } else { Ok(()) }
    }
}
