//! Rounds of damage to one store after the other: whatever was hit, nobody is given wrong bytes, and after a repair the store is like new.

use std::fs;
use std::path::PathBuf;

use fastrand::Rng;
use serde_json::Value;

use super::content::{KEYS, Sight};
use super::damage::{Kind, State, damage};
use crate::wait::{PATIENCE, comes_to_hold};
use crate::{AskError, Client, Home};

/// How often a command may find that the daemon died under it: twice in use, once while the store is opened, and again for the next
/// that dies of something else.
const DEATHS: usize = 6;

/// Rounds with one seed.
pub struct Campaign {
    home: Home,
    client_process: PathBuf,
    random: Rng,
    /// What each key holds.
    current: Vec<u64>,
    version: u64,
}

/// What a round was about.
#[derive(Debug)]
pub struct Outcome {
    /// What was done to which file.
    pub done: String,
    /// How many entries were lost or as they were before, until they were added again.
    pub lost: usize,
    /// What `verify --repair` found.
    pub findings: Vec<String>,
    /// How many readers were ended by what they read.
    pub ended: usize,
}

impl Campaign {
    /// Begins with an empty store; `client_process` is the program of that name.
    #[must_use]
    pub fn new(client_process: PathBuf, seed: u64) -> Self {
        let current = vec![0; usize::try_from(KEYS).expect("they are few")];
        Self { home: Home::new(), client_process, random: Rng::with_seed(seed), current, version: 0 }
    }

    /// Makes one round with a file of this kind.
    ///
    /// # Errors
    /// What was wrong afterwards.
    pub fn round(&mut self, kind: Kind, state: State) -> Result<Outcome, String> {
        self.fill(state)?;
        let configuration = self.configure();
        let store = self.home.store();
        let Some(done) = damage(kind, state, &store, &configuration, &mut self.random) else {
            return Ok(Outcome { done: "no such file".into(), lost: 0, findings: Vec::new(), ended: 0 });
        };
        self.look(kind, state, &configuration)
            .map_err(|wrong| format!("{kind:?}, {state:?}, {done}: {wrong}"))
            .map(|(lost, findings, ended)| Outcome { done, lost, findings, ended })
    }

    /// Has every key at a new version, half of them in the log only.
    fn fill(&mut self, state: State) -> Result<(), String> {
        self.put(0..KEYS)?;
        self.run(["stop"])?;
        self.put(0..KEYS / 4)?;
        self.put(40..52)?;
        match state {
            State::Served => {}
            State::Killed => self.home.daemon().kill(),
            State::Stopped => drop(self.run(["stop"])?),
        }
        Ok(())
    }

    fn put(&mut self, keys: std::ops::Range<u64>) -> Result<(), String> {
        self.version += 1;
        let arguments = [keys.start, keys.end, self.version].map(|number| number.to_string());
        let mut client = self.client();
        client.try_ask(&["bytes-put", &arguments[0], &arguments[1], &arguments[2]])?;
        keys.for_each(|key| self.current[usize::try_from(key).expect("they are few")] = self.version);
        Ok(())
    }

    fn configure(&self) -> PathBuf {
        self.home.configure("inline_max = \"32 KiB\"\n# a comment that makes it longer\nsync_interval = \"1s\"\n");
        self.home.path().join("config/datacache/config.toml")
    }

    /// Reads the damaged store, repairs it, and reads it again.
    fn look(
        &mut self,
        kind: Kind,
        state: State,
        configuration: &PathBuf,
    ) -> Result<(usize, Vec<String>, usize), String> {
        let mut ended = 0;
        match self.sights() {
            Ok(sights) => drop(self.check(&sights, true)?),
            Err(wrong) if kind.may_end_readers() && wrong.is_by_signal() => ended += 1,
            // The daemon may have died of it more often than a call is repeated, or have found the damage itself.
            Err(AskError::Failed(_)) if kind == Kind::Index => {}
            // A daemon that can't be started is what it is about.
            Err(wrong) if kind == Kind::Configuration && state != State::Served => {
                if !wrong.to_string().contains("config") {
                    return Err(format!("the configuration is not named: {wrong}"));
                }
            }
            Err(wrong) => return Err(wrong.into()),
        }
        fs::remove_file(configuration).map_err(|error| error.to_string())?;
        let findings = self.repair()?;
        let sights = self.sights()?;
        let lost = self.check(&sights, kind.may_lose())?;
        let holds = comes_to_hold(PATIENCE, || {
            let found = self.verify(&[]);
            found.iter().flatten().for_each(|finding| self.see_to(finding));
            found.is_ok_and(|found| found.is_empty())
        });
        if !holds {
            return Err(format!("verify still finds {:?}", self.verify(&[])));
        }
        self.put(0..KEYS)?;
        let sights = self.sights()?;
        self.check(&sights, false)?;
        let found = self.verify(&[])?;
        if found.is_empty() {
            Ok((lost, findings, ended))
        } else {
            Err(format!("after all was added again: {found:?}"))
        }
    }

    /// Returns what a reader sees.
    fn sights(&self) -> Result<Vec<Sight>, AskError> {
        let seen = self.client().try_ask(&["bytes-read"])?;
        let rows = seen.as_array().ok_or_else(|| AskError::Failed("no list".into()))?;
        let sight = |(key, row)| sight(row).ok_or_else(|| AskError::Failed(format!("key {key}: {row}")));
        rows.iter().enumerate().map(sight).collect()
    }

    /// Returns how many entries are not as they were written last.
    fn check(&self, sights: &[Sight], may_lose: bool) -> Result<usize, String> {
        let mut lost = 0;
        for (key, (sight, current)) in sights.iter().zip(&self.current).enumerate() {
            match sight {
                Sight::Version(version) if version == current => {}
                Sight::Miss if may_lose => lost += 1,
                Sight::Version(version) if may_lose && version < current => lost += 1,
                other => return Err(format!("key {key} should have version {current}, there is {other:?}")),
            }
        }
        Ok(lost)
    }

    /// Does what a user does who is told of an index that lies aside.
    fn see_to(&self, finding: &str) {
        if finding.contains(r#""fault":"lost-index""#) {
            fs::remove_dir_all(self.home.store().join("damaged")).ok();
        }
    }

    fn repair(&self) -> Result<Vec<String>, String> {
        self.verify(&[])?;
        self.verify(&["--repair"])
    }

    /// Returns what is found, also if daemons die of it first.
    fn verify(&self, arguments: &[&str]) -> Result<Vec<String>, String> {
        let mut told = String::new();
        for _ in 0..DEATHS {
            let outcome = self.home.run(["verify", "--json"].iter().chain(arguments));
            if let (Some(0 | 1), Ok(found)) =
                (outcome.status().code(), serde_json::from_slice::<Value>(outcome.printed()))
            {
                let findings = found["findings"].as_array().cloned().unwrap_or_default();
                return Ok(findings.iter().map(Value::to_string).collect());
            }
            told = format!("{outcome:?}");
        }
        Err(format!("the daemon does not come to life: {told}"))
    }

    fn run<const N: usize>(&self, arguments: [&str; N]) -> Result<String, String> {
        let outcome = self.home.run(arguments);
        if outcome.status().success() { Ok(outcome.text()) } else { Err(format!("{outcome:?}")) }
    }

    fn client(&self) -> Client {
        Client::start(self.home.program(&self.client_process))
    }
}

fn sight(row: &Value) -> Option<Sight> {
    match row {
        Value::Null => Some(Sight::Miss),
        Value::Number(version) => version.as_u64().map(Sight::Version),
        Value::Bool(false) => Some(Sight::Wrong),
        _ => None,
    }
}
