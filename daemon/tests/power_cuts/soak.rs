//! Many cuts, in stores of ever new seeds; and one cut once more.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use fastrand::Rng;

use crate::Fault;
use crate::campaign::{Cut, Life};
use crate::disk::Neglect;

/// How many writes and other steps a life has.
const STEPS: u64 = 150;
/// How many cuts are tried in each life.
const CUTS: usize = 200;

/// Does what was asked for: `CUTS SEED`, or `RECORD POSITION SEED` for one of them.
pub(crate) fn run(asked: &[&str]) -> ExitCode {
    let done = match asked {
        [cuts, seed] => many(cuts, seed),
        [record, position, seed] => again(record, position, seed),
        _ => Err("say how many cuts, and the seed".into()),
    };
    match done {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failures) => {
            println!("{failures} failures");
            ExitCode::FAILURE
        }
        Err(fault) => {
            eprintln!("soak: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn many(cuts: &str, seed: &str) -> Result<usize, Fault> {
    let (wanted, mut seed): (usize, u64) = (cuts.parse()?, seed.parse()?);
    let (mut done, mut lives, mut failures) = (0, 0, 0);
    let begun = Instant::now();
    while done < wanted {
        let mut rng = Rng::with_seed(seed);
        for life in Life::several(seed, STEPS)? {
            let cuts = life.draw(&mut rng, CUTS.min(wanted - done));
            if let Some(failure) = life.cut(&cuts, Neglect::Nothing)? {
                failures += 1;
                println!("seed {seed}: {}", life.tell(&failure)?);
            }
            done += cuts.len();
            lives += 1;
        }
        seed += 1;
        println!("{done} cuts in {lives} lives, {failures} failures, {:.0} s", begun.elapsed().as_secs_f64());
    }
    Ok(failures)
}

fn again(record: &str, position: &str, seed: &str) -> Result<usize, Fault> {
    let life = Life::read(Path::new(record))?;
    let cut = Cut { position: position.parse()?, seed: seed.parse()? };
    let failure = life.cut(&[cut], Neglect::Nothing)?;
    if let Some(failure) = &failure {
        for (number, event) in life.events()[..cut.position].iter().enumerate().rev().take(40).rev() {
            println!("{number}: {}", crate::record::describe(event));
        }
        println!("{}", failure.told);
    }
    Ok(failure.iter().count())
}
