//! Deaths of the daemon under load, at any moment and at instants that have a name.

use std::time::Instant as Moment;

use datacache_tests::kills::instant::{ENDING, SHARING, STARTING, WORKING};
use datacache_tests::kills::{Campaign, Death, Instant, Tally};
use fastrand::Rng;

use crate::Fault;

/// How many lives a store has before another one is begun.
const LIVES: u64 = 100;
/// How many entries a store with a limit may have; there are 72 keys.
const LIMIT: u64 = 40;
/// How often the daemon has come to an instant of its work when it dies there, at most.
const TIMES: u32 = 12;

/// Kill the daemon while clients write and upload, and look at what the next one finds
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many daemons
    #[arg(long, value_name = "N", default_value_t = 200)]
    rounds: u64,
    /// What all random choices follow from; what the processes do at the same time does not
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Returns whether all went well. The first thing that does not ends the program, with its seed.
#[expect(clippy::unnecessary_wraps, reason = "as all parts do")]
pub(crate) fn run(arguments: &Arguments) -> Result<bool, Fault> {
    let (mut total, mut seed, begun) = (Tally::default(), arguments.seed, Moment::now());
    while total.lives < arguments.rounds {
        total.add(&campaign(seed, LIVES.min(arguments.rounds - total.lives)));
        seed += 1;
        println!("{total}, {:.0} s", begun.elapsed().as_secs_f64());
    }
    for (name, count) in &total.instants {
        println!("{count:5} {name}");
    }
    Ok(true)
}

/// Every other store is booted again from time to time; nobody reads those directly. Every third has a limit.
fn campaign(seed: u64, lives: u64) -> Tally {
    let (mut random, boots) = (Rng::with_seed(!seed), seed.is_multiple_of(2));
    let mut campaign =
        if seed.is_multiple_of(3) { Campaign::with_limit(seed, !boots, LIMIT) } else { Campaign::new(seed, !boots) };
    campaign.live(Death::Never);
    for _ in 1..lives.saturating_sub(1) {
        if boots && random.u8(0..5) == 0 {
            campaign.reboot();
        }
        let death = death(&mut random, boots);
        campaign.live(death);
    }
    campaign.live(Death::Never);
    campaign.tally().clone()
}

fn death(random: &mut Rng, boots: bool) -> Death {
    let one_of = |random: &mut Rng, names: &[&'static str]| names[random.usize(..names.len())];
    let first = |name| Death::At(Instant::first(name));
    match random.u8(0..100) {
        0..40 => Death::Anywhere,
        40..75 => Death::At(Instant { name: one_of(random, WORKING), time: random.u32(1..=TIMES) }),
        75..90 => {
            // There is no view to be taken over after another boot, and whether there is one now is not known here.
            let names: Vec<_> = STARTING.iter().copied().filter(|name| !boots || *name != "TakeoverRetired").collect();
            first(one_of(random, &names))
        }
        90..93 if boots => first(one_of(random, SHARING)),
        93..97 => first(one_of(random, ENDING)),
        _ => Death::Never,
    }
}
