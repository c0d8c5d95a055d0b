//! Lives of a store, one after the other, each ended by a loss of power; and cuts at many other places of each.

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::check::{check, reboot};
use crate::disk::{Disk, Image, Neglect};
use crate::history::{Bounds, History};
use crate::record::{Action, Event, record};
use crate::workload::Plan;
use crate::{Fault, quiet};

/// How often a store loses its power before another one is begun.
pub(crate) const LIVES: u64 = 3;

/// A life of a store: what was there, and all that was done to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Life {
    plan: Plan,
    base: Image,
    events: Vec<Event>,
}

/// Where the power is cut, and what decides about everything that is not synced then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cut {
    pub(crate) position: usize,
    pub(crate) seed: u64,
}

/// A cut that a store did not survive.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) cut: Cut,
    pub(crate) told: String,
}

/// Returns a new folder, in memory where that can be had: nothing here needs a disk.
pub(crate) fn scratch() -> Result<TempDir, Fault> {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
    Ok(folder)
}

impl Life {
    /// Records the life of a store that begins with `base`.
    pub(crate) fn record(plan: Plan, base: Image) -> Result<Self, Fault> {
        let folder = scratch()?;
        let root = fs::canonicalize(folder.path())?.join("root");
        fs::create_dir(&root)?;
        base.write_to(&root)?;
        let store = root.join("above/store");
        reboot(&store, false)?;
        let told = folder.path().join("told");
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("workload").arg(&store).args([plan.seed, plan.steps, plan.life].map(|number| number.to_string()));
        command.args(plan.older.map(|layout| layout.to_string()));
        command
            .stdin(Stdio::null())
            .stdout(File::options().write(true).open("/dev/null")?)
            .stderr(File::create(&told)?);
        let events = match record(&root, &base, &mut command) {
            Ok(events) => events,
            Err(fault) => return Err(format!("{plan:?}: {fault}\n{}", fs::read_to_string(told)?).into()),
        };
        let life = Self { plan, base, events };
        // A call that was not seen, or not understood, is noticed here.
        match life.disk(life.events.len(), Neglect::Nothing).seen().differs_from(&root)? {
            Some(path) => Err(format!("{plan:?}: {} is not as it was recorded", path.display()).into()),
            None => Ok(life),
        }
    }

    /// Records the lives of a store, each but the first after a cut in the one before.
    pub(crate) fn several(seed: u64, steps: u64) -> Result<Vec<Self>, Fault> {
        let (mut lives, mut base) = (Vec::new(), Image::default());
        let mut rng = Rng::with_seed(seed);
        for life in 0..LIVES {
            let life = Self::record(Plan { seed: rng.u64(..), steps, life, older: None }, base)?;
            let cut = Cut { position: rng.usize(life.events.len() / 4..=life.events.len()), seed: rng.u64(..) };
            base = life.disk(cut.position, Neglect::Nothing).cut(&mut Rng::with_seed(cut.seed));
            lives.push(life);
        }
        Ok(lives)
    }

    /// Records the life of a store that was of an older layout when it began, after some steps of ours.
    pub(crate) fn of_older(layout: u32, seed: u64, steps: u64) -> Result<Self, Fault> {
        let mut rng = Rng::with_seed(seed);
        let before = Self::record(Plan { seed: rng.u64(..), steps, life: 0, older: None }, Image::default())?;
        let base = before.disk(before.events.len(), Neglect::Nothing).cut(&mut rng);
        Self::record(Plan { seed: rng.u64(..), steps: 0, life: 1, older: Some(layout) }, base)
    }

    pub(crate) fn read(path: &Path) -> Result<Self, Fault> {
        Ok(postcard::from_bytes(&fs::read(path)?)?)
    }

    /// Says what is wrong, and how to look at it again. For that this life is kept in a file: threads make each recording another
    /// one.
    pub(crate) fn tell(&self, failure: &Failure) -> Result<String, Fault> {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("power-{:016x}.record", self.plan.seed));
        fs::write(&path, postcard::to_stdvec(self)?)?;
        let (Cut { position, seed }, path) = (failure.cut, path.display());
        let (place, again) = (format!("{position} of {}", self.events.len()), "soak powercut");
        let told = &failure.told;
        Ok(format!("cut at {place}: {told}\nonce more: {again} --record {path} --position {position} --seed {seed}"))
    }

    fn disk(&self, position: usize, neglect: Neglect) -> Disk {
        let mut disk = Disk::new(&self.base, neglect);
        self.events[..position].iter().for_each(|event| disk.play(event));
        disk
    }

    /// Draws cuts: anywhere, and as many right before and behind what makes a difference.
    pub(crate) fn draw(&self, rng: &mut Rng, count: usize) -> Vec<Cut> {
        let decisive = |event: &Event| !matches!(event.action, Action::Write { through: false, .. });
        let places: Vec<usize> = (0..self.events.len()).filter(|&number| decisive(&self.events[number])).collect();
        let mut cuts: Vec<Cut> = std::iter::repeat_with(|| {
            let position = match rng.bool() {
                true => rng.usize(..=self.events.len()),
                false => places[rng.usize(..places.len())] + rng.usize(..2),
            };
            Cut { position, seed: rng.u64(..) }
        })
        .take(count)
        .collect();
        cuts.sort();
        cuts
    }

    /// Draws cuts right behind each change of a generation's name, or of what leads to it, `count` at each.
    pub(crate) fn draw_where_generations_change(&self, rng: &mut Rng, count: usize) -> Vec<Cut> {
        let changes = |event: &Event| match &event.action {
            Action::Create { place, .. } | Action::Remove { place } | Action::Rename { to: place, .. } => {
                place.1.starts_with("current") || place.1.starts_with("gen-")
            }
            _ => false,
        };
        let behind = (0..self.events.len()).filter(|&number| changes(&self.events[number])).map(|number| number + 1);
        behind
            .flat_map(|position| std::iter::repeat_n(position, count))
            .map(|position| Cut { position, seed: rng.u64(..) })
            .collect()
    }

    /// Cuts the power again and again, and looks at the store that comes back; returns the first cut that it did not survive.
    pub(crate) fn cut(&self, cuts: &[Cut], neglect: Neglect) -> Result<Option<Failure>, Fault> {
        let history = History::of(&self.events);
        let (mut disk, mut bounds, mut position) = (Disk::new(&self.base, neglect), Bounds::default(), 0);
        for &cut in cuts {
            for event in &self.events[position..cut.position] {
                disk.play(event);
                bounds.hear(event);
            }
            position = cut.position;
            let image = disk.cut(&mut Rng::with_seed(cut.seed));
            let bounds = if neglect.covers_promises() { Bounds { durable: 0, ..bounds } } else { bounds };
            if let Err(told) = survive(&image, &history, bounds, neglect == Neglect::Boot)? {
                return Ok(Some(Failure { cut, told }));
            }
        }
        Ok(None)
    }

    pub(crate) fn events(&self) -> &[Event] {
        &self.events
    }
}

/// Tells what is wrong with the store that comes back, if anything is.
fn survive(image: &Image, history: &History, bounds: Bounds, same_boot: bool) -> Result<Result<(), String>, Fault> {
    let folder = scratch()?;
    let checked =
        quiet::within(|| catch_unwind(AssertUnwindSafe(|| check(folder.path(), image, history, bounds, same_boot))));
    match checked {
        (Ok(done), _) => Ok(done.map_err(|fault| fault.to_string())),
        (Err(_), told) => Ok(Err(told)),
    }
}
